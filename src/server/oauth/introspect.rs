//! What a token is (RFC 7662), and whose (OpenID Connect Core section 5.3).

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::{Form, Json};
use serde::Deserialize;
use serde_json::{Value, json};

use super::error::OauthError;
use super::token::known_client;
use crate::secret::Secret;
use crate::server::bearer;
use crate::server::bridge::blocking;
use crate::server::caller::{Caller, Job};
use crate::server::db::{Reach, values};
use crate::server::people;
use crate::server::permission::Permission;
use crate::server::problem::Answer;
use crate::server::state::{Server, now};
use crate::server::token;

#[derive(Deserialize)]
pub(super) struct Asked {
    token: Secret,
    client_id: Option<String>,
}

/// A program is told of the tokens that were given to it, and of no other.
pub(super) async fn introspect(State(server): State<Arc<Server>>, Form(asked): Form<Asked>) -> Response {
    let client = match known_client(asked.client_id.as_deref()) {
        Ok(client) => client,
        Err(refusal) => return refusal.into_response(),
    };
    let told = blocking(&server, move |server| {
        let Some(parsed) = token::parse(asked.token.expose()) else { return Ok(None) };
        server.db.read(Reach::Server, |rows| -> Answer<Option<Value>> {
            let known = bearer::find(rows, &parsed)?;
            let known = known.filter(|known| known.is_alive(now()) && known.grant.client == client);
            let Some(known) = known else { return Ok(None) };
            let grant = &known.grant;
            rows.enter(Reach::Of(&grant.scope))?;
            let role = people::role(rows, &grant.scope, &grant.person)?;
            let (Some(role), Some(person)) = (role, people::by_id(rows, &grant.person)?) else { return Ok(None) };
            // A job is itself, and not whoever stands for its rule.
            let (subject, name) = match Job::of(&known) {
                Some(job) => (job.rule, job.name),
                None => (person.id, person.login),
            };
            Ok(Some(json!({
                "active": true,
                "scope": grant.permissions.and(&role.permissions()).words(),
                "client_id": grant.client,
                "token_type": "Bearer",
                "sub": subject,
                "username": name,
                "iss": server.issuer(),
                "iat": known.created / 1000,
                "exp": known.expires / 1000,
                "organization": grant.scope.id(),
            })))
        })
    });
    match told.await {
        Ok(told) => Json(told.unwrap_or_else(|| json!({ "active": false }))).into_response(),
        Err(problem) => OauthError::Other(problem).into_response(),
    }
}

pub(super) async fn userinfo(State(server): State<Arc<Server>>, caller: Caller) -> Answer<Json<Value>> {
    blocking(&server, move |server| {
        let name = server.db.read(&caller.scope, |rows| {
            let one = "SELECT name FROM organizations WHERE id = $1";
            rows.first(one, values![caller.scope.id()])?.map(|mut row| row.text(0)).transpose()
        })?;
        let (subject, login) = match caller.job {
            Some(job) => (job.rule, job.name),
            None => (caller.person.id, caller.person.login),
        };
        Ok(Json(json!({
            "sub": subject,
            "preferred_username": login,
            "organization": { "id": caller.scope.id(), "name": name, "role": caller.role.word() },
            "permissions": caller.permissions.iter().map(Permission::word).collect::<Vec<_>>(),
        })))
    })
    .await
}
