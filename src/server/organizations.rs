//! Organizations: whoever owns one may make another on the same server, and is its owner.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;

use super::audit::{self, Event};
use super::bridge::blocking;
use super::caller::{Access, Caller};
use super::db::Reach;
use super::people;
use super::permission::Permission;
use super::problem::{Answer, Problem};
use super::routes::Route;
use super::state::{Server, now};
use super::team::{NAME, alone};

pub(crate) fn routes() -> Vec<Route> {
    vec![Route::new(Method::POST, "/organizations", Access::Permission(Permission::OrganizationsCreate), create)]
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    name: String,
}

/// The new one is reached by a new sign-in: the token that asks stays with its own organization.
async fn create(State(server): State<Arc<Server>>, caller: Caller, Json(wanted): Json<Wanted>) -> Answer<Response> {
    let name = wanted.name.trim().to_owned();
    if name.is_empty() || name.chars().count() > NAME || name.chars().any(crate::text::is_unprintable) {
        return Err(Problem::invalid(format!("an organization needs a name of at most {NAME} characters")));
    }
    blocking(&server, move |server| {
        let event = Event::done("organization.create", "");
        let made = alone(server, &caller, &event, |rows, caller| {
            caller.needs(Permission::OrganizationsCreate)?;
            // It is none of the caller's organization yet.
            rows.enter(Reach::Server)?;
            let scope = people::new_organization(rows, &server.keys, &name, &caller.person.id, now())?;
            for event in
                [Event::done("organization.create", scope.id()), Event::done("member.create", &caller.person.id)]
            {
                audit::append(rows, &server.keys, &scope, &caller.actor, &event, now())?;
            }
            Ok(scope)
        })?;
        let body = json!({ "id": made.id(), "name": name, "role": "owner" });
        Ok((StatusCode::CREATED, Json(body)).into_response())
    })
    .await
}
