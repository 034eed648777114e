//! `lanyard which`

use crate::cli::Doors;
use crate::error::Result;

/// Show which profile, project, endpoint and token are in force, and why
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:\n  lanyard which --json")]
pub struct Args {}

impl Args {
    /// Runs the command.
    pub fn run(self, _doors: &Doors<'_>) -> Result<()> {
        Ok(())
    }
}
