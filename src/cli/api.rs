//! `lanyard api`

use crate::cli::Doors;
use crate::error::Result;

/// Send an authenticated request to the profile's endpoint
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:\n  lanyard api GET /v1/me")]
pub struct Args {}

impl Args {
    /// Runs the command.
    pub fn run(self, _doors: &Doors<'_>) -> Result<()> {
        Ok(())
    }
}
