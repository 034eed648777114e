//! What is done with the credentials of the local vault.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use chrono::{DateTime, Utc};

use super::{Local, MOST_CHANGES, Place, SOURCE, data_key_place, seal};
use crate::credential::{Credential, Issued, Metadata, Scope};
use crate::provider::{self, Verdict};
use crate::secret::Secret;
use crate::store::{Amendment, Checked, CredentialRow, RowError, SealedRows};
use crate::vault::seal::DoesNotOpen;
use crate::vault::{Change, Form, Kept, Made, New, Unfinished, Vault, VaultError, check_name, in_words, measure, rows};

impl Vault for Local<'_> {
    fn each(&self, see: &mut dyn FnMut(Metadata)) -> Result<(), VaultError> {
        let Some((store, vault)) = self.existing()? else { return Ok(()) };
        let mut failure = None;
        store.each_credential(&vault.id, |row| match rows::read(row) {
            Ok(metadata) => {
                see(metadata);
                ControlFlow::Continue(())
            }
            Err(unread) => {
                failure = Some(unread);
                ControlFlow::Break(())
            }
        })?;
        failure.map_or(Ok(()), Err)
    }

    fn find(&self, scope: &Scope, name: &str) -> Result<Option<Metadata>, VaultError> {
        let Some((store, vault)) = self.existing()? else { return Ok(None) };
        let row = store.credential(&vault.id, scope.project().unwrap_or_default(), name)?;
        row.as_ref().map(rows::read).transpose()
    }

    fn for_host(&self, host: &str) -> Result<Vec<Metadata>, VaultError> {
        self.goes_to(host)
    }

    fn users(&self, metadata: &Metadata) -> Result<Vec<String>, VaultError> {
        Ok(self.followers(metadata)?.iter().map(in_words).collect())
    }

    fn open(&self, metadata: &Metadata) -> Result<Credential, VaultError> {
        let (store, open) = self.opened()?;
        match self.open_once(metadata) {
            Err(VaultError::DoesNotOpen { .. }) if !store.keys(&open.row.id)?.contains(&open.by) => {
                // The vault was rekeyed since it was opened.
                self.close();
                self.open_once(metadata)
            }
            opened => opened,
        }
    }

    fn put(&self, new: New) -> Result<Metadata, VaultError> {
        let Made { metadata, secrets, scopes, replaces, retiring } = new.made((self.now)())?;
        let scopes = scopes.map(|scopes| rows::scopes(&scopes));
        let row = CredentialRow { retiring, scopes, ..rows::write(&metadata) };
        let hosts = provider::hosts(&metadata);
        self.sealing(&metadata.name, |store, open| {
            let sealed = seal(open, &metadata, &secrets)?;
            let written = match &replaces {
                None => store.insert(open.opened(), &row, &hosts, &sealed),
                Some(old) => {
                    // Tags and a note that somebody else has changed since stay, unless they are new here as well.
                    let words = (metadata.tags != old.tags, metadata.note != old.note);
                    store.replace(open.opened(), &row, old.version, words, &hosts, &sealed)
                }
            };
            Ok(((), written.map_err(|failure| taken(failure, &metadata.name))?))
        })?;
        Ok(metadata)
    }

    fn renew(&self, credential: &Credential, expires: Option<DateTime<Utc>>) -> Result<Metadata, VaultError> {
        let old = &credential.metadata;
        let secret_names = credential.secrets.keys().cloned().collect();
        let expires = expires.map(rows::kept);
        let metadata = Metadata { version: old.version + 1, expires, secret_names, ..old.clone() };
        let row = rows::write(&metadata);
        self.sealing(&old.name, |store, open| {
            let sealed = seal(open, &metadata, &credential.secrets)?;
            Ok(((), store.renew(open.opened(), &row, old.version, &sealed)?))
        })?;
        Ok(metadata)
    }

    fn amend(&self, metadata: &Metadata, change: &Change) -> Result<Metadata, VaultError> {
        if let Some(name) = &change.name {
            check_name(name)?;
        }
        measure::change(change)?;
        for _ in 0..MOST_CHANGES {
            if let Some(amended) = self.amend_once(metadata, change)? {
                return Ok(amended);
            }
        }
        Err(VaultError::Changed { name: metadata.name.clone() })
    }

    fn note_verdict(&self, metadata: &Metadata, verdict: &Verdict, at: DateTime<Utc>) -> Result<(), VaultError> {
        let Some(check) = verdict.outcome.check() else { return Ok(()) };
        let Some((store, _)) = self.existing()? else { return Ok(()) };
        if verdict.outcome.is_refusal() {
            store.forget_issued(&metadata.id)?;
        }
        let expires = verdict.expires.map(|at| at.timestamp_millis());
        let updated = metadata.updated.timestamp_millis();
        let scopes = rows::scopes(&verdict.scopes);
        let checked = Checked { word: check.word(), at: at.timestamp_millis(), expires, scopes: &scopes };
        Ok(store.note_check(&metadata.id, updated, checked)?)
    }

    fn scopes(&self, metadata: &Metadata) -> Result<Vec<String>, VaultError> {
        let Some((store, _)) = self.existing()? else { return Ok(Vec::new()) };
        Ok(store.scopes(&metadata.id)?.as_deref().map_or_else(Vec::new, rows::read_scopes))
    }

    fn note_use(&self, metadata: &Metadata, at: DateTime<Utc>) -> Result<(), VaultError> {
        let Some((store, _)) = self.existing()? else { return Ok(()) };
        Ok(store.note_use(&metadata.id, at.timestamp_millis())?)
    }

    fn rotation(&self, metadata: &Metadata) -> Result<Unfinished, VaultError> {
        let Some((store, vault)) = self.existing()? else { return Ok(Unfinished::default()) };
        let row = store.credential(&vault.id, metadata.scope.project().unwrap_or_default(), &metadata.name)?;
        Ok(row.filter(|row| row.id == metadata.id).map_or_else(Unfinished::default, |row| Unfinished {
            since: row.rotating.and_then(rows::time),
            retiring: row.retiring,
        }))
    }

    fn note_rotation(&self, metadata: &Metadata, unfinished: &Unfinished) -> Result<(), VaultError> {
        let Some((store, _)) = self.existing()? else { return Ok(()) };
        let since = unfinished.since.map(|at| at.timestamp_millis());
        Ok(store.note_rotation(&metadata.id, since, unfinished.retiring.as_deref())?)
    }

    fn kept(&self, metadata: &Metadata, form: Form, of: &str) -> Result<Option<Kept>, VaultError> {
        self.read_kept(metadata, form, of)
    }

    fn keep(
        &self,
        metadata: &Metadata,
        form: Form,
        of: &str,
        issued: &Issued,
        made: DateTime<Utc>,
    ) -> Result<(), VaultError> {
        match Kept::of(issued, made) {
            Some((text, expires)) => self.write_kept(metadata, form, of, &text, (made, expires)),
            None => Ok(()),
        }
    }

    fn remove(&self, metadata: &Metadata) -> Result<bool, VaultError> {
        let Some((store, _)) = self.existing()? else { return Ok(false) };
        Ok(store.delete(&metadata.id)?)
    }
}

impl Local<'_> {
    fn open_once(&self, metadata: &Metadata) -> Result<Credential, VaultError> {
        let (store, open) = self.opened()?;
        let closed = |_| VaultError::DoesNotOpen { name: metadata.name.clone() };
        let sealed = store.secrets(&metadata.id)?.filter(|sealed| sealed.version == metadata.version);
        let Some(SealedRows { wrapped, secrets: sealed, .. }) = sealed else {
            // Both change together; where only one is of another version, somebody has moved rows.
            let project = metadata.scope.project().unwrap_or_default();
            let row = store.credential(&open.row.id, project, &metadata.name)?;
            let stands = row.is_some_and(|row| row.id == metadata.id && row.version == metadata.version);
            return Err(if stands { closed(DoesNotOpen) } else { VaultError::Changed { name: metadata.name.clone() } });
        };
        let place = Place::of(&open.row.id, metadata);
        let data_key =
            open.key.unwrap(&wrapped, &data_key_place(&open.row.id, &metadata.id, &place.version)).map_err(closed)?;
        let mut secrets = BTreeMap::new();
        for row in sealed {
            let bytes = data_key.open(&row.sealed, &place.of_field(&row.field)).map_err(closed)?;
            let text = std::str::from_utf8(&bytes).map_err(|_| closed(DoesNotOpen))?;
            secrets.insert(row.field, Secret::new(text.to_owned()));
        }
        // A row that was taken away would otherwise look like a field that was never set.
        if !secrets.keys().eq(metadata.secret_names.iter()) {
            return Err(closed(DoesNotOpen));
        }
        Ok(Credential { metadata: metadata.clone(), secrets })
    }

    /// Changes what is no field; `None` where somebody else was faster with something that matters here.
    fn amend_once(&self, metadata: &Metadata, change: &Change) -> Result<Option<Metadata>, VaultError> {
        let (store, vault) = self.existing()?.ok_or(VaultError::NoVault)?;
        let gone = || VaultError::Changed { name: metadata.name.clone() };
        let project = metadata.scope.project().unwrap_or_default();
        let row = store.credential(&vault.id, project, &metadata.name)?.filter(|row| row.id == metadata.id);
        let mut amended = rows::read(&row.ok_or_else(gone)?)?;
        let (old_tags, old_name) = (rows::words(&amended.tags), amended.name.clone());
        amended.tags = change.tags(&amended.tags);
        if !change.tag.is_empty() {
            measure::tags(&amended.tags)?;
        }
        amended.name = change.name.clone().unwrap_or(amended.name);
        amended.scope = change.scope.clone().unwrap_or(amended.scope);
        amended.note = change.note.clone().unwrap_or(amended.note);
        let mut follow = Vec::new();
        if amended.name != old_name {
            for other in self.followers(metadata)?.iter().filter(|other| other.fields.contains_key(SOURCE)) {
                let old = rows::fields(&other.fields);
                let mut fields = other.fields.clone();
                fields.insert(SOURCE.into(), amended.name.clone());
                follow.push((other.id.clone(), old, rows::fields(&fields)));
            }
        }
        let tags = rows::words(&amended.tags);
        let done = store.amend(&Amendment {
            id: &amended.id,
            project: change.scope.as_ref().map(|scope| scope.project().unwrap_or_default()),
            name: change.name.as_deref(),
            tags: (tags != old_tags).then_some((old_tags.as_str(), tags.as_str())),
            note: change.note.as_deref(),
            followers: follow,
        });
        Ok(done.map_err(|failure| taken(failure, &amended.name))?.then_some(amended))
    }
}

fn taken(failure: RowError, name: &str) -> VaultError {
    match failure {
        RowError::Taken => VaultError::Taken { name: name.to_owned() },
        other => other.into(),
    }
}
