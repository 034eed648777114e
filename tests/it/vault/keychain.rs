//! The root key in the keychain: absent, locked, dead, deaf, lost.

use std::time::{Duration, Instant};

use crate::keyring::{DeafBus, Keyring};
use crate::stage::{Outcome, Stage};
use crate::vaulted::{data_dir, list, reveal, store_env};

/// A command that ends with the keychain's code, soon, and with a next step.
#[track_caller]
fn stays_closed(stage: &Stage, command: &[&str]) -> Outcome {
    let started = Instant::now();
    let refused = stage.run(command).ends(7);
    assert!(started.elapsed() < Duration::from_secs(30), "{command:?} took {:?}", started.elapsed());
    assert!(refused.stdout.is_empty() && refused.stderr().contains("next: "), "{refused}");
    assert!(refused.stderr().contains("keychain"), "{refused}");
    refused
}

const SHOW: &[&str] = &["credentials", "show", "db", "--reveal", "A", "--yes"];
const STORE: &[&str] = &["credentials", "store", "env", "A=@/etc/hostname", "--name", "new"];

#[test]
fn without_a_keychain_no_vault_is_made_and_nothing_falls_back_to_a_file() {
    let deaf = DeafBus::start();
    let mut deaf_stage = Stage::new();
    deaf_stage.set("DBUS_SESSION_BUS_ADDRESS", deaf.address());
    let nobody = Keyring::without_service();
    for stage in [Stage::new(), Stage::with_keyring(&nobody), deaf_stage] {
        let refused = stays_closed(&stage, STORE);
        assert!(refused.stderr().contains("no vault can be made"), "{refused}");
        assert!(list(&stage).is_empty());
        assert!(!stage.config_dir().join("sessions.plain.json").exists());
        assert!(!stage.config_dir().join("sessions.age").exists());
    }
    let refused = stays_closed(&Stage::new(), STORE).stderr();
    for way in ["lanyard config set defaults.storage file", "keyutils", "plain"] {
        assert!(refused.contains(way), "{refused}");
    }
    // As the mend says.
    let stage = Stage::new();
    stays_closed(&stage, STORE);
    stage.run(&["config", "set", "defaults.storage", "plain"]).ends(0);
    stage.run(STORE).ends(0);
    assert_eq!(list(&stage).len(), 1);
}

#[test]
fn the_root_key_is_an_item_of_the_keychain_and_moves_with_rekeying() {
    let keyring = Keyring::start();
    let stage = Stage::with_keyring(&keyring);
    store_env(&stage, "db", "A", "x");
    assert!(keyring.items().contains("label = lanyard: root key of the vault"), "{}", keyring.items());
    assert_eq!(keyring.items().matches("label = ").count(), 1);
    assert_eq!(reveal(&stage, "db", "A"), "x");
    let before = keyring.items();
    stage.run(&["vault", "rekey"]).ends(0);
    assert_ne!(keyring.items(), before);
    assert_eq!(keyring.items().matches("label = ").count(), 1, "{}", keyring.items());
    let moved = stage.run(&["vault", "rekey", "--storage", "plain"]).ends(0);
    assert!(moved.stderr().contains("warning: the root key is in a plain file"), "{moved}");
    assert!(!keyring.items().contains("label = "), "{}", keyring.items());
    stage.run(&["vault", "rekey", "--storage", "keychain"]).ends(0);
    assert!(!stage.config_dir().join("sessions.plain.json").exists());
    assert_eq!(reveal(&stage, "db", "A"), "x");
}

#[test]
fn a_keychain_that_is_locked_dead_or_deaf_closes_the_vault_and_not_the_list() {
    let mut keyring = Keyring::start();
    let stage = Stage::with_keyring(&keyring);
    store_env(&stage, "db", "A", "x");
    let look = |stage: &Stage| {
        let started = Instant::now();
        assert_eq!(list(stage).len(), 1);
        stage.run(&["vault", "status"]).ends(0);
        assert!(started.elapsed() < Duration::from_secs(3), "neither asks the keychain: {:?}", started.elapsed());
        // Its secrets stay hidden to the last letter, and the rest is shown.
        stage.run(&["credentials", "show", "db"]).ends(0);
    };
    keyring.freeze();
    look(&stage);
    let deaf = stays_closed(&stage, SHOW);
    assert!(deaf.stderr().contains("did not answer within"), "{deaf}");
    keyring.wake();
    assert_eq!(reveal(&stage, "db", "A"), "x");

    keyring.kill();
    look(&stage);
    for command in [SHOW, STORE, &["vault", "rekey"], &["vault", "status", "--check"], &["vault", "recovery-key"]] {
        let closed = stays_closed(&stage, command);
        assert!(closed.stderr().contains("the vault stays closed"), "{closed}");
    }
    keyring.start_service();
    assert_eq!(reveal(&stage, "db", "A"), "x");

    keyring.lock();
    look(&stage);
    let locked = stays_closed(&stage, SHOW);
    assert!(locked.stderr().contains("locked") || locked.stderr().contains("did not answer"), "{locked}");
    // What needs no secret goes on.
    stage.run(&["credentials", "rename", "db", "base"]).ends(0);
    stage.run(&["vault", "backup", "backup.db"]).ends(0);
    stage.run(&["credentials", "delete", "base", "--yes"]).ends(0);
    assert!(list(&stage).is_empty());
}

#[test]
fn a_lost_item_is_recovered_and_a_spoilt_one_told() {
    let keyring = Keyring::start();
    let stage = Stage::with_keyring(&keyring);
    store_env(&stage, "db", "A", "x");
    let name = |keyring: &Keyring| {
        let items = keyring.items();
        let name = items.lines().find_map(|line| line.strip_prefix("attribute.username = "));
        name.unwrap_or_else(|| panic!("no item: {items}")).to_owned()
    };
    let clear = |name: &str| keyring.secret_tool(&["clear", "service", "lanyard", "username", name]);
    let first = name(&keyring);
    assert!(clear(&first).status.success());
    let lost = stays_closed(&stage, SHOW);
    assert!(lost.stderr().contains("the root key of the vault is not in the keychain"), "{lost}");
    assert!(lost.stderr().contains("without it and without a recovery key the vault stays closed"), "{lost}");
    stays_closed(&stage, STORE);
    assert_eq!(list(&stage).len(), 1, "the vault was not made anew");
    assert!(data_dir(&stage).join("vault.db").exists());

    // A vault with a recovery key.
    let stage = Stage::with_keyring(&keyring);
    store_env(&stage, "db", "A", "y");
    let key = stage.run(&["vault", "recovery-key"]).ends(0).stdout;
    let item = name(&keyring);
    assert!(clear(&item).status.success());
    let lost = stays_closed(&stage, SHOW);
    assert!(lost.stderr().contains("lanyard vault recover"), "{lost}");
    stage.run_with(&["vault", "recover", "--recovery-key", "-"], &key).ends(0);
    assert_eq!(reveal(&stage, "db", "A"), "y");
    let item = name(&keyring);
    for spoilt in ["not a key", "AAAA", "\u{fffd}"] {
        keyring.put("lanyard: root key of the vault", &["service", "lanyard", "username", &item], spoilt);
        let closed = stays_closed_or_wrong(&stage);
        assert!(!closed.stderr().contains(spoilt), "{closed}");
        stage.run_with(&["vault", "recover", "--recovery-key", "-"], &key).ends(0);
        assert_eq!(reveal(&stage, "db", "A"), "y");
        clear(&item);
        stage.run_with(&["vault", "recover", "--recovery-key", "-"], &key).ends(0);
    }
}

#[track_caller]
fn stays_closed_or_wrong(stage: &Stage) -> Outcome {
    let refused = stage.run(SHOW).ends(7);
    assert!(refused.stdout.is_empty() && refused.stderr().contains("next: "), "{refused}");
    refused
}
