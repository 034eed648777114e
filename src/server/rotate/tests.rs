//! Keys of an organization that are replaced while others store.

use super::*;
use crate::server::db::tests::{Scratch, tamper};
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
