//! What changes the credentials of an organization.

use chrono::{DateTime, Utc};

use super::place::SOURCE;
use super::{OrgVault, metadata as written, of_the_database};
use crate::credential::{Credential, Metadata};
use crate::provider;
use crate::server::audit::{Event, changed};
use crate::server::db::{DbError, Rows, values};
use crate::vault::{Change, Made, New, VaultError, check_name, measure};

impl OrgVault<'_> {
    /// Stores a new credential, or new values for one that is there.
    pub(super) fn store(&self, new: New) -> Result<Metadata, VaultError> {
        let action = if new.replaces.is_some() { "credential.replace" } else { "credential.create" };
        self.store_as(new, &Event::done(action, ""))
    }

    /// The same, told as `event`, of which it says the rest.
    pub(super) fn store_as(&self, new: New, event: &Event<'_>) -> Result<Metadata, VaultError> {
        let Made { mut metadata, secrets, scopes, replaces, retiring } = new.made((self.now)())?;
        provider::refuse_orders(metadata.kind, &metadata.fields, &secrets)?;
        measure::fields(&metadata.fields, secrets.keys())?;
        measure::handle(retiring.as_deref())?;
        let scopes = scopes.unwrap_or_default();
        measure::scopes(&scopes)?;
        let scopes = written::scopes(&scopes);
        let id = metadata.id.clone();
        let event = Event { detail: metadata.kind.id, object: &id, ..event.clone() };
        let parcel = self.sealed(&metadata, &secrets)?;
        self.change(&event, |rows| {
            if replaces.is_none() {
                self.hold_project(rows, &metadata.scope)?;
            }
            match &replaces {
                None => self.insert(rows, &metadata, retiring.as_deref(), &scopes)?,
                Some(old) => self.replace(rows, old, &mut metadata, retiring.as_deref(), &scopes)?,
            }
            self.put_hosts(rows, &metadata)?;
            if replaces.is_none() {
                self.once.keep(rows, &metadata.id)?;
            }
            self.put_in(rows, &metadata, parcel)
        })
        .map_err(|failure| taken(failure, &metadata.name))?;
        self.clear(&id);
        Ok(metadata)
    }

    fn insert(
        &self,
        rows: &mut dyn Rows,
        metadata: &Metadata,
        retiring: Option<&str>,
        scopes: &str,
    ) -> Result<(), VaultError> {
        let row = written::write(metadata);
        rows.execute(
            "INSERT INTO credentials (org, id, project, name, kind, fields, secret_names, tags, note, created, \
             updated, used, verified, expires, checked, version, rotating, retiring, revision, scopes) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, NULL, $17, 1, $18)",
            values![
                self.scope.id(),
                &row.id,
                &row.project,
                &row.name,
                &row.kind,
                &row.fields,
                &row.secret_names,
                &row.tags,
                &row.note,
                row.created,
                row.updated,
                row.used,
                row.verified,
                row.expires,
                &row.checked,
                row.version,
                retiring,
                scopes,
            ],
        )?;
        Ok(())
    }

    /// Replaces the values of a credential, if it is still as `old` was read. Tags, a note and the name of what it is used
    /// through that somebody else has changed since stay, unless they are new here as well.
    fn replace(
        &self,
        rows: &mut dyn Rows,
        old: &Metadata,
        metadata: &mut Metadata,
        retiring: Option<&str>,
        scopes: &str,
    ) -> Result<(), VaultError> {
        self.hold(rows, &old.id)?;
        // What it is used through may have been given another name since.
        let source = |of: &Metadata| of.fields.get(SOURCE).cloned();
        if source(metadata).is_some()
            && source(metadata) == source(old)
            && let Some(now) = self.row(rows, &old.id)?.and_then(|stored| source(&stored.metadata))
        {
            metadata.fields.insert(SOURCE.into(), now);
        }
        let row = written::write(metadata);
        let tags = (metadata.tags != old.tags).then_some(&row.tags);
        let note = (metadata.note != old.note).then_some(&row.note);
        let changed = rows.execute(
            "UPDATE credentials SET kind = $4, fields = $5, secret_names = $6, tags = COALESCE($7, tags), \
             note = COALESCE($8, note), updated = $9, verified = $10, expires = $11, checked = $12, version = $13, \
             rotating = NULL, retiring = COALESCE($14, retiring), scopes = $15, revision = revision + 1 \
             WHERE org = $1 AND id = $2 AND version = $3",
            values![
                self.scope.id(),
                &row.id,
                old.version,
                &row.kind,
                &row.fields,
                &row.secret_names,
                tags,
                note,
                row.updated,
                row.verified,
                row.expires,
                &row.checked,
                row.version,
                retiring,
                scopes,
            ],
        )?;
        if changed == 0 {
            return Err(VaultError::Changed { name: metadata.name.clone() });
        }
        // It may have been moved or renamed since it was read; what is sealed is bound to where it is now.
        let stored = self.row(rows, &row.id)?.ok_or(DbError::Shape)?;
        *metadata = stored.metadata;
        Ok(())
    }

    fn put_hosts(&self, rows: &mut dyn Rows, metadata: &Metadata) -> Result<(), VaultError> {
        let whose = values![self.scope.id(), &metadata.id];
        rows.execute("DELETE FROM credential_hosts WHERE org = $1 AND credential = $2", whose)?;
        for host in provider::hosts(metadata) {
            rows.execute(
                "INSERT INTO credential_hosts (org, credential, host) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
                values![self.scope.id(), &metadata.id, &host],
            )?;
        }
        Ok(())
    }

    /// Stores new secrets that were made out of the old ones.
    pub(super) fn renewed(
        &self,
        credential: &Credential,
        expires: Option<DateTime<Utc>>,
    ) -> Result<Metadata, VaultError> {
        let old = &credential.metadata;
        provider::refuse_orders(old.kind, &old.fields, &credential.secrets)?;
        measure::time(expires)?;
        measure::fields(&old.fields, credential.secrets.keys())?;
        let secret_names = credential.secrets.keys().cloned().collect();
        let renewed =
            Metadata { version: old.version + 1, expires: expires.map(written::kept), secret_names, ..old.clone() };
        let parcel = self.sealed(&renewed, &credential.secrets)?;
        self.change(&Event::done("credential.renew", &old.id), |rows| {
            let row = written::write(&renewed);
            let changed = rows.execute(
                "UPDATE credentials SET version = $4, expires = $5, secret_names = $6, revision = revision + 1 \
                 WHERE org = $1 AND id = $2 AND version = $3",
                values![self.scope.id(), &row.id, old.version, row.version, row.expires, &row.secret_names],
            )?;
            let stored = self.row(rows, &row.id)?.filter(|_| changed > 0);
            let stored = stored.ok_or_else(|| VaultError::Changed { name: old.name.clone() })?;
            self.put_in(rows, &stored.metadata, parcel)
        })?;
        self.clear(&old.id);
        Ok(renewed)
    }

    /// Changes name, scope, tags or note; with a revision, only while the row is of it.
    pub(crate) fn amend_if(
        &self,
        metadata: &Metadata,
        change: &Change,
        revision: Option<i64>,
    ) -> Result<Metadata, VaultError> {
        if let Some(name) = &change.name {
            check_name(name)?;
        }
        measure::change(change)?;
        let wanted = change.name.clone().unwrap_or_else(|| metadata.name.clone());
        // What is sealed is bound to the project.
        let parcel = match &change.scope {
            Some(scope) if *scope != metadata.scope => {
                let opened = self.unsealed(metadata)?;
                Some(self.sealed(&Metadata { scope: scope.clone(), ..metadata.clone() }, &opened.secrets)?)
            }
            _ => None,
        };
        let amended = self.db.write(&self.scope, |rows| {
            if let Some(scope) = change.scope.as_ref().filter(|scope| **scope != metadata.scope) {
                self.hold_project(rows, scope)?;
            }
            // Whoever renames it changes those that are used through it as well.
            let renames = wanted != metadata.name;
            let followers = if renames { self.followers(rows, metadata)? } else { Vec::new() };
            self.hold_all(rows, followers.iter().map(|one| one.id.as_str()).chain([metadata.id.as_str()]))?;
            // Not before it is held: whoever was moving or renaming it is done.
            let stored = self.standing(rows, metadata, revision)?;
            let mut amended = stored.metadata.clone();
            amended.tags.extend(change.tag.iter().cloned());
            amended.tags.retain(|tag| !change.untag.contains(tag));
            if !change.tag.is_empty() {
                measure::tags(&amended.tags)?;
            }
            amended.name.clone_from(&wanted);
            amended.scope = change.scope.clone().unwrap_or(amended.scope);
            amended.note = change.note.clone().unwrap_or(amended.note);
            if renames {
                self.rename_followers(rows, &stored.metadata, &amended.name)?;
            }
            if amended.scope != stored.metadata.scope {
                self.refuse_stranding(rows, &amended)?;
            }
            let row = written::write(&amended);
            let changed = rows.execute(
                "UPDATE credentials SET project = $3, name = $4, tags = $5, note = $6, revision = revision + 1 \
                 WHERE org = $1 AND id = $2 AND revision = $7",
                values![self.scope.id(), &row.id, &row.project, &row.name, &row.tags, &row.note, stored.revision],
            )?;
            if changed == 0 {
                return Err(VaultError::Changed { name: metadata.name.clone() });
            }
            if let Some(parcel) = parcel {
                self.put_in(rows, &amended, parcel)?;
            }
            let told = told_of(&stored.metadata, &amended);
            self.tell(rows, &Event { detail: &told, ..Event::done("credential.amend", &metadata.id) })?;
            Ok(amended)
        });
        let amended = amended.map_err(|failure| taken(failure, &wanted))?;
        self.clear(&metadata.id);
        Ok(amended)
    }

    /// The row of a credential that has still the name and the scope that it was read with.
    fn standing(
        &self,
        rows: &mut dyn Rows,
        metadata: &Metadata,
        revision: Option<i64>,
    ) -> Result<super::Stored, VaultError> {
        let stands = |stored: &super::Stored| {
            let same = (&stored.metadata.name, &stored.metadata.scope) == (&metadata.name, &metadata.scope);
            same && revision.is_none_or(|revision| revision == stored.revision)
        };
        let stored = self.row(rows, &metadata.id)?.filter(stands);
        stored.ok_or_else(|| VaultError::Changed { name: metadata.name.clone() })
    }

    /// Tells those that are used through a credential its new name.
    fn rename_followers(&self, rows: &mut dyn Rows, of: &Metadata, name: &str) -> Result<(), VaultError> {
        for follower in self.followers(rows, of)? {
            if !follower.fields.contains_key(SOURCE) {
                continue;
            }
            let mut fields = follower.fields.clone();
            fields.insert(SOURCE.into(), name.to_owned());
            // One that has come to be one since they were held may be getting other values right now.
            let changed = rows.execute(
                "UPDATE credentials SET fields = $3, revision = revision + 1 WHERE org = $1 AND id = $2 AND version = $4",
                values![self.scope.id(), &follower.id, &written::fields(&fields), follower.version],
            )?;
            if changed == 0 {
                return Err(VaultError::Changed { name: follower.name });
            }
        }
        Ok(())
    }

    /// Removes a credential with its secrets; with a revision, only while the row is of it; without `force`, only while
    /// nothing uses it.
    pub(crate) fn remove_if(
        &self,
        metadata: &Metadata,
        revision: Option<i64>,
        force: bool,
    ) -> Result<bool, VaultError> {
        let removed = self.change(&Event::done("credential.delete", &metadata.id), |rows| {
            self.hold(rows, &metadata.id)?;
            if revision.is_some() {
                self.standing(rows, metadata, revision)?;
            }
            if !force {
                let users = self.users_in(rows, metadata)?;
                if !users.is_empty() {
                    return Err(VaultError::InUse { name: metadata.name.clone(), users });
                }
            }
            self.leave_workspaces(rows, &metadata.id)?;
            self.leave_registries(rows, &metadata.id)?;
            self.take_out(rows, &metadata.id)?;
            let whose = values![self.scope.id(), &metadata.id];
            Ok(rows.execute("DELETE FROM credentials WHERE org = $1 AND id = $2", whose)? > 0)
        })?;
        self.db.forget();
        self.clear(&metadata.id);
        Ok(removed)
    }
}

/// What of a credential is another after it was changed.
fn told_of(was: &Metadata, is: &Metadata) -> String {
    changed(&[
        ("name", is.name != was.name),
        ("project", is.scope != was.scope),
        ("tags", is.tags != was.tags),
        ("note", is.note != was.note),
    ])
}

fn taken(failure: VaultError, name: &str) -> VaultError {
    match of_the_database(&failure) {
        Some(DbError::Taken) => VaultError::Taken { name: name.to_owned() },
        _ => failure,
    }
}
