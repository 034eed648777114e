//! The server's own keys, from which every purpose that belongs to no organization has its key.
//!
//! They have versions, the highest of which is in force, and wrap the keys of the organizations. What rests sealed
//! under one refers to it by a foreign key in the database, so that it cannot go before. What goes on being asked of
//! one that was replaced, such as whether an entry of the audit is of its time, is asked of keys for these purposes
//! alone, which are kept in its place: nothing else can be had of them.

use std::sync::{Arc, MutexGuard, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, TimeDelta, Utc};

use super::{FORM, KeyError, Keys, LOOK, Wrapped, hold};
use crate::server::bridge::blocking;
use crate::server::db::{Database, DbError, Reach, Rows, values};
use crate::server::state::{self, Server};
use crate::vault::seal::Key;
use crate::vault::trail::Signer;

/// What the statements about the audit are signed for.
const STATEMENTS: &str = "audit-statements";
/// What goes on being asked of a key that was replaced, and for how long; for ever where nothing is said.
const REMAINS: [(&str, Option<TimeDelta>); 4] = [
    ("audit", None),
    ("idempotency", Some(TimeDelta::hours(25))),
    ("upstream-errands", Some(TimeDelta::hours(1))),
    ("connect", Some(TimeDelta::hours(1))),
];

/// One that was opened, with the form that it was opened from.
pub(super) struct Own {
    version: i64,
    wrapped: String,
    key: Arc<Key>,
}

/// What one is bound to. The first is of before there were versions.
pub(super) fn place<'p>(instance: &'p str, version: &'p str) -> Vec<&'p str> {
    let mut parts = vec![FORM, "server-key", instance];
    if version != "0" {
        parts.push(version);
    }
    parts
}

/// What a key for one purpose that remains of one is bound to.
pub(super) fn remains_place<'p>(instance: &'p str, version: &'p str, purpose: &'p str) -> [&'p str; 5] {
    [FORM, "server-key-remains", instance, version, purpose]
}

/// All that there are, each with its wrapped form; the one in force comes last.
fn all(rows: &mut dyn Rows) -> Result<Vec<(i64, String)>, DbError> {
    let all = rows.query("SELECT version, wrapped FROM server_keys ORDER BY version", &[])?;
    all.into_iter().map(|mut row| Ok((row.int(0)?, row.text(1)?))).collect()
}

/// Makes the first one, unless there is one. Another instance may be faster: then its word counts.
pub(super) fn make_first(database: &Database, master: &Key, instance: &str) -> Result<(), KeyError> {
    if !database.read(Reach::Server, all)?.is_empty() {
        return Ok(());
    }
    let made = Key::random().and_then(|key| master.wrap(&key, &place(instance, "0")));
    let made = STANDARD.encode(made.map_err(|_| KeyError::NoRandom)?);
    let keep =
        "INSERT INTO server_keys (version, wrapped, created) VALUES (0, $1, $2) ON CONFLICT (version) DO NOTHING";
    let at = state::now().timestamp_millis();
    database.write(Reach::Server, |rows| rows.execute(keep, values![&made, at]))?;
    Ok(())
}

/// Opens all of them with a master key.
pub(super) fn opened(rows: &mut dyn Rows, master: &Key, instance: &str) -> Result<Vec<Own>, KeyError> {
    let mut own = Vec::new();
    for (version, wrapped) in all(rows)? {
        let bytes = STANDARD.decode(&wrapped).map_err(|_| DbError::Shape)?;
        let key = master.unwrap(&bytes, &place(instance, &version.to_string())).map_err(|_| KeyError::DoesNotOpen)?;
        own.push(Own { version, wrapped, key: Arc::new(key) });
    }
    if own.is_empty() { Err(KeyError::None) } else { Ok(own) }
}

/// The key that signs statements about the audit.
fn signer(own: &Key) -> Option<Signer> {
    Signer::of(&own.derived(STATEMENTS)?.code(&[b"seed"]))
}

fn public(own: &Key) -> Result<Vec<u8>, KeyError> {
    let public = signer(own).and_then(|signer| STANDARD.decode(signer.public()).ok());
    public.ok_or(KeyError::None)
}

impl Keys {
    /// A key for a purpose of the server's own, for what a moment passes over: another instance may hold an older one for
    /// as long as that takes.
    pub(crate) fn derived(&self, purpose: &str) -> Option<Key> {
        self.own_held().last()?.key.derived(purpose)
    }

    /// The key in force, and its version.
    pub(crate) fn own(&self, rows: &mut dyn Rows) -> Result<(i64, Arc<Key>), KeyError> {
        let newest = "SELECT version, wrapped FROM server_keys ORDER BY version DESC LIMIT 1";
        let mut row = rows.first(newest, &[])?.ok_or(KeyError::None)?;
        let (version, wrapped) = (row.int(0)?, row.text(1)?);
        Ok((version, self.own_opened(rows, version, wrapped)?))
    }

    /// The same for what is to rest under it: nobody replaces it before this transaction ends.
    pub(crate) fn own_to_seal(&self, rows: &mut dyn Rows) -> Result<(i64, Arc<Key>), KeyError> {
        hold(rows)?;
        self.own(rows)
    }

    /// The key of a purpose that a version has, also of one of which no more is left than that.
    pub(crate) fn derived_of(&self, rows: &mut dyn Rows, version: i64, purpose: &str) -> Result<Key, KeyError> {
        let one = "SELECT wrapped FROM server_keys WHERE version = $1";
        if let Some(mut row) = rows.first(one, values![version])? {
            let wrapped = row.text(0)?;
            return self.own_opened(rows, version, wrapped)?.derived(purpose).ok_or(KeyError::None);
        }
        let left = "SELECT r.wrapped, r.own_version, s.wrapped FROM server_key_remains r \
                    LEFT JOIN server_keys s ON s.version = r.own_version WHERE r.version = $1 AND r.purpose = $2";
        let mut row = rows.first(left, values![version, purpose])?.ok_or(KeyError::None)?;
        let wrapped = Wrapped::of(&mut row, 0)?;
        self.unwrapped(rows, &wrapped, &remains_place(&self.instance, &version.to_string(), purpose))
    }

    /// Every key that a purpose has or had, the one in force first.
    pub(crate) fn all_derived(&self, rows: &mut dyn Rows, purpose: &str) -> Result<Vec<Key>, KeyError> {
        let every = "SELECT version FROM server_keys UNION SELECT version FROM server_key_remains WHERE purpose = $1 \
                     ORDER BY version DESC";
        let mut keys = Vec::new();
        for mut row in rows.query(every, values![purpose])? {
            let version = row.int(0)?;
            keys.push(self.derived_of(rows, version, purpose)?);
        }
        Ok(keys)
    }

    /// The key that signs statements about the audit now.
    pub(crate) fn statement_signer(&self) -> Option<Signer> {
        signer(&self.own_held().last()?.key)
    }

    /// The public keys of all who have signed statements about the audit, the one that does so now first.
    pub(crate) fn statement_keys(&self, rows: &mut dyn Rows) -> Result<Vec<Vec<u8>>, KeyError> {
        let mut keys = Vec::new();
        for (version, wrapped) in all(rows)?.into_iter().rev() {
            keys.push(public(&*self.own_opened(rows, version, wrapped)?)?);
        }
        let left = "SELECT r.version, r.wrapped, r.own_version, s.wrapped FROM server_key_remains r \
                    LEFT JOIN server_keys s ON s.version = r.own_version WHERE r.purpose = $1 ORDER BY r.version DESC";
        for mut row in rows.query(left, values![STATEMENTS])? {
            let (version, wrapped) = (row.int(0)?, Wrapped::of(&mut row, 1)?);
            let number = version.to_string();
            let parts = remains_place(&self.instance, &number, STATEMENTS);
            keys.push(self.by_level(rows, &wrapped, |key| key.open(&wrapped.bytes, &parts))?.to_vec());
        }
        Ok(keys)
    }

    /// Makes the next one, under which everything new is sealed from now on. Gives its version.
    pub(crate) fn next_own(&self, rows: &mut dyn Rows, now: DateTime<Utc>) -> Result<i64, KeyError> {
        let master = self.proven(&hold(rows)?)?;
        let version = self.own(rows)?.0 + 1;
        let key = Key::random().map_err(|_| KeyError::NoRandom)?;
        let wrapped = master.wrap(&key, &place(&self.instance, &version.to_string()));
        let wrapped = STANDARD.encode(wrapped.map_err(|_| KeyError::NoRandom)?);
        let keep = "INSERT INTO server_keys (version, wrapped, created) VALUES ($1, $2, $3)";
        rows.execute(keep, values![version, &wrapped, now.timestamp_millis()])?;
        Ok(version)
    }

    /// Takes one away that nothing rests under any more. What goes on being asked of it stays, under the one in force.
    pub(crate) fn retire_own(&self, rows: &mut dyn Rows, version: i64, now: DateTime<Utc>) -> Result<(), KeyError> {
        let one = "SELECT wrapped FROM server_keys WHERE version = $1";
        let wrapped = rows.first(one, values![version])?.ok_or(KeyError::None)?.text(0)?;
        let own = self.own_opened(rows, version, wrapped)?;
        for (purpose, life) in REMAINS {
            let key = own.derived(purpose).ok_or(KeyError::None)?;
            let until = life.map(|life| (now + life).timestamp_millis());
            self.keep_remains(rows, version, (purpose, until), |own, parts| own.wrap(&key, parts))?;
        }
        // Of what signed, the public half alone: nobody signs with it any more.
        let public = public(&own)?;
        self.keep_remains(rows, version, (STATEMENTS, None), |own, parts| own.seal(&public, parts))?;
        rows.execute("DELETE FROM server_keys WHERE version = $1", values![version])?;
        Ok(())
    }

    fn keep_remains(
        &self,
        rows: &mut dyn Rows,
        version: i64,
        (purpose, until): (&str, Option<i64>),
        seal: impl FnOnce(&Key, &[&str]) -> Result<Vec<u8>, getrandom::Error>,
    ) -> Result<(), KeyError> {
        let number = version.to_string();
        let (own, wrapped) = self.wrap_under_own(rows, &remains_place(&self.instance, &number, purpose), seal)?;
        rows.execute(
            "INSERT INTO server_key_remains (version, purpose, wrapped, until, own_version) VALUES ($1, $2, $3, $4, $5)",
            values![version, purpose, &wrapped, until, own],
        )?;
        Ok(())
    }

    /// Holds those that there are now, and no others.
    pub(crate) fn follow(&self, db: &Database) -> Result<(), KeyError> {
        db.read(Reach::Server, |rows| {
            let all = all(rows)?;
            for (version, wrapped) in &all {
                self.own_opened(rows, *version, wrapped.clone())?;
            }
            // While a backup is brought back, PostgreSQL shows whoever began before an empty table (TRUNCATE is not of an
            // instant): there is always a key, and the next look finds it.
            if !all.is_empty() {
                self.own_held().retain(|held| all.iter().any(|(version, _)| *version == held.version));
            }
            Ok(())
        })
    }

    fn own_held(&self) -> MutexGuard<'_, Vec<Own>> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The one that is wrapped so.
    pub(super) fn own_opened(&self, rows: &mut dyn Rows, version: i64, wrapped: String) -> Result<Arc<Key>, KeyError> {
        let is_it = |held: &&Own| held.version == version && held.wrapped == wrapped;
        if let Some(held) = self.own_held().iter().find(is_it) {
            return Ok(Arc::clone(&held.key));
        }
        let bytes = STANDARD.decode(&wrapped).map_err(|_| DbError::Shape)?;
        let number = version.to_string();
        let parts = place(&self.instance, &number);
        let key = Arc::new(self.by_master(rows, |master| master.unwrap(&bytes, &parts))?);
        let mut held = self.own_held();
        held.retain(|held| held.version != version);
        held.push(Own { version, wrapped, key: Arc::clone(&key) });
        held.sort_by_key(|held| held.version);
        Ok(key)
    }
}

/// Takes over what others put into force, for as long as the server lives.
pub(crate) async fn following(server: Arc<Server>) {
    loop {
        tokio::time::sleep(LOOK).await;
        // A database that does not answer is told where it is needed.
        let _ = blocking(&server, |server| Ok(server.keys.follow(&server.db)?)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::db::tests::Scratch;

    #[test]
    fn what_remains_of_one_is_what_is_asked_of_it_and_no_more() {
        let scratch = Scratch::new();
        let now = DateTime::<Utc>::UNIX_EPOCH;
        let of = |purpose: &str| {
            let key = scratch.db.read(Reach::Server, |rows| scratch.keys.derived_of(rows, 0, purpose));
            key.map(|key| key.code(&[b"code"]))
        };
        let public = || scratch.db.read(Reach::Server, |rows| scratch.keys.statement_keys(rows)).unwrap();
        let (before, signed) = (of("audit").unwrap(), public());
        let retire = || scratch.db.write(Reach::Server, |rows| scratch.keys.retire_own(rows, 0, now));
        let next = scratch.db.write(Reach::Server, |rows| {
            rows.batch(
                "INSERT INTO people (id, login, passphrase, created) VALUES ('p', 'p', '-', 0); \
                 INSERT INTO second_factors (person, sealed, created, step, key_version) VALUES ('p', '', 0, 0, 0)",
            )?;
            scratch.keys.next_own(rows, now)
        });
        assert_eq!(next.unwrap(), 1);
        assert!(retire().is_err(), "something rests under it");
        scratch.db.write(Reach::Server, |rows| rows.batch("DELETE FROM second_factors")).unwrap();
        assert!(retire().is_err(), "the key of an organization does");
        let page = scratch.db.write(Reach::Server, |rows| scratch.keys.rewrap_under_own(rows, None, 50)).unwrap();
        assert_eq!(page.unwrap().closed, 0);
        retire().unwrap();
        scratch.keys.follow(&scratch.db).unwrap();
        assert_eq!(of("audit").unwrap(), before);
        assert!(matches!(of("second-factors"), Err(KeyError::None)));
        assert_eq!(public()[1..], signed[..]);
        let newest = scratch.db.read(Reach::Server, |rows| scratch.keys.own(rows)).unwrap();
        assert_eq!(newest.0, 1);
        assert_eq!(
            scratch.keys.derived("form").unwrap().code(&[b"a"]),
            newest.1.derived("form").unwrap().code(&[b"a"])
        );
        let codes = scratch.db.read(Reach::Server, |rows| scratch.keys.all_derived(rows, "idempotency")).unwrap();
        assert_eq!(codes.len(), 2);
    }
}
