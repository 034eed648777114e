//! `lanyard auth logout`

use crate::cli::Doors;
use crate::error::Result;

/// Remove the session from this machine
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:\n  lanyard auth logout --all")]
pub struct Args {}

impl Args {
    /// Runs the command.
    pub fn run(self, _doors: &Doors<'_>) -> Result<()> {
        Ok(())
    }
}
