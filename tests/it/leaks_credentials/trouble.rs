//! When something goes wrong: no network, no root key, a damaged vault, a full disk, sudden death.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use super::commands::{assert_clean, talkative};
use super::kept::{self, Given, Kept};
use crate::canary::{Canary, Sweep};
use crate::crash::{self, Blow};
use crate::double::{Answer, Double};
use crate::keyring::Keyring;
use crate::scene::eventually;
use crate::stage::{Outcome, Stage};
use crate::vaulted::{self, data_dir};

/// What is tried while something is wrong. FORMAT is any form of export, VALUE a file with a new secret.
const COMMANDS: [&str; 12] = [
    "credentials list --long",
    "credentials show NAME",
    "credentials show NAME --reveal FIELD --yes",
    "credentials test NAME",
    "credentials update NAME --field FIELD=@VALUE",
    "credentials rotate NAME",
    "credentials export NAME --format json",
    "credentials rename NAME other",
    "vault status --check",
    "vault rekey",
    "vault backup BACKUP",
    "doctor",
];

/// Some credentials whose secrets come in different ways, all asked about at `url`.
fn some(url: &str, given: &Given) -> Vec<Kept> {
    const NAMES: [&str; 7] = ["aws", "robot", "person", "verda", "cluster", "closed-key", "keystore"];
    kept::all(url, given).into_iter().filter(|kept| NAMES.contains(&kept.name.as_str())).collect()
}

fn canaries(all: &[Kept]) -> Vec<Canary> {
    all.iter().flat_map(|kept| kept.canaries.clone()).collect()
}

/// A stage with these credentials in its vault.
fn filled(mut stage: Stage, all: &[Kept]) -> Stage {
    talkative(&mut stage);
    for kept in all {
        kept.store(&stage, &["--no-verify"]).ends(0);
    }
    stage
}

/// Runs every command on each of them, and looks through all that is said. Returns how many did not succeed.
fn try_all(stage: &Stage, all: &[Kept], sweep: &mut Sweep, value: &str) -> usize {
    let mut failed = 0;
    for kept in all {
        let field = kept.secrets.first().map_or("nothing", |(field, _)| *field);
        for command in COMMANDS {
            let backup = stage.root().join("backup.db").display().to_string();
            let put = |word: &str| {
                let word = word.replace("NAME", &kept.name).replace("FIELD", field);
                word.replace("VALUE", value).replace("BACKUP", &backup)
            };
            let words: Vec<String> = command.split(' ').map(put).chain(["-vvv".to_owned()]).collect();
            let outcome = stage.run(&words.iter().map(String::as_str).collect::<Vec<_>>());
            heard(&outcome, &words.join(" "), sweep);
            failed += usize::from(outcome.code != Some(0));
            let _ = std::fs::remove_file(backup);
        }
    }
    failed
}

fn heard(outcome: &Outcome, what: &str, sweep: &mut Sweep) {
    assert!(!matches!(outcome.code, Some(101) | None), "{outcome}");
    sweep.bytes(&format!("stdout of {what}"), &outcome.stdout).bytes(&format!("stderr of {what}"), &outcome.stderr);
}

#[test]
fn a_vault_that_stays_closed_tells_nothing() {
    let given = Given::new();
    let all = some("http://127.0.0.1:9", &given);
    let (fresh, mut canaries) = (Canary::of_chance(40), canaries(&all));
    canaries.push(fresh.clone());
    let value = given.file(fresh.text()).display().to_string();
    let mut sweep = Sweep::for_canaries(&canaries);
    // The root key is lost, another one stands in its place, the database is damaged.
    let stage = filled(vaulted::stage(), &all);
    let keys = stage.config_dir().join("sessions.plain.json");
    let key = std::fs::read(&keys).unwrap();
    let database = data_dir(&stage).join("vault.db");
    let whole = std::fs::read(&database).unwrap();
    let other = filled(vaulted::stage(), &all[..1]);
    let foreign = std::fs::read_to_string(other.config_dir().join("sessions.plain.json")).unwrap();
    let damaged: Vec<u8> =
        whole.iter().enumerate().map(|(at, byte)| byte ^ u8::from(at > 8192 && at % 97 == 0)).collect();
    let renamed = {
        // The other vault's key under this one's name.
        let name =
            |text: &str| text.split('"').find(|word| word.contains("vault_")).map(str::to_owned).unwrap_or_default();
        foreign.replace(&name(&foreign), &name(&String::from_utf8_lossy(&key)))
    };
    for (what, key, content) in [
        ("no key", None, &whole),
        ("another's key", Some(renamed.as_bytes()), &whole),
        ("a damaged vault", Some(key.as_slice()), &damaged),
    ] {
        let _ = std::fs::remove_file(&keys);
        if let Some(key) = key {
            std::fs::write(&keys, key).unwrap();
            std::fs::set_permissions(&keys, PermissionsExt::from_mode(0o600)).unwrap();
        }
        std::fs::write(&database, content).unwrap();
        let failed = try_all(&stage, &all[..3], &mut sweep, &value);
        assert!(failed >= 9, "{what}: only {failed} commands failed");
    }
    sweep.tree(stage.root());
    assert_clean(sweep, &canaries, &all);
}

#[test]
fn a_keychain_that_is_locked_tells_nothing() {
    let (given, keyring) = (Given::new(), Keyring::start());
    let all = some("http://127.0.0.1:9", &given);
    let (fresh, mut canaries) = (Canary::of_chance(40), canaries(&all));
    canaries.push(fresh.clone());
    let value = given.file(fresh.text()).display().to_string();
    let stage = filled(Stage::with_keyring(&keyring), &all);
    keyring.lock();
    let mut sweep = Sweep::for_canaries(&canaries);
    let failed = try_all(&stage, &all[..1], &mut sweep, &value);
    assert!(failed >= 4, "only {failed} commands failed");
    sweep.tree(stage.root()).tree(&keyring.data_dir());
    assert_clean(sweep, &canaries, &all);
}

#[test]
fn a_network_that_is_away_tells_nothing() {
    let given = Given::new();
    let fresh = Canary::of_chance(40);
    let value = given.file(fresh.text()).display().to_string();
    let closes = Double::always(Answer::Close);
    let garbage = Double::always(Answer::Page(200, vec!["X: y".into()], "\u{0}\u{1b}[2J<html>".repeat(50)));
    for url in ["http://127.0.0.1:9", &closes.url(), &garbage.url(), "https://127.0.0.1:9"] {
        let all = some(url, &given);
        let all: Vec<Kept> =
            all.into_iter().filter(|kept| kept.name != "closed-key" && kept.name != "keystore").collect();
        let mut canaries = canaries(&all);
        canaries.push(fresh.clone());
        let stage = filled(vaulted::stage(), &all);
        let mut sweep = Sweep::for_canaries(&canaries);
        for kept in &all {
            for command in ["test", "rotate", "update"] {
                let field = format!("{}=@{value}", kept.secrets[0].0);
                let more: &[&str] = if command == "update" { &["--field", &field] } else { &[] };
                let words = [&["credentials", command, &kept.name, "-vvv"][..], more].concat();
                heard(&stage.run(&words), &words.join(" "), &mut sweep);
            }
            if ["robot", "person", "verda"].contains(&kept.name.as_str()) && kept.kind != "gcp_service_account" {
                let words = ["credentials", "export", &kept.name, "--format", "env", "-vvv"];
                let exported = stage.run(&words);
                // What a client needs no token for is handed over as it is.
                if exported.code != Some(0) {
                    heard(&exported, &words.join(" "), &mut sweep);
                }
            }
        }
        sweep.tree(stage.root());
        assert_clean(sweep, &canaries, &all);
    }
}

/// The commands that write, each as words; OUT is the file that is exported to.
const WRITERS: [&str; 3] =
    ["credentials update cluster --tag a", "credentials export keystore --format json --to OUT", "vault backup BACKUP"];

#[test]
fn death_at_any_moment_leaves_no_secret() {
    let given = Given::new();
    let all = some("http://127.0.0.1:9", &given);
    let canaries = canaries(&all);
    let stage = filled(vaulted::stage(), &all);
    let folder = stage.root().join("exported");
    std::fs::create_dir(&folder).unwrap();
    let (out, backup) = (folder.join("out.json"), stage.root().join("backup.db"));
    let mut sweep = Sweep::for_canaries(&canaries);
    let mut struck = 0;
    for command in WRITERS {
        let put = |word: &str| {
            word.replace("OUT", &out.display().to_string()).replace("BACKUP", &backup.display().to_string())
        };
        let words: Vec<String> = command.split(' ').map(put).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        for call in ["/^rename", "pwrite64", "fsync"] {
            for blow in [Blow::Kill, Blow::Error("ENOSPC")] {
                struck += crash::at_every(
                    call,
                    blow,
                    || stage.command(&words),
                    |_| {
                        let _ = std::fs::remove_file(&backup);
                        sweep.tree(&stage.home());
                    },
                );
            }
        }
    }
    assert!(struck > 12, "only {struck} blows were struck");
    // What a killed export left beside its file goes with the next one, which the user takes away.
    stage.run(&["credentials", "export", "keystore", "--format", "json", "--to", out.to_str().unwrap()]).ends(0);
    std::fs::remove_file(&out).unwrap();
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
    sweep.tree(stage.root());
    assert_clean(sweep, &canaries, &all);
}

#[test]
fn a_full_disk_is_told_without_what_was_to_be_written() {
    let given = Given::new();
    let all = some("http://127.0.0.1:9", &given);
    let canaries = canaries(&all);
    let mut stage = filled(vaulted::stage(), &all);
    let log = stage.root().join("calls").display().to_string();
    let mut sweep = Sweep::for_canaries(&canaries);
    let mut refused = 0;
    for call in ["pwrite64", "write", "/^rename"] {
        for time in [1, 2, 4] {
            let inject = format!("inject={call}:error=ENOSPC:when={time}+");
            let trace = format!("trace={call}");
            stage.wrap(&["strace", "-f", "-qq", "-o", &log, "-s", "0", "-e", &trace, "-e", &inject, "--"]);
            for kept in &all {
                let outcome = kept.store(&stage, &["--no-verify", "--replace", "-vvv"]);
                refused += usize::from(outcome.code != Some(0));
                heard(&outcome, &format!("storing {} with {inject}", kept.name), &mut sweep);
            }
            stage.wrap(&[]);
        }
    }
    assert!(refused >= 10, "only {refused} were refused");
    sweep.tree(stage.root());
    assert_clean(sweep, &canaries, &all);
}

#[test]
fn a_process_that_breaks_off_leaves_no_core() {
    let silent = Double::always(Answer::Silence);
    let given = Given::new();
    let kept = kept::all(&silent.url(), &given).into_iter().find(|kept| kept.kind == "hetzner_api_token").unwrap();
    let mut stage = filled(vaulted::stage(), std::slice::from_ref(&kept));
    stage.wrap(&["sh", "-c", "ulimit -c unlimited; exec \"$@\"", "sh"]);
    let running = stage.start(&["credentials", "test", "hetzner"]);
    eventually("the provider is asked", Duration::from_secs(20), || !silent.requests().is_empty());
    let pid = running.pid();
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().rev().take(3).collect::<Vec<_>>(), ["bytes", "0", "0"], "{core}");
    let mut sweep = Sweep::for_canaries(&kept.canaries);
    for file in ["cmdline", "environ"] {
        sweep.bytes(file, &std::fs::read(format!("/proc/{pid}/{file}")).unwrap());
    }
    running.signal("ABRT");
    let ended = running.finish();
    assert_eq!(ended.code, None, "{ended}");
    sweep.tree(stage.root());
    let pattern = std::fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap_or_default();
    let elsewhere = std::path::Path::new(pattern.trim()).parent().filter(|folder| folder.is_absolute());
    for entry in elsewhere.and_then(|folder| std::fs::read_dir(folder).ok()).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        assert!(!name.contains(&pid.to_string()), "a core file was written: {name}");
    }
    sweep.assert_clean();
}
