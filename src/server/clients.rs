//! Programs that an organization has registered, so that they ask its members to be let in under a name of their own.
//!
//! A program belongs to the organization whose administrators registered it, and is for its members alone: a token is of a
//! person in one organization, and who vouches for a program to its people is who runs it. It has no secret, which it could
//! not keep on anybody's machine; that an answer is for it is shown by the address that it goes to, and by PKCE.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::Method;
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::api::{Created, Creation, Done, Json, Query, Seen, Tagged};
use super::audit::Event;
use super::bridge::blocking;
use super::caller::{Access, Caller};
use super::db::values;
use super::paging::{Asked, Part};
use super::permission::Permission;
use super::problem::{Answer, Problem};
use super::programs;
use super::routes::Route;
use super::state::{Server, now};
use super::team::alone;
use crate::vault::id;

pub(crate) mod redirect;
mod registered;

pub(crate) use registered::{Known, Registered, Written, hold, known};

/// So many programs an organization has at most.
const MOST: usize = 100;
/// What an identifier begins with.
const PREFIX: &str = "client";

const ALL: &str = "/oauth-clients";
const ONE: &str = "/oauth-clients/{id}";

pub(crate) fn routes() -> Vec<Route> {
    let needs = Access::Permission(Permission::TrustManage);
    vec![
        Route::api(Method::GET, ALL, needs, list, "listOauthClients", "List the programs that are registered"),
        Route::api(Method::POST, ALL, needs, create, "createOauthClient", "Register a program")
            .refuses(&["name-taken"]),
        Route::api(Method::GET, ONE, needs, show, "showOauthClient", "Show a program"),
        Route::api(Method::PATCH, ONE, needs, amend, "changeOauthClient", "Change a program").refuses(&["name-taken"]),
        Route::api(Method::DELETE, ONE, needs, delete, "deleteOauthClient", "Delete a program, and end its tokens"),
    ]
}

/// A program as the API shows it.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "OauthClient")]
struct Shown {
    /// Its `client_id`. It is no secret.
    id: String,
    name: String,
    redirect_uris: Vec<String>,
    device: bool,
    created: Option<DateTime<Utc>>,
    /// The login of whoever registered it.
    created_by: String,
}

fn shown(program: Registered) -> Shown {
    Shown {
        id: program.id,
        name: program.name,
        redirect_uris: program.redirects,
        device: program.device,
        created: DateTime::from_timestamp_millis(program.created),
        created_by: program.by,
    }
}

fn tagged(program: Registered) -> Tagged<Shown> {
    Tagged { revision: program.revision, body: shown(program) }
}

/// Whether it can be the identifier of a program at all.
pub(crate) fn is_id(text: &str) -> bool {
    text.len() < 64 && text.strip_prefix(PREFIX).is_some_and(|rest| rest.starts_with('_'))
}

/// Every program of the organization, the oldest first.
pub(crate) fn all(server: &Server, caller: &Caller) -> Answer<Vec<Registered>> {
    server.tell(&caller.scope, &caller.actor, &Event::done("client.list", ""))?;
    Ok(server.db.read(&caller.scope, |rows| Registered::all(rows, &caller.scope))?)
}

/// One page of the programs, the oldest first. There are few: each page is cut of all.
fn some(server: &Server, caller: &Caller, asked: &Asked) -> Answer<Part<Registered>> {
    let page = asked.page(&server.keys, &caller.scope, "oauth-clients")?;
    let mut programs = all(server, caller)?;
    // Identifiers sort by age.
    programs.retain(|program| program.id > page.after);
    programs.sort_by(|one, other| one.id.cmp(&other.id));
    page.cut(programs, |program| &program.id)
}

/// The program of an identifier; another organization's is not there.
pub(crate) fn find(server: &Server, caller: &Caller, id: &str) -> Answer<Registered> {
    server.db.read(&caller.scope, |rows| Registered::one(rows, &caller.scope, id))?.ok_or_else(Problem::not_found)
}

/// One program, as it is looked at.
pub(crate) fn one(server: &Server, caller: &Caller, id: &str) -> Answer<Registered> {
    let program = find(server, caller, id)?;
    server.tell(&caller.scope, &caller.actor, &Event::done("client.show", &program.id))?;
    Ok(program)
}

/// Registers a program.
pub(crate) fn make(server: &Server, caller: &Caller, written: Written) -> Answer<Registered> {
    let id = id::new(PREFIX, now())?;
    let program = written.program(&id, &caller.person.id, now())?;
    let event = Event { detail: &program.name, ..Event::done("client.create", &id) };
    alone(server, caller, &event, |rows, caller| {
        caller.needs(Permission::TrustManage)?;
        if Registered::all(rows, &caller.scope)?.len() >= MOST {
            return Err(Problem::invalid(format!("an organization has {MOST} programs at most")));
        }
        program.keep(rows, &caller.scope)?;
        Ok(Registered { by: caller.person.login.clone(), ..program.clone() })
    })
}

/// What is to be another.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Amendment {
    #[schemars(length(min = 1, max = 64))]
    name: Option<String>,
    redirect_uris: Option<Vec<String>>,
    device: Option<bool>,
}

impl From<Written> for Amendment {
    fn from(written: Written) -> Self {
        let Written { name, redirect_uris, device } = written;
        Self { name: Some(name), redirect_uris: Some(redirect_uris), device: Some(device) }
    }
}

/// Changes a program, if it is still as it was seen. Whoever has let it in stays signed in to it.
pub(crate) fn change(
    server: &Server,
    caller: &Caller,
    id: &str,
    change: Amendment,
    seen: Option<i64>,
) -> Answer<Registered> {
    let before = find(server, caller, id)?;
    if seen.is_some_and(|revision| revision != before.revision) {
        return Err(Problem::changed());
    }
    let was = before.written();
    let written = Written {
        name: change.name.unwrap_or(was.name),
        redirect_uris: change.redirect_uris.unwrap_or(was.redirect_uris),
        device: change.device.unwrap_or(was.device),
    };
    let program = written.program(id, "", now())?.following(&before);
    let event = Event { detail: &program.name, ..Event::done("client.change", id) };
    alone(server, caller, &event, |rows, caller| {
        caller.needs(Permission::TrustManage)?;
        if program.keep(rows, &caller.scope)? { Ok(()) } else { Err(Problem::changed()) }
    })?;
    Ok(program)
}

/// Deletes a program, with every token that it was given, the API keys that were made with those, and every code that it
/// could still exchange.
pub(crate) fn end(server: &Server, caller: &Caller, id: &str, seen: Option<i64>) -> Answer<()> {
    let name = server.db.read(&caller.scope, |rows| Registered::one(rows, &caller.scope, id))?;
    let name = name.map(|program| program.name).unwrap_or_default();
    let event = Event { detail: &name, ..Event::done("client.delete", id) };
    alone(server, caller, &event, |rows, caller| {
        caller.needs(Permission::TrustManage)?;
        let program = Registered::one(rows, &caller.scope, id)?.ok_or_else(Problem::not_found)?;
        if seen.is_some_and(|seen| seen != program.revision) {
            return Err(Problem::changed());
        }
        let own = values![caller.scope.id(), id];
        rows.execute("DELETE FROM oauth_clients WHERE org = $1 AND id = $2", own)?;
        rows.execute("DELETE FROM codes WHERE org = $1 AND client = $2", own)?;
        rows.execute("DELETE FROM devices WHERE org = $1 AND client = $2", own)?;
        let ended = programs::end_client(rows, &caller.scope, id)?;
        ended.iter().try_for_each(|ended| Ok(ended.tell_keys(rows, &server.keys, &caller.actor)?))
    })
}

async fn list(
    State(server): State<Arc<Server>>,
    caller: Caller,
    Query(asked): Query<Asked>,
) -> Answer<Json<Part<Shown>>> {
    blocking(&server, move |server| Ok(Json(some(server, &caller, &asked)?.map(shown)))).await
}

async fn show(State(server): State<Arc<Server>>, caller: Caller, Path(id): Path<String>) -> Answer<Tagged<Shown>> {
    blocking(&server, move |server| Ok(tagged(one(server, &caller, &id)?))).await
}

async fn create(
    State(server): State<Arc<Server>>,
    caller: Caller,
    written: Creation<Written>,
) -> Answer<Created<Tagged<Shown>>> {
    let (caller, written) = written.of(caller);
    blocking(&server, move |server| {
        let (make, again) = (|| make(server, &caller, written), |id: &str| one(server, &caller, id));
        let program = caller.once.carry_out(server, make, again)?;
        Ok(Created::at(format!("{ALL}/{}", program.id), tagged(program)))
    })
    .await
}

async fn amend(
    State(server): State<Arc<Server>>,
    caller: Caller,
    Path(id): Path<String>,
    Seen(seen): Seen,
    Json(wanted): Json<Amendment>,
) -> Answer<Tagged<Shown>> {
    blocking(&server, move |server| Ok(tagged(change(server, &caller, &id, wanted, seen)?))).await
}

async fn delete(
    State(server): State<Arc<Server>>,
    caller: Caller,
    Path(id): Path<String>,
    Seen(seen): Seen,
) -> Answer<Done> {
    blocking(&server, move |server| end(server, &caller, &id, seen).map(|()| Done)).await
}
