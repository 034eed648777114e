//! A session: the token set of one profile, one item in the secret store.
//!
//! The item is JSON with a version. It holds all that renewing and revoking need, with the addresses as they were at
//! sign-in: a discovery document that changes later cannot move a refresh token to another host (RFC 9700 section
//! 4.4.2), and renewing asks nobody where to go.

use chrono::{DateTime, Datelike, Duration, SecondsFormat, Utc};
use serde::Deserialize;

use crate::auth::grant::{Client, TokenAnswer};
use crate::auth::identity::Identity;
use crate::http::Url;
use crate::secret::Secret;

mod item;
mod place;

pub use place::Place;

/// A token with less life left than this is renewed before it is handed out.
const RENEW_BEFORE: Duration = Duration::seconds(60);
/// A token that lives shorter than this is renewed in the last tenth of its life.
const SHORT_LIFE: Duration = Duration::minutes(10);
/// How far the clock may step back before dates in the future are taken as a sign that they cannot be trusted.
const CLOCK_STEP: Duration = Duration::minutes(5);

/// The token set of a profile.
#[derive(Debug)]
pub struct Session {
    /// The service's name when the session began.
    pub service: String,
    /// The issuer, where the service has one.
    pub issuer: Option<String>,
    /// How the session began.
    pub grant: Grant,
    /// The OAuth client that the tokens were issued to; none for a pasted token.
    pub client: Option<Client>,
    /// The addresses as they were at sign-in.
    pub endpoints: Endpoints,
    /// The access token.
    pub access_token: Secret,
    /// The refresh token.
    pub refresh_token: Option<Secret>,
    /// The ID token, kept as a hint for the next sign-in.
    pub id_token: Option<Secret>,
    /// When the access token was issued, by this machine's clock.
    pub issued_at: DateTime<Utc>,
    /// When the access token expires, where the service says.
    pub expires_at: Option<DateTime<Utc>>,
    /// The scopes granted, where known.
    pub scopes: Vec<String>,
    /// Who signed in.
    pub identity: Identity,
    /// Whether the service said that the refresh token is spent.
    pub login_needed: bool,
    /// Whether the access token did not work somewhere, so that it is renewed before it is handed out again.
    pub refused: bool,
}

/// The way a session began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Grant {
    /// Authorization code in the browser.
    Web,
    /// Device code.
    Device,
    /// A pasted token.
    Token,
    /// The token of a job, exchanged.
    Federated,
}

/// The addresses of a service that a session goes on using.
#[derive(Debug, Clone, Default)]
pub struct Endpoints {
    /// Where the session is renewed.
    pub token: Option<Url>,
    /// Where it is revoked.
    pub revocation: Option<Url>,
    /// Where the service tells about a token.
    pub introspection: Option<Url>,
    /// Where the service tells about the person.
    pub userinfo: Option<Url>,
    /// The issuer's keys.
    pub jwks: Option<Url>,
}

impl Session {
    /// The session in a secret store's item; `None` for an item that is none of ours.
    pub fn from_item(item: &Secret) -> Option<Self> {
        item::read(item)
    }

    /// The session as a secret store's item: JSON with a version.
    pub fn to_item(&self) -> Secret {
        item::write(self)
    }

    /// What whoever uses the session needs of it: the access token, until when it lives, and whose it is. Nothing by which
    /// it could be renewed. With `id_token`, what tells another service who signed in as well.
    #[cfg(feature = "server")]
    #[must_use]
    pub fn handed_out(&self, id_token: bool) -> Self {
        Self {
            service: self.service.clone(),
            issuer: self.issuer.clone(),
            grant: self.grant,
            client: None,
            endpoints: Endpoints { userinfo: self.endpoints.userinfo.clone(), ..Endpoints::default() },
            access_token: self.access_token.duplicate(),
            refresh_token: None,
            id_token: self.id_token.as_ref().filter(|_| id_token).map(Secret::duplicate),
            issued_at: self.issued_at,
            expires_at: self.expires_at,
            scopes: self.scopes.clone(),
            identity: self.identity.clone(),
            login_needed: false,
            refused: false,
        }
    }

    /// Whether the access token may be handed out: `min_validity` of life left, or the usual margin.
    ///
    /// A token without a known expiry is always fresh. After the clock stepped back, no date is trusted.
    pub fn is_fresh(&self, now: DateTime<Utc>, min_validity: Option<Duration>) -> bool {
        if self.refused {
            return false;
        }
        let Some(expires_at) = self.expires_at else { return true };
        if now < self.issued_at - CLOCK_STEP {
            return false;
        }
        let life = expires_at - self.issued_at;
        let margin = if life < SHORT_LIFE { life / 10 } else { RENEW_BEFORE };
        expires_at - now >= margin.max(min_validity.unwrap_or_default())
    }

    /// Whether the access token is past its expiry.
    pub fn is_expired(&self, now: DateTime<Utc>) -> bool {
        self.expires_at.is_some_and(|expires_at| expires_at <= now)
    }

    /// Whether the session can be renewed without the person.
    pub fn is_renewable(&self) -> bool {
        self.refresh_token.is_some() && self.endpoints.token.is_some() && self.client.is_some() && !self.login_needed
    }

    /// Takes the tokens of a renewal. A service that sends no new refresh token, ID token or scopes keeps the old ones
    /// in force (RFC 6749 section 6).
    pub fn renew(&mut self, answer: TokenAnswer, now: DateTime<Utc>) {
        self.access_token = answer.access_token;
        if answer.refresh_token.is_some() {
            self.refresh_token = answer.refresh_token;
        }
        if answer.id_token.is_some() {
            self.id_token = answer.id_token;
        }
        if let Some(scopes) = answer.scopes {
            self.scopes = scopes;
        }
        // A service that stopped naming the life meant the one it named before.
        let life = answer.expires_in.or_else(|| self.expires_at.map(|at| at - self.issued_at));
        self.issued_at = now;
        self.expires_at = life.map(|life| now + life).filter(is_of_a_clock);
        self.login_needed = false;
        self.refused = false;
    }
}

impl Grant {
    /// The word used in the item and in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::Web => "web",
            Self::Device => "device",
            Self::Token => "token",
            Self::Federated => "federated",
        }
    }
}

/// A date as JSON output and items carry it: RFC 3339 in UTC, to the second.
pub fn timestamp(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// Whether a date is of the years that clocks show. The calendar goes on for longer, up to where adding a second fails.
pub(crate) fn is_of_a_clock(at: &DateTime<Utc>) -> bool {
    (1970..=9999).contains(&at.year())
}

#[cfg(test)]
pub(crate) mod tests;
