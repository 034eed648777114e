//! What members are in a project.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{find, named};
use crate::server::api::Json;
use crate::server::audit::Event;
use crate::server::bridge::blocking;
use crate::server::caller::Caller;
use crate::server::db::values;
use crate::server::paging::{Asked, Page};
use crate::server::people;
use crate::server::permission::{Permission, Role};
use crate::server::problem::{Answer, Problem};
use crate::server::state::{Server, now};
use crate::server::team::{alone, member};

/// Somebody with a role in a project.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ProjectMember")]
pub(super) struct Shown {
    id: String,
    login: String,
    /// `admin` or `member`.
    role: String,
}

/// What somebody is in a project now.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ProjectRole")]
pub(super) struct Given {
    id: String,
    role: Option<&'static str>,
}

pub(super) async fn list(
    State(server): State<Arc<Server>>,
    caller: Caller,
    Path(id): Path<String>,
    Query(asked): Query<Asked>,
) -> Answer<Json<Page<Shown>>> {
    blocking(&server, move |server| {
        let page = asked.page(&server.keys, &caller.scope, &format!("project-members {id}"))?;
        let found = server.db.read(|rows| -> Answer<_> {
            find(rows, &caller.scope, &id)?;
            let all = "SELECT project_roles.person, people.login, role FROM project_roles \
                       JOIN people ON people.id = project_roles.person \
                       WHERE org = $1 AND project = $2 AND project_roles.person > $3 \
                       ORDER BY project_roles.person LIMIT $4";
            Ok(rows.query(all, values![caller.scope.id(), &id, &page.after, page.limit()])?)
        })?;
        server.tell(&caller.scope, &caller.actor, &Event::done("project.members", &id))?;
        let mut items = Vec::new();
        for mut row in found {
            let (person, login, role) = (row.text(0)?, row.text(1)?, row.text(2)?);
            items.push((person.clone(), Shown { id: person, login, role }));
        }
        page.give(items)
    })
    .await
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Amendment {
    /// The identifier of a member.
    person: String,
    /// `admin` or `member`; `null` takes it back.
    role: Option<String>,
}

pub(super) async fn amend(
    State(server): State<Arc<Server>>,
    caller: Caller,
    Path(id): Path<String>,
    Json(wanted): Json<Amendment>,
) -> Answer<Json<Given>> {
    let role = wanted.role.as_deref().map(project_role).transpose()?;
    blocking(&server, move |server| {
        let detail = format!("{} {}", wanted.person, role.map_or("none", Role::word));
        let event = Event { detail: &detail, ..Event::done("project.role", &id) };
        alone(server, &caller, &event, |rows, caller| {
            let project = find(rows, &caller.scope, &id)?;
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
            member(rows, &caller.scope, &wanted.person)
                .map_err(|_| Problem::invalid("whoever is named is no member of the organization"))?;
            let whose = values![caller.scope.id(), &id, &wanted.person];
            match role {
                None => {
                    rows.execute("DELETE FROM project_roles WHERE org = $1 AND project = $2 AND person = $3", whose)?
                }
                Some(role) => rows.execute(
                    "INSERT INTO project_roles (org, project, person, role, created) VALUES ($1, $2, $3, $4, $5) \
                     ON CONFLICT (org, project, person) DO UPDATE SET role = $4",
                    values![caller.scope.id(), &id, &wanted.person, role.word(), now().timestamp_millis()],
                )?,
            };
            Ok(Json(Given { id: wanted.person.clone(), role: role.map(Role::word) }))
        })
    })
    .await
}

/// A role that adds something: a reader of the organization sees the whole of it already.
fn project_role(word: &str) -> Answer<Role> {
    let known = Role::from_word(word).filter(|role| matches!(role, Role::Admin | Role::Member));
    known.ok_or_else(|| Problem::invalid("a role in a project is admin or member"))
}
