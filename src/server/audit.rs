//! What happened: one chain of entries for each organization, and one for the server as a whole.
//!
//! An entry is canonical JSON: one object, its names in order, no blanks, texts and whole numbers alone. It holds its
//! number, which has no gap, and the SHA-256 of the entry before it, so that no entry can be changed, taken out or put
//! elsewhere unnoticed. Beside it rest its own SHA-256 and a code (HMAC-SHA-256) under a key of the organization, which
//! whoever can write to the database does not have. The entry of a change is written in the transaction of the change:
//! there is no change without it. The entry of what changes nothing is on the disk before its answer is given.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use aws_lc_rs::digest::{SHA256, digest};
use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::Value as Json;

use super::db::{DbError, OrgScope, Rows, values};
use super::keys::{KeyError, Keys};
use super::metrics;
use crate::text::clean;
use crate::vault::seal::Key;
use crate::vault::trail::hex;

pub(crate) mod api;
mod changed;
mod checkpoint;
mod export;
mod here;
mod sink;
mod together;
mod verify;

pub(crate) use api::routes;
pub(crate) use changed::changed;
pub(crate) use checkpoint::{Checkpoints, hold_against, without_file};
pub use here::Trail;
pub(crate) use sink::Sink;
pub(crate) use together::Together;
use verify::in_parts;
pub(crate) use verify::{Broken, verify};

/// The version of the form of an entry.
const FORM: i64 = 1;
/// A text in an entry is cut here: a caller cannot fill the disk by its name.
const LONGEST: usize = 256;
/// The chain of what belongs to no organization.
const SERVER: &str = "server";

/// Who does something, as far as the audit tells.
#[derive(Debug, Clone, Default)]
pub(crate) struct Actor {
    /// The person; empty where nobody is known.
    pub(crate) person: String,
    /// The public part of the token or session.
    pub(crate) token: String,
    /// Where from.
    pub(crate) address: String,
    /// What the program calls itself.
    pub(crate) agent: String,
    /// The number of the request.
    pub(crate) request: String,
    /// Whether the request was told of as refused.
    pub(crate) refused: Refused,
}

/// Whether a request was told of as one that was refused or failed. All who act within one request share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Refused(Arc<AtomicBool>);

impl Refused {
    fn note(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it was.
    pub(crate) fn is_told(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Actor {
    /// Whoever sits at the server's own machine.
    pub(crate) fn operator() -> Self {
        Self { agent: "lanyard server".into(), ..Self::default() }
    }
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It was done.
    Done,
    /// It was not permitted.
    Denied,
    /// It was tried and went wrong.
    Failed,
}

impl Outcome {
    fn word(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Denied => "denied",
            Self::Failed => "failed",
        }
    }
}

/// One thing that happened.
#[derive(Debug, Clone)]
pub(crate) struct Event<'e> {
    /// What, in a word of two parts: `credential.create`.
    pub(crate) action: &'e str,
    /// The identifier of what it was done to; empty where there is none.
    pub(crate) object: &'e str,
    /// What came of it.
    pub(crate) outcome: Outcome,
    /// More in a word, such as the name of a role. Never a secret.
    pub(crate) detail: &'e str,
}

impl<'e> Event<'e> {
    /// Something that was done.
    pub(crate) fn done(action: &'e str, object: &'e str) -> Self {
        Self { action, object, outcome: Outcome::Done, detail: "" }
    }
}

/// The scope of what belongs to no organization.
pub(crate) fn server_scope() -> OrgScope {
    OrgScope::of(SERVER)
}

/// Where what happens to somebody's account is told: in each organization that they are in, or in none but the server's
/// own chain, if there is no such organization.
pub(crate) fn told_in(organizations: impl IntoIterator<Item = OrgScope>) -> Vec<OrgScope> {
    let scopes: Vec<OrgScope> = organizations.into_iter().collect();
    if scopes.is_empty() { vec![server_scope()] } else { scopes }
}

/// Appends an entry, in the transaction of what it tells.
pub(crate) fn append(
    rows: &mut dyn Rows,
    keys: &Keys,
    scope: &OrgScope,
    actor: &Actor,
    event: &Event<'_>,
    now: DateTime<Utc>,
) -> Result<(), KeyError> {
    append_all(rows, keys, scope, &[(actor, event, now)])
}

/// An entry that is to be written: who, what and when.
type New<'n> = (&'n Actor, &'n Event<'n>, DateTime<Utc>);

/// Appends entries, one after the other.
fn append_all(rows: &mut dyn Rows, keys: &Keys, scope: &OrgScope, all: &[New<'_>]) -> Result<(), KeyError> {
    write_all(rows, keys, scope, all).inspect_err(|failure| {
        metrics::AUDIT_FAILURES.fetch_add(1, Ordering::Relaxed);
        tracing::error!(%failure, "an entry could not be written to the audit");
    })
}

fn write_all(rows: &mut dyn Rows, keys: &Keys, scope: &OrgScope, all: &[New<'_>]) -> Result<(), KeyError> {
    let count = i64::try_from(all.len()).map_err(|_| DbError::Shape)?;
    let take = "UPDATE audit_heads SET sequence = sequence + $2 WHERE org = $1 RETURNING sequence, hash";
    // Holds the row until the transaction ends: two entries never get one number.
    let mut head = rows.first(take, values![scope.id(), count])?;
    if head.is_none() {
        let begin = "INSERT INTO audit_heads (org, sequence, hash) VALUES ($1, 0, $2) ON CONFLICT (org) DO NOTHING";
        rows.execute(begin, values![scope.id(), &[0; 32]])?;
        head = rows.first(take, values![scope.id(), count])?;
    }
    let mut head = head.ok_or(DbError::Shape)?;
    // Not before the row is held: whoever deletes the organization holds it as well, and takes the key away.
    let (key_version, key) = key(rows, keys, scope)?;
    let (mut sequence, mut previous) = (head.int(0)? - count, head.bytes(1)?);
    let mut entries = Vec::with_capacity(all.len());
    for one in all {
        sequence += 1;
        let entry = entry(key_version, scope, one, sequence, &previous)?;
        previous = digest(&SHA256, entry.as_bytes()).as_ref().to_vec();
        let mac = key.code(&[entry.as_bytes()]);
        entries.push(Written { of: one, sequence, entry, hash: previous.clone(), mac });
    }
    put(rows, scope, &entries)?;
    rows.execute("UPDATE audit_heads SET hash = $2 WHERE org = $1", values![scope.id(), &previous])?;
    for (actor, _, _) in all.iter().filter(|(_, event, _)| event.outcome != Outcome::Done) {
        actor.refused.note();
    }
    Ok(())
}

/// An entry as it is written.
struct Written<'n> {
    of: &'n New<'n>,
    sequence: i64,
    entry: String,
    hash: Vec<u8>,
    mac: [u8; 32],
}

/// The text of an entry after one of this hash.
fn entry(
    key_version: i64,
    scope: &OrgScope,
    &(actor, event, now): &New<'_>,
    sequence: i64,
    previous: &[u8],
) -> Result<String, DbError> {
    let mut entry: BTreeMap<&str, Json> = BTreeMap::new();
    entry.insert("form", FORM.into());
    entry.insert("key", key_version.into());
    entry.insert("sequence", sequence.into());
    entry.insert("previous", hex(previous).into());
    entry.insert("organization", scope.id().into());
    entry.insert("at", now.to_rfc3339_opts(SecondsFormat::Millis, true).into());
    entry.insert("action", event.action.into());
    entry.insert("outcome", event.outcome.word().into());
    for (name, text) in [
        ("actor", actor.person.as_str()),
        ("token", &actor.token),
        ("address", &actor.address),
        ("agent", &actor.agent),
        ("request", &actor.request),
        ("object", event.object),
        ("detail", event.detail),
    ] {
        if !text.is_empty() {
            entry.insert(name, shown(text).into());
        }
    }
    serde_json::to_string(&entry).map_err(|_| DbError::Shape)
}

/// So many entries are written by one statement. A few sizes alone, for the database knows each statement by its text.
const AT_ONCE: [usize; 3] = [16, 4, 1];

/// Writes entries.
fn put(rows: &mut dyn Rows, scope: &OrgScope, mut all: &[Written<'_>]) -> Result<(), DbError> {
    while let Some(count) = AT_ONCE.into_iter().find(|count| *count <= all.len()) {
        let (some, rest) = all.split_at(count);
        all = rest;
        let found_by: Vec<[String; 2]> =
            some.iter().map(|one| [&one.of.0.person, one.of.1.object].map(shown)).collect();
        let mut bound = Vec::with_capacity(COLUMNS * count);
        for (one, [actor, object]) in some.iter().zip(&found_by) {
            let &(_, event, now) = one.of;
            bound.extend_from_slice(values![
                scope.id(),
                one.sequence,
                &one.entry,
                &one.hash,
                &one.mac,
                now.timestamp_millis(),
                actor,
                event.action,
                object,
            ]);
        }
        rows.execute(&insert(count), &bound)?;
    }
    Ok(())
}

/// So many columns has an entry.
const COLUMNS: usize = 9;

/// The statement that writes so many.
fn insert(count: usize) -> String {
    let row = |nth: usize| {
        let numbers: Vec<String> = (1..=COLUMNS).map(|column| format!("${}", nth * COLUMNS + column)).collect();
        format!("({})", numbers.join(", "))
    };
    let places: Vec<String> = (0..count).map(row).collect();
    let into = "INSERT INTO audit_events (org, sequence, entry, hash, mac, at, actor, action, object) VALUES";
    format!("{into} {}", places.join(", "))
}

/// A text as an entry shows it.
fn shown(text: &str) -> String {
    clean(text).chars().take(LONGEST).collect()
}

/// The key of an organization's chain, and which key it was made of.
fn key(rows: &mut dyn Rows, keys: &Keys, scope: &OrgScope) -> Result<(i64, Key), KeyError> {
    if scope.id() == SERVER {
        let (version, key) = keys.own(rows)?;
        return Ok((version, key.derived("audit").ok_or(KeyError::None)?));
    }
    let (version, key) = keys.newest(rows, scope)?;
    Ok((version, key.derived("audit").ok_or(KeyError::None)?))
}

#[cfg(test)]
mod tests;
