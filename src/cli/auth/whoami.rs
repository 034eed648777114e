//! `lanyard auth whoami`

use crate::cli::Doors;
use crate::error::Result;

/// Print the name of the account
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:\n  lanyard auth whoami")]
pub struct Args {}

impl Args {
    /// Runs the command.
    pub fn run(self, _doors: &Doors<'_>) -> Result<()> {
        Ok(())
    }
}
