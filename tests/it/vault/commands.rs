//! What a person does with the vault itself: look, rekey, back up, bring back, recover.

use std::path::Path;

use serde_json::json;

use crate::canary::{Canary, Sweep, Watch};
use crate::stage::{Outcome, Stage};
use crate::terminal::Terminal;
use crate::vaulted::{self, data_dir, list, reveal, store_env};

/// Makes a recovery key and keeps it in a file outside the home.
fn recovery_key(stage: &Stage) -> String {
    let key = stage.run(&["vault", "recovery-key"]).ends(0).stdout().trim_end().to_owned();
    std::fs::write(stage.root().join("key.txt"), format!("{key}\n")).unwrap();
    key
}

fn key_file(stage: &Stage) -> String {
    format!("@{}", stage.root().join("key.txt").display())
}

#[test]
fn the_status_tells_where_everything_is() {
    let stage = vaulted::stage();
    let none = "There is no vault yet; the first `lanyard credentials store` makes it\n";
    stage.run(&["vault", "status"]).shows(0, "", none);
    assert_eq!(stage.run(&["vault", "status", "--json"]).ends(0).json()["exists"], false);
    for command in
        [&["vault", "rekey"][..], &["vault", "backup", "b.db"], &["vault", "recovery-key"], &["vault", "recover"]]
    {
        let refused = stage.run(command).ends(1);
        assert!(refused.stderr().contains("there is no vault here yet"), "{refused}");
    }
    assert!(!data_dir(&stage).exists(), "looking makes nothing");

    store_env(&stage, "db", "A", "x");
    stage.run(&["vault", "status", "--check"]).shows(
        0,
        "Vault: [HOME]/.local/share/lanyard/vault.db\nRoot key: in the plain file\nRecovery key: none\nCredentials: 1\n",
        "✓ The vault opens, and every page of it is whole\n\
         without a recovery key, all is lost with the root key; make one: lanyard vault recovery-key\n",
    );
    recovery_key(&stage);
    let mut facts = stage.run(&["vault", "status", "--json", "--check"]).ends(0).json();
    assert!(facts["id"].as_str().unwrap().starts_with("vault_"));
    facts.as_object_mut().unwrap().remove("id");
    let path = data_dir(&stage).join("vault.db");
    let expected = json!({
        "path": path, "exists": true, "storage": "plain", "credentials": 1, "recovery_key": true, "broken": [],
    });
    assert_eq!(facts, expected);
}

#[test]
fn what_does_not_open_is_named() {
    let stage = vaulted::stage();
    for name in ["good", "bad"] {
        store_env(&stage, name, "A", "x");
    }
    let rows = rusqlite::Connection::open(data_dir(&stage).join("vault.db")).unwrap();
    let swap =
        "UPDATE secrets SET sealed = zeroblob(50) WHERE credential = (SELECT id FROM credentials WHERE name = 'bad')";
    rows.execute_batch(swap).unwrap();
    drop(rows);
    let checked = stage.run(&["vault", "status", "--check", "--json"]).ends(8);
    assert_eq!(checked.json()["broken"], json!(["bad"]));
    assert!(checked.stderr().contains("1 of the credentials do not open: bad"), "{checked}");
    let shown = stage.run(&["credentials", "show", "bad", "--reveal", "A", "--yes"]).ends(8);
    assert!(shown.stderr().contains("the secrets of bad do not open"), "{shown}");
    assert_eq!(reveal(&stage, "good", "A"), "x");
    stage.run_with(&["credentials", "store", "env", "A=-", "--name", "bad", "--replace"], b"y").ends(0);
    assert_eq!(reveal(&stage, "bad", "A"), "y");
}

#[test]
fn rekeying_replaces_the_keys_and_moves_them() {
    let mut stage = vaulted::stage();
    store_env(&stage, "db", "A", "x");
    let keys = || std::fs::read(stage.config_dir().join("sessions.plain.json")).unwrap();
    let before = keys();
    let rekeyed = stage.run(&["vault", "rekey"]).ends(0);
    assert!(rekeyed.stderr().contains("warning: the root key is in a plain file"), "{rekeyed}");
    assert_ne!(keys(), before);
    assert_eq!(reveal(&stage, "db", "A"), "x");
    recovery_key(&stage);
    let rekeyed = stage.run(&["vault", "rekey"]).ends(0);
    assert!(rekeyed.stderr().contains("make a new one: lanyard vault recovery-key"), "{rekeyed}");
    let recovered = stage.run(&["vault", "recover", "--recovery-key", &key_file(&stage)]).ends(1);
    assert!(recovered.stderr().contains("no recovery key was made for this vault"), "{recovered}");

    let unanswered = stage.run(&["vault", "rekey", "--storage", "file"]).ends(7);
    assert!(unanswered.stderr().contains("LANYARD_PASSPHRASE"), "{unanswered}");
    assert_eq!(reveal(&stage, "db", "A"), "x");
    stage.set("LANYARD_PASSPHRASE", "correct horse");
    let moved = stage.run(&["vault", "rekey", "--storage", "file"]).ends(0);
    assert!(moved.stderr().contains("the root key is in the encrypted file"), "{moved}");
    assert!(!stage.config_dir().join("sessions.plain.json").exists(), "the former root key is gone");
    assert_eq!(reveal(&stage, "db", "A"), "x");
    stage.set("LANYARD_PASSPHRASE", "battery staple");
    let wrong = stage.run(&["credentials", "show", "db", "--reveal", "A", "--yes"]).ends(7);
    assert!(wrong.stderr().contains("the vault stays closed") && wrong.stderr().contains("recovery key"), "{wrong}");
    assert_eq!(list(&stage).len(), 1, "the list opens nothing");
}

#[test]
fn the_root_key_moves_into_the_kernel_and_back_or_stays_where_it_is() {
    let stage = vaulted::stage();
    let canary = Canary::new();
    store_env(&stage, "db", "A", canary.text());
    let keys = stage.config_dir().join("sessions.plain.json");
    let before = std::fs::read(&keys).unwrap();
    let moved = stage.run(&["vault", "rekey", "--storage", "keyutils"]);
    if moved.code == Some(0) {
        assert!(!moved.stderr().contains("plain file"), "{moved}");
        assert!(!keys.exists(), "the former root key is gone");
        assert!(stage.run(&["vault", "status"]).ends(0).stdout().contains("kernel"));
        assert_eq!(reveal(&stage, "db", "A"), canary.text());
        stage.run(&["vault", "rekey"]).ends(0);
        assert!(!keys.exists(), "it stays in the kernel");
        assert_eq!(reveal(&stage, "db", "A"), canary.text());
        let back = stage.run(&["vault", "rekey", "--storage", "plain"]).ends(0);
        assert!(back.stderr().contains("warning: the root key is in a plain file"), "{back}");
        assert_ne!(std::fs::read(&keys).unwrap(), before, "it is a new one");
    } else {
        assert_says_that_the_kernel_refused(&moved.ends(7));
        assert_eq!(std::fs::read(&keys).unwrap(), before);
    }
    assert_eq!(reveal(&stage, "db", "A"), canary.text());
}

#[track_caller]
fn assert_says_that_the_kernel_refused(refused: &Outcome) {
    let said = refused.stderr();
    assert!(refused.stdout.is_empty() && said.contains("kernel keyring") && said.contains("next: "), "{refused}");
}

#[test]
fn a_kernel_without_keyrings_is_named_and_the_vault_stays_open() {
    let mut stage = vaulted::stage();
    store_env(&stage, "db", "A", "x");
    let log = stage.root().join("calls").display().to_string();
    for (error, why) in [("ENOSYS", "this kernel has no keyrings"), ("EPERM", "the system forbids keyrings here")] {
        let injected = format!("inject=keyctl,add_key:error={error}");
        stage.wrap(&["strace", "-f", "-qq", "-o", &log, "-e", "trace=keyctl,add_key", "-e", &injected, "--"]);
        let refused = stage.run(&["vault", "rekey", "--storage", "keyutils"]).ends(7);
        stage.wrap(&[]);
        assert_says_that_the_kernel_refused(&refused);
        assert!(refused.stderr().contains(why), "{refused}");
        assert_eq!(reveal(&stage, "db", "A"), "x");
        stage.run(&["vault", "rekey"]).ends(0);
    }
}

#[test]
fn a_backup_comes_back_here_and_on_another_machine() {
    let stage = vaulted::stage();
    let canary = Canary::new();
    store_env(&stage, "db", "A", canary.text());
    let alone = stage.run(&["vault", "backup", "alone.db"]).ends(0);
    assert!(alone.stderr().contains("warning: no recovery key was made"), "{alone}");
    recovery_key(&stage);
    stage.run(&["vault", "backup", "backup.db"]).shows(0, "", "✓ Wrote 1 credential to [HOME]/backup.db\n");
    let again = stage.run(&["vault", "backup", "backup.db"]).ends(2);
    assert!(again.stderr().contains("there is a file") && again.stderr().contains("choose another name"), "{again}");
    let backup = stage.home().join("backup.db");
    assert_eq!(crate::corp::mode(&backup), 0o600);

    store_env(&stage, "later", "A", "y");
    let refused = stage.run(&["vault", "restore", "backup.db"]).ends(2);
    assert!(
        refused.stderr().contains("a vault with 2 credentials") && refused.stderr().contains("--replace"),
        "{refused}"
    );
    let restored = stage.run(&["vault", "restore", "backup.db", "--replace", "--json"]).ends(0).json();
    assert_eq!(restored["credentials"], 1);
    assert_eq!((list(&stage).len(), reveal(&stage, "db", "A")), (1, canary.text().to_owned()));
    let kept = restored["kept"].as_str().unwrap();
    assert_eq!(crate::corp::mode(Path::new(kept)), 0o600);
    stage.run(&["vault", "restore", kept, "--replace"]).ends(0);
    assert_eq!(reveal(&stage, "later", "A"), "y");

    let other = vaulted::stage();
    for (name, mend) in [("backup.db", "--recovery-key -"), ("alone.db", "no recovery key was made for it")] {
        std::fs::copy(stage.home().join(name), other.home().join(name)).unwrap();
        let closed = other.run(&["vault", "restore", name]).ends(7);
        assert!(closed.stderr().contains("does not open the backup") && closed.stderr().contains(mend), "{closed}");
    }
    let key = std::fs::read(stage.root().join("key.txt")).unwrap();
    let wrong = other.run_with(&["vault", "restore", "backup.db", "--recovery-key", "-"], b"AAAA").ends(2);
    assert!(wrong.stderr().contains("this is no recovery key"), "{wrong}");
    let restored = other.run_with(&["vault", "restore", "backup.db", "--recovery-key", "-"], &key).ends(0);
    assert!(restored.stderr().contains("✓ Brought 1 credential back from"), "{restored}");
    assert_eq!(reveal(&other, "db", "A"), canary.text());
    for stage in [&stage, &other] {
        let mut sweep = Sweep::for_canaries(std::slice::from_ref(&canary));
        sweep.tree(stage.root());
        sweep.assert_clean();
    }
}

#[test]
fn a_file_that_is_no_backup_is_refused_at_once() {
    let stage = vaulted::stage();
    store_env(&stage, "db", "A", "x");
    std::fs::write(stage.home().join("text"), "dear diary\n".repeat(1000)).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(stage.home().join("pipe")).status().unwrap().success());
    for (file, code, told) in [
        ("text", 1, "is damaged"),
        ("pipe", 3, "is not a regular file"),
        ("/dev/zero", 3, "is not a regular file"),
        ("missing", 3, "cannot read"),
    ] {
        let refused = stage.run(&["vault", "restore", file, "--replace"]).ends(code);
        assert!(refused.stderr().contains(told) && refused.stderr().contains("next: "), "{refused}");
        assert_eq!(reveal(&stage, "db", "A"), "x");
    }
}

#[test]
fn a_recovery_key_is_shown_once_and_stays_off_the_command_line() {
    let stage = vaulted::stage();
    store_env(&stage, "db", "A", "x");
    let watch = Watch::start();
    let shown = stage.run(&["vault", "recovery-key"]).ends(0);
    let key = shown.stdout().trim_end().to_owned();
    assert_eq!((key.len(), key.matches('-').count(), shown.stdout().lines().count()), (69, 13, 1), "{shown}");
    assert!(!shown.stderr().contains(&key[..9]), "{shown}");
    assert!(shown.stderr().contains("Shown once and kept nowhere"), "{shown}");
    // The root key is lost.
    std::fs::remove_file(stage.config_dir().join("sessions.plain.json")).unwrap();
    let lost = stage.run(&["credentials", "show", "db", "--reveal", "A", "--yes"]).ends(7);
    assert!(lost.stderr().contains("the root key of the vault is not in the plain file"), "{lost}");
    assert!(lost.stderr().contains("lanyard vault recover"), "{lost}");
    assert_eq!(list(&stage).len(), 1);
    let in_sight = stage.run(&["vault", "recover", "--recovery-key", "AAAA-BBBB"]).ends(2);
    assert!(!in_sight.stderr().contains("AAAA"), "{in_sight}");
    let nobody = stage.run(&["vault", "recover"]).ends(2);
    assert!(nobody.stderr().contains("--recovery-key - or --recovery-key @FILE"), "{nobody}");

    let mut terminal = Terminal::start(&stage, &["vault", "recover"]);
    terminal.sees("Recovery key: ");
    terminal.types(&key.to_lowercase().replace('-', " "));
    let ending = terminal.ends();
    assert_eq!(ending.code, Some(0), "{ending:?}");
    assert!(!ending.screen.to_uppercase().contains(&key[..9]) && ending.echoes, "{ending:?}");
    assert_eq!(reveal(&stage, "db", "A"), "x");
    let mut sweep = Sweep::for_canaries(&[Canary::of(&key)]);
    sweep.processes(&watch.stop());
    sweep.tree(stage.root());
    sweep.assert_clean();

    // A new one takes the place of the old one.
    recovery_key(&stage);
    let old = stage.run_with(&["vault", "recover", "--recovery-key", "-"], key.as_bytes()).ends(7);
    assert!(old.stderr().contains("this key does not open the vault"), "{old}");
    stage.run(&["vault", "recover", "--recovery-key", &key_file(&stage)]).ends(0);
    assert_eq!(reveal(&stage, "db", "A"), "x");
}
