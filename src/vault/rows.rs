//! Metadata as rows keep it, and back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, Utc};

use super::VaultError;
use crate::auth::session::is_of_a_clock;
use crate::credential::{Check, Kind, Metadata, Scope};
use crate::provider;
use crate::store::CredentialRow;

/// The metadata in a row.
pub(crate) fn read(row: &CredentialRow) -> Result<Metadata, VaultError> {
    let foreign = || VaultError::Foreign { name: row.name.clone() };
    Ok(Metadata {
        kind: provider::by_kind(&row.kind).map_or_else(|| unknown(&row.kind), |(_, kind)| kind),
        fields: map(&row.fields).ok_or_else(foreign)?,
        secret_names: set(&row.secret_names).ok_or_else(foreign)?,
        tags: set(&row.tags).ok_or_else(foreign)?,
        created: time(row.created).ok_or_else(foreign)?,
        updated: time(row.updated).ok_or_else(foreign)?,
        used: row.used.and_then(time),
        verified: row.verified.and_then(time),
        expires: row.expires.and_then(time),
        check: Check::from_word(&row.checked),
        version: row.version,
        scope: if row.project.is_empty() { Scope::Organization } else { Scope::Project(row.project.clone()) },
        id: row.id.clone(),
        name: row.name.clone(),
        note: row.note.clone(),
    })
}

/// The row of some metadata, without anything of a rotation.
pub(crate) fn write(metadata: &Metadata) -> CredentialRow {
    CredentialRow {
        id: metadata.id.clone(),
        project: metadata.scope.project().unwrap_or_default().to_owned(),
        name: metadata.name.clone(),
        kind: metadata.kind.id.to_owned(),
        fields: fields(&metadata.fields),
        secret_names: words(&metadata.secret_names),
        tags: words(&metadata.tags),
        note: metadata.note.clone(),
        created: metadata.created.timestamp_millis(),
        updated: metadata.updated.timestamp_millis(),
        used: metadata.used.map(|at| at.timestamp_millis()),
        verified: metadata.verified.map(|at| at.timestamp_millis()),
        expires: metadata.expires.map(|at| at.timestamp_millis()),
        checked: metadata.check.word().to_owned(),
        version: metadata.version,
        rotating: None,
        retiring: None,
        scopes: None,
    }
}

/// The plain fields as a row keeps them.
pub(crate) fn fields(fields: &BTreeMap<String, String>) -> String {
    let object = fields.iter().map(|(name, value)| (name.clone(), value.as_str().into()));
    serde_json::Value::Object(object.collect()).to_string()
}

/// Words as a row keeps them.
pub(crate) fn words(words: &BTreeSet<String>) -> String {
    words.iter().map(String::as_str).collect::<serde_json::Value>().to_string()
}

/// What a credential may do as a row keeps it.
pub(crate) fn scopes(scopes: &[String]) -> String {
    scopes.iter().map(String::as_str).collect::<serde_json::Value>().to_string()
}

/// The scopes in a row. What cannot be read was not written here, and says nothing.
pub(crate) fn read_scopes(json: &str) -> Vec<String> {
    serde_json::from_str(json).unwrap_or_default()
}

/// A kind that a newer program stored. It is listed and can be removed; nobody is asked about it, and every field that
/// it may have counts as a secret.
fn unknown(id: &str) -> &'static Kind {
    static KNOWN: Mutex<BTreeMap<String, &'static Kind>> = Mutex::new(BTreeMap::new());
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    known.entry(id.to_owned()).or_insert_with(|| {
        // Kept for as long as the program runs, as the other kinds are; there are as many as a newer program has.
        let id: &'static str = Box::leak(crate::text::clean(id).into_boxed_str());
        Box::leak(Box::new(Kind::new(id, "credential of a newer lanyard", "unknown", &[])))
    })
}

/// A row's time; none where no clock shows it.
pub(crate) fn time(milliseconds: i64) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp_millis(milliseconds).filter(is_of_a_clock)
}

/// A time of this machine's clock as rows keep it, so that what is returned is what will be read.
pub(crate) fn kept(at: DateTime<Utc>) -> DateTime<Utc> {
    told(at).unwrap_or(at)
}

/// The same of a time that somebody else told; none where no clock shows it.
pub(crate) fn told(at: DateTime<Utc>) -> Option<DateTime<Utc>> {
    time(at.timestamp_millis())
}

fn map(json: &str) -> Option<BTreeMap<String, String>> {
    serde_json::from_str(json).ok()
}

fn set(json: &str) -> Option<BTreeSet<String>> {
    // What most rows hold.
    if json == "[]" { Some(BTreeSet::new()) } else { serde_json::from_str(json).ok() }
}
