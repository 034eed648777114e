//! Secrets: the one type that holds them, and the stores they rest in.
//!
//! [`Secret`] is wiped on drop and leaves through [`Secret::expose`] only. A [`SecretStore`] keeps one secret per
//! [`Slot`]; which store is used is the user's [`Choice`], and there is no silent step from a stronger one to a weaker.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Deserializer};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::error::{Code, Failure};
use crate::os::files::FileError;
use crate::text::clean;

pub mod file;
pub mod keychain;
#[cfg(target_os = "linux")]
pub mod keyutils;
pub mod memory;
pub mod plain;

mod map;
#[cfg(any(windows, test))]
mod parts;

#[cfg(test)]
mod contract;

/// A string that must not be seen: wiped on drop, printed as `[redacted]`, compared in constant time.
///
/// There is no `Display`, no `Serialize` and no `Clone`; a second copy is made by [`Secret::duplicate`], which is easy
/// to find.
///
/// ```
/// let secret = lanyard::secret::Secret::new("hunter2".into());
/// assert_eq!(format!("{secret:?}"), "[redacted]");
/// ```
///
/// ```compile_fail
/// let secret = lanyard::secret::Secret::new("hunter2".into());
/// println!("{secret}");
/// ```
///
/// ```compile_fail
/// let secret = lanyard::secret::Secret::new("hunter2".into());
/// serde_json::to_string(&secret).unwrap();
/// ```
///
/// ```compile_fail
/// let secret = lanyard::secret::Secret::new("hunter2".into());
/// let copy = secret.clone();
/// ```
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes ownership of a plain string. The caller's buffer becomes the secret's, so nothing is copied.
    pub fn new(value: String) -> Self {
        Self(Zeroizing::new(value))
    }

    /// The plain value: the border that a secret crosses to reach a wire, a store or a tool.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// A second copy, for the rare value that two owners need.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self(self.0.clone())
    }

    /// Whether it begins with a prefix that is known to everybody.
    pub fn begins_with(&self, prefix: &str) -> bool {
        self.0.starts_with(prefix)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}
impl Eq for Secret {}

impl<'de> Deserialize<'de> for Secret {
    /// Accepts a string and nothing else; the error never quotes what stood there instead.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Secret;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_str<E: serde::de::Error>(self, value: &str) -> std::result::Result<Secret, E> {
                Ok(Secret::new(value.to_owned()))
            }
            fn visit_string<E: serde::de::Error>(self, value: String) -> std::result::Result<Secret, E> {
                Ok(Secret::new(value))
            }
        }
        deserializer.deserialize_string(Visitor)
    }
}

/// Where one secret rests in a store. Both parts are readable by anyone who can list the store, so neither is secret.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Slot {
    /// The item's name within lanyard, as a person would look for it: a profile's name, or `client:SERVICE` for the
    /// secret of a confidential OAuth client.
    pub name: String,
    /// The line a person reads in the keychain's own window, such as `lanyard: work (user@example.com)`.
    pub label: String,
}

/// The stores a user can choose (`defaults.storage`, `profiles.NAME.storage`, `--storage`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Choice {
    /// The OS keychain; where there is none, a question at a terminal and an error elsewhere.
    Auto,
    /// The OS keychain: Secret Service, Keychain or Credential Manager.
    Keychain,
    /// The Linux kernel keyring: memory only, gone after a reboot.
    Keyutils,
    /// One file encrypted under a passphrase.
    File,
    /// One file in plain text with mode 0600, named for what it is.
    Plain,
}

impl Choice {
    /// Every choice, in the order in which help texts list them.
    pub const ALL: [Self; 5] = [Self::Auto, Self::Keychain, Self::Keyutils, Self::File, Self::Plain];

    /// The word used in the configuration, on the command line and in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Keychain => "keychain",
            Self::Keyutils => "keyutils",
            Self::File => "file",
            Self::Plain => "plain",
        }
    }
}

impl Choice {
    /// The store in the user's words, as it stands in messages.
    pub fn title(self) -> &'static str {
        match self {
            Self::Auto | Self::Keychain => "keychain",
            Self::Keyutils => "kernel keyring",
            Self::File => "encrypted file",
            Self::Plain => "plain file",
        }
    }
}

impl std::str::FromStr for Choice {
    type Err = ();
    fn from_str(word: &str) -> std::result::Result<Self, ()> {
        Self::ALL.into_iter().find(|choice| choice.word() == word).ok_or(())
    }
}

/// A place that keeps secrets. Every implementation is held to one contract by `secret_store_contract` in the tests.
pub trait SecretStore {
    /// The secret in `slot`, or `None` where there is none.
    fn get(&self, slot: &Slot) -> std::result::Result<Option<Secret>, StoreError>;
    /// Puts `value` into `slot`, replacing what was there. Durable when it returns.
    fn set(&self, slot: &Slot, value: &Secret) -> std::result::Result<(), StoreError>;
    /// Empties `slot`; `false` where it was empty already.
    fn remove(&self, slot: &Slot) -> std::result::Result<bool, StoreError>;
    /// Proves that the store can be written and read now, by a trip with a value of `size` bytes that is removed again.
    ///
    /// Called before a sign-in begins, so that a token is never issued without a place to put it.
    fn probe(&self, size: usize) -> std::result::Result<(), StoreError>;
    /// Which of the user's choices this is.
    fn choice(&self) -> Choice;
}

/// What a passphrase is wanted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PassphraseUse {
    /// To open the encrypted file that exists.
    Open,
    /// To make the encrypted file: a person is asked twice, so that a slip does not lock them out.
    Create,
}

/// How the encrypted file learns its passphrase. Called at most once by a store, and only when the file is used.
pub type Passphrase<'a> = Box<dyn Fn(PassphraseUse) -> std::result::Result<Secret, StoreError> + 'a>;

/// Opens the store that the user chose. Free: nothing is touched before the first `get`, `set`, `remove` or `probe`.
///
/// `dir` is the folder of the file stores. `interactive` tells whether a person is there to answer the keychain's own
/// question, which is then given more time. [`Choice::Auto`] is the keychain: what to do where there is none is the
/// caller's question to ask, never a step this function takes.
pub fn open<'a>(
    choice: Choice,
    dir: &Path,
    passphrase: Passphrase<'a>,
    interactive: bool,
) -> std::result::Result<Box<dyn SecretStore + 'a>, StoreError> {
    Ok(match choice {
        Choice::Auto | Choice::Keychain => Box::new(keychain::Keychain::new(interactive)),
        #[cfg(target_os = "linux")]
        Choice::Keyutils => Box::new(keyutils::Keyutils),
        #[cfg(not(target_os = "linux"))]
        Choice::Keyutils => {
            return Err(StoreError::Absent {
                store: "kernel keyring",
                cause: Some(Reason("only Linux has one".into())),
            });
        }
        Choice::File => Box::new(file::EncryptedFile::new(dir, passphrase)),
        Choice::Plain => Box::new(plain::PlainFile::new(dir)),
    })
}

/// The round trip behind [`SecretStore::probe`]: put, read back, compare, remove.
///
/// The slot has one name for all, so that the next probe takes away what a killed one left. When another process that
/// probes at the same time has just emptied it, a slot with the process id settles the matter.
fn round_trip(store: &dyn SecretStore, size: usize) -> std::result::Result<(), StoreError> {
    let value = Secret::new("lanyard ".chars().cycle().take(size.max(1)).collect());
    let own_name = format!("probe:{}", std::process::id());
    for name in ["probe", &own_name] {
        let slot = Slot { name: name.to_owned(), label: "lanyard: a test value that may be removed".into() };
        store.set(&slot, &value)?;
        let found = store.get(&slot);
        let removed = store.remove(&slot);
        if found?.is_some_and(|found| found == value) {
            return removed.map(|_| ());
        }
    }
    Err(StoreError::Damaged { store: store.choice().title(), name: own_name })
}

/// Why a secret store did not do what was asked. No variant holds a secret.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no such store on this machine or in this process.
    #[error("no {store} can be reached")]
    Absent {
        /// The store in the user's words: `keychain`, `kernel keyring`.
        store: &'static str,
        /// What the system said.
        #[source]
        cause: Option<Reason>,
    },
    /// The store is there and locked, and nobody unlocked it.
    #[error("the {store} is locked")]
    Locked {
        /// The store in the user's words.
        store: &'static str,
        /// What the system said.
        #[source]
        cause: Option<Reason>,
    },
    /// The store did not answer in time.
    #[error("the {store} did not answer within {} s", .after.as_secs())]
    Slow {
        /// The store in the user's words.
        store: &'static str,
        /// How long lanyard waited.
        after: Duration,
    },
    /// The store answered with a refusal or an error of its own.
    #[error("the {store} refused to {action} {name}")]
    Refused {
        /// The store in the user's words.
        store: &'static str,
        /// What was asked: `read`, `save`, `remove`.
        action: &'static str,
        /// The slot's name.
        name: String,
        /// What the system said.
        #[source]
        cause: Option<Reason>,
    },
    /// What came back is not what was put there.
    #[error("the item {name} in the {store} is damaged")]
    Damaged {
        /// The store in the user's words.
        store: &'static str,
        /// The slot's name.
        name: String,
    },
    /// The passphrase for the encrypted file is missing.
    #[error("a passphrase is needed for the encrypted file")]
    NoPassphrase,
    /// The encrypted file did not open: wrong passphrase or a damaged file, which cannot be told apart.
    #[error("the encrypted file {path} did not open")]
    Sealed {
        /// The file.
        path: String,
    },
    /// The file of a store can be read or written by others, belongs to someone else, or is no regular file.
    #[error("{path} is not safe to use: {problem}")]
    Unsafe {
        /// The file or folder.
        path: String,
        /// What is wrong with it, such as `mode 0644 lets others read it`.
        problem: String,
        /// The command that puts it right.
        mend: String,
    },
    /// A value is too long for this store.
    #[error("a value of {size} bytes is too long for the {store}")]
    TooLong {
        /// The store in the user's words.
        store: &'static str,
        /// The value's length in bytes.
        size: usize,
    },
    /// The file of a store, or its lock, could not be read or written.
    #[error(transparent)]
    File(FileError),
    /// The person was asked for the passphrase and left.
    #[error("interrupted")]
    Interrupted,
}

/// What the operating system or a library said, already cleaned of control characters and of secrets.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Reason(pub String);

impl Reason {
    /// The cleaned text of an error that is known to hold no secret.
    pub fn of(error: &dyn std::error::Error) -> Self {
        Self(clean(&error.to_string()))
    }
}

impl From<FileError> for StoreError {
    fn from(error: FileError) -> Self {
        match error {
            FileError::Unsafe { path, problem, mend } => {
                Self::Unsafe { path: path.display().to_string(), problem, mend }
            }
            other => Self::File(other),
        }
    }
}

impl Failure for StoreError {
    fn code(&self) -> Code {
        match self {
            Self::Interrupted => Code::Interrupted,
            _ => Code::Store,
        }
    }

    fn mend(&self) -> Option<String> {
        Some(match self {
            Self::Absent { .. } => {
                "start the keychain service, or choose another store: `--storage file` (encrypted with a passphrase), \
                 `--storage keyutils` (kernel memory, until reboot) or `--storage plain` (a readable file)"
                    .into()
            }
            Self::Locked { .. } => "unlock the keychain in its own window, or sign in to your desktop again".into(),
            Self::Slow { .. } => {
                "see whether the keychain shows a question, then try again; `lanyard doctor` tests it".into()
            }
            Self::Refused { store: "kernel keyring" | "encrypted file", .. } => {
                "try again, or choose another store with `--storage`".into()
            }
            Self::Refused { .. } => {
                "look at the item in the keychain's own window; `lanyard doctor` tests the store".into()
            }
            Self::Damaged { .. } => "sign in again with `lanyard auth login`, which replaces the item".into(),
            Self::NoPassphrase => "set LANYARD_PASSPHRASE, or run the command at a terminal to be asked".into(),
            Self::Sealed { .. } => "check the passphrase; if it is lost, remove the file and sign in again".into(),
            Self::Unsafe { mend, .. } => mend.clone(),
            Self::TooLong { .. } => "choose another store with `--storage file`".into(),
            Self::File(error) => return error.mend(),
            Self::Interrupted => return None,
        })
    }
}
