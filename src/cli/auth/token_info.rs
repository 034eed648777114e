//! `lanyard auth token-info`: what is known about the token, never the token.

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::auth::id_token;
use crate::auth::identity::{Facts, instant};
use crate::auth::session::timestamp;
use crate::cli::access::{self, Access, Bearer, expiry};
use crate::cli::{Doors, active};
use crate::error::Result;
use crate::secret::Secret;
use crate::text::clean;

/// Show type, dates, scopes, audience and issuer of the token, never the token
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:\n  lanyard auth token-info --json")]
pub(crate) struct Args {
    /// Ask nobody: tell what the session and the token itself say
    #[arg(long)]
    offline: bool,
}

/// What is known. The names are part of the interface.
#[derive(Serialize, Default)]
struct Info {
    r#type: &'static str,
    format: &'static str,
    issued_at: Option<String>,
    expires_at: Option<String>,
    scopes: Vec<String>,
    audience: Vec<String>,
    issuer: Option<String>,
    subject: Option<String>,
    profile: String,
    /// Who told: `introspection`, `jwt`, `api`, `session`.
    sources: Vec<&'static str>,
    #[serde(skip)]
    expires: Option<DateTime<Utc>>,
}

impl Args {
    /// Runs the command.
    pub(crate) fn run(self, doors: &Doors<'_>) -> Result<()> {
        let (config, profile) = active::active(doors)?;
        let access = Access::new(doors, &config, &profile)?;
        let bearer = if self.offline { access.stored_bearer()? } else { access.bearer()? };
        let mut info =
            Info { r#type: "Bearer", format: "opaque", profile: profile.name.value.clone(), ..Info::default() };
        if !self.offline {
            let (source, facts) = ask(&access, &bearer)?;
            info.take(facts, source);
        }
        info.read_jwt(bearer.token());
        if let Bearer::Session(session) = &bearer {
            info.take(
                Some(Facts {
                    identity: session.identity.clone(),
                    expires_at: session.expires_at,
                    issued_at: Some(session.issued_at),
                    scopes: Some(session.scopes.clone()).filter(|scopes| !scopes.is_empty()),
                    audience: None,
                    issuer: session.issuer.clone(),
                }),
                "session",
            );
        }
        if active::output_json(&profile) {
            return doors.ui.answer_json(&info);
        }
        info.print(doors)
    }
}

/// Asks by introspection, else the API, and tells which of them answered. A service that refuses introspection to this client is no failure.
fn ask(access: &Access<'_>, bearer: &Bearer) -> Result<(&'static str, Option<Facts>)> {
    let Ok(service) = access.service() else { return Ok(("api", None)) };
    let session = match bearer {
        Bearer::Session(session) => Some(&**session),
        Bearer::Environment(_) => None,
    };
    let metadata = access::session_metadata(&service, session)?;
    let asks = access::asks(access, &service, bearer, &metadata)?;
    match asks.introspect(access.http(), bearer.token()) {
        Ok(Some(facts)) => Ok(("introspection", Some(facts))),
        Err(error) if error.is_rejection() => Err(error.into()),
        Ok(None) | Err(_) => match asks.who(access.http(), bearer.token(), None) {
            Err(error) if error.is_rejection() => Err(error.into()),
            facts => Ok(("api", facts.ok().flatten())),
        },
    }
}

impl Info {
    /// Takes what is not known yet.
    fn take(&mut self, facts: Option<Facts>, source: &'static str) {
        let Some(facts) = facts else { return };
        let mut told = false;
        let mut take = |slot: &mut Option<String>, value: Option<String>| {
            if slot.is_none() && value.is_some() {
                *slot = value;
                told = true;
            }
        };
        take(&mut self.issued_at, facts.issued_at.map(timestamp));
        take(&mut self.expires_at, facts.expires_at.map(timestamp));
        take(&mut self.issuer, facts.issuer);
        take(&mut self.subject, facts.identity.subject.or(facts.identity.account_id).or(facts.identity.account));
        for (slot, value) in [(&mut self.scopes, facts.scopes), (&mut self.audience, facts.audience)] {
            if let (true, Some(value)) = (slot.is_empty(), value) {
                *slot = value.iter().map(|word| clean(word)).collect();
                told = true;
            }
        }
        self.expires = self.expires.or(facts.expires_at);
        if told {
            self.sources.push(source);
        }
    }

    /// Reads the claims of a token that is a JWT (RFC 9068). They are shown and never acted on.
    fn read_jwt(&mut self, token: &Secret) {
        let Some(claims) = id_token::unverified_claims(token) else { return };
        self.format = "jwt";
        let text = |name: &str| claims[name].as_str().map(clean);
        let date = |name: &str| claims[name].as_f64().and_then(instant);
        let list = |name: &str| match &claims[name] {
            serde_json::Value::String(words) => Some(crate::auth::grant::words(words)),
            serde_json::Value::Array(items) => {
                Some(items.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect())
            }
            _ => None,
        };
        let facts = Facts {
            identity: crate::auth::identity::Identity { subject: text("sub"), account: None, account_id: None },
            expires_at: date("exp"),
            issued_at: date("iat"),
            scopes: list("scope").or_else(|| list("scp")),
            audience: list("aud"),
            issuer: text("iss"),
        };
        self.take(Some(facts), "jwt");
    }

    fn print(&self, doors: &Doors<'_>) -> Result<()> {
        let or_unknown = |value: &Option<String>| value.clone().unwrap_or_else(|| "unknown".into());
        let list = |values: &[String]| if values.is_empty() { "unknown".to_owned() } else { values.join(" ") };
        let expires = self.expires.map_or_else(|| "unknown".into(), |at| expiry(at, doors.env.now()));
        for (name, value) in [
            ("Type", format!("{} ({})", self.r#type, self.format)),
            ("Issued", or_unknown(&self.issued_at)),
            ("Expires", expires),
            ("Scopes", list(&self.scopes)),
            ("Audience", list(&self.audience)),
            ("Issuer", or_unknown(&self.issuer)),
            ("Subject", or_unknown(&self.subject)),
        ] {
            doors.ui.answer(&format!("{name}: {}", clean(&value)))?;
        }
        Ok(())
    }
}
