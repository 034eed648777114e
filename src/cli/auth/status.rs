//! `lanyard auth status`

use crate::cli::Doors;
use crate::error::Result;

/// Show who is signed in, where and until when
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:\n  lanyard auth status --all --json")]
pub struct Args {}

impl Args {
    /// Runs the command.
    pub fn run(self, _doors: &Doors<'_>) -> Result<()> {
        Ok(())
    }
}
