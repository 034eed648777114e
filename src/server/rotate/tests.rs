//! Keys of an organization that are replaced while others store.

use super::*;
use crate::server::db::tests::{Scratch, tamper};
use crate::server::totp;
use crate::vault::contract::{map, plain, variables};
use crate::vault::{New, Vault};

/// An organization whose new key is in force, with its note, and a credential under the old one.
fn begun(scratch: &Scratch) -> Work<'_> {
    let (db, keys, engine, scope) = (&scratch.db, &scratch.keys, &scratch.engine, scratch.org.clone());
    let one = Unfinished { scope, version: 2, anew: false, reached: String::new() };
    let work = Work { db, keys, engine, together: Together::default(), one };
    work.vault().put(New::named("db", variables(&[("A", "1")]))).unwrap();
    let note = "INSERT INTO key_rotations (org, version, anew, reached) VALUES ('org_test', 2, 0, '')";
    let begin = |rows: &mut dyn Rows| -> Result<(), KeyError> {
        assert_eq!(keys.next(rows, &scratch.org, now())?, 2);
        Ok(rows.batch(note)?)
    };
    db.write(Reach::Server, begin).unwrap();
    work
}

fn count(scratch: &Scratch, table: &str) -> i64 {
    let count = format!("SELECT COUNT(*) FROM {table} WHERE org = 'org_test'");
    scratch.db.read(Reach::Server, |rows| rows.first(&count, &[])?.unwrap().int(0)).unwrap()
}

/// Somebody who took the old key in hand may store after all that there was is wrapped anew.
#[test]
fn it_is_not_done_while_something_rests_under_an_old_key() {
    let scratch = Scratch::new();
    let work = begun(&scratch);
    assert!(!work.retire(0).unwrap(), "a credential rests under the old one");
    assert_eq!((count(&scratch, "organization_keys"), count(&scratch, "key_rotations")), (2, 1));
    assert_eq!(work.finish(&mut |_| {}).unwrap(), (1, 0));
    assert_eq!((count(&scratch, "organization_keys"), count(&scratch, "key_rotations")), (1, 0));
    let vault = work.vault();
    let stored = vault.list().unwrap().remove(0);
    assert_eq!(plain(&vault, &stored), map(&[("A", "1")]));
}

#[test]
fn what_does_not_open_keeps_its_key_and_holds_nothing_up() {
    let scratch = Scratch::new();
    let work = begun(&scratch);
    let damage = "UPDATE data_keys SET wrapped = substr(wrapped, 1, length(wrapped) - 1)";
    tamper(&scratch.db, damage);
    assert_eq!(work.finish(&mut |_| {}).unwrap(), (0, 1));
    assert_eq!((count(&scratch, "organization_keys"), count(&scratch, "key_rotations")), (2, 0));
}

/// The same of the server's own key: what has come to rest under the older one while it was to go is sealed anew as well.
#[test]
fn the_own_key_is_not_done_while_something_rests_under_an_old_one() {
    let scratch = Scratch::new();
    let (db, keys, engine) = (&scratch.db, &scratch.keys, &scratch.engine);
    let person = "INSERT INTO people (id, login, passphrase, created) VALUES ('alice', 'alice', '-', 0)";
    db.write(Reach::Server, |rows| -> Result<(), KeyError> {
        rows.execute(person, &[])?;
        totp::begin(rows, keys, "alice", now())?;
        own::begin(rows, keys)
    })
    .unwrap();
    let work = own::Work { db, keys, engine, version: 1 };
    let versions = || {
        let one = "SELECT (SELECT COUNT(*) FROM server_keys), (SELECT MIN(key_version) FROM second_factors), \
                   (SELECT COUNT(*) FROM settings WHERE name = 'server-key-rotation')";
        let mut row = db.read(Reach::Server, |rows| rows.first(one, &[])).unwrap().unwrap();
        (row.int(0).unwrap(), row.int(1).unwrap(), row.int(2).unwrap())
    };
    assert!(!work.retire(0).unwrap(), "a second factor rests under the old one");
    assert_eq!(versions(), (2, 0, 1));
    assert_eq!(work.finish().unwrap(), OwnRotated { version: 1, sealed: 1, closed: 0 });
    assert_eq!(versions(), (1, 1, 0));
    assert!(db.read(Reach::Server, |rows| totp::unconfirmed(rows, keys, "alice")).unwrap().is_some(), "it opens");
}
