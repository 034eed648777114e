//! `lanyard auth token`

use crate::cli::Doors;
use crate::error::Result;

/// Print the access token, renewed if it is about to expire
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:\n  curl -H \"$(lanyard auth token --header)\" https://api.example.com/me")]
pub struct Args {}

impl Args {
    /// Runs the command.
    pub fn run(self, _doors: &Doors<'_>) -> Result<()> {
        Ok(())
    }
}
