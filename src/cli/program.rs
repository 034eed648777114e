//! Programs that lanyard starts: found in absolute folders alone, so that the folder one happens to stand in, such as a
//! clone, never decides what is run.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::os::Env;

/// The command with its program found in an absolute folder of `PATH`, and a `PATH` of absolute folders for what it
/// starts in turn: a program in the folder one happens to stand in, such as a clone, is never run.
#[cfg(unix)]
pub(super) fn located(env: &Env, command: &Command) -> Option<Command> {
    let name = Path::new(command.get_program());
    let program = if name.components().count() > 1 { name.to_owned() } else { find(env, name)? };
    let mut located = Command::new(program);
    located.args(command.get_args()).env("PATH", std::env::join_paths(absolute_folders(env)).ok()?);
    Some(located)
}

/// Windows programs are started by the system's own rules, which Rust keeps from the current folder.
#[cfg(not(unix))]
#[expect(clippy::unnecessary_wraps, reason = "on other systems a program may be missing")]
pub(super) fn located(_: &Env, command: &Command) -> Option<Command> {
    let mut located = Command::new(command.get_program());
    located.args(command.get_args());
    Some(located)
}

/// Where a program of that name lies in an absolute folder of `PATH`.
pub(super) fn find(env: &Env, name: impl AsRef<Path>) -> Option<PathBuf> {
    absolute_folders(env).map(|folder| folder.join(&name)).find(|program| program.is_file())
}

/// `PATH` without its relative and empty parts.
fn absolute_folders(env: &Env) -> impl Iterator<Item = PathBuf> {
    std::env::split_paths(env.var("PATH").unwrap_or_default()).filter(|folder| folder.is_absolute())
}
