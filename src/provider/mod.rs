//! Providers: what lanyard knows of each outside system, one file each.
//!
//! A provider owns its kinds, finds its credentials on this machine, asks the system whether one is good, makes the
//! usable form, and says how the official tools want it. It never stores anything, never looks anything up in a vault,
//! and takes the doors it needs by name, so the same code serves a terminal and a server.
//!
//! To add one: write `provider/NAME.rs`, and add its two words to the list below.

use std::collections::HashMap;
use std::sync::LazyLock;

use chrono::{DateTime, Utc};

use crate::credential::{Address, Content, Credential, Fields, Issued, Kind, Material, Metadata, Raw, Variable};
use crate::http::{Http, Request, Response};
use crate::os::Env;
use crate::secret::Secret;

mod api;
mod change;
mod echo;
mod error;
mod find;
mod foreign;
mod guide;
pub mod orders;
mod verdict;

pub use change::changed;
pub use echo::verify;
pub use error::ProviderError;
pub use find::{Broken, Discovered, Found, Here, Input, Mark, Origin, Place};
pub use guide::Guide;
pub use orders::{Order, refuse_orders, refuse_strange};
pub use verdict::{Outcome, Verdict};

/// Declares the modules of the providers and lists them, so that adding one is one word in one place.
macro_rules! providers {
    ($($module:ident),+ $(,)?) => {
        $(pub mod $module;)+
        /// Every provider, in the order in which lists show them.
        pub static PROVIDERS: &[&dyn Provider] = &[$(&$module::PROVIDER),+];
    };
}

providers! {
    aws,
    gcp,
    cloudflare,
    hetzner,
    vercel,
    verda,
    ovh,
    k8s,
    registry,
    git,
    ssh_key,
    oauth,
    api_key,
    password,
    file,
    env,
}

/// The doors a provider may need: the network, the official endpoint variables, the clock.
#[derive(Clone, Copy)]
pub struct Net<'a> {
    /// The network.
    pub http: &'a dyn Http,
    /// The surroundings whose endpoint variables count. On a server, an empty one.
    pub env: &'a Env,
    /// Now.
    pub now: DateTime<Utc>,
}

/// What lanyard knows of one outside system.
pub trait Provider: Sync {
    /// The word on the command line and in lists: `aws`, `ssh-key`.
    fn name(&self) -> &'static str;
    /// What a person calls it.
    fn title(&self) -> &'static str;
    /// The kinds it owns. The first is the usual one.
    fn kinds(&self) -> &'static [Kind];

    /// What `credentials store` can be told beyond the fields: where to look, what to make.
    fn inputs(&self) -> &'static [Input] {
        &[]
    }

    /// What lies on this machine, each with its place, the one that the official tool would use first; and the places
    /// that something is wrong with.
    ///
    /// With inputs given in `here`, those of the inputs alone. Nothing is sent anywhere.
    fn discover(&self, here: &Here<'_>) -> Discovered {
        let _ = here;
        Discovered::default()
    }

    /// Whether the values given leave nothing to be looked for on this machine. A secret always does.
    fn is_told(&self, raw: &Raw) -> bool {
        let _ = raw;
        false
    }

    /// Marks by which such a credential is recognised in any text.
    fn marks(&self) -> &'static [Mark] {
        &[]
    }

    /// Whether a credential comes of a sign-in in the browser instead of from values.
    fn signs_in(&self) -> bool {
        false
    }

    /// Chooses the kind for the values given, and derives those that follow from others, such as the account in a key
    /// file. Without an override, the first kind that knows every name given.
    fn complete(&self, raw: &mut Raw, here: &Here<'_>) -> Result<&'static Kind, ProviderError> {
        let _ = here;
        let knows = |kind: &&Kind| kind.open.is_some() || raw.names().all(|name| kind.field(name).is_some());
        self.kinds()
            .iter()
            .find(knows)
            .or_else(|| self.kinds().first())
            .ok_or(ProviderError::Unsupported { provider: self.name(), what: "storing" })
    }

    /// How a person is led to the values that are missing after [`Provider::complete`].
    fn guide(&self, raw: &Raw) -> Guide {
        let _ = raw;
        Guide::default()
    }

    /// The name that a credential gets when the user gives none.
    fn default_name(&self, fields: &Fields) -> String {
        fields.plain.get("service").cloned().unwrap_or_else(|| self.name().to_owned())
    }

    /// What the user asked to see once, such as a private key that was just made.
    fn shown_once<'f>(&self, fields: &'f Fields, here: &Here<'_>) -> Option<&'f Secret> {
        let _ = (fields, here);
        None
    }

    /// When the values themselves say that they expire, and when.
    fn expires(&self, fields: &Fields) -> Option<DateTime<Utc>> {
        let _ = fields;
        None
    }

    /// The hosts that this credential may be sent to, each with its port where it is not 443, in lower case.
    fn hosts(&self, metadata: &Metadata) -> Vec<String>;

    /// The addresses under which tools ask for it: what it was stored for, and no other. Each has its host among
    /// [`Provider::hosts`].
    fn addresses(&self, metadata: &Metadata) -> Vec<Address> {
        let _ = metadata;
        Vec::new()
    }

    /// Whether a tool that names this user means this credential. One that names nobody is for whoever is asked for.
    fn is_for_user(&self, metadata: &Metadata, user: &str) -> bool {
        metadata.field("username").or_else(|| metadata.field("account")).is_none_or(|own| own == user)
    }

    /// The name of the credential that this one is used through, such as the keys that assume a role. It is the whole
    /// value of a field, so that a vault finds whoever has it.
    fn source<'m>(&self, metadata: &'m Metadata) -> Option<&'m str> {
        metadata.field("source")
    }

    /// The cheapest official request that only reads, without the secret in it; `None` where nobody can be asked.
    fn probe(&self, credential: &Credential, net: &Net<'_>) -> Result<Option<Request>, ProviderError> {
        let _ = (credential, net);
        Ok(None)
    }

    /// What the answer to the probe means. Without an override, the status decides.
    fn judge(&self, credential: &Credential, answer: &Response) -> Verdict {
        let _ = credential;
        Verdict::of_status(answer, self.title())
    }

    /// The usable form, made with one or two requests where it is a short-lived one. `source` is the usable form of
    /// the credential that [`Provider::source`] names.
    fn material(
        &self,
        credential: &Credential,
        source: Option<&Issued>,
        net: &Net<'_>,
    ) -> Result<Issued, ProviderError>;

    /// A form that ends by itself within hours, for tools that keep what they are given. Without an override, the usual
    /// one, which may be one that stays.
    fn short(&self, credential: &Credential, source: Option<&Issued>, net: &Net<'_>) -> Result<Issued, ProviderError> {
        self.material(credential, source, net)
    }

    /// Where the usual form is made, in a word: the address asked. `None` where it is made without asking anybody.
    ///
    /// What is made at an address is kept by the vault until it is near its end, and is not handed out where another
    /// address would be asked.
    fn made_at(&self, metadata: &Metadata, net: &Net<'_>) -> Option<String> {
        let _ = (metadata, net);
        None
    }

    /// The same for [`Provider::short`].
    fn short_made_at(&self, metadata: &Metadata, net: &Net<'_>) -> Option<String> {
        self.made_at(metadata, net)
    }

    /// Asks the system whether the credential is good: the probe, with the material on it, judged. The function
    /// [`verify`] is the way to it.
    fn verify(&self, credential: &Credential, source: Option<&Issued>, net: &Net<'_>) -> Verdict {
        let asked = || -> Result<Verdict, ProviderError> {
            let Some(mut request) = self.probe(credential, net)? else { return Ok(Verdict::cannot_be_asked()) };
            let issued = self.material(credential, source, net)?;
            apply(&issued.material, &mut request);
            Ok(self.judge(credential, &net.http.send(request)?).expiring(issued.expires))
        };
        asked().unwrap_or_else(|failure| failure.into_verdict(self.title()))
    }

    /// Whether all that is asked about a credential goes through [`Net::http`]. A server, which decides where its
    /// requests may go, asks about no other.
    fn asks_by_http(&self, metadata: &Metadata) -> bool {
        let _ = metadata;
        true
    }

    /// The variables that the official tools read, and those that would be in the way.
    fn export(&self, credential: &Credential, issued: &Issued) -> Vec<Variable>;

    /// The files of official tools that it can be written as: a word for `--format`, and what the file is.
    fn files(&self) -> &'static [(&'static str, &'static str)] {
        &[]
    }

    /// The content of one of [`Provider::files`]; `None` for another word.
    fn file(&self, format: &str, credential: &Credential, issued: &Issued) -> Option<Secret> {
        let _ = (format, credential, issued);
        None
    }

    /// The same where it may be no text. Without an override, the text.
    fn content(&self, format: &str, credential: &Credential, issued: &Issued) -> Option<Content> {
        self.file(format, credential, issued).map(Content::Text)
    }

    /// Refuses values that give orders to whoever uses them: documents that would have a program run, a file opened,
    /// another address asked. Held against what a server is sent and what it hands out.
    fn refuse_orders(&self, values: &orders::Values<'_>) -> Result<(), Order> {
        let _ = values;
        Ok(())
    }

    /// How it is replaced through the provider's own API, where it has one.
    fn rotation(&self) -> Option<&dyn Rotation> {
        None
    }
}

/// Replacing a credential through the provider's API: a new one is made, verified and stored before the old one goes,
/// so that an interruption at any point leaves a working one.
pub trait Rotation: Sync {
    /// Whether this credential can be replaced; why not, and what to do instead, where it cannot.
    fn can(&self, metadata: &Metadata) -> Result<(), ProviderError> {
        let _ = metadata;
        Ok(())
    }

    /// The handle of the old one, looked up before anything is made. Without an override, what [`Rotation::handle`]
    /// reads from the credential; a provider whose credentials do not hold their identifier asks.
    fn look_up(&self, credential: &Credential, net: &Net<'_>) -> Result<Option<String>, ProviderError> {
        let _ = net;
        Ok(self.handle(credential))
    }

    /// Removes what a rotation that began at `since` and was interrupted may have made and lost, where that is told by
    /// its age. `true` where nothing of it can be left: the next attempt then counts from its own beginning, and what
    /// that one may lose is as young as it is. Without an override, [`Rotation::mint`] looks by a name.
    fn clear(&self, credential: &Credential, since: DateTime<Utc>, net: &Net<'_>) -> Result<bool, ProviderError> {
        let _ = (credential, since, net);
        Ok(false)
    }

    /// Makes a new one beside the old one, and gives the values that change.
    ///
    /// `since` is when a rotation that was interrupted had begun, unless [`Rotation::clear`] has removed its traces:
    /// what it may have made and lost is removed first.
    fn mint(&self, credential: &Credential, since: Option<DateTime<Utc>>, net: &Net<'_>) -> Result<Raw, ProviderError>;

    /// The word by which the old one can be revoked later: its identifier, which is no secret.
    fn handle(&self, credential: &Credential) -> Option<String>;

    /// Revokes the old one, known by its handle, with the authority of the new one. Being gone already is success.
    fn retire(&self, handle: &str, new: &Credential, net: &Net<'_>) -> Result<(), ProviderError>;
}

/// Puts the material on a request: what was verified is what will be sent.
pub fn apply(material: &Material, request: &mut Request) {
    if let Some((name, value)) = material.header() {
        request.set_secret_header(name, &value);
    }
}

/// The provider of that name.
pub fn by_name(name: &str) -> Option<&'static dyn Provider> {
    PROVIDERS.iter().find(|provider| provider.name() == name).copied()
}

/// The kind of that identifier, with its provider.
pub fn by_kind(id: &str) -> Option<(&'static dyn Provider, &'static Kind)> {
    type Known = HashMap<&'static str, (&'static dyn Provider, &'static Kind)>;
    // Asked for each row of a vault.
    static KNOWN: LazyLock<Known> = LazyLock::new(|| {
        let of = |provider: &'static dyn Provider| provider.kinds().iter().map(move |kind| (kind.id, (provider, kind)));
        PROVIDERS.iter().copied().flat_map(of).collect()
    });
    KNOWN.get(id).copied()
}

/// The provider of a credential. Every kind that exists is in some provider's list.
pub fn of(metadata: &Metadata) -> Option<&'static dyn Provider> {
    by_name(metadata.kind.provider)
}

/// The hosts that a credential may be sent to, as its provider names them; none where nobody knows its kind.
pub fn hosts(metadata: &Metadata) -> Vec<String> {
    of(metadata).map_or_else(Vec::new, |provider| provider.hosts(metadata))
}

/// The addresses for which tools may have it, as its provider names them; none where nobody knows its kind.
pub fn addresses(metadata: &Metadata) -> Vec<Address> {
    of(metadata).map_or_else(Vec::new, |provider| provider.addresses(metadata))
}

#[cfg(test)]
mod tests;
