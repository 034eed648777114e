//! Which credentials of the local vault a host or another credential leads to. Neither look-up reads the whole vault.

use super::Local;
use crate::credential::Metadata;
use crate::provider;
use crate::store::{ByHost, CredentialRow, Store};
use crate::vault::{Vault, VaultError, check_name, goes_to, is_through, rows};

impl Local<'_> {
    /// Those that may be sent to a host, by scope and name.
    pub(super) fn goes_to(&self, host: &str) -> Result<Vec<Metadata>, VaultError> {
        let Some((store, vault)) = self.existing()? else { return Ok(Vec::new()) };
        let ByHost { noted, unnamed } = store.by_host(&vault.id, host)?;
        let mut found = noted.iter().map(rows::read).collect::<Result<Vec<_>, _>>()?;
        if !unnamed.is_empty() {
            found.extend(name_hosts(store, &unnamed));
        }
        // Whatever stands in the index, the fields decide.
        found.retain(|one| goes_to(one, host));
        found.sort_by(|one, other| (&one.scope, &one.name).cmp(&(&other.scope, &other.name)));
        Ok(found)
    }

    /// Those that are used through a credential, by scope and name.
    pub(super) fn followers(&self, through: &Metadata) -> Result<Vec<Metadata>, VaultError> {
        let Some((store, vault)) = self.existing()? else { return Ok(Vec::new()) };
        // No letter of a name has another form in JSON. Should this one have any, every row is looked at.
        let fits = check_name(&through.name).is_ok();
        let pattern = if fits { format!("%\"{}\"%", through.name) } else { "%".into() };
        let mut found = Vec::new();
        for row in store.with_field_like(&vault.id, &pattern)? {
            let other = rows::read(&row)?;
            if is_through(&other, through, || Ok(self.find(&other.scope, &through.name)?.is_some()))? {
                found.push(other);
            }
        }
        Ok(found)
    }
}

/// Names the hosts of credentials that a program of another version, or none, has named so far. Returns what is in the
/// rows. One that cannot be read stays as it is, and keeps nobody from finding the others.
fn name_hosts(store: &Store, unnamed: &[CredentialRow]) -> Vec<Metadata> {
    let read: Vec<_> = unnamed.iter().filter_map(|row| Some((row, rows::read(row).ok()?))).collect();
    let noted = store.note_hosts(read.iter().map(|(row, metadata)| (*row, provider::hosts(metadata))));
    if let Err(failure) = noted {
        // The next one who asks tries again; the answer is the same.
        tracing::debug!(%failure, "the hosts of credentials are not noted");
    }
    read.into_iter().map(|(_, metadata)| metadata).collect()
}
