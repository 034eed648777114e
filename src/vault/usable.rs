//! The one door from a credential at rest to its usable form.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use crate::credential::{Credential, Issued, Metadata, Scope};
use crate::os::files::Lock;
use crate::provider::{self, Net, Provider, Verdict};
use crate::vault::{Form, Kept, Vault, VaultError, session};

/// A chain of credentials that are used through one another is never longer than this.
const LONGEST_CHAIN: usize = 8;
/// So many changes of one credential in the blink of an eye are believed.
const MOST_CHANGES: usize = 10;
/// How long to wait for another process that has the same thing made.
const WAIT: Duration = Duration::from_secs(30);

/// Opens a credential and makes its usable form: what it is used through is resolved first. What was made lately, for a
/// while that is not over, is handed out again.
pub fn usable(vault: &dyn Vault, metadata: &Metadata, net: &Net<'_>) -> Result<(Credential, Issued), VaultError> {
    Maker::new(vault, net, true).made(metadata, Form::Usual, 1)
}

/// The same in a form that ends by itself, for tools that keep what they are given.
pub fn short(vault: &dyn Vault, metadata: &Metadata, net: &Net<'_>) -> Result<(Credential, Issued), VaultError> {
    Maker::new(vault, net, true).made(metadata, Form::Short, 1)
}

/// The usable form, made just now, with its whole life before it.
pub fn fresh(vault: &dyn Vault, metadata: &Metadata, net: &Net<'_>) -> Result<(Credential, Issued), VaultError> {
    Maker::new(vault, net, false).made(metadata, Form::Usual, 1)
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
        provider::verify(self.provider, &self.credential, self.source.as_ref(), net)
    }
}

/// Opens a credential, and makes the usable form of what it is used through.
pub fn ready(vault: &dyn Vault, metadata: &Metadata, net: &Net<'_>) -> Result<Ready, VaultError> {
    let provider = provider_of(metadata)?;
    let credential = open_newest(vault, metadata)?;
    let source = source(vault, &credential, net)?;
    Ok(Ready { credential, source, provider })
}

/// The usable form of what a credential is used through, made just now: the session in it, or another credential;
/// `None` where it stands alone. It need not be stored yet.
pub fn source(vault: &dyn Vault, credential: &Credential, net: &Net<'_>) -> Result<Option<Issued>, VaultError> {
    Maker::new(vault, net, false).source(credential, 1)
}

/// What usable forms are made with.
struct Maker<'m> {
    vault: &'m dyn Vault,
    net: &'m Net<'m>,
    /// Whether what was made before may be handed out again.
    again: bool,
    started: Instant,
}

impl<'m> Maker<'m> {
    fn new(vault: &'m dyn Vault, net: &'m Net<'m>, again: bool) -> Self {
        Self { vault, net, again, started: Instant::now() }
    }

    /// Waiting for another process takes its time.
    fn now(&self) -> DateTime<Utc> {
        self.net.now + self.started.elapsed()
    }

    /// A credential and its usable form; `depth` is 1 but in a chain.
    fn made(&self, metadata: &Metadata, form: Form, depth: usize) -> Result<(Credential, Issued), VaultError> {
        let provider = provider_of(metadata)?;
        let usual = provider.made_at(metadata, self.net);
        let (form, made_at) = match form {
            Form::Usual => (form, usual),
            Form::Short => match provider.short_made_at(metadata, self.net) {
                // Made in the same place, it is the same.
                short if short.is_some() && short == usual => (Form::Usual, usual),
                short => (form, short),
            },
        };
        let Some(place) = made_at.filter(|_| self.again) else { return self.make(provider, metadata, form, depth) };
        let of = self.made_of(metadata, place)?;
        if let Some(found) = self.kept(metadata, form, &of)? {
            return Ok(found);
        }
        let _lock = self.lock(metadata);
        // Whoever held the lock has made it, most likely.
        if let Some(found) = self.kept(metadata, form, &of)? {
            return Ok(found);
        }
        let made = self.now();
        let (credential, issued) = self.make(provider, metadata, form, depth)?;
        if credential.metadata.version == metadata.version {
            // It is good all the same where it cannot be kept.
            if let Err(failure) = self.vault.keep(metadata, form, &of, &issued, made) {
                tracing::debug!(%failure, "what was made is not kept");
            }
        }
        Ok((credential, issued))
    }

    fn make(
        &self,
        provider: &dyn Provider,
        metadata: &Metadata,
        form: Form,
        depth: usize,
    ) -> Result<(Credential, Issued), VaultError> {
        let credential = open_newest(self.vault, metadata)?;
        let source = self.source(&credential, depth)?;
        let issued = match form {
            Form::Usual => provider.material(&credential, source.as_ref(), self.net)?,
            Form::Short => provider.short(&credential, source.as_ref(), self.net)?,
        };
        Ok((credential, issued))
    }

    fn source(&self, credential: &Credential, depth: usize) -> Result<Option<Issued>, VaultError> {
        if credential.secret(Credential::SESSION).is_some() {
            return session::access_token(self.vault, credential, self.net);
        }
        match self.through(&credential.metadata, depth)? {
            Some(through) => Ok(Some(self.made(&through, Form::Usual, depth + 1)?.1)),
            None => Ok(None),
        }
    }

    /// The credential that another one is used through.
    fn through(&self, metadata: &Metadata, depth: usize) -> Result<Option<Metadata>, VaultError> {
        let Some(name) = provider_of(metadata)?.source(metadata) else { return Ok(None) };
        if depth > LONGEST_CHAIN || name == metadata.name {
            return Err(VaultError::Circle { name: metadata.name.clone() });
        }
        let found = find(self.vault, &metadata.scope, name)?;
        found.map(Some).ok_or_else(|| VaultError::Unknown { name: name.to_owned(), nearest: None })
    }

    /// What a usable form depends on: where it is made, and each version of the credentials that it is made through.
    fn made_of(&self, metadata: &Metadata, place: String) -> Result<String, VaultError> {
        let mut of = place;
        let mut last = metadata.clone();
        for depth in 1.. {
            let Some(through) = self.through(&last, depth)? else { break };
            let place = provider_of(&through)?.made_at(&through, self.net).unwrap_or_default();
            // Writing into a String cannot fail.
            let _ = write!(of, "\n{} {} {place}", through.id, through.version);
            last = through;
        }
        Ok(of)
    }

    fn kept(&self, metadata: &Metadata, form: Form, of: &str) -> Result<Option<(Credential, Issued)>, VaultError> {
        let kept = self.vault.kept(metadata, form, of)?;
        let Some(issued) = kept.and_then(|kept: Kept| kept.good(self.now())) else { return Ok(None) };
        match self.vault.open(metadata) {
            Ok(credential) => Ok(Some((credential, issued))),
            Err(VaultError::Changed { .. }) => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// Keeps other processes from having the same made at the same time. Where that cannot be, it is made more than once,
    /// which harms nobody.
    fn lock(&self, metadata: &Metadata) -> Option<Lock> {
        let path = self.net.env.config_dir().join("locks").join(format!("made-{}.lock", metadata.id));
        let waiting = |holder| tracing::debug!(?holder, "another process has the same made");
        Lock::acquire(&path, WAIT, &mut |holder| waiting(holder))
            .inspect_err(|failure| tracing::debug!(%failure, "no lock"))
            .ok()
    }
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
