//! The local vault's key, out of its store: what a process holds that answers for hours without asking again.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{Local, OpenVault};
use crate::secret::Secret;
use crate::store::{KeyRow, VaultRow};
use crate::vault::VaultError;
use crate::vault::seal::Key;

/// The key of a vault, with what it was opened by. Where the system allows, it lies in locked memory.
#[derive(Clone)]
pub struct Unlocked(Arc<OpenVault>);

impl Local<'_> {
    /// Opens the vault, and gives its key.
    pub fn unlocked(&self) -> Result<Unlocked, VaultError> {
        self.made()?.ok_or(VaultError::NoVault)?;
        let (_, open) = self.opened()?;
        Ok(Unlocked(open))
    }

    /// Uses a key that was taken out before, instead of asking the store of the root key.
    pub fn unlock_with(&self, unlocked: &Unlocked) {
        *self.open.borrow_mut() = Some(Arc::clone(&unlocked.0));
    }

    /// Forgets the key.
    pub fn lock(&self) {
        self.close();
    }

    /// Whether a key that was taken out before is still the vault's: it was not rekeyed, and no other was put in its
    /// place.
    pub fn is_opened_by(&self, unlocked: &Unlocked) -> Result<bool, VaultError> {
        let Some((_, row, keys)) = self.made()? else { return Ok(false) };
        Ok(row.id == unlocked.0.row.id && keys.contains(&unlocked.0.by))
    }
}

impl Unlocked {
    /// As one process hands it to another, over a pipe or a socket that nobody else reads.
    pub fn to_secret(&self) -> Secret {
        let OpenVault { row, key, by } = &*self.0;
        let key = key.to_secret();
        let wrapped = STANDARD.encode(&by.wrapped);
        let times = [row.created.to_string(), by.created.to_string()];
        let parts = [&row.id, &times[0], &row.storage, &by.id, &by.purpose, &times[1], &wrapped, key.expose()];
        Secret::new(parts.join("\n"))
    }

    /// What another process has handed over; `None` where it is nothing of the kind.
    pub fn from_secret(handed: &Secret) -> Option<Self> {
        let mut parts = handed.expose().split('\n');
        let mut next = || parts.next();
        let (id, created, storage) = (next()?.to_owned(), next()?.parse().ok()?, next()?.to_owned());
        let row = VaultRow { id, created, storage };
        let (id, purpose, created) = (next()?.to_owned(), next()?.to_owned(), next()?.parse().ok()?);
        let by = KeyRow { id, purpose, created, wrapped: STANDARD.decode(next()?).ok()? };
        let key = Key::from_secret(&Secret::new(next()?.to_owned()))?;
        #[cfg(unix)]
        let key = key.locked()?;
        Some(Self(Arc::new(OpenVault { row, key, by })))
    }

    /// Whether the system keeps the key from being written to a disk.
    #[cfg(unix)]
    pub fn is_in_locked_memory(&self) -> bool {
        self.0.key.is_locked()
    }
}
