//! Workspaces: what works with a list of credentials, which is replaced as a whole.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::Method;
use schemars::JsonSchema;
use serde::Deserialize;

use super::api::{Created, Creation, Done, Json, Query, Seen, Tagged};
use super::audit::{Event, changed};
use super::bridge::blocking;
use super::caller::{Access, Caller};
use super::db::values;
use super::fold::folded;
use super::paging::{Asked, Part};
use super::permission::Permission;
use super::problem::{Answer, Problem};
use super::projects;
use super::routes::Route;
use super::state::{Server, now};
use super::team::{self, alone, alone_telling};
use crate::vault::id;

mod rows;

use rows::{Shown, all, attach, held, hold_all};
pub(crate) use rows::{Workspace, find};

const ALL: &str = "/workspaces";
const ONE: &str = "/workspaces/{id}";

pub(crate) fn routes() -> Vec<Route> {
    let read = Access::InProject(Permission::CredentialsRead);
    let write = Access::InProject(Permission::WorkspacesWrite);
    vec![
        Route::api(Method::GET, ALL, read, list, "listWorkspaces", "List workspaces"),
        Route::api(Method::POST, ALL, write, create, "createWorkspace", "Make a workspace").refuses(&[
            "name-taken",
            "bad-name",
            "no-project",
            "no-credential",
        ]),
        Route::api(Method::GET, ONE, read, show, "showWorkspace", "Show a workspace"),
        Route::api(
            Method::PATCH,
            ONE,
            write,
            amend,
            "changeWorkspace",
            "Rename a workspace, or replace its credentials",
        )
        .refuses(&["name-taken", "bad-name", "no-credential"]),
        Route::api(Method::DELETE, ONE, write, delete, "deleteWorkspace", "Delete a workspace"),
    ]
}

impl Workspace {
    fn tagged(self) -> Tagged<Shown> {
        Tagged { revision: self.revision, body: self.shown() }
    }
}

/// One page of the workspaces.
pub(crate) fn some(server: &Server, caller: &Caller, asked: &Asked) -> Answer<Part<Workspace>> {
    let page = asked.page(&server.keys, &caller.scope, "workspaces")?;
    server.tell(&caller.scope, &caller.actor, &Event::done("workspace.list", ""))?;
    let found =
        server.db.read(&caller.scope, |rows| all(rows, &caller.scope, caller.only(), &page.after, page.limit()))?;
    page.cut(found, |workspace| &workspace.id)
}

/// One workspace.
pub(crate) fn one(server: &Server, caller: &Caller, id: &str) -> Answer<Workspace> {
    let workspace = server.db.read(&caller.scope, |rows| find(rows, &caller.scope, id))?;
    caller.sees(Some(&workspace.project))?;
    server.tell(&caller.scope, &caller.actor, &Event::done("workspace.show", id))?;
    Ok(workspace)
}

async fn list(
    State(server): State<Arc<Server>>,
    caller: Caller,
    Query(asked): Query<Asked>,
) -> Answer<Json<Part<Shown>>> {
    blocking(&server, move |server| Ok(Json(some(server, &caller, &asked)?.map(Workspace::shown)))).await
}

async fn show(State(server): State<Arc<Server>>, caller: Caller, Path(id): Path<String>) -> Answer<Tagged<Shown>> {
    blocking(&server, move |server| Ok(one(server, &caller, &id)?.tagged())).await
}

/// A workspace that is asked for.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    #[schemars(length(min = 1, max = 64), regex(pattern = team::NAMES))]
    pub(crate) name: String,
    /// The name of a project; the organization's without.
    pub(crate) project: Option<String>,
    /// The credentials that the work is done with, in their order.
    #[serde(default)]
    #[schemars(length(max = 1000))]
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
        hold_all(rows, &caller.scope, project, &wanted.credential_config_ids)?;
        rows.execute(
            "INSERT INTO workspaces (org, id, project, name, folded, created, revision) \
             VALUES ($1, $2, $3, $4, $5, $6, 1)",
            values![caller.scope.id(), &id, &project_id, &name, &folded(&name), now.timestamp_millis(),],
        )?;
        attach(rows, &caller.scope, &id, &wanted.credential_config_ids)?;
        find(rows, &caller.scope, &id)
    })
}

async fn create(
    State(server): State<Arc<Server>>,
    caller: Caller,
    wanted: Creation<Wanted>,
) -> Answer<Created<Tagged<Shown>>> {
    let (caller, wanted) = wanted.of(caller);
    blocking(&server, move |server| {
        let (make, again) = (|| make(server, &caller, &wanted), |id: &str| one(server, &caller, id));
        let workspace = caller.once.carry_out(server, make, again)?;
        Ok(Created::at(format!("{ALL}/{}", workspace.id), workspace.tagged()))
    })
    .await
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Amendment {
    #[schemars(length(min = 1, max = 64), regex(pattern = team::NAMES))]
    pub(crate) name: Option<String>,
    /// The whole list, in its order.
    #[schemars(length(max = 1000))]
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
    alone_telling(server, caller, &Event::done("workspace.amend", id), |rows, caller| {
        let found = find(rows, &caller.scope, id)?;
        caller.sees(Some(&found.project))?;
        needs(caller, &found.project)?;
        if let Some(credentials) = &wanted.credential_config_ids {
            hold_all(rows, &caller.scope, &found.project, credentials)?;
        }
        let workspace = held(rows, &caller.scope, id, seen)?;
        let name = name.as_ref().unwrap_or(&workspace.name);
        rows.execute(
            "UPDATE workspaces SET name = $3, folded = $4, revision = revision + 1 WHERE org = $1 AND id = $2",
            values![caller.scope.id(), id, name, &folded(name)],
        )?;
        if let Some(credentials) = &wanted.credential_config_ids {
            attach(rows, &caller.scope, id, credentials)?;
        }
        let now = find(rows, &caller.scope, id)?;
        let lists = [&now, &workspace].map(|one| &one.credentials);
        let told = changed(&[("name", now.name != workspace.name), ("credential_config_ids", lists[0] != lists[1])]);
        Ok((now, told))
    })
}

/// Deletes a workspace, if it is still as it was seen. Its credentials stay.
pub(crate) fn end(server: &Server, caller: &Caller, id: &str, seen: Option<i64>) -> Answer<()> {
    alone(server, caller, &Event::done("workspace.delete", id), |rows, caller| {
        let found = find(rows, &caller.scope, id)?;
        caller.sees(Some(&found.project))?;
        needs(caller, &found.project)?;
        held(rows, &caller.scope, id, seen)?;
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
    blocking(&server, move |server| end(server, &caller, &id, seen).map(|()| Done)).await
}
