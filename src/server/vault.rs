//! The vault of one organization: the same trait as the vault of a laptop, over rows that all carry the organization.
//!
//! Every change is one transaction with its entry in the audit, and no secret is given before the entry about it is on
//! the disk. What is sealed is bound to its organization, project, credential, version, kind and address, so that whoever
//! can write to the database can move no secret to where it would be read or sent by others.

use chrono::{DateTime, Utc};

use super::api::Once;
use super::audit::{self, Actor, Event, Outcome, Together};
use super::db::{Database, DbError, OrgScope, Reach, Row, Rows, Value, values};
use super::engine::Engine;
use super::keys::{KeyError, Keys};
use crate::credential::{Credential, Metadata, Scope};
use crate::provider::Verdict;
use crate::store::CredentialRow;
use crate::vault::{Change, New, Unfinished, Vault, VaultError, in_words, is_through, measure, rows as metadata};

/// So many rows are read at a time.
const PAGE: i64 = 500;

macro_rules! columns {
    () => {
        "id, project, name, kind, fields, secret_names, tags, note, created, updated, used, verified, expires, \
         checked, version, rotating, retiring, revision, scopes"
    };
}

mod change;
mod listed;
mod place;
mod places;
mod sealed;
pub(crate) mod sign_in;

pub(crate) use listed::Narrowed;

/// The vault of an organization, as one caller sees it.
pub(crate) struct OrgVault<'s> {
    pub(crate) db: &'s Database,
    pub(crate) keys: &'s Keys,
    /// Where its secrets rest.
    pub(crate) engine: &'s Engine,
    pub(crate) together: &'s Together,
    /// Whose it is.
    pub(crate) scope: OrgScope,
    /// Who works with it, for the audit.
    pub(crate) actor: Actor,
    /// What a credential that is made is known by, should the same be asked again.
    pub(crate) once: Once,
    /// The clock.
    pub(crate) now: fn() -> DateTime<Utc>,
}

/// A credential as its row stands, with what its ETag is made of.
pub(crate) struct Stored {
    pub(crate) metadata: Metadata,
    pub(crate) rotation: Unfinished,
    pub(crate) revision: i64,
    /// What it may do, as its provider said when it last answered.
    pub(crate) scopes: Vec<String>,
}

impl Stored {
    /// Where it stands in a list: its project, and its name.
    fn place(&self) -> (String, String) {
        (self.metadata.scope.project().unwrap_or_default().to_owned(), self.metadata.name.clone())
    }
}

impl From<DbError> for VaultError {
    fn from(failure: DbError) -> Self {
        Self::Elsewhere(Box::new(failure))
    }
}

impl From<KeyError> for VaultError {
    fn from(failure: KeyError) -> Self {
        Self::Elsewhere(Box::new(failure))
    }
}

/// What the database said, where a failure is that it did not do something.
pub(crate) fn of_the_database(failure: &VaultError) -> Option<&DbError> {
    let VaultError::Elsewhere(inner) = failure else { return None };
    let inner: &(dyn std::error::Error + 'static) = &**inner;
    match inner.downcast_ref() {
        Some(KeyError::Db(failure)) => Some(failure),
        _ => inner.downcast_ref(),
    }
}

impl OrgVault<'_> {
    /// The same, which makes something once.
    pub(crate) fn once(self, once: Once) -> Self {
        Self { once, ..self }
    }

    /// One page of the credentials after a project and a name, by project and name; all, or those of one project.
    pub(crate) fn page(
        &self,
        only: Option<&str>,
        after: &(String, String),
        limit: i64,
    ) -> Result<Vec<Stored>, VaultError> {
        let page = concat!(
            "SELECT ",
            columns!(),
            " FROM credentials WHERE org = $1 AND (project, name) > ($2, $3) AND (project = $5 OR $5 IS NULL) \
             ORDER BY project, name LIMIT $4"
        );
        let whose = values![self.scope.id(), &after.0, &after.1, limit, only];
        let found = self.db.read(&self.scope, |rows| rows.query(page, whose))?;
        found.into_iter().map(stored).collect()
    }

    /// The credential of that identifier.
    pub(crate) fn by_id(&self, id: &str) -> Result<Option<Stored>, VaultError> {
        self.db.read(&self.scope, |rows| self.row(rows, id))
    }

    /// The same within a transaction.
    pub(crate) fn row(&self, rows: &mut dyn Rows, id: &str) -> Result<Option<Stored>, VaultError> {
        let one = concat!("SELECT ", columns!(), " FROM credentials WHERE org = $1 AND id = $2");
        rows.first(one, values![self.scope.id(), id])?.map(stored).transpose()
    }

    fn some(&self, rows: &mut dyn Rows, sql: &str, second: Value<'_>) -> Result<Vec<Metadata>, VaultError> {
        let found = rows.query(sql, &[self.scope.id().into(), second])?;
        found.into_iter().map(|row| stored(row).map(|stored| stored.metadata)).collect()
    }

    /// Those whose fields name a credential as what they are used through.
    fn followers(&self, rows: &mut dyn Rows, of: &Metadata) -> Result<Vec<Metadata>, VaultError> {
        let like = concat!(
            "SELECT ",
            columns!(),
            " FROM credentials WHERE org = $1 AND fields LIKE $2 ORDER BY project, name"
        );
        // More than those that are meant: a `_` in the name stands for any letter, and the field is not told apart.
        let pattern = format!("%\"{}\"%", of.name);
        let mut followers = Vec::new();
        for other in self.some(rows, like, Value::Text(&pattern))? {
            let hidden = "SELECT 1 FROM credentials WHERE org = $1 AND project = $2 AND name = $3";
            let project = other.scope.project().unwrap_or_default().to_owned();
            let is_hidden = || Ok(rows.first(hidden, values![self.scope.id(), &project, &of.name])?.is_some());
            if is_through(&other, of, is_hidden)? {
                followers.push(other);
            }
        }
        Ok(followers)
    }

    /// Runs a change, with what is to be told of it, as one.
    fn change<T>(
        &self,
        event: &Event<'_>,
        work: impl FnOnce(&mut dyn Rows) -> Result<T, VaultError>,
    ) -> Result<T, VaultError> {
        self.db.write(&self.scope, |rows| {
            let done = work(rows)?;
            self.tell(rows, event)?;
            Ok(done)
        })
    }

    /// The credential of that identifier, opened where `may` says so of its row. What rests in the database is looked
    /// for and opened in one transaction; in that one, `may` asks nobody.
    pub(crate) fn open_if(
        &self,
        id: &str,
        may: impl FnOnce(&Stored) -> bool,
    ) -> Result<Option<(Stored, Option<Credential>)>, VaultError> {
        enum Look {
            No,
            Opened(Box<Result<Credential, VaultError>>),
            ToBeFetched,
        }
        let looked = self.db.read(Reach::Secrets(&self.scope), |rows| -> Result<_, VaultError> {
            let Some(stored) = self.row(rows, id)? else { return Ok(None) };
            let look = match may(&stored) {
                false => Look::No,
                true if self.engine.kv().is_some() => Look::ToBeFetched,
                true => {
                    let opened = self.open_seen(rows, &stored.metadata, None).and_then(sign_in::handed_out);
                    Look::Opened(Box::new(opened))
                }
            };
            Ok(Some((stored, look)))
        })?;
        let Some((stored, look)) = looked else { return Ok(None) };
        let opened = match look {
            Look::No => None,
            Look::Opened(opened) => Some(self.told(id, *opened)?),
            Look::ToBeFetched => Some(self.open(&stored.metadata)?),
        };
        Ok(Some((stored, opened)))
    }

    /// Tells what came of opening a credential. What does not open is told as well; what cannot be told is not given.
    fn told(&self, id: &str, opened: Result<Credential, VaultError>) -> Result<Credential, VaultError> {
        let outcome = if opened.is_ok() { Outcome::Done } else { Outcome::Failed };
        let event = Event { outcome, ..Event::done("secret.read", id) };
        self.together.append(self.db, self.keys, &self.scope, &self.actor, &event, (self.now)())?;
        opened
    }

    fn tell(&self, rows: &mut dyn Rows, event: &Event<'_>) -> Result<(), VaultError> {
        Ok(audit::append(rows, self.keys, &self.scope, &self.actor, event, (self.now)())?)
    }
}

impl Vault for OrgVault<'_> {
    fn each(&self, see: &mut dyn FnMut(Metadata)) -> Result<(), VaultError> {
        let mut after = (String::new(), String::new());
        loop {
            let page = self.page(None, &after, PAGE)?;
            let Some(last) = page.last() else { return Ok(()) };
            after = last.place();
            for stored in page {
                see(stored.metadata);
            }
        }
    }

    fn find(&self, scope: &Scope, name: &str) -> Result<Option<Metadata>, VaultError> {
        let one = concat!("SELECT ", columns!(), " FROM credentials WHERE org = $1 AND project = $2 AND name = $3");
        let project = scope.project().unwrap_or_default();
        let found = self.db.read(&self.scope, |rows| rows.first(one, values![self.scope.id(), project, name]))?;
        found.map(|row| stored(row).map(|stored| stored.metadata)).transpose()
    }

    fn for_host(&self, host: &str) -> Result<Vec<Metadata>, VaultError> {
        let (mut found, mut after) = (Vec::new(), (String::new(), String::new()));
        loop {
            let page = self.page_for(host, None, &after, PAGE)?;
            let Some(last) = page.last() else { return Ok(found) };
            after = last.place();
            found.extend(page.into_iter().map(|stored| stored.metadata));
        }
    }

    fn users(&self, metadata: &Metadata) -> Result<Vec<String>, VaultError> {
        self.db.read(&self.scope, |rows| self.users_in(rows, metadata))
    }

    fn open(&self, metadata: &Metadata) -> Result<Credential, VaultError> {
        let opened = self.unsealed(metadata).and_then(sign_in::handed_out);
        self.told(&metadata.id, opened)
    }

    fn put(&self, mut new: New) -> Result<Metadata, VaultError> {
        self.keep_what_stays(&mut new)?;
        self.store(new)
    }

    fn renew(&self, credential: &Credential, expires: Option<DateTime<Utc>>) -> Result<Metadata, VaultError> {
        self.renewed(credential, expires)
    }

    fn amend(&self, metadata: &Metadata, change: &Change) -> Result<Metadata, VaultError> {
        self.amend_if(metadata, change, None)
    }

    fn note_verdict(&self, metadata: &Metadata, verdict: &Verdict, at: DateTime<Utc>) -> Result<(), VaultError> {
        let event = Event { detail: verdict.outcome.word(), ..Event::done("credential.verify", &metadata.id) };
        measure::scopes(&verdict.scopes)?;
        let now = (self.now)();
        self.db.write(&self.scope, |rows| {
            let Some(check) = verdict.outcome.check() else { return self.tell(rows, &event) };
            let changed = rows.execute(
                "UPDATE credentials SET checked = $4, verified = $5, expires = COALESCE($6, expires), scopes = $7 \
                 WHERE org = $1 AND id = $2 AND updated = $3",
                values![
                    self.scope.id(),
                    &metadata.id,
                    metadata.updated.timestamp_millis(),
                    check.word(),
                    at.min(now).timestamp_millis(),
                    verdict.expires.and_then(metadata::told).map(|at| at.timestamp_millis()),
                    &metadata::scopes(&verdict.scopes),
                ],
            )?;
            // Of other values than those that it holds now, nothing is noted.
            if changed > 0 { self.tell(rows, &event) } else { Ok(()) }
        })
    }

    fn scopes(&self, metadata: &Metadata) -> Result<Vec<String>, VaultError> {
        Ok(self.by_id(&metadata.id)?.map(|stored| stored.scopes).unwrap_or_default())
    }

    fn note_use(&self, metadata: &Metadata, at: DateTime<Utc>) -> Result<(), VaultError> {
        // Whoever notes it may have a clock that goes ahead, and no later use would count.
        let now = (self.now)();
        self.change(&Event::done("credential.use", &metadata.id), |rows| {
            rows.execute(
                "UPDATE credentials SET used = $3 WHERE org = $1 AND id = $2 AND (used IS NULL OR used < $3)",
                values![self.scope.id(), &metadata.id, at.min(now).timestamp_millis()],
            )?;
            Ok(())
        })
    }

    fn rotation(&self, metadata: &Metadata) -> Result<Unfinished, VaultError> {
        Ok(self.by_id(&metadata.id)?.map(|stored| stored.rotation).unwrap_or_default())
    }

    fn note_rotation(&self, metadata: &Metadata, unfinished: &Unfinished) -> Result<(), VaultError> {
        measure::time(unfinished.since)?;
        measure::handle(unfinished.retiring.as_deref())?;
        self.change(&Event::done("credential.rotation", &metadata.id), |rows| {
            rows.execute(
                "UPDATE credentials SET rotating = $3, retiring = $4 WHERE org = $1 AND id = $2",
                values![
                    self.scope.id(),
                    &metadata.id,
                    unfinished.since.map(|at| at.timestamp_millis()),
                    unfinished.retiring.as_deref(),
                ],
            )?;
            Ok(())
        })
    }

    fn remove(&self, metadata: &Metadata) -> Result<bool, VaultError> {
        self.remove_if(metadata, None, true)
    }

    fn remove_unused(&self, metadata: &Metadata) -> Result<bool, VaultError> {
        self.remove_if(metadata, None, false)
    }
}

/// Reads a row of [`columns`].
fn stored(mut row: Row) -> Result<Stored, VaultError> {
    let read = CredentialRow {
        id: row.text(0)?,
        project: row.text(1)?,
        name: row.text(2)?,
        kind: row.text(3)?,
        fields: row.text(4)?,
        secret_names: row.text(5)?,
        tags: row.text(6)?,
        note: row.text(7)?,
        created: row.int(8)?,
        updated: row.int(9)?,
        used: row.maybe_int(10)?,
        verified: row.maybe_int(11)?,
        expires: row.maybe_int(12)?,
        checked: row.text(13)?,
        version: row.int(14)?,
        rotating: row.maybe_int(15)?,
        retiring: row.maybe_text(16)?,
        scopes: None,
    };
    let metadata = metadata::read(&read)?;
    let rotation = Unfinished { since: read.rotating.and_then(metadata::time), retiring: read.retiring };
    Ok(Stored { metadata, rotation, revision: row.int(17)?, scopes: metadata::read_scopes(&row.text(18)?) })
}

#[cfg(test)]
mod tests;
