//! What members are in a project.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{find, named};
use crate::server::api::{Json, Query, Seen, Tagged, version};
use crate::server::audit::Event;
use crate::server::bridge::blocking;
use crate::server::caller::{Access, Caller};
use crate::server::db::{DbError, OrgScope, Rows, values};
use crate::server::paging::{Asked, Part};
use crate::server::people;
use crate::server::permission::{Permission, Role};
use crate::server::problem::{Answer, Problem};
use crate::server::routes::Route;
use crate::server::state::{Server, now};
use crate::server::team::alone_telling;

const ALL: &str = "/projects/{id}/members";

pub(super) fn routes() -> [Route; 2] {
    let read = Access::Permission(Permission::MembersRead);
    let manage = Access::InProject(Permission::ProjectsManage);
    [
        Route::api(Method::GET, ALL, read, list, "listProjectMembers", "List who has a role in a project"),
        Route::api(
            Method::PATCH,
            ALL,
            manage,
            amend,
            "changeProjectMember",
            "Give a role in a project, or take it back",
        ),
    ]
}

async fn list(
    State(server): State<Arc<Server>>,
    caller: Caller,
    Path(id): Path<String>,
    Query(asked): Query<Asked>,
) -> Answer<Tagged<Part<Shown>>> {
    blocking(&server, move |server| {
        // Of before the page: what came in between is then told as a change that was not seen.
        let revision = server.db.read(&caller.scope, |rows| version_of(rows, &caller.scope, &id))?;
        Ok(Tagged { revision, body: some(server, &caller, &id, &asked)? })
    })
    .await
}

/// The version of all roles in a project, as they are seen.
pub(crate) fn seen(server: &Server, caller: &Caller, id: &str) -> Answer<i64> {
    Ok(server.db.read(&caller.scope, |rows| version_of(rows, &caller.scope, id))?)
}

/// The version of all roles in a project together, whichever page of them one sees.
fn version_of(rows: &mut dyn Rows, scope: &OrgScope, id: &str) -> Result<i64, DbError> {
    let all = "SELECT person, role FROM project_roles WHERE org = $1 AND project = $2 ORDER BY person";
    let mut texts = Vec::new();
    for mut row in rows.query(all, values![scope.id(), id])? {
        texts.extend([row.text(0)?, row.text(1)?]);
    }
    Ok(version(texts.iter().map(String::as_str)))
}

/// Somebody with a role in a project.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ProjectMember")]
pub(crate) struct Shown {
    pub(crate) id: String,
    pub(crate) login: String,
    pub(crate) role: String,
}

/// One page of those who have a role in a project.
pub(crate) fn some(server: &Server, caller: &Caller, id: &str, asked: &Asked) -> Answer<Part<Shown>> {
    let page = asked.page(&server.keys, &caller.scope, &format!("project-members {id}"))?;
    let found = server.db.read(&caller.scope, |rows| -> Answer<_> {
        find(rows, &caller.scope, id)?;
        let all = "SELECT project_roles.person, people.login, role FROM project_roles \
                   JOIN people ON people.id = project_roles.person \
                   WHERE org = $1 AND project = $2 AND project_roles.person > $3 \
                   ORDER BY project_roles.person LIMIT $4";
        Ok(rows.query(all, values![caller.scope.id(), id, &page.after, page.limit()])?)
    })?;
    server.tell(&caller.scope, &caller.actor, &Event::done("project.members", id))?;
    let mut items = Vec::new();
    for mut row in found {
        items.push(Shown { id: row.text(0)?, login: row.text(1)?, role: row.text(2)? });
    }
    page.cut(items, |one| &one.id)
}

/// Gives a member a role in a project, or takes it back, if the roles in it are still as they were seen. Their version
/// then.
pub(crate) fn give(
    server: &Server,
    caller: &Caller,
    id: &str,
    person: &str,
    role: Option<Role>,
    seen: Option<i64>,
) -> Answer<i64> {
    let detail = format!("{person} {}", role.map_or("none", Role::word));
    let event = Event { detail: &detail, ..Event::done("project.role", id) };
    alone_telling(server, caller, &event, |rows, caller| {
        let project = find(rows, &caller.scope, id)?;
        let project = named(rows, &caller.scope, &project.name)?;
        let may = |permission| caller.may(permission, Some(&project.name));
        if !may(Permission::ProjectsManage) {
            return Err(Problem::forbidden(Permission::ProjectsManage.word()));
        }
        // Nobody gives what they do not have there themselves.
        let given = role.map(people::in_a_project).unwrap_or_default();
        if let Some(lacks) = given.iter().find(|one| !may(*one)) {
            return Err(Problem::forbidden(lacks.word()));
        }
        let version = version_of(rows, &caller.scope, id)?;
        if seen.is_some_and(|seen| seen != version) {
            return Err(Problem::changed());
        }
        if people::role(rows, &caller.scope, person)?.is_none() {
            return Err(Problem::invalid("whoever is named is no member of the organization"));
        }
        let whose = values![caller.scope.id(), id, person];
        let former = "SELECT role FROM project_roles WHERE org = $1 AND project = $2 AND person = $3";
        let former = rows.first(former, whose)?.map(|mut row| row.text(0)).transpose()?;
        match role {
            None => rows.execute("DELETE FROM project_roles WHERE org = $1 AND project = $2 AND person = $3", whose)?,
            Some(role) => rows.execute(
                "INSERT INTO project_roles (org, project, person, role, created) VALUES ($1, $2, $3, $4, $5) \
                 ON CONFLICT (org, project, person) DO UPDATE SET role = $4",
                values![caller.scope.id(), id, person, role.word(), now().timestamp_millis()],
            )?,
        };
        let former = former.as_deref().unwrap_or("none");
        let told = format!("{person} {former} → {}", role.map_or("none", Role::word));
        Ok((version_of(rows, &caller.scope, id)?, told))
    })
}

/// What somebody is in a project now.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ProjectRole")]
struct Given {
    id: String,
    role: Option<&'static str>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Amendment {
    /// The identifier of a member.
    person: String,
    /// `admin` or `member`; `null` takes it back.
    role: Option<String>,
}

async fn amend(
    State(server): State<Arc<Server>>,
    caller: Caller,
    Path(id): Path<String>,
    Seen(seen): Seen,
    Json(wanted): Json<Amendment>,
) -> Answer<Tagged<Given>> {
    let role = wanted.role.as_deref().map(project_role).transpose()?;
    blocking(&server, move |server| {
        let revision = give(server, &caller, &id, &wanted.person, role, seen)?;
        Ok(Tagged { revision, body: Given { id: wanted.person, role: role.map(Role::word) } })
    })
    .await
}

/// A role that adds something: a reader of the organization sees the whole of it already.
pub(crate) fn project_role(word: &str) -> Answer<Role> {
    let known = Role::from_word(word).filter(|role| matches!(role, Role::Admin | Role::Member));
    known.ok_or_else(|| Problem::invalid("a role in a project is admin or member").about("role"))
}
