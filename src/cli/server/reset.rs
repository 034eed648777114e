//! `lanyard server reset-passphrase`: a link for whoever has forgotten theirs.

use serde_json::json;

use super::Place;
use crate::cli::Doors;
use crate::error::Result;
use crate::os::files;
use crate::secret::SecretStore;
use crate::server::{self, Given, Settings};

/// The name of the file that holds the link where nobody sees the terminal.
const LINK: &str = "passphrase-link";

/// Whose, and how.
#[derive(clap::Args, Debug)]
pub(in crate::cli) struct Args {
    /// Whose passphrase it is
    #[arg(value_name = "LOGIN")]
    login: String,
    /// Take their second factor away as well: the codes of an app, passkeys and recovery codes
    #[arg(long)]
    second_factor: bool,
    /// The address by which people reach the server [default: as the settings, or the server that runs, say]
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,
    #[command(flatten)]
    place: Place,
}

impl Args {
    /// Runs the command.
    pub(super) fn run(self, doors: &Doors<'_>, store: &dyn SecretStore, json: bool) -> Result<()> {
        let Self { login, second_factor, public_url, place } = self;
        let settings: Settings = place.settings_and(doors, Given { public_url, ..Given::default() })?;
        let link = server::reset_passphrase(&settings, store, &login, second_factor)?;
        // What is written to a pipe may end in a collection of logs.
        let file = (json || !doors.env.stderr_is_terminal).then(|| settings.data.join(LINK));
        if let Some(file) = &file {
            let text = zeroize::Zeroizing::new([link.expose(), "\n"].concat());
            files::replace(file, text.as_bytes(), false)?;
        }
        if json {
            return doors.ui.answer_json(&json!({ "login": login, "file": file }));
        }
        if let Some(file) = file {
            doors.ui.done(&format!("The link for {login}, good once and for an hour, is in {}", file.display()));
        } else {
            doors.ui.done(&format!("The link for {login}, good once and for an hour:"));
            doors.ui.say(link.expose());
        }
        doors.ui.note("hand it to them alone: whoever opens it chooses their passphrase");
        Ok(())
    }
}
