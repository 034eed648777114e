//! Whether a chain is as it was written.

use std::collections::BTreeMap;

use aws_lc_rs::digest::{SHA256, digest};
use chrono::{DateTime, SecondsFormat};
use serde_json::Value as Json;

use super::SERVER;
use crate::server::db::{Database, DbError, OrgScope, Row, Rows, values};
use crate::server::keys::{KeyError, Keys};
use crate::vault::seal::Key;
use crate::vault::trail::{Statement, hex};

/// So many entries are read at a time.
const PAGE: i64 = 500;

/// Where a chain is broken, and how.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Broken {
    /// The number of the entry.
    pub(crate) sequence: i64,
    /// What is wrong with it.
    pub(crate) problem: &'static str,
}

/// The end of a part of a chain that was gone through.
#[derive(Debug)]
pub(super) struct End {
    pub(super) sequence: i64,
    pub(super) hash: Vec<u8>,
}

impl End {
    /// The beginning of a chain.
    pub(super) fn nothing() -> Self {
        Self { sequence: 0, hash: vec![0; 32] }
    }
}

/// Goes through a chain from its beginning, a part at a time: however long it is, it keeps no connection to the database
/// from others, and only the last part sees where the chain ends. `Ok` tells how many entries hold.
pub(crate) fn in_parts(db: &Database, keys: &Keys, scope: &OrgScope) -> Result<Result<i64, Broken>, KeyError> {
    let mut end = End::nothing();
    loop {
        let before = end.sequence;
        match db.read(scope, |rows| part(rows, keys, scope, end))? {
            Ok(next) => end = next,
            Err(broken) => return Ok(Err(broken)),
        }
        if end.sequence - before < PAGE {
            return Ok(db.read(scope, |rows| go_through(rows, keys, scope, end))?.map(|end| end.sequence));
        }
    }
}

/// Goes through the next page of a chain.
fn part(rows: &mut dyn Rows, keys: &Keys, scope: &OrgScope, from: End) -> Result<Result<End, Broken>, KeyError> {
    let signed = signed(rows, keys, scope, (from.sequence, from.sequence + PAGE))?;
    let mut walk = Walk { scope, keys, signed, known: None, end: from };
    Ok(walk.page(rows)?.map(|_| walk.end))
}

/// Goes through a chain from its beginning. `Ok` tells how many entries hold.
pub(crate) fn verify(rows: &mut dyn Rows, keys: &Keys, scope: &OrgScope) -> Result<Result<i64, Broken>, KeyError> {
    Ok(go_through(rows, keys, scope, End::nothing())?.map(|end| end.sequence))
}

/// Goes through a chain from an entry that was found to hold before.
pub(super) fn go_through(
    rows: &mut dyn Rows,
    keys: &Keys,
    scope: &OrgScope,
    from: End,
) -> Result<Result<End, Broken>, KeyError> {
    let head = rows.first("SELECT sequence, hash FROM audit_heads WHERE org = $1", values![scope.id()])?;
    let signed = signed(rows, keys, scope, (from.sequence, i64::MAX))?;
    let mut walk = Walk { scope, keys, signed, known: None, end: from };
    loop {
        match walk.page(rows)? {
            Ok(0) => break,
            Ok(_) => {}
            Err(broken) => return Ok(Err(broken)),
        }
    }
    let Walk { signed, end, .. } = walk;
    let head = head.map(|mut row| Ok::<_, DbError>((row.int(0)?, row.bytes(1)?))).transpose()?;
    let is_head = match head {
        Some((sequence, hash)) => sequence == end.sequence && hash == end.hash,
        None => end.sequence == 0,
    };
    if !is_head || signed.keys().any(|sequence| *sequence > end.sequence) {
        return Ok(Err(Broken { sequence: end.sequence + 1, problem: "the end of the chain is missing" }));
    }
    Ok(Ok(end))
}

/// What was signed of the entries after a number and up to another: the hash of each, in hex. What no key of this server's has signed is
/// none of its statements.
fn signed(
    rows: &mut dyn Rows,
    keys: &Keys,
    scope: &OrgScope,
    (after, last): (i64, i64),
) -> Result<BTreeMap<i64, String>, KeyError> {
    let signers = keys.statement_keys(rows)?;
    let all = "SELECT statement FROM audit_checkpoints WHERE org = $1 AND sequence > $2 AND sequence <= $3 \
               ORDER BY sequence";
    let mut found = BTreeMap::new();
    for mut row in rows.query(all, values![scope.id(), after, last])? {
        let statement = Statement::read(&row.text(0)?).filter(|statement| statement.is_signed_by(&signers));
        if let Some(statement) = statement.filter(|statement| statement.organization() == scope.id()) {
            found.insert(statement.sequence(), statement.hash().to_owned());
        }
    }
    Ok(found)
}

struct Walk<'w> {
    scope: &'w OrgScope,
    keys: &'w Keys,
    signed: BTreeMap<i64, String>,
    /// The key of the entry before, and which it is.
    known: Option<(i64, Key)>,
    end: End,
}

impl Walk<'_> {
    /// Looks at the next page; how many entries it has.
    fn page(&mut self, rows: &mut dyn Rows) -> Result<Result<usize, Broken>, KeyError> {
        let page = rows.query(
            "SELECT sequence, entry, hash, mac, at, actor, action, object FROM audit_events \
             WHERE org = $1 AND sequence > $2 ORDER BY sequence LIMIT $3",
            values![self.scope.id(), self.end.sequence, PAGE],
        )?;
        let count = page.len();
        for row in page {
            if let Some(problem) = self.step(rows, row)? {
                return Ok(Err(Broken { sequence: self.end.sequence + 1, problem }));
            }
        }
        Ok(Ok(count))
    }

    /// Looks at the next entry; what is wrong with it.
    fn step(&mut self, rows: &mut dyn Rows, mut row: Row) -> Result<Option<&'static str>, KeyError> {
        let (sequence, entry) = (row.int(0)?, row.text(1)?);
        let (hash, mac) = (row.bytes(2)?, row.bytes(3)?);
        if sequence != self.end.sequence + 1 {
            return Ok(Some("an entry is missing"));
        }
        let told: BTreeMap<String, Json> = serde_json::from_str(&entry).unwrap_or_default();
        let is = |name: &str, value: Json| told.get(name) == Some(&value);
        if !is("sequence", sequence.into()) || !is("organization", self.scope.id().into()) {
            return Ok(Some("an entry is of another place"));
        }
        if !is("previous", hex(&self.end.hash).into()) {
            return Ok(Some("the entry before it was changed"));
        }
        let code = self.key(rows, told.get("key").and_then(Json::as_i64).unwrap_or_default())?;
        let code = code.map(|key| key.code(&[entry.as_bytes()]));
        if digest(&SHA256, entry.as_bytes()).as_ref() != hash || code.is_none_or(|code| code.as_slice() != mac) {
            return Ok(Some("the entry was changed"));
        }
        let at = DateTime::from_timestamp_millis(row.int(4)?).unwrap_or_default();
        let at = at.to_rfc3339_opts(SecondsFormat::Millis, true);
        let text = |name: &str| told.get(name).and_then(Json::as_str).unwrap_or_default();
        let listed = [(at, "at"), (row.text(5)?, "actor"), (row.text(6)?, "action"), (row.text(7)?, "object")];
        if listed.iter().any(|(value, name)| value != text(name)) {
            return Ok(Some("the entry is listed as another"));
        }
        if self.signed.get(&sequence).is_some_and(|signed| *signed != hex(&hash)) {
            return Ok(Some("it was another entry when it was signed"));
        }
        self.end = End { sequence, hash };
        Ok(None)
    }

    /// The key that an entry says it was made with; `None` where there is no such key.
    fn key(&mut self, rows: &mut dyn Rows, version: i64) -> Result<Option<&Key>, KeyError> {
        if self.known.as_ref().is_none_or(|(known, _)| *known != version) {
            let found = if self.scope.id() == SERVER {
                self.keys.derived_of(rows, version, "audit")
            } else {
                self.keys.of_audit(rows, self.scope, version)
            };
            let key = match found {
                Ok(key) => Some(key),
                Err(KeyError::None) => None,
                Err(failure) => return Err(failure),
            };
            self.known = key.map(|key| (version, key));
        }
        Ok(self.known.as_ref().map(|(_, key)| key))
    }
}
