//! Entries as they leave the server: lines of JSON, after a signed statement of which they are.

use chrono::{DateTime, SecondsFormat, Utc};

use crate::server::db::{Database, DbError, OrgScope, values};
use crate::server::keys::{KeyError, Keys};
use crate::vault::trail::Statement;

/// So many come at a time unless fewer are asked for, and never more.
pub(super) const MOST: i64 = 5000;

/// A part of a chain.
pub(super) struct Part {
    /// The statement and the entries, a line each.
    pub(super) lines: String,
    /// The number of the entry that comes next, where there is one.
    pub(super) next: Option<i64>,
}

/// Entries from a number on, after a statement of which they are and how many there are in all; `None` where there is
/// none of that number.
pub(super) fn part(
    db: &Database,
    keys: &Keys,
    scope: &OrgScope,
    (from, limit): (i64, i64),
    now: DateTime<Utc>,
) -> Result<Option<Part>, KeyError> {
    let (entries, end) = db.read(scope, |rows| -> Result<_, DbError> {
        let some = "SELECT sequence, entry, hash FROM audit_events WHERE org = $1 AND sequence >= $2 \
                    ORDER BY sequence LIMIT $3";
        let found = rows.query(some, values![scope.id(), from, limit])?;
        let head = "SELECT sequence FROM audit_heads WHERE org = $1";
        let end = rows.first(head, values![scope.id()])?.ok_or(DbError::Shape)?.int(0)?;
        Ok((found, end))
    })?;
    let (mut last, mut lines) = (None, String::new());
    for mut row in entries {
        last = Some((row.int(0)?, row.bytes(2)?));
        lines.push_str(&row.text(1)?);
        lines.push('\n');
    }
    let Some((sequence, hash)) = last else { return Ok(None) };
    let at = now.to_rfc3339_opts(SecondsFormat::Millis, true);
    let statement = Statement::new(keys.instance(), scope.id(), &at, sequence, &hash).of_export(from, end);
    let head = statement.signed(&keys.statement_signer().ok_or(KeyError::None)?);
    Ok(Some(Part { lines: format!("{head}\n{lines}"), next: (sequence < end).then_some(sequence + 1) }))
}
