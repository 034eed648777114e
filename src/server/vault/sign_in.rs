//! Sign-ins at other services. The server alone has what renews them, and the secret of the client that it is there:
//! whoever reads such a credential gets its access token, and until when that lives.

use std::collections::BTreeMap;

use super::{OrgVault, metadata as written};
use crate::auth::session::Session;
use crate::credential::{Check, Credential, Fields, Kind, Metadata};
use crate::provider::Verdict;
use crate::secret::Secret;
use crate::server::audit::Event;
use crate::server::db::{DbError, Rows, values};
use crate::server::engine::Fetched;
use crate::vault::{New, VaultError, seal};

/// The fields that say where secrets go: what was given for one place stays there.
const PLACES: [&str; 9] = [
    "service",
    "issuer",
    "authorization_endpoint",
    "token_endpoint",
    "revocation_endpoint",
    "client_id",
    "endpoint",
    "whoami",
    "git_address",
];
/// The field that says that the ID token is for another service.
const AUDIENCE: &str = "google_audience";

/// Whether a kind is of those that come of a sign-in.
pub(crate) fn is_sign_in(kind: &Kind) -> bool {
    kind.field(Credential::SESSION).is_some()
}

/// The session in a credential that was opened whole; `None` where it is not connected.
pub(crate) fn session(whole: &Credential) -> Result<Option<Session>, VaultError> {
    let Some(item) = whole.secret(Credential::SESSION) else { return Ok(None) };
    let damaged = || VaultError::DoesNotOpen { name: whole.metadata.name.clone() };
    Session::from_item(item).map(Some).ok_or_else(damaged)
}

/// Whether the ID token of a sign-in is for another service, so that it is handed out as well.
pub(crate) fn is_for_another(whole: &Credential) -> bool {
    whole.field(AUDIENCE).is_some()
}

/// The part of a credential that is for those who read it.
pub(super) fn handed_out(mut whole: Credential) -> Result<Credential, VaultError> {
    let kind = whole.metadata.kind;
    if !is_sign_in(kind) {
        return Ok(whole);
    }
    if let Some(session) = session(&whole)? {
        let item = session.handed_out(is_for_another(&whole)).to_item();
        whole.secrets.insert(Credential::SESSION.into(), item);
    }
    whole.secrets.retain(|name, _| kind.hands_out(name));
    whole.metadata.secret_names.retain(|name| kind.hands_out(name));
    Ok(whole)
}

/// Whether two sets of values are for the same places.
fn same_places(one: &BTreeMap<String, String>, other: &BTreeMap<String, String>) -> bool {
    PLACES.iter().all(|name| one.get(*name) == other.get(*name))
}

/// What says where the secrets of a credential go, as one word.
pub(crate) fn places(metadata: &Metadata) -> String {
    seal::digest(PLACES.iter().filter_map(|name| Some((*name, metadata.field(name)?))))
}

impl OrgVault<'_> {
    /// A credential with all that rests of it. Not for those who ask. Never within a transaction.
    pub(crate) fn whole(&self, metadata: &Metadata) -> Result<Credential, VaultError> {
        self.unsealed(metadata)
    }

    /// The same within a transaction, with what was fetched before.
    pub(crate) fn whole_in(
        &self,
        rows: &mut dyn Rows,
        metadata: &Metadata,
        fetched: Option<&Fetched>,
    ) -> Result<Credential, VaultError> {
        self.open_in(rows, metadata, fetched)
    }

    /// What rests in the keeper of a sign-in. Of what is none, nothing is fetched.
    pub(crate) fn fetched_sign_in(&self, id: &str) -> Result<Option<Fetched>, VaultError> {
        let stored = self.by_id(id)?.filter(|stored| is_sign_in(stored.metadata.kind));
        stored.map_or(Ok(None), |_| self.fetched(id))
    }

    /// Puts secrets in the place of those of a version, with a change. Somebody may move the credential meanwhile: then
    /// they are sealed for where it is.
    fn put_next(
        &self,
        old: &Metadata,
        secrets: &BTreeMap<String, Secret>,
        event: &Event<'_>,
        change: impl Fn(&mut dyn Rows) -> Result<(), VaultError>,
    ) -> Result<(), VaultError> {
        let mut place = old.clone();
        loop {
            let parcel = self.sealed(&Metadata { version: old.version + 1, ..place.clone() }, secrets)?;
            let put = self.change(event, |rows| {
                change(rows)?;
                let stored = self.row(rows, &old.id)?.ok_or(DbError::Shape)?;
                self.put_in(rows, &stored.metadata, parcel)
            });
            if let Err(VaultError::Changed { .. }) = &put {
                let moved = |found: &Metadata| found.version == old.version && found.scope != place.scope;
                if let Some(found) = self.by_id(&old.id)?.map(|stored| stored.metadata).filter(moved) {
                    place = found;
                    continue;
                }
            }
            self.clear(&old.id);
            return put;
        }
    }

    /// Keeps what new values for a sign-in leave as it is: the secret of the client, and the session, whole, where what
    /// was handed out of it comes back. Values for another place keep nothing.
    pub(super) fn keep_what_stays(&self, new: &mut New) -> Result<(), VaultError> {
        let Some(old) = new.replaces.as_ref().filter(|old| is_sign_in(old.kind)) else { return Ok(()) };
        let Fields { kind, plain, secrets } = &mut new.fields;
        if kind.id != old.kind.id {
            return Ok(());
        }
        let whole = self.unsealed(old)?;
        let own = session(&whole)?;
        let comes_back = match (secrets.get(Credential::SESSION), &own) {
            (Some(item), Some(own)) => {
                let given = Session::from_item(item);
                given.is_some_and(|given| given.refresh_token.is_none() && given.access_token == own.access_token)
            }
            (None, Some(_)) => true,
            (_, None) => false,
        };
        let stays = same_places(plain, &old.fields);
        if comes_back {
            secrets.remove(Credential::SESSION);
            new.expires = own.filter(|_| stays).and_then(|own| own.expires_at);
        }
        let kept = |name: &str| if name == Credential::SESSION { comes_back } else { true };
        for (name, secret) in whole.secrets.iter().filter(|(name, _)| stays && kept(name)) {
            secrets.entry(name.clone()).or_insert_with(|| secret.duplicate());
        }
        Ok(())
    }

    /// Keeps a session that was renewed, or found to be over, within the transaction that ends the lease of whoever
    /// renewed it.
    pub(crate) fn keep_session(
        &self,
        whole: &Credential,
        session: &Session,
        check: Check,
        event: &Event<'_>,
        also: impl Fn(&mut dyn Rows) -> Result<(), VaultError>,
    ) -> Result<(), VaultError> {
        let old = &whole.metadata;
        let mut secrets: BTreeMap<String, Secret> =
            whole.secrets.iter().map(|(name, secret)| (name.clone(), secret.duplicate())).collect();
        secrets.insert(Credential::SESSION.into(), session.to_item());
        self.put_next(old, &secrets, event, |rows| {
            let expires = session.expires_at.map(|at| at.timestamp_millis());
            let changed = rows.execute(
                "UPDATE credentials SET version = version + 1, expires = $4, checked = $5, verified = $6, \
                 scopes = $7, revision = revision + 1 WHERE org = $1 AND id = $2 AND version = $3",
                values![
                    self.scope.id(),
                    &old.id,
                    old.version,
                    expires,
                    check.word(),
                    (self.now)().timestamp_millis(),
                    &written::scopes(&session.scopes),
                ],
            )?;
            if changed == 0 {
                return Err(VaultError::Changed { name: old.name.clone() });
            }
            also(rows)
        })
    }

    /// Keeps the session of somebody who has just signed in, with what is known of their account.
    pub(crate) fn connect(
        &self,
        whole: &Credential,
        described: Vec<(&'static str, String)>,
        session: &Session,
    ) -> Result<Metadata, VaultError> {
        let old = &whole.metadata;
        let mut plain = old.fields.clone();
        plain.retain(|name, _| !matches!(name.as_str(), "account" | "account_id"));
        // What is configured stays, and the scopes that are asked for the next time are no matter of what was granted.
        for (name, value) in described.into_iter().filter(|(name, _)| *name != "scopes") {
            plain.entry(name.to_owned()).or_insert(value);
        }
        let mut secrets = BTreeMap::from([(Credential::SESSION.to_owned(), session.to_item())]);
        if let Some(secret) = whole.secret(Credential::CLIENT_SECRET) {
            secrets.insert(Credential::CLIENT_SECRET.into(), secret.duplicate());
        }
        let verdict = session.identity.name().map_or_else(Verdict::valid_unnamed, Verdict::valid);
        self.store_as(
            New {
                name: String::new(),
                scope: old.scope.clone(),
                fields: Fields { kind: old.kind, plain, secrets },
                expires: session.expires_at,
                tags: old.tags.clone(),
                note: old.note.clone(),
                verdict: Some(verdict.with_scopes(&session.scopes)),
                replaces: Some(old.clone()),
                retiring: None,
            },
            &Event::done("credential.connect", ""),
        )
    }

    /// Takes the session out of a credential; how to sign in again stays.
    pub(crate) fn disconnect(
        &self,
        whole: &Credential,
        detail: &str,
        also: impl Fn(&mut dyn Rows) -> Result<(), VaultError>,
    ) -> Result<(), VaultError> {
        let old = &whole.metadata;
        let secrets: BTreeMap<String, Secret> = whole
            .secrets
            .iter()
            .filter(|(name, _)| *name != Credential::SESSION)
            .map(|(name, secret)| (name.clone(), secret.duplicate()))
            .collect();
        let event = Event { detail, ..Event::done("credential.disconnect", &old.id) };
        self.put_next(old, &secrets, &event, |rows| {
            let names = written::words(&secrets.keys().cloned().collect());
            let changed = rows.execute(
                "UPDATE credentials SET version = version + 1, expires = NULL, checked = $4, secret_names = $5, \
                 scopes = $6, revision = revision + 1 WHERE org = $1 AND id = $2 AND version = $3",
                values![self.scope.id(), &old.id, old.version, Check::Invalid.word(), &names, &written::scopes(&[])],
            )?;
            if changed == 0 {
                return Err(VaultError::Changed { name: old.name.clone() });
            }
            also(rows)
        })?;
        self.db.forget();
        Ok(())
    }
}
