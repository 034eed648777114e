//! Opening the user's browser: whether there is one, and how it is started.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::http::Url;
use crate::os::{self, Env};

/// Why no browser can be opened here, in words that complete "no browser can be opened: …"; `None` where one can.
pub(super) fn why_headless(env: &Env) -> Option<&'static str> {
    if env.var("BROWSER").is_some() {
        return None;
    }
    if env.var("SSH_CONNECTION").is_some() || env.var("SSH_TTY").is_some() {
        return Some("this is an SSH session");
    }
    if !cfg!(target_os = "linux") {
        return None;
    }
    if env.var("WSL_DISTRO_NAME").is_some() {
        // WSL opens the browser of Windows by one of these.
        let found =
            ["wslview", "explorer.exe", "powershell.exe"].iter().any(|program| find_program(env, program).is_some());
        return (!found).then_some("this WSL system has no wslview");
    }
    if env.var("DISPLAY").is_some() || env.var("WAYLAND_DISPLAY").is_some() {
        return None;
    }
    if std::path::Path::new("/.dockerenv").exists() || std::path::Path::new("/run/.containerenv").exists() {
        return Some("this is a container without a display");
    }
    Some("there is no display")
}

/// Starts the browser with the address as one argument, without a shell, and leaves it alone. Returns whether a
/// program was started.
///
/// The child gets no variable that holds a secret of lanyard's.
pub(super) fn open(env: &Env, url: &Url, secret_variables: &[String]) -> bool {
    candidates(env, url).into_iter().filter_map(|command| located(env, command)).any(|mut command| {
        for variable in secret_variables.iter().map(String::as_str).chain([os::TOKEN, os::PASSPHRASE]) {
            command.env_remove(variable);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        match command.spawn() {
            Ok(mut child) => {
                // Reaped in the background, so that a browser that stays open is no zombie and holds nobody up.
                std::thread::spawn(move || child.wait());
                true
            }
            Err(_) => false,
        }
    })
}

/// `$BROWSER` first, then whatever the platform uses. Each entry of `$BROWSER` is a program with arguments; `%s` stands
/// for the address, which otherwise comes last.
fn candidates(env: &Env, url: &Url) -> Vec<Command> {
    let mut commands: Vec<Command> = Vec::new();
    for entry in env.var("BROWSER").unwrap_or_default().split(':') {
        let mut words = entry.split_whitespace();
        let Some(program) = words.next() else { continue };
        let mut command = Command::new(program);
        let mut placed = false;
        for word in words {
            placed |= word.contains("%s");
            command.arg(word.replace("%s", url.as_str()));
        }
        if !placed {
            command.arg(url.as_str());
        }
        commands.push(command);
    }
    commands.extend(open::commands(url.as_str()));
    commands
}

/// The command with its program found in an absolute folder of `PATH`, and a `PATH` of absolute folders for what it
/// starts in turn: a program in the folder one happens to stand in, such as a clone, is never run.
#[cfg(unix)]
#[expect(clippy::needless_pass_by_value, reason = "it takes the command's place")]
fn located(env: &Env, command: Command) -> Option<Command> {
    let name = Path::new(command.get_program());
    let program = if name.components().count() > 1 { name.to_owned() } else { find_program(env, name)? };
    let mut located = Command::new(program);
    located.args(command.get_args()).env("PATH", std::env::join_paths(absolute_folders(env)).ok()?);
    Some(located)
}

/// Windows programs are started by the system's own rules, which Rust keeps from the current folder.
#[cfg(not(unix))]
#[expect(clippy::unnecessary_wraps, reason = "on other systems a program may be missing")]
fn located(_: &Env, command: Command) -> Option<Command> {
    Some(command)
}

/// Where a program of that name lies in an absolute folder of `PATH`.
fn find_program(env: &Env, name: impl AsRef<Path>) -> Option<PathBuf> {
    absolute_folders(env).map(|folder| folder.join(&name)).find(|program| program.is_file())
}

/// `PATH` without its relative and empty parts.
fn absolute_folders(env: &Env) -> impl Iterator<Item = PathBuf> {
    std::env::split_paths(env.var("PATH").unwrap_or_default()).filter(|folder| folder.is_absolute())
}
