//! Secrets on the command line, and how they leave again: the program starts itself anew with each on a pipe, so that
//! `ps` shows it for a millisecond instead of for as long as the command takes.

use std::ffi::OsString;

use crate::secret::Secret;

/// A pipe takes this much without a reader, on every Unix.
#[cfg(unix)]
const PIPE: usize = 16 << 10;

/// A secret among the arguments.
pub(super) struct Visible<'s> {
    /// Where it stands.
    pub(super) place: Place,
    /// The secret.
    pub(super) secret: &'s Secret,
}

/// Where a secret stands among the arguments, and what the new process is given instead: the text and the pipe's path.
pub(super) enum Place {
    /// `--flag VALUE` or `--flag=VALUE` becomes the text, which ends before the path: `--token-file=`.
    Flag {
        /// The flag, with its hyphens.
        flag: String,
        /// What stands before the path.
        instead: String,
    },
    /// A word `NAME=VALUE` becomes `NAME=@` and the path.
    Assignment {
        /// The name before the equals sign.
        name: String,
    },
}

/// Replaces this process by one without the secrets among its arguments. Returns where that cannot be done; the command
/// then goes on as it is.
#[cfg(unix)]
pub(super) fn hide(secrets: &[Visible<'_>]) {
    use std::io::Write;
    use std::os::fd::AsRawFd;
    use std::os::unix::process::CommandExt;
    let Ok(program) = std::env::current_exe() else { return };
    let mut pipes = Vec::new();
    for Visible { secret, .. } in secrets {
        let (true, Ok((reader, mut writer))) = (secret.expose().len() < PIPE, std::io::pipe()) else { return };
        if writer.write_all(secret.expose().as_bytes()).is_err() {
            return;
        }
        // The new process inherits the pipe's end and finds it by its number; stdin stays what it is.
        if rustix::io::fcntl_setfd(&reader, rustix::io::FdFlags::empty()).is_err() {
            return;
        }
        pipes.push(reader);
    }
    let paths: Vec<String> = pipes.iter().map(|pipe| format!("/dev/fd/{}", pipe.as_raw_fd())).collect();
    let mut arguments = std::env::args_os();
    let name = arguments.next().unwrap_or_else(|| "lanyard".into());
    let places: Vec<(&Place, &str)> =
        secrets.iter().map(|visible| &visible.place).zip(paths.iter().map(String::as_str)).collect();
    let failed = std::process::Command::new(program).arg0(name).args(without(arguments, &places)).exec();
    tracing::debug!(error = %failed, "the secrets stay among the arguments");
}

/// Elsewhere a process cannot replace itself.
#[cfg(not(unix))]
pub(super) fn hide(_: &[Visible<'_>]) {}

/// The arguments with each secret replaced by the path where it can be read. A flag is replaced where it stands first:
/// after that, it is one of a command that lanyard runs.
#[cfg_attr(not(unix), expect(dead_code, reason = "only Unix restarts itself"))]
fn without(arguments: impl Iterator<Item = OsString>, places: &[(&Place, &str)]) -> Vec<OsString> {
    let mut kept = Vec::new();
    let mut skip = false;
    let mut met = vec![false; places.len()];
    for argument in arguments {
        if std::mem::take(&mut skip) {
            continue;
        }
        let bytes = argument.as_encoded_bytes();
        let replaced = places.iter().zip(&mut met).find_map(|((place, path), met)| match place {
            Place::Flag { flag, instead } => {
                let rest = bytes.strip_prefix(flag.as_bytes())?;
                let here = (rest.is_empty() || rest.starts_with(b"=")) && !std::mem::replace(met, true);
                here.then(|| (format!("{instead}{path}"), rest.is_empty()))
            }
            Place::Assignment { name } => {
                let rest = bytes.strip_prefix(name.as_bytes())?;
                rest.starts_with(b"=").then(|| (format!("{name}=@{path}"), false))
            }
        });
        match replaced {
            Some((instead, value_follows)) => {
                skip = value_follows;
                kept.push(instead.into());
            }
            None => kept.push(argument),
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_replaced_however_it_was_given() {
        let place = Place::Flag { flag: "--token".into(), instead: "--token-file=".into() };
        for given in [
            &["auth", "login", "--token", "CANARY", "--profile", "x"][..],
            &["auth", "login", "--token=CANARY", "--profile", "x"],
        ] {
            let kept = without(given.iter().map(OsString::from), &[(&place, "/dev/fd/3")]);
            assert_eq!(kept, ["auth", "login", "--token-file=/dev/fd/3", "--profile", "x"]);
        }
        let place = Place::Flag { flag: "--api-key".into(), instead: "--api-key=@".into() };
        let given = ["run", "--api-key", "CANARY", "--", "tool", "--api-key", "theirs"].iter().map(OsString::from);
        let kept = without(given, &[(&place, "/dev/fd/3")]);
        assert_eq!(kept, ["run", "--api-key=@/dev/fd/3", "--", "tool", "--api-key", "theirs"]);
        let (a, b) = (Place::Assignment { name: "A".into() }, Place::Assignment { name: "AB".into() });
        let given = ["store", "env", "A=CANARY", "AB=CANARY", "--note", "A"].iter().map(OsString::from);
        let kept = without(given, &[(&a, "/dev/fd/3"), (&b, "/dev/fd/4")]);
        assert_eq!(kept, ["store", "env", "A=@/dev/fd/3", "AB=@/dev/fd/4", "--note", "A"]);
    }
}
