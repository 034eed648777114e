//! Members: who is in the organization, and as what. Nobody gives, changes or takes what is above them, and the last
//! owner stays.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::audit::{self, Event};
use super::bearer;
use super::bridge::blocking;
use super::caller::{Access, Caller};
use super::db::{Rows, values};
use super::invitations::{self, Purpose};
use super::people;
use super::permission::{Permission, Role};
use super::problem::{Answer, Problem};
use super::routes::Route;
use super::state::{Server, now};

/// An invitation is good for so many days unless it is told otherwise, and for a month at most.
const USUAL: i64 = 7;
const LONGEST: i64 = 31;

pub(crate) fn routes() -> Vec<Route> {
    let needs = Access::Permission(Permission::MembersManage);
    vec![
        Route::new(Method::GET, "/members", needs, list),
        Route::new(Method::PATCH, "/members/{id}", needs, change),
        Route::new(Method::DELETE, "/members/{id}", needs, remove),
        Route::new(Method::POST, "/invitations", needs, invite),
    ]
}

#[derive(Serialize)]
struct Shown {
    id: String,
    login: String,
    role: String,
    since: Option<DateTime<Utc>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    role: String,
    days: Option<i64>,
}

async fn list(State(server): State<Arc<Server>>, caller: Caller) -> Answer<Json<Value>> {
    blocking(&server, move |server| {
        server.tell(&caller.scope, &caller.actor, &Event::done("member.list", ""))?;
        let all = "SELECT people.id, people.login, members.role, members.created FROM members \
                   JOIN people ON people.id = members.person WHERE members.org = $1 ORDER BY people.login";
        let found = server.db.read(|rows| rows.query(all, values![caller.scope.id()]))?;
        let mut items = Vec::new();
        for mut row in found {
            let since = DateTime::from_timestamp_millis(row.int(3)?);
            items.push(Shown { id: row.text(0)?, login: row.text(1)?, role: row.text(2)?, since });
        }
        Ok(Json(json!({ "items": items })))
    })
    .await
}

/// A role that the caller may give.
fn role(caller: &Caller, word: &str) -> Answer<Role> {
    let role = Role::from_word(word).ok_or_else(|| Problem::invalid("there is no such role"))?;
    if caller.role.may_give(role) { Ok(role) } else { Err(Problem::forbidden("a role as high as this one")) }
}

async fn invite(State(server): State<Arc<Server>>, caller: Caller, Json(wanted): Json<Wanted>) -> Answer<Response> {
    let role = role(&caller, &wanted.role)?;
    let days = wanted.days.unwrap_or(USUAL);
    if !(1..=LONGEST).contains(&days) {
        return Err(Problem::invalid(format!("an invitation is good for 1 to {LONGEST} days")));
    }
    blocking(&server, move |server| {
        let (now, life) = (now(), TimeDelta::days(days));
        let purpose = Purpose::Join { scope: caller.scope.clone(), role, inviter: caller.person.id.clone() };
        let minted = server.db.write(|rows| -> Answer<_> {
            let minted = invitations::make(rows, &purpose, life, now)?;
            let event = Event { detail: role.word(), ..Event::done("member.invite", &minted.id) };
            audit::append(rows, &server.keys, &caller.scope, &caller.actor, &event, now)?;
            Ok(minted)
        })?;
        let link = format!("{}{}", server.address("/join?token="), minted.token.expose());
        let body = json!({ "id": minted.id, "role": role.word(), "expires": now + life, "link": link });
        Ok((StatusCode::CREATED, Json(body)).into_response())
    })
    .await
}

async fn change(
    State(server): State<Arc<Server>>,
    caller: Caller,
    Path(id): Path<String>,
    Json(wanted): Json<Wanted>,
) -> Answer<StatusCode> {
    let role = role(&caller, &wanted.role)?;
    blocking(&server, move |server| {
        let event = Event { detail: role.word(), ..Event::done("member.change", &id) };
        changed(server, &caller, &id, &event, |rows| {
            let change = "UPDATE members SET role = $3 WHERE org = $1 AND person = $2";
            Ok(rows.execute(change, values![caller.scope.id(), &id, role.word()])?)
        })
    })
    .await
}

async fn remove(State(server): State<Arc<Server>>, caller: Caller, Path(id): Path<String>) -> Answer<StatusCode> {
    blocking(&server, move |server| {
        changed(server, &caller, &id, &Event::done("member.remove", &id), |rows| {
            // Whoever comes back later comes back without the tokens of before.
            bearer::revoke_all(rows, &caller.scope, &id, now())?;
            let remove = "DELETE FROM members WHERE org = $1 AND person = $2";
            Ok(rows.execute(remove, values![caller.scope.id(), &id])?)
        })
    })
    .await
}

/// Changes what a member is, if they are not above the caller, and an owner is left.
fn changed(
    server: &Server,
    caller: &Caller,
    id: &str,
    event: &Event<'_>,
    work: impl FnOnce(&mut dyn Rows) -> Answer<u64>,
) -> Answer<StatusCode> {
    server.db.write(|rows| {
        // The entry comes first: it holds the organization's chain, so that of two changes one sees the other.
        audit::append(rows, &server.keys, &caller.scope, &caller.actor, event, now())?;
        let present = people::role(rows, &caller.scope, id)?.ok_or_else(Problem::not_found)?;
        if !caller.role.may_give(present) {
            return Err(Problem::forbidden("a role as high as the member's"));
        }
        work(rows)?;
        let owners = "SELECT 1 FROM members WHERE org = $1 AND role = $2 LIMIT 1";
        if rows.first(owners, values![caller.scope.id(), Role::Owner.word()])?.is_none() {
            return Err(Problem::new(StatusCode::CONFLICT, "last-owner", "an organization has an owner"));
        }
        Ok(StatusCode::NO_CONTENT)
    })
}
