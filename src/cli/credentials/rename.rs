//! `lanyard credentials rename`.

use super::named::{self, typed};
use crate::cli::{Doors, active, vault_door};
use crate::error::Result;
use crate::vault::{Change, Vault};

/// Give a credential another name; whoever is used through it follows
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:\n  lanyard credentials rename aws aws-prod")]
pub(crate) struct Args {
    /// The credential
    #[arg(value_name = "NAME", add = clap_complete::ArgValueCandidates::new(crate::cli::completions::credentials))]
    name: String,
    /// Its new name
    #[arg(value_name = "NEW")]
    new: String,
}

impl Args {
    /// Runs the command.
    pub(crate) fn run(self, doors: &Doors<'_>) -> Result<()> {
        let (_, profile) = active::active(doors)?;
        let clock = || doors.env.now();
        let vault = vault_door::local(doors, &profile, &clock);
        let metadata = named::find(&vault, &profile, &self.name)?;
        let renamed = vault.amend(&metadata, &Change { name: Some(self.new), ..Change::default() })?;
        doors.ui.done(&format!("Renamed {} to {}", typed(&metadata), typed(&renamed)));
        Ok(())
    }
}
