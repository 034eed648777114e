//! The keys: the master key opens the keys of the organizations, each of which opens the data keys of its credentials.
//!
//! The master key rests in the secret store, or in a file that only its owner reads. What proves that it is the right
//! one is in the database, so that a server with another one refuses to start before it writes anything.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};

use super::db::{Database, DbError, OrgScope, Rows, values};
use super::error::ServeError;
use super::random;
use crate::error::{Code, Failure};
use crate::os::files;
use crate::secret::{Secret, SecretStore, Slot};
use crate::vault::seal::Key;

/// The version of the encoding of what keys and secrets are bound to.
pub(crate) const FORM: &str = "lanyard-server-1";

/// Where the master key rests.
pub(crate) enum Master<'m> {
    /// In the user's secret store.
    Store(&'m dyn SecretStore),
    /// In a file.
    File(&'m Path),
}

/// The keys of a server.
pub(crate) struct Keys {
    master: Key,
    instance: String,
    known: Mutex<HashMap<(String, i64), Arc<Key>>>,
}

impl Keys {
    /// Reads the master key, and makes one for a database that has none yet.
    pub(crate) fn open(database: &Database, place: &Master<'_>) -> Result<Self, ServeError> {
        let instance = instance(database)?;
        let proof = database.read(|rows| setting(rows, "master-key-proof"))?;
        let master = match (read(place, &instance)?, &proof) {
            (Some(master), _) => master,
            (None, Some(_)) => return Err(ServeError::NoMasterKey { place: place.in_words() }),
            (None, None) => {
                let master = Key::random().map_err(|_| ServeError::NoRandom)?;
                keep(place, &instance, &master)?;
                master
            }
        };
        let parts = [FORM, "master-key-proof", instance.as_str()];
        if let Some(proof) = proof {
            let sealed = STANDARD.decode(proof).map_err(|_| DbError::Shape)?;
            master.open(&sealed, &parts).map_err(|_| ServeError::OtherMasterKey { place: place.in_words() })?;
        } else {
            let sealed = master.seal(b"lanyard", &parts).map_err(|_| ServeError::NoRandom)?;
            let proof = STANDARD.encode(sealed);
            database.write(|rows| keep_setting(rows, "master-key-proof", &proof))?;
        }
        Ok(Self { master, instance, known: Mutex::default() })
    }

    /// A key for a purpose of the server's own.
    pub(crate) fn derived(&self, purpose: &str) -> Option<Key> {
        self.master.derived(purpose)
    }

    /// Makes the first key of a new organization.
    pub(crate) fn make(&self, rows: &mut dyn Rows, scope: &OrgScope, now: DateTime<Utc>) -> Result<(), KeyError> {
        let key = Key::random().map_err(|_| KeyError::NoRandom)?;
        let wrapped = self.master.wrap(&key, &self.place(scope, "1")).map_err(|_| KeyError::NoRandom)?;
        rows.execute(
            "INSERT INTO organization_keys (org, version, wrapped, created) VALUES ($1, $2, $3, $4)",
            values![scope.id(), 1, &wrapped, now.timestamp_millis()],
        )?;
        Ok(())
    }

    /// The key under which an organization's new secrets are sealed, and its version.
    pub(crate) fn newest(&self, rows: &mut dyn Rows, scope: &OrgScope) -> Result<(i64, Arc<Key>), KeyError> {
        let newest = "SELECT MAX(version) FROM organization_keys WHERE org = $1";
        let row = rows.first(newest, values![scope.id()])?;
        let version = row.map(|mut row| row.maybe_int(0)).transpose()?.flatten().ok_or(KeyError::None)?;
        Ok((version, self.of(rows, scope, version)?))
    }

    /// A key of an organization.
    pub(crate) fn of(&self, rows: &mut dyn Rows, scope: &OrgScope, version: i64) -> Result<Arc<Key>, KeyError> {
        let name = (scope.id().to_owned(), version);
        if let Some(key) = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&name) {
            return Ok(Arc::clone(key));
        }
        let one = "SELECT wrapped FROM organization_keys WHERE org = $1 AND version = $2";
        let wrapped = rows.first(one, values![scope.id(), version])?.ok_or(KeyError::None)?.bytes(0)?;
        let key = self
            .master
            .unwrap(&wrapped, &self.place(scope, &version.to_string()))
            .map_err(|_| KeyError::DoesNotOpen)?;
        let key = Arc::new(key);
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(name, Arc::clone(&key));
        Ok(key)
    }

    /// What the key of an organization is bound to.
    fn place<'p>(&'p self, scope: &'p OrgScope, version: &'p str) -> [&'p str; 5] {
        [FORM, "organization-key", &self.instance, scope.id(), version]
    }
}

/// Why a key of an organization is not there.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyError {
    /// The database did not give it.
    #[error(transparent)]
    Db(#[from] DbError),
    /// There is none.
    #[error("the organization has no key")]
    None,
    /// It does not open: damaged, moved, or of another server.
    #[error("the key of the organization does not open")]
    DoesNotOpen,
    /// The system gave no random numbers.
    #[error("the system gave no random numbers")]
    NoRandom,
}

impl Failure for KeyError {
    fn code(&self) -> Code {
        match self {
            Self::Db(failure) => failure.code(),
            Self::None | Self::DoesNotOpen => Code::Store,
            Self::NoRandom => Code::Failed,
        }
    }

    fn mend(&self) -> Option<String> {
        Some(match self {
            Self::Db(failure) => return failure.mend(),
            Self::None | Self::DoesNotOpen => "bring a backup of the server's database back".into(),
            Self::NoRandom => "try again".into(),
        })
    }
}

/// The identifier of this server, made at the first start.
fn instance(database: &Database) -> Result<String, ServeError> {
    if let Some(known) = database.read(|rows| setting(rows, "instance"))? {
        return Ok(known);
    }
    let made = random::base62(20).map_err(|_| ServeError::NoRandom)?;
    database.write(|rows| -> Result<String, ServeError> {
        // Another instance may have been faster; then its word counts.
        rows.execute(
            "INSERT INTO settings (name, value) VALUES ('instance', $1) ON CONFLICT (name) DO NOTHING",
            values![made.as_str()],
        )?;
        Ok(setting(rows, "instance")?.ok_or(DbError::Shape)?)
    })
}

pub(crate) fn setting(rows: &mut dyn Rows, name: &str) -> Result<Option<String>, DbError> {
    rows.first("SELECT value FROM settings WHERE name = $1", values![name])?.map(|mut row| row.text(0)).transpose()
}

fn keep_setting(rows: &mut dyn Rows, name: &str, value: &str) -> Result<(), DbError> {
    rows.execute("INSERT INTO settings (name, value) VALUES ($1, $2)", values![name, value]).map(|_| ())
}

impl Master<'_> {
    /// Where it is, for a person.
    fn in_words(&self) -> String {
        match self {
            Self::Store(store) => format!("the {}", store.choice().title()),
            Self::File(path) => path.display().to_string(),
        }
    }
}

fn slot(instance: &str) -> Slot {
    Slot { name: format!("server:{instance}"), label: "lanyard: master key of the server".into() }
}

fn read(place: &Master<'_>, instance: &str) -> Result<Option<Key>, ServeError> {
    let held = match place {
        Master::Store(store) => store.get(&slot(instance))?,
        Master::File(path) => {
            let bytes = files::read_private(path).map_err(DbError::File)?.map(zeroize::Zeroizing::new);
            let text = bytes.map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned());
            text.map(Secret::new)
        }
    };
    let read = |held: Secret| Key::from_secret(&held).ok_or(ServeError::BadMasterKey { place: place.in_words() });
    held.map(read).transpose()
}

fn keep(place: &Master<'_>, instance: &str, key: &Key) -> Result<(), ServeError> {
    let secret = key.to_secret();
    match place {
        Master::Store(store) => store.set(&slot(instance), &secret)?,
        Master::File(path) => {
            let line = zeroize::Zeroizing::new([secret.expose(), "\n"].concat());
            files::replace(path, line.as_bytes(), false).map_err(DbError::File)?;
        }
    }
    Ok(())
}
