//! Programs that lanyard starts: found in absolute folders alone, so that the folder one happens to stand in, such as a
//! clone, never decides what is run.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use crate::os::Env;
use crate::secret::{Reason, Secret};

/// The most that a program may write, in bytes.
const MOST: u64 = 1 << 20;

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
    let stdin = if question.is_empty() { Stdio::null() } else { Stdio::piped() };
    let started = command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    let mut child = started.map_err(|error| Reason(format!("{name} does not start: {}", error.kind())))?;
    if let Some(mut pipe) = child.stdin.take() {
        let question = question.to_owned();
        // On a thread of its own: the program may write first, or never read. A closed pipe is its own affair.
        std::thread::spawn(move || drop(pipe.write_all(question.as_bytes())));
    }
    let reader = child.stdout.take().map(|mut pipe| {
        std::thread::spawn(move || {
            let mut text = Zeroizing::new(String::with_capacity(16 << 10));
            let read = pipe.by_ref().take(MOST).read_to_string(&mut text);
            // What is beyond the limit is read and dropped, so that the program can end.
            let _ = std::io::copy(&mut pipe, &mut std::io::sink());
            read.map(|_| text)
        })
    });
    let deadline = Instant::now() + Duration::from_secs(seconds);
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(5)),
            _ => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(Reason(format!("{name} did not end within {seconds} s")));
            }
        }
    };
    if !status.success() {
        let code = status.code().map_or_else(|| "a signal".to_owned(), |code| format!("code {code}"));
        return Err(Reason(format!("{name} ended with {code}")));
    }
    let read = reader.and_then(|reader| reader.join().ok()).and_then(Result::ok);
    let mut text = read.ok_or_else(|| Reason(format!("{name} wrote no text")))?;
    Ok(Secret::new(std::mem::take(&mut *text)))
}
