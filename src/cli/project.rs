//! `lanyard project …`

use crate::cli::Doors;
use crate::error::Result;

/// Choose the project
#[derive(clap::Subcommand, Debug)]
pub enum Command {}

impl Command {
    /// Runs the command.
    pub fn run(self, _doors: &Doors<'_>) -> Result<()> {
        match self {}
    }
}
