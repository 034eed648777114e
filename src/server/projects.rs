//! Projects of an organization, and what members are in them beyond what they are in the organization.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{Method, StatusCode};
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::api::{Created, Creation, Done, Json, Query, Seen, Tagged};
use super::audit::{Event, Outcome};
use super::bearer;
use super::bridge::blocking;
use super::caller::{Access, Caller};
use super::db::{DbError, OrgScope, Row, Rows, values};
use super::fold::folded;
use super::paging::{Asked, Part};
use super::permission::Permission;
use super::problem::{Answer, Problem};
use super::routes::Route;
use super::state::{Server, now};
use super::team::{self, alone};
use crate::vault::id;

pub(crate) mod roles;

/// So many are offered in a choice.
pub(crate) const OFFERED: i64 = 200;

const ALL: &str = "/projects";
const ONE: &str = "/projects/{id}";

pub(crate) fn routes() -> Vec<Route> {
    let (read, manage) = (Permission::CredentialsRead, Permission::ProjectsManage);
    vec![
        Route::api(Method::GET, ALL, Access::InProject(read), list, "listProjects", "List projects"),
        Route::api(Method::POST, ALL, Access::Permission(manage), create, "createProject", "Make a project")
            .refuses(&["name-taken", "bad-name"]),
        Route::api(Method::GET, ONE, Access::InProject(read), show, "showProject", "Show a project"),
        Route::api(Method::PATCH, ONE, Access::InProject(manage), rename, "renameProject", "Rename a project")
            .refuses(&["name-taken", "bad-name"]),
        Route::api(Method::DELETE, ONE, Access::Permission(manage), delete, "deleteProject", "Delete an empty project")
            .refuses(&["in-use"]),
    ]
    .into_iter()
    .chain(roles::routes())
    .collect()
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

    fn shown(self) -> Shown {
        let created = self.created();
        Shown { id: self.id, name: self.name, created }
    }

    fn tagged(self) -> Tagged<Shown> {
        Tagged { revision: self.revision, body: self.shown() }
    }
}

/// A project as the API shows it.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Project")]
struct Shown {
    id: String,
    name: String,
    created: Option<DateTime<Utc>>,
}

/// The project of an identifier; another organization's is not there.
pub(crate) fn find(rows: &mut dyn Rows, scope: &OrgScope, id: &str) -> Answer<Project> {
    let one = "SELECT id, name, created, revision FROM projects WHERE org = $1 AND id = $2";
    Ok(Project::read(rows.first(one, values![scope.id(), id])?.ok_or_else(Problem::not_found)?)?)
}

/// The name of the project of an identifier, if there is one.
pub(crate) fn name(rows: &mut dyn Rows, scope: &OrgScope, id: &str) -> Result<Option<String>, DbError> {
    let one = "SELECT name FROM projects WHERE org = $1 AND id = $2";
    rows.first(one, values![scope.id(), id])?.map(|mut row| row.text(0)).transpose()
}

/// The project of a name, which is held until the transaction ends.
pub(crate) fn named(rows: &mut dyn Rows, scope: &OrgScope, name: &str) -> Answer<Project> {
    let hold = "UPDATE projects SET created = created WHERE org = $1 AND name = $2 \
                RETURNING id, name, created, revision";
    Ok(Project::read(rows.first(hold, values![scope.id(), name])?.ok_or_else(Problem::no_project)?)?)
}

/// One page of the projects.
pub(crate) fn some(server: &Server, caller: &Caller, asked: &Asked) -> Answer<Part<Project>> {
    let page = asked.page(&server.keys, &caller.scope, "projects")?;
    server.tell(&caller.scope, &caller.actor, &Event::done("project.list", ""))?;
    let all = "SELECT id, name, created, revision FROM projects \
               WHERE org = $1 AND name > $2 AND (name = $4 OR $4 IS NULL) ORDER BY name LIMIT $3";
    let whose = values![caller.scope.id(), &page.after, page.limit(), caller.only()];
    let found = server.db.read(&caller.scope, |rows| rows.query(all, whose))?;
    page.cut(found.into_iter().map(Project::read).collect::<Result<Vec<_>, _>>()?, |project| &project.name)
}

/// One project.
pub(crate) fn one(server: &Server, caller: &Caller, id: &str) -> Answer<Project> {
    let project = server.db.read(&caller.scope, |rows| find(rows, &caller.scope, id))?;
    caller.sees(Some(&project.name))?;
    server.tell(&caller.scope, &caller.actor, &Event::done("project.show", &project.id))?;
    Ok(project)
}

/// The names of the first ones, for a choice, and whether there are more.
pub(crate) fn names(rows: &mut dyn Rows, scope: &OrgScope) -> Result<(Vec<String>, bool), DbError> {
    let names = "SELECT name FROM projects WHERE org = $1 ORDER BY name LIMIT $2";
    let found = rows.query(names, values![scope.id(), OFFERED + 1])?;
    let mut names = found.into_iter().map(|mut row| row.text(0)).collect::<Result<Vec<_>, _>>()?;
    let offered = usize::try_from(OFFERED).unwrap_or_default();
    let is_cut = names.len() > offered;
    names.truncate(offered);
    Ok((names, is_cut))
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
            values![caller.scope.id(), &project.id, &project.name, &folded(&project.name), project.created],
        )?;
        Ok(())
    })?;
    Ok(project)
}

/// So often is looked for what was changed in a project while it was about to be renamed.
const LOOKS: usize = 8;

/// Renames a project with all that is in it, if it is still as it was seen.
pub(crate) fn call(server: &Server, caller: &Caller, id: &str, name: &str, seen: Option<i64>) -> Answer<Project> {
    let name = team::name(name)?;
    let event = Event { detail: &name, ..Event::done("project.rename", id) };
    let vault = server.vault(caller.scope.clone(), caller.actor.clone());
    // Whoever may not rename it has nothing sealed for another name.
    let renames = |former: &Project| former.name != name && caller.may(Permission::ProjectsManage, Some(&former.name));
    let former = server.db.read(&caller.scope, |rows| find(rows, &caller.scope, id)).ok().filter(renames);
    let mut sealed = former.map(|former| vault.about_to_rename(&former.name, &name)).transpose()?;
    let mut looks = 0;
    let (project, moved) = loop {
        let mut is_sealed = true;
        let done = alone(server, caller, &event, |rows, caller| {
            let former = find(rows, &caller.scope, id)?;
            let former = named(rows, &caller.scope, &former.name)?;
            caller.sees(Some(&former.name))?;
            if !caller.may(Permission::ProjectsManage, Some(&former.name)) {
                return Err(Problem::forbidden(Permission::ProjectsManage.word()));
            }
            if seen.is_some_and(|revision| revision != former.revision) {
                return Err(Problem::changed());
            }
            rows.execute(
                "UPDATE projects SET name = $3, folded = $4, revision = revision + 1 WHERE org = $1 AND id = $2",
                values![caller.scope.id(), id, &name, &folded(&name)],
            )?;
            let mut moved = Vec::new();
            if former.name != name {
                // Somebody else has renamed it meanwhile, or let the caller do it.
                let sealed =
                    sealed.as_mut().filter(|sealed| sealed.is_of(&former.name)).ok_or_else(Problem::changed)?;
                let Some(ids) = vault.rename_project(rows, sealed)? else {
                    is_sealed = false;
                    return Err(Problem::unavailable());
                };
                moved = ids;
            }
            Ok((find(rows, &caller.scope, id)?, moved))
        });
        match (done, &mut sealed) {
            // What changes all the time, such as a sign-in that is renewed, is sealed anew; the rest waits as it is.
            (Err(_), Some(sealed)) if !is_sealed && looks < LOOKS => vault.go_on_renaming(sealed)?,
            (done, _) if is_sealed => break done?,
            _ => {
                let denied = Event { outcome: Outcome::Denied, ..event.clone() };
                server.tell(&caller.scope, &caller.actor, &denied)?;
                return Err(Problem::changed());
            }
        }
        looks += 1;
    };
    vault.clear_all(&moved);
    Ok(project)
}

/// What is in a project, in words: the first twenty credentials, workspaces, registries and trust rules of it.
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
    let registries = "SELECT name FROM registries WHERE org = $1 AND project = $2 ORDER BY name LIMIT 20";
    for mut row in rows.query(registries, values![scope.id(), &project.id])? {
        content.push(format!("registry {}", row.text(0)?));
    }
    let rules = "SELECT name FROM trust_rules WHERE org = $1 AND project = $2 ORDER BY name LIMIT 20";
    for mut row in rows.query(rules, values![scope.id(), &project.id])? {
        content.push(format!("trust rule {}", row.text(0)?));
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
        bearer::revoke_project(rows, &caller.scope, &project.id, now())?;
        rows.execute("DELETE FROM projects WHERE org = $1 AND id = $2", values![caller.scope.id(), &project.id])?;
        Ok(())
    })
}

async fn list(
    State(server): State<Arc<Server>>,
    caller: Caller,
    Query(asked): Query<Asked>,
) -> Answer<Json<Part<Shown>>> {
    blocking(&server, move |server| Ok(Json(some(server, &caller, &asked)?.map(Project::shown)))).await
}

async fn show(State(server): State<Arc<Server>>, caller: Caller, Path(id): Path<String>) -> Answer<Tagged<Shown>> {
    blocking(&server, move |server| Ok(one(server, &caller, &id)?.tagged())).await
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Wanted {
    #[schemars(length(min = 1, max = 64), regex(pattern = team::NAMES))]
    name: String,
}

async fn create(
    State(server): State<Arc<Server>>,
    caller: Caller,
    wanted: Creation<Wanted>,
) -> Answer<Created<Tagged<Shown>>> {
    let (caller, wanted) = wanted.of(caller);
    blocking(&server, move |server| {
        let (make, again) = (|| make(server, &caller, &wanted.name), |id: &str| one(server, &caller, id));
        let project = caller.once.carry_out(server, make, again)?;
        Ok(Created::at(format!("{ALL}/{}", project.id), project.tagged()))
    })
    .await
}

async fn rename(
    State(server): State<Arc<Server>>,
    caller: Caller,
    Path(id): Path<String>,
    Seen(seen): Seen,
    Json(wanted): Json<Wanted>,
) -> Answer<Tagged<Shown>> {
    blocking(&server, move |server| Ok(call(server, &caller, &id, &wanted.name, seen)?.tagged())).await
}

async fn delete(
    State(server): State<Arc<Server>>,
    caller: Caller,
    Path(id): Path<String>,
    Seen(seen): Seen,
) -> Answer<Done> {
    blocking(&server, move |server| end(server, &caller, &id, seen).map(|()| Done)).await
}
