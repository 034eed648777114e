//! The local vault: its contract, what it does when somebody tampers with its rows, and what its file looks like.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use rusqlite::Connection;

use super::contract::{map, plain, variables, vault_contract};
use super::*;
use crate::credential::{Fields, Raw};
use crate::error::{Failure, with_causes};
use crate::secret::memory::Memory;
use crate::secret::{Choice, Secret, SecretStore, Slot, StoreError};

mod kept;
mod keys;
mod links;
mod restore;
mod session;
mod together;

/// A data folder with the secret stores of one machine.
struct World {
    dir: tempfile::TempDir,
    keychain: Memory,
    plain: Memory,
    /// Whether the keychain takes or gives nothing.
    locked: Cell<bool>,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { dir, keychain: Memory::new(), plain: Memory::new(), locked: Cell::new(false) }
    }

    /// The vault of this machine, as each process finds it.
    fn vault(&self) -> Local<'_> {
        self.vault_with(Choice::Keychain)
    }

    fn vault_with(&self, storage: Choice) -> Local<'_> {
        let opener = move |choice| -> Result<Box<dyn SecretStore>, StoreError> {
            match choice {
                Choice::Keychain if self.locked.get() => Err(StoreError::Locked { store: "keychain", cause: None }),
                Choice::Keychain => Ok(Box::new(Shared(&self.keychain))),
                Choice::Plain => Ok(Box::new(Shared(&self.plain))),
                other => Err(StoreError::Absent { store: other.title(), cause: None }),
            }
        };
        Local::new(self.dir.path(), storage, Box::new(opener), &now)
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("vault.db")
    }

    /// Runs SQL on the file behind the vault's back.
    fn tamper(&self, sql: &str) {
        Connection::open(self.file()).unwrap().execute_batch(sql).unwrap();
    }

    /// The root keys in a secret store.
    fn roots(store: &Memory, vault: &str) -> Vec<&'static str> {
        let held = |place: &&str| {
            let name = format!("{vault}:{place}");
            store.get(&Slot { name, label: String::new() }).unwrap().is_some()
        };
        ["a", "b"].into_iter().filter(held).collect()
    }
}

/// A store that a world owns.
struct Shared<'m>(&'m Memory);

impl SecretStore for Shared<'_> {
    fn get(&self, slot: &Slot) -> Result<Option<Secret>, StoreError> {
        self.0.get(slot)
    }

    fn set(&self, slot: &Slot, value: &Secret) -> Result<(), StoreError> {
        self.0.set(slot, value)
    }

    fn remove(&self, slot: &Slot) -> Result<bool, StoreError> {
        self.0.remove(slot)
    }

    fn probe(&self, size: usize) -> Result<(), StoreError> {
        self.0.probe(size)
    }

    fn choice(&self) -> Choice {
        self.0.choice()
    }
}

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).unwrap()
}

fn put(vault: &Local<'_>, name: &str, value: &str) -> Metadata {
    vault.put(New::named(name, variables(&[("A", value)]))).unwrap()
}

fn found(vault: &dyn Vault, name: &str) -> Metadata {
    vault.find(&Scope::Organization, name).unwrap().unwrap()
}

#[test]
fn keeps_the_contract() {
    let worlds: Vec<World> = std::iter::repeat_with(World::new).take(11).collect();
    let next = Cell::new(0);
    vault_contract(|| {
        let world = &worlds[next.replace(next.get() + 1)];
        world.vault()
    });
    assert_eq!(next.get(), worlds.len());
}

#[test]
fn looking_makes_nothing_and_asks_no_keychain() {
    let world = World::new();
    world.locked.set(true);
    let vault = world.vault();
    assert!(vault.list().unwrap().is_empty());
    assert!(vault.find(&Scope::Organization, "x").unwrap().is_none());
    assert_eq!(vault.about().unwrap(), None);
    assert!(matches!(vault.prove(), Err(VaultError::NoVault)));
    assert!(matches!(vault.rekey(None), Err(VaultError::NoVault)));
    assert!(matches!(vault.backup(&world.dir.path().join("b")), Err(VaultError::NoVault)));
    assert_eq!(std::fs::read_dir(world.dir.path()).unwrap().count(), 0);

    world.locked.set(false);
    let stored = put(&world.vault(), "db", "1");
    world.locked.set(true);
    let vault = world.vault();
    assert_eq!(vault.list().unwrap().len(), 1);
    vault.amend(&stored, &Change { name: Some("new".into()), ..Change::default() }).unwrap();
    vault.note_use(&stored, now()).unwrap();
    let renamed = found(&vault, "new");
    let failure = vault.open(&renamed).unwrap_err();
    assert!(matches!(failure, VaultError::Root { making: false, .. }), "{failure}");
    assert_eq!(with_causes(&failure), "the vault stays closed: the keychain is locked");
    assert!(vault.remove(&renamed).unwrap());
}

#[test]
fn a_vault_that_could_not_be_made_is_made_the_next_time() {
    let world = World::new();
    world.locked.set(true);
    let failure = world.vault().put(New::named("db", variables(&[("A", "1")]))).unwrap_err();
    assert!(matches!(failure, VaultError::Root { making: true, .. }), "{failure}");
    assert_eq!(world.vault().about().unwrap(), None);
    let absent = world.vault_with(Choice::File).put(New::named("db", variables(&[("A", "1")]))).unwrap_err();
    assert!(absent.mend().unwrap().contains("lanyard config set defaults.storage"), "{:?}", absent.mend());

    let stored = put(&world.vault_with(Choice::Plain), "db", "1");
    let about = world.vault().about().unwrap().unwrap();
    assert_eq!((about.storage, about.credentials, about.recoverable), (Choice::Plain, 1, false));
    assert_eq!(plain(&world.vault(), &stored), map(&[("A", "1")]), "it knows where its key is");
}

/// Two credentials of two versions, the file as it is now and as it was, and a way to put something wrong.
#[test]
fn whatever_is_moved_swapped_brought_back_or_changed_does_not_open() {
    let registry = provider::by_kind("registry").unwrap().1;
    let fields = |address: &str| {
        let mut raw = Raw::new();
        raw.plain("url", address).plain("username", "me").plain("password", "pass");
        Fields::parse(registry, raw).unwrap()
    };
    let world = World::new();
    let vault = world.vault();
    let one = vault.put(New::named("one", variables(&[("A", "1"), ("B", "2")]))).unwrap();
    let two = vault.put(New::named("two", variables(&[("A", "3"), ("B", "4")]))).unwrap();
    let login = vault.put(New::named("login", fields("https://registry.example.com"))).unwrap();
    let earlier = world.dir.path().join("earlier.db");
    world.vault().backup(&earlier).unwrap();
    let one = vault.put(New { replaces: Some(one), ..New::named("", variables(&[("A", "5"), ("B", "6")])) }).unwrap();
    drop(vault);
    let whole = std::fs::read(world.file()).unwrap();

    let swap = |table: &str, what: &str| {
        format!(
            "CREATE TEMP TABLE t AS SELECT * FROM {table}; UPDATE {table} SET {what} = (SELECT {what} FROM t WHERE \
             t.credential <> {table}.credential AND t.rowid <> {table}.rowid AND t.credential IN ('{0}', '{1}')) \
             WHERE credential IN ('{0}', '{1}')",
            one.id, two.id
        )
    };
    let back = |table: &str| {
        format!(
            "ATTACH '{}' AS earlier; DELETE FROM {table} WHERE credential = '{1}'; \
             INSERT INTO {table} SELECT * FROM earlier.{table} WHERE credential = '{1}'",
            earlier.display(),
            one.id
        )
    };
    let set = |table: &str, what: &str, id: &str| format!("UPDATE {table} SET {what} WHERE credential = '{id}'");
    let attacks: Vec<(&str, String)> = vec![
        ("data keys swapped", swap("data_keys", "wrapped")),
        ("secrets swapped", swap("secrets", "sealed")),
        ("an earlier data key", back("data_keys")),
        ("earlier secrets", back("secrets")),
        ("no data key", format!("DELETE FROM data_keys WHERE credential = '{}'", one.id)),
        ("a later data key", set("data_keys", "version = 9", &one.id)),
        ("both earlier", format!("{}; {}", back("data_keys"), back("secrets").split_once("; ").unwrap().1)),
        (
            "fields swapped",
            format!(
                "UPDATE secrets SET field = 'C' WHERE credential = '{0}' AND field = 'A'; \
                 UPDATE secrets SET field = 'A' WHERE credential = '{0}' AND field = 'B'; \
                 UPDATE secrets SET field = 'B' WHERE credential = '{0}' AND field = 'C'",
                one.id
            ),
        ),
        ("a field taken away", format!("DELETE FROM secrets WHERE credential = '{}' AND field = 'A'", one.id)),
        ("all fields taken away", format!("DELETE FROM secrets WHERE credential = '{}'", one.id)),
        ("one more field", format!("INSERT INTO secrets SELECT credential, 'C', version, sealed FROM secrets WHERE credential = '{}' AND field = 'A'", one.id)),
        ("a damaged secret", set("secrets", "sealed = zeroblob(40)", &one.id)),
        ("an empty secret", set("secrets", "sealed = x''", &one.id)),
        ("a damaged data key", set("data_keys", "wrapped = zeroblob(60)", &one.id)),
        ("another kind", "UPDATE credentials SET kind = 'registry' WHERE name = 'one'".into()),
        ("another version", "UPDATE credentials SET version = 1 WHERE name = 'one'; UPDATE data_keys SET version = 1".into()),
        ("another address", "UPDATE credentials SET fields = replace(fields, 'registry.example.com', 'evil.example.com') WHERE name = 'login'".into()),
        ("another user", "UPDATE credentials SET fields = replace(fields, '\"me\"', '\"you\"') WHERE name = 'login'".into()),
        ("one field more", "UPDATE credentials SET fields = json_set(fields, '$.x', 'y') WHERE name = 'login'".into()),
        ("another identity", format!("PRAGMA foreign_keys = OFF; UPDATE credentials SET id = 'x' WHERE id = '{0}'; UPDATE data_keys SET credential = 'x' WHERE credential = '{0}'; UPDATE secrets SET credential = 'x' WHERE credential = '{0}'", one.id)),
    ];
    for (what, sql) in attacks {
        std::fs::write(world.file(), &whole).unwrap();
        let before = world.vault();
        for name in ["one", "two", "login"] {
            before.open(&found(&before, name)).unwrap();
        }
        drop(before);
        world.tamper(&sql);
        let vault = world.vault();
        let target =
            if ["another address", "another user", "one field more"].contains(&what) { "login" } else { "one" };
        let failure = vault.open(&found(&vault, target)).unwrap_err();
        assert!(matches!(&failure, VaultError::DoesNotOpen { name } if name == target), "{what}: {failure:?}");
        assert_eq!(failure.mend().unwrap(), format!("store it again: `lanyard credentials update {target}`"));
        let broken = vault.examine().unwrap();
        assert!(broken.iter().any(|metadata| metadata.name == target), "{what}: {broken:?}");
        // It can be removed, and the others are as they were.
        vault.remove(&found(&vault, target)).unwrap();
        let other = if target == "login" { "two" } else { "login" };
        vault.open(&found(&vault, other)).unwrap();
    }
    drop(login);
}

#[test]
fn rows_of_another_vault_do_not_open() {
    let (here, there) = (World::new(), World::new());
    let mine = put(&here.vault(), "db", "mine");
    put(&there.vault(), "db", "theirs");
    here.tamper(&format!(
        "ATTACH '{}' AS there; UPDATE data_keys SET wrapped = (SELECT wrapped FROM there.data_keys); \
         UPDATE secrets SET sealed = (SELECT sealed FROM there.secrets)",
        there.file().display()
    ));
    assert!(matches!(here.vault().open(&mine), Err(VaultError::DoesNotOpen { .. })));
    // The whole of another vault, with its keys, wants the other root key.
    std::fs::copy(there.file(), here.file()).unwrap();
    let vault = here.vault();
    let failure = vault.open(&found(&vault, "db")).unwrap_err();
    assert!(matches!(failure, VaultError::NoRoot { recoverable: false, .. }), "{failure:?}");
}

#[test]
fn what_is_no_row_of_ours_is_named_and_kept() {
    let world = World::new();
    put(&world.vault(), "db", "1");
    put(&world.vault(), "new", "2");
    world.tamper("UPDATE credentials SET kind = 'quantum_key', fields = '{\"x\":\"y\"}' WHERE name = 'new'");
    let vault = world.vault();
    let listed = vault.list().unwrap();
    let kinds: Vec<_> = listed.iter().map(|one| (one.name.as_str(), one.kind.id, one.kind.provider)).collect();
    assert_eq!(kinds, [("db", "generic_env", "env"), ("new", "quantum_key", "unknown")]);
    assert!(provider::of(&listed[1]).is_none());
    vault.amend(&listed[1], &Change { note: Some("why".into()), ..Change::default() }).unwrap();
    let kept = Connection::open(world.file()).unwrap();
    let row = |column: &str| -> String {
        kept.query_row(&format!("SELECT {column} FROM credentials WHERE name = 'new'"), [], |row| row.get(0)).unwrap()
    };
    assert_eq!((row("kind"), row("fields"), row("note")), ("quantum_key".into(), "{\"x\":\"y\"}".into(), "why".into()));
    vault.remove(&listed[1]).unwrap();
    for broken in ["fields = '['", "tags = '{}'", "secret_names = 'x'", "created = 9223372036854775807"] {
        world.tamper(&format!("UPDATE credentials SET {broken}"));
        let failure = world.vault().list().unwrap_err();
        assert!(matches!(&failure, VaultError::Foreign { name } if name == "db"), "{broken}: {failure:?}");
    }
}

#[test]
fn no_secret_stands_in_the_files_and_what_was_deleted_is_overwritten() {
    let world = World::new();
    let vault = world.vault();
    let secret = "LNYCANARY0123456789abcdef";
    let stored = put(&vault, "db", secret);
    let contains = |needle: &[u8]| {
        std::fs::read_dir(world.dir.path())
            .unwrap()
            .flatten()
            .any(|entry| std::fs::read(entry.path()).unwrap().windows(needle.len()).any(|window| window == needle))
    };
    assert!(contains(stored.id.as_bytes()) && !contains(&secret.as_bytes()[..12]));
    let sealed: Vec<u8> =
        Connection::open(world.file()).unwrap().query_row("SELECT sealed FROM secrets", [], |row| row.get(0)).unwrap();
    assert!(contains(&sealed));
    vault.remove(&stored).unwrap();
    assert!(!contains(&sealed), "the ciphertext is gone from the file and its log");
    assert!(!contains(stored.id.as_bytes()));
    drop(vault);
    let mut names: Vec<_> =
        std::fs::read_dir(world.dir.path()).unwrap().flatten().map(|entry| entry.file_name()).collect();
    names.sort();
    assert_eq!(names, ["vault.db", "vault.lock"], "nothing else stays");
}

#[test]
fn many_seals_are_all_different() {
    let key = seal::Key::random().unwrap();
    let nonces: BTreeSet<Vec<u8>> = (0..100_000).map(|_| key.seal(b"", &[]).unwrap()).collect();
    assert_eq!(nonces.len(), 100_000);
}

#[test]
fn no_failure_shows_what_it_should_not() {
    let path = || Path::new("/x/vault.db").to_owned();
    let reason = || crate::secret::Reason("why".into());
    let name = || "db\u{1b}[31m".to_owned();
    let failures = [
        VaultError::WrongKey,
        VaultError::BadName,
        VaultError::TooMuch(super::measure::Excess::Note),
        VaultError::NoVault,
        VaultError::BadRecoveryKey,
        VaultError::NoRecovery,
        VaultError::NoRandom,
        VaultError::DoesNotOpen { name: name() },
        VaultError::Unknown { name: name(), nearest: Some(name()) },
        VaultError::Unknown { name: name(), nearest: None },
        VaultError::Taken { name: name() },
        VaultError::Changed { name: name() },
        VaultError::Foreign { name: name() },
        VaultError::Circle { name: name() },
        VaultError::NotEmpty { count: 3 },
        VaultError::Exists { path: path() },
        VaultError::NoBackup { path: path() },
        VaultError::BadBackup { path: path(), cause: reason() },
        VaultError::BackupClosed { recoverable: true },
        VaultError::BackupClosed { recoverable: false },
        VaultError::NoRoot { store: "keychain", recoverable: true },
        VaultError::NoRoot { store: "keychain", recoverable: false },
        VaultError::Root { cause: StoreError::Absent { store: "keychain", cause: None }, making: true },
        VaultError::Root { cause: StoreError::Absent { store: "keychain", cause: None }, making: false },
        VaultError::Root { cause: StoreError::Sealed { path: "/x".into() }, making: false },
        VaultError::Root { cause: StoreError::Damaged { store: "keychain", name: "x".into() }, making: false },
    ];
    for failure in failures {
        let told = with_causes(&failure);
        let mend = failure.mend().unwrap_or_default();
        assert!(!told.is_empty() && !mend.is_empty(), "{failure:?}");
        assert!(!told.ends_with('.') && !mend.ends_with('.'), "{told} {mend}");
        assert!(!told.contains('\u{1b}') && !mend.contains('\u{1b}'), "{told} {mend}");
        assert!(!mend.contains("sign in"), "{mend}");
    }
}
