//! Secrets as they rest: each version of a credential under a data key of its own.

use std::collections::BTreeMap;

use zeroize::Zeroizing;

use super::OrgVault;
use crate::credential::{Credential, Metadata};
use crate::secret::Secret;
use crate::server::db::{OrgScope, Rows, values};
use crate::server::keys::{FORM, KeyError};
use crate::vault::VaultError;
use crate::vault::seal::{self, DoesNotOpen, Key};

/// The field that names another credential. It follows that one's name and is bound to nothing.
pub(super) const SOURCE: &str = "source";
/// Secrets are filled up to a multiple of so many bytes, so that what rests does not tell how long a short one is.
const BUCKET: usize = 64;

impl OrgVault<'_> {
    /// Puts the secrets of a version in the place of those of the one before.
    pub(super) fn seal_in(
        &self,
        rows: &mut dyn Rows,
        metadata: &Metadata,
        secrets: &BTreeMap<String, Secret>,
    ) -> Result<(), VaultError> {
        let (key_version, key) = self.keys.newest(rows, &self.scope)?;
        let place = Place::of(&self.scope, metadata);
        let data_key = Key::random()?;
        let wrapped = key.wrap(&data_key, &place.of_key(&key_version.to_string()))?;
        let whose = values![self.scope.id(), &metadata.id];
        rows.execute("DELETE FROM secrets WHERE org = $1 AND credential = $2", whose)?;
        rows.execute("DELETE FROM data_keys WHERE org = $1 AND credential = $2", whose)?;
        rows.execute(
            "INSERT INTO data_keys (org, credential, version, key_version, wrapped) VALUES ($1, $2, $3, $4, $5)",
            values![self.scope.id(), &metadata.id, metadata.version, key_version, &wrapped],
        )?;
        for (field, secret) in secrets {
            let sealed = data_key.seal(&filled(secret), &place.of_field(field))?;
            rows.execute(
                "INSERT INTO secrets (org, credential, field, version, sealed) VALUES ($1, $2, $3, $4, $5)",
                values![self.scope.id(), &metadata.id, field, metadata.version, &sealed],
            )?;
        }
        Ok(())
    }

    /// Opens the secrets of the version that `metadata` is of.
    pub(super) fn open_in(&self, rows: &mut dyn Rows, metadata: &Metadata) -> Result<Credential, VaultError> {
        let closed = |_| VaultError::DoesNotOpen { name: metadata.name.clone() };
        let changed = || VaultError::Changed { name: metadata.name.clone() };
        let stands = self.row(rows, &metadata.id)?.is_some_and(|stored| stored.metadata.version == metadata.version);
        if !stands {
            return Err(changed());
        }
        let whose = values![self.scope.id(), &metadata.id];
        let key = "SELECT version, key_version, wrapped FROM data_keys WHERE org = $1 AND credential = $2";
        let look = |rows: &mut dyn Rows| -> Result<_, VaultError> {
            let mut found = rows.first(key, whose)?.ok_or_else(|| closed(DoesNotOpen))?;
            let (version, key_version, wrapped) = (found.int(0)?, found.int(1)?, found.bytes(2)?);
            if version != metadata.version {
                return Err(closed(DoesNotOpen));
            }
            Ok((key_version, wrapped, self.keys.of(rows, &self.scope, key_version)))
        };
        let (key_version, wrapped, key) = match look(rows)? {
            // It was wrapped under another key between the two looks, and the old one is gone.
            (.., Err(KeyError::None)) => look(rows)?,
            found => found,
        };
        let key = key?;
        let place = Place::of(&self.scope, metadata);
        let data_key = key.unwrap(&wrapped, &place.of_key(&key_version.to_string())).map_err(closed)?;
        let mut secrets = BTreeMap::new();
        let sealed = "SELECT field, sealed FROM secrets WHERE org = $1 AND credential = $2 ORDER BY field";
        for mut row in rows.query(sealed, whose)? {
            let (field, sealed) = (row.text(0)?, row.bytes(1)?);
            let opened = data_key.open(&sealed, &place.of_field(&field)).map_err(closed)?;
            secrets.insert(field, emptied(&opened).ok_or_else(|| closed(DoesNotOpen))?);
        }
        // A row that was taken away would otherwise look like a field that was never set.
        if !secrets.keys().eq(metadata.secret_names.iter()) {
            return Err(closed(DoesNotOpen));
        }
        Ok(Credential { metadata: metadata.clone(), secrets })
    }
}

/// What came of a page of data keys.
pub(crate) struct Rewrapped {
    /// The last credential of the page.
    pub(crate) last: String,
    /// So many rest under the newest key now.
    pub(crate) done: u64,
    /// So many do not open, and stay as they are.
    pub(crate) closed: u64,
}

impl OrgVault<'_> {
    /// Wraps the data keys after a credential under the newest key of the organization, as far as they rest under an
    /// older one; `None` where there are none.
    pub(crate) fn rewrap(&self, rows: &mut dyn Rows, after: &str, limit: i64) -> Result<Option<Rewrapped>, VaultError> {
        let (newest, key) = self.keys.newest(rows, &self.scope)?;
        let some = "SELECT d.credential, d.version, d.key_version, d.wrapped, c.project FROM data_keys d \
                    JOIN credentials c ON c.org = d.org AND c.id = d.credential \
                    WHERE d.org = $1 AND d.key_version < $2 AND d.credential > $3 ORDER BY d.credential LIMIT $4";
        let page = rows.query(some, values![self.scope.id(), newest, after, limit])?;
        let mut page_of = Rewrapped { last: String::new(), done: 0, closed: 0 };
        for mut row in page {
            let (id, version, old) = (row.text(0)?, row.int(1)?, row.int(2)?);
            let (wrapped, project) = (row.bytes(3)?, row.text(4)?);
            let version = version.to_string();
            let mut parts = [FORM, "data_keys", self.scope.id(), &project, &id, &version, ""];
            let (old_version, new_version) = (old.to_string(), newest.to_string());
            parts[6] = &old_version;
            let data_key = self.keys.of(rows, &self.scope, old)?.unwrap(&wrapped, &parts);
            parts[6] = &new_version;
            let again = data_key.ok().map(|data_key| key.wrap(&data_key, &parts)).transpose()?;
            let Some(again) = again else {
                (page_of.closed, page_of.last) = (page_of.closed + 1, id);
                continue;
            };
            // Whoever has stored new secrets meanwhile has sealed them under the newest key already.
            rows.execute(
                "UPDATE data_keys SET key_version = $4, wrapped = $5 \
                 WHERE org = $1 AND credential = $2 AND wrapped = $3",
                values![self.scope.id(), &id, &wrapped, newest, &again],
            )?;
            (page_of.done, page_of.last) = (page_of.done + 1, id);
        }
        Ok((!page_of.last.is_empty()).then_some(page_of))
    }

    /// Seals the secrets of a credential anew, under a new data key; `false` where they do not open.
    pub(crate) fn seal_anew(&self, rows: &mut dyn Rows, id: &str) -> Result<bool, VaultError> {
        let hold = "UPDATE credentials SET id = id WHERE org = $1 AND id = $2";
        rows.execute(hold, values![self.scope.id(), id])?;
        let has_keys = "SELECT 1 FROM data_keys WHERE org = $1 AND credential = $2";
        let Some(stored) = self.row(rows, id)? else { return Ok(true) };
        if rows.first(has_keys, values![self.scope.id(), id])?.is_none() && stored.metadata.secret_names.is_empty() {
            return Ok(true);
        }
        match self.open_in(rows, &stored.metadata) {
            Ok(opened) => self.seal_in(rows, &stored.metadata, &opened.secrets).map(|()| true),
            Err(VaultError::DoesNotOpen { .. }) => Ok(false),
            Err(failure) => Err(failure),
        }
    }
}

/// What secrets are bound to.
struct Place<'m> {
    org: &'m str,
    project: &'m str,
    id: &'m str,
    version: String,
    kind: &'static str,
    fields: String,
}

impl<'m> Place<'m> {
    fn of(scope: &'m OrgScope, metadata: &'m Metadata) -> Self {
        let bound = metadata.fields.iter().filter(|(name, _)| *name != SOURCE);
        Self {
            org: scope.id(),
            project: metadata.scope.project().unwrap_or_default(),
            id: &metadata.id,
            version: metadata.version.to_string(),
            kind: metadata.kind.id,
            fields: seal::digest(bound.map(|(name, value)| (name.as_str(), value.as_str()))),
        }
    }

    fn of_field<'p>(&'p self, field: &'p str) -> [&'p str; 9] {
        [FORM, "secrets", self.org, self.project, self.id, &self.version, self.kind, &self.fields, field]
    }

    fn of_key<'p>(&'p self, key_version: &'p str) -> [&'p str; 7] {
        [FORM, "data_keys", self.org, self.project, self.id, &self.version, key_version]
    }
}

/// A secret with its length before it, filled up to a whole number of buckets.
fn filled(secret: &Secret) -> Zeroizing<Vec<u8>> {
    let text = secret.expose().as_bytes();
    let length = (text.len() + 8).next_multiple_of(BUCKET);
    let mut bytes = Zeroizing::new(Vec::with_capacity(length));
    bytes.extend_from_slice(&(text.len() as u64).to_be_bytes());
    bytes.extend_from_slice(text);
    bytes.resize(length, 0);
    bytes
}

/// The secret in such bytes.
fn emptied(bytes: &[u8]) -> Option<Secret> {
    let (length, rest) = bytes.split_first_chunk::<8>()?;
    let length = usize::try_from(u64::from_be_bytes(*length)).ok()?;
    let text = std::str::from_utf8(rest.get(..length)?).ok()?;
    Some(Secret::new(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_rests_twice_as_the_same_bytes() {
        const NONCE: usize = 12;
        let key = Key::random().unwrap();
        let secret = filled(&Secret::new("the same".into()));
        let seal = || key.seal(&secret, &["the", "same", "place"]).unwrap();
        let (mut nonces, mut bodies) = (std::collections::HashSet::new(), std::collections::HashSet::new());
        let length = seal().len();
        for _ in 0..100_000 {
            let sealed = seal();
            assert_eq!(sealed.len(), length);
            let (nonce, body) = sealed.split_at(NONCE);
            assert!(nonces.insert(nonce.to_vec()) && bodies.insert(body.to_vec()));
        }
    }

    #[test]
    fn short_secrets_rest_at_one_length() {
        for length in [0, 1, 8, 55, 56, 57, 120, 5000] {
            let secret = Secret::new("s".repeat(length));
            let bytes = filled(&secret);
            assert_eq!(bytes.len() % BUCKET, 0);
            assert!(emptied(&bytes).unwrap() == secret);
        }
        assert_eq!(filled(&Secret::new("a".into())).len(), filled(&Secret::new("a".repeat(50))).len());
        assert!(emptied(&[0, 0, 0, 0, 0, 0, 0, 9, 1]).is_none());
    }
}
