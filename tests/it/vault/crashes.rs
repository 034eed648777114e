//! Sudden death and full disks while the vault is written: it opens afterwards, and holds the old or the new, whole.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use lanyard::credential::Metadata;
use lanyard::secret::plain::PlainFile;
use lanyard::secret::{Choice, SecretStore, StoreError};
use lanyard::vault::{Local, Vault};

use crate::canary::{Canary, Sweep};
use crate::crash::{self, Blow};
use crate::stage::Stage;
use crate::vaulted::{self, data_dir, store_env};

/// The calls at which a file could be half done, as strace selects them.
const CALLS: [&str; 8] = ["pwrite64", "write", "fsync", "fdatasync", "ftruncate", "/^rename", "/^unlink", "/^mkdir"];

/// A home in which something is about to be done, over and over.
struct Scene {
    stage: Stage,
    canaries: Vec<Canary>,
    /// Every file of the home as it was.
    before: BTreeMap<PathBuf, Vec<u8>>,
}

/// What the vault holds: values by name.
type Held = BTreeMap<String, String>;

impl Scene {
    /// Two credentials, a value for a third, a backup of an earlier time and a recovery key.
    fn new() -> Self {
        let stage = vaulted::stage();
        let canaries: Vec<Canary> = std::iter::repeat_with(Canary::new).take(3).collect();
        store_env(&stage, "db", "A", canaries[0].text());
        stage.run(&["vault", "backup", "../backup.db"]).ends(0);
        store_env(&stage, "other", "A", canaries[1].text());
        std::fs::write(stage.root().join("value"), canaries[2].text()).unwrap();
        let key = stage.run(&["vault", "recovery-key"]).ends(0).stdout;
        std::fs::write(stage.root().join("key"), key).unwrap();
        Self { before: stage.files(), stage, canaries }
    }

    /// The same home without a vault.
    fn without_a_vault() -> Self {
        let scene = Self::new();
        std::fs::remove_dir_all(data_dir(&scene.stage)).unwrap();
        std::fs::remove_file(scene.stage.config_dir().join("sessions.plain.json")).unwrap();
        Self { before: scene.stage.files(), ..scene }
    }

    /// Puts everything back.
    fn reset(&self) {
        for path in self.stage.files().into_keys().filter(|path| !self.before.contains_key(path)) {
            std::fs::remove_file(path).unwrap();
        }
        let _ = std::fs::remove_dir_all(data_dir(&self.stage).join(".aside"));
        for (path, bytes) in &self.before {
            if std::fs::read(path).ok().as_ref() != Some(bytes) {
                std::fs::write(path, bytes).unwrap();
                std::fs::set_permissions(path, PermissionsExt::from_mode(0o600)).unwrap();
            }
        }
    }

    /// All that the vault holds, opened. Fails where it does not open.
    ///
    /// The library opens it, since a hundred blows are followed by as many looks; each test also looks from outside.
    fn held(&self, when: &str) -> Held {
        let config = self.stage.config_dir();
        let opener =
            Box::new(|_| -> Result<Box<dyn SecretStore>, StoreError> { Ok(Box::new(PlainFile::new(&config))) });
        let now = || chrono::DateTime::UNIX_EPOCH;
        let vault = Local::new(&data_dir(&self.stage), Choice::Plain, opener, &now);
        if let Some(about) = vault.about().unwrap_or_else(|failure| panic!("{when}: {failure}")) {
            let broken = vault.examine().unwrap_or_else(|failure| panic!("{when}: {failure}"));
            assert!(broken.is_empty(), "{when}: {} of {}", broken.len(), about.credentials);
        }
        let plain = |metadata: Metadata| {
            let credential = vault.open(&metadata).unwrap();
            (metadata.name, credential.secrets["A"].expose().to_owned())
        };
        vault.list().unwrap().into_iter().map(plain).collect()
    }

    /// What the vault holds, as the commands tell it.
    fn shown(&self) -> Held {
        self.stage.run(&["vault", "status", "--check"]).ends(0);
        let names = vaulted::list(&self.stage).into_iter().map(|one| one["name"].as_str().unwrap().to_owned());
        names.map(|name| (name.clone(), vaulted::reveal(&self.stage, &name, "A"))).collect()
    }

    /// Fails where a secret stands in plain text, or a file stays that has no business there.
    fn assert_tidy(&self, when: &str) {
        let mut sweep = Sweep::for_canaries(&self.canaries);
        sweep.tree(&self.stage.home());
        sweep.assert_clean();
        let known = ["config.toml", "sessions.plain.json", "sessions.lock", "vault.db", "vault.lock", "copy.db"];
        let strange: Vec<PathBuf> = self
            .stage
            .files()
            .into_keys()
            .filter(|path| {
                let name = path.file_name().unwrap().to_str().unwrap();
                !known.contains(&name) && !name.starts_with("vault-before-restore-")
            })
            .collect();
        assert!(strange.is_empty(), "{when} left {strange:?}");
        assert!(!data_dir(&self.stage).join(".aside").exists(), "{when} left copies aside");
    }

    /// Does it undisturbed, and tells what the vault holds then.
    fn outcome(&self, command: &[&str]) -> Held {
        self.stage.run(command).ends(0);
        let held = self.held("undisturbed");
        assert_eq!(held, self.shown());
        self.assert_tidy("undisturbed");
        self.reset();
        held
    }

    /// Kills a command at every call: the vault holds the old or the new, and the same command then does its work.
    fn kill_everywhere(&self, command: &[&str]) {
        let old = if data_dir(&self.stage).exists() { self.held("before") } else { Held::new() };
        self.reset();
        let new = self.outcome(command);
        let mut seen = BTreeSet::new();
        for call in CALLS {
            crash::at_every(
                call,
                Blow::Kill,
                || self.stage.command(command),
                |time| {
                    let when = format!("{command:?} killed at {call} {time}");
                    let found = self.held(&when);
                    assert!(found == old || found == new, "{when}: {:?}", found.keys());
                    seen.insert(found == new);
                    let again = self.stage.run(command);
                    assert_ne!(again.code, Some(101), "{when}: {again}");
                    assert_eq!(self.held(&when), new, "{when}, then done again: {again}");
                    self.assert_tidy(&when);
                    self.reset();
                },
            );
        }
        assert!(seen.contains(&false) || old == new, "{command:?}: some blow came before the end");
    }
}

/// The words of a command with the folder of the test put in.
fn words(scene: &Scene, command: &str) -> Vec<String> {
    let root = scene.stage.root().display().to_string();
    command.split(' ').map(|word| word.replace("ROOT", &root)).collect()
}

fn kill(scene: &Scene, command: &str) {
    let words = words(scene, command);
    scene.kill_everywhere(&words.iter().map(String::as_str).collect::<Vec<_>>());
}

#[test]
fn a_kill_while_the_first_credential_is_stored_leaves_a_vault_or_none() {
    kill(&Scene::without_a_vault(), "credentials store env A=@ROOT/value --name new --replace");
}

#[test]
fn a_kill_while_a_credential_is_stored_leaves_it_whole_or_not_there() {
    kill(&Scene::new(), "credentials store env A=@ROOT/value --name new --replace");
}

#[test]
fn a_kill_while_a_credential_is_updated_leaves_the_old_values_or_the_new_ones() {
    kill(&Scene::new(), "credentials update db --field A=@ROOT/value");
}

#[test]
fn a_kill_while_a_credential_is_renamed_or_deleted_leaves_it_or_not() {
    kill(&Scene::new(), "credentials rename db base");
    kill(&Scene::new(), "credentials delete db --yes");
}

#[test]
fn a_kill_while_the_vault_is_rekeyed_leaves_one_that_opens() {
    kill(&Scene::new(), "vault rekey");
}

#[test]
fn a_kill_while_a_backup_comes_back_leaves_the_old_or_the_new() {
    kill(&Scene::new(), "vault restore ROOT/backup.db --replace");
}

#[test]
fn a_kill_while_the_vault_is_recovered_leaves_one_that_opens_or_can_be_recovered() {
    let scene = Scene::new();
    kill(&scene, "vault recover --recovery-key @ROOT/key");
    // With the root key lost, what is killed is done again.
    std::fs::remove_file(scene.stage.config_dir().join("sessions.plain.json")).unwrap();
    let scene = Scene { before: scene.stage.files(), ..scene };
    let recover = words(&scene, "vault recover --recovery-key @ROOT/key");
    let recover: Vec<&str> = recover.iter().map(String::as_str).collect();
    let mut struck = 0;
    for call in CALLS {
        struck += crash::at_every(
            call,
            Blow::Kill,
            || scene.stage.command(&recover),
            |time| {
                scene.stage.run(&recover).ends(0);
                let when = format!("killed at {call} {time}");
                assert_eq!(scene.held(&when).len(), 2, "{when}");
                scene.assert_tidy(&when);
                scene.reset();
            },
        );
    }
    assert!(struck > 10, "only {struck} blows were struck");
}

#[test]
fn a_kill_while_a_backup_is_written_leaves_it_whole_or_not_there() {
    let scene = Scene::new();
    let copy = scene.stage.home().join("copy.db");
    let command = ["vault", "backup", "copy.db"];
    let mut struck = 0;
    for call in CALLS {
        struck += crash::at_every(
            call,
            Blow::Kill,
            || scene.stage.command(&command),
            |time| {
                let when = format!("killed at {call} {time}");
                if copy.exists() {
                    let restored = scene.stage.run(&["vault", "restore", "copy.db", "--replace"]);
                    assert_eq!(restored.code, Some(0), "{when}: {restored}");
                    std::fs::remove_file(&copy).unwrap();
                }
                scene.stage.run(&command).ends(0);
                assert_eq!(scene.held(&when).len(), 2, "{when}");
                scene.assert_tidy(&when);
                scene.reset();
            },
        );
    }
    assert!(struck > 10, "only {struck} blows were struck");
}

/// Runs a command while its `time`th call of a kind fails. `None` where there are not as many.
fn failing(scene: &mut Scene, call: &str, error: &str, time: usize, command: &[&str]) -> Option<crate::stage::Outcome> {
    let log = scene.stage.root().join("calls");
    let (trace, inject) = (format!("trace={call}"), format!("inject={call}:error={error}:when={time}"));
    let log_name = log.display().to_string();
    scene.stage.wrap(&["strace", "-f", "-qq", "-o", &log_name, "-e", &trace, "-e", &inject, "--"]);
    let outcome = scene.stage.run(command);
    scene.stage.wrap(&[]);
    std::fs::read_to_string(log).unwrap().contains("(INJECTED)").then_some(outcome)
}

/// Lets every call of every kind fail, one at a time.
fn fail_everywhere(command: &str) {
    let mut scene = Scene::new();
    let words = words(&scene, command);
    let command: Vec<&str> = words.iter().map(String::as_str).collect();
    let old = scene.held("before");
    scene.reset();
    let new = scene.outcome(&command);
    let mut refused = 0;
    for (call, error) in [
        ("pwrite64", "ENOSPC"),
        ("pwrite64", "EIO"),
        ("fdatasync", "EIO"),
        ("fsync", "ENOSPC"),
        ("ftruncate", "EIO"),
        ("/^rename", "EROFS"),
        ("write", "EDQUOT"),
    ] {
        for time in 1.. {
            let Some(outcome) = failing(&mut scene, call, error, time, &command) else { break };
            let when = format!("{command:?} with {error} at {call} {time}");
            assert!(!matches!(outcome.code, Some(101) | None), "{when}: {outcome}");
            let found = scene.held(&when);
            if outcome.code == Some(0) {
                assert_eq!(found, new, "{when}: {outcome}");
            } else {
                refused += 1;
                assert!(found == old || found == new, "{when}: {outcome}");
                let said = outcome.stderr();
                assert!(said.contains("error: ") && said.contains("next: "), "{when}: {outcome}");
            }
            scene.stage.run(&command);
            assert_eq!(scene.held(&when), new, "{when}, then done again");
            scene.assert_tidy(&when);
            scene.reset();
        }
    }
    assert!(refused >= 5, "only {refused} failures were told");
}

#[test]
fn a_disk_that_fails_while_a_credential_is_stored_loses_nothing() {
    fail_everywhere("credentials store env A=@ROOT/value --name new --replace");
}

#[test]
fn a_disk_that_fails_while_the_vault_is_rekeyed_loses_nothing() {
    fail_everywhere("vault rekey");
}

#[test]
fn a_disk_that_fails_while_a_backup_comes_back_loses_nothing() {
    fail_everywhere("vault restore ROOT/backup.db --replace");
}

#[test]
fn a_full_disk_is_named() {
    let mut scene = Scene::new();
    let value = format!("A=@{}", scene.stage.root().join("value").display());
    let store = ["credentials", "store", "env", &value, "--name", "new"];
    let full = (1..20).find_map(|time| {
        let outcome = failing(&mut scene, "pwrite64", "ENOSPC", time, &store)?;
        scene.reset();
        (outcome.code != Some(0)).then_some(outcome)
    });
    let full = full.expect("a write of the database").ends(1);
    assert!(full.stderr().contains("there is no room on the disk for"), "{full}");
    assert!(full.stderr().contains("next: free some disk space"), "{full}");
    assert!(Path::new(&data_dir(&scene.stage)).exists());
}

#[test]
fn new_values_and_new_words_come_together_or_not_at_all() {
    let scene = Scene::new();
    let words =
        ["credentials", "update", "db", "--field", "A=@../value", "--tag", "new", "--note", "why", "--no-verify"];
    let old = scene.held("before")["db"].clone();
    for call in ["pwrite64", "unlink"] {
        let struck = crash::at_every(
            call,
            Blow::Kill,
            || scene.stage.command(&words),
            |time| {
                let is_new = scene.held(&format!("{call} {time}"))["db"] != old;
                let told = vaulted::list(&scene.stage).into_iter().find(|one| one["name"] == "db").unwrap();
                let seen = (told["tags"] == serde_json::json!(["new"]), told["note"] == "why");
                assert_eq!(seen, (is_new, is_new), "{call} {time}: {told}");
                scene.reset();
            },
        );
        assert!(struck > 0, "{call}");
    }
}
