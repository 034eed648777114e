//! Which credential a tool may have: decided here, once for all tools.

use crate::credential::{Address, Metadata, Scope, Want};
use crate::provider;
use crate::vault::{Vault, VaultError};

/// The credential that is bound to what a tool asks for; `None` where there is none.
///
/// A name must be that of a credential of a fitting kind, with the fields that are asked for. An address must be one that the credential was stored for;
/// of several, the one with the longest path counts. A user must be the credential's own. Nothing else that a tool
/// claims has a say, and there is no default.
///
/// # Errors
/// [`VaultError::Several`] when more than one fits as well as the others.
pub fn bound(vault: &dyn Vault, want: &Want) -> Result<Option<Metadata>, VaultError> {
    let mut fitting = match (&want.name, &want.at) {
        (Some(name), _) => named(vault, name)?,
        (None, Some(at)) => vault.for_host(&at.place())?,
        (None, None) => Vec::new(),
    };
    let has_fields =
        |metadata: &Metadata| want.fields.iter().all(|(name, value)| metadata.field(name) == value.as_deref());
    fitting.retain(|metadata| {
        want.kinds.contains(&metadata.kind.id) && is_for_user(metadata, want.user.as_deref()) && has_fields(metadata)
    });
    if let Some(at) = &want.at {
        let reach = |metadata: &Metadata| reach(metadata, at);
        let longest = fitting.iter().filter_map(reach).max();
        fitting.retain(|metadata| longest.is_some() && reach(metadata) == longest);
    }
    // What is stored for the project that a vault is asked about stands before what is everybody's.
    if fitting.len() > 1 && fitting.iter().any(|metadata| metadata.scope == Scope::Organization) {
        fitting.retain(|metadata| metadata.scope == Scope::Organization);
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
            let addresses = addresses(&metadata);
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

/// Whether a tool that names a user means this one. A credential that names none is for whoever is asked for.
fn is_for_user(metadata: &Metadata, user: Option<&str>) -> bool {
    let own = metadata.field("username").or_else(|| metadata.field("account"));
    user.is_none_or(|user| own.is_none_or(|own| own == user))
}

/// How much of the path asked for the credential names; `None` where it was not stored for that address.
fn reach(metadata: &Metadata, asked: &Address) -> Option<usize> {
    addresses(metadata).iter().filter(|own| own.covers(asked)).map(Address::reach).max()
}

fn addresses(metadata: &Metadata) -> Vec<Address> {
    provider::of(metadata).map(|provider| provider.addresses(metadata)).unwrap_or_default()
}
