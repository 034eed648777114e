//! Several processes at once: each has a connection of its own.

use std::sync::Mutex;

use super::*;

/// What several threads share of a machine: its folder and its keychain.
pub(super) struct Machine {
    pub(super) dir: tempfile::TempDir,
    keychain: Memory,
}

impl Machine {
    pub(super) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), keychain: Memory::new() }
    }

    pub(super) fn vault(&self) -> Local<'_> {
        let opener = |_| -> Result<Box<dyn SecretStore>, StoreError> { Ok(Box::new(Shared(&self.keychain))) };
        Local::new(self.dir.path(), Choice::Keychain, Box::new(opener), &now)
    }
}

#[test]
fn a_vault_that_many_make_at_once_is_one() {
    for _ in 0..5 {
        let machine = Machine::new();
        std::thread::scope(|scope| {
            for number in 0..8 {
                let machine = &machine;
                scope.spawn(move || put(&machine.vault(), &format!("n{number}"), "x"));
            }
        });
        let vault = machine.vault();
        assert_eq!(vault.list().unwrap().len(), 8);
        assert!(vault.examine().unwrap().is_empty());
        let vaults: u32 = Connection::open(machine.dir.path().join("vault.db"))
            .unwrap()
            .query_row("SELECT (SELECT COUNT(*) FROM vaults) + (SELECT COUNT(*) FROM vault_keys)", [], |row| row.get(0))
            .unwrap();
        assert_eq!(vaults, 2, "one vault with one key");
    }
}

#[test]
fn writers_renamers_taggers_and_rekeyers_at_once_lose_nothing() {
    let machine = Machine::new();
    let shared = put(&machine.vault(), "shared", "0");
    let wins = Mutex::new(0);
    std::thread::scope(|scope| {
        for number in 0..6 {
            let (machine, shared, wins) = (&machine, &shared, &wins);
            scope.spawn(move || {
                let vault = machine.vault();
                let mine = put(&vault, &format!("n{number}"), "x");
                let tag = Change { tag: [format!("t{number}")].into(), ..Change::default() };
                vault.amend(shared, &tag).unwrap();
                vault.amend(&mine, &Change { name: Some(format!("m{number}")), ..Change::default() }).unwrap();
                let read = found(&vault, "shared");
                let new =
                    New { tags: read.tags.clone(), replaces: Some(read), ..New::named("", variables(&[("A", "1")])) };
                match vault.put(new) {
                    Ok(_) => *wins.lock().unwrap() += 1,
                    Err(VaultError::Changed { .. }) => {}
                    Err(failure) => panic!("{failure}"),
                }
            });
        }
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..4 {
                    machine.vault().rekey(None).unwrap();
                }
            });
        }
    });
    let vault = machine.vault();
    assert!(vault.examine().unwrap().is_empty(), "all of them open");
    let names: Vec<String> = vault.list().unwrap().into_iter().map(|one| one.name).collect();
    assert_eq!(names, ["m0", "m1", "m2", "m3", "m4", "m5", "shared"]);
    let shared = found(&vault, "shared");
    assert_eq!(shared.tags.len(), 6, "{:?}", shared.tags);
    assert_eq!(shared.version, 1 + *wins.lock().unwrap(), "each change that was told to count did");
}
