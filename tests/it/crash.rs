//! The crash driver: kills a command at its first, second, third … system call of a kind, and lets a test look at what
//! is left after each.

use std::process::{Command, Stdio};

/// The calls after which something could be half done.
pub const CALLS: &[&str] = &[
    "write",
    "pwrite64",
    "fsync",
    "fdatasync",
    "rename",
    "renameat",
    "renameat2",
    "unlink",
    "unlinkat",
    "openat",
    "sendto",
    "sendmsg",
    "connect",
    "ftruncate",
];

/// What happens at the chosen call.
#[derive(Debug, Clone, Copy)]
pub enum Blow {
    /// The process is killed.
    Kill,
    /// The call fails with this error: `ENOSPC`, `EIO`, `EDQUOT`, `EROFS`.
    Error(&'static str),
}

/// Runs `command` again and again, with the blow at the first call of this kind, then at the second, and so on, until
/// it ends untouched; after each time, `look` is told how often it was and finds out whether all is well.
///
/// `command` makes the command anew each time. Returns how many blows were struck.
pub fn at_every(call: &str, blow: Blow, command: impl FnMut() -> Command, look: impl FnMut(usize)) -> usize {
    at_every_nth(call, 1, blow, command, look)
}

/// The same at the first call and then at every so many further ones, where there are many.
pub fn at_every_nth(
    call: &str,
    step: usize,
    blow: Blow,
    mut command: impl FnMut() -> Command,
    mut look: impl FnMut(usize),
) -> usize {
    const MOST: usize = 400;
    for (struck, time) in (1..).step_by(step).take(MOST).enumerate() {
        let is_struck = strike(call, blow, time, &mut command);
        look(time);
        if !is_struck {
            return struck;
        }
    }
    panic!("more than {MOST} blows at {call}");
}

/// Whether the blow was struck.
fn strike(call: &str, blow: Blow, time: usize, command: &mut impl FnMut() -> Command) -> bool {
    let log = tempfile::NamedTempFile::new().expect("a temporary file");
    let action = match blow {
        Blow::Kill => "signal=KILL".to_owned(),
        Blow::Error(error) => format!("error={error}"),
    };
    let plain = command();
    let mut traced = Command::new("strace");
    traced
        .args(["-f", "-qq", "-o"])
        .arg(log.path())
        .args(["-e", &format!("trace={call}"), "-e", &format!("inject={call}:{action}:when={time}"), "--"])
        .arg(plain.get_program())
        .args(plain.get_args())
        .env_clear()
        .envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    if let Some(folder) = plain.get_current_dir() {
        traced.current_dir(folder);
    }
    let status = traced.status().expect("strace is installed; tests/run does that");
    let log = std::fs::read_to_string(log.path()).unwrap_or_default();
    match blow {
        Blow::Kill => !status.success() && log.contains("killed by SIGKILL"),
        Blow::Error(_) => log.contains("(INJECTED)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kills_at_each_call_until_the_command_ends_untouched() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        let script = format!("echo one > {0}; mv {0} {0}.1; echo two > {0}; mv {0} {0}.2", file.display());
        let command = || {
            let mut command = Command::new("sh");
            command.args(["-c", &script]).env("PATH", "/usr/bin:/bin");
            command
        };
        let mut left = Vec::new();
        let struck = at_every("write", Blow::Kill, command, |_| {
            left.push((1..3).filter(|number| file.with_extension(number.to_string()).exists()).count());
            for number in 1..3 {
                let _ = std::fs::remove_file(file.with_extension(number.to_string()));
            }
        });
        assert_eq!(left, [0, 1, 2]);
        assert_eq!(struck, 2);
    }

    #[test]
    fn makes_each_call_fail() {
        let folder = tempfile::tempdir().unwrap();
        let script = format!("echo one > {}/file", folder.path().display());
        let command = || {
            let mut command = Command::new("sh");
            command.args(["-c", &script]).env("PATH", "/usr/bin:/bin");
            command
        };
        assert_eq!(at_every("write", Blow::Error("ENOSPC"), command, |_| {}), 1);
    }
}
