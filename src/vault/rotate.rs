//! Replacing a credential through its provider's API: a new one is made, verified and stored; only then the old one is
//! revoked. An interruption at any point leaves a credential that works, and the next rotation ends what was begun.

use std::time::Duration;

use super::{New, Unfinished, Vault, VaultError, usable};
use crate::credential::{Credential, Fields, Metadata, Raw};
use crate::provider::{self, Net, Outcome, ProviderError, Rotation, Verdict};
use crate::secret::Secret;

/// Where a rotation has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// An earlier one was interrupted; what it left is being put right.
    Resuming,
    /// A new one is being made.
    Making,
    /// The new one is being tried.
    Verifying,
    /// The new one is in the vault.
    Stored,
    /// The old one is being revoked.
    Revoking,
}

/// A new key may not be known everywhere at once; so often, and after such pauses, it is tried again.
const PAUSES: [Duration; 5] = [
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(3),
    Duration::from_secs(8),
    Duration::from_secs(15),
];

/// Rotates a credential. Returns its new metadata, and what kept the old one from being revoked, where something did:
/// the credential is replaced all the same, and the next rotation tries again.
pub fn rotate(
    vault: &dyn Vault,
    metadata: &Metadata,
    net: &Net<'_>,
    told: &mut dyn FnMut(Step),
) -> Result<(Metadata, Option<ProviderError>), VaultError> {
    let rotation = of(metadata)?;
    rotation.can(metadata)?;
    let ready = usable::ready(vault, metadata, net)?;
    // Opening the vault may have waited for a person, and what is made now is known by its age later.
    let net = &Net { now: net.env.now(), ..*net };
    let mut unfinished = vault.rotation(metadata)?;
    if unfinished != Unfinished::default() {
        told(Step::Resuming);
    }
    if let Some(handle) = unfinished.retiring.take() {
        // Stored last time, and the old one not revoked: that is all that was left to do.
        rotation.retire(&handle, &ready.credential, net)?;
        vault.note_rotation(metadata, &Unfinished::default())?;
        return Ok((metadata.clone(), None));
    }
    let handle = rotation.look_up(&ready.credential, net)?;
    let mut since = unfinished.since;
    if let Some(begun) = since
        && rotation.clear(&ready.credential, begun, net)?
    {
        since = None;
    }
    if since.is_none() {
        // The very time that is in the name of what is made, so that it is found by that name.
        vault.note_rotation(metadata, &Unfinished { since: Some(net.now), retiring: None })?;
    }
    told(Step::Making);
    let minted = match rotation.mint(&ready.credential, since, net) {
        Ok(minted) => minted,
        Err(failure) => {
            // Refused for certain: nothing was made. Otherwise the next rotation looks for what may have been made.
            if made_nothing(&failure) && since.is_none() {
                vault.note_rotation(metadata, &Unfinished::default())?;
            }
            return Err(failure.into());
        }
    };
    told(Step::Verifying);
    let fresh = with(&ready.credential, minted)?;
    let verdict = verified(&ready, &fresh, net);
    if !verdict.outcome.passes() {
        // The new one does not work: it goes, and the old one stays as it is.
        if let Some(made) = rotation.handle(&fresh) {
            rotation.retire(&made, &ready.credential, net)?;
            vault.note_rotation(metadata, &Unfinished::default())?;
        }
        return Err(ProviderError::from(verdict).into());
    }
    let fields = Fields { kind: metadata.kind, plain: fresh.metadata.fields.clone(), secrets: duplicate(&fresh) };
    let stored = vault.put(New {
        name: metadata.name.clone(),
        scope: metadata.scope.clone(),
        expires: ready.provider.expires(&fields).or(verdict.expires),
        fields,
        tags: metadata.tags.clone(),
        note: metadata.note.clone(),
        verdict: Some(verdict),
        replaces: Some(metadata.clone()),
        retiring: handle.clone(),
    })?;
    told(Step::Stored);
    let Some(handle) = handle else { return Ok((stored, None)) };
    told(Step::Revoking);
    match rotation.retire(&handle, &fresh, net) {
        Ok(()) => {
            vault.note_rotation(&stored, &Unfinished::default())?;
            Ok((stored, None))
        }
        Err(failure) => Ok((stored, Some(failure))),
    }
}

/// Whether a failure says for certain that nothing was made: an answer that is no answer does not.
fn made_nothing(failure: &ProviderError) -> bool {
    match failure {
        ProviderError::Refused(verdict) => !matches!(verdict.outcome, Outcome::Unreachable | Outcome::Unexpected),
        ProviderError::CannotRotate { .. } => true,
        _ => false,
    }
}

/// How a credential is replaced through its provider's API.
pub fn of(metadata: &Metadata) -> Result<&'static dyn Rotation, VaultError> {
    let provider = provider::of(metadata).ok_or_else(|| VaultError::Foreign { name: metadata.name.clone() })?;
    let unsupported = ProviderError::Unsupported { provider: provider.title(), what: "rotating through its API" };
    provider.rotation().ok_or_else(|| unsupported.into())
}

fn duplicate(credential: &Credential) -> std::collections::BTreeMap<String, Secret> {
    credential.secrets.iter().map(|(name, value)| (name.clone(), value.duplicate())).collect()
}

/// The credential with the values that changed.
fn with(old: &Credential, minted: Raw) -> Result<Credential, VaultError> {
    let mut raw = minted;
    for (name, value) in &old.secrets {
        raw.fill(name, value.duplicate());
    }
    for (name, value) in &old.metadata.fields {
        raw.fill(name, Secret::new(value.clone()));
    }
    let Fields { plain, secrets, .. } =
        Fields::parse(old.metadata.kind, raw).map_err(|failure| VaultError::Provider(failure.into()))?;
    Ok(Credential { metadata: Metadata { fields: plain, ..old.metadata.clone() }, secrets })
}

/// What the provider says of the new one, asked again while it may just not be known everywhere yet.
fn verified(ready: &usable::Ready, fresh: &Credential, net: &Net<'_>) -> Verdict {
    let mut pauses = PAUSES.iter();
    loop {
        let verdict = provider::verify(ready.provider, fresh, ready.source.as_ref(), net);
        let may_come = matches!(verdict.outcome, Outcome::Invalid | Outcome::Unreachable | Outcome::RateLimited);
        match pauses.next() {
            Some(pause) if may_come => std::thread::sleep(*pause),
            _ => return verdict,
        }
    }
}
