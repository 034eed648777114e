//! The keys of the local vault: new ones, and the recovery key.

use super::{Local, OpenVault, closed, data_key_place, slot};
use crate::credential::Metadata;
use crate::secret::{Choice, Secret};
use crate::store::{KeyRow, Rekeyed, Store, VaultRow, Written};
use crate::vault::seal::Key;
use crate::vault::{Vault, VaultError};

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

/// The database, its vault, and the keys that open it.
pub(super) type Made<'s> = (&'s Store, VaultRow, Vec<KeyRow>);

impl Local<'_> {
    /// What is known of the vault; `None` where there is none yet. Asks no keychain.
    pub fn about(&self) -> Result<Option<About>, VaultError> {
        let Some((store, row, keys)) = self.made()? else { return Ok(None) };
        Ok(Some(About {
            storage: choice_of(&row),
            credentials: store.count(&row.id)?,
            recoverable: keys.iter().any(|key| key.purpose == RECOVERY),
            id: row.id,
        }))
    }

    /// The database, the vault and its keys; `None` where there is no vault, or one that a kill left without a key.
    pub(super) fn made(&self) -> Result<Option<Made<'_>>, VaultError> {
        let Some((store, row)) = self.existing()? else { return Ok(None) };
        let keys = store.keys(&row.id)?;
        let is_made = !keys.is_empty() || store.count(&row.id)? > 0;
        Ok(is_made.then_some((store, row, keys)))
    }

    /// Opens the vault, and tells nothing but that it does.
    pub fn prove(&self) -> Result<(), VaultError> {
        self.made()?.ok_or(VaultError::NoVault)?;
        self.opened().map(|_| ())
    }

    /// Opens the vault and every credential in it, and reads every page of the database. Returns the credentials that
    /// do not open.
    pub fn examine(&self) -> Result<Vec<Metadata>, VaultError> {
        let (store, ..) = self.made()?.ok_or(VaultError::NoVault)?;
        store.check_whole()?;
        self.prove()?;
        let mut broken = Vec::new();
        for metadata in self.list()? {
            match self.open(&metadata) {
                Ok(_) | Err(VaultError::Changed { .. }) => {}
                Err(VaultError::DoesNotOpen { .. }) => broken.push(metadata),
                Err(failure) => return Err(failure),
            }
        }
        Ok(broken)
    }

    /// Replaces the root key, the vault key, and the wrapping of every data key. `storage` moves the root key to
    /// another secret store. Recovery keys and backups made before do not open any more; returns whether there was a
    /// recovery key.
    ///
    /// The new root key is in its store before the vault uses it, and the old one is removed afterwards: a kill leaves
    /// a vault that opens.
    pub fn rekey(&self, storage: Option<Choice>) -> Result<bool, VaultError> {
        self.made()?.ok_or(VaultError::NoVault)?;
        let _lock = Store::lock(&self.path)?;
        // Somebody else may have changed the keys while we waited.
        self.close();
        let (store, open) = self.opened()?;
        let was_recoverable = store.keys(&open.row.id)?.iter().any(|key| key.purpose == RECOVERY);
        let old_choice = choice_of(&open.row);
        let choice = storage.map_or(old_choice, unless_auto);
        let secrets = (self.opener)(choice).map_err(closed)?;
        let key = Key::random()?;
        let root = self.new_root(&*secrets, &open.row.id, Some(&open.by.id), &key)?;
        let rekeyed = store.rekey(open.opened(), &root, choice.word(), |credential, version, wrapped| {
            let version = version.to_string();
            let place = data_key_place(&open.row.id, credential, &version);
            let data_key = open.key.unwrap(wrapped, &place).ok()?;
            key.wrap(&data_key, &place).ok()
        })?;
        self.close();
        match rekeyed {
            Rekeyed::Done => self.forget_root(old_choice, &open.by),
            // Nobody changes keys without the lock, but for a restored file.
            Rekeyed::BySomebodyElse => return Err(VaultError::WrongKey),
            Rekeyed::DoesNotOpen(name) => return Err(VaultError::DoesNotOpen { name }),
        }
        Ok(was_recoverable)
    }

    /// Removes a root key that opens nothing any more. One that stays opens old copies of the vault and no present one;
    /// the next change of keys overwrites it.
    fn forget_root(&self, choice: Choice, key: &KeyRow) {
        let removed = (self.opener)(choice).and_then(|secrets| secrets.remove(&slot(&key.id)));
        if let Err(failure) = removed {
            tracing::debug!(%failure, "the former root key stays in its store");
        }
    }

    /// Makes a recovery key, instead of any that was made before. Whoever has it and a copy of the database has all
    /// credentials: it is shown once and kept nowhere.
    pub fn make_recovery_key(&self) -> Result<Secret, VaultError> {
        self.made()?.ok_or(VaultError::NoVault)?;
        self.sealing("vault", |store, open| {
            let id = format!("{}:{RECOVERY}", open.row.id);
            let recovery = Key::random()?;
            let wrapped = recovery.wrap(&open.key, &[&open.row.id, &id, RECOVERY])?;
            let row = KeyRow { id, purpose: RECOVERY.into(), created: (self.now)().timestamp_millis(), wrapped };
            Ok((recovery.to_words(), store.replace_recovery(open.opened(), &row)?))
        })
    }

    /// Opens the vault with its recovery key, and keeps a new root key in `storage`.
    pub fn recover(&self, words: &Secret, storage: Choice) -> Result<(), VaultError> {
        self.made()?.ok_or(VaultError::NoVault)?;
        let _lock = Store::lock(&self.path)?;
        let (store, row, keys) = self.made()?.ok_or(VaultError::NoVault)?;
        let open = recovered(row, &keys, words)?;
        let present = keys.iter().find(|key| key.purpose == ROOT).map(|key| key.id.as_str());
        self.keep_new_root(store, &open, present, storage)?;
        self.close();
        Ok(())
    }

    /// Puts a new root key into a vault that was opened with its recovery key. Whoever calls it holds the lock.
    pub(super) fn keep_new_root(
        &self,
        store: &Store,
        open: &OpenVault,
        present: Option<&str>,
        storage: Choice,
    ) -> Result<(), VaultError> {
        let storage = unless_auto(storage);
        let secrets = (self.opener)(storage).map_err(closed)?;
        let root = self.new_root(&*secrets, &open.row.id, present, &open.key)?;
        match store.replace_root(open.opened(), &root, storage.word())? {
            Written::Done => Ok(()),
            Written::Changed | Written::Rekeyed => Err(VaultError::WrongKey),
        }
    }
}

/// In which secret store the root key rests.
pub(super) fn choice_of(row: &VaultRow) -> Choice {
    row.storage.parse().map_or(Choice::Keychain, unless_auto)
}

pub(super) fn unless_auto(choice: Choice) -> Choice {
    if choice == Choice::Auto { Choice::Keychain } else { choice }
}

/// The vault, opened with the recovery key.
pub(super) fn recovered(row: VaultRow, keys: &[KeyRow], words: &Secret) -> Result<OpenVault, VaultError> {
    let typed = Key::from_words(words).ok_or(VaultError::BadRecoveryKey)?;
    let by = keys.iter().find(|key| key.purpose == RECOVERY).ok_or(VaultError::NoRecovery)?;
    let key = typed.unwrap(&by.wrapped, &[&row.id, &by.id, RECOVERY]).map_err(|_| VaultError::WrongKey)?;
    Ok(OpenVault { row, key, by: by.clone() })
}
