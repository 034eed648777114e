//! Programs that lanyard starts: found in absolute folders alone, so that the folder one happens to stand in, such as a
//! clone, never decides what is run.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use crate::os::Env;
use crate::secret::{Reason, Secret};

/// The most that a program may write, in bytes.
const MOST: usize = 1 << 20;
/// How much is read at once.
const CHUNK: usize = 16 << 10;
/// After a program's end, its output is over when nothing came for so long.
const QUIET: Duration = Duration::from_millis(500);

/// The command with its program found in an absolute folder of `PATH`, and a `PATH` of absolute folders for what it
/// starts in turn: a program in the folder one happens to stand in, such as a clone, is never run.
#[cfg(unix)]
pub fn located(env: &Env, command: &Command) -> Option<Command> {
    let name = Path::new(command.get_program());
    let program = if name.components().count() > 1 { name.to_owned() } else { find(env, name)? };
    let mut located = Command::new(program);
    located.args(command.get_args()).env("PATH", std::env::join_paths(absolute_folders(env)).ok()?);
    Some(located)
}

/// Windows programs are started by the system's own rules, which Rust keeps from the current folder.
#[cfg(not(unix))]
#[expect(clippy::unnecessary_wraps, reason = "on other systems a program may be missing")]
pub fn located(_: &Env, command: &Command) -> Option<Command> {
    let mut located = Command::new(command.get_program());
    located.args(command.get_args());
    Some(located)
}

/// Where a program of that name lies in an absolute folder of `PATH`.
pub fn find(env: &Env, name: impl AsRef<Path>) -> Option<PathBuf> {
    absolute_folders(env).map(|folder| folder.join(&name)).find(|program| program.is_file())
}

/// `PATH` without its relative and empty parts.
fn absolute_folders(env: &Env) -> impl Iterator<Item = PathBuf> {
    std::env::split_paths(env.var("PATH").unwrap_or_default()).filter(|folder| folder.is_absolute())
}

/// Runs a program and gives what it wrote to stdout, which must be text. Its stdin is empty, and its environment lacks
/// lanyard's own variables. It is ended after `seconds`.
///
/// # Errors
/// A sentence for a person, without anything that the program wrote: it may hold a secret.
pub fn output(env: &Env, name: &str, arguments: &[&str], seconds: u64) -> Result<Secret, Reason> {
    answer(env, name, arguments, "", seconds)
}

/// As [`output`], with `question` on the program's stdin.
pub fn answer(env: &Env, name: &str, arguments: &[&str], question: &str, seconds: u64) -> Result<Secret, Reason> {
    let mut asked = Command::new(name);
    asked.args(arguments);
    let Some(mut command) = located(env, &asked) else {
        return Err(Reason(format!("{name} is not installed")));
    };
    command.env_clear();
    for (variable, value) in env.variables().filter(|(variable, _)| !variable.starts_with("LANYARD_")) {
        command.env(variable, value);
    }
    #[cfg(unix)]
    if let Ok(path) = std::env::join_paths(absolute_folders(env)) {
        command.env("PATH", path);
    }
    let said = said(&mut command, question, Duration::from_secs(seconds)).map_err(|stopped| {
        Reason(match stopped {
            Stopped::NotStarted(kind) => format!("{name} does not start: {kind}"),
            Stopped::TooSlow => format!("{name} did not end within {seconds} s"),
        })
    })?;
    if !said.status.success() {
        let code = said.status.code().map_or_else(|| "a signal".to_owned(), |code| format!("code {code}"));
        return Err(Reason(format!("{name} ended with {code}")));
    }
    let text = std::str::from_utf8(&said.text).map_err(|_| Reason(format!("{name} wrote no text")))?;
    Ok(Secret::new(text.to_owned()))
}

/// Why a program has said nothing.
#[derive(Debug)]
pub enum Stopped {
    /// It does not start.
    NotStarted(io::ErrorKind),
    /// It was ended because it took too long.
    TooSlow,
}

/// How a program has ended, and what it wrote to stdout.
pub struct Said {
    /// How it has ended.
    pub status: ExitStatus,
    /// What it wrote, up to a limit.
    pub text: Zeroizing<Vec<u8>>,
}

/// Runs a command to its end, with `question` on its stdin and its stderr left out. It is ended after `patience`.
///
/// Nobody waits for what it leaves running: that may hold its stdout open for as long as it likes.
pub fn said(command: &mut Command, question: &str, patience: Duration) -> Result<Said, Stopped> {
    let deadline = Instant::now() + patience;
    let stdin = if question.is_empty() { Stdio::null() } else { Stdio::piped() };
    let started = command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    let mut child = started.map_err(|error| Stopped::NotStarted(error.kind()))?;
    if let Some(mut pipe) = child.stdin.take() {
        let question = Zeroizing::new(question.to_owned());
        // On a thread of its own: the program may write first, or never read. A closed pipe is its own affair.
        std::thread::spawn(move || drop(pipe.write_all(question.as_bytes())));
    }
    let (sender, chunks) = channel();
    if let Some(pipe) = child.stdout.take() {
        std::thread::spawn(move || read(pipe, &sender));
    }
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(5)),
            _ => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(Stopped::TooSlow);
            }
        }
    };
    let mut text = Zeroizing::new(Vec::with_capacity(MOST));
    // What it wrote is in the pipe by now, and comes without a pause.
    while let Ok(chunk) = chunks.recv_timeout(QUIET) {
        let chunk: Zeroizing<Vec<u8>> = chunk;
        let room = MOST - text.len();
        text.extend_from_slice(chunk.get(..room.min(chunk.len())).unwrap_or_default());
        if Instant::now() > deadline + QUIET {
            break;
        }
    }
    Ok(Said { status, text })
}

/// Passes on what a program writes. What is beyond the limit is read and dropped, so that the program can end.
fn read(mut pipe: impl Read, to: &Sender<Zeroizing<Vec<u8>>>) {
    let mut passed = 0;
    loop {
        let mut chunk = Zeroizing::new(vec![0; CHUNK]);
        match pipe.read(&mut chunk) {
            Ok(0) => return,
            Ok(length) => {
                chunk.truncate(length);
                passed += length;
                if passed < MOST + CHUNK && to.send(chunk).is_err() {
                    return;
                }
            }
            Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn sh(script: &str, seconds: u64) -> Result<Said, Stopped> {
        said(Command::new("/bin/sh").args(["-c", script]), "", Duration::from_secs(seconds))
    }

    #[test]
    fn nobody_waits_for_what_a_program_leaves_running() {
        let started = Instant::now();
        let left = sh("echo token; sleep 20 & exit 3", 60).unwrap();
        assert_eq!((left.status.code(), left.text.as_slice()), (Some(3), &b"token\n"[..]));
        assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
        assert!(matches!(sh("sleep 20", 1), Err(Stopped::TooSlow)));
        assert!(started.elapsed() < Duration::from_secs(15), "{:?}", started.elapsed());
    }

    #[test]
    fn what_it_writes_comes_whole_up_to_a_limit() {
        let some = sh("printf '%0200000d' 7; exec >&-; sleep 0.1", 60).unwrap();
        assert!(some.text.len() == 200_000 && some.text.ends_with(b"07"));
        assert_eq!(sh("head -c 3000000 /dev/zero", 60).unwrap().text.len(), MOST);
        let asked = said(&mut Command::new("/bin/cat"), "question", Duration::from_mins(1)).unwrap();
        assert_eq!(asked.text.as_slice(), b"question");
        assert!(matches!(said(&mut Command::new("/no/such"), "", QUIET), Err(Stopped::NotStarted(_))));
    }
}
