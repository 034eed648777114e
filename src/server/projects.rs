//! Projects of an organization, and what members are in them beyond what they are in the organization.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::{Value, json};

use super::audit::Event;
use super::bridge::blocking;
use super::caller::{Access, Caller};
use super::credential_configs::{seen, tag};
use super::db::{DbError, OrgScope, Row, Rows, values};
use super::paging::{Asked, Part};
use super::permission::Permission;
use super::problem::{Answer, Problem};
use super::routes::Route;
use super::state::{Server, now};
use super::team::{self, alone};
use crate::vault::id;

pub(crate) mod roles;

const ONE: &str = "/projects/{id}";

pub(crate) fn routes() -> Vec<Route> {
    let (read, manage) = (Permission::CredentialsRead, Permission::ProjectsManage);
    vec![
        Route::new(Method::GET, "/projects", Access::Permission(read), list),
        Route::new(Method::POST, "/projects", Access::Permission(manage), create),
        Route::new(Method::GET, ONE, Access::Permission(read), show),
        Route::new(Method::PATCH, ONE, Access::InProject(manage), rename),
        Route::new(Method::DELETE, ONE, Access::Permission(manage), delete),
        Route::new(Method::GET, "/projects/{id}/members", Access::Permission(Permission::MembersRead), roles::list),
        Route::new(Method::PATCH, "/projects/{id}/members", Access::InProject(manage), roles::amend),
    ]
}

/// A project as its row stands.
pub(crate) struct Project {
    pub(crate) id: String,
    pub(crate) name: String,
    created: i64,
    pub(crate) revision: i64,
}

impl Project {
    fn read(mut row: Row) -> Result<Self, DbError> {
        Ok(Self { id: row.text(0)?, name: row.text(1)?, created: row.int(2)?, revision: row.int(3)? })
    }

    /// When it was made.
    pub(crate) fn created(&self) -> Option<DateTime<Utc>> {
        DateTime::from_timestamp_millis(self.created)
    }

    fn json(&self) -> Value {
        json!({ "id": self.id, "name": self.name, "created": self.created() })
    }

    fn answer(&self, status: StatusCode) -> Response {
        (status, [(header::ETAG, tag(self.revision))], Json(self.json())).into_response()
    }
}

/// The project of an identifier; another organization's is not there.
pub(crate) fn find(rows: &mut dyn Rows, scope: &OrgScope, id: &str) -> Answer<Project> {
    let one = "SELECT id, name, created, revision FROM projects WHERE org = $1 AND id = $2";
    Ok(Project::read(rows.first(one, values![scope.id(), id])?.ok_or_else(Problem::not_found)?)?)
}

/// The project of a name, which is held until the transaction ends.
pub(super) fn named(rows: &mut dyn Rows, scope: &OrgScope, name: &str) -> Answer<Project> {
    let hold = "UPDATE projects SET created = created WHERE org = $1 AND name = $2 \
                RETURNING id, name, created, revision";
    Ok(Project::read(rows.first(hold, values![scope.id(), name])?.ok_or_else(Problem::no_project)?)?)
}

/// One page of the projects.
pub(crate) fn some(server: &Server, caller: &Caller, asked: &Asked) -> Answer<Part<Project>> {
    let page = asked.page(&server.keys, &caller.scope, "projects")?;
    server.tell(&caller.scope, &caller.actor, &Event::done("project.list", ""))?;
    let all = "SELECT id, name, created, revision FROM projects WHERE org = $1 AND name > $2 ORDER BY name LIMIT $3";
    let found =
        server.db.read(&caller.scope, |rows| rows.query(all, values![caller.scope.id(), &page.after, page.limit()]))?;
    page.cut(found.into_iter().map(Project::read).collect::<Result<Vec<_>, _>>()?, |project| &project.name)
}

/// One project.
pub(crate) fn one(server: &Server, caller: &Caller, id: &str) -> Answer<Project> {
    let project = server.db.read(&caller.scope, |rows| find(rows, &caller.scope, id))?;
    server.tell(&caller.scope, &caller.actor, &Event::done("project.show", &project.id))?;
    Ok(project)
}

/// The names of the first two hundred, for a choice.
pub(crate) fn names(rows: &mut dyn Rows, scope: &OrgScope) -> Result<Vec<String>, DbError> {
    let names = "SELECT name FROM projects WHERE org = $1 ORDER BY name LIMIT 200";
    rows.query(names, values![scope.id()])?.into_iter().map(|mut row| row.text(0)).collect()
}

/// Makes a project.
pub(crate) fn make(server: &Server, caller: &Caller, name: &str) -> Answer<Project> {
    let (name, now) = (team::name(name)?, now());
    let project = Project { id: id::new("proj", now)?, name, created: now.timestamp_millis(), revision: 1 };
    let event = Event { detail: &project.name, ..Event::done("project.create", &project.id) };
    alone(server, caller, &event, |rows, caller| {
        caller.needs(Permission::ProjectsManage)?;
        rows.execute(
            "INSERT INTO projects (org, id, name, folded, created, revision) VALUES ($1, $2, $3, $4, $5, 1)",
            values![caller.scope.id(), &project.id, &project.name, &project.name.to_ascii_lowercase(), project.created],
        )?;
        Ok(())
    })?;
    Ok(project)
}

/// Renames a project with all that is in it, if it is still as it was seen.
pub(crate) fn call(server: &Server, caller: &Caller, id: &str, name: &str, seen: Option<i64>) -> Answer<Project> {
    let name = team::name(name)?;
    let event = Event { detail: &name, ..Event::done("project.rename", id) };
    let vault = server.vault(caller.scope.clone(), caller.actor.clone());
    // Whoever may not rename it has nothing sealed for another name.
    let renames = |former: &Project| former.name != name && caller.may(Permission::ProjectsManage, Some(&former.name));
    let former = server.db.read(&caller.scope, |rows| find(rows, &caller.scope, id)).ok().filter(renames);
    let mut sealed = former.map(|former| vault.about_to_rename(&former.name, &name)).transpose()?;
    let (project, moved) = alone(server, caller, &event, |rows, caller| {
        let former = find(rows, &caller.scope, id)?;
        let former = named(rows, &caller.scope, &former.name)?;
        if !caller.may(Permission::ProjectsManage, Some(&former.name)) {
            return Err(Problem::forbidden(Permission::ProjectsManage.word()));
        }
        if seen.is_some_and(|revision| revision != former.revision) {
            return Err(Problem::changed());
        }
        rows.execute(
            "UPDATE projects SET name = $3, folded = $4, revision = revision + 1 WHERE org = $1 AND id = $2",
            values![caller.scope.id(), id, &name, &name.to_ascii_lowercase()],
        )?;
        let mut moved = Vec::new();
        if former.name != name {
            // Somebody else has renamed it meanwhile, or let the caller do it.
            moved = vault.rename_project(rows, sealed.take().ok_or_else(Problem::changed)?)?;
        }
        Ok((find(rows, &caller.scope, id)?, moved))
    })?;
    vault.clear_all(&moved);
    Ok(project)
}

/// What is in a project, in words: the first twenty credentials and workspaces.
pub(crate) fn content(rows: &mut dyn Rows, scope: &OrgScope, project: &Project) -> Result<Vec<String>, DbError> {
    let mut content = Vec::new();
    let credentials = "SELECT name FROM credentials WHERE org = $1 AND project = $2 ORDER BY name LIMIT 20";
    for mut row in rows.query(credentials, values![scope.id(), &project.name])? {
        content.push(format!("credential {}", row.text(0)?));
    }
    let workspaces = "SELECT name FROM workspaces WHERE org = $1 AND project = $2 ORDER BY name LIMIT 20";
    for mut row in rows.query(workspaces, values![scope.id(), &project.id])? {
        content.push(format!("workspace {}", row.text(0)?));
    }
    Ok(content)
}

/// Deletes a project in which there is nothing any more, if it is still as it was seen.
pub(crate) fn end(server: &Server, caller: &Caller, id: &str, seen: Option<i64>) -> Answer<()> {
    alone(server, caller, &Event::done("project.delete", id), |rows, caller| {
        let project = find(rows, &caller.scope, id)?;
        let project = named(rows, &caller.scope, &project.name)?;
        caller.needs(Permission::ProjectsManage)?;
        if seen.is_some_and(|revision| revision != project.revision) {
            return Err(Problem::changed());
        }
        let users = content(rows, &caller.scope, &project)?;
        if !users.is_empty() {
            let problem = Problem::new(StatusCode::CONFLICT, "in-use", "there is something in the project");
            return Err(problem.with("used_by", users));
        }
        rows.execute("DELETE FROM projects WHERE org = $1 AND id = $2", values![caller.scope.id(), &project.id])?;
        Ok(())
    })
}

async fn list(State(server): State<Arc<Server>>, caller: Caller, Query(asked): Query<Asked>) -> Answer<Json<Value>> {
    blocking(&server, move |server| Ok(some(server, &caller, &asked)?.json(Project::json))).await
}

async fn show(State(server): State<Arc<Server>>, caller: Caller, Path(id): Path<String>) -> Answer<Response> {
    blocking(&server, move |server| Ok(one(server, &caller, &id)?.answer(StatusCode::OK))).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    name: String,
}

async fn create(State(server): State<Arc<Server>>, caller: Caller, Json(wanted): Json<Wanted>) -> Answer<Response> {
    blocking(&server, move |server| {
        let project = make(server, &caller, &wanted.name)?;
        let mut response = project.answer(StatusCode::CREATED);
        if let Ok(location) = format!("/projects/{}", project.id).parse() {
            response.headers_mut().insert(header::LOCATION, location);
        }
        Ok(response)
    })
    .await
}

async fn rename(
    State(server): State<Arc<Server>>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
    Json(wanted): Json<Wanted>,
) -> Answer<Response> {
    let seen = seen(&headers)?;
    blocking(&server, move |server| Ok(call(server, &caller, &id, &wanted.name, seen)?.answer(StatusCode::OK))).await
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
