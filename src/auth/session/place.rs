//! Where a profile's session rests: which item of the secret store, and how the item is named.

use sha2::{Digest, Sha256};

use super::Session;
use super::item;
use crate::config::rules;
use crate::os::Env;
use crate::secret::{SecretStore, Slot, StoreError};

/// Where a profile's session rests: its item in the store, and which configuration folder it belongs to.
#[derive(Debug, Clone)]
pub struct Place {
    /// The profile's name.
    pub profile: String,
    /// Which configuration folder the profile is of, so that two folders on one keychain do not share sessions.
    folder: String,
}

impl Place {
    /// The place of a profile's session under this process's configuration folder.
    pub fn of(env: &Env, profile: &str) -> Self {
        let folder = if env.config_dir_is_default() {
            String::new()
        } else {
            let dir = rules::resolved(env.config_dir());
            tag(dir.as_os_str().as_encoded_bytes())
        };
        Self { profile: profile.to_owned(), folder }
    }

    /// The name of the lock file under which this profile's session is changed.
    pub fn lock_name(&self) -> String {
        let tag = tag(self.profile.as_bytes());
        let plain: String =
            self.profile.chars().filter(|c| c.is_ascii_alphanumeric() || "-_".contains(*c)).take(32).collect();
        format!("session-{plain}-{tag}.lock")
    }

    fn slot(&self, account: Option<&str>, own_name: bool) -> Slot {
        let name = if own_name { self.profile.clone() } else { format!("{}@{}", self.profile, self.folder) };
        let label = match account {
            Some(account) => format!("lanyard: {} ({account})", self.profile),
            None => format!("lanyard: {}", self.profile),
        };
        Slot { name, label }
    }

    /// The session, or `None` where the profile has none.
    ///
    /// The item carries the profile's plain name. Only when that name is taken by a profile of another configuration
    /// folder is the folder's tag added to it.
    pub fn load(&self, store: &dyn SecretStore) -> Result<Option<Session>, StoreError> {
        match self.read(store, true)? {
            Some((session, folder)) if folder == self.folder => Ok(Some(session)),
            None if self.folder.is_empty() => Ok(None),
            _ => Ok(self.read(store, false)?.filter(|(_, folder)| *folder == self.folder).map(|(session, _)| session)),
        }
    }

    fn read(&self, store: &dyn SecretStore, own_name: bool) -> Result<Option<(Session, String)>, StoreError> {
        let slot = self.slot(None, own_name);
        let Some(item) = store.get(&slot)? else { return Ok(None) };
        let damaged = || StoreError::Damaged { store: store.choice().title(), name: slot.name.clone() };
        item::read(&item).map(Some).ok_or_else(damaged)
    }

    /// Whether the plain name is held by this profile, or free for it.
    fn owns_plain_name(&self, store: &dyn SecretStore) -> Result<bool, StoreError> {
        match self.read(store, true) {
            Ok(Some((_, folder))) => Ok(folder == self.folder),
            // The name may have become free after this profile had taken the longer one, which it keeps.
            Ok(None) => Ok(self.folder.is_empty() || store.get(&self.slot(None, false))?.is_none()),
            // A damaged item is of no use to anyone: signing in again replaces it.
            Err(StoreError::Damaged { .. }) => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Puts the session into the store. Durable when it returns.
    pub fn save(&self, store: &dyn SecretStore, session: &Session) -> Result<(), StoreError> {
        let own_name = self.owns_plain_name(store)?;
        let slot = self.slot(session.identity.account.as_deref(), own_name);
        store.set(&slot, &item::write(session, &self.folder))
    }

    /// Removes the session; `false` where there was none.
    pub fn remove(&self, store: &dyn SecretStore) -> Result<bool, StoreError> {
        let own_name = self.owns_plain_name(store)?;
        store.remove(&self.slot(None, own_name))
    }
}

/// Eight hexadecimal digits that stand for a longer name.
fn tag(name: &[u8]) -> String {
    let digest = Sha256::digest(name);
    let first = digest.first_chunk().copied().unwrap_or_default();
    format!("{:08x}", u32::from_be_bytes(first))
}
