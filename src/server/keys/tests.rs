//! A master key that another key wraps, over a network: who holds it when, and what two do who replace it at once.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use super::replaced::READING;
use super::*;
use crate::secret::Secret;
use crate::server::db::Reach;
use crate::server::db::tests::{Scratch, fresh};
use crate::server::keeper::tests::{Inside, double};
use crate::server::keeper::{Login, Transit};

/// A database with one organization whose master key a keeper in memory wraps.
struct Far {
    _dir: tempfile::TempDir,
    db: Database,
    transit: Transit,
    inside: Arc<Mutex<Inside>>,
    org: OrgScope,
}

impl Far {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let db = Database::open(&fresh(dir.path())).unwrap();
        let (keeper, inside) = double(Login::Token(Secret::new("given".into())));
        let transit = Transit { keeper, mount: "transit".into(), name: "lanyard".into() };
        let far = Self { _dir: dir, db, transit, inside, org: OrgScope::of("org_test") };
        let keys = far.open();
        far.db
            .write(Reach::Server, |rows| {
                rows.execute("INSERT INTO organizations (id, name, created) VALUES ('org_test', 'Test', 0)", &[])?;
                keys.make(rows, &far.org, DateTime::<Utc>::UNIX_EPOCH)
            })
            .unwrap();
        far
    }

    fn place(&self) -> Master<'_> {
        Master::Transit(&self.transit, &self.db)
    }

    /// The keys of one more server.
    fn open(&self) -> Keys {
        Keys::open(&self.db, &self.place()).unwrap()
    }

    fn announce(&self, keys: &Keys) -> Replacement {
        Replacement::make(&self.db, keys, &self.place()).unwrap()
    }

    /// Puts a key into force; whether it did.
    fn replace(&self, keys: &Keys, next: &Replacement) -> bool {
        self.db.write(Reach::Server, |rows| next.rewrap(rows, keys)).unwrap()
    }

    fn opens(&self, keys: &Keys) -> Result<(), KeyError> {
        self.db.write(&self.org, |rows| keys.newest(rows, &self.org).map(|_| ()))
    }

    fn wrapped(&self, name: &str) -> Option<String> {
        self.db.read(Reach::Server, |rows| setting(rows, name)).unwrap()
    }
}

#[test]
fn one_that_is_announced_is_held_before_it_comes_into_force() {
    let far = Far::new();
    let (server, rotating) = (far.open(), far.open());
    let mut asked = server.asked(true);
    server.attend(&far.place()).unwrap();
    let next = far.announce(&rotating);
    server.attend(&far.place()).unwrap();
    assert!(far.replace(&rotating, &next));
    // Whatever becomes of the keeper: nobody is asked.
    far.inside.lock().unwrap().broken = Some(503);
    assert!(far.opens(&server).is_ok() && asked.try_recv().is_err());
    far.inside.lock().unwrap().broken = None;
    assert!(far.opens(&far.open()).is_ok(), "who starts now finds it in its place");
    assert_eq!(far.wrapped(WRAPPED_NEXT), None);
}

/// Whoever has not learned of it says so at once, and keeps nobody waiting who writes.
#[test]
fn no_transaction_waits_for_one_that_comes_over_a_network() {
    let far = Far::new();
    let (server, rotating) = (far.open(), far.open());
    let mut asked = server.asked(true);
    let next = far.announce(&rotating);
    assert!(far.replace(&rotating, &next));
    far.inside.lock().unwrap().broken = Some(503);
    let began = Instant::now();
    assert!(matches!(far.opens(&server), Err(KeyError::Replaced)));
    assert!(began.elapsed() < READING / 2);
    assert!(!asked.try_recv().unwrap().waits(), "it is asked for");
    assert!(server.attend(&far.place()).is_err());
    far.inside.lock().unwrap().broken = None;
    server.attend(&far.place()).unwrap();
    assert!(far.opens(&server).is_ok());
}

#[test]
fn of_two_who_replace_it_at_once_neither_loses_the_key_of_the_other() {
    let far = Far::new();
    let (first, second) = (far.open(), far.open());
    let (one, other) = (far.announce(&first), far.announce(&second));
    assert!(one.key.to_secret() == other.key.to_secret(), "what is announced is the one for both");
    assert!(far.replace(&first, &one));
    // Whoever dies here has lost nothing.
    assert!(far.opens(&far.open()).is_ok());
    second.catch_up(&far.db, &far.place()).unwrap();
    assert!(!far.replace(&second, &other), "it is in force already");
    let other = far.announce(&second);
    assert!(one.key.to_secret() != other.key.to_secret());
    assert!(far.opens(&far.open()).is_ok());
    assert!(far.replace(&second, &other));
    for keys in [&second, &far.open()] {
        assert!(far.opens(keys).is_ok());
    }
    first.catch_up(&far.db, &far.place()).unwrap();
    assert!(far.opens(&first).is_ok());
}

#[test]
fn what_was_announced_and_is_no_key_gives_way() {
    let far = Far::new();
    let (server, rotating) = (far.open(), far.open());
    far.db.write(Reach::Server, |rows| keep_setting(rows, WRAPPED_NEXT, "vault:v1:none")).unwrap();
    server.attend(&far.place()).unwrap();
    assert!(far.opens(&server).is_ok());
    let next = far.announce(&rotating);
    assert_ne!(far.wrapped(WRAPPED_NEXT).unwrap(), "vault:v1:none");
    server.attend(&far.place()).unwrap();
    assert!(far.replace(&rotating, &next) && far.opens(&server).is_ok());
}

/// Of several that start at once on a database that has no key yet, each has read that there is none.
#[test]
fn of_several_first_starts_one_makes_the_key() {
    let dir = tempfile::tempdir().unwrap();
    let db = Database::open(&fresh(dir.path())).unwrap();
    let id = instance(&db).unwrap();
    let (mine, other) = (dir.path().join("mine"), dir.path().join("other"));
    let first = Keys::open_with(&db, &Master::File(&mine), &id, None).unwrap();
    let beside = Keys::open_with(&db, &Master::File(&mine), &id, None).unwrap();
    let code = |keys: &Keys| keys.derived("test").unwrap().code(&[b"text"]);
    assert_eq!(code(&first), code(&beside), "the place is shared, and the key is one");
    let elsewhere = Keys::open_with(&db, &Master::File(&other), &id, None);
    assert!(matches!(elsewhere, Err(ServeError::OtherMasterKey { .. })));
    assert!(Keys::open(&db, &Master::File(&mine)).is_ok(), "whoever was first goes on");
    // Whoever looked before the other had laid the key down does not lay another one over it.
    let kept = Master::File(&mine).keep_first(&db, &id, Key::random().unwrap()).unwrap();
    assert!(place::is_proven(&kept, &id, &db.read(Reach::Server, |rows| setting(rows, PROOF)).unwrap().unwrap()));
    assert!(Keys::open(&db, &Master::File(&mine)).is_ok());
}

/// Each makes a salt of its own, and the one that is kept counts for all.
#[test]
fn of_several_first_starts_with_one_passphrase_one_makes_the_key() {
    let dir = tempfile::tempdir().unwrap();
    let db = Database::open(&fresh(dir.path())).unwrap();
    let id = instance(&db).unwrap();
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        crate::os::files::replace(&path, text.as_bytes(), false).unwrap();
        path
    };
    let (mine, same) = (file("mine", "correct horse battery\n"), file("same", "correct horse battery"));
    let other = file("other", "correct horse battery staple");
    let first = Keys::open_with(&db, &Master::Passphrase(&mine), &id, None).unwrap();
    let beside = Keys::open_with(&db, &Master::Passphrase(&same), &id, None).unwrap();
    let code = |keys: &Keys| keys.derived("test").unwrap().code(&[b"text"]);
    assert_eq!(code(&first), code(&beside));
    let elsewhere = Keys::open_with(&db, &Master::Passphrase(&other), &id, None);
    assert!(matches!(elsewhere, Err(ServeError::WrongPassphrase { .. })));
    assert!(matches!(Keys::open(&db, &Master::File(&mine)), Err(ServeError::Passphrase)));
    assert!(Keys::open(&db, &Master::Passphrase(&same)).is_ok());
}

#[test]
fn a_look_that_finds_no_key_forgets_none() {
    let scratch = Scratch::new();
    let before = scratch.keys.derived("test").map(|key| key.code(&[b"a"]));
    assert!(before.is_some());
    // What a table looks like while somebody brings a backup back.
    let none = "UPDATE organization_keys SET own_version = NULL; DELETE FROM server_keys";
    scratch.db.write(Reach::Server, |rows| rows.batch(none)).unwrap();
    scratch.keys.follow(&scratch.db).unwrap();
    assert_eq!(scratch.keys.derived("test").map(|key| key.code(&[b"a"])), before);
}
