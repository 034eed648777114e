//! A session: the token set of one profile, one item in the secret store.
//!
//! The item is JSON with a version. It holds all that renewing and revoking need, with the addresses as they were at
//! sign-in: a discovery document that changes later cannot move a refresh token to another host (RFC 9700 section
//! 4.4.2), and renewing asks nobody where to go.

use std::path::{Path, PathBuf};

use chrono::{DateTime, Duration, SecondsFormat, Utc};
use serde::Deserialize;

use crate::auth::grant::{Client, TokenAnswer};
use crate::auth::identity::Identity;
use crate::http::Url;
use crate::secret::{Secret, Slot};

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
    /// Whether the access token may be handed out: `min_validity` of life left, or the usual margin.
    ///
    /// A token without a known expiry is always fresh. After the clock stepped back, no date is trusted.
    pub fn is_fresh(&self, now: DateTime<Utc>, min_validity: Option<Duration>) -> bool {
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
        self.issued_at = now;
        self.expires_at = answer.expires_in.map(|life| now + life);
        self.login_needed = false;
    }
}

<<<<<<< HEAD
=======
/// Where a profile's session rests: its item in the store, and which configuration folder it belongs to.
#[derive(Debug, Clone)]
pub struct Place {
    /// The profile's name.
    pub profile: String,
    /// Which configuration folder the profile is of, so that two folders on one keychain do not share sessions.
    folder: String,
}

impl Place {
    /// The place of a profile's session under this process's configuration folder.
    pub fn of(env: &Env, profile: &str) -> Self {
        let folder = if env.config_dir_is_default() {
            String::new()
        } else {
            let digest = Sha256::digest(resolved(env.config_dir()).as_os_str().as_encoded_bytes());
            digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect()
        };
        Self { profile: profile.to_owned(), folder }
    }

    /// The name of the lock file under which this profile's session is changed.
    pub fn lock_name(&self) -> String {
        let digest = Sha256::digest(self.profile.as_bytes());
        let tag: String = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        let plain: String =
            self.profile.chars().filter(|c| c.is_ascii_alphanumeric() || "-_".contains(*c)).take(32).collect();
        format!("session-{plain}-{tag}.lock")
    }

    fn slot(&self, account: Option<&str>, own_name: bool) -> Slot {
        let name = if own_name { self.profile.clone() } else { format!("{}@{}", self.profile, self.folder) };
        let label = match account {
            Some(account) => format!("lanyard: {} ({account})", self.profile),
            None => format!("lanyard: {}", self.profile),
        };
        Slot { name, label }
    }

    /// The session, or `None` where the profile has none.
    ///
    /// The item carries the profile's plain name. Only when that name is taken by a profile of another configuration
    /// folder is the folder's tag added to it.
    pub fn load(&self, store: &dyn SecretStore) -> Result<Option<Session>, StoreError> {
        match self.read(store, true)? {
            Some((session, folder)) if folder == self.folder => Ok(Some(session)),
            None if self.folder.is_empty() => Ok(None),
            _ => Ok(self.read(store, false)?.filter(|(_, folder)| *folder == self.folder).map(|(session, _)| session)),
        }
    }

    fn read(&self, store: &dyn SecretStore, own_name: bool) -> Result<Option<(Session, String)>, StoreError> {
        let slot = self.slot(None, own_name);
        let Some(item) = store.get(&slot)? else { return Ok(None) };
        let stored: Stored = http::parse_json(item.expose().as_bytes())
            .map_err(|_| StoreError::Damaged { store: store_word(store), name: slot.name.clone() })?;
        if stored.version != VERSION {
            return Err(StoreError::Damaged { store: store_word(store), name: slot.name });
        }
        let folder = stored.folder.clone();
        Ok(Some((stored.into_session(), folder)))
    }

    /// Whether the plain name is held by this profile, or free for it.
    fn owns_plain_name(&self, store: &dyn SecretStore) -> Result<bool, StoreError> {
        match self.read(store, true) {
            Ok(Some((_, folder))) => Ok(folder == self.folder),
            // The name became free after this profile had taken the longer one, which it keeps.
            Ok(None) => Ok(self.folder.is_empty() || store.get(&self.slot(None, false))?.is_none()),
            // A damaged item is of no use to anyone: signing in again replaces it.
            Err(StoreError::Damaged { .. }) => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Puts the session into the store. Durable when it returns.
    pub fn save(&self, store: &dyn SecretStore, session: &Session) -> Result<(), StoreError> {
        let own_name = self.owns_plain_name(store)?;
        let slot = self.slot(session.identity.account.as_deref(), own_name);
        store.set(&slot, &written(session, &self.folder))
    }

    /// Removes the session; `false` where there was none.
    pub fn remove(&self, store: &dyn SecretStore) -> Result<bool, StoreError> {
        let own_name = self.owns_plain_name(store)?;
        store.remove(&self.slot(None, own_name))
    }
}

/// The folder without links, also where its last parts do not exist yet: it has one name before and after it is made.
fn resolved(folder: &Path) -> PathBuf {
    match (folder.canonicalize(), folder.parent(), folder.file_name()) {
        (Ok(whole), ..) => whole,
        (Err(_), Some(parent), Some(name)) => resolved(parent).join(name),
        (Err(_), ..) => folder.to_owned(),
    }
}

fn store_word(store: &dyn SecretStore) -> &'static str {
    store.choice().title()
}

/// The slot of a confidential client's secret, which belongs to the service rather than to one profile.
pub fn client_slot(service: &str) -> Slot {
    Slot { name: format!("client:{service}"), label: format!("lanyard: client secret of {service}") }
}

/// The item as it is read.
#[derive(Deserialize)]
struct Stored {
    version: u32,
    #[serde(default)]
    folder: String,
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
}

impl Stored {
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
        }
    }
}

/// The item as it is written: built by hand, since [`Secret`] cannot be serialized, into a buffer that is wiped.
fn written(session: &Session, folder: &str) -> Secret {
    let mut item = Item::new();
    item.raw("version", &VERSION.to_string());
    item.text("folder", Some(folder));
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
    item.close()
}

>>>>>>> peers
impl Grant {
    /// The word used in the item and in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::Web => "web",
            Self::Device => "device",
            Self::Token => "token",
        }
    }
}

/// A date as JSON output and items carry it: RFC 3339 in UTC, to the second.
pub fn timestamp(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// The slot of a confidential client's secret, which belongs to the service rather than to one profile.
pub fn client_slot(service: &str) -> Slot {
    Slot { name: format!("client:{service}"), label: format!("lanyard: client secret of {service}") }
}

#[cfg(test)]
mod tests;
