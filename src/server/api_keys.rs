//! API keys: tokens that a person makes for their programs. Each is shown once, ends by itself, and has no more than
//! its maker has.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::audit::{self, Event};
use super::bearer::{self, Grant};
use super::bridge::blocking;
use super::caller::{Access, Caller};
use super::db::values;
use super::permission::{Permission, Permissions};
use super::problem::{Answer, Problem};
use super::routes::Route;
use super::state::{Server, now};
use super::token::{Kind, Minted};

/// A key lives so many days unless it is told to live shorter or longer, and never longer than a year.
const USUAL: i64 = 90;
const LONGEST: i64 = 366;
const NAME: usize = 64;

pub(crate) fn routes() -> Vec<Route> {
    let needs = Access::Permission(Permission::KeysManage);
    vec![
        Route::new(Method::GET, "/api-keys", needs, list),
        Route::new(Method::POST, "/api-keys", needs, create),
        Route::new(Method::DELETE, "/api-keys/{id}", needs, revoke),
    ]
}

/// A key as it is shown: never itself.
#[derive(Serialize)]
pub(crate) struct Shown {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) permissions: Vec<String>,
    pub(crate) created: Option<DateTime<Utc>>,
    pub(crate) expires: Option<DateTime<Utc>>,
    pub(crate) used: Option<DateTime<Utc>>,
}

/// A key that is asked for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    pub(crate) name: String,
    pub(crate) permissions: Vec<String>,
    pub(crate) days: Option<i64>,
}

/// A key that was just made, the only time that it is there to be shown.
pub(crate) struct Made {
    pub(crate) minted: Minted,
    pub(crate) name: String,
    pub(crate) permissions: Permissions,
    pub(crate) created: DateTime<Utc>,
    pub(crate) expires: DateTime<Utc>,
}

/// The keys of whoever asks.
pub(crate) fn all(server: &Server, caller: &Caller) -> Answer<Vec<Shown>> {
    server.tell(&caller.scope, &caller.actor, &Event::done("key.list", ""))?;
    let own = "SELECT id, name, permissions, created, expires, used FROM tokens \
               WHERE org = $1 AND person = $2 AND kind = $3 AND revoked IS NULL ORDER BY created, id";
    let found = server
        .db
        .read(&caller.scope, |rows| rows.query(own, values![caller.scope.id(), &caller.person.id, Kind::Key.word()]))?;
    let time = DateTime::from_timestamp_millis;
    let mut items = Vec::new();
    for mut row in found {
        let permissions = row.text(2)?.split_ascii_whitespace().map(str::to_owned).collect();
        let (created, expires, used) = (row.int(3)?, row.int(4)?, row.maybe_int(5)?);
        items.push(Shown {
            id: row.text(0)?,
            name: row.text(1)?,
            permissions,
            created: time(created),
            expires: time(expires),
            used: used.and_then(time),
        });
    }
    Ok(items)
}

/// Makes a key for whoever asks.
pub(crate) fn make(server: &Server, caller: &Caller, wanted: &Wanted) -> Answer<Made> {
    let name = wanted.name.trim().to_owned();
    if name.is_empty() || name.chars().count() > NAME || name.chars().any(char::is_control) {
        return Err(Problem::invalid(format!("a key needs a name of at most {NAME} characters")).about("name"));
    }
    let days = wanted.days.unwrap_or(USUAL);
    if !(1..=LONGEST).contains(&days) {
        return Err(Problem::invalid(format!("a key lives from 1 to {LONGEST} days")).about("days"));
    }
    let permissions = Permissions::parse(&wanted.permissions.join(" "));
    let permissions = permissions.filter(|permissions| !permissions.is_empty());
    let none = || Problem::invalid("a key needs permissions that there are").about("permissions");
    let permissions = permissions.ok_or_else(none)?;
    if !permissions.within(&caller.most()) {
        return Err(Problem::forbidden("a permission that the key is to have").about("permissions"));
    }
    let grant = Grant {
        scope: caller.scope.clone(),
        person: caller.person.id.clone(),
        client: String::new(),
        permissions,
        family: String::new(),
    };
    let now = now();
    let life = TimeDelta::days(days);
    let minted = server.db.write(&caller.scope, |rows| -> Answer<_> {
        let minted = bearer::issue(rows, Kind::Key, &grant, &name, life, now)?;
        let event = Event { detail: &grant.permissions.words(), ..Event::done("key.create", &minted.id) };
        audit::append(rows, &server.keys, &caller.scope, &caller.actor, &event, now)?;
        Ok(minted)
    })?;
    Ok(Made { minted, name, permissions: grant.permissions, created: now, expires: now + life })
}

/// Ends a key of whoever asks; another's is not there.
pub(crate) fn end(server: &Server, caller: &Caller, id: &str) -> Answer<()> {
    server.db.write(&caller.scope, |rows| -> Answer<()> {
        let own = "SELECT 1 FROM tokens WHERE org = $1 AND id = $2 AND person = $3 AND kind = $4";
        let whose = values![caller.scope.id(), id, &caller.person.id, Kind::Key.word()];
        if rows.first(own, whose)?.is_none() || !bearer::revoke(rows, &caller.scope, id, now())? {
            return Err(Problem::not_found());
        }
        let event = Event::done("key.revoke", id);
        Ok(audit::append(rows, &server.keys, &caller.scope, &caller.actor, &event, now())?)
    })
}

async fn list(State(server): State<Arc<Server>>, caller: Caller) -> Answer<Json<Value>> {
    blocking(&server, move |server| Ok(Json(json!({ "items": all(server, &caller)? })))).await
}

async fn create(State(server): State<Arc<Server>>, caller: Caller, Json(wanted): Json<Wanted>) -> Answer<Response> {
    blocking(&server, move |server| {
        let made = make(server, &caller, &wanted)?;
        let body = json!({
            "id": made.minted.id,
            "name": made.name,
            "permissions": made.permissions.iter().map(Permission::word).collect::<Vec<_>>(),
            "created": made.created,
            "expires": made.expires,
            "key": made.minted.token.expose(),
        });
        Ok((StatusCode::CREATED, Json(body)).into_response())
    })
    .await
}

async fn revoke(State(server): State<Arc<Server>>, caller: Caller, Path(id): Path<String>) -> Answer<StatusCode> {
    blocking(&server, move |server| end(server, &caller, &id).map(|()| StatusCode::NO_CONTENT)).await
}
