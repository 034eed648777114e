//! Registries of charts: Helm repositories and registries of the Open Container Initiative, the credential that each is
//! asked with, and the charts that it had when it was last asked.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::Method;
use schemars::JsonSchema;
use serde::Serialize;

use super::api::{Created, Creation, Done, Json, Query, Seen, Tagged};
use super::audit::Event;
use super::bridge::blocking;
use super::caller::{Access, Caller};
use super::paging::{Asked, Part};
use super::permission::Permission;
use super::problem::{Answer, Problem};
use super::routes::Route;
use super::state::Server;

mod change;
mod rows;
mod sync;

pub(crate) use change::{Amendment, Login, Wanted, change, make, remove};
use rows::Shown;
pub(crate) use rows::{Registry, find};

pub(crate) use crate::provider::registry::charts::{Chart, Sort};
use crate::provider::registry::charts::{Listing, NoList, Place, is_repository, list as list_charts};

const ALL: &str = "/registries";
const ONE: &str = "/registries/{id}";
/// Whoever finds all places taken waits so long.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) fn routes() -> Vec<Route> {
    let read = Access::InProject(Permission::CredentialsRead);
    let write = Access::InProject(Permission::RegistriesWrite);
    let attached = ["name-taken", "bad-name", "no-project", "no-credential", "other-host"];
    vec![
        Route::api(Method::GET, ALL, read, list, "listRegistries", "List registries"),
        Route::api(Method::POST, ALL, write, create, "createRegistry", "Make a registry").refuses(&attached),
        Route::api(Method::GET, ONE, read, show, "showRegistry", "Show a registry"),
        Route::api(Method::PATCH, ONE, write, amend, "changeRegistry", "Change a registry").refuses(&attached),
        Route::api(Method::DELETE, ONE, write, delete, "deleteRegistry", "Delete a registry"),
        Route::api(Method::POST, "/registries/{id}/sync", write, ask, "syncRegistry", "List its charts anew")
            .refuses(&["slow-down"]),
        Route::api(Method::GET, "/registries/{id}/charts", read, those_of, "listCharts", "List its charts"),
    ]
}

impl Registry {
    fn tagged(self) -> Tagged<Shown> {
        Tagged { revision: self.revision, body: self.shown() }
    }
}

/// A chart as the API answers it.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Chart")]
struct ShownChart {
    name: String,
    description: String,
    newest: String,
    /// All of them, the newest first.
    versions: Vec<String>,
}

/// One page of the registries.
pub(crate) fn some(server: &Server, caller: &Caller, asked: &Asked) -> Answer<Part<Registry>> {
    let page = asked.page(&server.keys, &caller.scope, "registries")?;
    server.tell(&caller.scope, &caller.actor, &Event::done("registry.list", ""))?;
    let found = server
        .db
        .read(&caller.scope, |rows| rows::all(rows, &caller.scope, caller.only(), &page.after, page.limit()))?;
    page.cut(found, |registry| &registry.id)
}

/// One registry.
pub(crate) fn one(server: &Server, caller: &Caller, id: &str) -> Answer<Registry> {
    let registry = server.db.read(&caller.scope, |rows| rows::find(rows, &caller.scope, id))?;
    caller.sees(registry.project())?;
    server.tell(&caller.scope, &caller.actor, &Event::done("registry.show", id))?;
    Ok(registry)
}

/// One page of the charts of a registry.
pub(crate) fn charts(server: &Server, caller: &Caller, id: &str, asked: &Asked) -> Answer<Part<Chart>> {
    let page = asked.page(&server.keys, &caller.scope, &format!("charts of {id}"))?;
    let found = server.db.read(&caller.scope, |rows| -> Answer<_> {
        caller.sees(rows::find(rows, &caller.scope, id)?.project())?;
        Ok(rows::charts(rows, &caller.scope, id, &page.after, page.limit())?)
    })?;
    server.tell(&caller.scope, &caller.actor, &Event::done("registry.charts", id))?;
    page.cut(found, |chart| &chart.name)
}

async fn list(
    State(server): State<Arc<Server>>,
    caller: Caller,
    Query(asked): Query<Asked>,
) -> Answer<Json<Part<Shown>>> {
    blocking(&server, move |server| Ok(Json(some(server, &caller, &asked)?.map(Registry::shown)))).await
}

async fn show(State(server): State<Arc<Server>>, caller: Caller, Path(id): Path<String>) -> Answer<Tagged<Shown>> {
    blocking(&server, move |server| Ok(one(server, &caller, &id)?.tagged())).await
}

async fn create(
    State(server): State<Arc<Server>>,
    caller: Caller,
    wanted: Creation<Wanted>,
) -> Answer<Created<Tagged<Shown>>> {
    let (caller, wanted) = wanted.of(caller);
    blocking(&server, move |server| {
        let (make, again) = (|| make(server, &caller, &wanted), |id: &str| one(server, &caller, id));
        let registry = caller.once.carry_out(server, make, again)?;
        Ok(Created::at(format!("{ALL}/{}", registry.id), registry.tagged()))
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
    blocking(&server, move |server| Ok(change(server, &caller, &id, &wanted, seen)?.tagged())).await
}

async fn delete(
    State(server): State<Arc<Server>>,
    caller: Caller,
    Path(id): Path<String>,
    Seen(seen): Seen,
) -> Answer<Done> {
    blocking(&server, move |server| remove(server, &caller, &id, seen).map(|()| Done)).await
}

/// Asks a registry, once it is one's turn.
pub(crate) async fn synced(server: &Arc<Server>, caller: Caller, id: String) -> Answer<Registry> {
    let turn = tokio::time::timeout(PATIENCE, sync::READING.acquire()).await;
    let _turn = turn.map_err(|_| Problem::slow_down(10))?.map_err(|closed| Problem::internal(&closed))?;
    blocking(server, move |server| sync::sync(server, &caller, &id)).await
}

async fn ask(State(server): State<Arc<Server>>, caller: Caller, Path(id): Path<String>) -> Answer<Tagged<Shown>> {
    Ok(synced(&server, caller, id).await?.tagged())
}

async fn those_of(
    State(server): State<Arc<Server>>,
    caller: Caller,
    Path(id): Path<String>,
    Query(asked): Query<Asked>,
) -> Answer<Json<Part<ShownChart>>> {
    let shown = |chart: Chart| ShownChart {
        name: chart.name,
        description: chart.description,
        newest: chart.newest,
        versions: chart.versions,
    };
    blocking(&server, move |server| Ok(Json(charts(server, &caller, &id, &asked)?.map(shown)))).await
}
