//! Copies of the local vault, and the way back.

use std::path::{Path, PathBuf};

use super::{FILE, Local, keys};
use crate::os::files::{self, FileError};
use crate::secret::{Choice, Secret};
use crate::store::{RowError, Store};
use crate::vault::VaultError;

/// Where copies are made and looked at before they count, in the data folder.
const ASIDE: &str = ".aside";

/// What came of bringing a backup back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// How many credentials there are now.
    pub credentials: u32,
    /// Where the vault that was here before is kept, if it held anything.
    pub kept: Option<PathBuf>,
}

impl Local<'_> {
    /// Writes a consistent copy of the vault to a new file: rows and sealed secrets, and no key that opens them.
    /// Returns how many credentials it holds and whether a recovery key opens it.
    pub fn backup(&self, to: &Path) -> Result<(u32, bool), VaultError> {
        let about = self.about()?.ok_or(VaultError::NoVault)?;
        if to.symlink_metadata().is_ok() {
            return Err(VaultError::Exists { path: to.to_owned() });
        }
        let _lock = Store::lock(&self.path)?;
        let aside = Aside::new(self.folder())?;
        files::publish(&self.copy(&aside)?, to).map_err(RowError::from)?;
        Ok((about.credentials, about.recoverable))
    }

    /// Brings a backup back. Before anything here changes, the backup is checked to be whole and to open: with the
    /// root key of this machine, or with its recovery key, which then gets a new root key in `storage`.
    ///
    /// What is here now is only replaced when `replace` says so, and is kept beside.
    pub fn restore(
        &self,
        from: &Path,
        recovery: Option<&Secret>,
        storage: Choice,
        replace: bool,
    ) -> Result<Restored, VaultError> {
        let lock = Store::lock(&self.path)?;
        let aside = Aside::new(self.folder())?;
        let copied = aside.0.join(FILE);
        files::copy(from, &copied).map_err(RowError::from)?;
        // A copy of the copy: bringing its tables up to date must not touch the user's file.
        let backup = Local::new(&aside.0, storage, Box::new(|choice| (self.opener)(choice)), self.now);
        let found = backup.made().map_err(|failure| of_backup(failure, from))?;
        let (rows, row, row_keys) = found.ok_or_else(|| VaultError::NoBackup { path: from.to_owned() })?;
        rows.check_whole().map_err(|failure| of_backup(failure.into(), from))?;

        if self.store.get().is_none() {
            let store = Store::open_locked(&self.path, &lock)?;
            let _ = self.store.set(store);
        }
        let here = self.made()?;
        let held = here.as_ref().map_or(Ok(0), |(store, row, _)| store.count(&row.id))?;
        if held > 0 && !replace {
            return Err(VaultError::NotEmpty { count: held });
        }
        let credentials = rows.count(&row.id)?;
        if let Some(words) = recovery {
            let open = keys::recovered(row, &row_keys, words)?;
            // The place of the present root key stays as it is for as long as the present vault counts.
            let all = here.iter().flat_map(|(_, _, keys)| keys).chain(&row_keys);
            let mut present = all.filter(|key| key.purpose == keys::ROOT).map(|key| key.id.as_str());
            let present = present.find(|id| id.starts_with(&open.row.id));
            backup.keep_new_root(rows, &open, present, storage)?;
        } else {
            let recoverable = row_keys.iter().any(|key| key.purpose == keys::RECOVERY);
            backup.opened().map_err(|failure| match failure {
                VaultError::NoRoot { .. } | VaultError::WrongKey => VaultError::BackupClosed { recoverable },
                other => other,
            })?;
        }
        drop(backup);
        let kept = if held > 0 { Some(self.keep(&aside)?) } else { None };
        self.store()?.replace_by(&copied)?;
        self.close();
        Ok(Restored { credentials, kept })
    }

    /// Keeps a copy of the present vault beside it, and tells where.
    fn keep(&self, aside: &Aside) -> Result<PathBuf, VaultError> {
        let time = (self.now)().format("%Y%m%dT%H%M%SZ");
        let names = (1..).map(|number| match number {
            1 => format!("vault-before-restore-{time}.db"),
            _ => format!("vault-before-restore-{time}-{number}.db"),
        });
        let mut free = names.map(|name| self.folder().join(name)).filter(|path| path.symlink_metadata().is_err());
        // The names never end.
        let path = free.next().unwrap_or_else(|| self.folder().join("vault-before-restore.db"));
        files::put(&self.copy(aside)?, &path).map_err(RowError::from)?;
        Ok(path)
    }

    /// Makes a copy aside, where a kill may leave half of it.
    fn copy(&self, aside: &Aside) -> Result<PathBuf, VaultError> {
        let copy = aside.0.join("copy.db");
        self.store()?.copy_to(&copy)?;
        Ok(copy)
    }

    fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("."))
    }
}

/// A folder that goes when it is done with. There is one for all, so that what a kill leaves goes with the next.
struct Aside(PathBuf);

impl Aside {
    fn new(folder: &Path) -> Result<Self, VaultError> {
        let path = folder.join(ASIDE);
        let aside = Self(path.clone());
        match std::fs::remove_dir_all(&path) {
            Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => {
                return Err(RowError::File(FileError::Io { action: "remove", path, cause }).into());
            }
            _ => {}
        }
        files::create_private_dir(&path).map_err(RowError::from)?;
        Ok(aside)
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        // What stays is private and sealed, and goes with the next one.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What is wrong with a backup, told of the user's file and not of our copy.
fn of_backup(failure: VaultError, from: &Path) -> VaultError {
    let path = from.to_owned();
    match failure {
        VaultError::Rows(RowError::Damaged { cause, .. } | RowError::Refused { cause, .. }) => {
            VaultError::BadBackup { path, cause }
        }
        VaultError::Rows(RowError::Strange { .. }) => VaultError::NoBackup { path },
        VaultError::Rows(RowError::Newer { .. }) => RowError::Newer { path }.into(),
        other => other,
    }
}
