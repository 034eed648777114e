//! How the server's own audit tells of a backup.
//!
//! The chain of an earlier version is left to that version: a backup of its tables is noted among the settings, and told
//! by the start that brings the tables up to date.

use chrono::{DateTime, SecondsFormat, Utc};

use crate::server::audit::{self, Actor, Event, server_scope};
use crate::server::db::{Database, DbError, Reach, Rows};
use crate::server::keys::{KeyError, Keys, keep_setting};
use crate::server::random;
use crate::server::state;

/// What the names of such notes begin with.
const NOTE: &str = "untold-backup-";

/// Tells of a backup.
pub(super) fn done(rows: &mut dyn Rows, keys: &Keys, detail: &str, now: DateTime<Utc>) -> Result<(), KeyError> {
    let event = Event { detail, ..Event::done("server.backup", "") };
    audit::append(rows, keys, &server_scope(), &Actor::operator(), &event, now)
}

/// Notes one that is told later.
pub(super) fn note(rows: &mut dyn Rows, detail: &str, now: DateTime<Utc>) -> Result<(), DbError> {
    let number = random::base62(16).map(|number| number.to_string()).unwrap_or_default();
    let at = now.to_rfc3339_opts(SecondsFormat::Millis, true);
    let name = format!("{NOTE}{:015}-{number}", now.timestamp_millis());
    keep_setting(rows, &name, &format!("made at {at} of an earlier version: {detail}"))
}

/// Tells of those that were noted.
pub(crate) fn tell(db: &Database, keys: &Keys) -> Result<(), KeyError> {
    let all = format!("SELECT name FROM settings WHERE name LIKE '{NOTE}%' LIMIT 1");
    if db.read(Reach::Server, |rows| rows.first(&all, &[]))?.is_none() {
        return Ok(());
    }
    db.write(Reach::Server, |rows| -> Result<(), KeyError> {
        // Of several that start at once, one takes them.
        let take = format!("DELETE FROM settings WHERE name LIKE '{NOTE}%' RETURNING name, value");
        let taken = rows.query(&take, &[])?.into_iter().map(|mut row| Ok((row.text(0)?, row.text(1)?)));
        let mut taken = taken.collect::<Result<Vec<_>, DbError>>()?;
        taken.sort();
        taken.iter().try_for_each(|(_, detail)| done(rows, keys, detail, state::now()))
    })
}
