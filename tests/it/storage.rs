//! Where the session rests, seen from outside: the other stores, and a keychain that is absent, locked or tampered with.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::corp::{self, OTHER_TOKEN, TOKEN, holds, mode, paste};
use crate::idp::Idp;
use crate::keyring::{DeafBus, Keyring};
use crate::stage::Stage;

/// A home that knows the service.
fn knowing(stage: Stage, idp: &Idp) -> Stage {
    stage.write_config(&corp::service(idp));
    stage
}

/// The files of a home that are neither the configuration nor a lock.
fn stores(stage: &Stage) -> Vec<PathBuf> {
    let files = stage.files().into_keys();
    files.filter(|path| !path.ends_with("config.toml") && path.extension().is_none_or(|kind| kind != "lock")).collect()
}

#[test]
fn an_encrypted_file_opens_with_its_passphrase_alone() {
    let idp = corp::idp();
    let mut stage = knowing(Stage::new(), &idp);
    let without = paste(&stage, TOKEN, &["--storage", "file"]).ends(7);
    assert!(without.stderr().contains("LANYARD_PASSPHRASE"), "{without}");
    assert!(stores(&stage).is_empty(), "{:?}", stores(&stage));

    stage.set("LANYARD_PASSPHRASE", "correct horse");
    paste(&stage, TOKEN, &["--storage", "file"]).ends(0);
    let files = stores(&stage);
    assert_eq!(files.len(), 1, "{files:?}");
    assert_eq!(mode(&files[0]), 0o600);
    let sealed = std::fs::read(&files[0]).expect("the file");
    assert!(!holds(&sealed, &TOKEN[..16]) && !holds(&sealed, "user@example.com"));
    stage.run(&["auth", "token"]).shows(0, &format!("{TOKEN}\n"), "");
    assert_eq!(stage.run(&["auth", "status", "--json"]).ends(0).json()["storage"], "file");

    stage.set("LANYARD_PASSPHRASE", "battery staple");
    let wrong = stage.run(&["auth", "token"]).ends(7);
    assert!(wrong.stderr().contains("did not open") && wrong.stderr().contains("check the passphrase"), "{wrong}");
    assert!(!wrong.stderr().contains("staple"));
    paste(&stage, OTHER_TOKEN, &["--storage", "file"]).ends(7);
    assert_eq!(std::fs::read(&files[0]).expect("the file"), sealed, "a wrong passphrase changes nothing");

    stage.unset("LANYARD_PASSPHRASE");
    assert!(stage.run(&["auth", "token"]).ends(7).stderr().contains("LANYARD_PASSPHRASE"));
}

#[test]
fn a_plain_file_is_private_and_status_keeps_saying_what_it_is() {
    let idp = corp::idp();
    let stage = knowing(Stage::new(), &idp);
    let login = paste(&stage, TOKEN, &["--storage", "plain"]).ends(0);
    assert!(login.stderr().contains("plain file"), "{login}");
    let files = stores(&stage);
    assert_eq!(files.len(), 1, "{files:?}");
    assert_eq!((mode(&files[0]), mode(&stage.config_dir())), (0o600, 0o700));
    for _ in 0..2 {
        let status = stage.run(&["auth", "status"]).ends(0);
        assert!(status.stderr().contains("warning: the session is kept in a plain file"), "{status}");
        assert!(status.stdout().contains("Storage: plain"), "{status}");
    }
    assert_eq!(stage.run(&["auth", "status", "--json"]).ends(0).json()["storage"], "plain");
    stage.run(&["auth", "token"]).shows(0, &format!("{TOKEN}\n"), "");

    std::fs::set_permissions(&files[0], PermissionsExt::from_mode(0o644)).expect("the mode");
    let loose = stage.run(&["auth", "token"]).ends(7);
    assert!(loose.stderr().contains("0644") && loose.stderr().contains("chmod"), "{loose}");
    std::fs::set_permissions(&files[0], PermissionsExt::from_mode(0o600)).expect("the mode");
    stage.run(&["auth", "logout"]).ends(0);
    let left = std::fs::read(&files[0]).unwrap_or_default();
    assert!(!holds(&left, &TOKEN[..16]));
}

#[test]
fn the_kernel_keyring_keeps_a_session_or_says_that_it_cannot() {
    let idp = corp::idp();
    let stage = knowing(Stage::new(), &idp);
    let login = paste(&stage, TOKEN, &["--storage", "keyutils"]);
    if login.code != Some(0) {
        let refused = login.ends(7);
        assert!(refused.stderr().contains("kernel keyring") && refused.stderr().contains("--storage"), "{refused}");
        assert!(stores(&stage).is_empty());
        return;
    }
    stage.run(&["auth", "token"]).shows(0, &format!("{TOKEN}\n"), "");
    assert!(stores(&stage).is_empty(), "it is in memory only");
    assert!(stage.files().values().all(|bytes| !holds(bytes, &TOKEN[..16])));
    stage.run(&["auth", "logout"]).ends(0);
    stage.run(&["auth", "token"]).ends(4);
}

#[test]
fn without_a_keychain_nothing_is_begun_and_the_flags_are_named() {
    let idp = corp::idp();
    let deaf = DeafBus::start();
    let mut deaf_stage = knowing(Stage::new(), &idp);
    deaf_stage.set("DBUS_SESSION_BUS_ADDRESS", deaf.address());
    let empty = Keyring::without_service();
    let stages = [knowing(Stage::new(), &idp), knowing(Stage::with_keyring(&empty), &idp), deaf_stage];
    for stage in stages {
        let before = stage.config();
        for way in [&["--no-browser"][..], &["--device"], &["--no-browser", "--json"]] {
            let begun = Instant::now();
            let refused = stage.run(&[&["auth", "login", "--service", "corp"][..], way].concat()).ends(7);
            assert!(begun.elapsed() < Duration::from_secs(30), "{refused}");
            assert!(!refused.stderr().contains("http") && refused.stdout().is_empty(), "{refused}");
            assert!(refused.stderr().contains("keychain"), "{refused}");
        }
        assert_eq!(stage.config(), before);
        assert!(stores(&stage).is_empty());
    }
    let stage = knowing(Stage::new(), &idp);
    let refused = stage.run(&["auth", "login", "--service", "corp", "--no-browser"]).ends(7).stderr();
    for flag in ["--storage file", "--storage keyutils", "--storage plain"] {
        assert!(refused.contains(flag), "{refused}");
    }
    assert!(idp.requests().is_empty(), "the service was not asked for anything");
}

#[test]
fn a_locked_keychain_is_named_and_loses_nothing() {
    let (idp, keyring) = (corp::idp(), Keyring::start());
    let stage = knowing(Stage::with_keyring(&keyring), &idp);
    paste(&stage, TOKEN, &[]).ends(0);
    let config = stage.config();
    keyring.lock();
    for command in
        [&["auth", "token"][..], &["auth", "status"], &["auth", "logout"], &["auth", "login", "--no-browser"]]
    {
        let begun = Instant::now();
        let refused = stage.run(command).ends(7);
        assert!(begun.elapsed() < Duration::from_secs(30), "{refused}");
        assert!(refused.stderr().contains("locked") || refused.stderr().contains("did not answer"), "{refused}");
        assert!(refused.stderr().contains("next: "), "{refused}");
    }
    assert_eq!(stage.config(), config);
}

#[test]
fn a_keychain_that_died_loses_nothing() {
    let (idp, mut keyring) = (corp::idp(), Keyring::start());
    let stage = knowing(Stage::with_keyring(&keyring), &idp);
    paste(&stage, TOKEN, &[]).ends(0);
    keyring.kill();
    assert!(stage.run(&["auth", "token"]).ends(7).stderr().contains("keychain"));
    keyring.start_service();
    stage.run(&["auth", "token"]).shows(0, &format!("{TOKEN}\n"), "");

    keyring.freeze();
    let begun = Instant::now();
    let slow = stage.run(&["auth", "token"]).ends(7);
    assert!(begun.elapsed() < Duration::from_secs(30) && slow.stderr().contains("did not answer"), "{slow}");
    keyring.wake();
    stage.run(&["auth", "token"]).shows(0, &format!("{TOKEN}\n"), "");
}

#[test]
fn an_item_that_another_program_deleted_or_spoilt_is_told_and_replaced() {
    let (idp, keyring) = (corp::idp(), Keyring::start());
    let stage = knowing(Stage::with_keyring(&keyring), &idp);
    paste(&stage, TOKEN, &[]).ends(0);
    let name = keyring.name_of("work");
    let attributes = ["service", "lanyard", "username", &name];
    assert!(keyring.items().contains("label = lanyard: work (user@example.com)"), "{}", keyring.items());
    assert!(keyring.secret_tool(&[&["clear"][..], &attributes].concat()).status.success());
    let gone = stage.run(&["auth", "token"]).ends(4);
    assert!(gone.stderr().contains("not signed in to profile work"), "{gone}");
    assert!(gone.stderr().contains("lanyard auth login --profile work"), "{gone}");

    for spoilt in ["", "not json", "{\"version\":1}", "{\"version\":99,\"service\":\"corp\"}", "\u{fffd}\u{1b}[31m"] {
        paste(&stage, TOKEN, &[]).ends(0);
        keyring.put("lanyard: work", &attributes, spoilt);
        let damaged = stage.run(&["auth", "token"]);
        let damaged = if spoilt.is_empty() && damaged.code == Some(4) { continue } else { damaged.ends(7) };
        assert!(damaged.stderr().contains(&format!("the item {name} in the keychain is damaged")), "{damaged}");
        assert!(damaged.stderr().contains("lanyard auth login"), "{damaged}");
        assert!(!damaged.stderr().contains("not json") && damaged.stdout().is_empty(), "{damaged}");
        stage.run(&["auth", "status"]).ends(7);
        paste(&stage, OTHER_TOKEN, &[]).ends(0);
        stage.run(&["auth", "token"]).shows(0, &format!("{OTHER_TOKEN}\n"), "");
        assert_eq!(keyring.items().matches("label = ").count(), 1, "{}", keyring.items());
    }
    keyring.put("lanyard: work", &attributes, "not json");
    stage.run(&["auth", "logout"]).ends(0);
    assert!(!keyring.items().contains("label = "), "{}", keyring.items());
}

#[test]
fn the_same_name_in_another_folder_is_another_session() {
    let (idp, keyring) = (corp::idp(), Keyring::start());
    let here = knowing(Stage::with_keyring(&keyring), &idp);
    let there = knowing(Stage::with_keyring(&keyring), &idp);
    paste(&here, TOKEN, &[]).ends(0);
    there.run(&["auth", "token"]).ends(4);
    paste(&there, OTHER_TOKEN, &[]).ends(0);
    here.run(&["auth", "token"]).shows(0, &format!("{TOKEN}\n"), "");
    there.run(&["auth", "token"]).shows(0, &format!("{OTHER_TOKEN}\n"), "");
    here.run(&["auth", "logout"]).ends(0);
    there.run(&["auth", "token"]).shows(0, &format!("{OTHER_TOKEN}\n"), "");
    there.run(&["auth", "logout"]).ends(0);
    assert!(!keyring.items().contains("label = "), "{}", keyring.items());
}

#[test]
fn a_folder_behind_a_link_is_the_same_folder_from_the_first_login_on() {
    let (idp, keyring) = (corp::idp(), Keyring::start());
    let mut stage = Stage::with_keyring(&keyring);
    let real = stage.root().join("real");
    std::fs::create_dir(&real).expect("a folder");
    std::os::unix::fs::symlink(&real, stage.root().join("link")).expect("a link");
    // Not there yet when the login begins.
    stage.set("LANYARD_CONFIG_DIR", stage.root().join("link/lanyard"));
    let login = ["auth", "login", "--issuer", idp.issuer(), "--client-id", "cli", "--profile", "work", "--with-token"];
    stage.run_with(&[&login[..], &["--endpoint", idp.issuer(), "--no-verify"]].concat(), TOKEN.as_bytes()).ends(0);
    stage.run(&["auth", "token"]).shows(0, &format!("{TOKEN}\n"), "");
    stage.set("LANYARD_CONFIG_DIR", real.join("lanyard"));
    stage.run(&["auth", "token"]).shows(0, &format!("{TOKEN}\n"), "");
}

#[test]
fn moving_to_another_store_leaves_no_session_behind() {
    let (idp, keyring) = (corp::idp(), Keyring::start());
    let stage = knowing(Stage::with_keyring(&keyring), &idp);
    paste(&stage, TOKEN, &[]).ends(0);
    paste(&stage, OTHER_TOKEN, &["--storage", "plain"]).ends(0);
    assert!(!keyring.items().contains("label = "), "{}", keyring.items());
    stage.run(&["auth", "token"]).shows(0, &format!("{OTHER_TOKEN}\n"), "");
    paste(&stage, TOKEN, &["--storage", "keychain"]).ends(0);
    let plain = stage.files().into_iter().filter(|(path, _)| !path.ends_with("config.toml"));
    for (path, bytes) in plain {
        assert!(!holds(&bytes, "corp-token-"), "{}", path.display());
    }
}
