//! Signing in by outside issuers (OpenID Connect): which ones an organization believes, and whom they let in.
//!
//! An issuer is an owner's: it is believed in their organization and in no other, so that a session that came of it
//! counts there alone. Whose account is whose is told by the issuer and the subject, never by an address.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::Method;
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::api::{Created, Creation, Done, Json, Query, Seen, Tagged};
use super::audit::Event;
use super::bridge::blocking;
use super::caller::{Access, Caller};
use super::db::{DbError, OrgScope, Row, Rows, values};
use super::paging::{Asked, Part};
use super::permission::Permission;
use super::portal::hidden;
use super::portal::page::Text;
use super::problem::{Answer, Problem};
use super::routes::Route;
use super::state::{Server, now};
use super::team::alone;
use crate::secret::Secret;
use crate::vault::id;

mod accounts;
mod back;
mod errand;
mod peer;
mod rows;
mod secret;
mod settle;
mod start;

pub(crate) use accounts::{all_of, invited, unlink};
pub(crate) use errand::Purpose;
pub(crate) use rows::{Upstream, Written};
pub(crate) use secret::Shelf;
pub(crate) use start::{Going, going};

/// So many an organization has at most.
const MOST: usize = 32;
const NEEDS: Permission = Permission::UpstreamsManage;

pub(crate) fn routes() -> Vec<Route> {
    let needs = Access::Permission(NEEDS);
    vec![
        Route::api(Method::GET, "/upstreams", needs, list, "listUpstreams", "List the issuers that people sign in by"),
        Route::api(Method::POST, "/upstreams", needs, create, "createUpstream", "Believe an issuer")
            .refuses(&["name-taken"]),
        Route::api(Method::GET, "/upstreams/{id}", needs, show, "showUpstream", "Show an issuer"),
        Route::api(Method::PATCH, "/upstreams/{id}", needs, amend, "changeUpstream", "Change an issuer")
            .refuses(&["name-taken"]),
        Route::api(Method::DELETE, "/upstreams/{id}", needs, delete, "deleteUpstream", "Believe an issuer no more"),
        Route::new(Method::POST, "/sign-in/with/{id}", Access::Page, start::submit),
        Route::new(Method::GET, "/sign-in/back/{id}", Access::Page, back::show),
    ]
}

impl Upstream {
    /// The address that it sends people back to: of its own, so that no other issuer's answer is taken for its.
    pub(crate) fn redirect(&self, server: &Server) -> String {
        server.address(&format!("/sign-in/back/{}", self.id))
    }

    fn shown(&self, server: &Server) -> Shown {
        let written = self.written();
        Shown {
            id: self.id.clone(),
            name: written.name,
            issuer: written.issuer,
            client_id: written.client_id,
            scopes: written.scopes,
            domains: written.domains,
            domain_role: written.domain_role,
            claim: written.claim,
            roles: written.roles,
            second_factor: written.second_factor,
            listed: written.listed,
            created: DateTime::from_timestamp_millis(self.created),
            has_secret: self.has_secret(),
            redirect_uri: self.redirect(server),
        }
    }

    fn tagged(&self, server: &Server) -> Tagged<Shown> {
        Tagged { revision: self.revision, body: self.shown(server) }
    }
}

/// An issuer as the API answers it.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Upstream")]
struct Shown {
    id: String,
    name: String,
    issuer: String,
    client_id: String,
    scopes: String,
    domains: Vec<String>,
    domain_role: String,
    claim: String,
    roles: BTreeMap<String, String>,
    second_factor: bool,
    listed: bool,
    created: Option<DateTime<Utc>>,
    /// Whether a client secret is kept. It is never shown.
    has_secret: bool,
    /// The address to register at the issuer.
    redirect_uri: String,
}

/// What a page to sign in offers.
pub(crate) struct Offered {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) organization: String,
}

impl Offered {
    fn read(mut row: Row) -> Result<Self, DbError> {
        Ok(Self { id: row.text(0)?, name: row.text(1)?, organization: row.text(2)? })
    }
}

/// The issuers that everybody sees on the page to sign in.
pub(crate) fn offered(rows: &mut dyn Rows) -> Result<Vec<Offered>, DbError> {
    let listed = "SELECT upstreams.id, upstreams.name, organizations.name FROM upstreams \
                  JOIN organizations ON organizations.id = upstreams.org \
                  WHERE listed = 1 AND client_id <> '' ORDER BY upstreams.folded, upstreams.id LIMIT 64";
    rows.query(listed, &[])?.into_iter().map(Offered::read).collect()
}

/// The issuers of an organization, for those whom it knows or invited.
pub(crate) fn of(rows: &mut dyn Rows, scope: &OrgScope) -> Result<Vec<Offered>, DbError> {
    let all = "SELECT upstreams.id, upstreams.name, organizations.name FROM upstreams \
               JOIN organizations ON organizations.id = upstreams.org \
               WHERE upstreams.org = $1 AND client_id <> '' ORDER BY upstreams.folded, upstreams.id";
    rows.query(all, values![scope.id()])?.into_iter().map(Offered::read).collect()
}

/// A button for each of them, as forms that bring along more fields.
pub(crate) fn buttons(ways: &[Offered], words: &str, more: &[(&str, &str)]) -> String {
    let fields: String = more.iter().map(|(name, value)| hidden(name, value)).collect();
    // Where the issuers of several organizations stand beside one another, each is told with its own.
    let several = ways.iter().any(|way| way.organization != ways[0].organization);
    let form = |way: &Offered| {
        let of = if several { format!(" ({})", way.organization) } else { String::new() };
        format!(
            "\n<form method=\"post\" action=\"/sign-in/with/{}\">{fields}<button class=\"quiet\">{words} {}{}</button>\
             </form>",
            Text(&way.id),
            Text(&way.name),
            Text(&of),
        )
    };
    ways.iter().map(form).collect()
}

/// Those of the caller's organization.
pub(crate) fn all(server: &Server, caller: &Caller) -> Answer<Vec<Upstream>> {
    server.tell(&caller.scope, &caller.actor, &Event::done("upstream.list", ""))?;
    Ok(server.db.read(&caller.scope, |rows| Upstream::all(rows, &caller.scope))?)
}

/// One page of them, by name. There are few: each page is cut of all.
fn some(server: &Server, caller: &Caller, asked: &Asked) -> Answer<Part<Upstream>> {
    let page = asked.page(&server.keys, &caller.scope, "upstreams")?;
    let mut named: Vec<_> = all(server, caller)?.into_iter().map(|one| (one.name.to_lowercase(), one)).collect();
    named.retain(|(name, _)| *name > page.after);
    named.sort_by(|(one, _), (other, _)| one.cmp(other));
    Ok(page.cut(named, |(name, _)| name)?.map(|(_, one)| one))
}

/// One of the caller's organization.
pub(crate) fn one(server: &Server, caller: &Caller, id: &str) -> Answer<Upstream> {
    let found =
        server.db.read(&caller.scope, |rows| Upstream::one(rows, &caller.scope, id))?.ok_or_else(Problem::not_found)?;
    server.tell(&caller.scope, &caller.actor, &Event::done("upstream.read", &found.id))?;
    Ok(found)
}

/// Makes one.
pub(crate) fn make(server: &Server, caller: &Caller, written: &Written) -> Answer<Upstream> {
    let id = id::new("up", now())?;
    let read = written.read(&caller.scope, &id, server.issuer(), &caller.person.id);
    let mut made = read.map_err(Problem::invalid)?;
    made.created = now().timestamp_millis();
    let next = server.shelf().next(&made, written.client_secret.as_ref(), None)?;
    made.has_secret = next.is_one(None);
    let event = Event { detail: &made.issuer, ..Event::done("upstream.create", &made.id) };
    alone(server, caller, &event, |rows, caller| {
        caller.needs(NEEDS)?;
        if Upstream::all(rows, &caller.scope)?.len() >= MOST {
            return Err(Problem::invalid(format!("an organization has {MOST} issuers at most")));
        }
        made.keep(rows)?;
        Ok(next.carry_out(rows, &server.keys, &made)?)
    })?;
    Ok(made)
}

/// Puts another in its place, if it is of the revision that was seen. Whoever came in by what it said before shows again
/// who they are.
pub(crate) fn change(
    server: &Server,
    caller: &Caller,
    id: &str,
    was_seen: impl Fn(i64) -> bool,
    written: impl FnOnce(Written) -> Written,
) -> Answer<Upstream> {
    let before =
        server.db.read(&caller.scope, |rows| Upstream::one(rows, &caller.scope, id))?.ok_or_else(Problem::not_found)?;
    let written = written(before.written());
    let read = written.read(&caller.scope, id, server.issuer(), &caller.person.id);
    let mut changed = read.map_err(Problem::invalid)?;
    (changed.created, changed.revision) = (before.created, before.revision + 1);
    let next = server.shelf().next(&changed, written.client_secret.as_ref(), Some(&before))?;
    changed.has_secret = next.is_one(Some(&before));
    let event = Event { detail: &changed.issuer, ..Event::done("upstream.change", id) };
    alone(server, caller, &event, |rows, caller| {
        caller.needs(NEEDS)?;
        if !was_seen(before.revision) || !changed.keep(rows)? {
            return Err(Problem::changed());
        }
        next.carry_out(rows, &server.keys, &changed)?;
        end_sessions(rows, &changed)
    })?;
    server.engine.clear(&server.db, &caller.scope, id);
    Ok(changed)
}

/// Takes one away, with what links people to it, if it is still as it was seen.
pub(crate) fn end(server: &Server, caller: &Caller, id: &str, seen: Option<i64>) -> Answer<()> {
    alone(server, caller, &Event::done("upstream.delete", id), |rows, caller| {
        caller.needs(NEEDS)?;
        let gone = Upstream::one(rows, &caller.scope, id)?.ok_or_else(Problem::not_found)?;
        if seen.is_some_and(|revision| revision != gone.revision) {
            return Err(Problem::changed());
        }
        end_sessions(rows, &gone)?;
        secret::take_out(rows, &caller.scope, id)?;
        rows.execute("DELETE FROM upstreams WHERE org = $1 AND id = $2", values![caller.scope.id(), id])?;
        Ok(())
    })?;
    server.db.forget();
    server.engine.clear(&server.db, &caller.scope, id);
    Ok(())
}

/// Ends the sessions of those who may have come by it.
fn end_sessions(rows: &mut dyn Rows, upstream: &Upstream) -> Answer<()> {
    let end = "DELETE FROM sessions WHERE only_in = $1 AND person IN \
               (SELECT person FROM upstream_accounts WHERE org = $1 AND upstream = $2)";
    rows.execute(end, values![upstream.scope.id(), &upstream.id])?;
    Ok(())
}

async fn list(
    State(server): State<Arc<Server>>,
    caller: Caller,
    Query(asked): Query<Asked>,
) -> Answer<Json<Part<Shown>>> {
    blocking(&server, move |server| Ok(Json(some(server, &caller, &asked)?.map(|one| one.shown(server))))).await
}

async fn show(State(server): State<Arc<Server>>, caller: Caller, Path(id): Path<String>) -> Answer<Tagged<Shown>> {
    blocking(&server, move |server| Ok(one(server, &caller, &id)?.tagged(server))).await
}

async fn create(
    State(server): State<Arc<Server>>,
    caller: Caller,
    written: Creation<Written>,
) -> Answer<Created<Tagged<Shown>>> {
    let (caller, written) = written.of(caller);
    blocking(&server, move |server| {
        let (make, again) = (|| make(server, &caller, &written), |id: &str| one(server, &caller, id));
        let upstream = caller.once.carry_out(server, make, again)?;
        Ok(Created::at(format!("/upstreams/{}", upstream.id), upstream.tagged(server)))
    })
    .await
}

/// What is to be another; the rest stays.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Amendment {
    name: Option<String>,
    issuer: Option<String>,
    client_id: Option<String>,
    client_secret: Option<Secret>,
    scopes: Option<String>,
    domains: Option<Vec<String>>,
    domain_role: Option<String>,
    claim: Option<String>,
    roles: Option<BTreeMap<String, String>>,
    second_factor: Option<bool>,
    listed: Option<bool>,
}

async fn amend(
    State(server): State<Arc<Server>>,
    caller: Caller,
    Path(id): Path<String>,
    Seen(wanted): Seen,
    Json(change): Json<Amendment>,
) -> Answer<Tagged<Shown>> {
    blocking(&server, move |server| {
        let was_seen = |revision: i64| wanted.is_none_or(|wanted| wanted == revision);
        let written = |was: Written| Written {
            name: change.name.unwrap_or(was.name),
            issuer: change.issuer.unwrap_or(was.issuer),
            client_id: change.client_id.unwrap_or(was.client_id),
            client_secret: change.client_secret,
            scopes: change.scopes.unwrap_or(was.scopes),
            domains: change.domains.unwrap_or(was.domains),
            domain_role: change.domain_role.unwrap_or(was.domain_role),
            claim: change.claim.unwrap_or(was.claim),
            roles: change.roles.unwrap_or(was.roles),
            second_factor: change.second_factor.unwrap_or(was.second_factor),
            listed: change.listed.unwrap_or(was.listed),
        };
        Ok(self::change(server, &caller, &id, was_seen, written)?.tagged(server))
    })
    .await
}

async fn delete(
    State(server): State<Arc<Server>>,
    caller: Caller,
    Path(id): Path<String>,
    Seen(seen): Seen,
) -> Answer<Done> {
    blocking(&server, move |server| end(server, &caller, &id, seen).map(|()| Done)).await
}
