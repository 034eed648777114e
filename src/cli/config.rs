//! `lanyard config …`

use crate::cli::Doors;
use crate::error::Result;

/// Read and change the configuration
#[derive(clap::Subcommand, Debug)]
pub enum Command {}

impl Command {
    /// Runs the command.
    pub fn run(self, _doors: &Doors<'_>) -> Result<()> {
        match self {}
    }
}
