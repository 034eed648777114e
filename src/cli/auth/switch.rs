//! `lanyard auth switch`

use crate::cli::Doors;
use crate::error::Result;

/// Make another profile the default
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:\n  lanyard auth switch work")]
pub struct Args {}

impl Args {
    /// Runs the command.
    pub fn run(self, _doors: &Doors<'_>) -> Result<()> {
        Ok(())
    }
}
