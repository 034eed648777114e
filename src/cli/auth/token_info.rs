//! `lanyard auth token-info`

use crate::cli::Doors;
use crate::error::Result;

/// Show type, dates, scopes, audience and issuer of the token, never the token
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:\n  lanyard auth token-info --json")]
pub struct Args {}

impl Args {
    /// Runs the command.
    pub fn run(self, _doors: &Doors<'_>) -> Result<()> {
        Ok(())
    }
}
