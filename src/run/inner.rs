//! What lanyard starts of itself under other names: a guard over files, and the last step before a command.
//!
//! The guard outlives its parent, whatever ends that. The last step gives a command back the signals that its parent
//! waits for: what a process blocks, its children block.

use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::os::descriptors;
use crate::run::child::Program;
use crate::run::{RunError, folder, watch};

/// The name of the guard.
const GUARD: &str = "lanyard-guard";
/// The name of the last step before a command.
const START: &str = "lanyard-start";

/// Does what this process was started for, where it was started by lanyard under one of these names.
pub fn answer() -> Option<Result<(), RunError>> {
    let mut arguments = std::env::args_os();
    let name = arguments.next()?;
    if name == GUARD {
        // Whoever reads what another process writes into one of them waits until nobody has it any more.
        descriptors::close_inherited();
        let path = PathBuf::from(arguments.next()?);
        // What ends a terminal or a session must not end the guard before its time.
        watch::block();
        folder::watch_over(&path);
        return Some(Ok(()));
    }
    if name == START {
        let (path, name) = (PathBuf::from(arguments.next()?), arguments.next()?);
        watch::unblock();
        let program = Program { path, name, arguments: arguments.collect() };
        return Some(Err(program.become_it(&mut program.command())));
    }
    None
}

/// Starts a guard over a folder: in a group of its own, without a variable, a terminal or a folder of ours.
pub(super) fn guard(path: &Path) -> io::Result<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg0(GUARD).arg(path).env_clear().current_dir("/").process_group(0);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()
}

/// The command that starts a program by way of the last step.
pub fn start(program: &Program) -> io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg0(START).arg(&program.path).arg(&program.name).args(&program.arguments);
    Ok(command)
}
