//! What the server's own key wraps: the keys of the organizations, what proves their audit of before, and what remains of
//! own keys that were replaced. The master key wraps the own keys alone.
//!
//! Whatever rests under an own key refers to it by a foreign key in the database, so that it cannot go before. An earlier
//! version of the program wrapped all of it under the master key: that is opened as it is, and wrapped anew at the next
//! start.

use super::own::remains_place;
use super::{KeyError, Keys, hold};
use crate::server::db::{Database, DbError, OrgScope, Reach, Row, Rows, Value, values};
use crate::vault::seal::{DoesNotOpen, Key};

/// What an own key wraps others for.
const PURPOSE: &str = "keys";
/// The tables of what is wrapped so, each with what names a row beside its first column.
const TABLES: [Table; 3] = [
    Table { name: "organization_keys", first: "org", second: "version" },
    Table { name: "audit_keys", first: "org", second: "version" },
    Table { name: "server_key_remains", first: "purpose", second: "version" },
];

/// A table of wrapped keys.
struct Table {
    name: &'static str,
    first: &'static str,
    second: &'static str,
}

/// A key as it rests, with the own key that it is wrapped under; none where that is the master key.
pub(crate) struct Wrapped {
    pub(super) bytes: Vec<u8>,
    under: Option<(i64, String)>,
}

impl Wrapped {
    /// Reads the columns `wrapped` and `own_version` of a row, and `wrapped` of that own key, of which the first comes
    /// there. They are of one statement: either may be replaced between two.
    pub(crate) fn read(row: &mut Row, at: usize) -> Result<Option<Self>, DbError> {
        let Some(bytes) = row.maybe_bytes(at)? else { return Ok(None) };
        let under = match row.maybe_int(at + 1)? {
            Some(version) => Some((version, row.text(at + 2)?)),
            None => None,
        };
        Ok(Some(Self { bytes, under }))
    }

    /// The same of a row that has one.
    pub(super) fn of(row: &mut Row, at: usize) -> Result<Self, DbError> {
        Self::read(row, at)?.ok_or(DbError::Shape)
    }
}

/// What a page of wrapped keys came to.
pub(crate) struct Page {
    after: (usize, String, i64),
    /// So many do not open, and stay as they are.
    pub(crate) closed: u64,
}

impl Keys {
    /// Wraps a key, or what else is as secret, under the own key in force, which nobody replaces before this transaction
    /// ends. Gives the version of that as well.
    pub(super) fn wrap_under_own(
        &self,
        rows: &mut dyn Rows,
        parts: &[&str],
        seal: impl FnOnce(&Key, &[&str]) -> Result<Vec<u8>, getrandom::Error>,
    ) -> Result<(i64, Vec<u8>), KeyError> {
        let (version, own) = self.own_to_seal(rows)?;
        Ok((version, seal(&wrapping(&own)?, parts).map_err(|_| KeyError::NoRandom)?))
    }

    /// Unwraps what rests under an own key.
    pub(super) fn unwrapped(&self, rows: &mut dyn Rows, wrapped: &Wrapped, parts: &[&str]) -> Result<Key, KeyError> {
        self.by_level(rows, wrapped, |key| key.unwrap(&wrapped.bytes, parts))
    }

    /// Does something with the key that this is wrapped under.
    pub(super) fn by_level<T>(
        &self,
        rows: &mut dyn Rows,
        wrapped: &Wrapped,
        work: impl Fn(&Key) -> Result<T, DoesNotOpen>,
    ) -> Result<T, KeyError> {
        match &wrapped.under {
            Some((version, own)) => {
                let own = self.own_opened(rows, *version, own.clone())?;
                work(&wrapping(&own)?).map_err(|_| KeyError::DoesNotOpen)
            }
            None => self.by_master(rows, work),
        }
    }

    /// Wraps what an earlier version of the program has wrapped under the master key under the own key in force.
    pub(super) fn convert(&self, database: &Database) -> Result<(), KeyError> {
        let is_old = |rows: &mut dyn Rows| -> Result<bool, DbError> {
            let old = "SELECT 1 FROM organization_keys WHERE own_version IS NULL UNION ALL \
                       SELECT 1 FROM audit_keys WHERE own_version IS NULL UNION ALL \
                       SELECT 1 FROM server_key_remains WHERE own_version IS NULL";
            Ok(rows.first(&format!("{old} LIMIT 1"), &[])?.is_some())
        };
        if !database.read(Reach::Server, is_old)? {
            return Ok(());
        }
        let closed = database.write(Reach::Server, |rows| self.convert_in(rows))?;
        if closed > 0 {
            tracing::warn!(closed, "keys of an earlier version do not open, and stay as they are");
        }
        // What rested under the master key is overwritten.
        database.forget();
        Ok(())
    }

    /// The same within a transaction. Gives how many do not open, and stay as they are.
    pub(super) fn convert_in(&self, rows: &mut dyn Rows) -> Result<u64, KeyError> {
        // Of two that start at once, the second waits here, and finds it done.
        hold(rows)?;
        let mut closed = 0;
        for table in &TABLES {
            let Table { name, first, second } = table;
            let old = format!(
                "SELECT {first}, {second}, wrapped, own_version, NULL FROM {name} WHERE own_version IS NULL \
                 ORDER BY {first}, {second}"
            );
            closed += self.wrap_anew(rows, table, &old, &[])?.1;
        }
        Ok(closed)
    }

    /// Wraps some of what rests under older own keys under the one in force, after a page; `None` where there is no more.
    pub(crate) fn rewrap_under_own(
        &self,
        rows: &mut dyn Rows,
        before: Option<Page>,
        most: i64,
    ) -> Result<Option<Page>, KeyError> {
        // Held before what rests under it, as whoever replaces it does.
        let (newest, _) = self.own_to_seal(rows)?;
        let (mut at, mut first_of, mut second_of) = before.map_or((0, String::new(), -1), |page| page.after);
        while let Some(table) = TABLES.get(at) {
            let Table { name, first, second } = table;
            let some = format!(
                "SELECT t.{first}, t.{second}, t.wrapped, t.own_version, s.wrapped FROM {name} t \
                 JOIN server_keys s ON s.version = t.own_version \
                 WHERE t.own_version < $1 AND (t.{first}, t.{second}) > ($2, $3) \
                 ORDER BY t.{first}, t.{second} LIMIT $4"
            );
            let page = self.wrap_anew(rows, table, &some, values![newest, &first_of, second_of, most])?;
            if let (Some((first, second)), closed) = page {
                return Ok(Some(Page { after: (at, first, second), closed }));
            }
            (at, first_of, second_of) = (at + 1, String::new(), -1);
        }
        Ok(None)
    }

    /// Wraps the rows that a statement gives under the own key in force. Gives the last of them, and how many do not open.
    fn wrap_anew(
        &self,
        rows: &mut dyn Rows,
        table: &Table,
        some: &str,
        of: &[Value<'_>],
    ) -> Result<(Option<(String, i64)>, u64), KeyError> {
        let Table { name, first, second } = table;
        let keep = format!("UPDATE {name} SET wrapped = $3, own_version = $4 WHERE {first} = $1 AND {second} = $2");
        let (mut last, mut closed) = (None, 0);
        for mut row in rows.query(some, of)? {
            let (whose, version) = (row.text(0)?, row.int(1)?);
            let wrapped = Wrapped::of(&mut row, 2)?;
            let (scope, number) = (OrgScope::of(whose.clone()), version.to_string());
            let parts = match *name {
                "organization_keys" => self.place(&scope, &number),
                "audit_keys" => self.audit_place(&scope, &number),
                _ => remains_place(&self.instance, &number, &whose),
            };
            match self.by_level(rows, &wrapped, |key| key.open(&wrapped.bytes, &parts)) {
                Ok(plain) => {
                    let (own, again) = self.wrap_under_own(rows, &parts, |key, parts| key.seal(&plain, parts))?;
                    rows.execute(&keep, values![&whose, version, &again, own])?;
                }
                Err(KeyError::DoesNotOpen) => closed += 1,
                Err(failure) => return Err(failure),
            }
            last = Some((whose, version));
        }
        Ok((last, closed))
    }
}

/// The key that an own key wraps others with.
fn wrapping(own: &Key) -> Result<Key, KeyError> {
    own.derived(PURPOSE).ok_or(KeyError::None)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use chrono::DateTime;

    use super::super::{Master, own};
    use super::*;
    use crate::server::db::tests::{Scratch, tamper};

    fn count(db: &Database, sql: &str) -> i64 {
        db.read(Reach::Server, |rows| rows.first(sql, &[])?.ok_or(DbError::Shape)?.int(0)).unwrap()
    }

    fn left(db: &Database) -> i64 {
        let left = "SELECT (SELECT COUNT(*) FROM organization_keys WHERE own_version IS NULL) + (SELECT COUNT(*) FROM \
                    audit_keys WHERE own_version IS NULL) + (SELECT COUNT(*) FROM server_key_remains WHERE own_version \
                    IS NULL)";
        count(db, left)
    }

    /// A server of an earlier version of the program: it has replaced its own key and that of its organization, and all of
    /// it rests under the master key.
    struct Earlier {
        scratch: Scratch,
        org: OrgScope,
        file: PathBuf,
    }

    impl Earlier {
        fn new() -> Self {
            let scratch = Scratch::new();
            let (org, now) = (OrgScope::of("org_test"), DateTime::UNIX_EPOCH);
            let keys = &scratch.keys;
            scratch
                .db
                .write(Reach::Server, |rows| -> Result<(), KeyError> {
                    keys.next(rows, &org, now)?;
                    keys.retire(rows, &org, 1)?;
                    keys.next_own(rows, now)?;
                    keys.rewrap_under_own(rows, None, 50)?;
                    keys.rewrap_under_own(rows, None, 50)?;
                    keys.retire_own(rows, 0, now)?;
                    let master = keys.held().pop().unwrap();
                    for table in &TABLES {
                        let Table { name, first, second } = table;
                        let all = format!(
                            "SELECT t.{first}, t.{second}, t.wrapped, t.own_version, s.wrapped FROM {name} t \
                             JOIN server_keys s ON s.version = t.own_version"
                        );
                        for mut row in rows.query(&all, &[])? {
                            let (whose, version) = (row.text(0)?, row.int(1)?);
                            let wrapped = Wrapped::of(&mut row, 2)?;
                            let (scope, number) = (OrgScope::of(whose.clone()), version.to_string());
                            let parts = match *name {
                                "organization_keys" => keys.place(&scope, &number),
                                "audit_keys" => keys.audit_place(&scope, &number),
                                _ => remains_place(&keys.instance, &number, &whose),
                            };
                            let plain = keys.by_level(rows, &wrapped, |key| key.open(&wrapped.bytes, &parts))?;
                            let keep = format!(
                                "UPDATE {name} SET wrapped = $3, own_version = NULL WHERE {first} = $1 AND {second} = $2"
                            );
                            let again = master.seal(&plain, &parts).unwrap();
                            rows.execute(&keep, values![&whose, version, &again])?;
                        }
                    }
                    Ok(())
                })
                .unwrap();
            let file = scratch.dir.path().join("master.key");
            let earlier = Self { scratch, org, file };
            assert!(left(&earlier.scratch.db) >= 7);
            earlier
        }

        fn open(&self) -> Keys {
            Keys::open(&self.scratch.db, &Master::File(&self.file)).unwrap()
        }

        /// What its keys make of the same text.
        fn codes(&self, keys: &Keys) -> Vec<[u8; 32]> {
            self.scratch
                .db
                .read(Reach::Server, |rows| -> Result<_, KeyError> {
                    let (_, newest) = keys.newest(rows, &self.org)?;
                    let before = keys.of_audit(rows, &self.org, 1)?;
                    let mut all = vec![newest.code(&[b"a"]), before.code(&[b"a"])];
                    all.extend(keys.all_derived(rows, "audit")?.iter().map(|key| key.code(&[b"a"])));
                    assert_eq!(keys.statement_keys(rows)?.len(), 2);
                    Ok(all)
                })
                .unwrap()
        }
    }

    #[test]
    fn what_an_earlier_version_has_left_is_wrapped_anew_at_the_start() {
        let earlier = Earlier::new();
        let db = &earlier.scratch.db;
        let place = Master::File(&earlier.file);
        // Whoever only looks changes nothing, and opens it as it is.
        let looks = Keys::existing(db, &place).unwrap();
        let codes = earlier.codes(&looks);
        assert!(left(db) >= 7);
        // Whoever dies in between has done nothing.
        let dies = db.write(Reach::Server, |rows| {
            looks.convert_in(rows)?;
            Err::<(), KeyError>(KeyError::None)
        });
        assert!(dies.is_err() && left(db) >= 7);
        assert_eq!(earlier.codes(&looks), codes);
        let keys = std::thread::scope(|scope| {
            let both = [(); 2].map(|()| scope.spawn(|| earlier.open()));
            both.map(|one| one.join().unwrap())
        });
        assert_eq!(left(db), 0);
        for keys in keys.iter().chain([&looks, &earlier.open()]) {
            assert_eq!(earlier.codes(keys), codes);
        }
    }

    #[test]
    fn one_that_does_not_open_holds_up_no_start() {
        let earlier = Earlier::new();
        let db = &earlier.scratch.db;
        tamper(db, "UPDATE audit_keys SET wrapped = substr(wrapped, 1, length(wrapped) - 1)");
        let keys = earlier.open();
        assert_eq!(left(db), 1);
        assert!(db.read(Reach::Server, |rows| keys.newest(rows, &earlier.org)).is_ok());
        assert!(db.read(Reach::Server, |rows| keys.of_audit(rows, &earlier.org, 1)).is_err());
    }

    #[test]
    fn the_master_key_opens_the_own_keys_and_nothing_below_them() {
        let scratch = Scratch::new();
        let keys = &scratch.keys;
        scratch
            .db
            .write(Reach::Server, |rows| -> Result<(), KeyError> {
                let org = OrgScope::of("org_test");
                keys.next(rows, &org, DateTime::UNIX_EPOCH)?;
                keys.retire(rows, &org, 1)?;
                let (master, (_, own)) = (keys.held().pop().unwrap(), keys.own(rows)?);
                let mut row = rows.first("SELECT version, wrapped FROM organization_keys", &[])?.unwrap();
                let (number, wrapped) = (row.int(0)?.to_string(), row.bytes(1)?);
                let parts = keys.place(&org, &number);
                assert!(master.unwrap(&wrapped, &parts).is_err() && own.unwrap(&wrapped, &parts).is_err());
                assert!(wrapping(&own)?.unwrap(&wrapped, &parts).is_ok());
                let audit = rows.first("SELECT wrapped FROM audit_keys", &[])?.unwrap().bytes(0)?;
                assert!(master.unwrap(&audit, &keys.audit_place(&org, "1")).is_err());
                let own =
                    STANDARD.decode(rows.first("SELECT wrapped FROM server_keys", &[])?.unwrap().text(0)?).unwrap();
                assert!(master.unwrap(&own, &own::place(&keys.instance, "0")).is_ok());
                Ok(())
            })
            .unwrap();
    }

    /// A key that is said to be wrapped under another own key opens no more than a damaged one.
    #[test]
    fn a_key_that_is_said_to_rest_elsewhere_does_not_open() {
        for said in ["1", "NULL"] {
            let scratch = Scratch::new();
            let (keys, org) = (&scratch.keys, OrgScope::of("org_test"));
            scratch.db.write(Reach::Server, |rows| keys.next_own(rows, DateTime::UNIX_EPOCH)).unwrap();
            let change = format!("UPDATE organization_keys SET own_version = {said}");
            scratch.db.write(Reach::Server, |rows| rows.batch(&change)).unwrap();
            keys.forget(&org);
            let opened = scratch.db.read(Reach::Server, |rows| keys.newest(rows, &org).map(|_| ()));
            assert!(matches!(opened, Err(KeyError::DoesNotOpen)), "{said}");
        }
    }
}
