//! Backups, and bringing them back.

use super::*;
use crate::store::RowError;

/// A machine with a vault of two credentials, its backup and its recovery key.
struct Origin {
    world: World,
    backup: PathBuf,
    words: Secret,
}

fn origin() -> Origin {
    let world = World::new();
    let vault = world.vault();
    put(&vault, "one", "1");
    put(&vault, "two", "2");
    let words = vault.make_recovery_key().unwrap();
    let backup = world.dir.path().join("backup.db");
    assert_eq!(vault.backup(&backup).unwrap(), (2, true));
    drop(vault);
    Origin { world, backup, words }
}

fn names(vault: &dyn Vault) -> Vec<String> {
    vault.list().unwrap().into_iter().map(|metadata| metadata.name).collect()
}

fn files(world: &World) -> BTreeSet<String> {
    let entries = std::fs::read_dir(world.dir.path()).unwrap().flatten();
    entries.map(|entry| entry.file_name().into_string().unwrap()).collect()
}

#[test]
fn a_backup_is_one_private_file_that_never_replaces_another() {
    use std::os::unix::fs::PermissionsExt;
    let Origin { world, backup, .. } = origin();
    assert_eq!(std::fs::metadata(&backup).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(files(&world), ["backup.db", "vault.db", "vault.lock"].map(String::from).into());
    let again = world.vault().backup(&backup).unwrap_err();
    assert!(matches!(&again, VaultError::Exists { path } if *path == backup), "{again:?}");
    let nowhere = world.vault().backup(Path::new("/nowhere/at/all")).unwrap_err();
    assert!(with_causes(&nowhere).starts_with("cannot create /nowhere/at/all: "), "{nowhere}");
    assert_eq!(world.vault().examine().unwrap().len(), 0);
}

#[test]
fn the_same_machine_needs_no_recovery_key() {
    let Origin { world, backup, .. } = origin();
    let vault = world.vault();
    vault.remove(&found(&vault, "one")).unwrap();
    put(&vault, "three", "3");
    let refused = world.vault().restore(&backup, None, Choice::Keychain, false).unwrap_err();
    assert!(matches!(refused, VaultError::NotEmpty { count: 2 }), "{refused:?}");
    assert_eq!(names(&world.vault()), ["three", "two"], "nothing was changed");

    let restored = world.vault().restore(&backup, None, Choice::Keychain, true).unwrap();
    assert_eq!(restored.credentials, 2);
    let fresh = world.vault();
    assert_eq!(names(&fresh), ["one", "two"]);
    assert_eq!(plain(&fresh, &found(&fresh, "one")), map(&[("A", "1")]));
    // What was here is kept, whole, and is a backup like any other.
    let kept = restored.kept.unwrap();
    assert_eq!(kept.file_name().unwrap(), "vault-before-restore-20270115T080000Z.db");
    let second = world.vault().restore(&kept, None, Choice::Keychain, true).unwrap();
    assert_eq!(names(&world.vault()), ["three", "two"]);
    assert_eq!(plain(&world.vault(), &found(&world.vault(), "three")), map(&[("A", "3")]));
    assert_ne!(second.kept.unwrap(), kept);
    // Whoever had the vault open before sees the one of now.
    assert_eq!(names(&vault), ["three", "two"]);
    assert_eq!(plain(&vault, &found(&vault, "two")), map(&[("A", "2")]));
}

#[test]
fn another_machine_needs_the_recovery_key() {
    let Origin { backup, words, world: away } = origin();
    let world = World::new();
    let closed = world.vault().restore(&backup, None, Choice::Keychain, false).unwrap_err();
    assert!(matches!(closed, VaultError::BackupClosed { recoverable: true }), "{closed:?}");
    let wrong = seal::Key::random().unwrap().to_words();
    let refused = world.vault().restore(&backup, Some(&wrong), Choice::Keychain, false).unwrap_err();
    assert!(matches!(refused, VaultError::WrongKey), "{refused:?}");
    assert!(names(&world.vault()).is_empty());
    world.locked.set(true);
    let locked = world.vault().restore(&backup, Some(&words), Choice::Keychain, false).unwrap_err();
    assert!(matches!(locked, VaultError::Root { .. }), "{locked:?}");
    assert!(names(&world.vault()).is_empty(), "nothing counts before its root key is kept");
    world.locked.set(false);
    let restored = world.vault().restore(&backup, Some(&words), Choice::Plain, false).unwrap();
    assert_eq!((restored.credentials, restored.kept), (2, None));
    let vault = world.vault();
    assert_eq!(plain(&vault, &found(&vault, "two")), map(&[("A", "2")]));
    assert_eq!(vault.about().unwrap().unwrap().storage, Choice::Plain);
    put(&vault, "three", "3");
    assert!(vault.examine().unwrap().is_empty());
    // The recovery key is the same as before, and the other machine is as it was.
    vault.recover(&words, Choice::Keychain).unwrap();
    assert_eq!(plain(&world.vault(), &found(&vault, "three")), map(&[("A", "3")]));
    assert_eq!(names(&away.vault()), ["one", "two"]);
    drop(vault);
    assert_eq!(files(&world), ["vault.db", "vault.lock"].map(String::from).into());
}

#[test]
fn a_backup_of_before_a_rekey_comes_back_with_its_recovery_key() {
    let Origin { world, backup, words } = origin();
    world.vault().rekey(None).unwrap();
    let closed = world.vault().restore(&backup, None, Choice::Keychain, true).unwrap_err();
    assert!(matches!(closed, VaultError::BackupClosed { recoverable: true }), "{closed:?}");
    let restored = world.vault().restore(&backup, Some(&words), Choice::Keychain, true).unwrap();
    assert!(world.vault().examine().unwrap().is_empty());
    // The root key of the vault that was replaced is still there, and so the kept copy opens.
    world.vault().restore(&restored.kept.unwrap(), None, Choice::Keychain, true).unwrap();
    assert!(world.vault().examine().unwrap().is_empty());
}

#[test]
fn a_file_that_is_no_backup_changes_nothing() {
    let Origin { world, backup, .. } = origin();
    let dir = world.dir.path();
    let mut damaged = std::fs::read(&backup).unwrap();
    let half = damaged.len() / 2;
    damaged[4096..half].fill(0xff);
    std::fs::write(dir.join("damaged"), &damaged).unwrap();
    std::fs::write(dir.join("half"), &damaged[..half]).unwrap();
    std::fs::write(dir.join("text"), "dear diary\n".repeat(1000)).unwrap();
    std::fs::write(dir.join("empty"), "").unwrap();
    Connection::open(dir.join("other")).unwrap().execute_batch("CREATE TABLE other (x)").unwrap();
    std::fs::copy(&backup, dir.join("newer")).unwrap();
    Connection::open(dir.join("newer")).unwrap().execute_batch("PRAGMA user_version = 99").unwrap();
    std::fs::create_dir(dir.join("folder")).unwrap();
    for (file, told) in [
        ("damaged", "the backup "),
        ("half", "the backup "),
        ("text", "the backup "),
        ("empty", "is no backup of a vault"),
        ("other", "is no backup of a vault"),
        ("newer", "was written by a newer lanyard"),
        ("folder", "is not a regular file"),
        ("missing", "cannot read "),
    ] {
        let path = dir.join(file);
        let failure = world.vault().restore(&path, None, Choice::Keychain, true).unwrap_err();
        let said = with_causes(&failure);
        assert!(said.contains(told) && said.contains(file) && !said.contains(".aside"), "{file}: {said}");
        assert!(!failure.mend().unwrap_or_default().contains(".aside"), "{:?}", failure.mend());
        assert_eq!(names(&world.vault()), ["one", "two"], "{file}");
    }
    assert!(!files(&world).iter().any(|name| name.contains("restore") || name.starts_with('.')), "{:?}", files(&world));
}

#[test]
fn a_damaged_vault_is_told_apart_from_another_programs_file() {
    let Origin { world, backup, .. } = origin();
    let whole = std::fs::read(world.file()).unwrap();
    std::fs::write(world.file(), "dear diary\n".repeat(1000)).unwrap();
    let failure = world.vault().list().unwrap_err();
    assert!(matches!(failure, VaultError::Rows(RowError::Damaged { .. })), "{failure:?}");
    assert!(failure.mend().unwrap().contains("lanyard vault restore FILE"));
    // As the mend says.
    std::fs::rename(world.file(), world.dir.path().join("away")).unwrap();
    world.vault().restore(&backup, None, Choice::Keychain, false).unwrap();
    assert_eq!(names(&world.vault()), ["one", "two"]);
    std::fs::write(world.file(), &whole[..whole.len() / 2]).unwrap();
    let failure = world.vault().examine().unwrap_err();
    assert!(matches!(failure, VaultError::Rows(RowError::Damaged { .. })), "{failure:?}");
}
