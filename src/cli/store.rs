//! Opens the secret store for a command, with the passphrase that an encrypted file needs.

use crate::cli::Doors;
use crate::error::Code;
use crate::os::PASSPHRASE;
use crate::secret::{self, Choice, PassphraseUse, Secret, SecretStore, StoreError};

/// The store of the user's choice; nothing is touched before it is used.
pub(super) fn open<'a>(doors: &'a Doors<'_>, choice: Choice) -> Result<Box<dyn SecretStore + 'a>, StoreError> {
    let passphrase = Box::new(|purpose| passphrase(doors, purpose));
    secret::open(choice, doors.env.config_dir(), passphrase, doors.ui.is_interactive())
}

/// The passphrase from the environment, or from the person; a new one is asked for twice.
fn passphrase(doors: &Doors<'_>, purpose: PassphraseUse) -> Result<Secret, StoreError> {
    if let Some(given) = doors.env.var(PASSPHRASE) {
        return Ok(Secret::new(given.to_owned()));
    }
    match purpose {
        PassphraseUse::Open => ask(doors, "Passphrase of the encrypted file"),
        PassphraseUse::Create => loop {
            let first = ask(doors, "New passphrase for the encrypted file")?;
            if first.expose().is_empty() {
                doors.ui.warn("the passphrase must not be empty");
            } else if ask(doors, "The same again")? == first {
                return Ok(first);
            } else {
                doors.ui.warn("the two passphrases differ; again");
            }
        },
    }
}

fn ask(doors: &Doors<'_>, question: &str) -> Result<Secret, StoreError> {
    doors.ui.hidden(question, PASSPHRASE).map_err(|failure| match failure.code() {
        Code::Interrupted => StoreError::Interrupted,
        _ => StoreError::NoPassphrase,
    })
}
