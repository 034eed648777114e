//! What a token is (RFC 7662), and whose (OpenID Connect Core section 5.3).

use std::sync::Arc;

use axum::Form;
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::client;
use super::error::Given;
use super::proof::token_type;
use crate::secret::Secret;
use crate::server::api::Json;
use crate::server::audit::Event;
use crate::server::bearer::{self, Grant};
use crate::server::bridge::blocking;
use crate::server::caller::{Caller, Job, MaybeCaller, Rights};
use crate::server::db::{Reach, values};
use crate::server::people;
use crate::server::permission::Permission;
use crate::server::problem::Answer;
use crate::server::projects;
use crate::server::state::{Server, now};
use crate::server::token::{self, Parsed};

#[derive(Deserialize, JsonSchema)]
pub(super) struct Asked {
    token: Secret,
    client_id: Option<String>,
}

/// What a token is.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Introspection")]
pub(super) struct Told {
    /// Whether it counts; if it does not, nothing more is told.
    active: bool,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    about: Option<About>,
}

/// What is told of one that counts.
#[derive(Serialize, JsonSchema)]
struct About {
    scope: String,
    /// The program that it was given to; none for an API key.
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<String>,
    token_type: &'static str,
    sub: String,
    username: String,
    iss: String,
    iat: i64,
    exp: i64,
    organization: String,
    /// The name of the only project that it counts in, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    project: Option<String>,
    /// The key that it is bound to, where it is bound to one.
    #[serde(skip_serializing_if = "Option::is_none")]
    cnf: Option<Confirmation>,
}

/// The key that a token counts with alone.
#[derive(Serialize, JsonSchema)]
struct Confirmation {
    /// Its thumbprint (RFC 7638).
    jkt: String,
}

/// Whoever asks what a token is.
enum Asking {
    /// A program, of the tokens that were given to it.
    Program(String),
    /// Whoever has a token that counts, of those of the same organization.
    Member(Box<Caller>),
}

impl Asking {
    fn may_be_told_of(&self, grant: &Grant) -> bool {
        match self {
            Self::Program(client) => grant.client == *client,
            Self::Member(caller) => {
                // Who works in one project alone learns of nothing else.
                grant.scope == caller.scope && (caller.only.is_none() || grant.project == caller.only)
            }
        }
    }
}

pub(super) async fn introspect(
    State(server): State<Arc<Server>>,
    MaybeCaller(caller): MaybeCaller,
    Form(asked): Form<Asked>,
) -> Given<Json<Told>> {
    let asking = match caller {
        Some(caller) => Asking::Member(Box::new(caller)),
        None => Asking::Program(client::known(&server, asked.client_id.as_deref()).await?.id),
    };
    let about = blocking(&server, move |server| {
        let parsed = token::parse(asked.token.expose());
        let found = parsed.map(|parsed| find(server, &asking, &parsed)).transpose()?.flatten();
        if let Asking::Member(caller) = &asking {
            let id = found.as_ref().map(|(id, _)| id.as_str()).unwrap_or_default();
            server.tell(&caller.scope, &caller.actor, &Event::done("token.introspect", id))?;
        }
        Ok(found.map(|(_, about)| about))
    });
    let about = about.await?;
    Ok(Json(Told { active: about.is_some(), about }))
}

/// What is told of a token, with the public part of it; nothing of one that does not count, or that is none of theirs.
fn find(server: &Server, asking: &Asking, parsed: &Parsed) -> Answer<Option<(String, About)>> {
    server.db.read(Reach::Server, |rows| {
        let known = bearer::find(rows, parsed)?;
        let known = known.filter(|known| known.is_alive(now()) && asking.may_be_told_of(&known.grant));
        let Some(known) = known else { return Ok(None) };
        let grant = &known.grant;
        rows.enter(Reach::Of(&grant.scope))?;
        let role = people::role(rows, &grant.scope, &grant.person)?;
        let (Some(role), Some(person)) = (role, people::by_id(rows, &grant.person)?) else { return Ok(None) };
        // With its project, a token ends.
        let project = match &grant.project {
            Some(id) => match projects::name(rows, &grant.scope, id)? {
                Some(name) => Some(name),
                None => return Ok(None),
            },
            None => None,
        };
        let roles = people::project_roles(rows, &grant.scope, &grant.person)?;
        let rights = Rights::of(role, roles, &grant.permissions, project.as_deref());
        // A job is itself, and not whoever stands for its rule.
        let (subject, name) = match Job::of(&known) {
            Some(job) => (job.rule, job.name),
            None => (person.id, person.login),
        };
        let about = About {
            scope: if project.is_some() { rights.most() } else { rights.everywhere }.words(),
            client_id: Some(grant.client.clone()).filter(|client| !client.is_empty()),
            token_type: token_type(grant.bound.is_some()),
            sub: subject,
            username: name,
            iss: server.issuer().to_owned(),
            iat: known.created / 1000,
            exp: known.expires / 1000,
            organization: grant.scope.id().to_owned(),
            project,
            cnf: grant.bound.clone().map(|jkt| Confirmation { jkt }),
        };
        Ok(Some((known.id, about)))
    })
}

/// Whose a token is.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "User")]
pub(super) struct User {
    sub: String,
    preferred_username: String,
    organization: Organization,
    /// The name of the only project that the token counts in, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    project: Option<String>,
    /// What may be done with the token in that project, or else in the whole organization.
    permissions: Vec<&'static str>,
}

/// The organization that a token is of.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "UserOrganization")]
struct Organization {
    id: String,
    name: Option<String>,
    role: &'static str,
}

pub(super) async fn userinfo(State(server): State<Arc<Server>>, caller: Caller) -> Answer<Json<User>> {
    blocking(&server, move |server| {
        let name = server.db.read(&caller.scope, |rows| {
            let one = "SELECT name FROM organizations WHERE id = $1";
            rows.first(one, values![caller.scope.id()])?.map(|mut row| row.text(0)).transpose()
        })?;
        let project = caller.only().map(str::to_owned);
        let permissions = if project.is_some() { caller.rights.most() } else { caller.rights.everywhere.clone() };
        let (subject, login) = match caller.job {
            Some(job) => (job.rule, job.name),
            None => (caller.person.id, caller.person.login),
        };
        let id = caller.scope.id().to_owned();
        Ok(Json(User {
            sub: subject,
            preferred_username: login,
            organization: Organization { id, name, role: caller.role.word() },
            permissions: permissions.iter().map(Permission::word).collect(),
            project,
        }))
    })
    .await
}
