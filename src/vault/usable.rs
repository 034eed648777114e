//! The one door from a credential at rest to its usable form.

use crate::credential::{Credential, Issued, Metadata, Scope};
use crate::provider::{self, Net, Provider, Verdict};
use crate::vault::{Vault, VaultError, session};

/// A chain of credentials that are used through one another is never longer than this.
const LONGEST_CHAIN: usize = 8;
/// So many changes of one credential in the blink of an eye are believed.
const MOST_CHANGES: usize = 10;

/// Opens a credential and makes its usable form: what it is used through is resolved first.
pub fn usable(vault: &dyn Vault, metadata: &Metadata, net: &Net<'_>) -> Result<(Credential, Issued), VaultError> {
    let Ready { credential, source, provider } = ready(vault, metadata, net)?;
    let issued = provider.material(&credential, source.as_ref(), net)?;
    Ok((credential, issued))
}

/// A credential with all that its provider needs to work with it.
pub struct Ready {
    /// The credential, opened.
    pub credential: Credential,
    /// The usable form of the one that it is used through.
    pub source: Option<Issued>,
    /// Its provider.
    pub provider: &'static dyn Provider,
}

impl Ready {
    /// Asks the provider whether it is good.
    pub fn verify(&self, net: &Net<'_>) -> Verdict {
        self.provider.verify(&self.credential, self.source.as_ref(), net)
    }
}

/// Opens a credential, and makes the usable form of what it is used through.
pub fn ready(vault: &dyn Vault, metadata: &Metadata, net: &Net<'_>) -> Result<Ready, VaultError> {
    let provider = provider_of(metadata)?;
    let credential = open_newest(vault, metadata)?;
    let source = source(vault, &credential, net, 1)?;
    Ok(Ready { credential, source, provider })
}

/// The usable form of what a credential is used through: the session in it, or another credential; `None` where it
/// stands alone. It need not be stored yet. `depth` is 1 but in a chain.
pub fn source(
    vault: &dyn Vault,
    credential: &Credential,
    net: &Net<'_>,
    depth: usize,
) -> Result<Option<Issued>, VaultError> {
    if credential.secret(Credential::SESSION).is_some() {
        return session::access_token(vault, credential, net);
    }
    let metadata = &credential.metadata;
    let Some(name) = provider_of(metadata)?.source(metadata) else { return Ok(None) };
    if depth > LONGEST_CHAIN || name == metadata.name {
        return Err(VaultError::Circle { name: metadata.name.clone() });
    }
    let found = find(vault, &metadata.scope, name)?;
    let through = found.ok_or_else(|| VaultError::Unknown { name: name.to_owned(), nearest: None })?;
    let credential = open_newest(vault, &through)?;
    let further = source(vault, &credential, net, depth + 1)?;
    Ok(Some(provider_of(&through)?.material(&credential, further.as_ref(), net)?))
}

/// Opens a credential; when another process has just replaced it, the new one.
pub fn open_newest(vault: &dyn Vault, metadata: &Metadata) -> Result<Credential, VaultError> {
    let mut newest = metadata.clone();
    for _ in 0..MOST_CHANGES {
        match vault.open(&newest) {
            Err(VaultError::Changed { .. }) => {
                let found = vault.find(&metadata.scope, &metadata.name)?.filter(|found| found.id == metadata.id);
                let gone = || VaultError::Unknown { name: metadata.name.clone(), nearest: None };
                newest = found.ok_or_else(gone)?;
            }
            opened => return opened,
        }
    }
    vault.open(&newest)
}

/// The credential of that name in a scope, else in the organization's.
pub fn find(vault: &dyn Vault, scope: &Scope, name: &str) -> Result<Option<Metadata>, VaultError> {
    match vault.find(scope, name)? {
        None if *scope != Scope::Organization => vault.find(&Scope::Organization, name),
        found => Ok(found),
    }
}

fn provider_of(metadata: &Metadata) -> Result<&'static dyn Provider, VaultError> {
    provider::of(metadata).ok_or_else(|| VaultError::Foreign { name: metadata.name.clone() })
}
