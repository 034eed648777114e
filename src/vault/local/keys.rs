//! The keys of the local vault: a new one, a recovery key, a backup and the way back.

use std::path::Path;

use super::{Local, OpenVault, data_key_place, slot};
use crate::os::files;
use crate::secret::{Choice, Secret};
use crate::store::{KeyRow, Store, VaultRow};
use crate::vault::seal::Key;
use crate::vault::{VaultError, id};

/// The key rests in the secret store.
pub(super) const ROOT: &str = "root";
/// The key was shown once to a person.
pub(super) const RECOVERY: &str = "recovery";

/// What is known of a vault without opening it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// Its identifier.
    pub id: String,
    /// In which secret store its root key rests.
    pub storage: Choice,
    /// How many credentials it holds.
    pub credentials: u32,
    /// Whether a recovery key was made.
    pub recoverable: bool,
}

impl Local<'_> {
    /// What is known of the vault; `None` where there is none yet. Asks no keychain.
    pub fn about(&self) -> Result<Option<About>, VaultError> {
        let Some((store, row)) = self.existing()? else { return Ok(None) };
        Ok(Some(About {
            storage: row.storage.parse().unwrap_or(Choice::Keychain),
            credentials: store.count(&row.id)?,
            recoverable: store.keys(&row.id)?.iter().any(|key| key.purpose == RECOVERY),
            id: row.id,
        }))
    }

    /// Opens the vault, and tells nothing but that it does.
    pub fn prove(&self) -> Result<(), VaultError> {
        self.existing()?.ok_or(VaultError::NoVault)?;
        self.opened().map(|_| ())
    }

    /// Replaces the root key, the vault key, and the wrapping of every data key. `storage` moves the root key to
    /// another secret store. Recovery keys made before do not open it any more; returns whether there was one.
    ///
    /// The new root key is in its store before the vault uses it, and the old one is removed afterwards: a kill leaves
    /// a vault that opens.
    pub fn rekey(&self, storage: Option<Choice>) -> Result<bool, VaultError> {
        self.existing()?.ok_or(VaultError::NoVault)?;
        let (store, open) = self.opened()?;
        let keys = store.keys(&open.row.id)?;
        let old_choice: Choice = open.row.storage.parse().unwrap_or(Choice::Keychain);
        let choice = storage.unwrap_or(old_choice);
        let secrets = (self.opener)(choice).map_err(VaultError::Root)?;
        let key = Key::random()?;
        let root = self.new_root(&*secrets, &open.row.id, &key)?;
        let rewrapped = store.rekey(&open.row.id, &root, choice.word(), |credential, version, wrapped| {
            let version = version.to_string();
            let place = data_key_place(&open.row.id, credential, &version);
            let data_key = open.key.unwrap(wrapped, &place).ok()?;
            key.wrap(&data_key, &place).ok()
        });
        if let Err(failure) = rewrapped {
            // Nothing was changed, so the new root key opens nothing.
            let _ = secrets.remove(&slot(&open.row.id, &root.id));
            return Err(failure.into());
        }
        self.forget_roots(&open.row.id, old_choice, &keys);
        Ok(keys.iter().any(|key| key.purpose == RECOVERY))
    }

    /// Removes root keys that open nothing any more. One that stays is harmless: it opens no present row.
    fn forget_roots(&self, vault: &str, choice: Choice, keys: &[KeyRow]) {
        let Ok(secrets) = (self.opener)(choice) else { return };
        for key in keys.iter().filter(|key| key.purpose == ROOT) {
            if let Err(failure) = secrets.remove(&slot(vault, &key.id)) {
                tracing::debug!(%failure, "the former root key stays in its store");
            }
        }
    }

    /// Makes a recovery key, instead of any that was made before. Whoever has it and a copy of the database has all
    /// credentials: it is shown once and kept nowhere.
    pub fn make_recovery_key(&self) -> Result<Secret, VaultError> {
        self.existing()?.ok_or(VaultError::NoVault)?;
        let (store, open) = self.opened()?;
        let now = (self.now)();
        let id = id::new("key", now)?;
        let recovery = Key::random()?;
        let wrapped = recovery.wrap(&open.key, &[&open.row.id, &id, RECOVERY])?;
        let row = KeyRow { id, purpose: RECOVERY.into(), created: now.timestamp_millis(), wrapped };
        store.replace_key(&open.row.id, &row, None)?;
        Ok(recovery.to_words())
    }

    /// Opens the vault with its recovery key, and keeps a new root key in `storage`.
    pub fn recover(&self, words: &Secret, storage: Choice) -> Result<(), VaultError> {
        let (store, row) = self.existing()?.ok_or(VaultError::NoVault)?;
        let key = recovered(store, &row, words)?;
        self.keep_new_root(store, row, key, storage)
    }

    fn keep_new_root(&self, store: &Store, row: VaultRow, key: Key, storage: Choice) -> Result<(), VaultError> {
        let storage = if storage == Choice::Auto { Choice::Keychain } else { storage };
        let secrets = (self.opener)(storage).map_err(VaultError::Root)?;
        let root = self.new_root(&*secrets, &row.id, &key)?;
        if let Err(failure) = store.replace_key(&row.id, &root, Some(storage.word())) {
            let _ = secrets.remove(&slot(&row.id, &root.id));
            return Err(failure.into());
        }
        let _ = self.open.set(OpenVault { row, key });
        Ok(())
    }

    /// Writes a consistent copy of the vault to a new file: rows and sealed secrets, and no key that opens them.
    /// Returns how many credentials it holds and whether a recovery key opens it.
    pub fn backup(&self, to: &Path) -> Result<(u32, bool), VaultError> {
        let (store, row) = self.existing()?.ok_or(VaultError::NoVault)?;
        store.copy_to(to)?;
        let recoverable = store.keys(&row.id)?.iter().any(|key| key.purpose == RECOVERY);
        Ok((store.count(&row.id)?, recoverable))
    }

    /// Brings a backup back. Before anything here changes, the backup is checked to be whole and to open: with the
    /// root key of this machine, or with its recovery key, which then gets a new root key in `storage`.
    ///
    /// What is here now is only replaced when `replace` says so. Returns how many credentials there are now.
    pub fn restore(
        &self,
        from: &Path,
        recovery: Option<&Secret>,
        storage: Choice,
        replace: bool,
    ) -> Result<u32, VaultError> {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        files::create_private_dir(folder).map_err(crate::store::RowError::from)?;
        // A copy of the copy: bringing its tables up to date must not touch the user's file.
        let copy = tempfile::Builder::new().prefix(".restore-").tempdir_in(folder);
        let copy = copy.map_err(|cause| file_error("create", folder, cause))?;
        let copied = copy.path().join("vault.db");
        files::ensure_private(&copied).map_err(crate::store::RowError::from)?;
        let content = std::fs::read(from).map_err(|cause| file_error("read", from, cause))?;
        files::replace(&copied, &content, false).map_err(crate::store::RowError::from)?;

        let backup = Local::new(copy.path(), storage, Box::new(|choice| (self.opener)(choice)), self.now);
        let (rows, row) = backup.existing()?.ok_or(VaultError::NoVault)?;
        rows.check_whole()?;
        let recovered = recovery.map(|words| recovered(rows, &row, words)).transpose()?;
        if recovered.is_none() {
            backup.opened()?;
        }
        let count = rows.count(&row.id)?;
        if let Some((here, vault)) = self.existing()? {
            let held = here.count(&vault.id)?;
            if !replace {
                return Err(VaultError::NotEmpty { count: held });
            }
        }
        drop(backup);
        let store = self.store()?;
        store.replace_by(&copied)?;
        if let Some(key) = recovered {
            self.keep_new_root(store, row, key, storage)?;
        }
        Ok(count)
    }
}

fn file_error(action: &'static str, path: &Path, cause: std::io::Error) -> VaultError {
    crate::store::RowError::File(files::FileError::Io { action, path: path.to_owned(), cause }).into()
}

/// The vault key, opened with the recovery key.
fn recovered(store: &Store, row: &VaultRow, words: &Secret) -> Result<Key, VaultError> {
    let key = Key::from_words(words).ok_or(VaultError::BadRecoveryKey)?;
    let keys = store.keys(&row.id)?;
    let mut recovery = keys.iter().filter(|key| key.purpose == RECOVERY).peekable();
    if recovery.peek().is_none() {
        return Err(VaultError::NoRecovery);
    }
    recovery
        .find_map(|row_key| key.unwrap(&row_key.wrapped, &[&row.id, &row_key.id, RECOVERY]).ok())
        .ok_or(VaultError::WrongKey)
}
