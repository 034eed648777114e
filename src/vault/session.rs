//! A sign-in's session that rests in a credential: renewed by one process for all, stored before it is used.

use std::cell::{Cell, RefCell};

use chrono::{DateTime, Duration, TimeDelta, Utc};

use crate::auth::id_token;
use crate::auth::renew::{self, RenewError, Renewal, Want};
use crate::auth::session::{Place, Session};
use crate::credential::{Credential, Issued, Material, Metadata};
use crate::os::files::Lock;
use crate::provider::Net;
use crate::secret::{Choice, Reason, Secret, SecretStore, Slot, StoreError};
use crate::vault::usable::open_newest;
use crate::vault::{Vault, VaultError};

/// An ID token that has less life left than this is not handed out.
const LEAST_LIFE: Duration = Duration::seconds(60);
/// An access token that is younger than this was refused for another reason than its age.
const NEW: TimeDelta = TimeDelta::seconds(60);

/// What becomes of a session whose access token did not work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doubt {
    /// It is not the token that was refused: another process has renewed it meanwhile.
    Another,
    /// It was made just now, so that a newer one would do no better.
    New,
    /// It is renewed before it is handed out again.
    Renews,
    /// Nothing renews it.
    Over,
}

/// The session in a credential; `None` where it is disconnected.
pub fn of(credential: &Credential) -> Result<Option<Session>, VaultError> {
    let Some(item) = credential.secret(Credential::SESSION) else { return Ok(None) };
    let damaged = || VaultError::DoesNotOpen { name: credential.metadata.name.clone() };
    Session::from_item(item).map(Some).ok_or_else(damaged)
}

/// The access token of the session in a credential, renewed if need be; `None` where it is disconnected. One that is
/// not stored yet is as fresh as it gets.
pub(super) fn access_token(
    vault: &dyn Vault,
    credential: &Credential,
    net: &Net<'_>,
) -> Result<Option<Issued>, VaultError> {
    let Some(session) = of(credential)? else { return Ok(None) };
    let is_stored = !credential.metadata.id.is_empty();
    let session = if is_stored { renewed(vault, credential, Want::Fresh(None), net)? } else { session };
    Ok(Some(Issued { material: Material::Bearer(session.access_token), expires: session.expires_at }))
}

/// The ID token of a sign-in, which tells another service who signed in. The sign-in is renewed where the token's time
/// is nearly over, but not more than once a minute: a service may answer a renewal without one.
pub fn id_token(vault: &dyn Vault, metadata: &Metadata, net: &Net<'_>) -> Result<Issued, VaultError> {
    let none = |why| VaultError::NoIdToken { name: metadata.name.clone(), why };
    let credential = open_newest(vault, metadata)?;
    let mut session = of(&credential)?.ok_or_else(|| none("it is disconnected"))?;
    let good = |session: &Session| {
        let token = session.id_token.as_ref()?;
        let expires = expiry(token).filter(|at| *at - net.now > LEAST_LIFE)?;
        Some(Issued { material: Material::Bearer(token.duplicate()), expires: Some(expires) })
    };
    if good(&session).is_none() && net.now - session.issued_at > LEAST_LIFE {
        session = renewed(vault, &credential, Want::Renewed(&[]), net)?;
    }
    let why = if session.id_token.is_some() { "its time is over" } else { "the service gives none" };
    good(&session).ok_or_else(|| none(why))
}

/// Whether the ID token of a session is about over and a renewal may bring another: not more than once a minute.
#[cfg(feature = "server")]
pub(crate) fn lacks_id_token(session: &Session, now: DateTime<Utc>) -> bool {
    let lives = session.id_token.as_ref().and_then(expiry).is_some_and(|at| at - now > LEAST_LIFE);
    !lives && now - session.issued_at > LEAST_LIFE
}

/// When an ID token ends, as it says itself.
#[expect(clippy::cast_possible_truncation, reason = "within the range that is asked for before")]
fn expiry(token: &Secret) -> Option<DateTime<Utc>> {
    let claims = id_token::unverified_claims(token)?;
    let second = claims.get("exp")?.as_f64().filter(|second| (0.0..1e11).contains(second))?;
    DateTime::from_timestamp(second as i64, 0)
}

/// The session of a credential that was just opened, as `want` asks for it.
fn renewed(vault: &dyn Vault, opened: &Credential, want: Want<'_>, net: &Net<'_>) -> Result<Session, VaultError> {
    let metadata = &opened.metadata;
    let place = Place::of(net.env, &metadata.id);
    let locks = net.env.config_dir().join("locks");
    let now = || net.env.now();
    let mut waiting = |holder| tracing::debug!(?holder, "waiting for a renewal");
    let mut once = |first: Option<&Credential>, want: Want<'_>| {
        let store = Held { first: RefCell::new(first.and_then(read)), ..Held::of(vault, metadata) };
        let (place, http) = (&place, net.http);
        let renewal = Renewal { place, store: &store, http, locks: &locks, now: &now, wait: renew::WAIT };
        told(metadata, renewal.session(want, &mut waiting), &store)
    };
    match once(Some(opened), want) {
        // Somebody has signed in anew while the old session was renewed. Theirs is the one.
        Err(VaultError::Changed { .. }) => once(None, Want::Fresh(None)),
        done => done,
    }
}

/// Notes that the access token of a session did not work, so that it is renewed before it is handed out again: at most
/// once a minute, however often it is refused.
pub fn doubt(vault: &dyn Vault, metadata: &Metadata, refused: &Secret, net: &Net<'_>) -> Result<Doubt, VaultError> {
    let place = Place::of(net.env, &metadata.id);
    let store = Held::of(vault, metadata);
    let lock = net.env.config_dir().join("locks").join(place.lock_name());
    let noted = || -> Result<Doubt, RenewError> {
        let _lock = Lock::acquire(&lock, renew::WAIT, &mut |_| ())?;
        let Some(mut session) = place.load(&store)? else { return Ok(Doubt::Another) };
        let age = net.now - session.issued_at;
        if session.access_token != *refused {
            return Ok(Doubt::Another);
        }
        if (TimeDelta::zero()..NEW).contains(&age) {
            return Ok(Doubt::New);
        }
        if !session.is_renewable() {
            return Ok(Doubt::Over);
        }
        session.refused = true;
        place.save(&store, &session)?;
        Ok(Doubt::Renews)
    };
    match told(metadata, noted(), &store) {
        // Replaced just now: what was refused is gone.
        Err(VaultError::Changed { .. }) => Ok(Doubt::Another),
        // What cannot be renewed here may be where it is kept.
        Ok(Doubt::Over) if vault.renew_there(metadata)? == Some(true) => Ok(Doubt::Renews),
        done => done,
    }
}

/// What came of work on a session: where the vault said no, its own words.
fn told<T>(metadata: &Metadata, outcome: Result<T, RenewError>, store: &Held<'_>) -> Result<T, VaultError> {
    match (outcome, store.failure.take()) {
        (Ok(done), _) => Ok(done),
        (Err(_), Some(failure)) => Err(failure),
        (Err(cause), None) => Err(VaultError::Session { name: metadata.name.clone(), cause: Box::new(cause) }),
    }
}

/// A session's item, and the version of the credential that it was read from.
type Read = (Secret, i64);

fn read(credential: &Credential) -> Option<Read> {
    Some((credential.secret(Credential::SESSION)?.duplicate(), credential.metadata.version))
}

/// The one session of a credential, in the form in which renewing knows sessions: the item of a store.
struct Held<'v> {
    vault: &'v dyn Vault,
    metadata: Metadata,
    /// What is read first, where the credential was just opened.
    first: RefCell<Option<Read>>,
    /// The version of the credential whose session was read last.
    seen: Cell<Option<i64>>,
    /// What the vault said, where it said no: more than a store's error can tell.
    failure: RefCell<Option<VaultError>>,
}

impl<'v> Held<'v> {
    fn of(vault: &'v dyn Vault, metadata: &Metadata) -> Self {
        let (first, seen, failure) = Default::default();
        Self { vault, metadata: metadata.clone(), first, seen, failure }
    }

    /// The credential as it is now: another process may have renewed it.
    fn current(&self) -> Result<Option<Credential>, VaultError> {
        let found = self.vault.find(&self.metadata.scope, &self.metadata.name)?;
        match found.filter(|found| found.id == self.metadata.id) {
            Some(metadata) => open_newest(self.vault, &metadata).map(Some),
            None => Ok(None),
        }
    }

    fn told<T>(&self, action: &'static str, result: Result<T, VaultError>) -> Result<T, StoreError> {
        result.map_err(|failure| {
            let cause = Some(Reason::of(&failure));
            *self.failure.borrow_mut() = Some(failure);
            StoreError::Refused { store: "vault", action, name: self.metadata.name.clone(), cause }
        })
    }
}

impl SecretStore for Held<'_> {
    fn get(&self, _: &Slot) -> Result<Option<Secret>, StoreError> {
        let found = match self.first.take() {
            Some(first) => Some(first),
            None => self.told("read", self.current())?.as_ref().and_then(read),
        };
        self.seen.set(found.as_ref().map(|(_, version)| *version));
        Ok(found.map(|(item, _)| item))
    }

    fn set(&self, _: &Slot, value: &Secret) -> Result<(), StoreError> {
        self.told("save", self.save(value))
    }

    fn remove(&self, _: &Slot) -> Result<bool, StoreError> {
        // Renewing removes nothing; a disconnection goes through the vault itself.
        Ok(false)
    }

    fn probe(&self, _: usize) -> Result<(), StoreError> {
        Ok(())
    }

    fn choice(&self) -> Choice {
        Choice::File
    }
}

impl Held<'_> {
    fn save(&self, value: &Secret) -> Result<(), VaultError> {
        let unknown = || VaultError::Unknown { name: self.metadata.name.clone(), nearest: None };
        let mut credential = self.current()?.ok_or_else(unknown)?;
        if self.seen.get().is_some_and(|seen| seen != credential.metadata.version) {
            // Not renewed, which takes the lock, but replaced: what was read is over, and what is there must stay.
            return Err(VaultError::Changed { name: credential.metadata.name });
        }
        credential.secrets.insert(Credential::SESSION.into(), value.duplicate());
        let expires = Session::from_item(value).and_then(|session| session.expires_at);
        let renewed = self.vault.renew(&credential, expires)?;
        self.seen.set(Some(renewed.version));
        Ok(())
    }
}
