//! The keys, in four levels: the master key opens the server's own keys, those the keys of the organizations, each of
//! which opens the data keys of its credentials. None opens more than the level below it.
//!
//! The master key rests in the secret store, in a file that only its owner reads, or wrapped in the database, or is made
//! of a passphrase. What proves that it is the right one is in the database, so that a server with another one refuses to
//! start before it writes anything. The server's own keys also have a key for every purpose that belongs to no organization.
//!
//! A key that was replaced is kept until nothing rests under it. Whatever rests under one refers to it by a foreign key in
//! the database, so that it cannot go before.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};

use super::db::{Database, DbError, OrgScope, Reach, Rows, values};
use super::error::ServeError;
use super::random;
use crate::error::{Code, Failure};
use crate::vault::seal::{DoesNotOpen, Key};

mod levels;
mod newest;
mod own;
mod place;
mod recipe;
mod replace;
mod replaced;
#[cfg(test)]
mod tests;

pub(crate) use levels::Wrapped;
pub(crate) use newest::wait_for_sealing;
pub(crate) use own::following;
pub(crate) use place::{Master, WRAPPED, WRAPPED_NEXT};
pub(crate) use recipe::in_force as recipe_in_force;
pub(crate) use replace::Replacement;
pub(crate) use replaced::LOOK;

use own::Own;
use place::Which;
use recipe::Recipe;
use replaced::{Asks, Coming};

/// The version of the encoding of what keys and secrets are bound to.
pub(crate) const FORM: &str = "lanyard-server-1";

/// The setting that proves which master key counts.
const PROOF: &str = "master-key-proof";
/// So often is begun anew where the master key is replaced while it is read.
const REPLACED: usize = 4;
/// So many master keys are held: the one in force, and the one before, under which a reader may still see rows.
const HELD: usize = 2;

/// An organization, and the version of its key.
type Version = (String, i64);

/// A key, with the form that it was opened from.
type Opened = (Vec<u8>, Arc<Key>);

/// The keys of a server.
pub(crate) struct Keys {
    /// The master keys that are known, the last one in force.
    masters: Mutex<Vec<Arc<Key>>>,
    /// One that is announced, with what it was unwrapped from; no key where that was none.
    coming: Mutex<Option<Coming>>,
    /// The server's own keys that are known, the last one in force.
    own: Mutex<Vec<Own>>,
    instance: String,
    /// Keys of organizations that were opened.
    known: Mutex<HashMap<Version, Opened>>,
    asks: Mutex<Option<Asks>>,
}

impl Keys {
    /// Reads the master key, and makes one for a database that has none yet.
    pub(crate) fn open(database: &Database, place: &Master<'_>) -> Result<Self, ServeError> {
        let instance = instance(database)?;
        let keys = current(database, |proof| Self::open_with(database, place, &instance, proof))?;
        keys.convert(database).map_err(|failure| unopened(failure, place))?;
        Ok(keys)
    }

    /// The same where there is one, and none is made.
    pub(crate) fn existing(database: &Database, place: &Master<'_>) -> Result<Self, ServeError> {
        current(database, |proof| {
            if proof.is_none() {
                return Err(ServeError::NoMasterKey { place: place.in_words() });
            }
            Self::open_with(database, place, &instance(database)?, proof)
        })
    }

    /// The same for whoever works with them: what an earlier version has left is wrapped anew first.
    pub(crate) fn existing_to_use(database: &Database, place: &Master<'_>) -> Result<Self, ServeError> {
        let keys = Self::existing(database, place)?;
        keys.convert(database).map_err(|failure| unopened(failure, place))?;
        Ok(keys)
    }

    /// The master key alone, for a database of whichever version, as far as a backup of it needs keys.
    pub(crate) fn of_master(database: &Database, place: &Master<'_>) -> Result<Self, ServeError> {
        current(database, |proof| {
            let proof = proof.ok_or_else(|| ServeError::NoMasterKey { place: place.in_words() })?;
            let instance = database.read(Reach::Server, |rows| setting(rows, "instance"))?.ok_or(DbError::Shape)?;
            Ok(Self::holding(place.proven(&instance, proof)?, Vec::new(), &instance))
        })
    }

    fn open_with(
        database: &Database,
        place: &Master<'_>,
        instance: &str,
        proof: Option<&str>,
    ) -> Result<Self, ServeError> {
        let master = if let Some(proof) = proof {
            place.proven(instance, proof)?
        } else {
            let (master, recipe) = first_master(database, place, instance)?;
            let proof = place::prove(&master, instance, recipe.as_ref()).map_err(|_| ServeError::NoRandom)?;
            // Another server that starts may have been faster: then its key counts, and rests here or not.
            let kept = first(database, PROOF, &proof)?;
            if place::is_proven(&master, instance, &kept) { master } else { place.proven(instance, &kept)? }
        };
        own::make_first(database, &master, instance).map_err(|failure| unopened(failure, place))?;
        let own = database.read(Reach::Server, |rows| own::opened(rows, &master, instance));
        Ok(Self::holding(master, own.map_err(|failure| unopened(failure, place))?, instance))
    }

    fn holding(master: Key, own: Vec<Own>, instance: &str) -> Self {
        Self {
            masters: Mutex::new(vec![Arc::new(master)]),
            coming: Mutex::default(),
            own: Mutex::new(own),
            instance: instance.to_owned(),
            known: Mutex::default(),
            asks: Mutex::default(),
        }
    }

    /// The identifier of this server.
    pub(crate) fn instance(&self) -> &str {
        &self.instance
    }

    /// Those of a database that is just being written, whose master key is known.
    pub(crate) fn within(rows: &mut dyn Rows, master: Key, instance: &str) -> Result<Self, KeyError> {
        let own = own::opened(rows, &master, instance)?;
        let keys = Self::holding(master, own, instance);
        keys.convert_in(rows)?;
        Ok(keys)
    }

    /// The master key in force.
    pub(crate) fn master(&self, rows: &mut dyn Rows) -> Result<Arc<Key>, KeyError> {
        let proof = setting(rows, PROOF)?.ok_or(KeyError::None)?;
        self.proven(&proof)
    }

    /// Makes the first key of a new organization.
    pub(crate) fn make(&self, rows: &mut dyn Rows, scope: &OrgScope, now: DateTime<Utc>) -> Result<(), KeyError> {
        self.add(rows, scope, 1, now)
    }

    fn add(&self, rows: &mut dyn Rows, scope: &OrgScope, version: i64, now: DateTime<Utc>) -> Result<(), KeyError> {
        let key = Key::random().map_err(|_| KeyError::NoRandom)?;
        let number = version.to_string();
        let seal = |own: &Key, parts: &[&str]| own.wrap(&key, parts);
        let (own, wrapped) = self.wrap_under_own(rows, &self.place(scope, &number), seal)?;
        rows.execute(
            "INSERT INTO organization_keys (org, version, wrapped, created, own_version) VALUES ($1, $2, $3, $4, $5)",
            values![scope.id(), version, &wrapped, now.timestamp_millis(), own],
        )?;
        Ok(())
    }

    /// A key of an organization.
    pub(crate) fn of(&self, rows: &mut dyn Rows, scope: &OrgScope, version: i64) -> Result<Arc<Key>, KeyError> {
        let one = "SELECT o.wrapped, o.own_version, s.wrapped FROM organization_keys o \
                   LEFT JOIN server_keys s ON s.version = o.own_version WHERE o.org = $1 AND o.version = $2";
        let mut row = rows.first(one, values![scope.id(), version])?.ok_or(KeyError::None)?;
        self.opened(rows, scope, version, Wrapped::of(&mut row, 0)?)
    }

    /// The key of an organization's audit that goes with a version of its key, also of one that is not there any more.
    pub(crate) fn of_audit(&self, rows: &mut dyn Rows, scope: &OrgScope, version: i64) -> Result<Key, KeyError> {
        match self.of(rows, scope, version) {
            Ok(key) => key.derived("audit").ok_or(KeyError::None),
            Err(KeyError::None) => {
                let one = "SELECT a.wrapped, a.own_version, s.wrapped FROM audit_keys a \
                           LEFT JOIN server_keys s ON s.version = a.own_version WHERE a.org = $1 AND a.version = $2";
                let mut row = rows.first(one, values![scope.id(), version])?.ok_or(KeyError::None)?;
                let wrapped = Wrapped::of(&mut row, 0)?;
                self.unwrapped(rows, &wrapped, &self.audit_place(scope, &version.to_string()))
            }
            Err(failure) => Err(failure),
        }
    }

    /// Forgets what was opened of an organization.
    pub(crate) fn forget(&self, scope: &OrgScope) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|(org, _), _| org != scope.id());
    }

    /// The key of an organization that is wrapped so.
    pub(crate) fn opened(
        &self,
        rows: &mut dyn Rows,
        scope: &OrgScope,
        version: i64,
        wrapped: Wrapped,
    ) -> Result<Arc<Key>, KeyError> {
        let name = (scope.id().to_owned(), version);
        // What was opened from another form is of before the own key was replaced, or a backup was brought back.
        if let Some((from, key)) = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&name)
            && *from == wrapped.bytes
        {
            return Ok(Arc::clone(key));
        }
        let key = Arc::new(self.unwrapped(rows, &wrapped, &self.place(scope, &version.to_string()))?);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(name, (wrapped.bytes, Arc::clone(&key)));
        Ok(key)
    }

    /// Does something with the master key that it is of. Where that was replaced since this program started, the new one
    /// is asked for.
    fn by_master<T>(&self, rows: &mut dyn Rows, work: impl Fn(&Key) -> Result<T, DoesNotOpen>) -> Result<T, KeyError> {
        if let Some(done) = self.held().iter().rev().find_map(|master| work(master).ok()) {
            return Ok(done);
        }
        let proof = setting(rows, PROOF)?.ok_or(KeyError::None)?;
        work(&*self.proven(&proof)?).map_err(|_| KeyError::DoesNotOpen)
    }

    fn held(&self) -> Vec<Arc<Key>> {
        self.masters.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn keep(&self, master: Key) -> Arc<Key> {
        self.hold(Arc::new(master))
    }

    fn hold(&self, master: Arc<Key>) -> Arc<Key> {
        let mut masters = self.masters.lock().unwrap_or_else(PoisonError::into_inner);
        masters.push(Arc::clone(&master));
        let surplus = masters.len().saturating_sub(HELD);
        masters.drain(..surplus);
        master
    }

    /// What the key of an organization is bound to.
    fn place<'p>(&'p self, scope: &'p OrgScope, version: &'p str) -> [&'p str; 5] {
        [FORM, "organization-key", &self.instance, scope.id(), version]
    }

    /// What the key of its audit is bound to.
    fn audit_place<'p>(&'p self, scope: &'p OrgScope, version: &'p str) -> [&'p str; 5] {
        [FORM, "audit-key", &self.instance, scope.id(), version]
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
    /// There is none any more: the organization was deleted.
    #[error("the organization was deleted")]
    Gone,
    /// It does not open: damaged, moved, or of another server.
    #[error("the key of the organization does not open")]
    DoesNotOpen,
    /// Another master key is in force, and it is not where this program looks.
    #[error("the master key was replaced, and the new one is not here")]
    Replaced,
    /// The system gave no random numbers.
    #[error("the system gave no random numbers")]
    NoRandom,
}

impl Failure for KeyError {
    fn code(&self) -> Code {
        match self {
            Self::Db(failure) => failure.code(),
            Self::None | Self::DoesNotOpen => Code::Store,
            Self::Gone => Code::SignedOut,
            Self::Replaced | Self::NoRandom => Code::Failed,
        }
    }

    fn mend(&self) -> Option<String> {
        Some(match self {
            Self::Db(failure) => return failure.mend(),
            Self::None | Self::DoesNotOpen => "bring a backup of the server's database back".into(),
            Self::Gone => "sign in to another organization".into(),
            Self::Replaced => "put the new master key in the place of the old one".into(),
            Self::NoRandom => "try again".into(),
        })
    }
}

/// Whether a master key was made for a database, of whichever version.
pub(crate) fn is_begun(database: &Database) -> Result<bool, DbError> {
    Ok(database.read(Reach::Server, |rows| setting(rows, PROOF))?.is_some())
}

/// Does something with the proof of the master key in force; once more where that was replaced meanwhile.
fn current<T>(database: &Database, work: impl Fn(Option<&str>) -> Result<T, ServeError>) -> Result<T, ServeError> {
    let look = || database.read(Reach::Server, |rows| setting(rows, PROOF));
    let mut proof = look()?;
    for _ in 0..REPLACED {
        match work(proof.as_deref()) {
            Ok(done) => return Ok(done),
            Err(failure) => {
                let now = look()?;
                if now == proof {
                    return Err(failure);
                }
                proof = now;
            }
        }
    }
    work(proof.as_deref())
}

/// The master key of a database that has none yet: one that rests in its place already, or a new one. With what it is made
/// by, if it is made of a passphrase.
fn first_master(database: &Database, place: &Master<'_>, instance: &str) -> Result<(Key, Option<Recipe>), ServeError> {
    if let Master::Passphrase(_) = place {
        let (master, recipe, _) = place.made_anew(true)?;
        return Ok((master, Some(recipe)));
    }
    if let Some(master) = place.read(instance, Which::Present, None)? {
        return Ok((master, None));
    }
    let made = Key::random().map_err(|_| ServeError::NoRandom)?;
    Ok((place.keep_first(database, instance, made)?, None))
}

/// The identifier of this server, made at the first start.
fn instance(database: &Database) -> Result<String, ServeError> {
    let made = random::base62(20).map_err(|_| ServeError::NoRandom)?;
    first(database, "instance", &made)
}

/// Why the server's own keys are not there.
fn unopened(failure: KeyError, place: &Master<'_>) -> ServeError {
    match failure {
        KeyError::DoesNotOpen => place.is_other(),
        KeyError::Db(failure) => failure.into(),
        KeyError::NoRandom => ServeError::NoRandom,
        KeyError::None | KeyError::Gone | KeyError::Replaced => DbError::Shape.into(),
    }
}

/// What is kept under a name; where nothing is, `made`. Another instance may be faster: then its word counts.
fn first(database: &Database, name: &str, made: &str) -> Result<String, ServeError> {
    if let Some(known) = database.read(Reach::Server, |rows| setting(rows, name))? {
        return Ok(known);
    }
    database.write(Reach::Server, |rows| -> Result<String, ServeError> {
        let keep = "INSERT INTO settings (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING";
        rows.execute(keep, values![name, made])?;
        Ok(setting(rows, name)?.ok_or(DbError::Shape)?)
    })
}

/// Holds the proof until the transaction ends: nobody replaces the master key meanwhile. Gives it.
pub(crate) fn hold(rows: &mut dyn Rows) -> Result<String, KeyError> {
    let hold = "UPDATE settings SET value = value WHERE name = $1 RETURNING value";
    Ok(rows.first(hold, values![PROOF])?.ok_or(KeyError::None)?.text(0)?)
}

pub(crate) fn setting(rows: &mut dyn Rows, name: &str) -> Result<Option<String>, DbError> {
    rows.first("SELECT value FROM settings WHERE name = $1", values![name])?.map(|mut row| row.text(0)).transpose()
}

pub(crate) fn keep_setting(rows: &mut dyn Rows, name: &str, value: &str) -> Result<(), DbError> {
    rows.execute(
        "INSERT INTO settings (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = $2",
        values![name, value],
    )
    .map(|_| ())
}
