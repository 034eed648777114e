//! The audit over the API: pages for people, an export for other systems, and whether it holds. Whoever looks at it is
//! in it.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};
use subtle::ConstantTimeEq;

use super::{Broken, Event, Outcome, export, in_parts};
use crate::server::api::{Gives, Json as Body, Operation, Query};
use crate::server::bridge::blocking;
use crate::server::caller::{Access, Caller};
use crate::server::db::{DbError, OrgScope, Rows, Value, values};
use crate::server::keys::Keys;
use crate::server::members;
use crate::server::paging;
use crate::server::permission::Permission;
use crate::server::problem::{Answer, Problem};
use crate::server::routes::Route;
use crate::server::state::{Server, now};

/// So many come on a page unless fewer are asked for, and never more.
const USUAL: i64 = 50;
const MOST: i64 = 200;
/// The length of the code in a cursor.
const CODE: usize = 32;
/// The type of an export.
const LINES: &str = "application/jsonl";

pub(crate) fn routes() -> Vec<Route> {
    let needs = Access::Permission(Permission::AuditRead);
    vec![
        Route::api(Method::GET, "/audit", needs, list, "listAudit", "List what happened, the newest first"),
        Route::api(Method::GET, "/audit/export", needs, export_part, "exportAudit", "Export entries, signed"),
        Route::api(Method::GET, "/audit/verify", needs, check, "verifyAudit", "Go through the whole chain"),
        Route::api(
            Method::GET,
            "/audit/key",
            needs,
            key,
            "showAuditKey",
            "Show the key that an export is checked with",
        ),
    ]
}

/// What is asked of the list.
#[derive(Deserialize, Default, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asked {
    /// So many at most; 50 unless it is said.
    #[schemars(range(min = 1, max = 200))]
    pub(crate) limit: Option<i64>,
    /// The `next` of the page before.
    pub(crate) cursor: Option<String>,
    /// A person's identifier or login.
    pub(crate) actor: Option<String>,
    /// What was done: `secret.read`.
    pub(crate) action: Option<String>,
    /// The identifier of what it was done to.
    pub(crate) object: Option<String>,
    /// From this time on.
    pub(crate) since: Option<DateTime<Utc>>,
    /// Before this time.
    pub(crate) until: Option<DateTime<Utc>>,
}

impl Asked {
    /// What a cursor is bound to besides the organization.
    fn filter(&self) -> String {
        let time = |at: Option<DateTime<Utc>>| at.map(|at| at.timestamp_millis());
        json!([self.actor, self.action, self.object, time(self.since), time(self.until)]).to_string()
    }

    /// The entries before a number, the newest first: one more than the limit, where there are.
    pub(super) fn page(
        &self,
        rows: &mut dyn Rows,
        scope: &OrgScope,
        before: i64,
        limit: i64,
    ) -> Result<Vec<(i64, String)>, DbError> {
        let actor = self.actor.as_deref().map(|actor| person(rows, scope, actor)).transpose()?;
        let (since, until) = (self.since.map(|at| at.timestamp_millis()), self.until.map(|at| at.timestamp_millis()));
        let mut sql = "SELECT sequence, entry FROM audit_events WHERE org = $1 AND sequence < $2".to_owned();
        let mut bound: Vec<Value<'_>> = vec![scope.id().into(), before.into()];
        let filters = [
            ("actor =", actor.as_ref().map(Value::from)),
            ("action =", self.action.as_ref().map(Value::from)),
            ("object =", self.object.as_ref().map(Value::from)),
            ("at >=", since.map(Value::from)),
            ("at <", until.map(Value::from)),
        ];
        for (condition, value) in filters {
            let Some(value) = value else { continue };
            bound.push(value);
            sql = format!("{sql} AND {condition} ${}", bound.len());
        }
        bound.push((limit + 1).into());
        let sql = format!("{sql} ORDER BY sequence DESC LIMIT ${}", bound.len());
        rows.query(&sql, &bound)?.into_iter().map(|mut row| Ok((row.int(0)?, row.text(1)?))).collect()
    }
}

/// The identifier of a member of that login; anything else stands for itself.
fn person(rows: &mut dyn Rows, scope: &OrgScope, named: &str) -> Result<String, DbError> {
    Ok(members::of_login(rows, scope, named)?.unwrap_or_else(|| named.to_owned()))
}

/// The login of somebody who acted in an organization.
fn login(rows: &mut dyn Rows, person: &str) -> Result<Option<String>, DbError> {
    rows.first("SELECT login FROM people WHERE id = $1", values![person])?.map(|mut row| row.text(0)).transpose()
}

/// An entry as it is in the chain: its names and texts, with the login of who did it where that is known.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "AuditEntry")]
struct Entry(Map<String, Json>);

/// Entries, each with the login of who did it where that is known.
pub(super) fn with_logins(rows: &mut dyn Rows, page: &[(i64, String)]) -> Result<Vec<Map<String, Json>>, DbError> {
    let mut items = Vec::new();
    for (_, entry) in page {
        let mut item: Map<String, Json> = serde_json::from_str(entry).unwrap_or_default();
        let login = match item.get("actor").and_then(Json::as_str) {
            Some(actor) => login(rows, actor)?,
            None => None,
        };
        item.extend(login.map(|login| ("login".to_owned(), login.into())));
        items.push(item);
    }
    Ok(items)
}

/// One page of the entries, the newest first, each with the login of who did it, and the cursor of the next.
pub(crate) fn some(server: &Server, caller: &Caller, asked: &Asked) -> Answer<paging::Part<Map<String, Json>>> {
    let limit = asked.limit.unwrap_or(USUAL);
    if !(1..=MOST).contains(&limit) {
        return Err(Problem::bad(format!("a limit is a number from 1 to {MOST}")));
    }
    let filter = asked.filter();
    let before = match &asked.cursor {
        Some(text) => read_cursor(&server.keys, &caller.scope, &filter, text)?,
        None => i64::MAX,
    };
    server.tell(&caller.scope, &caller.actor, &Event::done("audit.list", ""))?;
    let (items, next) = server.db.read(&caller.scope, |rows| -> Answer<_> {
        let mut page = asked.page(rows, &caller.scope, before, limit)?;
        let is_last = page.len() <= usize::try_from(limit).unwrap_or_default();
        page.truncate(usize::try_from(limit).unwrap_or_default());
        Ok((with_logins(rows, &page)?, page.last().filter(|_| !is_last).map(|(sequence, _)| *sequence)))
    })?;
    let next = next.map(|last| write_cursor(&server.keys, &caller.scope, &filter, last)).transpose()?;
    Ok(paging::Part { items, next })
}

async fn list(
    State(server): State<Arc<Server>>,
    caller: Caller,
    Query(asked): Query<Asked>,
) -> Answer<Body<paging::Part<Entry>>> {
    blocking(&server, move |server| Ok(Body(some(server, &caller, &asked)?.map(Entry)))).await
}

/// What is asked of an export.
#[derive(Deserialize, Default, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Part {
    /// The number of the first entry.
    #[schemars(range(min = 1))]
    pub(crate) from: Option<i64>,
    /// So many entries at most; 5000 unless it is said.
    #[schemars(range(min = 1, max = 5000))]
    limit: Option<i64>,
}

/// Lines of JSON: a signed statement of which entries they are, and the entries.
struct Lines(Response);

impl IntoResponse for Lines {
    fn into_response(self) -> Response {
        self.0
    }
}

impl Gives for Lines {
    fn tell(told: &mut Operation<'_>) {
        let about = "A signed statement of which entries follow, and the entries, each a line of JSON.";
        told.answer_of(StatusCode::OK, LINES, &json!({ "type": "string", "description": about }));
    }
}

/// Entries from a number on, after a statement of which they are and how many there are in all.
pub(crate) fn exported(server: &Server, caller: &Caller, part: &Part) -> Answer<Response> {
    let (from, limit) = (part.from.unwrap_or(1), part.limit.unwrap_or(export::MOST));
    if from < 1 || !(1..=export::MOST).contains(&limit) {
        return Err(Problem::bad(format!("the first entry is 1, and a limit a number from 1 to {}", export::MOST)));
    }
    let event = Event { detail: &from.to_string(), ..Event::done("audit.export", "") };
    server.tell(&caller.scope, &caller.actor, &event)?;
    let part = export::part(&server.db, &server.keys, &caller.scope, (from, limit), now())?;
    let lines = part.ok_or_else(|| Problem::bad("there are not so many entries"))?.lines;
    Ok(([(header::CONTENT_TYPE, LINES)], lines).into_response())
}

async fn export_part(State(server): State<Arc<Server>>, caller: Caller, Query(part): Query<Part>) -> Answer<Lines> {
    blocking(&server, move |server| Ok(Lines(exported(server, &caller, &part)?))).await
}

/// Goes through the whole chain; how many entries hold.
pub(crate) fn checked(server: &Server, caller: &Caller) -> Answer<Result<i64, Broken>> {
    let checked = in_parts(&server.db, &server.keys, &caller.scope)?;
    let outcome = if checked.is_ok() { Outcome::Done } else { Outcome::Failed };
    let event = Event { outcome, ..Event::done("audit.verify", "") };
    server.tell(&caller.scope, &caller.actor, &event)?;
    Ok(checked)
}

/// Whether the chain holds.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "AuditVerdict")]
struct Checked {
    valid: bool,
    /// So many entries there are, where it holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    entries: Option<i64>,
    /// Where it does not hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    broken: Option<Place>,
}

/// Where a chain does not hold.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "AuditBreak")]
struct Place {
    sequence: i64,
    problem: &'static str,
}

/// A key to check signatures with.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "AuditKey")]
struct PublicKey {
    algorithm: &'static str,
    /// In base64.
    key: String,
    /// Those that signed before it, the last one first: what was signed in their time is checked with them.
    former: Vec<String>,
}

async fn check(State(server): State<Arc<Server>>, caller: Caller) -> Answer<Body<Checked>> {
    blocking(&server, move |server| {
        Ok(Body(match checked(server, &caller)? {
            Ok(entries) => Checked { valid: true, entries: Some(entries), broken: None },
            Err(Broken { sequence, problem }) => {
                Checked { valid: false, entries: None, broken: Some(Place { sequence, problem }) }
            }
        }))
    })
    .await
}

/// The key with which an export is checked where no server is.
async fn key(State(server): State<Arc<Server>>, caller: Caller) -> Answer<Body<PublicKey>> {
    blocking(&server, move |server| {
        let all = server.db.read(&caller.scope, |rows| server.keys.statement_keys(rows))?;
        let mut all = all.into_iter().map(|key| STANDARD.encode(key));
        let key = all.next().ok_or_else(|| Problem::internal("no key for statements"))?;
        server.tell(&caller.scope, &caller.actor, &Event::done("audit.key", ""))?;
        Ok(Body(PublicKey { algorithm: "Ed25519", key, former: all.collect() }))
    })
    .await
}

/// Where a page ends, as the next request says it: good for this organization and these filters alone.
fn write_cursor(keys: &Keys, scope: &OrgScope, filter: &str, last: i64) -> Answer<String> {
    let mut bytes = code(keys, scope, filter, last)?.to_vec();
    bytes.extend_from_slice(&last.to_be_bytes());
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

fn read_cursor(keys: &Keys, scope: &OrgScope, filter: &str, text: &str) -> Answer<i64> {
    let bad = || Problem::bad("the cursor is none of this list");
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| bad())?;
    let (found, last) = bytes.split_at_checked(CODE).ok_or_else(bad)?;
    let last = i64::from_be_bytes(last.try_into().map_err(|_| bad())?);
    if bool::from(code(keys, scope, filter, last)?.as_slice().ct_eq(found)) { Ok(last) } else { Err(bad()) }
}

fn code(keys: &Keys, scope: &OrgScope, filter: &str, last: i64) -> Answer<[u8; CODE]> {
    let key = keys.derived("cursor").ok_or_else(|| Problem::internal("no key for cursors"))?;
    Ok(key.code(&[b"audit", scope.id().as_bytes(), filter.as_bytes(), &last.to_be_bytes()]))
}
