//! Registries of charts: Helm repositories and registries of the Open Container Initiative, the credential that each is
//! asked with, and the charts that it had when it was last asked.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::audit::Event;
use super::bridge::blocking;
use super::caller::{Access, Caller};
use super::credential_configs::{seen, tag};
use super::paging::{Asked, Part};
use super::permission::Permission;
use super::problem::{Answer, Problem};
use super::routes::Route;
use super::state::Server;

mod change;
mod rows;
mod sync;

pub(crate) use change::{Amendment, Login, Wanted, change, make, remove};
pub(crate) use rows::Registry;

pub(crate) use crate::provider::registry::charts::{Chart, Sort};
use crate::provider::registry::charts::{Listing, NoList, Place, is_repository, list as list_charts};

const ALL: &str = "/registries";
const ONE: &str = "/registries/{id}";
/// Whoever finds all places taken waits so long.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) fn routes() -> Vec<Route> {
    let read = Access::Permission(Permission::CredentialsRead);
    let write = Access::InProject(Permission::RegistriesWrite);
    vec![
        Route::new(Method::GET, ALL, read, list),
        Route::new(Method::POST, ALL, write, create),
        Route::new(Method::GET, ONE, read, show),
        Route::new(Method::PATCH, ONE, write, amend),
        Route::new(Method::DELETE, ONE, write, delete),
        Route::new(Method::POST, "/registries/{id}/sync", write, ask),
        Route::new(Method::GET, "/registries/{id}/charts", read, those_of),
    ]
}

impl Registry {
    fn answer(&self, status: StatusCode) -> Response {
        (status, [(header::ETAG, tag(self.revision))], Json(self.json())).into_response()
    }
}

/// One page of the registries.
pub(crate) fn some(server: &Server, caller: &Caller, asked: &Asked) -> Answer<Part<Registry>> {
    let page = asked.page(&server.keys, &caller.scope, "registries")?;
    server.tell(&caller.scope, &caller.actor, &Event::done("registry.list", ""))?;
    let found = server.db.read(&caller.scope, |rows| rows::all(rows, &caller.scope, &page.after, page.limit()))?;
    page.cut(found, |registry| &registry.id)
}

/// One registry.
pub(crate) fn one(server: &Server, caller: &Caller, id: &str) -> Answer<Registry> {
    let registry = server.db.read(&caller.scope, |rows| rows::find(rows, &caller.scope, id))?;
    server.tell(&caller.scope, &caller.actor, &Event::done("registry.show", id))?;
    Ok(registry)
}

/// One page of the charts of a registry.
pub(crate) fn charts(server: &Server, caller: &Caller, id: &str, asked: &Asked) -> Answer<Part<Chart>> {
    let page = asked.page(&server.keys, &caller.scope, &format!("charts of {id}"))?;
    let found = server.db.read(&caller.scope, |rows| -> Answer<_> {
        rows::find(rows, &caller.scope, id)?;
        Ok(rows::charts(rows, &caller.scope, id, &page.after, page.limit())?)
    })?;
    server.tell(&caller.scope, &caller.actor, &Event::done("registry.charts", id))?;
    page.cut(found, |chart| &chart.name)
}

async fn list(State(server): State<Arc<Server>>, caller: Caller, Query(asked): Query<Asked>) -> Answer<Json<Value>> {
    blocking(&server, move |server| Ok(some(server, &caller, &asked)?.json(Registry::json))).await
}

async fn show(State(server): State<Arc<Server>>, caller: Caller, Path(id): Path<String>) -> Answer<Response> {
    blocking(&server, move |server| Ok(one(server, &caller, &id)?.answer(StatusCode::OK))).await
}

async fn create(State(server): State<Arc<Server>>, caller: Caller, Json(wanted): Json<Wanted>) -> Answer<Response> {
    blocking(&server, move |server| {
        let registry = make(server, &caller, &wanted)?;
        let mut response = registry.answer(StatusCode::CREATED);
        if let Ok(location) = format!("{ALL}/{}", registry.id).parse() {
            response.headers_mut().insert(header::LOCATION, location);
        }
        Ok(response)
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
    blocking(&server, move |server| Ok(change(server, &caller, &id, &wanted, seen)?.answer(StatusCode::OK))).await
}

async fn delete(
    State(server): State<Arc<Server>>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Answer<StatusCode> {
    let seen = seen(&headers)?;
    blocking(&server, move |server| remove(server, &caller, &id, seen).map(|()| StatusCode::NO_CONTENT)).await
}

/// Asks a registry, once it is one's turn.
pub(crate) async fn synced(server: &Arc<Server>, caller: Caller, id: String) -> Answer<Registry> {
    let turn = tokio::time::timeout(PATIENCE, sync::READING.acquire()).await;
    let _turn = turn.map_err(|_| Problem::slow_down(10))?.map_err(|closed| Problem::internal(&closed))?;
    blocking(server, move |server| sync::sync(server, &caller, &id)).await
}

async fn ask(State(server): State<Arc<Server>>, caller: Caller, Path(id): Path<String>) -> Answer<Response> {
    Ok(synced(&server, caller, id).await?.answer(StatusCode::OK))
}

async fn those_of(
    State(server): State<Arc<Server>>,
    caller: Caller,
    Path(id): Path<String>,
    Query(asked): Query<Asked>,
) -> Answer<Json<Value>> {
    let shown = |chart: &Chart| {
        json!({
            "name": chart.name,
            "description": chart.description,
            "newest": chart.newest,
            "versions": chart.versions,
        })
    };
    blocking(&server, move |server| Ok(charts(server, &caller, &id, &asked)?.json(shown))).await
}
