//! `lanyard completions`

use crate::cli::Doors;
use crate::error::Result;

/// Print the completion script for a shell
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:\n  lanyard completions zsh > ~/.zfunc/_lanyard")]
pub struct Args {}

impl Args {
    /// Runs the command.
    pub fn run(self, _doors: &Doors<'_>) -> Result<()> {
        Ok(())
    }
}
