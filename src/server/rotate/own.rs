//! Another key of the server's own in the place of the one in force: what rests under the older ones is sealed anew, and
//! they go.
//!
//! The note that it is not done yet is a setting, with the version of the new key.

use super::{PAGE, TRIES, is_retired};
use crate::server::audit::{self, Actor, Event, server_scope};
use crate::server::db::{Closed, Database, DbError, Reach, Rows, values};
use crate::server::engine::Engine;
use crate::server::error::ServeError;
use crate::server::keys::{KeyError, Keys, keep_setting, setting};
use crate::server::signing::SigningKey;
use crate::server::state::now;
use crate::server::totp;
use crate::server::upstream::Shelf;

/// The setting that says that it is not done yet.
const NOTE: &str = "server-key-rotation";

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OwnRotated {
    /// The version of the new key.
    pub version: i64,
    /// So many of the server's own secrets rest under it now that rested under an older one.
    pub sealed: u64,
    /// So many do not open. They stay as they are, and so does the key that they rest under.
    pub closed: u64,
}

/// The version of the new key where not everything rests under it yet.
pub(super) fn unfinished(rows: &mut dyn Rows) -> Result<Option<i64>, DbError> {
    setting(rows, NOTE)?.map(|version| version.parse().map_err(|_| DbError::Shape)).transpose()
}

/// Makes the new key, and notes that it was begun.
pub(super) fn begin(rows: &mut dyn Rows, keys: &Keys) -> Result<(), KeyError> {
    let version = keys.next_own(rows, now())?;
    keep_setting(rows, NOTE, &version.to_string())?;
    let event = Event { detail: &format!("version {version}"), ..Event::done("server-key.rotate", "") };
    audit::append(rows, keys, &server_scope(), &Actor::operator(), &event, now())
}

/// The work that is left.
pub(super) struct Work<'w> {
    pub(super) db: &'w Database,
    pub(super) keys: &'w Keys,
    pub(super) engine: &'w Engine,
    pub(super) version: i64,
}

impl Work<'_> {
    pub(super) fn finish(&self) -> Result<OwnRotated, ServeError> {
        let mut sealed = 0;
        for _ in 0..TRIES {
            let once = self.seal_anew()?;
            sealed += once.sealed;
            if self.retire(once.closed)? {
                return Ok(OwnRotated { sealed, ..once });
            }
        }
        // The note stays, so that whoever runs this again ends it.
        Err(DbError::Busy.into())
    }

    /// Seals all of it anew that rests under an older key.
    fn seal_anew(&self) -> Result<OwnRotated, ServeError> {
        let mut done = OwnRotated { version: self.version, sealed: 0, closed: 0 };
        self.second_factors(&mut done)?;
        let at_issuers = Shelf { db: self.db, keys: self.keys, engine: self.engine };
        let (sealed, closed) = at_issuers.seal_anew(self.version, |rows| self.hold(rows))?;
        (done.sealed, done.closed) = (done.sealed + sealed, done.closed + closed);
        self.signing_key()?;
        done.closed += self.keys_below()?;
        Ok(done)
    }

    /// Keeps whoever does the same from another machine waiting until the transaction ends; `false` where they have ended
    /// it.
    fn hold(&self, rows: &mut dyn Rows) -> Result<bool, DbError> {
        let hold = "UPDATE settings SET value = value WHERE name = $1 AND value = $2";
        Ok(rows.execute(hold, values![NOTE, &self.version.to_string()])? > 0)
    }

    fn second_factors(&self, done: &mut OwnRotated) -> Result<(), ServeError> {
        let mut after = String::new();
        while let Some((last, sealed, closed)) = self.db.write(Reach::Server, |rows| -> Result<_, KeyError> {
            if self.hold(rows)? { totp::seal_anew(rows, self.keys, self.version, &after, PAGE) } else { Ok(None) }
        })? {
            after = last;
            (done.sealed, done.closed) = (done.sealed + sealed, done.closed + closed);
        }
        Ok(())
    }

    /// Wraps the keys of the organizations under the new one, and what is left of those of before. Gives how many do not
    /// open.
    fn keys_below(&self) -> Result<u64, ServeError> {
        let (mut page, mut closed) = (None, 0);
        while let Some(next) = self.db.write(Reach::Server, |rows| -> Result<_, KeyError> {
            if self.hold(rows)? { self.keys.rewrap_under_own(rows, page.take(), PAGE) } else { Ok(None) }
        })? {
            closed += next.closed;
            page = Some(next);
        }
        Ok(closed)
    }

    /// Puts another key in the place of the one that signs: whoever has the older one of the server may have it as well.
    fn signing_key(&self) -> Result<(), ServeError> {
        Ok(self.db.write(Reach::Server, |rows| -> Result<(), KeyError> {
            let older = "SELECT 1 FROM signing_keys WHERE COALESCE(key_version, 0) < $1 \
                         AND (retired IS NULL OR LENGTH(sealed) > 0)";
            if !self.hold(rows)? || rows.first(older, values![self.version])?.is_none() {
                return Ok(());
            }
            let id = SigningKey::replace(rows, self.keys, now())?;
            let event = Event::done("signing-key.replace", &id);
            audit::append(rows, self.keys, &server_scope(), &Actor::operator(), &event, now())
        })?)
    }

    /// Takes those of the older keys away under which nothing rests, and notes that it is done. `false` where more than
    /// the `closed` that do not open rests under them: somebody has put it there since.
    pub(super) fn retire(&self, closed: u64) -> Result<bool, ServeError> {
        is_retired(self.db.write(Reach::Server, |rows| -> Result<bool, KeyError> {
            if !self.hold(rows)? {
                return Ok(true);
            }
            rows.open(Closed::Secrets)?;
            let older = "SELECT version FROM server_keys WHERE version < $1 ORDER BY version";
            let mut left = 0;
            for mut row in rows.query(older, values![self.version])? {
                let version = row.int(0)?;
                let count = resting_under(rows, version)?;
                left += u64::try_from(count).unwrap_or_default();
                if count > 0 {
                    continue;
                }
                self.keys.retire_own(rows, version, now())?;
                let event = Event { detail: &format!("version {version}"), ..Event::done("server-key.retire", "") };
                audit::append(rows, self.keys, &server_scope(), &Actor::operator(), &event, now())?;
            }
            if left > closed {
                return Ok(false);
            }
            rows.execute("DELETE FROM settings WHERE name = $1", values![NOTE])?;
            Ok(true)
        }))
    }
}

/// How much rests under a version. What signs no more rests under none.
fn resting_under(rows: &mut dyn Rows, version: i64) -> Result<i64, DbError> {
    let count = "SELECT (SELECT COUNT(*) FROM second_factors WHERE COALESCE(key_version, 0) = $1) \
                 + (SELECT COUNT(*) FROM upstream_secrets WHERE COALESCE(key_version, 0) = $1) \
                 + (SELECT COUNT(*) FROM kept_upstream_secrets WHERE COALESCE(key_version, 0) = $1) \
                 + (SELECT COUNT(*) FROM organization_keys WHERE own_version = $1) \
                 + (SELECT COUNT(*) FROM audit_keys WHERE own_version = $1) \
                 + (SELECT COUNT(*) FROM server_key_remains WHERE own_version = $1) \
                 + (SELECT COUNT(*) FROM signing_keys WHERE COALESCE(key_version, 0) = $1 AND LENGTH(sealed) > 0)";
    rows.first(count, values![version])?.ok_or(DbError::Shape)?.int(0)
}
