//! `lanyard agent env`: the command by which a shell tells ssh where the agent is.

use clap::builder::PossibleValuesParser;

use crate::agent::{self, AgentError};
use crate::cli::Doors;
use crate::error::Result;

/// The shells, and how each of them sets a variable for what it starts.
const SHELLS: [&str; 7] = ["sh", "bash", "zsh", "fish", "elvish", "nushell", "powershell"];

/// Which shell.
#[derive(clap::Args, Debug)]
pub(in crate::cli) struct Args {
    /// The shell to write for
    #[arg(value_name = "SHELL", default_value = "sh", value_parser = PossibleValuesParser::new(SHELLS))]
    shell: String,
}

impl Args {
    /// Runs the command.
    pub(super) fn run(self, doors: &Doors<'_>) -> Result<()> {
        // Where none runs, the variable keeps its value: it may name another agent.
        let status = agent::status(doors.env)?.ok_or(AgentError::None)?;
        doors.ui.answer(&assignment(&self.shell, "SSH_AUTH_SOCK", &status.ssh_socket.display().to_string()))
    }
}

/// The command that sets a variable.
fn assignment(shell: &str, name: &str, value: &str) -> String {
    match shell {
        "fish" => format!("set -gx {name} '{}';", value.replace('\\', r"\\").replace('\'', r"\'")),
        "elvish" => format!("set-env {name} '{}'", value.replace('\'', "''")),
        "nushell" => format!("$env.{name} = r##'{value}'##"),
        "powershell" => format!("$env:{name} = '{}'", value.replace('\'', "''")),
        _ => format!("{name}='{}'; export {name};", value.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_stays_one_word_in_every_shell() {
        for (shell, expected) in [
            ("sh", r"S='/a b/it'\''s'; export S;"),
            ("fish", r"set -gx S '/a b/it\'s';"),
            ("elvish", "set-env S '/a b/it''s'"),
            ("nushell", "$env.S = r##'/a b/it's'##"),
            ("powershell", "$env:S = '/a b/it''s'"),
        ] {
            assert_eq!(assignment(shell, "S", "/a b/it's"), expected);
        }
    }
}
