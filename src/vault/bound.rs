//! Which credential a tool may have: decided here, once for all tools.

use crate::credential::{Address, Metadata, Power, Scope, Want};
use crate::provider;
use crate::vault::{Vault, VaultError};

/// The beginning of the tag of a credential that a tool stored for its user, and may forget again.
pub const STORED_BY: &str = "stored-by-";

/// The credential that is bound to what a tool asks for; `None` where there is none.
///
/// A name must be that of a credential of a fitting kind, with the fields that are asked for. An address must be one that
/// the credential was stored for; of several, the one with the longest path counts, and of several kinds the one that the
/// tool names first. A user must be the credential's own, a value must be the one it was stored with. Nothing else that a
/// tool claims has a say, and there is no default.
///
/// # Errors
/// [`VaultError::Several`] when more than one fits as well as the others; [`VaultError::NotToPublish`] when the one that
/// fits may not do what it is wanted for; [`VaultError::LookAlike`] when there is one for a value that differs from what
/// is asked for in a detail.
pub fn bound(vault: &dyn Vault, want: &Want) -> Result<Option<Metadata>, VaultError> {
    let mut fitting = match (&want.name, &want.at) {
        (Some(name), _) => named(vault, name)?,
        (None, Some(at)) => vault.for_host(&at.place())?,
        (None, None) if want.fields.is_empty() => Vec::new(),
        (None, None) => vault.list()?,
    };
    let has_fields =
        |metadata: &Metadata| want.fields.iter().all(|(name, value)| metadata.field(name) == value.as_deref());
    fitting.retain(|metadata| want.kinds.contains(&metadata.kind.id) && is_for_user(metadata, want.user.as_deref()));
    let (exact, others): (Vec<_>, Vec<_>) = fitting.into_iter().partition(has_fields);
    let mut fitting = exact;
    if let (true, None, None) = (fitting.is_empty(), &want.name, &want.at)
        && let Some(other) = others.into_iter().find(|metadata| is_like(metadata, want))
    {
        return Err(VaultError::LookAlike { name: other.name });
    }
    if let Some(at) = &want.at {
        let reach = |metadata: &Metadata| reach(metadata, at);
        let longest = fitting.iter().filter_map(reach).max();
        fitting.retain(|metadata| longest.is_some() && reach(metadata) == longest);
    }
    let kind = want.kinds.iter().find(|kind| fitting.iter().any(|metadata| metadata.kind.id == **kind));
    fitting.retain(|metadata| kind.is_none_or(|kind| metadata.kind.id == *kind));
    // No tool says which project it works for, and the folder that it stands in has no say: what is for everything goes
    // before what is for one project.
    if fitting.len() > 1 && fitting.iter().any(|metadata| metadata.scope == Scope::Organization) {
        fitting.retain(|metadata| metadata.scope == Scope::Organization);
    }
    match want.power {
        Power::Any => {}
        // A reader is not given what could publish, where there is one that could not.
        Power::Read if fitting.iter().all(may_publish) => {}
        Power::Read => fitting.retain(|metadata| !may_publish(metadata)),
        Power::Publish => {
            let first = fitting.first().map(|metadata| metadata.name.clone());
            fitting.retain(may_publish);
            if let Some(name) = first.filter(|_| fitting.is_empty()) {
                return Err(VaultError::NotToPublish { name });
            }
        }
    }
    if fitting.len() > 1 {
        return Err(VaultError::Several { names: fitting.into_iter().map(|metadata| metadata.name).collect() });
    }
    Ok(fitting.pop())
}

/// Every credential of these kinds that tools may ask for by an address, with its addresses.
pub fn listed(vault: &dyn Vault, kinds: &[&str]) -> Result<Vec<(Metadata, Vec<Address>)>, VaultError> {
    let all = vault.list()?.into_iter().filter(|metadata| kinds.contains(&metadata.kind.id));
    Ok(all
        .map(|metadata| {
            let addresses = provider::addresses(&metadata);
            (metadata, addresses)
        })
        .filter(|(_, addresses)| !addresses.is_empty())
        .collect())
}

fn named(vault: &dyn Vault, name: &str) -> Result<Vec<Metadata>, VaultError> {
    if let Some(found) = vault.find(&Scope::Organization, name)? {
        return Ok(vec![found]);
    }
    Ok(vault.list()?.into_iter().filter(|metadata| metadata.name == name).collect())
}

/// Whether a tool that names a user means this one.
fn is_for_user(metadata: &Metadata, user: Option<&str>) -> bool {
    let means = |user| provider::of(metadata).is_some_and(|provider| provider.is_for_user(metadata, user));
    user.is_none_or(means)
}

/// Whether a credential would be the one but for details of the values.
fn is_like(metadata: &Metadata, want: &Want) -> bool {
    want.fields.iter().all(|(name, value)| metadata.field(name).map(skeleton) == value.as_deref().map(skeleton))
}

/// What is left of a value when all is taken away that some tools take away, and by which two addresses of different
/// owners become one.
fn skeleton(value: &str) -> String {
    let lower = value.to_lowercase();
    let lower = lower.strip_prefix("sparse+").unwrap_or(&lower);
    let plain = lower.trim_end_matches('/');
    plain.strip_suffix(".git").unwrap_or(plain).trim_end_matches('/').to_owned()
}

/// Whether its owner allowed tools to publish with it: by a tag, or by signing in to the registry through the tool.
fn may_publish(metadata: &Metadata) -> bool {
    metadata.tags.iter().any(|tag| tag == Power::PUBLISH || tag.starts_with(STORED_BY))
}

/// How much of the path asked for the credential names; `None` where it was not stored for that address.
fn reach(metadata: &Metadata, asked: &Address) -> Option<usize> {
    provider::addresses(metadata).iter().filter(|own| own.covers(asked)).map(Address::reach).max()
}
