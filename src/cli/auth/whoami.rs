//! `lanyard auth whoami`: the account's name alone.

use crate::auth::renew::RenewError;
use crate::cli::access::{self, Access, Bearer};
use crate::cli::{Doors, active};
use crate::error::{Code, Failure, Result};
use crate::text::clean;

/// Print the name of the account
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:\n  lanyard auth whoami --profile work")]
pub(crate) struct Args {}

/// Nobody can say whose the token is.
#[derive(Debug, thiserror::Error)]
#[error("{service} does not tell whose the token is")]
struct NoName {
    service: String,
}

impl Failure for NoName {
    fn code(&self) -> Code {
        Code::Failed
    }

    fn mend(&self) -> Option<String> {
        Some("tell lanyard how to ask: set `whoami` and `account` in [services.NAME.api]".into())
    }
}

impl Args {
    /// Runs the command.
    #[expect(clippy::unused_self, reason = "every command runs like this")]
    pub(crate) fn run(self, doors: &Doors<'_>) -> Result<()> {
        let (config, profile) = active::active(doors)?;
        let access = Access::new(doors, &config, &profile)?;
        let stored = if profile.token.is_some() { None } else { access.stored()? };
        let known = stored.as_ref().and_then(|session| session.identity.name().map(str::to_owned));
        let name = match (known, &profile.token) {
            (Some(name), _) => name,
            (None, None) if stored.is_none() => {
                return Err(RenewError::SignedOut { profile: profile.name.value.clone() }.into());
            }
            (None, _) => ask(&access)?,
        };
        if active::output_json(&profile) {
            return doors.ui.answer_json(&serde_json::json!({ "account": name, "profile": profile.name.value }));
        }
        doors.ui.answer(&clean(&name))
    }
}

/// Asks the service, for a token that came without a name.
fn ask(access: &Access<'_>) -> Result<String> {
    let service = access.service()?;
    let bearer = access.bearer()?;
    let session = match &bearer {
        Bearer::Session(session) => Some(&**session),
        Bearer::Environment(_) => None,
    };
    let metadata = match session {
        Some(_) => access::session_metadata(&service, session)?,
        None => service.metadata(access.http())?,
    };
    let facts = access::asks(access, &service, &bearer, &metadata)?.who(access.http(), bearer.token(), None)?;
    let name = facts.and_then(|facts| facts.identity.name().map(str::to_owned));
    Ok(name.ok_or_else(|| NoName { service: service.title().to_owned() })?)
}
