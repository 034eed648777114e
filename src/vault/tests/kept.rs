//! What was made from a credential for a while, and is kept.

use chrono::TimeDelta;

use super::*;
use crate::credential::{Issued, Material};

fn issued(token: &str) -> Issued {
    let material = Material::Bearer(Secret::new(token.into()));
    Issued { material, expires: Some(now() + TimeDelta::hours(1)) }
}

fn kept(vault: &dyn Vault, metadata: &Metadata, of: &str) -> Option<String> {
    let kept = vault.kept(metadata, Form::Usual, of).unwrap()?;
    assert_eq!((kept.made, kept.expires), (now(), now() + TimeDelta::hours(1)));
    match kept.material {
        Material::Bearer(token) => Some(token.expose().to_owned()),
        other => panic!("{other:?}"),
    }
}

fn keep(vault: &dyn Vault, metadata: &Metadata, of: &str, token: &str) {
    vault.keep(metadata, Form::Usual, of, &issued(token), now()).unwrap();
}

#[test]
fn it_is_handed_out_for_what_it_was_made_of_and_nothing_else() {
    let world = World::new();
    let (one, other) = (put(&world.vault(), "one", "1"), put(&world.vault(), "other", "2"));
    keep(&world.vault(), &one, "place", "t1");
    assert_eq!(kept(&world.vault(), &one, "place").as_deref(), Some("t1"));
    assert_eq!(kept(&world.vault(), &one, "elsewhere"), None);
    assert_eq!(kept(&world.vault(), &other, "place"), None);
    assert!(world.vault().kept(&one, Form::Short, "place").unwrap().is_none());
    keep(&world.vault(), &one, "place", "t2");
    assert_eq!(kept(&world.vault(), &one, "place").as_deref(), Some("t2"));
    // A row that was moved, or whose end was put off, does not open.
    world.tamper(&format!("UPDATE issued SET credential = '{}'", other.id));
    assert_eq!(kept(&world.vault(), &other, "place"), None);
    world.tamper(&format!("UPDATE issued SET credential = '{}', expires = expires + 1", one.id));
    assert_eq!(kept(&world.vault(), &one, "place"), None);
    world.tamper("UPDATE issued SET expires = expires - 1");
    assert_eq!(kept(&world.vault(), &one, "place").as_deref(), Some("t2"));
    assert!(!String::from_utf8_lossy(&std::fs::read(world.file()).unwrap()).contains("t2"));
}

#[test]
fn it_goes_with_the_values_it_was_made_of_and_stays_when_keys_change() {
    let world = World::new();
    let vault = world.vault();
    let one = put(&vault, "one", "1");
    keep(&vault, &one, "place", "t1");
    vault.rekey(None).unwrap();
    assert_eq!(kept(&world.vault(), &one, "place").as_deref(), Some("t1"));
    let vault = world.vault();
    let new = New { replaces: Some(one.clone()), ..New::named("one", variables(&[("A", "2")])) };
    let two = vault.put(new).unwrap();
    assert_eq!((kept(&vault, &one, "place"), kept(&vault, &two, "place")), (None, None));
    // What was still made of the old values is not kept for the new ones.
    keep(&vault, &one, "place", "late");
    assert_eq!((kept(&vault, &one, "place"), kept(&vault, &two, "place")), (None, None));
    keep(&vault, &two, "place", "t3");
    vault.note_verdict(&two, &Verdict::valid("x"), now()).unwrap();
    assert_eq!(kept(&vault, &two, "place").as_deref(), Some("t3"));
    vault.note_verdict(&two, &Verdict::invalid("it was revoked", "make a new one"), now()).unwrap();
    assert_eq!(kept(&vault, &two, "place"), None, "nothing of what is refused is handed out again");
    keep(&vault, &two, "place", "t4");
    assert!(vault.remove(&two).unwrap());
    assert_eq!(kept(&vault, &two, "place"), None);
    keep(&vault, &two, "place", "t5");
    assert_eq!(kept(&vault, &two, "place"), None);
}
