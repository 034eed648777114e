//! `lanyard auth refresh`

use crate::cli::Doors;
use crate::error::Result;

/// Renew the session now
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:\n  lanyard auth refresh --scopes repo")]
pub struct Args {}

impl Args {
    /// Runs the command.
    pub fn run(self, _doors: &Doors<'_>) -> Result<()> {
        Ok(())
    }
}
