//! Vaults: where credentials live, and what one does with them there.
//!
//! A [`Vault`] lists and finds metadata without opening a secret, opens one credential at a time, and changes metadata
//! and secrets together or not at all. [`Local`] is the one on this machine,
//! [`remote`] the one of a server. [`usable`] is the one door from a
//! credential at rest to its usable form, [`verify`] asks providers, [`rotate`] replaces.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};

use crate::credential::{Credential, Issued, Metadata, Scope};
use crate::provider::{self, Verdict};

pub mod bound;
mod error;
pub(crate) mod id;
mod kept;
mod local;
pub mod measure;
mod new;
pub mod remote;
pub mod rotate;
pub(crate) mod rows;
pub(crate) mod seal;
pub mod session;
pub mod trail;
pub mod usable;
pub mod verify;
pub mod wire;

pub use error::VaultError;
pub use kept::{Form, Kept};
pub use local::{About, Local, Opener, Restored, Unlocked};
pub(crate) use new::Made;
pub use new::New;

/// Where credentials live.
pub trait Vault {
    /// Shows the metadata of every credential, by scope and name, one at a time, so that a long list takes no room.
    /// What was seen before an error counts for nothing. Opens no secret and asks no keychain.
    fn each(&self, see: &mut dyn FnMut(Metadata)) -> Result<(), VaultError>;

    /// The metadata of every credential, by scope and name. Opens no secret and asks no keychain.
    fn list(&self) -> Result<Vec<Metadata>, VaultError> {
        let mut all = Vec::new();
        self.each(&mut |metadata| all.push(metadata))?;
        Ok(all)
    }

    /// The metadata of one credential. Opens no secret.
    fn find(&self, scope: &Scope, name: &str) -> Result<Option<Metadata>, VaultError>;

    /// The metadata of every credential that may be sent to a host, by scope and name. The host is named as
    /// [`Provider::hosts`](provider::Provider::hosts) does: in lower case, with its port where it is not 443. Opens no
    /// secret.
    fn for_host(&self, host: &str) -> Result<Vec<Metadata>, VaultError>;

    /// Opens the secrets of a credential, as they were when `metadata` was read.
    ///
    /// # Errors
    /// [`VaultError::Changed`] when it has been replaced since.
    fn open(&self, metadata: &Metadata) -> Result<Credential, VaultError>;

    /// Stores a new credential, or new fields and secrets for an existing one, all at once. Durable when it returns.
    ///
    /// # Errors
    /// [`VaultError::Taken`] when a new one has the name of another; [`VaultError::Changed`] when the one to be
    /// replaced has been replaced since it was read.
    fn put(&self, new: New) -> Result<Metadata, VaultError>;

    /// Stores new secrets that were made out of the old ones, such as a renewed session: nothing that is known of the
    /// credential changes but its expiry.
    ///
    /// # Errors
    /// [`VaultError::Changed`] when it has been replaced since it was opened.
    fn renew(&self, credential: &Credential, expires: Option<DateTime<Utc>>) -> Result<Metadata, VaultError>;

    /// Changes name, scope, tags or note. Whoever is used through it follows the new name.
    fn amend(&self, metadata: &Metadata, change: &Change) -> Result<Metadata, VaultError>;

    /// Notes what its provider said. An answer that says nothing about the credential changes nothing; after a refusal,
    /// nothing that was made from it before is handed out again.
    fn note_verdict(&self, metadata: &Metadata, verdict: &Verdict, at: DateTime<Utc>) -> Result<(), VaultError>;

    /// What it may do, as its provider said when it last answered; empty where it did not say.
    fn scopes(&self, metadata: &Metadata) -> Result<Vec<String>, VaultError>;

    /// Notes that it was handed out.
    fn note_use(&self, metadata: &Metadata, at: DateTime<Utc>) -> Result<(), VaultError>;

    /// What is left of an interrupted rotation.
    fn rotation(&self, metadata: &Metadata) -> Result<Unfinished, VaultError>;

    /// Notes where a rotation stands.
    fn note_rotation(&self, metadata: &Metadata, unfinished: &Unfinished) -> Result<(), VaultError>;

    /// What was made from a credential, in this form and of what `of` names, and was kept.
    fn kept(&self, metadata: &Metadata, form: Form, of: &str) -> Result<Option<Kept>, VaultError> {
        let _ = (metadata, form, of);
        Ok(None)
    }

    /// Keeps what was made from a credential until it is near its end, if it has one. It is sealed like the credential
    /// itself, and goes with it.
    fn keep(
        &self,
        metadata: &Metadata,
        form: Form,
        of: &str,
        issued: &Issued,
        made: DateTime<Utc>,
    ) -> Result<(), VaultError> {
        let _ = (metadata, form, of, issued, made);
        Ok(())
    }

    /// Ends a sign-in at its service and takes its tokens out, where the vault itself keeps the sign-in going; whether
    /// the service ended it. `None` where that is for whoever asks to do.
    fn disconnect(&self, metadata: &Metadata) -> Result<Option<bool>, VaultError> {
        let _ = metadata;
        Ok(None)
    }

    /// Has the access token of a sign-in renewed that did not work somewhere, where the vault itself keeps the sign-in
    /// going; whether that could be done. `None` where nobody but whoever asks can do it.
    fn renew_there(&self, metadata: &Metadata) -> Result<Option<bool>, VaultError> {
        let _ = metadata;
        Ok(None)
    }

    /// Removes a credential with its secrets; `false` where it is gone already.
    fn remove(&self, metadata: &Metadata) -> Result<bool, VaultError>;

    /// The same, unless something uses it. Where others share the vault, none of them comes between the look and the
    /// removal.
    ///
    /// # Errors
    /// [`VaultError::InUse`] with what uses it.
    fn remove_unused(&self, metadata: &Metadata) -> Result<bool, VaultError> {
        let users = self.users(metadata)?;
        if users.is_empty() {
            self.remove(metadata)
        } else {
            Err(VaultError::InUse { name: metadata.name.clone(), users })
        }
    }

    /// Who uses it, in words: other credentials that are used through it.
    fn users(&self, metadata: &Metadata) -> Result<Vec<String>, VaultError> {
        let all = self.list()?;
        let hidden = |scope: &Scope| all.iter().any(|other| other.scope == *scope && other.name == metadata.name);
        let mut users = Vec::new();
        for other in &all {
            if is_through(other, metadata, || Ok(hidden(&other.scope)))? {
                users.push(in_words(other));
            }
        }
        Ok(users)
    }
}

/// Whether a credential may be sent to a host.
pub(crate) fn goes_to(metadata: &Metadata, host: &str) -> bool {
    provider::hosts(metadata).iter().any(|known| known == host)
}

/// Whether a credential is used through another: of its scope, or of the organization, where the project has none of
/// that name itself, which `hidden` tells.
pub(crate) fn is_through(
    other: &Metadata,
    through: &Metadata,
    hidden: impl FnOnce() -> Result<bool, VaultError>,
) -> Result<bool, VaultError> {
    let source = provider::of(other).and_then(|provider| provider.source(other));
    Ok(source == Some(through.name.as_str())
        && (other.scope == through.scope || (through.scope == Scope::Organization && !hidden()?)))
}

/// A user of a credential, as a person is told of it.
pub(crate) fn in_words(user: &Metadata) -> String {
    format!("credential {}", user.name)
}

/// A change that touches no field.
#[derive(Debug, Clone, Default)]
pub struct Change {
    /// The new name.
    pub name: Option<String>,
    /// The new scope.
    pub scope: Option<Scope>,
    /// Tags to add.
    pub tag: BTreeSet<String>,
    /// Tags to take away.
    pub untag: BTreeSet<String>,
    /// The new note.
    pub note: Option<String>,
}

impl Change {
    /// The tags, where they were these.
    pub fn tags(&self, old: &BTreeSet<String>) -> BTreeSet<String> {
        old.union(&self.tag).filter(|tag| !self.untag.contains(*tag)).cloned().collect()
    }
}

/// Where a rotation stands that did not end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unfinished {
    /// When a new one was about to be made, and whether it was stored is not known.
    pub since: Option<DateTime<Utc>>,
    /// The handle of the old one that is still to be revoked.
    pub retiring: Option<String>,
}

/// Refuses a name that could not be typed, shown or put into a path.
pub fn check_name(name: &str) -> Result<(), VaultError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._@+:-".contains(&byte);
    let fits = (1..=128).contains(&name.len())
        && name.bytes().all(allowed)
        && name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    if fits { Ok(()) } else { Err(VaultError::BadName) }
}

/// The nearest thing to `text` that can be a name.
pub fn name_from(text: &str) -> String {
    let allowed = |c: char| if c.is_ascii_alphanumeric() || "._@+:-".contains(c) { c } else { '-' };
    let name: String = text.chars().map(allowed).take(100).collect();
    let name = name.trim_start_matches(|c: char| !c.is_ascii_alphanumeric()).trim_end_matches('-');
    if name.is_empty() { "credential".into() } else { name.to_owned() }
}

/// A name for everything's use that no credential has yet: `wanted`, else with the word `by` behind it, else with a number
/// behind that.
pub fn free_name(vault: &dyn Vault, wanted: &str, by: Option<&str>) -> Result<String, VaultError> {
    let wanted = name_from(wanted);
    let told_apart = by.map(|by| name_from(&format!("{wanted}-{by}")));
    let base = told_apart.clone().unwrap_or_else(|| wanted.clone());
    let numbered = (2_u32..).map(|number| format!("{base}-{number}"));
    for name in std::iter::once(wanted.clone()).chain(told_apart).chain(numbered) {
        if vault.find(&Scope::Organization, &name)?.is_none() {
            return Ok(name);
        }
    }
    Err(VaultError::Taken { name: wanted })
}

#[cfg(test)]
pub(crate) mod contract;
#[cfg(test)]
mod tests;
