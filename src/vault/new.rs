//! Credentials that are to be stored, and what is written of them.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use super::{VaultError, check_name, id, measure, rows};
use crate::credential::{Check, Fields, Metadata, Scope};
use crate::provider::Verdict;
use crate::secret::Secret;

/// A credential to be stored.
#[derive(Debug)]
pub struct New {
    /// The name; ignored when an existing one is replaced.
    pub name: String,
    /// Whose it is; ignored when an existing one is replaced.
    pub scope: Scope,
    /// The values.
    pub fields: Fields,
    /// When it expires, where that is known.
    pub expires: Option<DateTime<Utc>>,
    /// Words to find it by.
    pub tags: BTreeSet<String>,
    /// A line for people.
    pub note: String,
    /// What its provider just said of these values.
    pub verdict: Option<Verdict>,
    /// The one whose values these replace.
    pub replaces: Option<Metadata>,
    /// The handle of the old one that is to be revoked at its provider, when a rotation replaces it.
    pub retiring: Option<String>,
}

impl New {
    /// A new credential with nothing but a name and values.
    pub fn named(name: &str, fields: Fields) -> Self {
        Self {
            name: name.to_owned(),
            scope: Scope::Organization,
            fields,
            expires: None,
            tags: BTreeSet::new(),
            note: String::new(),
            verdict: None,
            replaces: None,
            retiring: None,
        }
    }

    /// What is written of it in a vault that keeps it itself, stored at this time. Times are as rows keep them, so that
    /// what is returned is what will be read.
    ///
    /// # Errors
    /// [`VaultError::BadName`] for a name that is none, [`VaultError::TooMuch`] for tags, a note or a time that no vault
    /// keeps, and [`VaultError::NoRandom`].
    pub(crate) fn made(self, now: DateTime<Utc>) -> Result<Made, VaultError> {
        let now = rows::kept(now);
        let Self {
            name, scope, fields: Fields { kind, plain, secrets }, expires, tags, note, verdict, replaces, ..
        } = self;
        if replaces.is_none() {
            check_name(&name)?;
        }
        measure::new(replaces.as_ref(), &tags, &note, expires)?;
        let check = verdict.as_ref().and_then(|verdict| verdict.outcome.check());
        let old = replaces.as_ref();
        let metadata = Metadata {
            id: match old {
                Some(old) => old.id.clone(),
                None => id::new("cred", now)?,
            },
            name: old.map_or(name, |old| old.name.clone()),
            scope: old.map_or(scope, |old| old.scope.clone()),
            kind,
            fields: plain,
            secret_names: secrets.keys().cloned().collect(),
            created: old.map_or(now, |old| old.created),
            updated: now,
            used: old.and_then(|old| old.used),
            verified: check.map(|_| now),
            // What a provider says may be of a year that no clock shows.
            expires: expires.or(verdict.as_ref().and_then(|verdict| verdict.expires)).and_then(rows::told),
            check: check.unwrap_or(Check::Never),
            tags,
            note,
            version: old.map_or(1, |old| old.version + 1),
        };
        let scopes = verdict.filter(|_| check.is_some()).map(|verdict| verdict.scopes);
        Ok(Made { metadata, secrets, scopes, replaces, retiring: self.retiring })
    }
}

/// What is written of a credential.
pub(crate) struct Made {
    /// What is no secret.
    pub(crate) metadata: Metadata,
    /// What is to be sealed.
    pub(crate) secrets: BTreeMap<String, Secret>,
    /// What its provider says that it may do, where it was asked.
    pub(crate) scopes: Option<Vec<String>>,
    /// The one whose values these replace.
    pub(crate) replaces: Option<Metadata>,
    /// The handle of the old one that is to be revoked.
    pub(crate) retiring: Option<String>,
}
