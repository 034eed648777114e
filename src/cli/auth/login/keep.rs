//! Keeping what a sign-in gave: the session in the store, then the profile in the configuration.

use chrono::{DateTime, Utc};
use toml_edit::{Array, Value};

use crate::auth::identity::Identity;
use crate::auth::login::{Fresh, same_account};
use crate::auth::renew::WAIT;
use crate::auth::revoke;
use crate::auth::service::Service;
use crate::auth::session::{Grant, Place, Session};
use crate::cli::{Doors, store as stores};
use crate::config::{Config, document, edit};
use crate::error::Result;
use crate::os::files::Lock;
use crate::secret::{Choice, SecretStore, StoreError};

use super::target::{Target, free_name};
use super::{Args, LoginFailure, PROBE};
use crate::cli::access::waiting_for;

/// What was kept, and under which profile.
pub(super) struct Kept {
    pub(super) profile: String,
    pub(super) session: Session,
}

/// The store for the session, proven to work. Where the keychain is absent and nobody chose another store, a person is
/// asked; without one, this fails before anything was begun.
pub(super) fn proven_store<'a>(
    doors: &'a Doors<'a>,
    args: &Args,
    target: &Target,
) -> Result<Box<dyn SecretStore + 'a>> {
    let choice = target.profile.storage.value;
    let store = stores::open(doors, choice)?;
    match store.probe(PROBE) {
        Ok(()) => Ok(store),
        Err(failure @ StoreError::Absent { .. })
            if choice == Choice::Auto && args.storage.is_none() && doors.ui.is_interactive() =>
        {
            doors.ui.failure(&failure);
            let store = stores::open(doors, ask_store(doors)?)?;
            store.probe(PROBE)?;
            Ok(store)
        }
        Err(failure) => Err(failure.into()),
    }
}

fn ask_store(doors: &Doors<'_>) -> Result<Choice> {
    let choices = [
        (Choice::File, "Encrypted file: opened by a passphrase that you type or keep in LANYARD_PASSPHRASE"),
        (Choice::Keyutils, "Kernel keyring: in memory only, gone after a reboot (Linux)"),
        (Choice::Plain, "Plain file: readable by every program that you run"),
    ];
    let items: Vec<String> = choices.iter().map(|(_, about)| (*about).to_owned()).collect();
    let chosen = doors.ui.choose("Where shall the session rest?", &items, "--storage file, keyutils or plain")?;
    Ok(choices.get(chosen).map_or(Choice::File, |(choice, _)| *choice))
}

/// The session that another process signed in to while this one waited for its turn.
pub(super) fn signed_in_meanwhile(
    place: &Place,
    store: &dyn SecretStore,
    before: Option<DateTime<Utc>>,
) -> Option<Session> {
    let session = place.load(store).ok().flatten()?;
    let is_new = before.is_none_or(|before| session.issued_at > before);
    (session.grant == Grant::Web && is_new).then_some(session)
}

/// Stores the session, then writes the profile. A failure in between takes the session out again, and tokens that
/// could not be kept are revoked, so that a failed sign-in changes nothing.
pub(super) fn keep(
    doors: &Doors<'_>,
    args: &Args,
    target: &Target,
    service: &Service,
    store: &dyn SecretStore,
    fresh: Fresh,
) -> Result<Kept> {
    let Fresh { session, page } = fresh;
    let profile = match profile_for(doors, args, target, &session) {
        Ok(profile) => profile,
        Err(failure) => return Err(discarded(doors, service, &session, failure)),
    };
    let place = Place::of(doors.env, &profile);
    let _lock = match session_lock(doors, &place) {
        Ok(lock) => lock,
        Err(failure) => return Err(discarded(doors, service, &session, failure)),
    };
    let former = former_store(doors, &profile)?.filter(|former| *former != store.choice());
    // What cannot be read is of no use to anyone, and this sign-in replaces it.
    let replaced = place.load(store).ok().flatten();
    if let Err(failure) = place.save(store, &session) {
        return Err(discarded(doors, service, &session, failure.into()));
    }
    if let Err(failure) = write_profile(doors, args, target, &profile, &session, store.choice()) {
        let undone = match &replaced {
            Some(replaced) => place.save(store, replaced),
            None => place.remove(store).map(|_| ()),
        };
        if let Err(failure) = undone {
            doors.ui.failure(&failure);
        }
        return Err(discarded(doors, service, &session, failure));
    }
    if args.client_secret_stdin {
        keep_client_secret(doors, &place, service, store, &session);
    }
    if let Some(former) = former {
        forget(doors, &place, former);
    }
    if let Some(page) = page {
        page.signed_in();
    }
    Ok(Kept { profile, session })
}

/// Where the profile's session rested up to now; `None` for a new profile.
fn former_store(doors: &Doors<'_>, profile: &str) -> Result<Option<Choice>> {
    let config = Config::load(doors.env)?;
    Ok(config.profiles.get(profile).map(|table| match table.storage.or(config.defaults.storage) {
        None | Some(Choice::Auto) => Choice::Keychain,
        Some(choice) => choice,
    }))
}

/// Takes the old session out of the store that the profile used before. The new one is kept already, so a store that
/// does not answer is no reason to fail.
fn forget(doors: &Doors<'_>, place: &Place, former: Choice) {
    let removed = stores::open(doors, former).and_then(|store| place.remove(&*store));
    if let Err(failure) = removed {
        doors.ui.warn(&format!("the former session may still be in the {}: {failure}", former.title()));
    }
}

/// Tokens that were issued and not kept are given back. A pasted token is the person's own and stays as it is.
fn discarded(
    doors: &Doors<'_>,
    service: &Service,
    session: &Session,
    failure: Box<dyn crate::error::Failure>,
) -> Box<dyn crate::error::Failure> {
    if session.grant != Grant::Token {
        revoke::discard(session, service.quirks.revocation, doors.http);
    }
    failure
}

/// The profile that keeps the session: the target's, unless another account came back than it is for.
fn profile_for(doors: &Doors<'_>, args: &Args, target: &Target, session: &Session) -> Result<String> {
    let profile = &target.profile;
    let (account, id) = (profile.account.as_deref(), profile.account_id.as_deref());
    // A token that nobody was asked about belongs to whom the user says.
    let unasked = session.grant == Grant::Token && args.no_verify;
    if args.switch_account || unasked || same_account(account, id, &session.identity) {
        return Ok(target.profile_name.clone());
    }
    let came = session.identity.name().unwrap_or("an unknown account").to_owned();
    let expected = account.or(id).unwrap_or_default().to_owned();
    if !target.profile_named && doors.ui.is_interactive() {
        doors.ui.warn(&format!("{came} signed in, and profile {} is for {expected}", target.profile_name));
        let wanted = session.identity.account.as_deref().map_or_else(|| target.profile_name.clone(), profile_word);
        let config = Config::load(doors.env)?;
        let name = doors.ui.input(
            "Keep this account in a new profile named",
            Some(&free_name(&config, &wanted)),
            "--profile NAME",
        )?;
        edit::check_name(&name)?;
        return Ok(name);
    }
    Err(LoginFailure::OtherAccount { came, profile: target.profile_name.clone(), expected }.into())
}

/// An account's name as far as a profile's name allows: `alice@example.com` stays as it is.
fn profile_word(account: &str) -> String {
    account
        .chars()
        .filter(|character| character.is_ascii_alphanumeric() || "._@-".contains(*character))
        .take(64)
        .collect()
}

/// Keeps the client secret for the next sign-in. The session has its own copy, so a failure costs a question only.
fn keep_client_secret(doors: &Doors<'_>, place: &Place, service: &Service, store: &dyn SecretStore, session: &Session) {
    let Some(secret) = session.client.as_ref().and_then(|client| client.secret.as_ref()) else { return };
    if let Err(failure) = store.set(&place.client_slot(store, &service.name, service.address()), secret) {
        doors.ui.warn(&format!("the client secret is not kept for the next sign-in: {failure}"));
    }
}

/// The lock under which the session is replaced: a renewal that is under way must not overwrite this sign-in.
fn session_lock(doors: &Doors<'_>, place: &Place) -> Result<Lock> {
    let path = doors.env.config_dir().join("locks").join(place.lock_name());
    let mut waiting = |holder: Option<u32>| doors.ui.note(&waiting_for(holder, "works on this session"));
    Ok(Lock::acquire(&path, WAIT, &mut waiting)?)
}

/// Writes service and profile in one edit, so that a kill leaves both or neither.
fn write_profile(
    doors: &Doors<'_>,
    args: &Args,
    target: &Target,
    profile: &str,
    session: &Session,
    storage: Choice,
) -> Result<()> {
    edit::check_name(profile)?;
    let chosen_storage = (storage != Choice::Keychain || args.storage.is_some()).then(|| storage.word());
    edit::edit(doors.env, |document| {
        let mut set = |path: [&str; 3], value: Option<Value>| -> Result<()> {
            let key = path.map(str::to_owned);
            if let Some(value) = value {
                Ok(document::set(document, &key, value)?)
            } else {
                document::unset(document, &key);
                Ok(())
            }
        };
        let service = session.service.as_str();
        if let Some(table) = &target.new_service {
            set(["services", service, "issuer"], table.issuer.as_deref().map(Value::from))?;
            if table.vault == Some(true) {
                let scopes: Array = table.scopes.iter().flatten().map(String::as_str).collect();
                set(["services", service, "scopes"], Some(Value::Array(scopes)))?;
                set(["services", service, "endpoint"], table.endpoint.as_deref().map(Value::from))?;
                set(["services", service, "vault"], Some(true.into()))?;
            }
        }
        if let Some(client) = &session.client
            && (args.client_id.is_some() || target.new_service.is_some() || args.is_bare())
        {
            set(["services", service, "client_id"], Some(client.id.as_str().into()))?;
        }
        set(["profiles", profile, "service"], Some(service.into()))?;
        if session.identity != Identity::default() {
            set(["profiles", profile, "account"], session.identity.account.as_deref().map(Value::from))?;
            set(["profiles", profile, "account_id"], session.identity.id().map(Value::from))?;
        }
        if let Some(endpoint) = &args.endpoint {
            set(["profiles", profile, "endpoint"], Some(endpoint.as_str().into()))?;
        }
        if let Some(storage) = chosen_storage {
            set(["profiles", profile, "storage"], Some(storage.into()))?;
        }
        if let Some(scopes) = &args.scopes {
            let scopes: Array = crate::auth::login::scopes(scopes).into_iter().collect();
            set(["profiles", profile, "scopes"], Some(Value::Array(scopes)))?;
        }
        let is_new = !target.profile.exists || profile != target.profile_name;
        if !document.contains_key("profile") || (is_new && !target.profile_named) {
            document::set(document, &["profile".to_owned()], profile.into())?;
        }
        Ok(())
    })
}
