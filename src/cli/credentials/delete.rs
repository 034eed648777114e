//! `lanyard credentials delete`.

use super::named::{self, typed};
use crate::cli::{Doors, active, vault_door};
use crate::credential::Credential;
use crate::error::{Code, Failure, Result};
use crate::vault::VaultError;

/// Delete a credential with its secrets
///
/// Asks first, and refuses while something uses it. At its provider nothing is revoked.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:\n  lanyard credentials delete old-token --yes")]
pub(crate) struct Args {
    /// The credential
    #[arg(value_name = "NAME", add = clap_complete::ArgValueCandidates::new(crate::cli::completions::credentials))]
    name: String,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Delete it even while something uses it; asks nothing
    #[arg(long)]
    force: bool,
}

/// Something uses it.
#[derive(Debug, thiserror::Error)]
#[error("{name} is used by {}", .users.join(", "))]
struct InUse {
    name: String,
    users: Vec<String>,
}

impl Failure for InUse {
    fn code(&self) -> Code {
        Code::Failed
    }

    fn mend(&self) -> Option<String> {
        Some("change or delete those first, or delete it all the same with `--force`".into())
    }
}

impl Args {
    /// Runs the command.
    pub(crate) fn run(self, doors: &Doors<'_>) -> Result<()> {
        let (config, profile) = active::active(doors)?;
        let clock = || doors.env.now();
        let vault = vault_door::of(doors, &config, &profile, &clock)?;
        let vault = &*vault;
        let metadata = named::find(vault, &profile, &self.name)?;
        let name = typed(&metadata);
        let users = vault.users(&metadata)?;
        if !users.is_empty() && !self.force {
            return Err(InUse { name, users }.into());
        }
        if metadata.kind.field(Credential::SESSION).is_some() && metadata.secret_names.contains(Credential::SESSION) {
            let ended = format!("to end it there, disconnect it first: lanyard credentials disconnect {name}");
            doors.ui.note(&format!("Its sign-in goes on at the service; {ended}"));
        }
        let question = format!("Delete {name} ({}) with its secrets?", metadata.kind.title);
        if !self.yes && !self.force && !doors.ui.confirm(&question, false, "--yes")? {
            doors.ui.say("Nothing was deleted");
            return Ok(());
        }
        // Somebody may have begun to use it while the question stood there.
        let removed = if self.force { vault.remove(&metadata) } else { vault.remove_unused(&metadata) };
        if let Err(VaultError::InUse { users, .. }) = removed {
            return Err(InUse { name, users }.into());
        }
        removed?;
        doors.ui.done(&format!("Deleted {name}"));
        Ok(())
    }
}
