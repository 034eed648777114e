//! Asking a person whether a key may be used, through the program that ssh itself asks with.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

use crate::agent::held;
use crate::os::{Env, program};

/// How long a person has to answer.
const PATIENCE: Duration = Duration::from_mins(1);

/// Whether a person says yes. Nobody is asked two things at once; where nobody can be asked, the answer is no.
///
/// As ssh does it (`ssh-add(1)`): the program of `SSH_ASKPASS` is told by `SSH_ASKPASS_PROMPT=confirm` that yes and no
/// are its exit status; a program that does not know of that may write `yes`.
pub(super) fn ask(env: &Env, question: &str) -> bool {
    static ONE: Mutex<()> = Mutex::new(());
    let Some(program) = asker(env) else { return false };
    let _one = held(&ONE);
    let mut command = Command::new(program);
    command.arg(question).env_clear().envs(env.variables().filter(|(name, _)| !name.starts_with("LANYARD_")));
    command.env("SSH_ASKPASS_PROMPT", "confirm");
    program::said(&mut command, "", PATIENCE).is_ok_and(|said| {
        let answer = String::from_utf8_lossy(&said.text).trim().to_lowercase();
        said.status.success() && ["", "yes"].contains(&answer.as_str())
    })
}

/// The program that asks: the one of `SSH_ASKPASS`, else the usual one where there is a screen.
fn asker(env: &Env) -> Option<PathBuf> {
    match env.var("SSH_ASKPASS").map(Path::new) {
        Some(named) if named.is_absolute() => Some(named.to_owned()),
        // A program in whatever folder the agent stands in is not run.
        Some(named) if named.components().count() > 1 => None,
        Some(named) => program::find(env, named),
        None if env.var("DISPLAY").or_else(|| env.var("WAYLAND_DISPLAY")).is_some() => {
            program::find(env, "ssh-askpass")
        }
        None => None,
    }
}
