//! Where the master key rests, and how another one takes its place.
//!
//! The next master key is kept beside the present one before the database knows of it, and takes its place once the
//! database does. Whoever dies on the way leaves both, and the proof in the database says which of them counts: a server
//! looks at both. Only who replaces keys moves them, one at a time. One that rests in the database is announced there, so
//! that servers hold it in time, and takes its place with the proof, in one transaction.
//!
//! Of one that is made of a passphrase, the passphrase rests: whoever chooses another one puts that beside the present one,
//! and what makes the key of it comes into force with the proof.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::recipe::{self, Recipe};
use super::{FORM, keep_setting, setting};
use crate::os::files;
use crate::secret::{Secret, SecretStore, Slot};
use crate::server::db::{Database, DbError, Reach};
use crate::server::error::ServeError;
use crate::server::keeper::Transit;
use crate::vault::seal::Key;

/// The setting that holds the master key, where a key of the keeper wraps it.
pub(crate) const WRAPPED: &str = "master-key-wrapped";
/// The same of the one that is to take its place.
pub(crate) const WRAPPED_NEXT: &str = "master-key-wrapped-next";

/// Where the master key rests.
pub(crate) enum Master<'m> {
    /// In the user's secret store.
    Store(&'m dyn SecretStore),
    /// In a file.
    File(&'m Path),
    /// Nowhere: it is made of the passphrase in a file.
    Passphrase(&'m Path),
    /// In the database, wrapped by a key that never leaves the keeper.
    Transit(&'m Transit, &'m Database),
}

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    /// The one in force.
    Present,
    /// The one that is to take its place.
    Next,
}

/// What a proof is bound to.
pub(super) fn proof_of(instance: &str) -> [&str; 3] {
    [FORM, "master-key-proof", instance]
}

/// A proof that only this key opens, after what it is made by.
pub(super) fn prove(key: &Key, instance: &str, recipe: Option<&Recipe>) -> Result<String, getrandom::Error> {
    let proof = STANDARD.encode(key.seal(b"lanyard", &proof_of(instance))?);
    Ok(recipe.map_or(proof.clone(), |recipe| format!("{}${proof}", recipe.word())))
}

/// Whether a proof is of this key.
pub(super) fn is_proven(key: &Key, instance: &str, proof: &str) -> bool {
    STANDARD.decode(recipe::split(proof).1).is_ok_and(|sealed| key.open(&sealed, &proof_of(instance)).is_ok())
}

impl Master<'_> {
    /// Where it is, for a person.
    pub(crate) fn in_words(&self) -> String {
        match self {
            Self::Store(store) => format!("the {}", store.choice().title()),
            Self::File(path) | Self::Passphrase(path) => path.display().to_string(),
            Self::Transit(transit, _) => transit.in_words(),
        }
    }

    /// The key that the proof in the database is of: the present one, or the next one.
    pub(super) fn proven(&self, instance: &str, proof: &str) -> Result<Key, ServeError> {
        self.looked_for(instance, proof).map_err(|failure| match failure {
            ServeError::Store(failure) => ServeError::Kept(failure),
            other => other,
        })
    }

    fn looked_for(&self, instance: &str, proof: &str) -> Result<Key, ServeError> {
        let word = self.fitting(recipe::split(proof).0)?;
        let present = self.read(instance, Which::Present, word)?;
        let is_known = present.is_some();
        if let Some(key) = present.filter(|key| is_proven(key, instance, proof)) {
            return Ok(key);
        }
        if let Some(next) = self.read(instance, Which::Next, word)?.filter(|key| is_proven(key, instance, proof)) {
            return Ok(next);
        }
        // It may have been moved between the two looks.
        let present = self.read(instance, Which::Present, word)?;
        if let Some(key) = present.filter(|key| is_proven(key, instance, proof)) {
            return Ok(key);
        }
        Err(if is_known { self.is_other() } else { ServeError::NoMasterKey { place: self.in_words() } })
    }

    /// That what is there is of another server.
    pub(crate) fn is_other(&self) -> ServeError {
        let place = self.in_words();
        match self {
            Self::Passphrase(_) => ServeError::WrongPassphrase { place },
            Self::Store(_) | Self::File(_) | Self::Transit(..) => ServeError::OtherMasterKey { place },
        }
    }

    /// The recipe by which the key is made, if it is one for a key that is had so.
    fn fitting<'w>(&self, word: Option<&'w str>) -> Result<Option<&'w str>, ServeError> {
        match (self, word) {
            (Self::Passphrase(_), None) => Err(ServeError::NoPassphrase),
            (Self::Store(_) | Self::File(_) | Self::Transit(..), Some(_)) => Err(ServeError::Passphrase),
            _ => Ok(word),
        }
    }

    /// Puts a next key that is in force already in the place of the present one: whoever was to do that has died.
    pub(super) fn settle(&self, instance: &str, proof: &str) -> Result<(), ServeError> {
        let (word, _) = recipe::split(proof);
        match self.read(instance, Which::Next, word)?.filter(|key| is_proven(key, instance, proof)) {
            Some(next) => self.promote(instance, &next),
            None => Ok(()),
        }
    }

    /// The key that rests there, or is made by this recipe of the passphrase that does.
    pub(crate) fn read_present(&self, instance: &str, word: Option<&str>) -> Result<Key, ServeError> {
        let key = self.read(instance, Which::Present, self.fitting(word)?)?;
        key.ok_or_else(|| ServeError::NoMasterKey { place: self.in_words() })
    }

    /// Whether a first key could be had there, as far as that is told without making one.
    pub(crate) fn could_begin(&self) -> Result<(), ServeError> {
        match self {
            Self::Passphrase(_) => self.made_anew(true).map(drop),
            Self::Transit(transit, _) => Ok(transit.try_out()?),
            // One is made where there is none, under the identifier of the server, which no server has.
            Self::Store(_) | Self::File(_) => self.read("none", Which::Present, None).map(drop),
        }
    }

    /// Puts the next key in the place of the present one.
    pub(super) fn promote(&self, instance: &str, next: &Key) -> Result<(), ServeError> {
        match self {
            // It came into its place with the proof.
            Self::Transit(..) => return Ok(()),
            Self::Store(_) | Self::File(_) => self.keep(instance, next, Which::Present)?,
            Self::Passphrase(path) => {
                let held = files::read_private(&file(path, Which::Next)).map_err(ServeError::KeyFile)?;
                if let Some(held) = held.map(zeroize::Zeroizing::new) {
                    files::replace(path, &held, false).map_err(ServeError::KeyFile)?;
                }
            }
        }
        match self {
            Self::Store(store) => drop(store.remove(&slot(instance, Which::Next))?),
            Self::File(path) | Self::Passphrase(path) => {
                files::remove(&file(path, Which::Next)).map_err(ServeError::KeyFile)?;
            }
            Self::Transit(..) => {}
        }
        Ok(())
    }

    /// The key that rests there, if there is one, or is made by this recipe of the passphrase that does.
    pub(super) fn read(&self, instance: &str, which: Which, word: Option<&str>) -> Result<Option<Key>, ServeError> {
        let held = match self {
            Self::Store(store) => store.get(&slot(instance, which))?,
            Self::File(path) => {
                let bytes = files::read_private(&file(path, which)).map_err(ServeError::KeyFile)?;
                let bytes = bytes.map(zeroize::Zeroizing::new);
                bytes.map(|bytes| Secret::new(String::from_utf8_lossy(&bytes).trim().to_owned()))
            }
            Self::Passphrase(_) => {
                let Some(passphrase) = self.passphrase(which)? else { return Ok(None) };
                let recipe = word.and_then(Recipe::read).ok_or(DbError::Shape)?;
                return Ok(Some(recipe.key(&passphrase).ok_or_else(|| self.is_other())?));
            }
            Self::Transit(transit, db) => {
                let held = db.read(Reach::Server, |rows| setting(rows, wrapped(which)))?;
                return Ok(held.map(|held| transit.unwrap(&held)).transpose()?);
            }
        };
        let read = |held: Secret| Key::from_secret(&held).ok_or(ServeError::BadMasterKey { place: self.in_words() });
        held.map(read).transpose()
    }

    /// The passphrase that rests there, if there is one. The end of its line is none of it.
    fn passphrase(&self, which: Which) -> Result<Option<Secret>, ServeError> {
        let Self::Passphrase(path) = self else { return Ok(None) };
        let path = file(path, which);
        let Some(bytes) = files::read_private(&path).map_err(ServeError::KeyFile)? else { return Ok(None) };
        let bytes = zeroize::Zeroizing::new(bytes);
        let is_none =
            |_| ServeError::BadPassphrase { place: path.display().to_string(), problem: "it is no text".into() };
        let text = std::str::from_utf8(&bytes).map_err(is_none)?;
        let text = text.strip_suffix('\n').unwrap_or(text);
        Ok(Some(Secret::new(text.strip_suffix('\r').unwrap_or(text).to_owned())))
    }

    /// A key that is made anew of the passphrase that is to come, or, where none is, of the present one; with its recipe,
    /// and which of the two it is. A passphrase that was not chosen before has to be good enough.
    pub(super) fn made_anew(&self, is_first: bool) -> Result<(Key, Recipe, Which), ServeError> {
        let place = || self.in_words();
        let next = if is_first { None } else { self.passphrase(Which::Next)? };
        let (passphrase, which) = if let Some(next) = next {
            (next, Which::Next)
        } else {
            let present = self.passphrase(Which::Present)?;
            (present.ok_or_else(|| ServeError::NoMasterKey { place: place() })?, Which::Present)
        };
        if is_first || which == Which::Next {
            let is_weak = |problem: &str| ServeError::BadPassphrase { place: place(), problem: problem.to_owned() };
            recipe::check(&passphrase).map_err(is_weak)?;
        }
        let recipe = Recipe::new().map_err(|_| ServeError::NoRandom)?;
        let key = recipe.key(&passphrase).ok_or_else(|| self.is_other())?;
        Ok((key, recipe, which))
    }

    /// Keeps a key there. It is on the disk when this returns.
    pub(super) fn keep(&self, instance: &str, key: &Key, which: Which) -> Result<(), ServeError> {
        let secret = key.to_secret();
        match self {
            Self::Store(store) => store.set(&slot(instance, which), &secret)?,
            Self::File(path) => {
                let line = zeroize::Zeroizing::new([secret.expose(), "\n"].concat());
                files::replace(&file(path, which), line.as_bytes(), false).map_err(ServeError::KeyFile)?;
            }
            // It is made of what the operator keeps.
            Self::Passphrase(_) => {}
            Self::Transit(transit, db) => {
                let held = transit.wrap(key)?;
                db.write(Reach::Server, |rows| keep_setting(rows, wrapped(which), &held))?;
            }
        }
        Ok(())
    }

    /// Keeps the first key of a server. Gives the one that counts: where servers share a database and start at once,
    /// another one may have been faster.
    pub(super) fn keep_first(&self, database: &Database, instance: &str, key: Key) -> Result<Key, ServeError> {
        let Self::Transit(transit, db) = self else {
            return database.write(Reach::Server, |rows| {
                // Whoever shares the place waits here, and finds the key of whoever was faster.
                rows.execute("UPDATE settings SET value = value WHERE name = 'instance'", &[])?;
                if let Some(known) = self.read(instance, Which::Present, None)? {
                    return Ok(known);
                }
                self.keep(instance, &key, Which::Present)?;
                Ok(key)
            });
        };
        let kept = super::first(db, wrapped(Which::Present), &transit.wrap(&key)?)?;
        Ok(transit.unwrap(&kept)?)
    }
}

/// The setting that holds a wrapped key.
fn wrapped(which: Which) -> &'static str {
    match which {
        Which::Present => WRAPPED,
        Which::Next => WRAPPED_NEXT,
    }
}

fn file(path: &Path, which: Which) -> PathBuf {
    match which {
        Which::Present => path.to_owned(),
        Which::Next => {
            let mut name = path.file_name().unwrap_or_default().to_owned();
            name.push(".next");
            path.with_file_name(name)
        }
    }
}

fn slot(instance: &str, which: Which) -> Slot {
    match which {
        Which::Present => {
            Slot { name: format!("server:{instance}"), label: "lanyard: master key of the server".into() }
        }
        Which::Next => Slot {
            name: format!("server:{instance}:next"),
            label: "lanyard: master key of the server that is to come".into(),
        },
    }
}
