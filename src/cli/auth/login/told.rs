//! What is told of a sign-in that came about.

use serde::Serialize;

use crate::auth::session::{Session, timestamp};
use crate::cli::Doors;
use crate::cli::access::expiry;
use crate::error::Result;
use crate::secret::Choice;
use crate::text::clean;

/// What a program learns of a sign-in that needed nobody.
#[derive(Serialize)]
struct Signed<'a> {
    authenticated: bool,
    profile: &'a str,
    service: &'a str,
    account: Option<&'a str>,
    account_id: Option<&'a str>,
    expires_at: Option<String>,
}

impl<'a> Signed<'a> {
    fn of(profile: &'a str, session: &'a Session) -> Self {
        Self {
            authenticated: true,
            profile,
            service: &session.service,
            account: session.identity.account.as_deref(),
            account_id: session.identity.id(),
            expires_at: session.expires_at.map(timestamp),
        }
    }
}

/// Tells a person, or a program, who signed in.
pub(super) fn tell(doors: &Doors<'_>, json: bool, profile: &str, session: &Session, storage: Choice) -> Result<()> {
    if json {
        return doors.ui.answer_json(&Signed::of(profile, session));
    }
    let who = session.identity.name().map_or_else(String::new, |name| format!(" as {}", clean(name)));
    doors.ui.done(&format!("Signed in{who} (profile {profile}, kept in the {})", storage.title()));
    if let Some(expires_at) = session.expires_at {
        let renewed = if session.is_renewable() { ", and is renewed by itself" } else { "" };
        doors.ui.note(&format!("The token expires {}{renewed}", expiry(expires_at, doors.env.now())));
    }
    if storage == Choice::Plain {
        doors.ui.warn("the session is kept in a plain file that any program of yours can read");
    }
    Ok(())
}
