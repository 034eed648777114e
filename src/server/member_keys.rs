//! The API keys of everybody in an organization, for whoever runs it: what there is, and the end of any. A key that ends
//! takes nothing from its owner but that key.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::Method;
use schemars::JsonSchema;
use serde::Serialize;

use super::api::{Done, Json, Query};
use super::api_keys;
use super::audit::Event;
use super::bearer;
use super::bridge::blocking;
use super::caller::{Access, Caller};
use super::db::{DbError, Row, values};
use super::paging::{Asked, Part};
use super::permission::Permission;
use super::problem::{Answer, Problem};
use super::routes::Route;
use super::state::{Server, now};
use super::team::alone;
use super::token::Kind;

pub(crate) fn routes() -> Vec<Route> {
    let needs = Access::Permission(Permission::MembersManage);
    vec![
        Route::api(
            Method::GET,
            "/members/api-keys",
            needs,
            list,
            "listMemberApiKeys",
            "List the API keys of all members",
        ),
        Route::api(
            Method::DELETE,
            "/members/api-keys/{id}",
            needs,
            revoke,
            "revokeMemberApiKey",
            "Revoke an API key of any member",
        ),
    ]
}

/// A key, and whose it is.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "MemberApiKey")]
pub(crate) struct Shown {
    /// The member who made it.
    pub(crate) person: String,
    pub(crate) login: String,
    #[serde(flatten)]
    pub(crate) key: api_keys::Shown,
}

const ALL: &str = "SELECT t.id, t.name, t.permissions, t.created, t.expires, t.used, t.used_from, p.name, t.person, \
                   l.login FROM tokens t JOIN people l ON l.id = t.person \
                   LEFT JOIN projects p ON p.org = t.org AND p.id = t.project \
                   WHERE t.org = $1 AND t.kind = $2 AND t.revoked IS NULL";

impl Shown {
    /// A key, and its place among the others.
    fn read(mut row: Row) -> Result<(String, Self), DbError> {
        let (person, login) = (row.text(8)?, row.text(9)?);
        let (place, key) = api_keys::Shown::read(row)?;
        Ok((place, Self { person, login, key }))
    }
}

/// One page of the keys of everybody, or of one member alone; the oldest first.
pub(crate) fn some(server: &Server, caller: &Caller, member: Option<&str>, asked: &Asked) -> Answer<Part<Shown>> {
    let of = member.unwrap_or_default();
    let list = member.map_or_else(|| "keys of everybody".to_owned(), |of| format!("keys of the member {of}"));
    let page = asked.page(&server.keys, &caller.scope, &list)?;
    let detail = if member.is_some() { "of a member" } else { "of everybody" };
    server.tell(&caller.scope, &caller.actor, &Event { detail, ..Event::done("key.list", of) })?;
    let (created, id) = page.after.split_once(' ').unwrap_or(("0", ""));
    let created: i64 = created.parse().unwrap_or_default();
    let after = format!(
        "{ALL} AND (t.created > $3 OR t.created = $3 AND t.id > $4) AND ($5 = '' OR t.person = $5) \
         ORDER BY t.created, t.id LIMIT $6"
    );
    let which = values![caller.scope.id(), Kind::Key.word(), created, id, of, page.limit()];
    let found = server.db.read(&caller.scope, |rows| rows.query(&after, which))?;
    let read = found.into_iter().map(Shown::read).collect::<Result<Vec<_>, _>>()?;
    Ok(page.cut(read, |(place, _)| place)?.map(|(_, key)| key))
}

/// A key of any member; another organization's is not there.
pub(crate) fn one(server: &Server, caller: &Caller, id: &str) -> Answer<Shown> {
    let one = format!("{ALL} AND t.id = $3");
    let which = values![caller.scope.id(), Kind::Key.word(), id];
    let found = server.db.read(&caller.scope, |rows| rows.first(&one, which))?.ok_or_else(Problem::not_found)?;
    server.tell(&caller.scope, &caller.actor, &Event::done("key.show", id))?;
    Ok(Shown::read(found)?.1)
}

/// Ends a key of any member.
pub(crate) fn end(server: &Server, caller: &Caller, id: &str) -> Answer<()> {
    alone(server, caller, &Event::done("key.revoke", id), |rows, caller| {
        caller.needs(Permission::MembersManage)?;
        let one = "SELECT 1 FROM tokens WHERE org = $1 AND id = $2 AND kind = $3";
        let is_key = rows.first(one, values![caller.scope.id(), id, Kind::Key.word()])?.is_some();
        if is_key && bearer::revoke(rows, &caller.scope, id, now())? { Ok(()) } else { Err(Problem::not_found()) }
    })
}

async fn list(
    State(server): State<Arc<Server>>,
    caller: Caller,
    Query(asked): Query<Asked>,
) -> Answer<Json<Part<Shown>>> {
    blocking(&server, move |server| Ok(Json(some(server, &caller, None, &asked)?))).await
}

async fn revoke(State(server): State<Arc<Server>>, caller: Caller, Path(id): Path<String>) -> Answer<Done> {
    blocking(&server, move |server| end(server, &caller, &id).map(|()| Done)).await
}
