//! The programs that a person is signed in with: what each was given, when and from where it came last, and its end.
//!
//! A sign-in is known by the name that all of its tokens have. It is there as long as its refresh token counts.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::Method;
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Serialize;

use super::api::{Done, Json, Query};
use super::audit::{self, Actor, Event};
use super::bearer;
use super::bridge::blocking;
use super::caller::{Access, Caller};
use super::db::{DbError, OrgScope, Row, Rows, values};
use super::keys::{KeyError, Keys};
use super::paging::{Asked, Part};
use super::permission::Permission;
use super::problem::{Answer, Problem};
use super::routes::Route;
use super::state::{Server, now};
use super::token::Kind;

pub(crate) fn routes() -> Vec<Route> {
    let needs = Access::Permission(Permission::KeysManage);
    vec![
        Route::api(
            Method::GET,
            "/programs",
            needs,
            list,
            "listPrograms",
            "List the programs that one is signed in with",
        ),
        Route::api(
            Method::DELETE,
            "/programs/{id}",
            needs,
            sign_out,
            "endProgram",
            "End the sign-in of a program, and the API keys that were made with it",
        ),
    ]
}

/// A program that somebody is signed in with.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Program")]
pub(crate) struct Program {
    /// The sign-in.
    pub(crate) id: String,
    /// The program, as it calls itself.
    pub(crate) client_id: String,
    /// Its name, where the organization has registered it.
    pub(crate) name: Option<String>,
    /// What it may do at most.
    pub(crate) permissions: Vec<String>,
    pub(crate) signed_in: Option<DateTime<Utc>>,
    /// When it came last.
    pub(crate) used: Option<DateTime<Utc>>,
    /// The network that it came from then.
    pub(crate) used_from: Option<String>,
    /// When the sign-in ends unless it is renewed.
    pub(crate) expires: Option<DateTime<Utc>>,
}

/// The sign-ins of a person that count, each with its access token that was used last.
const OWN: &str = "SELECT r.family, r.client, r.permissions, COALESCE(r.family_began, r.created), r.expires, a.used, \
                   a.used_from, c.name FROM tokens r LEFT JOIN tokens a ON a.org = r.org AND a.id = \
                   (SELECT b.id FROM tokens b WHERE b.org = r.org AND b.family = r.family AND b.kind = $4 \
                   AND b.used IS NOT NULL ORDER BY b.used DESC, b.id DESC LIMIT 1) \
                   LEFT JOIN oauth_clients c ON c.org = r.org AND c.id = r.client \
                   WHERE r.org = $1 AND r.person = $2 AND r.kind = $3 AND r.revoked IS NULL AND r.expires > $5";

impl Program {
    /// A sign-in, and its place among the others.
    fn read(mut row: Row) -> Result<(String, Self), DbError> {
        let time = DateTime::from_timestamp_millis;
        let (id, began) = (row.text(0)?, row.int(3)?);
        let program = Self {
            client_id: row.text(1)?,
            name: row.maybe_text(7)?,
            permissions: row.text(2)?.split_ascii_whitespace().map(str::to_owned).collect(),
            signed_in: time(began),
            used: row.maybe_int(5)?.and_then(time),
            used_from: row.maybe_text(6)?,
            expires: time(row.int(4)?),
            id: id.clone(),
        };
        Ok((format!("{began} {id}"), program))
    }
}

/// Every program that a person is signed in with in an organization, the oldest sign-in first.
pub(crate) fn all(rows: &mut dyn Rows, scope: &OrgScope, person: &str) -> Result<Vec<Program>, DbError> {
    let (refresh, access, at) = (Kind::Refresh.word(), Kind::Access.word(), now().timestamp_millis());
    let sorted = format!("{OWN} ORDER BY COALESCE(r.family_began, r.created), r.family");
    let found = rows.query(&sorted, values![scope.id(), person, refresh, access, at])?;
    found.into_iter().map(|row| Ok(Program::read(row)?.1)).collect()
}

/// One page of the programs of whoever asks, the oldest sign-in first.
fn some(server: &Server, caller: &Caller, asked: &Asked) -> Answer<Part<Program>> {
    let page = asked.page(&server.keys, &caller.scope, &format!("programs of {}", caller.person.id))?;
    server.tell(&caller.scope, &caller.actor, &Event::done("program.list", ""))?;
    let (began, id) = page.after.split_once(' ').unwrap_or(("0", ""));
    let began: i64 = began.parse().unwrap_or_default();
    let place = "COALESCE(r.family_began, r.created)";
    let after =
        format!("{OWN} AND ({place} > $6 OR {place} = $6 AND r.family > $7) ORDER BY {place}, r.family LIMIT $8");
    let (refresh, access, at) = (Kind::Refresh.word(), Kind::Access.word(), now().timestamp_millis());
    let whose = values![caller.scope.id(), &caller.person.id, refresh, access, at, began, id, page.limit()];
    let found = server.db.read(&caller.scope, |rows| rows.query(&after, whose))?;
    let read = found.into_iter().map(Program::read).collect::<Result<Vec<_>, _>>()?;
    Ok(page.cut(read, |(place, _)| place)?.map(|(_, program)| program))
}

/// A sign-in that was just ended, with the API keys that ended with it.
pub(crate) struct Ended {
    scope: OrgScope,
    family: String,
    keys: Vec<String>,
}

impl Ended {
    /// Ends a sign-in, whose ever it is, with the API keys that were made with it.
    pub(crate) fn now(rows: &mut dyn Rows, scope: &OrgScope, family: &str) -> Result<Self, DbError> {
        let now = now();
        bearer::revoke_family(rows, scope, family, now)?;
        let keys = bearer::revoke_made(rows, scope, family, now)?;
        Ok(Self { scope: scope.clone(), family: family.to_owned(), keys })
    }

    /// Tells what has ended.
    pub(crate) fn tell(&self, rows: &mut dyn Rows, keys: &Keys, actor: &Actor) -> Result<(), KeyError> {
        audit::append(rows, keys, &self.scope, actor, &Event::done("program.end", &self.family), now())?;
        self.tell_keys(rows, keys, actor)
    }

    /// Tells which API keys have ended with it, where the rest is told otherwise.
    pub(crate) fn tell_keys(&self, rows: &mut dyn Rows, keys: &Keys, actor: &Actor) -> Result<(), KeyError> {
        let detail = format!("made in {}", self.family);
        for key in &self.keys {
            let event = Event { detail: &detail, ..Event::done("key.revoke", key) };
            audit::append(rows, keys, &self.scope, actor, &event, now())?;
        }
        Ok(())
    }
}

/// Ends a sign-in of a person with the API keys that were made with it; `None` where there is none.
pub(crate) fn end(rows: &mut dyn Rows, scope: &OrgScope, person: &str, family: &str) -> Result<Option<Ended>, DbError> {
    let own = "SELECT 1 FROM tokens WHERE org = $1 AND family = $2 AND person = $3 AND kind = $4 AND revoked IS NULL \
               AND expires > $5";
    let whose = values![scope.id(), family, person, Kind::Refresh.word(), now().timestamp_millis()];
    let is_there = rows.first(own, whose)?.is_some();
    is_there.then(|| Ended::now(rows, scope, family)).transpose()
}

/// Ends every sign-in of a person in an organization, also those that nobody has come for yet; the API keys that were made
/// with them stay, or not.
pub(crate) fn end_all(
    rows: &mut dyn Rows,
    scope: &OrgScope,
    person: &str,
    with_keys: bool,
) -> Result<Vec<Ended>, DbError> {
    for begun in [
        "DELETE FROM codes WHERE org = $1 AND person = $2 AND spent IS NULL",
        "DELETE FROM devices WHERE org = $1 AND person = $2 AND state = 'approved'",
    ] {
        rows.execute(begun, values![scope.id(), person])?;
    }
    let mut ended = Vec::new();
    for Program { id, .. } in all(rows, scope, person)? {
        ended.push(if with_keys {
            Ended::now(rows, scope, &id)?
        } else {
            bearer::revoke_family(rows, scope, &id, now())?;
            Ended { scope: scope.clone(), family: id, keys: Vec::new() }
        });
    }
    Ok(ended)
}

/// Ends all that a program was given in an organization, whoever let it in, with the API keys that were made with it; which
/// of the sign-ins had some.
pub(crate) fn end_client(rows: &mut dyn Rows, scope: &OrgScope, client: &str) -> Result<Vec<Ended>, DbError> {
    let made = bearer::revoke_client(rows, scope, client, now())?;
    Ok(made.into_iter().map(|(family, key)| Ended { scope: scope.clone(), family, keys: vec![key] }).collect())
}

async fn list(
    State(server): State<Arc<Server>>,
    caller: Caller,
    Query(asked): Query<Asked>,
) -> Answer<Json<Part<Program>>> {
    blocking(&server, move |server| Ok(Json(some(server, &caller, &asked)?))).await
}

async fn sign_out(State(server): State<Arc<Server>>, caller: Caller, Path(id): Path<String>) -> Answer<Done> {
    blocking(&server, move |server| {
        server.db.write(&caller.scope, |rows| -> Answer<()> {
            let ended = end(rows, &caller.scope, &caller.person.id, &id)?.ok_or_else(Problem::not_found)?;
            Ok(ended.tell(rows, &server.keys, &caller.actor)?)
        })?;
        Ok(Done)
    })
    .await
}
