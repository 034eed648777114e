//! `lanyard credentials rotate`: a new one in the place of the old one, through the provider's API.

use super::named::{self, typed};
use crate::cli::{Doors, active, vault_door};
use crate::error::{Result, with_causes};
use crate::text::clean;
use crate::vault::rotate::{self, Step};

/// Replace a credential through its provider's API
///
/// A new one is made, verified and stored; only then the old one is revoked. Interrupted at any point, the stored one
/// works, and the next rotation ends what was begun.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:\n  lanyard credentials rotate aws")]
pub(crate) struct Args {
    /// The credential
    #[arg(value_name = "NAME", add = clap_complete::ArgValueCandidates::new(crate::cli::completions::credentials))]
    name: String,
}

impl Args {
    /// Runs the command.
    pub(crate) fn run(self, doors: &Doors<'_>) -> Result<()> {
        let (config, profile) = active::active(doors)?;
        let clock = || doors.env.now();
        let vault = vault_door::of(doors, &config, &profile, &clock)?;
        let vault = &*vault;
        let metadata = named::find(vault, &profile, &self.name)?;
        let mut told = |step: Step| {
            doors.ui.note(match step {
                Step::Resuming => "an earlier rotation was interrupted; ending it",
                Step::Making => "making a new one",
                Step::Verifying => "trying the new one",
                Step::Stored => "the new one is in the vault",
                Step::Revoking => "revoking the old one",
            });
        };
        let (rotated, left) = rotate::rotate(vault, &metadata, &vault_door::net(doors), &mut told)?;
        if let Some(failure) = left {
            let name = typed(&rotated);
            doors.ui.warn(&format!(
                "the old one is not revoked yet: {}; `lanyard credentials rotate {name}` tries again",
                clean(&with_causes(&failure))
            ));
        }
        doors.ui.done(&format!("Rotated {}", typed(&rotated)));
        Ok(())
    }
}
