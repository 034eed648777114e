//! The vault on this machine: rows in a database of the data folder, secrets in it sealed under a root key that rests
//! in the secret store of the user's choice.
//!
//! Metadata and secrets change in one transaction. Listing and finding never ask the keychain; opening asks it once.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};

use super::seal::{self, Key};
use super::{Change, New, Unfinished, Vault, VaultError, check_name, id, rows};
use crate::credential::{Check, Credential, Fields, Metadata, Scope};
use crate::provider::{self, Verdict};
use crate::secret::{Choice, Secret, SecretStore, Slot, StoreError};
use crate::store::{CredentialRow, KeyRow, RowError, SealedRows, SecretRow, Store, VaultRow};

mod keys;

pub use keys::About;

/// The name of the database in the data folder.
const FILE: &str = "vault.db";
/// The field that names another credential. It follows that one's name and is bound to nothing.
const SOURCE: &str = "source";

/// How the vault reaches the secret store that its root key rests in.
pub type Opener<'a> = Box<dyn Fn(Choice) -> Result<Box<dyn SecretStore + 'a>, StoreError> + 'a>;

/// The vault on this machine. Free to make: nothing is opened before it is needed.
pub struct Local<'a> {
    path: PathBuf,
    storage: Choice,
    opener: Opener<'a>,
    now: &'a dyn Fn() -> DateTime<Utc>,
    store: OnceCell<Store>,
    open: OnceCell<OpenVault>,
}

/// The vault's row and its key.
struct OpenVault {
    row: VaultRow,
    key: Key,
}

impl<'a> Local<'a> {
    /// The vault in the folder `dir`. A new one keeps its root key in `storage`; one that exists knows where its own is.
    pub fn new(dir: &Path, storage: Choice, opener: Opener<'a>, now: &'a dyn Fn() -> DateTime<Utc>) -> Self {
        let storage = if storage == Choice::Auto { Choice::Keychain } else { storage };
        Self { path: dir.join(FILE), storage, opener, now, store: OnceCell::new(), open: OnceCell::new() }
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
        if self.store.get().is_none() && !self.path.exists() {
            return Ok(None);
        }
        let store = self.store()?;
        Ok(store.vault()?.map(|row| (store, row)))
    }

    /// The vault, opened; made where there is none.
    fn opened(&self) -> Result<(&Store, &OpenVault), VaultError> {
        let store = self.store()?;
        if let Some(open) = self.open.get() {
            return Ok((store, open));
        }
        let open = match store.vault()? {
            Some(row) => self.unlock(store, row)?,
            None => self.create(store)?,
        };
        Ok((store, self.open.get_or_init(|| open)))
    }

    fn unlock(&self, store: &Store, row: VaultRow) -> Result<OpenVault, VaultError> {
        let keys = store.keys(&row.id)?;
        let choice: Choice = row.storage.parse().unwrap_or(Choice::Keychain);
        let root = keys.iter().find(|key| key.purpose == keys::ROOT).ok_or(VaultError::NoVault)?;
        let secrets = (self.opener)(choice).map_err(VaultError::Root)?;
        let held = secrets.get(&slot(&row.id, &root.id)).map_err(VaultError::Root)?;
        let recoverable = keys.iter().any(|key| key.purpose == keys::RECOVERY);
        let held = held.ok_or(VaultError::NoRoot { store: choice.title(), recoverable })?;
        let key = Key::from_secret(&held).ok_or(VaultError::WrongKey)?;
        let key = key.unwrap(&root.wrapped, &[&row.id, &root.id, keys::ROOT]).map_err(|_| VaultError::WrongKey)?;
        Ok(OpenVault { row, key })
    }

    /// Makes the vault: the root key is in the secret store before the vault knows of it.
    fn create(&self, store: &Store) -> Result<OpenVault, VaultError> {
        let now = (self.now)();
        let row = VaultRow {
            id: id::new("vault", now)?,
            created: now.timestamp_millis(),
            storage: self.storage.word().to_owned(),
        };
        let secrets = (self.opener)(self.storage).map_err(VaultError::Root)?;
        let key = Key::random()?;
        let root = self.new_root(&*secrets, &row.id, &key)?;
        match store.create_vault(&row, &root) {
            Ok(true) => Ok(OpenVault { row, key }),
            Ok(false) => {
                // Another process was faster; its vault is the one.
                secrets.remove(&slot(&row.id, &root.id)).map_err(VaultError::Root)?;
                let row = store.vault()?.ok_or(VaultError::NoVault)?;
                self.unlock(store, row)
            }
            Err(failure) => {
                let _ = secrets.remove(&slot(&row.id, &root.id));
                Err(failure.into())
            }
        }
    }

    /// A new root key, kept in the secret store, with the vault key under it.
    fn new_root(&self, secrets: &dyn SecretStore, vault: &str, key: &Key) -> Result<KeyRow, VaultError> {
        let now = (self.now)();
        let id = id::new("key", now)?;
        let root = Key::random()?;
        let wrapped = root.wrap(key, &[vault, &id, keys::ROOT])?;
        secrets.set(&slot(vault, &id), &root.to_secret()).map_err(VaultError::Root)?;
        Ok(KeyRow { id, purpose: keys::ROOT.into(), created: now.timestamp_millis(), wrapped })
    }

    /// Seals the secrets of one version under a data key of its own.
    fn seal(
        open: &OpenVault,
        metadata: &Metadata,
        secrets: &BTreeMap<String, Secret>,
    ) -> Result<(Vec<u8>, Vec<SecretRow>), VaultError> {
        let place = Place::of(&open.row.id, metadata);
        let data_key = Key::random()?;
        let wrapped = open.key.wrap(&data_key, &data_key_place(&open.row.id, &metadata.id, &place.version))?;
        let seal = |(field, secret): (&String, &Secret)| {
            let sealed = data_key.seal(secret.expose().as_bytes(), &place.of_field(field))?;
            Ok(SecretRow { field: field.clone(), version: metadata.version, sealed })
        };
        Ok((wrapped, secrets.iter().map(seal).collect::<Result<_, VaultError>>()?))
    }
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

/// Where the root key rests in the secret store.
fn slot(vault: &str, key: &str) -> Slot {
    Slot { name: format!("{vault}:{key}"), label: "lanyard: root key of the vault".into() }
}

impl Vault for Local<'_> {
    fn list(&self) -> Result<Vec<Metadata>, VaultError> {
        let Some((store, vault)) = self.existing()? else { return Ok(Vec::new()) };
        store.credentials(&vault.id, None)?.into_iter().map(rows::read).collect()
    }

    fn find(&self, scope: &Scope, name: &str) -> Result<Option<Metadata>, VaultError> {
        let Some((store, vault)) = self.existing()? else { return Ok(None) };
        let row = store.credential(&vault.id, scope.project().unwrap_or_default(), name)?;
        row.map(rows::read).transpose()
    }

    fn open(&self, metadata: &Metadata) -> Result<Credential, VaultError> {
        let (store, open) = self.opened()?;
        let changed = || VaultError::Changed { name: metadata.name.clone() };
        let SealedRows { version, wrapped, secrets: sealed } = store.secrets(&metadata.id)?.ok_or_else(changed)?;
        if version != metadata.version {
            return Err(changed());
        }
        let closed = |_| VaultError::DoesNotOpen { name: metadata.name.clone() };
        let place = Place::of(&open.row.id, metadata);
        let data_key =
            open.key.unwrap(&wrapped, &data_key_place(&open.row.id, &metadata.id, &place.version)).map_err(closed)?;
        let mut secrets = BTreeMap::new();
        for row in sealed {
            let bytes = data_key.open(&row.sealed, &place.of_field(&row.field)).map_err(closed)?;
            let text = std::str::from_utf8(&bytes).map_err(|_| closed(seal::DoesNotOpen))?;
            secrets.insert(row.field, Secret::new(text.to_owned()));
        }
        // A row that was taken away would otherwise look like a field that was never set.
        if !secrets.keys().eq(metadata.secret_names.iter()) {
            return Err(closed(seal::DoesNotOpen));
        }
        Ok(Credential { metadata: metadata.clone(), secrets })
    }

    fn put(&self, new: New) -> Result<Metadata, VaultError> {
        let (store, open) = self.opened()?;
        let now = (self.now)();
        let New { name, scope, fields, expires, tags, note, verdict, replaces, retiring } = new;
        let Fields { kind, plain, secrets } = fields;
        let check = verdict.as_ref().and_then(|verdict| verdict.outcome.check());
        let mut metadata = Metadata {
            id: match &replaces {
                Some(old) => old.id.clone(),
                None => id::new("cred", now)?,
            },
            name: replaces.as_ref().map_or(name, |old| old.name.clone()),
            scope: replaces.as_ref().map_or(scope, |old| old.scope.clone()),
            kind,
            fields: plain,
            secret_names: secrets.keys().cloned().collect(),
            created: replaces.as_ref().map_or(now, |old| old.created),
            updated: now,
            used: replaces.as_ref().and_then(|old| old.used),
            verified: check.map(|_| now),
            expires: expires.or(verdict.and_then(|verdict| verdict.expires)),
            check: check.unwrap_or(Check::Never),
            tags,
            note,
            version: replaces.as_ref().map_or(1, |old| old.version + 1),
        };
        // As the database keeps it, so that what is returned is what will be read.
        metadata.created = rows::time(metadata.created.timestamp_millis()).unwrap_or(now);
        metadata.updated = rows::time(metadata.updated.timestamp_millis()).unwrap_or(now);
        let (wrapped, sealed) = Self::seal(open, &metadata, &secrets)?;
        let row = CredentialRow { retiring, ..rows::write(&metadata) };
        match replaces {
            None => {
                check_name(&metadata.name)?;
                store
                    .insert(&open.row.id, &row, &wrapped, &sealed)
                    .map_err(|failure| taken(failure, &metadata.name))?;
            }
            Some(old) => {
                if !store.replace(&row, old.version, &wrapped, &sealed)? {
                    return Err(VaultError::Changed { name: old.name });
                }
            }
        }
        Ok(metadata)
    }

    fn renew(&self, credential: &Credential, expires: Option<DateTime<Utc>>) -> Result<Metadata, VaultError> {
        let (store, open) = self.opened()?;
        let old = &credential.metadata;
        let secret_names = credential.secrets.keys().cloned().collect();
        let metadata = Metadata { version: old.version + 1, expires, secret_names, ..old.clone() };
        let (wrapped, sealed) = Self::seal(open, &metadata, &credential.secrets)?;
        if !store.replace(&rows::write(&metadata), old.version, &wrapped, &sealed)? {
            return Err(VaultError::Changed { name: old.name.clone() });
        }
        Ok(metadata)
    }

    fn amend(&self, metadata: &Metadata, change: Change) -> Result<Metadata, VaultError> {
        let (store, vault) = self.existing()?.ok_or(VaultError::NoVault)?;
        let Change { name, scope, tags, note } = change;
        let project = metadata.scope.project().unwrap_or_default();
        let mut row = store
            .credential(&vault.id, project, &metadata.name)?
            .ok_or_else(|| VaultError::Changed { name: metadata.name.clone() })?;
        let mut amended = rows::read(row.clone())?;
        amended.scope = scope.unwrap_or(amended.scope);
        amended.tags = tags.unwrap_or(amended.tags);
        amended.note = note.unwrap_or(amended.note);
        let mut changed = Vec::new();
        if let Some(name) = name {
            check_name(&name)?;
            for mut other in self.list()? {
                let source = provider::of(&other).and_then(|provider| provider.source(&other));
                if source != Some(metadata.name.as_str()) || !other.fields.contains_key(SOURCE) {
                    continue;
                }
                let row = store.credential(&vault.id, other.scope.project().unwrap_or_default(), &other.name)?;
                other.fields.insert(SOURCE.into(), name.clone());
                changed.extend(row.map(|row| CredentialRow { fields: rows::fields(&other.fields), ..row }));
            }
            amended.name = name;
        }
        let written = rows::write(&amended);
        row = CredentialRow { rotating: row.rotating, retiring: row.retiring, ..written };
        changed.push(row);
        store.amend(&changed).map_err(|failure| taken(failure, &amended.name))?;
        Ok(amended)
    }

    fn note_verdict(&self, metadata: &Metadata, verdict: &Verdict, at: DateTime<Utc>) -> Result<(), VaultError> {
        let Some(check) = verdict.outcome.check() else { return Ok(()) };
        let Some((store, _)) = self.existing()? else { return Ok(()) };
        let expires = verdict.expires.map(|at| at.timestamp_millis());
        Ok(store.note_check(
            &metadata.id,
            metadata.updated.timestamp_millis(),
            check.word(),
            at.timestamp_millis(),
            expires,
        )?)
    }

    fn note_use(&self, metadata: &Metadata, at: DateTime<Utc>) -> Result<(), VaultError> {
        let Some((store, _)) = self.existing()? else { return Ok(()) };
        Ok(store.note_use(&metadata.id, at.timestamp_millis())?)
    }

    fn rotation(&self, metadata: &Metadata) -> Result<Unfinished, VaultError> {
        let Some((store, vault)) = self.existing()? else { return Ok(Unfinished::default()) };
        let row = store.credential(&vault.id, metadata.scope.project().unwrap_or_default(), &metadata.name)?;
        Ok(row.map_or_else(Unfinished::default, |row| Unfinished {
            since: row.rotating.and_then(rows::time),
            retiring: row.retiring,
        }))
    }

    fn note_rotation(&self, metadata: &Metadata, unfinished: &Unfinished) -> Result<(), VaultError> {
        let Some((store, _)) = self.existing()? else { return Ok(()) };
        let since = unfinished.since.map(|at| at.timestamp_millis());
        Ok(store.note_rotation(&metadata.id, since, unfinished.retiring.as_deref())?)
    }

    fn remove(&self, metadata: &Metadata) -> Result<bool, VaultError> {
        let Some((store, _)) = self.existing()? else { return Ok(false) };
        Ok(store.delete(&metadata.id)?)
    }
}

fn taken(failure: RowError, name: &str) -> VaultError {
    match failure {
        RowError::Taken => VaultError::Taken { name: name.to_owned() },
        other => other.into(),
    }
}
