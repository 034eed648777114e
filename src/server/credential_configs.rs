//! Credentials over HTTP. Metadata and secrets have addresses of their own, and permissions of their own.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::audit::{Event, Outcome};
use super::bridge::blocking;
use super::caller::{Access, Caller};
use super::permission::Permission;
use super::problem::{Answer, Problem};
use super::routes::Route;
use super::state::Server;
use super::vault::{OrgVault, Stored};
use crate::vault::wire::{Amendment, Incoming, Note, Page, Shown, Told, scope};
use crate::vault::{Change, New, Unfinished, Vault, VaultError};

pub(crate) mod cursor;
mod secrets;
mod values;
mod verify;

pub(crate) use verify::{is_telling, verified};

/// So many come on a page unless fewer are asked for, and never more.
const USUAL: i64 = 50;
const MOST: i64 = 200;

const ALL: &str = "/credential-configs";
const ONE: &str = "/credential-configs/{id}";

pub(crate) fn routes() -> Vec<Route> {
    let needs = Access::InProject;
    vec![
        Route::new(Method::GET, ALL, Access::Permission(Permission::CredentialsRead), list),
        Route::new(Method::POST, ALL, needs(Permission::CredentialsWrite), create),
        Route::new(Method::GET, ONE, Access::Permission(Permission::CredentialsRead), show),
        Route::new(Method::PATCH, ONE, needs(Permission::CredentialsWrite), amend),
        Route::new(Method::DELETE, ONE, needs(Permission::CredentialsWrite), delete),
        Route::new(Method::GET, "/credential-configs/{id}/secrets", needs(Permission::SecretsRead), secrets::read),
        Route::new(Method::POST, "/credential-configs/{id}/secrets", needs(Permission::CredentialsWrite), secrets::put),
        Route::new(Method::POST, "/credential-configs/{id}/notes", needs(Permission::CredentialsVerify), note),
        Route::new(Method::POST, "/credential-configs/{id}/verify", needs(Permission::CredentialsVerify), verify::ask),
    ]
}

/// What is asked of a list.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    limit: Option<i64>,
    cursor: Option<String>,
    /// The credential of this name alone, in `project` or in the organization.
    name: Option<String>,
    project: Option<String>,
    /// Those that may be sent to this host alone.
    host: Option<String>,
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
    caller.must(server, permission, stored.metadata.scope.project())?;
    Ok((vault, stored))
}

/// A credential with its tag, as it stands.
fn shown(vault: &OrgVault<'_>, id: &str, status: StatusCode) -> Answer<Response> {
    let stored = stored(vault, id)?;
    let mut shown = Shown::of(&stored.metadata, &stored.rotation);
    shown.used_by = Some(vault.users(&stored.metadata)?);
    shown.scopes = Some(stored.scopes.clone());
    let tag = tag(stored.revision);
    Ok((status, [(header::ETAG, tag)], Json(shown)).into_response())
}

pub(super) fn tag(revision: i64) -> String {
    format!("\"{revision}\"")
}

/// The revision that a caller has seen, where they say so: `If-Match` (RFC 9110 section 13.1.1).
pub(super) fn seen(headers: &HeaderMap) -> Answer<Option<i64>> {
    let Some(value) = headers.get(header::IF_MATCH) else { return Ok(None) };
    let text = value.to_str().unwrap_or_default().trim();
    if text == "*" {
        return Ok(None);
    }
    let revision = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).and_then(|text| text.parse().ok());
    // A tag that was never given out is of no version that there is.
    revision.map(Some).ok_or_else(Problem::changed)
}

async fn list(State(server): State<Arc<Server>>, caller: Caller, Query(asked): Query<Asked>) -> Answer<Json<Page>> {
    let limit = asked.limit.unwrap_or(USUAL);
    if !(1..=MOST).contains(&limit) {
        return Err(Problem::bad(format!("a limit is a number from 1 to {MOST}")));
    }
    blocking(&server, move |server| {
        server.tell(&caller.scope, &caller.actor, &Event::done("credential.list", ""))?;
        let vault = server.vault(caller.scope.clone(), caller.actor.clone());
        let of = |metadata| Ok::<_, VaultError>(Shown::of(&metadata, &Unfinished::default()));
        if let Some(host) = &asked.host {
            let items = vault.for_host(host)?.into_iter().map(of).collect::<Result<_, _>>()?;
            return Ok(Json(Page { items, next: None }));
        }
        if let Some(name) = &asked.name {
            let found = vault.find(&scope(asked.project.as_deref()), name)?;
            let items = found.into_iter().map(of).collect::<Result<_, _>>()?;
            return Ok(Json(Page { items, next: None }));
        }
        let after = asked.cursor.as_deref().map(|text| cursor::read(&server.keys, &caller.scope, text)).transpose()?;
        let mut page = vault.page(&after.unwrap_or_default(), limit + 1)?;
        let is_last = page.len() <= usize::try_from(limit).unwrap_or_default();
        page.truncate(usize::try_from(limit).unwrap_or_default());
        let next = match page.last() {
            Some(last) if !is_last => Some(cursor::write(&server.keys, &caller.scope, &last.metadata)?),
            _ => None,
        };
        let items = page.iter().map(|stored| Shown::of(&stored.metadata, &stored.rotation)).collect();
        Ok(Json(Page { items, next }))
    })
    .await
}

async fn create(State(server): State<Arc<Server>>, caller: Caller, Json(incoming): Json<Incoming>) -> Answer<Response> {
    blocking(&server, move |server| {
        caller.must(server, Permission::CredentialsWrite, incoming.project.as_deref())?;
        let vault = server.vault(caller.scope, caller.actor);
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
        let mut response = shown(&vault, &metadata.id, StatusCode::CREATED)?;
        if let Ok(location) = format!("{ALL}/{}", metadata.id).parse() {
            response.headers_mut().insert(header::LOCATION, location);
        }
        Ok(response)
    })
    .await
}

async fn show(State(server): State<Arc<Server>>, caller: Caller, Path(id): Path<String>) -> Answer<Response> {
    blocking(&server, move |server| {
        let vault = server.vault(caller.scope.clone(), caller.actor.clone());
        let stored = stored(&vault, &id)?;
        server.tell(&caller.scope, &caller.actor, &Event::done("credential.show", &stored.metadata.id))?;
        shown(&vault, &id, StatusCode::OK)
    })
    .await
}

async fn amend(
    State(server): State<Arc<Server>>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
    Json(wanted): Json<Amendment>,
) -> Answer<Response> {
    let seen = seen(&headers)?;
    blocking(&server, move |server| {
        let (vault, stored) = permitted(server, &caller, &id, Permission::CredentialsWrite)?;
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
        shown(&vault, &id, StatusCode::OK)
    })
    .await
}

/// What is asked of a removal.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Removal {
    /// Whether it goes although something uses it.
    #[serde(default)]
    force: bool,
}

async fn delete(
    State(server): State<Arc<Server>>,
    caller: Caller,
    Path(id): Path<String>,
    Query(Removal { force }): Query<Removal>,
    headers: HeaderMap,
) -> Answer<StatusCode> {
    let seen = seen(&headers)?;
    blocking(&server, move |server| {
        let (vault, stored) = permitted(server, &caller, &id, Permission::CredentialsWrite)?;
        let removed = vault.remove_if(&stored.metadata, seen, force);
        if let Err(VaultError::InUse { .. }) = removed {
            let event = Event { outcome: Outcome::Denied, ..Event::done("credential.delete", &id) };
            server.tell(&caller.scope, &caller.actor, &event)?;
        }
        if removed? { Ok(StatusCode::NO_CONTENT) } else { Err(Problem::not_found()) }
    })
    .await
}

async fn note(
    State(server): State<Arc<Server>>,
    caller: Caller,
    Path(id): Path<String>,
    Json(note): Json<Note>,
) -> Answer<StatusCode> {
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
            Note::Rotation(rotation) => vault.note_rotation(&metadata, &rotation.unfinished())?,
            Note::Verdict { told, updated, at } => {
                let verdict = told.verdict().ok_or_else(|| Problem::invalid("the outcome is unknown"))?;
                metadata.updated = updated;
                vault.note_verdict(&metadata, &verdict, at)?;
            }
        }
        Ok(StatusCode::NO_CONTENT)
    })
    .await
}
