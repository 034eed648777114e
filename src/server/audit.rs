//! What happened: one chain of entries for each organization, and one for the server as a whole.
//!
//! An entry is canonical JSON: one object, its names in order, no blanks, texts and whole numbers alone. It holds its
//! number, which has no gap, and the SHA-256 of the entry before it, so that no entry can be changed, taken out or put
//! elsewhere unnoticed. Beside it rest its own SHA-256 and a code (HMAC-SHA-256) under a key of the organization, which
//! whoever can write to the database does not have. The entry of a change is written in the transaction of the change:
//! there is no change without it.

use std::collections::BTreeMap;

use aws_lc_rs::digest::{SHA256, digest};
use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::Value as Json;

use super::db::{DbError, OrgScope, Rows, values};
use super::keys::{KeyError, Keys};
use crate::text::clean;
use crate::vault::seal::Key;

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

/// Appends an entry, in the transaction of what it tells.
pub(crate) fn append(
    rows: &mut dyn Rows,
    keys: &Keys,
    scope: &OrgScope,
    actor: &Actor,
    event: &Event<'_>,
    now: DateTime<Utc>,
) -> Result<(), KeyError> {
    let (key_version, key) = key(rows, keys, scope)?;
    rows.execute(
        "INSERT INTO audit_heads (org, sequence, hash) VALUES ($1, 0, $2) ON CONFLICT (org) DO NOTHING",
        values![scope.id(), &[0; 32]],
    )?;
    // Holds the row until the transaction ends: two entries never get one number.
    let mut head = rows
        .first(
            "UPDATE audit_heads SET sequence = sequence + 1 WHERE org = $1 RETURNING sequence, hash",
            values![scope.id()],
        )?
        .ok_or(DbError::Shape)?;
    let (sequence, previous) = (head.int(0)?, head.bytes(1)?);
    let mut entry: BTreeMap<&str, Json> = BTreeMap::new();
    entry.insert("form", FORM.into());
    entry.insert("key", key_version.into());
    entry.insert("sequence", sequence.into());
    entry.insert("previous", hex(&previous).into());
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
            entry.insert(name, clean(text).chars().take(LONGEST).collect::<String>().into());
        }
    }
    let entry = serde_json::to_string(&entry).map_err(|_| DbError::Shape)?;
    let hash = digest(&SHA256, entry.as_bytes());
    rows.execute(
        "INSERT INTO audit_events (org, sequence, entry, hash, mac) VALUES ($1, $2, $3, $4, $5)",
        values![scope.id(), sequence, &entry, hash.as_ref(), &key.code(&[entry.as_bytes()])],
    )?;
    rows.execute("UPDATE audit_heads SET hash = $2 WHERE org = $1", values![scope.id(), hash.as_ref()])?;
    Ok(())
}

/// The key of an organization's chain, and which key it was made of.
fn key(rows: &mut dyn Rows, keys: &Keys, scope: &OrgScope) -> Result<(i64, Key), KeyError> {
    if scope.id() == SERVER {
        return Ok((0, keys.derived("audit").ok_or(KeyError::None)?));
    }
    let (version, key) = keys.newest(rows, scope)?;
    Ok((version, key.derived("audit").ok_or(KeyError::None)?))
}

/// Where a chain is broken, and how.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Broken {
    /// The number of the entry.
    pub(crate) sequence: i64,
    /// What is wrong with it.
    pub(crate) problem: &'static str,
}

/// Goes through a chain from its beginning. `Ok` tells how many entries hold.
pub(crate) fn verify(rows: &mut dyn Rows, keys: &Keys, scope: &OrgScope) -> Result<Result<i64, Broken>, KeyError> {
    const PAGE: i64 = 500;
    let head = rows.first("SELECT sequence, hash FROM audit_heads WHERE org = $1", values![scope.id()])?;
    let (mut last, mut previous) = (0, vec![0; 32]);
    loop {
        let page = rows.query(
            "SELECT sequence, entry, hash, mac FROM audit_events WHERE org = $1 AND sequence > $2 \
             ORDER BY sequence LIMIT $3",
            values![scope.id(), last, PAGE],
        )?;
        if page.is_empty() {
            break;
        }
        for mut row in page {
            let (sequence, entry) = (row.int(0)?, row.text(1)?);
            let (hash, mac) = (row.bytes(2)?, row.bytes(3)?);
            let broken = |problem| Ok(Err(Broken { sequence: last + 1, problem }));
            if sequence != last + 1 {
                return broken("an entry is missing");
            }
            let told: BTreeMap<String, Json> = serde_json::from_str(&entry).unwrap_or_default();
            let is = |name: &str, value: Json| told.get(name) == Some(&value);
            if !is("sequence", sequence.into()) || !is("organization", scope.id().into()) {
                return broken("an entry is of another place");
            }
            if !is("previous", hex(&previous).into()) {
                return broken("the entry before it was changed");
            }
            let version = told.get("key").and_then(Json::as_i64).unwrap_or_default();
            let key = if scope.id() == SERVER {
                keys.derived("audit")
            } else {
                keys.of(rows, scope, version)?.derived("audit")
            };
            let code = key.ok_or(KeyError::None)?.code(&[entry.as_bytes()]);
            if digest(&SHA256, entry.as_bytes()).as_ref() != hash || code.as_slice() != mac {
                return broken("the entry was changed");
            }
            (last, previous) = (sequence, hash);
        }
    }
    let end = head.map(|mut row| Ok::<_, DbError>((row.int(0)?, row.bytes(1)?))).transpose()?;
    if end.is_some_and(|(sequence, hash)| sequence != last || hash != previous) {
        return Ok(Err(Broken { sequence: last + 1, problem: "the end of the chain is missing" }));
    }
    Ok(Ok(last))
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble & 15)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::db::tests::Scratch;

    fn chain(scratch: &Scratch, count: usize) {
        for number in 0..count {
            let actor = Actor { person: format!("person-{number}"), ..Actor::default() };
            let event = Event::done("test.done", "object");
            scratch
                .db
                .write(|rows| append(rows, &scratch.keys, &scratch.org, &actor, &event, DateTime::UNIX_EPOCH))
                .unwrap();
        }
    }

    fn checked(scratch: &Scratch) -> Result<i64, Broken> {
        scratch.db.read(|rows| verify(rows, &scratch.keys, &scratch.org)).unwrap()
    }

    #[test]
    fn what_is_done_to_a_chain_is_noticed_at_its_place() {
        let broken = |sequence, problem| Err(Broken { sequence, problem });
        for (change, expected) in [
            ("DELETE FROM audit_events WHERE sequence = 3", broken(3, "an entry is missing")),
            ("DELETE FROM audit_events WHERE sequence = 5", broken(5, "the end of the chain is missing")),
            (
                "UPDATE audit_events SET entry = replace(entry, 'person-1', 'person-7') WHERE sequence = 2",
                broken(2, "the entry was changed"),
            ),
            ("UPDATE audit_events SET sequence = sequence + 10 WHERE sequence > 1", broken(2, "an entry is missing")),
            (
                "UPDATE audit_events SET entry = (SELECT other.entry FROM audit_events other WHERE other.sequence = 2) \
                 WHERE sequence = 4",
                broken(4, "an entry is of another place"),
            ),
        ] {
            let scratch = Scratch::new();
            chain(&scratch, 5);
            assert_eq!(checked(&scratch), Ok(5));
            scratch.db.write(|rows| rows.batch(change)).unwrap();
            assert_eq!(checked(&scratch), expected, "{change}");
        }
    }

    #[test]
    fn an_entry_is_of_a_form_that_stays() {
        let scratch = Scratch::new();
        chain(&scratch, 1);
        let entry =
            scratch.db.read(|rows| rows.first("SELECT entry FROM audit_events", &[])?.unwrap().text(0)).unwrap();
        let zeros = "0".repeat(64);
        assert_eq!(
            entry,
            format!(
                "{{\"action\":\"test.done\",\"actor\":\"person-0\",\"at\":\"1970-01-01T00:00:00.000Z\",\"form\":1,\
                 \"key\":1,\"object\":\"object\",\"organization\":\"org_test\",\"outcome\":\"done\",\
                 \"previous\":\"{zeros}\",\"sequence\":1}}"
            )
        );
    }
}
