//! A database for tests, and what every database must do.

use chrono::{DateTime, Utc};
use tempfile::TempDir;

use super::*;
use crate::server::engine::Engine;
use crate::server::keys::{Keys, Master};

/// The variable with the URL of a PostgreSQL on which the databases of these tests are made, by a role that may. Without
/// it, each is a file.
const ON: &str = "LANYARD_TESTS_DATABASE";

/// Where a new database is.
pub(crate) fn fresh(folder: &Path) -> Address {
    let Ok(server) = std::env::var(ON) else { return Address::Sqlite(folder.join("server.db")) };
    let name = format!("scratch_{}", crate::server::random::base62(12).unwrap().to_lowercase());
    let mut client = ::postgres::Client::connect(&server, ::postgres::NoTls).unwrap();
    client.batch_execute(&format!("CREATE DATABASE {name}")).unwrap();
    let mut url = Url::parse(&server).unwrap();
    url.set_path(&name);
    Address::Postgres(url)
}

fn is_a_file(db: &Database) -> bool {
    matches!(db.engine, super::Engine::Sqlite(_))
}

/// Does to the tables what nobody but their owner can, who has opened what is closed else.
pub(crate) fn tamper(db: &Database, statements: &str) {
    let late = if is_a_file(db) { "PRAGMA defer_foreign_keys = ON; " } else { "" };
    db.write(Reach::Server, |rows| {
        rows.open(Closed::History)?;
        rows.batch(&format!("{late}{statements}"))
    })
    .unwrap();
}

/// Has a table take no row any more for which this holds, of `NEW`.
pub(crate) fn close(db: &Database, table: &str, condition: &str) {
    let statements = if is_a_file(db) {
        format!(
            "CREATE TRIGGER closed BEFORE INSERT ON {table} WHEN {condition} BEGIN SELECT RAISE(ABORT, 'closed'); END"
        )
    } else {
        format!(
            "CREATE FUNCTION closed() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'closed'; END $$; \
             CREATE TRIGGER closed BEFORE INSERT ON {table} FOR EACH ROW WHEN ({condition}) EXECUTE FUNCTION closed()"
        )
    };
    db.write(Reach::Server, |rows| rows.batch(&statements)).unwrap();
}

/// Has a statement be carried out whenever a row of a table is changed, right before.
pub(crate) fn meanwhile(db: &Database, table: &str, statement: &str) {
    let begin = format!("CREATE TRIGGER meanwhile BEFORE UPDATE ON {table}");
    let statements = if is_a_file(db) {
        format!("{begin} BEGIN {statement}; END")
    } else {
        format!(
            "CREATE FUNCTION meanwhile() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {statement}; RETURN NEW; END $$; \
             {begin} FOR EACH ROW EXECUTE FUNCTION meanwhile()"
        )
    };
    db.write(Reach::Server, |rows| rows.batch(&statements)).unwrap();
}

/// Has it take them again.
pub(crate) fn reopen(db: &Database, table: &str) {
    let statements = if is_a_file(db) {
        "DROP TRIGGER closed".to_owned()
    } else {
        format!("DROP TRIGGER closed ON {table}; DROP FUNCTION closed")
    };
    db.write(Reach::Server, |rows| rows.batch(&statements)).unwrap();
}

/// A database with one organization, in a folder that goes with it.
pub(crate) struct Scratch {
    pub(crate) dir: TempDir,
    pub(crate) address: Address,
    pub(crate) db: Database,
    pub(crate) keys: Keys,
    pub(crate) engine: Engine,
    pub(crate) org: OrgScope,
}

impl Scratch {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let address = fresh(dir.path());
        let db = Database::open(&address).unwrap();
        let keys = Keys::open(&db, &Master::File(&dir.path().join("master.key"))).unwrap();
        let scratch = Self { dir, address, db, keys, engine: Engine::default(), org: OrgScope::of("org_test") };
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

/// PostgreSQL takes the order to keep everything as one to undo everything, once a statement has failed, and says no word.
#[test]
fn who_goes_on_after_a_failed_statement_is_told_what_became_of_it() {
    let scratch = Scratch::new();
    let keep = "INSERT INTO settings (name, value) VALUES ($1, 'b')";
    let done: Result<(), DbError> = scratch.db.write(Reach::Server, |rows| {
        rows.execute(keep, values!["a"])?;
        assert!(matches!(rows.execute(keep, values!["a"]), Err(DbError::Twice(_))));
        // Whether this is taken is not looked at.
        let _ = rows.execute(keep, values!["b"]);
        Ok(())
    });
    let kept = "SELECT COUNT(*) FROM settings WHERE name IN ('a', 'b')";
    let kept = scratch.db.read(Reach::Server, |rows| rows.first(kept, &[])?.ok_or(DbError::Shape)?.int(0)).unwrap();
    assert_eq!((done.is_ok(), kept), if is_a_file(&scratch.db) { (true, 2) } else { (false, 0) });
    let referring = "INSERT INTO second_factors (person, sealed, created, step) VALUES ('nobody', $1, 0, 0)";
    let refused = scratch.db.write(Reach::Server, |rows| rows.execute(referring, values![&vec![0_u8]]));
    assert!(matches!(refused, Err(DbError::Linked(_))), "there is no such person");
}

#[test]
fn a_newer_or_a_foreign_database_is_refused() {
    let scratch = Scratch::new();
    scratch.db.write(Reach::Server, |rows| rows.batch("UPDATE schema_versions SET version = 99")).unwrap();
    let again = || Database::open(&scratch.address).map(|_| ());
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
