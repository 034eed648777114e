//! A credential as the API of a server speaks of it. Both ends read and write these forms.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

#[cfg(feature = "server")]
use super::measure::{HANDLE, NOTE, TAG, TAGS};
use super::{Unfinished, VaultError, rows};
use crate::auth::session::is_of_a_clock;
use crate::credential::{Metadata, Scope};
use crate::provider::{Outcome, Verdict};
use crate::secret::Secret;
use crate::store::CredentialRow;

/// Everything about a credential that is no secret.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema), schemars(rename = "Credential"))]
#[allow(missing_docs, reason = "the members of the JSON, named as the metadata names them")]
pub struct Shown {
    pub id: String,
    pub name: String,
    pub kind: String,
    /// `null` for the organization's own.
    pub project: Option<String>,
    pub fields: BTreeMap<String, String>,
    pub secret_names: BTreeSet<String>,
    pub tags: BTreeSet<String>,
    pub note: String,
    pub created: DateTime<Utc>,
    pub updated: DateTime<Utc>,
    pub used: Option<DateTime<Utc>>,
    pub verified: Option<DateTime<Utc>>,
    pub expires: Option<DateTime<Utc>>,
    pub checked: String,
    pub version: i64,
    #[serde(default)]
    pub rotation: Rotation,
    /// Who uses it, where one was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used_by: Option<Vec<String>>,
    /// What it may do, where one was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scopes: Option<Vec<String>>,
    /// Where its sign-in stands, where it comes of one and one was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection: Option<String>,
}

/// What is left of an interrupted rotation.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[allow(missing_docs, reason = "the members of the JSON")]
pub struct Rotation {
    pub since: Option<DateTime<Utc>>,
    pub retiring: Option<String>,
}

/// One page of a list.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema), schemars(rename = "PageOfCredential"))]
pub struct Page {
    /// The credentials, by project and name.
    pub items: Vec<Shown>,
    /// Where the next page begins, if there is one.
    pub next: Option<String>,
}

/// A credential, or new values for one, on the way to a server.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "the members of the JSON, named as the metadata names them")]
pub struct Incoming {
    pub name: Option<String>,
    pub kind: Option<String>,
    pub project: Option<String>,
    pub fields: Option<BTreeMap<String, String>>,
    /// The secrets.
    pub data: Option<BTreeMap<String, Secret>>,
    #[cfg_attr(feature = "server", schemars(length(max = TAGS), inner(length(max = TAG))))]
    pub tags: Option<BTreeSet<String>>,
    #[cfg_attr(feature = "server", schemars(length(max = NOTE)))]
    pub note: Option<String>,
    pub expires: Option<DateTime<Utc>>,
    /// What the provider just said of these values.
    pub verdict: Option<Told>,
    /// The handle of the old one that is to be revoked at its provider.
    #[cfg_attr(feature = "server", schemars(length(max = HANDLE)))]
    pub retiring: Option<String>,
    /// The version that these values replace.
    pub version: Option<i64>,
    /// Whether the secrets were made out of the old ones, so that nothing else changes.
    #[serde(default)]
    pub renewal: bool,
}

/// A change that touches no field.
#[derive(Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "the members of the JSON")]
pub struct Amendment {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The project to move it to; an empty one is the organization.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// All of its tags.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schemars(length(max = TAGS), inner(length(max = TAG))))]
    pub tags: Option<BTreeSet<String>>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[cfg_attr(feature = "server", schemars(length(max = TAGS), inner(length(max = TAG))))]
    pub add_tags: BTreeSet<String>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub remove_tags: BTreeSet<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schemars(length(max = NOTE)))]
    pub note: Option<String>,
}

/// The part of a verdict that is remembered.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "the members of the JSON")]
pub struct Told {
    pub outcome: String,
    pub expires: Option<DateTime<Utc>>,
    #[serde(default)]
    pub scopes: Vec<String>,
}

/// What is noted of a credential beside its values. One of the three.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
#[allow(missing_docs, reason = "the members of the JSON")]
pub enum Note {
    /// It was handed out.
    Used { at: DateTime<Utc> },
    /// What its provider said of the values that were stored then.
    Verdict { told: Told, updated: DateTime<Utc>, at: DateTime<Utc> },
    /// Where a rotation stands.
    Rotation(Rotation),
}

/// The secrets of a version.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema), schemars(rename = "Secrets"))]
#[allow(missing_docs, reason = "the members of the JSON")]
pub struct Opened {
    pub version: i64,
    /// Until when the token of a sign-in lives.
    #[serde(default)]
    pub expires: Option<DateTime<Utc>>,
    pub data: BTreeMap<String, Secret>,
}

impl Shown {
    /// A credential as it is shown.
    pub fn of(metadata: &Metadata, rotation: &Unfinished) -> Self {
        Self {
            id: metadata.id.clone(),
            name: metadata.name.clone(),
            kind: metadata.kind.id.to_owned(),
            project: metadata.scope.project().map(str::to_owned),
            fields: metadata.fields.clone(),
            secret_names: metadata.secret_names.iter().filter(|name| metadata.kind.hands_out(name)).cloned().collect(),
            tags: metadata.tags.clone(),
            note: metadata.note.clone(),
            created: metadata.created,
            updated: metadata.updated,
            used: metadata.used,
            verified: metadata.verified,
            expires: metadata.expires,
            checked: metadata.check.word().to_owned(),
            version: metadata.version,
            rotation: Rotation::of(rotation),
            used_by: None,
            scopes: None,
            connection: None,
        }
    }

    /// The credential that is shown. A kind that this program does not know stays unknown.
    pub fn metadata(&self) -> Result<Metadata, VaultError> {
        rows::read(&CredentialRow {
            id: self.id.clone(),
            project: self.project.clone().unwrap_or_default(),
            name: self.name.clone(),
            kind: self.kind.clone(),
            fields: rows::fields(&self.fields),
            secret_names: rows::words(&self.secret_names),
            tags: rows::words(&self.tags),
            note: self.note.clone(),
            created: self.created.timestamp_millis(),
            updated: self.updated.timestamp_millis(),
            used: self.used.map(|at| at.timestamp_millis()),
            verified: self.verified.map(|at| at.timestamp_millis()),
            expires: self.expires.map(|at| at.timestamp_millis()),
            checked: self.checked.clone(),
            version: self.version,
            rotating: None,
            retiring: None,
            scopes: None,
        })
    }
}

impl Rotation {
    /// Where a rotation stands, as it is shown.
    pub fn of(unfinished: &Unfinished) -> Self {
        Self { since: unfinished.since, retiring: unfinished.retiring.clone() }
    }

    /// Where it stands.
    pub fn unfinished(&self) -> Unfinished {
        Unfinished { since: self.since.filter(is_of_a_clock), retiring: self.retiring.clone() }
    }
}

impl Told {
    /// The part of a verdict that is remembered.
    pub fn of(verdict: &Verdict) -> Self {
        Self { outcome: verdict.outcome.word().to_owned(), expires: verdict.expires, scopes: verdict.scopes.clone() }
    }

    /// The verdict; `None` for an outcome that this program does not know.
    pub fn verdict(&self) -> Option<Verdict> {
        let outcome = Outcome::ALL.into_iter().find(|outcome| outcome.word() == self.outcome)?;
        let verdict = Verdict { outcome, scopes: self.scopes.clone(), ..Verdict::valid_unnamed() };
        Some(verdict.expiring(self.expires))
    }
}

/// The scope of a project's name; an empty one is the organization.
pub fn scope(project: Option<&str>) -> Scope {
    project.filter(|project| !project.is_empty()).map_or(Scope::Organization, |project| Scope::Project(project.into()))
}

/// JSON with secrets in it under `data`, beside what `rest` holds: written by hand into memory that is wiped, since a
/// secret has no other way into a text.
pub fn with_data(rest: &serde_json::Value, data: &BTreeMap<String, Secret>) -> Zeroizing<Vec<u8>> {
    let rest = rest.to_string();
    let opening = rest.strip_suffix('}').unwrap_or("{");
    // Room for escapes, so that growing leaves no copy behind.
    let room: usize = data.iter().map(|(name, secret)| 6 * (name.len() + secret.expose().len()) + 8).sum();
    let mut body = Zeroizing::new(Vec::with_capacity(opening.len() + room + 16));
    body.extend_from_slice(opening.as_bytes());
    body.extend_from_slice(if opening == "{" { b"\"data\":" } else { b",\"data\":" });
    let plain: BTreeMap<&str, &str> = data.iter().map(|(name, secret)| (name.as_str(), secret.expose())).collect();
    // Writing into memory does not fail.
    let _ = serde_json::to_writer(&mut *body, &plain);
    body.push(b'}');
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_written_beside_the_rest_and_read_again() {
        let data: BTreeMap<String, Secret> =
            [("a".to_owned(), Secret::new("x\"\\\u{0}é".into())), ("b".to_owned(), Secret::new(String::new()))].into();
        for rest in [serde_json::json!({}), serde_json::json!({ "name": "db", "tags": ["}"] })] {
            let read: Incoming = serde_json::from_slice(&with_data(&rest, &data)).unwrap();
            assert_eq!(read.name.as_deref(), rest["name"].as_str());
            assert!(
                read.data.unwrap().into_iter().eq(data.iter().map(|(name, secret)| (name.clone(), secret.duplicate())))
            );
        }
    }

    #[test]
    fn a_verdict_is_remembered_by_its_outcome() {
        for outcome in Outcome::ALL {
            let told = Told::of(&Verdict::failed(outcome, "why", "next"));
            assert_eq!(told.verdict().unwrap().outcome, outcome);
        }
        assert!(Told { outcome: "splendid".into(), expires: None, scopes: Vec::new() }.verdict().is_none());
    }
}
