//! One file in plain text with mode 0600, for machines that have nothing better and users who said so.
//!
//! Whoever can read the user's files, or a backup of them, can read these secrets; the choice is named for that.

use std::path::{Path, PathBuf};

use super::map::{self, MapFile, Secrets};
use super::{Choice, Secret, SecretStore, Slot, StoreError};
use crate::os::files;

/// The file `sessions.plain.json`.
#[derive(Debug)]
pub struct PlainFile {
    dir: PathBuf,
}

impl PlainFile {
    /// The store in the folder `dir`; nothing is read or made yet.
    pub fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// The file, which may not exist.
    pub fn path(&self) -> PathBuf {
        self.dir.join("sessions.plain.json")
    }
}

impl MapFile for PlainFile {
    fn dir(&self) -> &Path {
        &self.dir
    }

    fn load(&self) -> Result<Secrets, StoreError> {
        let path = self.path();
        match files::read_private(&path)?.map(zeroize::Zeroizing::new) {
            Some(text) => map::parse(&text, &path),
            None => Ok(Secrets::new()),
        }
    }

    fn save(&self, secrets: &Secrets) -> Result<(), StoreError> {
        if secrets.is_empty() {
            files::remove(&self.path())?;
            return Ok(());
        }
        let text = map::text(secrets, Choice::Plain.title())?;
        Ok(files::replace(&self.path(), &text, false)?)
    }
}

impl SecretStore for PlainFile {
    fn get(&self, slot: &Slot) -> Result<Option<Secret>, StoreError> {
        Ok(self.load()?.remove(&slot.name))
    }

    fn set(&self, slot: &Slot, value: &Secret) -> Result<(), StoreError> {
        self.put(slot, value)
    }

    fn remove(&self, slot: &Slot) -> Result<bool, StoreError> {
        if !self.path().exists() {
            return Ok(false);
        }
        self.take(slot)
    }

    fn probe(&self, size: usize) -> Result<(), StoreError> {
        super::round_trip(self, size)
    }

    fn choice(&self) -> Choice {
        Choice::Plain
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(name: &str) -> Slot {
        Slot { name: name.into(), label: String::new() }
    }

    #[test]
    fn keeps_the_contract() {
        let home = tempfile::tempdir().unwrap();
        super::super::contract::secret_store_contract(|| Box::new(PlainFile::new(home.path())));
    }

    #[cfg(unix)]
    #[test]
    fn modes_are_private_and_the_last_secret_takes_the_file_away() {
        use std::os::unix::fs::PermissionsExt;
        let home = tempfile::tempdir().unwrap();
        let store = PlainFile::new(&home.path().join("lanyard"));
        store.set(&slot("work"), &Secret::new("canary".into())).unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&store.path()), 0o600);
        assert_eq!(mode(&store.dir), 0o700);
        assert_eq!(mode(&store.dir.join("locks/sessions.lock")), 0o600);
        store.remove(&slot("work")).unwrap();
        assert!(!store.path().exists());
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_others_could_touch_is_refused_with_the_mend() {
        use std::os::unix::fs::PermissionsExt;
        let home = tempfile::tempdir().unwrap();
        let store = PlainFile::new(home.path());
        store.set(&slot("work"), &Secret::new("canary".into())).unwrap();
        let mode = |mode| std::fs::set_permissions(store.path(), std::fs::Permissions::from_mode(mode)).unwrap();
        mode(0o644);
        let error = store.get(&slot("work")).unwrap_err();
        assert!(matches!(&error, StoreError::Unsafe { mend, .. } if mend.starts_with("chmod 600")), "{error}");
        assert!(store.set(&slot("work"), &Secret::new("x".into())).is_err());
        mode(0o600);
        let elsewhere = home.path().join("elsewhere");
        std::fs::rename(store.path(), &elsewhere).unwrap();
        std::os::unix::fs::symlink(&elsewhere, store.path()).unwrap();
        assert!(matches!(store.get(&slot("work")), Err(StoreError::Unsafe { .. })));
        assert!(matches!(store.set(&slot("work"), &Secret::new("x".into())), Err(StoreError::Unsafe { .. })));
        assert!(std::fs::read_to_string(&elsewhere).unwrap().contains("canary"));
    }

    #[test]
    fn writers_at_once_lose_nothing() {
        let home = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for number in 0..20 {
                let store = PlainFile::new(home.path());
                scope.spawn(move || store.set(&slot(&format!("p{number}")), &Secret::new("x".into())).unwrap());
            }
        });
        assert_eq!(PlainFile::new(home.path()).load().unwrap().len(), 20);
    }
}
