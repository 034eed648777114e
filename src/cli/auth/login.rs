//! `lanyard auth login`

use crate::cli::Doors;
use crate::error::Result;

/// Sign in to a service and keep the session
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:\n  lanyard auth login --service github")]
pub struct Args {}

impl Args {
    /// Runs the command.
    pub fn run(self, _doors: &Doors<'_>) -> Result<()> {
        Ok(())
    }
}
