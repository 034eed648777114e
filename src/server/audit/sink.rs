//! Where statements about the audit go besides the database: to a file, or to the machine's log.

use std::path::PathBuf;

use crate::os::files;

/// What begins the name of the machine's log.
const SYSLOG: &str = "syslog:";

/// A place to which statements go that whoever writes to the database may not be able to write to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Sink {
    /// A file that they are appended to.
    File(PathBuf),
    /// The socket of the machine's log.
    #[cfg(unix)]
    Syslog(PathBuf),
}

impl Sink {
    /// Reads `syslog:`, `syslog:SOCKET`, or the name of a file, which is at `path`.
    pub(crate) fn read(value: &str, path: PathBuf) -> Result<Self, &'static str> {
        match value.strip_prefix(SYSLOG) {
            None => Ok(Self::File(path)),
            Some(socket) => log(socket),
        }
    }

    /// What it is, and where.
    pub(crate) fn in_words(&self) -> String {
        match self {
            Self::File(file) => file.display().to_string(),
            #[cfg(unix)]
            Self::Syslog(socket) => format!("{SYSLOG}{}", socket.display()),
        }
    }

    /// Whether the machine's log listens; why not, in words. A file is made when there is a line for it.
    pub(crate) fn listens(&self) -> Result<(), String> {
        match self {
            Self::File(_) => Ok(()),
            #[cfg(unix)]
            Self::Syslog(socket) => {
                syslog::reach(socket).map_err(|cause| format!("no log listens at {}: {cause}", socket.display()))
            }
        }
    }

    /// Adds a line.
    pub(super) fn append(&self, line: &str) -> Result<(), String> {
        match self {
            Self::File(file) => files::append(file, line).map_err(|failure| failure.to_string()),
            #[cfg(unix)]
            Self::Syslog(socket) => syslog::send(socket, line)
                .map_err(|cause| format!("the log at {} did not take it: {cause}", socket.display())),
        }
    }
}

#[cfg(unix)]
fn log(socket: &str) -> Result<Sink, &'static str> {
    match socket {
        "" => Ok(Sink::Syslog(PathBuf::from(syslog::SOCKET))),
        socket if socket.starts_with('/') => Ok(Sink::Syslog(PathBuf::from(socket))),
        _ => Err("what comes after `syslog:` is the whole path of a socket, or nothing"),
    }
}

#[cfg(not(unix))]
fn log(_: &str) -> Result<Sink, &'static str> {
    Err("there is no syslog on this system")
}

/// The machine's log, as `syslog(3)` speaks to it (RFC 3164), which every daemon that listens there understands.
#[cfg(unix)]
mod syslog {
    use std::os::unix::net::UnixDatagram;
    use std::path::Path;
    use std::time::Duration;

    use chrono::{DateTime, Local};

    use crate::server::state::now;

    pub(super) const SOCKET: &str = "/dev/log";
    /// Facility 10, what is of security and private; severity 5, a notice.
    const PRIORITY: u8 = 10 * 8 + 5;
    /// By this they are found in the log, which nothing else of the server goes to.
    const TAG: &str = "lanyard-audit";
    /// A log that takes nothing is not waited for any longer.
    const PATIENCE: Duration = Duration::from_secs(5);

    pub(super) fn reach(socket: &Path) -> std::io::Result<()> {
        UnixDatagram::unbound()?.connect(socket)
    }

    pub(super) fn send(socket: &Path, line: &str) -> std::io::Result<()> {
        let at: DateTime<Local> = now().into();
        let message = format!("<{PRIORITY}>{} {TAG}[{}]: {line}", at.format("%b %e %H:%M:%S"), std::process::id());
        let log = UnixDatagram::unbound()?;
        log.set_write_timeout(Some(PATIENCE))?;
        log.send_to(message.as_bytes(), socket).map(|_| ())
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn the_log_is_told_from_a_file() {
        let read = |value: &str| Sink::read(value, PathBuf::from("/base").join(value));
        assert_eq!(read("syslog:"), Ok(Sink::Syslog("/dev/log".into())));
        assert_eq!(read("syslog:/run/log"), Ok(Sink::Syslog("/run/log".into())));
        assert_eq!(read("syslog"), Ok(Sink::File("/base/syslog".into())));
        assert_eq!(read("./syslog:a"), Ok(Sink::File("/base/./syslog:a".into())));
        assert!(read("syslog:run/log").is_err() && read("syslog:udp://host").is_err());
    }

    #[test]
    fn a_line_comes_as_the_log_reads_it_and_none_is_lost_unnoticed() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("log");
        let sink = Sink::Syslog(socket.clone());
        assert!(sink.append("{}").unwrap_err().contains("did not take it"), "nobody listens");
        assert!(sink.listens().unwrap_err().contains("no log listens at"));
        let log = std::os::unix::net::UnixDatagram::bind(&socket).unwrap();
        assert_eq!(sink.listens(), Ok(()));
        sink.append("{\"statement\":1}").unwrap();
        let mut message = [0; 1024];
        let length = log.recv(&mut message).unwrap();
        let message = String::from_utf8_lossy(&message[..length]).into_owned();
        let form = r#"^<85>[A-Z][a-z]{2} [ 1-3][0-9] [0-2][0-9]:[0-5][0-9]:[0-6][0-9] lanyard-audit\[[0-9]+\]: \{"statement":1\}$"#;
        assert!(regex::Regex::new(form).unwrap().is_match(&message), "{message}");
    }
}
