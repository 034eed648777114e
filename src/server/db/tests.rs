//! A database for tests, and what every database must do.

use chrono::{DateTime, Utc};
use tempfile::TempDir;

use super::*;
use crate::server::engine::Engine;
use crate::server::keys::{Keys, Master};

/// A database with one organization, in a folder that goes with it.
pub(crate) struct Scratch {
    pub(crate) dir: TempDir,
    pub(crate) db: Database,
    pub(crate) keys: Keys,
    pub(crate) engine: Engine,
    pub(crate) org: OrgScope,
}

impl Scratch {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let db = Database::open(&Address::Sqlite(dir.path().join("server.db"))).unwrap();
        let keys = Keys::open(&db, &Master::File(&dir.path().join("master.key"))).unwrap();
        let scratch = Self { dir, db, keys, engine: Engine::default(), org: OrgScope::of("org_test") };
        scratch.organization(&scratch.org);
        scratch
    }

    /// Makes projects of the organization.
    pub(crate) fn projects(&self, names: &[&str]) {
        let make = "INSERT INTO projects (org, id, name, folded, created, revision) VALUES ($1, $2, $2, $2, 0, 1)";
        for name in names {
            self.db.write(Reach::Server, |rows| rows.execute(make, values![self.org.id(), *name])).unwrap();
        }
    }

    /// Makes an organization.
    pub(crate) fn organization(&self, org: &OrgScope) {
        self.db
            .write(Reach::Server, |rows| {
                rows.execute("INSERT INTO organizations (id, name, created) VALUES ($1, 'Test', 0)", values![org.id()])
                    .unwrap();
                self.keys.make(rows, org, DateTime::<Utc>::UNIX_EPOCH)
            })
            .unwrap();
    }
}

#[test]
fn what_fails_half_way_leaves_nothing() {
    let scratch = Scratch::new();
    let failed: Result<(), DbError> = scratch.db.write(Reach::Server, |rows| {
        rows.execute("INSERT INTO settings (name, value) VALUES ('a', 'b')", &[])?;
        Err(DbError::Shape)
    });
    assert!(failed.is_err());
    let left = scratch
        .db
        .read(Reach::Server, |rows| rows.first("SELECT value FROM settings WHERE name = $1", values!["a"]))
        .unwrap();
    assert!(left.is_none());
    let twice = scratch.db.write(Reach::Server, |rows| {
        rows.execute("INSERT INTO settings (name, value) VALUES ('a', 'b')", &[])?;
        rows.execute("INSERT INTO settings (name, value) VALUES ('a', 'c')", &[])
    });
    assert!(matches!(twice, Err(DbError::Twice(_))), "what nobody chose is no name");
    let project = |id: &'static str, folded: &'static str| {
        let make = "INSERT INTO projects (org, id, name, folded, created, revision) VALUES ($1, $2, 'Shop', $3, 0, 1)";
        let org = scratch.org.id();
        scratch.db.write(Reach::Server, |rows| rows.execute(make, values![org, id, folded]))
    };
    project("proj_1", "shop").unwrap();
    assert!(matches!(project("proj_2", "shop"), Err(DbError::Taken)));
    assert!(matches!(project("proj_1", "other"), Err(DbError::Twice(_))));
    let person = |id: &'static str| {
        let make = "INSERT INTO people (id, login, passphrase, created) VALUES ($1, 'alice', '-', 0)";
        scratch.db.write(Reach::Server, |rows| rows.execute(make, values![id]))
    };
    person("person_1").unwrap();
    assert!(matches!(person("person_2"), Err(DbError::Taken)));
}

#[test]
fn a_newer_or_a_foreign_database_is_refused() {
    let scratch = Scratch::new();
    let path = scratch.dir.path().join("server.db");
    scratch.db.write(Reach::Server, |rows| rows.batch("UPDATE schema_versions SET version = 99")).unwrap();
    let again = || Database::open(&Address::Sqlite(path.clone())).map(|_| ());
    assert!(matches!(again(), Err(DbError::Newer)));
    let foreign = scratch.dir.path().join("vault.db");
    drop(crate::store::Store::open(&foreign).unwrap());
    let opened = Database::open(&Address::Sqlite(foreign)).map(|_| ());
    assert!(matches!(opened, Err(DbError::Strange)));
}

#[test]
fn a_damaged_file_is_named_as_one() {
    let scratch = Scratch::new();
    scratch.db.look_over().unwrap();
    let path = scratch.dir.path().join("server.db");
    let Scratch { dir, db, .. } = scratch;
    let fill = "INSERT INTO settings (name, value) VALUES ($1, $2)";
    for number in 0..200 {
        let (name, value) = (format!("filler-{number}"), "x".repeat(400));
        db.write(Reach::Server, |rows| rows.execute(fill, values![&name, &value])).unwrap();
    }
    db.forget();
    drop(db);
    let mut bytes = std::fs::read(&path).unwrap();
    let place = bytes.windows(9).rposition(|some| some == b"filler-99").unwrap();
    let page = place / 4096 * 4096;
    bytes[page..page + 200].fill(0xff);
    std::fs::write(&path, bytes).unwrap();
    let looked = Database::open(&Address::Sqlite(path)).and_then(|db| db.look_over());
    assert!(matches!(looked, Err(DbError::Damaged(_))), "{looked:?}");
    drop(dir);
}

#[test]
fn a_master_key_of_another_server_opens_nothing() {
    let scratch = Scratch::new();
    let path = scratch.dir.path().join("master.key");
    assert!(Keys::open(&scratch.db, &Master::File(&path)).is_ok());
    std::fs::remove_file(&path).unwrap();
    assert!(Keys::open(&scratch.db, &Master::File(&path)).is_err(), "no new one is made in its place");
    let other = Scratch::new();
    std::fs::copy(other.dir.path().join("master.key"), &path).unwrap();
    assert!(Keys::open(&scratch.db, &Master::File(&path)).is_err());
}

#[test]
fn an_address_is_shown_without_its_password() {
    let data = Path::new("/data");
    let postgres = Address::parse("postgres://user:hunter2@db.example:5433/lanyard", data).unwrap();
    assert_eq!(postgres.in_words(), "postgres://db.example:5433/lanyard");
    assert_eq!(Address::parse("sqlite:server.db", data), Some(Address::Sqlite("/data/server.db".into())));
    for bad in ["", "sqlite:", "mysql://host/db", "postgres://", "server.db"] {
        assert_eq!(Address::parse(bad, data), None, "{bad}");
    }
}
