//! One file encrypted under a passphrase, for machines without a keychain.
//!
//! The file is in the age format (age-encryption.org/v1) with one scrypt recipient: the key is stretched from the
//! passphrase with a fresh salt at every write, the header is authenticated, and the payload is ChaCha20-Poly1305 in
//! chunks, so any change to any byte is noticed. What cannot be noticed is an older copy of the whole file put back.

use std::cell::{OnceCell, RefCell};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use age::secrecy::SecretString;
use age::{Decryptor, Encryptor, scrypt};
use zeroize::Zeroizing;

use super::map::{self, MapFile, Secrets};
use super::{Choice, Passphrase, PassphraseUse, Secret, SecretStore, Slot, StoreError};
use crate::os::files;

/// The logarithm of scrypt's cost when writing: 128 MiB and a third of a second or so on a machine of this decade.
const WORK_FACTOR: u8 = 17;

/// The largest cost accepted when reading, so that a file from elsewhere cannot take gigabytes: 256 MiB.
const MAX_WORK_FACTOR: u8 = 18;

/// The file `sessions.age`.
pub struct EncryptedFile<'a> {
    dir: PathBuf,
    ask: Passphrase<'a>,
    asked: OnceCell<Secret>,
    opened: RefCell<Option<Opened>>,
    work_factor: u8,
}

/// What was last read or written. While the file's bytes are the same, its key need not be stretched again.
struct Opened {
    sealed: Vec<u8>,
    text: Zeroizing<Vec<u8>>,
}

impl std::fmt::Debug for EncryptedFile<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EncryptedFile").field("dir", &self.dir).finish_non_exhaustive()
    }
}

impl<'a> EncryptedFile<'a> {
    /// The store in the folder `dir`; nothing is read, made or asked yet.
    pub fn new(dir: &Path, ask: Passphrase<'a>) -> Self {
        Self { dir: dir.to_owned(), ask, asked: OnceCell::new(), opened: RefCell::new(None), work_factor: WORK_FACTOR }
    }

    /// The file, which may not exist.
    pub fn path(&self) -> PathBuf {
        self.dir.join("sessions.age")
    }

    fn passphrase(&self, purpose: PassphraseUse) -> Result<SecretString, StoreError> {
        if self.asked.get().is_none() {
            let answer = (self.ask)(purpose)?;
            if answer.expose().is_empty() {
                return Err(StoreError::NoPassphrase);
            }
            // Nobody else sets it between the two lines: the store is used by one thread.
            let _ = self.asked.set(answer);
        }
        let passphrase = self.asked.get().ok_or(StoreError::NoPassphrase)?;
        Ok(SecretString::from(passphrase.expose().to_owned()))
    }

    fn seal(&self, text: &[u8]) -> Result<Vec<u8>, StoreError> {
        let purpose = if self.path().exists() { PassphraseUse::Open } else { PassphraseUse::Create };
        let mut recipient = scrypt::Recipient::new(self.passphrase(purpose)?);
        recipient.set_work_factor(self.work_factor);
        let mut sealed = Vec::new();
        let refused = |cause: &dyn std::error::Error| StoreError::Refused {
            store: Choice::File.title(),
            action: "save",
            name: self.path().display().to_string(),
            cause: Some(super::Reason::of(cause)),
        };
        let encryptor =
            Encryptor::with_recipients(std::iter::once(&recipient as _)).map_err(|error| refused(&error))?;
        let mut writer = encryptor.wrap_output(&mut sealed).map_err(|error| refused(&error))?;
        writer.write_all(text).map_err(|error| refused(&error))?;
        writer.finish().map_err(|error| refused(&error))?;
        Ok(sealed)
    }

    /// One error for a wrong passphrase, a changed byte and an absurd cost: the file cannot tell who is at fault.
    fn unseal(&self, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        let closed = || StoreError::Sealed { path: self.path().display().to_string() };
        let decryptor = Decryptor::new_buffered(sealed).map_err(|_| closed())?;
        let mut identity = scrypt::Identity::new(self.passphrase(PassphraseUse::Open)?);
        identity.set_max_work_factor(MAX_WORK_FACTOR);
        let mut reader = decryptor.decrypt(std::iter::once(&identity as _)).map_err(|_| closed())?;
        // The text is shorter than its sealed form, so the buffer never moves and leaves no copy behind.
        let mut text = Zeroizing::new(Vec::with_capacity(sealed.len()));
        reader.read_to_end(&mut text).map_err(|_| closed())?;
        Ok(text)
    }
}

impl MapFile for EncryptedFile<'_> {
    fn dir(&self) -> &Path {
        &self.dir
    }

    fn load(&self) -> Result<Secrets, StoreError> {
        let path = self.path();
        let Some(sealed) = files::read_private(&path)? else { return Ok(Secrets::new()) };
        if let Some(opened) = &*self.opened.borrow()
            && opened.sealed == sealed
        {
            return map::parse(&opened.text, &path);
        }
        let text = self.unseal(&sealed)?;
        let secrets = map::parse(&text, &path)?;
        self.opened.replace(Some(Opened { sealed, text }));
        Ok(secrets)
    }

    fn save(&self, secrets: &Secrets) -> Result<(), StoreError> {
        let path = self.path();
        if secrets.is_empty() {
            files::remove(&path)?;
            self.opened.replace(None);
            return Ok(());
        }
        let text = map::text(secrets, Choice::File.title())?;
        let sealed = self.seal(&text)?;
        files::replace(&path, &sealed, false)?;
        self.opened.replace(Some(Opened { sealed, text }));
        Ok(())
    }
}

impl SecretStore for EncryptedFile<'_> {
    fn get(&self, slot: &Slot) -> Result<Option<Secret>, StoreError> {
        Ok(self.load()?.remove(&slot.name))
    }

    fn set(&self, slot: &Slot, value: &Secret) -> Result<(), StoreError> {
        // A person may think about the passphrase for a while, and others should not wait for that.
        self.passphrase(if self.path().exists() { PassphraseUse::Open } else { PassphraseUse::Create })?;
        self.put(slot, value)
    }

    fn remove(&self, slot: &Slot) -> Result<bool, StoreError> {
        if !self.path().exists() {
            return Ok(false);
        }
        self.passphrase(PassphraseUse::Open)?;
        self.take(slot)
    }

    fn probe(&self, size: usize) -> Result<(), StoreError> {
        super::round_trip(self, size)
    }

    fn choice(&self) -> Choice {
        Choice::File
    }
}

#[cfg(test)]
mod tests;
