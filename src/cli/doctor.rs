//! `lanyard doctor`

use crate::cli::Doors;
use crate::error::Result;

/// Check keychain, browser, clock, network and configuration
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:\n  lanyard doctor")]
pub struct Args {}

impl Args {
    /// Runs the command.
    pub fn run(self, _doors: &Doors<'_>) -> Result<()> {
        Ok(())
    }
}
