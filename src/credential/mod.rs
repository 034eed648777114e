//! Credentials: what one is, and what may be seen of it.
//!
//! A [`Kind`] is data: the fields, which of them are secret, what each must look like. [`Fields`] are values that a kind
//! accepted. [`Metadata`] is everything about a credential that a list may show; a [`Credential`] is metadata with its
//! secrets opened. Nothing here reads a file, a clock or the network.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use chrono::{DateTime, Duration, Utc};

use crate::secret::Secret;

mod check;
mod cluster;
mod fields;
mod kind;
mod mask;
mod material;
mod want;

pub use check::Check;
pub use cluster::Cluster;
pub use fields::{FieldError, Fields, Raw};
pub use kind::{Class, Field, Kind, Rule, rules};
pub use mask::{mask_identifier, mask_secret};
pub use material::{Content, Issued, Material, Variable};
pub use want::{Address, DOCKER_HUB, Power, Want, docker_key};

/// A credential that has less life left than this expires soon.
const SOON: Duration = Duration::days(7);

/// Everything about a credential that is no secret.
#[derive(Debug, Clone)]
pub struct Metadata {
    /// The identifier, which never changes: `cred_` and 26 characters that sort by age.
    pub id: String,
    /// The name, unique within the scope.
    pub name: String,
    /// What it is.
    pub kind: &'static Kind,
    /// Whose it is.
    pub scope: Scope,
    /// The fields that are no secret, by name.
    pub fields: BTreeMap<String, String>,
    /// The names of the secret fields that are set.
    pub secret_names: BTreeSet<String>,
    /// When it was stored first.
    pub created: DateTime<Utc>,
    /// When fields or secrets were last replaced.
    pub updated: DateTime<Utc>,
    /// When it was last handed out.
    pub used: Option<DateTime<Utc>>,
    /// When the provider last answered about it.
    pub verified: Option<DateTime<Utc>>,
    /// When it expires, where that is known.
    pub expires: Option<DateTime<Utc>>,
    /// What the provider said when it last answered.
    pub check: Check,
    /// Words to find it by.
    pub tags: BTreeSet<String>,
    /// A line for people.
    pub note: String,
    /// How often fields or secrets were replaced, from 1. The secrets are sealed for this version and no other.
    pub version: i64,
}

/// A credential with its secrets opened.
#[derive(Debug)]
pub struct Credential {
    /// What is no secret.
    pub metadata: Metadata,
    /// The secrets by field name.
    pub secrets: BTreeMap<String, Secret>,
}

impl Credential {
    /// The secret field that holds the session of a sign-in, which the vault renews.
    pub const SESSION: &'static str = "session";
    /// The secret field that holds the secret of the client by which a server signs in.
    pub const CLIENT_SECRET: &'static str = "client_secret";

    /// A field that is no secret; `None` where it is not set.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.metadata.field(name)
    }

    /// A secret field; `None` where it is not set.
    pub fn secret(&self, name: &str) -> Option<&Secret> {
        self.secrets.get(name)
    }
}

impl Metadata {
    /// A field that is no secret; `None` where it is not set.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(String::as_str)
    }

    /// The system it is for, as a person calls it: the field `service` where the kind has one, else the provider.
    pub fn service(&self) -> &str {
        self.field("service").unwrap_or(self.kind.provider)
    }

    /// Whether it is good, as far as is known without asking anybody.
    pub fn status(&self, now: DateTime<Utc>) -> Status {
        let renews_itself = self.kind.renews_itself;
        match (self.expires, self.check) {
            (Some(at), _) if at <= now && !renews_itself => Status::Expired,
            (_, Check::Expired) => Status::Expired,
            (_, Check::Invalid) => Status::NeedsAttention,
            (Some(at), _) if !renews_itself && expires_soon(at, self.updated, now) => Status::ExpiresSoon,
            (_, Check::Never) => Status::Unverified,
            (_, Check::Valid | Check::Insufficient) => Status::Active,
        }
    }

    /// Whether a person who looks for `word` would want this one: in the name, the provider, the tags, the note or a
    /// field. Case does not count.
    pub fn mentions(&self, word: &str) -> bool {
        let word = word.to_lowercase();
        let found = |text: &str| holds(text, &word);
        found(&self.name)
            || found(self.kind.id)
            || found(self.kind.provider)
            || self.tags.iter().any(|tag| found(tag))
            || found(&self.note)
            || self.fields.values().any(|value| found(value))
    }
}

/// Whether a word, given in lower case, is part of a text. Case does not count.
fn holds(text: &str, word: &str) -> bool {
    // What both are as a rule; a letter beyond ASCII may have a lower case within it, as the Kelvin sign has.
    if text.is_ascii() && word.is_ascii() {
        let parts = text.as_bytes().windows(word.len().max(1));
        return word.is_empty() || parts.into_iter().any(|part| part.eq_ignore_ascii_case(word.as_bytes()));
    }
    text.to_lowercase().contains(word)
}

/// A week before the end counts as soon; for what lives no longer than a day, the last tenth of its life does.
fn expires_soon(at: DateTime<Utc>, since: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    let life = at - since;
    let margin = if life > Duration::days(1) { SOON } else { life / 10 };
    at - now <= margin
}

/// Whose a credential is. Its name is unique among those of the same scope.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Scope {
    /// The whole organization's; in the local vault, yours wherever you are.
    #[default]
    Organization,
    /// One project's.
    Project(String),
}

impl Scope {
    /// The project, where it is one's.
    pub fn project(&self) -> Option<&str> {
        match self {
            Self::Organization => None,
            Self::Project(name) => Some(name),
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Organization => f.write_str("organization"),
            Self::Project(name) => write!(f, "project {name}"),
        }
    }
}

/// Whether a credential is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// The provider accepted it when it was last asked.
    Active,
    /// It expires within a week; if it lives no longer than a day, it is in the last tenth of its life.
    ExpiresSoon,
    /// Its time is over.
    Expired,
    /// The provider refused it when it was last asked.
    NeedsAttention,
    /// The provider was never asked.
    Unverified,
}

impl Status {
    /// Every status.
    pub const ALL: [Self; 5] = [Self::Active, Self::ExpiresSoon, Self::Expired, Self::NeedsAttention, Self::Unverified];

    /// The word that lists and JSON show.
    pub fn word(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::ExpiresSoon => "expires soon",
            Self::Expired => "expired",
            Self::NeedsAttention => "needs attention",
            Self::Unverified => "unverified",
        }
    }

    /// The word as one types it, without a blank: `expires-soon`.
    pub fn flag(self) -> String {
        self.word().replace(' ', "-")
    }
}

#[cfg(test)]
pub(crate) mod tests;
