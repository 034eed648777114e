//! A master key that is made of a passphrase: chosen, given again, changed, and carried off with a backup.

use std::os::unix::fs::PermissionsExt;

use super::served::{PASSPHRASE, Served};
use crate::canary::{Canary, Sweep};
use crate::crash::{Blow, at_every};
use crate::stage::{Outcome, Stage};
use crate::vaulted::{reveal, store_env};

const FLAGS: [&str; 2] = ["--master-passphrase-file", "passphrase"];
const FIRST: &str = "LNYCANARYfive words of a machine";
const OTHER: &str = "LNYCANARYfour more that it chose";

fn put(stage: &Stage, file: &str, text: &str) {
    let path = stage.home().join(file);
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
}

fn machine(passphrase: &str) -> Stage {
    let stage = Stage::new();
    stage.write_config("[defaults]\nstorage = \"plain\"\n");
    put(&stage, "passphrase", passphrase);
    stage
}

/// A server with an owner.
fn served() -> Served {
    let served = Served::on(machine(&format!("{FIRST}\n")), &FLAGS);
    assert_eq!(served.set_up(PASSPHRASE).status(), 303);
    served
}

fn run(stage: &Stage, what: &[&str]) -> Outcome {
    stage.run(&[&["server"], what, &["--data", "server"], &FLAGS].concat())
}

fn check(served: &Served, flags: &[&str]) -> Outcome {
    let words = ["serve", "--check", "--listen", "127.0.0.1:0", "--data", "server"];
    served.stage.run(&[&words[..], flags].concat())
}

fn proof(served: &Served) -> String {
    served.sql("SELECT value FROM settings WHERE name = 'master-key-proof'").trim().to_owned()
}

#[test]
fn a_good_one_is_chosen_and_the_right_one_opens() {
    let weak = machine("fourteen chars\n");
    let words = ["serve", "--check", "--listen", "127.0.0.1:0", "--data", "server"];
    let told = weak.run(&[&words[..], &FLAGS].concat()).ends(3);
    assert!(told.stderr().contains("15 characters at least") && !told.stderr().contains("fourteen"), "{told}");

    let mut served = served();
    let stage = served.client();
    store_env(&stage, "db", "A", "1");
    assert!(!served.data().join("master.key").exists());
    let proven = proof(&served);
    assert!(proven.starts_with("$argon2id$v=19$m=65536,t=3,p=1$"), "{proven}");
    assert_eq!(served.end("TERM"), Some(0));
    let refused = |flags: &[&str], code: i32, why: &str| {
        let told = check(&served, flags).ends(code);
        assert!(told.stderr().contains(why) && !told.stderr().contains("LNYCANARY"), "{told}");
    };
    put(&served.stage, "passphrase", OTHER);
    refused(&FLAGS, 7, "is not the one of this server");
    put(&served.stage, "passphrase", "");
    refused(&FLAGS, 7, "is not the one of this server");
    std::fs::remove_file(served.stage.home().join("passphrase")).unwrap();
    refused(&FLAGS, 7, "is not in");
    refused(&["--master-key-file", "server/master.key"], 7, "`--master-passphrase-file`");
    refused(&["--master-key-file", "server/master.key", FLAGS[0], FLAGS[1]], 3, "one of them alone");
    assert!(!served.data().join("master.key").exists(), "no key was made instead");
    put(&served.stage, "passphrase", FIRST);
    std::fs::set_permissions(served.stage.home().join("passphrase"), PermissionsExt::from_mode(0o644)).unwrap();
    refused(&FLAGS, 3, "passphrase");
    assert_eq!(proof(&served), proven, "nothing was written");
    // However the line ends.
    put(&served.stage, "passphrase", &format!("{FIRST}\r\n"));
    served.again();
    assert_eq!(reveal(&stage, "db", "A"), "1");
    Sweep::for_canaries(&[Canary::of(FIRST)]).tree(&served.data()).assert_clean();

    // One whose key is made of none.
    let other = Served::new(&[]);
    put(&other.stage, "passphrase", FIRST);
    let told = check(&other, &FLAGS).ends(7);
    assert!(told.stderr().contains("is not made of a passphrase"), "{told}");
}

#[test]
fn another_one_takes_its_place_while_the_server_goes_on() {
    let mut served = served();
    let stage = served.client();
    store_env(&stage, "db", "A", "1");
    let first = proof(&served);
    put(&served.stage, "passphrase.next", "too short");
    let told = run(&served.stage, &["rotate-key"]).ends(3);
    assert!(told.stderr().contains("15 characters"), "{told}");
    assert_eq!(proof(&served), first);
    put(&served.stage, "passphrase.next", &format!("{OTHER}\n"));
    run(&served.stage, &["rotate-key"]).ends(0);
    let held = || std::fs::read_to_string(served.stage.home().join("passphrase")).unwrap();
    assert_eq!(held(), format!("{OTHER}\n"));
    assert!(!served.stage.home().join("passphrase.next").exists());
    let second = proof(&served);
    assert_ne!(second, first);
    // The server that was there before, which reads what is needed by itself.
    assert_eq!(reveal(&stage, "db", "A"), "1");
    store_env(&stage, "more", "A", "2");
    check(&served, &FLAGS).ends(0);
    // Where none is to come, the same makes another key.
    run(&served.stage, &["rotate-key", "--secrets"]).ends(0);
    assert_eq!(held(), format!("{OTHER}\n"));
    assert_ne!(proof(&served), second);
    store_env(&stage, "again", "A", "3");
    stage.run(&["audit", "verify"]).ends(0);
    assert_eq!(served.end("TERM"), Some(0));
    put(&served.stage, "passphrase", FIRST);
    check(&served, &FLAGS).ends(7);
    put(&served.stage, "passphrase", OTHER);
    served.again();
    for (name, value) in [("db", "1"), ("more", "2"), ("again", "3")] {
        assert_eq!(reveal(&stage, name, "A"), value);
    }
}

#[test]
fn whoever_dies_while_it_is_changed_leaves_one_that_opens() {
    let served = served();
    let stage = served.client();
    store_env(&stage, "db", "A", "1");
    let mut blows = 0;
    for call in ["renameat", "unlink", "fsync"] {
        let turn = std::cell::Cell::new(0);
        blows += at_every(
            call,
            Blow::Kill,
            || {
                turn.set(turn.get() + 1);
                // One that was left there is in force already, or is still to come.
                if !served.stage.home().join("passphrase.next").exists() {
                    put(&served.stage, "passphrase.next", &format!("{OTHER} {call} {}", turn.get()));
                }
                served.stage.command(&[&["server", "rotate-key", "--data", "server"][..], &FLAGS].concat())
            },
            |time| {
                assert_eq!(reveal(&stage, "db", "A"), "1", "{call} {time}");
                check(&served, &FLAGS).ends(0);
            },
        );
    }
    assert!(blows >= 3, "{blows}");
    run(&served.stage, &["rotate-key"]).ends(0);
    assert!(!served.stage.home().join("passphrase.next").exists());
    check(&served, &FLAGS).ends(0);
}

#[test]
fn a_backup_comes_back_with_the_passphrase_of_its_time() {
    let served = served();
    store_env(&served.client(), "db", "A", "1");
    run(&served.stage, &["backup", "copy"]).ends(0);
    put(&served.stage, "passphrase.next", OTHER);
    run(&served.stage, &["rotate-key"]).ends(0);
    let other = machine(OTHER);
    std::fs::copy(served.stage.home().join("copy"), other.home().join("copy")).unwrap();
    let told = run(&other, &["restore", "copy"]).ends(7);
    assert!(told.stderr().contains("is not the one of this server"), "{told}");
    let told = other.run(&["server", "restore", "copy", "--data", "server", "--master-key-file", "key"]).ends(7);
    assert!(told.stderr().contains("`--master-passphrase-file`"), "{told}");
    assert!(!other.home().join("server/server.db").exists());
    put(&other, "passphrase", FIRST);
    run(&other, &["restore", "copy", "--drill"]).ends(0);
    run(&other, &["restore", "copy"]).ends(0);
    let restored = Served::on(other, &FLAGS);
    assert_eq!(reveal(&restored.client(), "db", "A"), "1");
}
