//! Another master key, and another key of an organization.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};

use super::place::{self, Which};
use super::recipe::Recipe;
use super::{KeyError, Keys, Master, PROOF, WRAPPED, WRAPPED_NEXT, hold, keep_setting, own, setting};
use crate::server::db::{Database, DbError, OrgScope, Reach, Rows, values};
use crate::server::error::ServeError;
use crate::server::keeper::{KeeperError, Transit};
use crate::vault::seal::Key;

/// A master key that is to take the place of the one in force. It rests beside it already.
pub(crate) struct Replacement {
    pub(super) key: Key,
    /// What it is announced by, where it rests in the database.
    announced: Option<String>,
    /// What it is made by, where it is made of a passphrase.
    recipe: Option<Recipe>,
    /// Whether what it is had from is to take the place of what was there.
    moves: bool,
}

impl Replacement {
    /// Makes one, and keeps it. One that was made before is moved to its place where it is in force, and is overwritten
    /// where it never came into force.
    pub(crate) fn make(db: &Database, keys: &Keys, place: &Master<'_>) -> Result<Self, ServeError> {
        keys.settle(db, place)?;
        if let Master::Passphrase(_) = place {
            let (key, recipe, which) = place.made_anew(false)?;
            return Ok(Self { key, announced: None, recipe: Some(recipe), moves: which == Which::Next });
        }
        let key = Key::random().map_err(|_| ServeError::NoRandom)?;
        if let Master::Transit(transit, db) = place {
            return Self::announce(transit, db, key);
        }
        place.keep(&keys.instance, &key, Which::Next)?;
        Ok(Self { key, announced: None, recipe: None, moves: true })
    }

    /// Announces a key, so that those who share the database hold it before it comes into force. Where one is announced
    /// already, that is the one: whoever announced it is about to put it into force as well, or has died before.
    fn announce(transit: &Transit, db: &Database, key: Key) -> Result<Self, ServeError> {
        let made = transit.wrap(&key)?;
        let standing = super::first(db, WRAPPED_NEXT, &made)?;
        let by = |key, announced| Self { key, announced: Some(announced), recipe: None, moves: true };
        if standing == made {
            return Ok(by(key, made));
        }
        match transit.unwrap(&standing) {
            Ok(key) => Ok(by(key, standing)),
            // It is none, and never comes into force.
            Err(KeeperError::Refused { .. } | KeeperError::Strange(_)) => {
                let instead = "UPDATE settings SET value = $2 WHERE name = $1 AND value = $3";
                db.write(Reach::Server, |rows| rows.execute(instead, values![WRAPPED_NEXT, &made, &standing]))?;
                Ok(by(key, made))
            }
            Err(failure) => Err(failure.into()),
        }
    }

    /// Whether others are to learn of it before it comes into force.
    pub(crate) fn is_announced(&self) -> bool {
        self.announced.is_some()
    }

    /// Wraps the server's own keys under it, which is all that the master key wraps. It counts with the transaction,
    /// all of it or nothing. `false` where it was announced and is not any more, since somebody has put it into force:
    /// then nothing was done.
    pub(crate) fn rewrap(&self, rows: &mut dyn Rows, keys: &Keys) -> Result<bool, KeyError> {
        if self.announced.is_some() && setting(rows, WRAPPED_NEXT)? != self.announced {
            return Ok(false);
        }
        let present = keys.proven(&hold(rows)?)?;
        // What another version of the program has left under it.
        keys.convert_in(rows)?;
        for mut row in rows.query("SELECT version, wrapped FROM server_keys", &[])? {
            let (version, wrapped) = (row.int(0)?, STANDARD.decode(row.text(1)?).map_err(|_| DbError::Shape)?);
            let number = version.to_string();
            let parts = own::place(&keys.instance, &number);
            let own = present.unwrap(&wrapped, &parts).map_err(|_| KeyError::DoesNotOpen)?;
            let wrapped = self.key.wrap(&own, &parts).map_err(|_| KeyError::NoRandom)?;
            let keep = "UPDATE server_keys SET wrapped = $2 WHERE version = $1";
            rows.execute(keep, values![version, &STANDARD.encode(wrapped)])?;
        }
        if let Some(announced) = &self.announced {
            keep_setting(rows, WRAPPED, announced)?;
            rows.execute("DELETE FROM settings WHERE name = $1", values![WRAPPED_NEXT])?;
        }
        let proof = place::prove(&self.key, &keys.instance, self.recipe.as_ref()).map_err(|_| KeyError::NoRandom)?;
        keep_setting(rows, PROOF, &proof)?;
        // From here on, what this transaction writes is opened with it.
        keys.keep(Key::from_secret(&self.key.to_secret()).ok_or(KeyError::None)?);
        Ok(true)
    }

    /// Puts it in the place of the one before, now that the database knows it.
    pub(crate) fn promote(&self, keys: &Keys, place: &Master<'_>) -> Result<(), ServeError> {
        if self.moves { place.promote(&keys.instance, &self.key) } else { Ok(()) }
    }
}

impl Keys {
    /// Ends what somebody who replaced the master key has left.
    pub(crate) fn settle(&self, db: &Database, place: &Master<'_>) -> Result<(), ServeError> {
        // What rests in the database came into its place with the proof.
        if matches!(place, Master::Transit(..)) {
            return Ok(());
        }
        let proof = db.read(Reach::Server, |rows| setting(rows, PROOF))?;
        proof.map_or(Ok(()), |proof| place.settle(&self.instance, &proof))
    }

    /// Makes the next key of an organization, under which everything new is sealed from now on. Gives its version.
    pub(crate) fn next(&self, rows: &mut dyn Rows, scope: &OrgScope, now: DateTime<Utc>) -> Result<i64, KeyError> {
        let newest = "SELECT MAX(version) FROM organization_keys WHERE org = $1";
        let row = rows.first(newest, values![scope.id()])?;
        let version = row.map(|mut row| row.maybe_int(0)).transpose()?.flatten().ok_or(KeyError::None)? + 1;
        self.add(rows, scope, version, now)?;
        Ok(version)
    }

    /// Takes every key of an organization away: whatever rested under them opens no more, wherever a copy of it is. What
    /// proves its audit stays.
    pub(crate) fn retire_all(&self, rows: &mut dyn Rows, scope: &OrgScope) -> Result<(), KeyError> {
        let all = "SELECT version FROM organization_keys WHERE org = $1 ORDER BY version";
        for mut row in rows.query(all, values![scope.id()])? {
            let version = row.int(0)?;
            self.retire(rows, scope, version)?;
        }
        Ok(())
    }

    /// Takes a key of an organization away that nothing rests under any more. What proves the audit of its time stays.
    pub(crate) fn retire(&self, rows: &mut dyn Rows, scope: &OrgScope, version: i64) -> Result<(), KeyError> {
        let audit = self.of_audit(rows, scope, version)?;
        let number = version.to_string();
        let seal = |own: &Key, parts: &[&str]| own.wrap(&audit, parts);
        let (own, wrapped) = self.wrap_under_own(rows, &self.audit_place(scope, &number), seal)?;
        let whose = values![scope.id(), version];
        rows.execute(
            "INSERT INTO audit_keys (org, version, wrapped, own_version) VALUES ($1, $2, $3, $4)",
            values![scope.id(), version, &wrapped, own],
        )?;
        rows.execute("DELETE FROM organization_keys WHERE org = $1 AND version = $2", whose)?;
        Ok(())
    }
}
