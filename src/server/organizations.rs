//! Organizations: whoever owns one may make another on the same server, and is its owner.

use std::sync::Arc;

use axum::extract::State;
use axum::http::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::api::{Created, Creation, Json};
use super::audit::{self, Event};
use super::bridge::blocking;
use super::caller::{Access, Caller};
use super::db::{Reach, values};
use super::people;
use super::permission::{Permission, Role};
use super::problem::{Answer, Problem};
use super::routes::Route;
use super::state::{Server, now};
use super::team::{NAME, alone};

pub(crate) fn routes() -> Vec<Route> {
    let needs = Access::Permission(Permission::OrganizationsCreate);
    vec![Route::api(Method::POST, "/organizations", needs, create, "createOrganization", "Make an organization")]
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Wanted {
    #[schemars(length(min = 1, max = 64))]
    name: String,
}

/// An organization, and what whoever made it is in it.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Organization")]
struct Made {
    id: String,
    name: String,
    role: String,
}

/// The new one is reached by a new sign-in: the token that asks stays with its own organization.
async fn create(
    State(server): State<Arc<Server>>,
    caller: Caller,
    wanted: Creation<Wanted>,
) -> Answer<Created<Json<Made>>> {
    let (caller, wanted) = wanted.of(caller);
    let name = wanted.name.trim().to_owned();
    if name.is_empty() || name.chars().count() > NAME || name.chars().any(crate::text::is_unprintable) {
        return Err(Problem::invalid(format!("an organization needs a name of at most {NAME} characters")));
    }
    blocking(&server, move |server| {
        let made = caller.once.carry_out(server, || make(server, &caller, &name), |id| again(server, &caller, id))?;
        Ok(Created::nowhere(Json(made)))
    })
    .await
}

fn make(server: &Server, caller: &Caller, name: &str) -> Answer<Made> {
    let event = Event::done("organization.create", "");
    let made = alone(server, caller, &event, |rows, caller| {
        caller.needs(Permission::OrganizationsCreate)?;
        // It is none of the caller's organization yet.
        rows.enter(Reach::Server)?;
        let scope = people::new_organization(rows, &server.keys, name, &caller.person.id, now())?;
        for event in [Event::done("organization.create", scope.id()), Event::done("member.create", &caller.person.id)] {
            audit::append(rows, &server.keys, &scope, &caller.actor, &event, now())?;
        }
        caller.once.keep(rows, scope.id())?;
        Ok(scope)
    })?;
    Ok(Made { id: made.id().to_owned(), name: name.to_owned(), role: Role::Owner.word().to_owned() })
}

/// One that was made before, as far as whoever made it is in it still.
fn again(server: &Server, caller: &Caller, id: &str) -> Answer<Made> {
    let own = "SELECT name, role FROM organizations JOIN members ON members.org = organizations.id \
               WHERE organizations.id = $1 AND members.person = $2";
    let found = server.db.read(Reach::Server, |rows| rows.first(own, values![id, &caller.person.id]))?;
    server.tell(&caller.scope, &caller.actor, &Event::done("organization.show", id))?;
    let mut row = found.ok_or_else(Problem::not_found)?;
    Ok(Made { id: id.to_owned(), name: row.text(0)?, role: row.text(1)? })
}
