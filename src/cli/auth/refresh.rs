//! `lanyard auth refresh`: renew the session now.

use crate::auth::login;
use crate::auth::renew::{self, Want};
use crate::auth::session::timestamp;
use crate::cli::access::{Access, expiry};
use crate::cli::{Doors, active};
use crate::error::Result;

/// Renew the session now
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:\n  lanyard auth refresh --scopes \"openid email repo\"")]
pub(crate) struct Args {
    /// Ask for these scopes, separated by commas or blanks; a service may grant fewer
    #[arg(long, value_name = "LIST")]
    scopes: Option<String>,
    /// Fail instead of waiting when another process renews the session
    #[arg(long)]
    no_wait: bool,
}

impl Args {
    /// Runs the command.
    pub(crate) fn run(self, doors: &Doors<'_>) -> Result<()> {
        let (config, profile) = active::active(doors)?;
        let access = Access::new(doors, &config, &profile)?;
        access.refuse_token_in_force("does not renew: the variable's token would win over the session")?;
        let scopes = self.scopes.as_deref().map(login::scopes).unwrap_or_default();
        let wait = if self.no_wait { std::time::Duration::ZERO } else { renew::WAIT };
        let session = access.session(Want::Renewed(&scopes), wait)?;
        let missing: Vec<&str> =
            scopes.iter().filter(|scope| !session.scopes.contains(scope)).map(String::as_str).collect();
        if !missing.is_empty() {
            let list = missing.join(" ");
            doors.ui.warn(&format!(
                "the service did not grant {list}; `lanyard auth login --scopes …` asks you for your consent"
            ));
        }
        if active::output_json(&profile) {
            return doors.ui.answer_json(&serde_json::json!({
                "refreshed": true,
                "profile": profile.name.value,
                "expires_at": session.expires_at.map(timestamp),
                "scopes": session.scopes,
            }));
        }
        let until =
            session.expires_at.map_or_else(String::new, |at| format!(", expires {}", expiry(at, doors.env.now())));
        doors.ui.done(&format!("Session of profile {} renewed{until}", profile.name.value));
        Ok(())
    }
}
