//! `lanyard credentials rename`.

use super::named::{self, typed};
use crate::cli::{Doors, active, vault_door};
use crate::credential::Metadata;
use crate::error::{Code, Failure, Result};
use crate::vault::{Change, VaultError};

/// Give a credential another name; whoever is used through it follows
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:\n  lanyard credentials rename aws aws-prod")]
pub(crate) struct Args {
    /// The credential
    #[arg(value_name = "NAME", add = clap_complete::ArgValueCandidates::new(crate::cli::completions::credentials))]
    name: String,
    /// Its new name
    #[arg(value_name = "NEW", value_parser = crate::cli::ui::name)]
    new: String,
}

/// Another one has the name.
#[derive(Debug, thiserror::Error)]
#[error("there is a credential {0} already")]
struct Taken(String);

impl Failure for Taken {
    fn code(&self) -> Code {
        Code::Usage
    }

    fn mend(&self) -> Option<String> {
        Some(format!("choose another name, or delete that one first: `lanyard credentials delete {}`", self.0))
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
        let renamed = match vault.amend(&metadata, &Change { name: Some(self.new), ..Change::default() }) {
            Err(VaultError::Taken { name }) => return Err(Taken(typed(&Metadata { name, ..metadata })).into()),
            done => done?,
        };
        doors.ui.done(&format!("Renamed {} to {}", typed(&metadata), typed(&renamed)));
        Ok(())
    }
}
