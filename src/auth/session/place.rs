//! Where a profile's session rests: which item of the secret store, and which lock guards it.

use sha2::{Digest, Sha256};

use super::Session;
use super::item;
use crate::config::rules;
use crate::os::Env;
use crate::secret::{Choice, SecretStore, Slot, StoreError};

/// Where a profile's session rests.
#[derive(Debug, Clone)]
pub struct Place {
    /// The profile's name.
    pub profile: String,
    /// Stands for a configuration folder that is not the usual one; empty for the usual one.
    folder: String,
}

impl Place {
    /// The place of a profile's session under this process's configuration folder.
    pub fn of(env: &Env, profile: &str) -> Self {
        let folder = if env.config_dir_is_default() {
            String::new()
        } else {
            tag(rules::resolved(env.config_dir()).as_os_str().as_encoded_bytes())
        };
        Self { profile: profile.to_owned(), folder }
    }

    /// The name of the lock file under which this profile's session is changed.
    pub fn lock_name(&self) -> String {
        let plain: String =
            self.profile.chars().filter(|c| c.is_ascii_alphanumeric() || "-_".contains(*c)).take(32).collect();
        format!("session-{plain}-{}.lock", tag(self.profile.as_bytes()))
    }

    /// The session, or `None` where the profile has none.
    pub fn load(&self, store: &dyn SecretStore) -> Result<Option<Session>, StoreError> {
        let slot = self.slot(store, &self.profile, None);
        let Some(item) = store.get(&slot)? else { return Ok(None) };
        let damaged = || StoreError::Damaged { store: store.choice().title(), name: slot.name.clone() };
        item::read(&item).map(Some).ok_or_else(damaged)
    }

    /// Puts the session into the store. Durable when it returns.
    pub fn save(&self, store: &dyn SecretStore, session: &Session) -> Result<(), StoreError> {
        let slot = self.slot(store, &self.profile, session.identity.account.as_deref());
        store.set(&slot, &item::write(session))
    }

    /// Removes the session; `false` where there was none.
    pub fn remove(&self, store: &dyn SecretStore) -> Result<bool, StoreError> {
        store.remove(&self.slot(store, &self.profile, None))
    }

    /// The slot of a confidential client's secret, which belongs to a service at one address rather than to a profile.
    ///
    /// `address` is the issuer or the token endpoint: a table of the same name that points elsewhere is another client.
    pub fn client_slot(&self, store: &dyn SecretStore, service: &str, address: &str) -> Slot {
        let name = format!("client:{service}:{}", tag(address.as_bytes()));
        Slot { label: format!("lanyard: client secret of {service}"), ..self.slot(store, &name, None) }
    }

    /// The item's name is the profile's. On a keychain that several configuration folders share, those but the usual
    /// one add their tag, so that one folder's `work` is not another's. A store within the folder needs no tag.
    fn slot(&self, store: &dyn SecretStore, name: &str, account: Option<&str>) -> Slot {
        let is_shared = matches!(store.choice(), Choice::Auto | Choice::Keychain | Choice::Keyutils);
        let name =
            if is_shared && !self.folder.is_empty() { format!("{name}@{}", self.folder) } else { name.to_owned() };
        let label = match account {
            Some(account) => format!("lanyard: {} ({account})", self.profile),
            None => format!("lanyard: {}", self.profile),
        };
        Slot { name, label }
    }
}

/// Eight hexadecimal digits that stand for a longer name.
fn tag(name: &[u8]) -> String {
    let digest = Sha256::digest(name);
    let first = digest.first_chunk().copied().unwrap_or_default();
    format!("{:08x}", u32::from_be_bytes(first))
}
