//! A session as the secret store keeps it: flat JSON with a version.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::{Endpoints, Grant, Session, is_of_a_clock, timestamp};
use crate::auth::grant::{AuthMethod, Client};
use crate::auth::identity::Identity;
use crate::http::{self, Url};
use crate::secret::Secret;

/// The version of the item's form.
const VERSION: u32 = 1;

/// The item as it is read.
#[derive(Deserialize)]
struct Stored {
    version: u32,
    service: String,
    issuer: Option<String>,
    grant: Grant,
    client_id: Option<String>,
    client_secret: Option<Secret>,
    client_auth: Option<String>,
    token_endpoint: Option<Url>,
    revocation_endpoint: Option<Url>,
    introspection_endpoint: Option<Url>,
    userinfo_endpoint: Option<Url>,
    jwks_uri: Option<Url>,
    access_token: Secret,
    refresh_token: Option<Secret>,
    id_token: Option<Secret>,
    issued_at: DateTime<Utc>,
    expires_at: Option<DateTime<Utc>>,
    #[serde(default)]
    scopes: Vec<String>,
    subject: Option<String>,
    account: Option<String>,
    account_id: Option<String>,
    #[serde(default)]
    login_needed: bool,
    #[serde(default)]
    refused: bool,
}

impl Stored {
    /// Whether one can reckon with its times: of years that clocks show, and of a life where the tokens are renewed for
    /// as long again.
    fn has_good_times(&self) -> bool {
        let lives = self.refresh_token.is_none() || self.expires_at.is_none_or(|at| at > self.issued_at);
        is_of_a_clock(&self.issued_at) && self.expires_at.as_ref().is_none_or(is_of_a_clock) && lives
    }

    fn into_session(self) -> Session {
        let method = AuthMethod::from_word(self.client_auth.as_deref().unwrap_or_default());
        Session {
            service: self.service,
            issuer: self.issuer,
            grant: self.grant,
            client: self.client_id.map(|id| Client { id, secret: self.client_secret, method }),
            endpoints: Endpoints {
                token: self.token_endpoint,
                revocation: self.revocation_endpoint,
                introspection: self.introspection_endpoint,
                userinfo: self.userinfo_endpoint,
                jwks: self.jwks_uri,
            },
            access_token: self.access_token,
            refresh_token: self.refresh_token,
            id_token: self.id_token,
            issued_at: self.issued_at,
            expires_at: self.expires_at,
            scopes: self.scopes,
            identity: Identity { subject: self.subject, account: self.account, account_id: self.account_id },
            login_needed: self.login_needed,
            refused: self.refused,
        }
    }
}

/// The session in an item; `None` for an item that is none of ours.
pub(super) fn read(item: &Secret) -> Option<Session> {
    let stored: Stored = http::parse_json(item.expose().as_bytes()).ok()?;
    (stored.version == VERSION && stored.has_good_times()).then(|| stored.into_session())
}

/// The item as it is written: built by hand, since [`Secret`] cannot be serialized, into a buffer that is wiped.
pub(super) fn write(session: &Session) -> Secret {
    let mut item = Item::new();
    item.raw("version", &VERSION.to_string());
    item.text("service", Some(&session.service));
    item.text("issuer", session.issuer.as_deref());
    item.text("grant", Some(session.grant.word()));
    if let Some(client) = &session.client {
        item.text("client_id", Some(&client.id));
        item.text("client_secret", client.secret.as_ref().map(Secret::expose));
        item.text("client_auth", Some(client.method.word()));
    }
    item.text("token_endpoint", session.endpoints.token.as_ref().map(Url::as_str));
    item.text("revocation_endpoint", session.endpoints.revocation.as_ref().map(Url::as_str));
    item.text("introspection_endpoint", session.endpoints.introspection.as_ref().map(Url::as_str));
    item.text("userinfo_endpoint", session.endpoints.userinfo.as_ref().map(Url::as_str));
    item.text("jwks_uri", session.endpoints.jwks.as_ref().map(Url::as_str));
    item.text("access_token", Some(session.access_token.expose()));
    item.text("refresh_token", session.refresh_token.as_ref().map(Secret::expose));
    item.text("id_token", session.id_token.as_ref().map(Secret::expose));
    item.text("issued_at", Some(&timestamp(session.issued_at)));
    item.text("expires_at", session.expires_at.map(timestamp).as_deref());
    item.raw("scopes", &serde_json::Value::from(session.scopes.clone()).to_string());
    item.text("subject", session.identity.subject.as_deref());
    item.text("account", session.identity.account.as_deref());
    item.text("account_id", session.identity.account_id.as_deref());
    item.raw("login_needed", if session.login_needed { "true" } else { "false" });
    if session.refused {
        item.raw("refused", "true");
    }
    item.close()
}

/// A flat JSON object under construction.
struct Item(Zeroizing<String>);

impl Item {
    fn new() -> Self {
        // Room for the largest token set, so that growing does not leave copies behind.
        Self(Zeroizing::new(String::with_capacity(16 << 10)))
    }

    fn raw(&mut self, name: &str, value: &str) {
        let opening = if self.0.is_empty() { "{" } else { "," };
        for part in [opening, "\"", name, "\":", value] {
            self.0.push_str(part);
        }
    }

    fn text(&mut self, name: &str, value: Option<&str>) {
        let Some(value) = value else { return };
        let quoted = Zeroizing::new(serde_json::Value::from(value).to_string());
        self.raw(name, &quoted);
    }

    fn close(mut self) -> Secret {
        self.0.push('}');
        Secret::new(std::mem::take(&mut *self.0))
    }
}
