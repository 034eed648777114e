//! `lanyard agent …`: the process that keeps the vault open, started, looked at, locked and ended.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::agent::{self, AgentError, Status};
use crate::cli::{Doors, active};
use crate::error::Result;
use crate::text::clean;

mod shell;
pub(super) mod start;

/// Keep the vault open in a process that answers tools at once and signs for ssh
#[derive(clap::Subcommand, Debug)]
pub(super) enum Command {
    /// Unlock the vault once, and answer tools and ssh until the time is over
    ///
    /// Whoever can ask the agent is you: another user is refused by the system. The key of the vault lies in memory
    /// that is never written to a disk, as far as the system allows that (`ulimit -l`). An agent that was locked is
    /// unlocked, and one of another version is replaced.
    #[command(after_help = "Examples:\n  lanyard agent start\n  lanyard agent start --timeout 1h --idle 15m")]
    Start(start::Args),
    /// Show whether an agent runs, whether it is locked and when it ends
    ///
    /// With --json: an object with running and, where one runs, pid, version, locked, memory_locked, answered,
    /// added_ssh_keys, ends_in and idle_ends_in (seconds), and ssh_socket.
    #[command(after_help = "Example:\n  lanyard agent status")]
    Status,
    /// Have the agent forget the key; `lanyard agent start` unlocks it again
    #[command(after_help = "Example:\n  lanyard agent lock")]
    Lock,
    /// End the agent
    #[command(after_help = "Example:\n  lanyard agent stop")]
    Stop,
    /// Print the command that tells ssh, in this shell, of the agent
    #[command(after_help = "Examples:\n  eval \"$(lanyard agent env)\"\n  lanyard agent env fish | source")]
    Env(shell::Args),
    /// The agent itself
    #[command(hide = true)]
    Serve(start::Serve),
}

/// How long an agent that was told to end has for it.
const ENDING: Duration = Duration::from_secs(5);

impl Command {
    /// Runs the command.
    pub(super) fn run(self, doors: &Doors<'_>) -> Result<()> {
        match self {
            Self::Start(args) => args.run(doors),
            Self::Status => status(doors),
            Self::Lock => {
                agent::lock(doors.env)?;
                doors.ui.done("The agent has forgotten the key");
                Ok(())
            }
            Self::Stop => stop(doors),
            Self::Env(args) => args.run(doors),
            Self::Serve(args) => args.run(doors),
        }
    }
}

fn status(doors: &Doors<'_>) -> Result<()> {
    let config = active::load(doors)?;
    let status = agent::status(doors.env)?;
    if active::wants_json(doors, &config) {
        let mut told = match &status {
            Some(status) => serde_json::to_value(status).unwrap_or_default(),
            None => json!({}),
        };
        if let Value::Object(fields) = &mut told {
            fields.insert("running".into(), status.is_some().into());
        }
        return doors.ui.answer_json(&told);
    }
    let Some(status) = status else { return doors.ui.answer("no agent runs") };
    for line in lines(&status) {
        doors.ui.answer(&line)?;
    }
    Ok(())
}

/// How an agent stands, for a person.
fn lines(status: &Status) -> Vec<String> {
    let locked = if status.locked { "locked: `lanyard agent start` unlocks it" } else { "unlocked" };
    let memory = match (status.locked, status.memory_locked) {
        (true, _) => "none",
        (false, true) => "in locked memory",
        (false, false) => "in memory that the system may write to swap (`ulimit -l`)",
    };
    let mut ends = format!("in {}", span(status.ends_in));
    if let Some(idle) = status.idle_ends_in.filter(|idle| *idle < status.ends_in) {
        ends = format!("in {} if nobody asks, at the latest {ends}", span(idle));
    }
    let other = match status.version.as_str() {
        env!("CARGO_PKG_VERSION") => String::new(),
        // It answers no helper of this version.
        other => format!(" of version {}, which `lanyard agent start` replaces", clean(other)),
    };
    vec![
        format!("agent    process {}{other}, {locked}", status.pid),
        format!("key      {memory}"),
        format!("ends     {ends}"),
        format!("answered {}", status.answered),
        format!("ssh      {}", status.ssh_socket.display()),
    ]
}

/// `2 hours`, `15 minutes`, `40 seconds`: the nearest number of the largest unit.
fn span(seconds: u64) -> String {
    let (number, unit) = match seconds {
        0..60 => (seconds, "second"),
        60..3570 => ((seconds + 30) / 60, "minute"),
        _ => ((seconds + 1800) / 3600, "hour"),
    };
    format!("{number} {unit}{}", if number == 1 { "" } else { "s" })
}

fn stop(doors: &Doors<'_>) -> Result<()> {
    stopped(doors)?;
    doors.ui.done("The agent has ended");
    Ok(())
}

/// Ends the agent, and waits until it has ended.
fn stopped(doors: &Doors<'_>) -> Result<()> {
    agent::stop(doors.env)?;
    let deadline = Instant::now() + ENDING;
    while Instant::now() < deadline {
        if matches!(agent::status(doors.env), Ok(None)) {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Err(AgentError::Silent.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_told_in_its_largest_unit() {
        for (seconds, told) in [
            (0, "0 seconds"),
            (1, "1 second"),
            (59, "59 seconds"),
            (60, "1 minute"),
            (3569, "59 minutes"),
            (28_799, "8 hours"),
        ] {
            assert_eq!(span(seconds), told);
        }
    }
}
