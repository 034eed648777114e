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
use super::paging::Asked;
use super::permission::Permission;
use super::problem::{Answer, Problem};
use super::routes::Route;
use super::state::Server;

mod change;
mod rows;
mod sync;

pub(crate) use change::{Amendment, Wanted, change, make, remove};
pub(crate) use rows::{Registry, all, charts, find};
pub(crate) use sync::sync;

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
        Route::new(Method::GET, "/registries/{id}/charts", read, list_charts),
    ]
}

impl Registry {
    fn answer(&self, status: StatusCode) -> Response {
        (status, [(header::ETAG, tag(self.revision))], Json(self.json())).into_response()
    }
}

async fn list(State(server): State<Arc<Server>>, caller: Caller, Query(asked): Query<Asked>) -> Answer<Json<Value>> {
    blocking(&server, move |server| {
        let page = asked.page(&server.keys, &caller.scope, "registries")?;
        server.tell(&caller.scope, &caller.actor, &Event::done("registry.list", ""))?;
        let found = server.db.read(|rows| all(rows, &caller.scope, &page.after, page.limit()))?;
        page.answer(found.iter().map(|registry| (registry.id.clone(), registry.json())).collect())
    })
    .await
}

async fn show(State(server): State<Arc<Server>>, caller: Caller, Path(id): Path<String>) -> Answer<Response> {
    blocking(&server, move |server| {
        let registry = server.db.read(|rows| find(rows, &caller.scope, &id))?;
        server.tell(&caller.scope, &caller.actor, &Event::done("registry.show", &id))?;
        Ok(registry.answer(StatusCode::OK))
    })
    .await
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
    blocking(server, move |server| sync(server, &caller, &id)).await
}

async fn ask(State(server): State<Arc<Server>>, caller: Caller, Path(id): Path<String>) -> Answer<Response> {
    Ok(synced(&server, caller, id).await?.answer(StatusCode::OK))
}

async fn list_charts(
    State(server): State<Arc<Server>>,
    caller: Caller,
    Path(id): Path<String>,
    Query(asked): Query<Asked>,
) -> Answer<Json<Value>> {
    blocking(&server, move |server| {
        let page = asked.page(&server.keys, &caller.scope, &format!("charts of {id}"))?;
        let found = server.db.read(|rows| -> Answer<_> {
            find(rows, &caller.scope, &id)?;
            Ok(charts(rows, &caller.scope, &id, &page.after, page.limit())?)
        })?;
        server.tell(&caller.scope, &caller.actor, &Event::done("registry.charts", &id))?;
        let shown = |chart: &crate::provider::registry::charts::Chart| {
            json!({
                "name": chart.name,
                "description": chart.description,
                "newest": chart.newest,
                "versions": chart.versions,
            })
        };
        page.answer(found.iter().map(|chart| (chart.name.clone(), shown(chart))).collect())
    })
    .await
}
