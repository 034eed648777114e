//! New keys, moved keys, lost keys.

use super::*;
use crate::store::Store;

#[test]
fn a_rekeyed_vault_opens_with_its_new_keys_alone() {
    let world = World::new();
    let vault = world.vault();
    let stored = put(&vault, "db", "1");
    let other = put(&vault, "other", "2");
    let id = vault.about().unwrap().unwrap().id;
    let words = vault.make_recovery_key().unwrap();
    let old_copy = world.dir.path().join("old-copy.db");
    vault.backup(&old_copy).unwrap();
    assert_eq!(World::roots(&world.keychain, &id), ["a"]);
    let old_root = world.keychain.get(&Slot { name: format!("{id}:a"), label: String::new() }).unwrap().unwrap();

    assert!(vault.rekey(None).unwrap(), "there was a recovery key");
    assert_eq!(World::roots(&world.keychain, &id), ["b"]);
    for vault in [&vault, &world.vault()] {
        assert_eq!(plain(vault, &stored), map(&[("A", "1")]));
        assert_eq!(plain(vault, &other), map(&[("A", "2")]));
    }
    assert!(!vault.about().unwrap().unwrap().recoverable);
    assert!(matches!(vault.recover(&words, Choice::Keychain), Err(VaultError::NoRecovery)));
    assert!(!vault.rekey(None).unwrap());
    assert_eq!(World::roots(&world.keychain, &id), ["a"], "the two places are used in turn");
    assert_eq!(plain(&world.vault(), &stored), map(&[("A", "1")]));

    // The former root key opens the former copy and nothing of now.
    world.keychain.set(&Slot { name: format!("{id}:a"), label: String::new() }, &old_root).unwrap();
    assert!(matches!(world.vault().open(&stored), Err(VaultError::WrongKey)));
    std::fs::remove_file(world.file()).unwrap();
    std::fs::copy(&old_copy, world.file()).unwrap();
    assert_eq!(plain(&world.vault(), &stored), map(&[("A", "1")]));
}

#[test]
fn the_root_key_moves_to_another_store() {
    let world = World::new();
    let stored = put(&world.vault(), "db", "1");
    let id = world.vault().about().unwrap().unwrap().id;
    world.vault().rekey(Some(Choice::Plain)).unwrap();
    assert_eq!(world.vault().about().unwrap().unwrap().storage, Choice::Plain);
    assert!(World::roots(&world.keychain, &id).is_empty());
    world.locked.set(true);
    assert_eq!(plain(&world.vault(), &stored), map(&[("A", "1")]));
    let failure = world.vault().rekey(Some(Choice::Keychain)).unwrap_err();
    assert!(matches!(failure, VaultError::Root { making: false, .. }), "{failure:?}");
    assert_eq!(plain(&world.vault(), &stored), map(&[("A", "1")]), "nothing was changed");
    let absent = world.vault().rekey(Some(Choice::File)).unwrap_err();
    assert!(matches!(absent, VaultError::Root { .. }));
    world.locked.set(false);
    world.vault().rekey(Some(Choice::Auto)).unwrap();
    assert_eq!(world.vault().about().unwrap().unwrap().storage, Choice::Keychain);
    assert!(World::roots(&world.plain, &id).is_empty());
    assert_eq!(plain(&world.vault(), &stored), map(&[("A", "1")]));
}

#[test]
fn a_damaged_data_key_stops_rekeying_and_is_named() {
    let world = World::new();
    let stored = put(&world.vault(), "good", "1");
    put(&world.vault(), "bad", "2");
    world.tamper(
        "UPDATE data_keys SET wrapped = zeroblob(60) WHERE credential = (SELECT id FROM credentials WHERE name = 'bad')",
    );
    let failure = world.vault().rekey(None).unwrap_err();
    assert!(matches!(&failure, VaultError::DoesNotOpen { name } if name == "bad"), "{failure:?}");
    assert_eq!(plain(&world.vault(), &stored), map(&[("A", "1")]));
    let vault = world.vault();
    vault.remove(&found(&vault, "bad")).unwrap();
    vault.rekey(None).unwrap();
    assert_eq!(plain(&world.vault(), &stored), map(&[("A", "1")]));
}

#[test]
fn a_vault_that_was_rekeyed_meanwhile_is_read_and_written_all_the_same() {
    let world = World::new();
    let (here, there) = (world.vault(), world.vault());
    let stored = put(&here, "db", "1");
    assert_eq!(plain(&there, &stored), map(&[("A", "1")]), "it is open there as well");
    here.rekey(None).unwrap();
    assert_eq!(plain(&there, &stored), map(&[("A", "1")]));
    here.rekey(None).unwrap();
    let second = put(&there, "second", "2");
    here.rekey(None).unwrap();
    let third = there.put(New { replaces: Some(second), ..New::named("", variables(&[("A", "3")])) }).unwrap();
    here.rekey(None).unwrap();
    let mut opened = there.open(&stored).unwrap();
    here.rekey(None).unwrap();
    opened.secrets.insert("A".into(), Secret::new("4".into()));
    let renewed = there.renew(&opened, None).unwrap();
    here.rekey(None).unwrap();
    let words = there.make_recovery_key().unwrap();
    there.rekey(None).unwrap();
    assert!(matches!(here.recover(&words, Choice::Keychain), Err(VaultError::NoRecovery)));
    let fresh = world.vault();
    assert_eq!(plain(&fresh, &third), map(&[("A", "3")]));
    assert_eq!(plain(&fresh, &renewed), map(&[("A", "4")]));
    assert!(fresh.examine().unwrap().is_empty());
}

#[test]
fn a_lost_root_key_is_replaced_with_the_recovery_key() {
    let world = World::new();
    let vault = world.vault();
    let stored = put(&vault, "db", "1");
    let first = vault.make_recovery_key().unwrap();
    let words = vault.make_recovery_key().unwrap();
    let about = vault.about().unwrap().unwrap();
    assert!(about.recoverable);
    let slot = Slot { name: format!("{}:a", about.id), label: String::new() };
    assert!(world.keychain.remove(&slot).unwrap());
    drop(vault);

    let failure = world.vault().open(&stored).unwrap_err();
    assert!(matches!(failure, VaultError::NoRoot { recoverable: true, .. }), "{failure:?}");
    assert!(failure.mend().unwrap().contains("lanyard vault recover"));
    for (typed, expected) in [("", "this is no recovery key"), ("ABCD-EFGH", "this is no recovery key")] {
        let refused = world.vault().recover(&Secret::new(typed.into()), Choice::Keychain).unwrap_err();
        assert_eq!(refused.to_string(), expected);
    }
    let stale = world.vault().recover(&first, Choice::Keychain).unwrap_err();
    assert!(matches!(stale, VaultError::WrongKey), "a newer recovery key took its place: {stale:?}");
    assert!(world.vault().open(&stored).is_err(), "nothing was changed");

    world.vault().recover(&words, Choice::Plain).unwrap();
    assert_eq!(world.vault().about().unwrap().unwrap().storage, Choice::Plain);
    assert_eq!(plain(&world.vault(), &stored), map(&[("A", "1")]));
    world.vault().recover(&words, Choice::Auto).unwrap();
    assert_eq!(plain(&world.vault(), &stored), map(&[("A", "1")]), "it opens as often as need be");

    // A root key that is damaged, or another's.
    let place = World::roots(&world.keychain, &about.id)[0];
    let slot = Slot { name: format!("{}:{place}", about.id), label: String::new() };
    for wrong in ["", "not base64", "c2hvcnQ=", &"A".repeat(44)] {
        world.keychain.set(&slot, &Secret::new(wrong.into())).unwrap();
        assert!(matches!(world.vault().open(&stored), Err(VaultError::WrongKey)), "{wrong}");
    }
    world.vault().recover(&words, Choice::Keychain).unwrap();
    assert_eq!(plain(&world.vault(), &stored), map(&[("A", "1")]));
}

#[test]
fn a_vault_without_its_keys_is_not_made_anew() {
    let world = World::new();
    let stored = put(&world.vault(), "db", "1");
    world.tamper("DELETE FROM vault_keys");
    let vault = world.vault();
    assert!(matches!(vault.open(&stored), Err(VaultError::NoRoot { recoverable: false, .. })));
    assert!(vault.put(New::named("new", variables(&[("A", "2")]))).is_err());
    assert!(vault.rekey(None).is_err());
    assert_eq!(vault.about().unwrap().unwrap().credentials, 1);
}

#[test]
fn what_a_kill_leaves_of_making_and_of_rekeying_is_used_again() {
    let world = World::new();
    // Killed after the vault had its name and its root key, and before it had a key.
    let store = Store::open(&world.file()).unwrap();
    let row = crate::store::VaultRow { id: "vault_x".into(), created: 5, storage: "keychain".into() };
    store.create_vault(&row).unwrap();
    drop(store);
    let orphan = Slot { name: "vault_x:a".into(), label: String::new() };
    world.keychain.set(&orphan, &seal::Key::random().unwrap().to_secret()).unwrap();
    assert_eq!(world.vault().about().unwrap(), None);
    let stored = put(&world.vault(), "db", "1");
    assert_eq!(world.vault().about().unwrap().unwrap().id, "vault_x");
    assert_eq!(World::roots(&world.keychain, "vault_x"), ["a"]);

    // Killed between the new root key and its row; killed between its row and the removal of the old one.
    let left = Slot { name: "vault_x:b".into(), label: String::new() };
    world.keychain.set(&left, &seal::Key::random().unwrap().to_secret()).unwrap();
    world.vault().rekey(None).unwrap();
    assert_eq!(World::roots(&world.keychain, "vault_x"), ["b"]);
    assert_eq!(plain(&world.vault(), &stored), map(&[("A", "1")]));
}
