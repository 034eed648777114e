//! Credentials over HTTP. Metadata and secrets have addresses of their own, and permissions of their own.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::Method;
use schemars::JsonSchema;
use serde::Deserialize;

use super::api::{Created, Creation, Done, Json, Query, Seen, Tagged, refused};
use super::audit::{Event, Outcome};
use super::bridge::blocking;
use super::caller::{Access, Caller};
use super::connections::Connection;
use super::permission::Permission;
use super::problem::{Answer, Problem};
use super::routes::Route;
use super::state::Server;
use super::vault::sign_in::is_sign_in;
use super::vault::{OrgVault, Stored};
use crate::credential::Metadata;
use crate::vault::wire::{Amendment, Incoming, Note, Page, Shown, Told, scope};
use crate::vault::{Change, New, Unfinished, Vault, VaultError, measure};

pub(crate) mod cursor;
pub(super) mod secrets;
mod values;
mod verify;

pub(crate) use verify::{is_telling, reaches_out, renewed, verified};

/// So many come on a page unless fewer are asked for, and never more.
const USUAL: i64 = 50;
const MOST: i64 = 200;

const ALL: &str = "/credential-configs";
const ONE: &str = "/credential-configs/{id}";
const SECRETS: &str = "/credential-configs/{id}/secrets";
const NOTES: &str = "/credential-configs/{id}/notes";
const VERIFY: &str = "/credential-configs/{id}/verify";

/// What may come of a credential that is renewed before it is used.
const SIGNED_IN: [&str; 4] = ["not-connected", "needs-reconnecting", "service-unreachable", "renewing"];

pub(crate) fn routes() -> Vec<Route> {
    let read = Access::InProject(Permission::CredentialsRead);
    let write = Access::InProject(Permission::CredentialsWrite);
    let (open, verify) = (Access::InProject(Permission::SecretsRead), Access::InProject(Permission::CredentialsVerify));
    vec![
        Route::api(Method::GET, ALL, read, list, "listCredentialConfigs", "List credentials, without their secrets"),
        Route::api(Method::POST, ALL, write, create, "createCredentialConfig", "Store a credential").refuses(&[
            "name-taken",
            "bad-name",
            "no-project",
        ]),
        Route::api(Method::GET, ONE, read, show, "showCredentialConfig", "Show a credential, without its secrets"),
        Route::api(Method::PATCH, ONE, write, amend, "changeCredentialConfig", "Change name, project, tags or note")
            .refuses(&["name-taken", "bad-name", "no-project", "does-not-open"]),
        Route::api(Method::DELETE, ONE, write, delete, "deleteCredentialConfig", "Delete a credential")
            .refuses(&["in-use"]),
        Route::api(Method::GET, SECRETS, open, secrets::read, "readSecrets", "Read the secrets of a credential")
            .refuses(&["does-not-open"])
            .refuses(&SIGNED_IN),
        Route::api(Method::POST, SECRETS, write, secrets::put, "putSecrets", "Store new secrets for a credential")
            .refuses(&["does-not-open", "order"]),
        Route::api(Method::POST, NOTES, verify, note, "noteCredential", "Note that it was used, verified or rotated"),
        Route::api(
            Method::POST,
            VERIFY,
            verify,
            verify::ask,
            "verifyCredential",
            "Ask the provider whether it is good",
        )
        .refuses(&["no-secrets", "cannot-be-asked", "does-not-open"])
        .refuses(&SIGNED_IN),
    ]
}

/// What is asked of a list.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    /// So many at most; 50 unless it is said.
    #[schemars(range(min = 1, max = 200))]
    limit: Option<i64>,
    /// The `next` of the page before.
    cursor: Option<String>,
    /// The credential of this name alone, in `project` or in the organization.
    name: Option<String>,
    /// The project that the name is looked for in; it is asked for with a name alone.
    project: Option<String>,
    /// Those that may be sent to this host alone, with its port where that is not 443; also in pages, and without a name.
    host: Option<String>,
}

impl Asked {
    /// Refuses what would be passed over beside the rest.
    fn is_whole(&self) -> Answer<()> {
        match self {
            Self { name: None, project: Some(_), .. } => Err(refused("project", "is asked for with a name alone")),
            Self { name: Some(_), host: Some(_), .. } => Err(refused("host", "is asked for without a name")),
            Self { name: Some(_), cursor: Some(_), .. } => Err(refused("cursor", "is of no list of one name")),
            _ => Ok(()),
        }
    }
}

/// The credential of an identifier, of the caller's organization; another's is not there.
fn stored(vault: &OrgVault<'_>, id: &str) -> Answer<Stored> {
    vault.by_id(id)?.ok_or_else(Problem::not_found)
}

/// The vault of a caller, and the credential of that identifier, to which they may do this.
pub(crate) fn permitted<'s>(
    server: &'s Server,
    caller: &Caller,
    id: &str,
    permission: Permission,
) -> Answer<(OrgVault<'s>, Stored)> {
    let vault = server.vault(caller.scope.clone(), caller.actor.clone());
    let stored = stored(&vault, id)?;
    caller.sees(stored.metadata.scope.project())?;
    caller.must(server, permission, stored.metadata.scope.project())?;
    Ok((vault, stored))
}

/// A credential with its tag, as it stands.
fn shown(vault: &OrgVault<'_>, id: &str) -> Answer<Tagged<Shown>> {
    let stored = stored(vault, id)?;
    let mut shown = Shown::of(&stored.metadata, &stored.rotation);
    shown.used_by = Some(vault.users(&stored.metadata)?);
    shown.scopes = Some(stored.scopes.clone());
    shown.connection = is_sign_in(stored.metadata.kind).then(|| Connection::of(&stored.metadata).words().to_owned());
    Ok(Tagged { revision: stored.revision, body: shown })
}

/// One page of the credentials.
pub(super) fn some(server: &Server, caller: &Caller, asked: &Asked) -> Answer<Page> {
    let limit = asked.limit.unwrap_or(USUAL);
    if !(1..=MOST).contains(&limit) {
        return Err(Problem::bad(format!("a limit is a number from 1 to {MOST}")));
    }
    asked.is_whole()?;
    server.tell(&caller.scope, &caller.actor, &Event::done("credential.list", ""))?;
    let vault = server.vault(caller.scope.clone(), caller.actor.clone());
    let sees = |metadata: &&Metadata| caller.sees(metadata.scope.project()).is_ok();
    let host = asked.host.as_deref();
    if let Some(name) = &asked.name {
        let found = vault.find(&scope(asked.project.as_deref()), name)?;
        let items = found.iter().filter(sees).map(|metadata| Shown::of(metadata, &Unfinished::default())).collect();
        return Ok(Page { items, next: None });
    }
    let narrowed: Vec<&str> = host.map(|host| ["host", host]).into_iter().flatten().collect();
    let after = asked.cursor.as_deref();
    let after = after.map(|text| cursor::read(&server.keys, &caller.scope, &narrowed, text)).transpose()?;
    let after = after.unwrap_or_default();
    let mut page = match host {
        Some(host) => vault.page_for(host, caller.only(), &after, limit + 1)?,
        None => vault.page(caller.only(), &after, limit + 1)?,
    };
    let is_last = page.len() <= usize::try_from(limit).unwrap_or_default();
    page.truncate(usize::try_from(limit).unwrap_or_default());
    let next = match page.last() {
        Some(last) if !is_last => Some(cursor::write(&server.keys, &caller.scope, &narrowed, &last.metadata)?),
        _ => None,
    };
    let items = page.iter().map(|stored| Shown::of(&stored.metadata, &stored.rotation)).collect();
    Ok(Page { items, next })
}

async fn list(State(server): State<Arc<Server>>, caller: Caller, Query(asked): Query<Asked>) -> Answer<Json<Page>> {
    blocking(&server, move |server| some(server, &caller, &asked).map(Json)).await
}

/// Stores a credential, or shows the one that was stored when the same was asked before.
pub(super) fn make(server: &Server, caller: &Caller, incoming: Incoming) -> Answer<Tagged<Shown>> {
    let make = || -> Answer<Tagged<Shown>> {
        caller.must(server, Permission::CredentialsWrite, incoming.project.as_deref())?;
        let vault = server.vault(caller.scope.clone(), caller.actor.clone()).once(caller.once.clone());
        let name = incoming.name.clone().ok_or_else(|| Problem::invalid("a credential needs a name"))?;
        let scope = scope(incoming.project.as_deref());
        let kind = incoming.kind.as_deref().ok_or_else(|| Problem::invalid("a credential needs a kind"))?;
        let kind = values::kind(kind)?;
        let fields = values::first(kind, incoming.fields.unwrap_or_default(), incoming.data)?;
        let verdict = incoming.verdict.as_ref().and_then(Told::verdict);
        let metadata = vault.put(New {
            name,
            scope,
            fields,
            expires: incoming.expires,
            tags: incoming.tags.unwrap_or_default(),
            note: incoming.note.unwrap_or_default(),
            verdict,
            replaces: None,
            retiring: incoming.retiring,
        })?;
        shown(&vault, &metadata.id)
    };
    caller.once.carry_out(server, make, |id| one(server, caller, id))
}

async fn create(
    State(server): State<Arc<Server>>,
    caller: Caller,
    incoming: Creation<Incoming>,
) -> Answer<Created<Tagged<Shown>>> {
    let (caller, incoming) = incoming.of(caller);
    blocking(&server, move |server| {
        let made = make(server, &caller, incoming)?;
        Ok(Created::at(format!("{ALL}/{}", made.body.id), made))
    })
    .await
}

/// One credential.
pub(super) fn one(server: &Server, caller: &Caller, id: &str) -> Answer<Tagged<Shown>> {
    let vault = server.vault(caller.scope.clone(), caller.actor.clone());
    let stored = stored(&vault, id)?;
    caller.sees(stored.metadata.scope.project())?;
    server.tell(&caller.scope, &caller.actor, &Event::done("credential.show", &stored.metadata.id))?;
    shown(&vault, id)
}

async fn show(State(server): State<Arc<Server>>, caller: Caller, Path(id): Path<String>) -> Answer<Tagged<Shown>> {
    blocking(&server, move |server| one(server, &caller, &id)).await
}

/// Changes what is no value of a credential.
pub(super) fn change(
    server: &Server,
    caller: &Caller,
    id: &str,
    wanted: Amendment,
    seen: Option<i64>,
) -> Answer<Tagged<Shown>> {
    let (vault, stored) = permitted(server, caller, id, Permission::CredentialsWrite)?;
    if let Some(project) = &wanted.project {
        caller.must(server, Permission::CredentialsWrite, Some(project))?;
    }
    let mut change = Change {
        name: wanted.name,
        scope: wanted.project.as_deref().map(|project| scope(Some(project))),
        tag: wanted.add_tags,
        untag: wanted.remove_tags,
        note: wanted.note,
    };
    if let Some(tags) = wanted.tags {
        change.untag.extend(stored.metadata.tags.difference(&tags).cloned());
        change.tag.extend(tags);
    }
    vault.amend_if(&stored.metadata, &change, seen)?;
    shown(&vault, id)
}

async fn amend(
    State(server): State<Arc<Server>>,
    caller: Caller,
    Path(id): Path<String>,
    Seen(seen): Seen,
    Json(wanted): Json<Amendment>,
) -> Answer<Tagged<Shown>> {
    blocking(&server, move |server| change(server, &caller, &id, wanted, seen)).await
}

/// What is asked of a removal.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Removal {
    /// Whether it goes although something uses it.
    #[serde(default)]
    force: bool,
}

pub(super) async fn delete(
    State(server): State<Arc<Server>>,
    caller: Caller,
    Path(id): Path<String>,
    Query(Removal { force }): Query<Removal>,
    Seen(seen): Seen,
) -> Answer<Done> {
    blocking(&server, move |server| {
        let (vault, stored) = permitted(server, &caller, &id, Permission::CredentialsWrite)?;
        let removed = vault.remove_if(&stored.metadata, seen, force);
        if let Err(VaultError::InUse { .. }) = removed {
            let event = Event { outcome: Outcome::Denied, ..Event::done("credential.delete", &id) };
            server.tell(&caller.scope, &caller.actor, &event)?;
        }
        if removed? { Ok(Done) } else { Err(Problem::not_found()) }
    })
    .await
}

async fn note(
    State(server): State<Arc<Server>>,
    caller: Caller,
    Path(id): Path<String>,
    Json(note): Json<Note>,
) -> Answer<Done> {
    let needed = match note {
        Note::Rotation(_) => Permission::CredentialsWrite,
        Note::Used { .. } => Permission::SecretsRead,
        Note::Verdict { .. } => Permission::CredentialsVerify,
    };
    blocking(&server, move |server| {
        let (vault, stored) = permitted(server, &caller, &id, needed)?;
        let mut metadata = stored.metadata;
        match note {
            Note::Used { at } => vault.note_use(&metadata, at)?,
            Note::Rotation(rotation) => {
                measure::time(rotation.since).map_err(VaultError::from)?;
                vault.note_rotation(&metadata, &rotation.unfinished())?;
            }
            Note::Verdict { told, updated, at } => {
                let verdict = told.verdict().ok_or_else(|| Problem::invalid("the outcome is unknown"))?;
                metadata.updated = updated;
                vault.note_verdict(&metadata, &verdict, at)?;
            }
        }
        Ok(Done)
    })
    .await
}
