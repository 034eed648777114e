//! `lanyard auth revoke`

use crate::cli::Doors;
use crate::error::Result;

/// Ask the service to end the session, then remove it
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:\n  lanyard auth revoke")]
pub struct Args {}

impl Args {
    /// Runs the command.
    pub fn run(self, _doors: &Doors<'_>) -> Result<()> {
        Ok(())
    }
}
