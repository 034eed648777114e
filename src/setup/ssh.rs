//! ssh: the agent's socket in `~/.ssh/config`, where an agent of lanyard's listens; else ssh goes on as before.

use std::path::PathBuf;

use super::block::{self, At};
use super::{Plan, SetupError, Site, Tool};
use crate::os::program;

/// OpenSSH.
pub(super) struct Ssh;
/// The tool.
pub(super) static TOOL: Ssh = Ssh;

impl Tool for Ssh {
    fn name(&self) -> &'static str {
        "ssh"
    }

    fn title(&self) -> &'static str {
        "ssh and git over ssh: keys in `lanyard agent`"
    }

    fn programs(&self) -> &'static [&'static str] {
        &["ssh"]
    }

    fn plan(&self, site: &Site<'_>) -> Result<Plan, SetupError> {
        let socket = socket(site);
        let shown = socket.display().to_string();
        if shown.contains(['"', '%', '\'', '\n']) {
            return Err(SetupError::Unclear {
                path: socket,
                problem: "ssh cannot be told a socket with such characters in its path".into(),
                mend: "set XDG_RUNTIME_DIR to a plain path".into(),
            });
        }
        // `Match all` ends the condition, so that what follows counts for every host as it did before.
        let lines = format!("Match exec \"test -S '{shown}'\"\n    IdentityAgent \"{shown}\"\nMatch all\n");
        let mut plan = Plan::default();
        plan.file(configuration(site)?, |text| Ok(block::with(text, "#", At::Top, &lines)))?;
        plan.notes.push("the agent holds the keys: `lanyard agent start`, once after each log-in".into());
        Ok(plan)
    }

    fn check(&self, site: &Site<'_>) -> Result<Option<String>, SetupError> {
        let socket = socket(site);
        if !socket.exists() {
            return Ok(None);
        }
        let asked = program::output(site.env, "ssh", &["-G", "host.example"], 10);
        let Ok(told) = asked else { return Ok(None) };
        if told.expose().contains(&socket.display().to_string()) {
            return Ok(Some("ssh asks lanyard's agent".into()));
        }
        Err(SetupError::NotAsked { tool: self.name(), problem: "another IdentityAgent comes first".into() })
    }
}

fn configuration(site: &Site<'_>) -> Result<PathBuf, SetupError> {
    site.home(".ssh/config")
}

/// Where the agent listens.
#[cfg(unix)]
fn socket(site: &Site<'_>) -> PathBuf {
    crate::agent::ssh_socket(site.env)
}

/// There is no agent of ours elsewhere; this is the system's own.
#[cfg(not(unix))]
fn socket(_: &Site<'_>) -> PathBuf {
    PathBuf::from(r"\\.\pipe\openssh-ssh-agent")
}
