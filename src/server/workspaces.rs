//! Workspaces: what works with a list of credentials, which is replaced as a whole.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::Value;

use super::audit::Event;
use super::bridge::blocking;
use super::caller::{Access, Caller};
use super::credential_configs::{seen, tag};
use super::db::values;
use super::paging::{Asked, Part};
use super::permission::Permission;
use super::problem::{Answer, Problem};
use super::projects;
use super::routes::Route;
use super::state::{Server, now};
use super::team::{self, alone};
use crate::vault::id;

mod rows;

pub(crate) use rows::{Workspace, find};
use rows::{all, attach};

const ALL: &str = "/workspaces";
const ONE: &str = "/workspaces/{id}";

pub(crate) fn routes() -> Vec<Route> {
    let read = Access::Permission(Permission::CredentialsRead);
    let write = Access::InProject(Permission::WorkspacesWrite);
    vec![
        Route::new(Method::GET, ALL, read, list),
        Route::new(Method::POST, ALL, write, create),
        Route::new(Method::GET, ONE, read, show),
        Route::new(Method::PATCH, ONE, write, amend),
        Route::new(Method::DELETE, ONE, write, delete),
    ]
}

impl Workspace {
    fn answer(&self, status: StatusCode) -> Response {
        (status, [(header::ETAG, tag(self.revision))], Json(self.json())).into_response()
    }
}

/// One page of the workspaces.
pub(crate) fn some(server: &Server, caller: &Caller, asked: &Asked) -> Answer<Part<Workspace>> {
    let page = asked.page(&server.keys, &caller.scope, "workspaces")?;
    server.tell(&caller.scope, &caller.actor, &Event::done("workspace.list", ""))?;
    let found = server.db.read(&caller.scope, |rows| all(rows, &caller.scope, &page.after, page.limit()))?;
    page.cut(found, |workspace| &workspace.id)
}

/// One workspace.
pub(crate) fn one(server: &Server, caller: &Caller, id: &str) -> Answer<Workspace> {
    let workspace = server.db.read(&caller.scope, |rows| find(rows, &caller.scope, id))?;
    server.tell(&caller.scope, &caller.actor, &Event::done("workspace.show", id))?;
    Ok(workspace)
}

async fn list(State(server): State<Arc<Server>>, caller: Caller, Query(asked): Query<Asked>) -> Answer<Json<Value>> {
    blocking(&server, move |server| Ok(some(server, &caller, &asked)?.json(Workspace::json))).await
}

async fn show(State(server): State<Arc<Server>>, caller: Caller, Path(id): Path<String>) -> Answer<Response> {
    blocking(&server, move |server| Ok(one(server, &caller, &id)?.answer(StatusCode::OK))).await
}

/// A workspace that is asked for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    pub(crate) name: String,
    /// The name of a project; the organization's without.
    pub(crate) project: Option<String>,
    #[serde(default)]
    pub(crate) credential_config_ids: Vec<String>,
}

/// Refuses, within a transaction, who may not write workspaces there.
fn needs(caller: &Caller, project: &str) -> Answer<()> {
    let permission = Permission::WorkspacesWrite;
    if caller.may(permission, Some(project)) { Ok(()) } else { Err(Problem::forbidden(permission.word())) }
}

/// Makes a workspace.
pub(crate) fn make(server: &Server, caller: &Caller, wanted: &Wanted) -> Answer<Workspace> {
    let (name, now) = (team::name(&wanted.name)?, now());
    let project = wanted.project.as_deref().unwrap_or_default();
    let id = id::new("ws", now)?;
    let event = Event { detail: &name, ..Event::done("workspace.create", &id) };
    alone(server, caller, &event, |rows, caller| {
        needs(caller, project)?;
        let project_id = match project {
            "" => String::new(),
            name => projects::named(rows, &caller.scope, name)?.id,
        };
        rows.execute(
            "INSERT INTO workspaces (org, id, project, name, folded, created, revision) \
             VALUES ($1, $2, $3, $4, $5, $6, 1)",
            values![caller.scope.id(), &id, &project_id, &name, &name.to_ascii_lowercase(), now.timestamp_millis(),],
        )?;
        attach(rows, &caller.scope, &id, project, &wanted.credential_config_ids)?;
        find(rows, &caller.scope, &id)
    })
}

async fn create(State(server): State<Arc<Server>>, caller: Caller, Json(wanted): Json<Wanted>) -> Answer<Response> {
    blocking(&server, move |server| {
        let workspace = make(server, &caller, &wanted)?;
        let mut response = workspace.answer(StatusCode::CREATED);
        if let Ok(location) = format!("{ALL}/{}", workspace.id).parse() {
            response.headers_mut().insert(header::LOCATION, location);
        }
        Ok(response)
    })
    .await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Amendment {
    pub(crate) name: Option<String>,
    /// The whole list, in its order.
    pub(crate) credential_config_ids: Option<Vec<String>>,
}

/// Changes a workspace, if it is still as it was seen.
pub(crate) fn change(
    server: &Server,
    caller: &Caller,
    id: &str,
    wanted: &Amendment,
    seen: Option<i64>,
) -> Answer<Workspace> {
    let name = wanted.name.as_deref().map(team::name).transpose()?;
    alone(server, caller, &Event::done("workspace.amend", id), |rows, caller| {
        let workspace = find(rows, &caller.scope, id)?;
        needs(caller, &workspace.project)?;
        if seen.is_some_and(|revision| revision != workspace.revision) {
            return Err(Problem::changed());
        }
        let name = name.as_ref().unwrap_or(&workspace.name);
        rows.execute(
            "UPDATE workspaces SET name = $3, folded = $4, revision = revision + 1 WHERE org = $1 AND id = $2",
            values![caller.scope.id(), id, name, &name.to_ascii_lowercase()],
        )?;
        if let Some(credentials) = &wanted.credential_config_ids {
            attach(rows, &caller.scope, id, &workspace.project, credentials)?;
        }
        find(rows, &caller.scope, id)
    })
}

/// Deletes a workspace, if it is still as it was seen. Its credentials stay.
pub(crate) fn end(server: &Server, caller: &Caller, id: &str, seen: Option<i64>) -> Answer<()> {
    alone(server, caller, &Event::done("workspace.delete", id), |rows, caller| {
        let workspace = find(rows, &caller.scope, id)?;
        needs(caller, &workspace.project)?;
        if seen.is_some_and(|revision| revision != workspace.revision) {
            return Err(Problem::changed());
        }
        let whose = values![caller.scope.id(), id];
        rows.execute("DELETE FROM workspace_credentials WHERE org = $1 AND workspace = $2", whose)?;
        rows.execute("DELETE FROM workspaces WHERE org = $1 AND id = $2", whose)?;
        Ok(())
    })
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
    blocking(&server, move |server| end(server, &caller, &id, seen).map(|()| StatusCode::NO_CONTENT)).await
}
