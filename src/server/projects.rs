//! Projects of an organization, and what members are in them beyond what they are in the organization.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::{Method, StatusCode};
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::api::{Created, Done, Json, Seen, Tagged};
use super::audit::Event;
use super::bridge::blocking;
use super::caller::{Access, Caller};
use super::db::{DbError, OrgScope, Row, Rows, values};
use super::paging::{Asked, Page};
use super::permission::Permission;
use super::problem::{Answer, Problem};
use super::routes::Route;
use super::state::{Server, now};
use super::team::{self, alone};
use crate::vault::id;

mod roles;

const ALL: &str = "/projects";
const ONE: &str = "/projects/{id}";
const MEMBERS: &str = "/projects/{id}/members";

pub(crate) fn routes() -> Vec<Route> {
    let (read, manage) = (Permission::CredentialsRead, Permission::ProjectsManage);
    vec![
        Route::api(Method::GET, ALL, Access::Permission(read), list, "listProjects", "List projects"),
        Route::api(Method::POST, ALL, Access::Permission(manage), create, "createProject", "Make a project")
            .refuses(&["name-taken", "bad-name"]),
        Route::api(Method::GET, ONE, Access::Permission(read), show, "showProject", "Show a project"),
        Route::api(Method::PATCH, ONE, Access::InProject(manage), rename, "renameProject", "Rename a project")
            .refuses(&["name-taken", "bad-name"]),
        Route::api(Method::DELETE, ONE, Access::Permission(manage), delete, "deleteProject", "Delete an empty project")
            .refuses(&["in-use"]),
        Route::api(
            Method::GET,
            MEMBERS,
            Access::Permission(Permission::MembersRead),
            roles::list,
            "listProjectMembers",
            "List who has a role in a project",
        ),
        Route::api(
            Method::PATCH,
            MEMBERS,
            Access::InProject(manage),
            roles::amend,
            "changeProjectMember",
            "Give somebody a role in a project, or take it back",
        ),
    ]
}

/// A project as its row stands.
pub(super) struct Project {
    pub(super) id: String,
    pub(super) name: String,
    created: i64,
    revision: i64,
}

impl Project {
    fn read(mut row: Row) -> Result<Self, DbError> {
        Ok(Self { id: row.text(0)?, name: row.text(1)?, created: row.int(2)?, revision: row.int(3)? })
    }

    fn shown(&self) -> Shown {
        let (id, name) = (self.id.clone(), self.name.clone());
        Shown { id, name, created: DateTime::from_timestamp_millis(self.created) }
    }

    fn tagged(&self) -> Tagged<Shown> {
        Tagged { revision: self.revision, body: self.shown() }
    }
}

/// A project as it is shown.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Project")]
struct Shown {
    id: String,
    name: String,
    created: Option<DateTime<Utc>>,
}

/// The project of an identifier; another organization's is not there.
pub(super) fn find(rows: &mut dyn Rows, scope: &OrgScope, id: &str) -> Answer<Project> {
    let one = "SELECT id, name, created, revision FROM projects WHERE org = $1 AND id = $2";
    Ok(Project::read(rows.first(one, values![scope.id(), id])?.ok_or_else(Problem::not_found)?)?)
}

/// The project of a name, which is held until the transaction ends.
pub(super) fn named(rows: &mut dyn Rows, scope: &OrgScope, name: &str) -> Answer<Project> {
    let hold = "UPDATE projects SET created = created WHERE org = $1 AND name = $2 \
                RETURNING id, name, created, revision";
    Ok(Project::read(rows.first(hold, values![scope.id(), name])?.ok_or_else(Problem::no_project)?)?)
}

async fn list(
    State(server): State<Arc<Server>>,
    caller: Caller,
    Query(asked): Query<Asked>,
) -> Answer<Json<Page<Shown>>> {
    blocking(&server, move |server| {
        let page = asked.page(&server.keys, &caller.scope, "projects")?;
        server.tell(&caller.scope, &caller.actor, &Event::done("project.list", ""))?;
        let all =
            "SELECT id, name, created, revision FROM projects WHERE org = $1 AND name > $2 ORDER BY name LIMIT $3";
        let found = server.db.read(|rows| rows.query(all, values![caller.scope.id(), &page.after, page.limit()]))?;
        let projects = found.into_iter().map(Project::read).collect::<Result<Vec<_>, _>>()?;
        page.give(projects.iter().map(|project| (project.name.clone(), project.shown())).collect())
    })
    .await
}

async fn show(State(server): State<Arc<Server>>, caller: Caller, Path(id): Path<String>) -> Answer<Tagged<Shown>> {
    blocking(&server, move |server| {
        let project = server.db.read(|rows| find(rows, &caller.scope, &id))?;
        server.tell(&caller.scope, &caller.actor, &Event::done("project.show", &project.id))?;
        Ok(project.tagged())
    })
    .await
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
    Json(wanted): Json<Wanted>,
) -> Answer<Created<Tagged<Shown>>> {
    let name = team::name(&wanted.name)?;
    blocking(&server, move |server| {
        let now = now();
        let project = Project { id: id::new("proj", now)?, name, created: now.timestamp_millis(), revision: 1 };
        let event = Event { detail: &project.name, ..Event::done("project.create", &project.id) };
        alone(server, &caller, &event, |rows, caller| {
            caller.needs(Permission::ProjectsManage)?;
            rows.execute(
                "INSERT INTO projects (org, id, name, folded, created, revision) VALUES ($1, $2, $3, $4, $5, 1)",
                values![
                    caller.scope.id(),
                    &project.id,
                    &project.name,
                    &project.name.to_ascii_lowercase(),
                    project.created,
                ],
            )?;
            Ok(())
        })?;
        Ok(Created::at(format!("{ALL}/{}", project.id), project.tagged()))
    })
    .await
}

/// Renames a project with all that is in it.
async fn rename(
    State(server): State<Arc<Server>>,
    caller: Caller,
    Path(id): Path<String>,
    seen: Seen,
    Json(wanted): Json<Wanted>,
) -> Answer<Tagged<Shown>> {
    let name = team::name(&wanted.name)?;
    blocking(&server, move |server| {
        let event = Event { detail: &name, ..Event::done("project.rename", &id) };
        let project = alone(server, &caller, &event, |rows, caller| {
            let former = find(rows, &caller.scope, &id)?;
            let former = named(rows, &caller.scope, &former.name)?;
            if !caller.may(Permission::ProjectsManage, Some(&former.name)) {
                return Err(Problem::forbidden(Permission::ProjectsManage.word()));
            }
            seen.must_be(former.revision)?;
            rows.execute(
                "UPDATE projects SET name = $3, folded = $4, revision = revision + 1 WHERE org = $1 AND id = $2",
                values![caller.scope.id(), &id, &name, &name.to_ascii_lowercase()],
            )?;
            if former.name != name {
                let vault = server.vault(caller.scope.clone(), caller.actor.clone());
                vault.rename_project(rows, &former.name, &name)?;
            }
            find(rows, &caller.scope, &id)
        })?;
        Ok(project.tagged())
    })
    .await
}

/// Deletes a project in which there is nothing any more.
async fn delete(State(server): State<Arc<Server>>, caller: Caller, Path(id): Path<String>, seen: Seen) -> Answer<Done> {
    blocking(&server, move |server| {
        alone(server, &caller, &Event::done("project.delete", &id), |rows, caller| {
            let project = find(rows, &caller.scope, &id)?;
            let project = named(rows, &caller.scope, &project.name)?;
            caller.needs(Permission::ProjectsManage)?;
            seen.must_be(project.revision)?;
            let scope = caller.scope.id();
            let mut users = Vec::new();
            let credentials = "SELECT name FROM credentials WHERE org = $1 AND project = $2 ORDER BY name LIMIT 20";
            for mut row in rows.query(credentials, values![scope, &project.name])? {
                users.push(format!("credential {}", row.text(0)?));
            }
            let workspaces = "SELECT name FROM workspaces WHERE org = $1 AND project = $2 ORDER BY name LIMIT 20";
            for mut row in rows.query(workspaces, values![scope, &project.id])? {
                users.push(format!("workspace {}", row.text(0)?));
            }
            if !users.is_empty() {
                let problem = Problem::new(StatusCode::CONFLICT, "in-use", "there is something in the project");
                return Err(problem.with("used_by", users));
            }
            rows.execute("DELETE FROM projects WHERE org = $1 AND id = $2", values![scope, &project.id])?;
            Ok(Done)
        })
    })
    .await
}
