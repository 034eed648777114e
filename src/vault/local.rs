//! The vault on this machine: rows in a database of the data folder, secrets in it sealed under a root key that rests
//! in the secret store of the user's choice.
//!
//! Metadata and secrets change in one transaction. Listing and finding never ask the keychain; opening asks it once.

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::seal::{self, Key};
use super::{VaultError, id};
use crate::credential::Metadata;
use crate::os::files::FileError;
use crate::secret::{Choice, Secret, SecretStore, Slot, StoreError};
use crate::store::{KeyRow, Opened, RowError, SealedRows, SecretRow, Store, VaultRow, Written};

mod backup;
mod content;
mod kept;
mod keys;
mod links;
mod unlocked;

pub use backup::Restored;
pub use keys::About;
pub use unlocked::Unlocked;

/// The name of the database in the data folder.
const FILE: &str = "vault.db";
/// The field that names another credential. It follows that one's name and is bound to nothing.
const SOURCE: &str = "source";
/// So many changes by others in the blink of an eye are believed.
const MOST_CHANGES: usize = 10;

/// How the vault reaches the secret store that its root key rests in.
pub type Opener<'a> = Box<dyn Fn(Choice) -> Result<Box<dyn SecretStore + 'a>, StoreError> + 'a>;

/// The vault on this machine. Free to make: nothing is opened before it is needed.
pub struct Local<'a> {
    path: PathBuf,
    storage: Choice,
    opener: Opener<'a>,
    now: &'a dyn Fn() -> DateTime<Utc>,
    store: OnceCell<Store>,
    open: RefCell<Option<Arc<OpenVault>>>,
}

/// The vault's row, its key, and the row of the key that opened it.
struct OpenVault {
    row: VaultRow,
    key: Key,
    by: KeyRow,
}

impl OpenVault {
    fn opened(&self) -> Opened<'_> {
        Opened { vault: &self.row.id, key: &self.by }
    }
}

impl<'a> Local<'a> {
    /// The vault in the folder `dir`. A new one keeps its root key in `storage`; one that exists knows where its own is.
    pub fn new(dir: &Path, storage: Choice, opener: Opener<'a>, now: &'a dyn Fn() -> DateTime<Utc>) -> Self {
        let storage = keys::unless_auto(storage);
        Self { path: dir.join(FILE), storage, opener, now, store: OnceCell::new(), open: RefCell::new(None) }
    }

    /// Whether there is a database in the folder `dir`.
    pub fn is_in(dir: &Path) -> bool {
        dir.join(FILE).symlink_metadata().is_ok()
    }

    /// The database file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The database, made if need be.
    fn store(&self) -> Result<&Store, VaultError> {
        if let Some(store) = self.store.get() {
            return Ok(store);
        }
        let store = Store::open(&self.path)?;
        Ok(self.store.get_or_init(|| store))
    }

    /// The database and its vault, where there is one. Makes nothing.
    fn existing(&self) -> Result<Option<(&Store, VaultRow)>, VaultError> {
        if self.store.get().is_none() {
            match std::fs::symlink_metadata(&self.path) {
                Ok(_) => {}
                Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(None),
                Err(cause) => {
                    let path = self.path.clone();
                    return Err(RowError::File(FileError::Io { action: "read", path, cause }).into());
                }
            }
        }
        let store = self.store()?;
        Ok(store.vault()?.map(|row| (store, row)))
    }

    /// The vault, opened; made where there is none.
    fn opened(&self) -> Result<(&Store, Arc<OpenVault>), VaultError> {
        let store = self.store()?;
        if let Some(open) = self.open.borrow().as_ref() {
            return Ok((store, Arc::clone(open)));
        }
        let open = match self.unlock(store)? {
            Some(open) => open,
            None => self.create(store)?,
        };
        let open = Arc::new(open);
        *self.open.borrow_mut() = Some(Arc::clone(&open));
        Ok((store, open))
    }

    /// Opens the vault, and makes it where there is none: whoever is about to have a person sign in learns first that
    /// what comes of it can be kept.
    pub fn ready(&self) -> Result<(), VaultError> {
        self.opened().map(|_| ())
    }

    /// Forgets the vault's key, so that the next use opens it anew.
    fn close(&self) {
        *self.open.borrow_mut() = None;
    }

    /// The vault, opened with its root key; `None` where none was made yet.
    fn unlock(&self, store: &Store) -> Result<Option<OpenVault>, VaultError> {
        let mut failure = VaultError::NoVault;
        for _ in 0..MOST_CHANGES {
            let Some(row) = store.vault()? else { return Ok(None) };
            let keys = store.keys(&row.id)?;
            if keys.is_empty() && store.count(&row.id)? == 0 {
                return Ok(None);
            }
            let choice = keys::choice_of(&row);
            let recoverable = keys.iter().any(|key| key.purpose == keys::RECOVERY);
            failure = VaultError::NoRoot { store: choice.title(), recoverable };
            let Some(root) = keys.into_iter().find(|key| key.purpose == keys::ROOT) else { break };
            let secrets = (self.opener)(choice).map_err(closed)?;
            if let Some(held) = secrets.get(&slot(&root.id)).map_err(closed)? {
                let held = Key::from_secret(&held).ok_or(VaultError::WrongKey)?;
                match held.unwrap(&root.wrapped, &[&row.id, &root.id, keys::ROOT]) {
                    Ok(key) => return Ok(Some(OpenVault { row, key, by: root })),
                    Err(_) => failure = VaultError::WrongKey,
                }
            }
            // Another process may have put a new root key in the place of this one in between.
            let newest = store.keys(&row.id)?.into_iter().find(|key| key.purpose == keys::ROOT);
            if newest.is_some_and(|newest| newest == root) {
                break;
            }
        }
        Err(failure)
    }

    /// Makes the vault: the root key is in the secret store before anything is sealed under it.
    ///
    /// The vault has its name before it has a key, so that whoever tries again after a kill puts the root key into the
    /// same place instead of leaving another one behind.
    fn create(&self, store: &Store) -> Result<OpenVault, VaultError> {
        let _lock = Store::lock(&self.path)?;
        if let Some(open) = self.unlock(store)? {
            // Another process was faster; its vault is the one.
            return Ok(open);
        }
        let now = (self.now)();
        let made = VaultRow {
            id: id::new("vault", now)?,
            created: now.timestamp_millis(),
            storage: self.storage.word().into(),
        };
        store.create_vault(&made)?;
        let row = store.vault()?.ok_or(VaultError::NoVault)?;
        let secrets = (self.opener)(self.storage).map_err(not_made)?;
        let key = Key::random()?;
        let root = self.new_root(&*secrets, &row.id, None, &key).map_err(|failure| match failure {
            VaultError::Root { cause, .. } => not_made(cause),
            other => other,
        })?;
        if store.first_key(&row.id, &root, self.storage.word())? {
            return Ok(OpenVault { row: VaultRow { storage: self.storage.word().into(), ..row }, key, by: root });
        }
        self.unlock(store)?.ok_or(VaultError::NoVault)
    }

    /// A new root key in the secret store, with the vault key under it. Whoever calls it holds the lock.
    ///
    /// There are two places for it, used in turn: the `present` key stays until the new one counts, and what a kill
    /// leaves behind is overwritten by the next one.
    fn new_root(
        &self,
        secrets: &dyn SecretStore,
        vault: &str,
        present: Option<&str>,
        key: &Key,
    ) -> Result<KeyRow, VaultError> {
        let [first, second] = ["a", "b"].map(|place| format!("{vault}:{place}"));
        let id = if present == Some(first.as_str()) { second } else { first };
        let root = Key::random()?;
        let wrapped = root.wrap(key, &[vault, &id, keys::ROOT])?;
        secrets.set(&slot(&id), &root.to_secret()).map_err(closed)?;
        Ok(KeyRow { id, purpose: keys::ROOT.into(), created: (self.now)().timestamp_millis(), wrapped })
    }

    /// Runs a write of what is sealed under the vault's key; again where the vault has got another key meanwhile.
    fn sealing<T>(
        &self,
        name: &str,
        mut work: impl FnMut(&Store, &OpenVault) -> Result<(T, Written), VaultError>,
    ) -> Result<T, VaultError> {
        for _ in 0..MOST_CHANGES {
            let (store, open) = self.opened()?;
            match work(store, &open)? {
                (done, Written::Done) => return Ok(done),
                (_, Written::Changed) => break,
                (_, Written::Rekeyed) => self.close(),
            }
        }
        Err(VaultError::Changed { name: name.to_owned() })
    }
}

/// The secret store did not give the root key.
fn closed(cause: StoreError) -> VaultError {
    VaultError::Root { cause, making: false }
}

/// The secret store did not take the root key of a new vault.
fn not_made(cause: StoreError) -> VaultError {
    VaultError::Root { cause, making: true }
}

/// Seals the secrets of one version under a data key of its own.
fn seal(open: &OpenVault, metadata: &Metadata, secrets: &BTreeMap<String, Secret>) -> Result<SealedRows, VaultError> {
    let place = Place::of(&open.row.id, metadata);
    let data_key = Key::random()?;
    let wrapped = open.key.wrap(&data_key, &data_key_place(&open.row.id, &metadata.id, &place.version))?;
    let seal = |(field, secret): (&String, &Secret)| {
        let sealed = data_key.seal(secret.expose().as_bytes(), &place.of_field(field))?;
        Ok(SecretRow { field: field.clone(), version: metadata.version, sealed })
    };
    let secrets = secrets.iter().map(seal).collect::<Result<_, VaultError>>()?;
    Ok(SealedRows { version: metadata.version, wrapped, secrets })
}

/// What a secret is bound to: its vault, its credential, its version, its kind, and where it may be sent.
struct Place<'m> {
    vault: &'m str,
    id: &'m str,
    kind: &'static str,
    version: String,
    fields: String,
}

impl<'m> Place<'m> {
    fn of(vault: &'m str, metadata: &'m Metadata) -> Self {
        let bound = metadata.fields.iter().filter(|(name, _)| *name != SOURCE);
        Self {
            vault,
            id: &metadata.id,
            kind: metadata.kind.id,
            version: metadata.version.to_string(),
            fields: seal::digest(bound.map(|(name, value)| (name.as_str(), value.as_str()))),
        }
    }

    fn of_field<'p>(&'p self, field: &'p str) -> [&'p str; 7] {
        ["secret", self.vault, self.id, &self.version, self.kind, &self.fields, field]
    }
}

/// What a data key is bound to.
fn data_key_place<'p>(vault: &'p str, credential: &'p str, version: &'p str) -> [&'p str; 4] {
    ["data-key", vault, credential, version]
}

/// Where a root key rests in the secret store.
fn slot(key: &str) -> Slot {
    Slot { name: key.to_owned(), label: "lanyard: root key of the vault".into() }
}
