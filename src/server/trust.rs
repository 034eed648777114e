//! Keyless sign-in of jobs: which jobs of which outside issuer an organization lets in, for how long, as what.
//!
//! A job shows the token that its own service made for it, and gets one of ours for some minutes (`oauth/exchange.rs`).
//! The rules are an administrator's; a rule gives no more than whoever wrote it has, then and at every use.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::Method;
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::api::{Created, Creation, Done, Json, Query, Seen, Tagged};
use super::audit::Event;
use super::bearer;
use super::bridge::blocking;
use super::caller::{Access, Caller};
use super::db::{OrgScope, Rows, values};
use super::paging::{Asked, Part};
use super::permission::{self, Permission};
use super::problem::{Answer, Problem};
use super::projects;
use super::routes::Route;
use super::state::{Server, now};
use super::team::alone;
use crate::vault::id;

mod issuers;
mod judge;
mod pattern;
mod rule;

pub(crate) use issuers::Issuers;
use judge::attempt;
pub(crate) use judge::{Judged, Told, job, judge, tried};
use rule::Home;
pub(crate) use rule::{GRANTED, Mode, Rule, Written};

/// So many rules an organization has at most: each is tried for each job.
const MOST: usize = 200;

const ALL: &str = "/trust-rules";
const TRY: &str = "/trust-rules/try";
const ONE: &str = "/trust-rules/{id}";

pub(crate) fn routes() -> Vec<Route> {
    let needs = Access::Permission(Permission::TrustManage);
    vec![
        Route::api(Method::GET, ALL, needs, list, "listTrustRules", "List trust rules"),
        Route::api(Method::POST, ALL, needs, create, "createTrustRule", "Let in jobs of an outside service")
            .refuses(&["name-taken"]),
        Route::api(Method::POST, TRY, needs, attempt, "tryTrustRules", "Tell what each rule says to a job's token"),
        Route::api(Method::GET, ONE, needs, show, "showTrustRule", "Show a trust rule"),
        Route::api(Method::PATCH, ONE, needs, amend, "changeTrustRule", "Change a trust rule").refuses(&["name-taken"]),
        Route::api(Method::DELETE, ONE, needs, delete, "deleteTrustRule", "Delete a trust rule"),
    ]
}

/// A rule as the API shows it.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "TrustRule")]
struct Shown {
    id: String,
    created: Option<DateTime<Utc>>,
    #[serde(flatten)]
    written: Written,
}

fn shown(rule: &Rule) -> Shown {
    let (id, created) = (rule.id.clone(), DateTime::from_timestamp_millis(rule.created));
    Shown { id, created, written: rule.written() }
}

fn tagged(rule: &Rule) -> Tagged<Shown> {
    Tagged { revision: rule.revision, body: shown(rule) }
}

/// Every rule of the organization, the oldest first.
pub(crate) fn all(server: &Server, caller: &Caller) -> Answer<Vec<Rule>> {
    server.tell(&caller.scope, &caller.actor, &Event::done("trust-rule.list", ""))?;
    Ok(server.db.read(&caller.scope, |rows| Rule::all(rows, &caller.scope))?)
}

/// One page of the rules, the oldest first. There are few: each page is cut of all.
fn some(server: &Server, caller: &Caller, asked: &Asked) -> Answer<Part<Rule>> {
    let page = asked.page(&server.keys, &caller.scope, "trust-rules")?;
    let mut rules = all(server, caller)?;
    // Identifiers sort by age.
    rules.retain(|rule| rule.id > page.after);
    rules.sort_by(|one, other| one.id.cmp(&other.id));
    page.cut(rules, |rule| &rule.id)
}

/// The rule of an identifier; another organization's is not there.
pub(crate) fn find(server: &Server, caller: &Caller, id: &str) -> Answer<Rule> {
    server.db.read(&caller.scope, |rows| Rule::one(rows, &caller.scope, id))?.ok_or_else(Problem::not_found)
}

/// One rule, as it is looked at.
pub(crate) fn one(server: &Server, caller: &Caller, id: &str) -> Answer<Rule> {
    let rule = find(server, caller, id)?;
    server.tell(&caller.scope, &caller.actor, &Event::done("trust-rule.read", &rule.id))?;
    Ok(rule)
}

/// Refuses a rule that gives more than whoever writes it has.
fn within(rule: &Rule, caller: &Caller) -> Answer<()> {
    caller.needs(Permission::TrustManage)?;
    let project = rule.project.as_ref().map(|project| project.name.as_str());
    let has_all = rule.permissions.iter().all(|permission| caller.may(permission, project));
    if has_all { Ok(()) } else { Err(Problem::forbidden("a permission that the rule is to give").about("permissions")) }
}

/// Writes a new rule down.
pub(crate) fn make(server: &Server, caller: &Caller, written: Written) -> Answer<Rule> {
    let id = id::new("rule", now())?;
    let project = written.project.clone();
    let mut rule = written.rule(&id, server.issuer(), &caller.person.id, now())?;
    let words = given(&rule, project.as_deref());
    let event = Event { detail: &words, ..Event::done("trust-rule.create", &id) };
    alone(server, caller, &event, |rows, caller| {
        rule.project = home(rows, &caller.scope, project.as_deref())?;
        within(&rule, caller)?;
        if Rule::all(rows, &caller.scope)?.len() >= MOST {
            return Err(Problem::invalid(format!("an organization has {MOST} rules at most")));
        }
        rule.keep(rows, &caller.scope)?;
        Ok(())
    })?;
    Ok(rule)
}

/// The project of that name, held so that it is not deleted meanwhile.
fn home(rows: &mut dyn Rows, scope: &OrgScope, name: Option<&str>) -> Answer<Option<Home>> {
    let Some(name) = name.filter(|name| !name.is_empty()) else { return Ok(None) };
    let project = projects::named(rows, scope, name)?;
    Ok(Some(Home { id: project.id, name: project.name }))
}

/// What a rule gives, for the audit.
fn given(rule: &Rule, project: Option<&str>) -> String {
    let project = project.filter(|name| !name.is_empty()).map(|name| format!(" in {name}"));
    rule.permissions.words() + &project.unwrap_or_default()
}

/// What is to be another. A rule is changed as a whole, so that no half of it is ever in force.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Amendment {
    #[schemars(length(min = 1, max = 64))]
    name: Option<String>,
    issuer: Option<String>,
    audience: Option<String>,
    subject: Option<String>,
    claims: Option<std::collections::BTreeMap<String, String>>,
    #[schemars(length(min = 1), extend("items" = permission::schema(&rule::GRANTED)))]
    permissions: Option<Vec<String>>,
    #[schemars(range(min = rule::LEAST, max = rule::MOST))]
    lifetime: Option<i64>,
    mode: Option<Mode>,
    /// The name of the only project that the jobs work in; an empty one is the whole organization.
    project: Option<String>,
}

impl From<Written> for Amendment {
    fn from(written: Written) -> Self {
        Self {
            name: Some(written.name),
            issuer: Some(written.issuer),
            audience: written.audience,
            subject: Some(written.subject),
            claims: Some(written.claims),
            permissions: Some(written.permissions),
            lifetime: written.lifetime,
            mode: written.mode,
            // What is written without a project is the organization's.
            project: Some(written.project.unwrap_or_default()),
        }
    }
}

/// Changes a rule, if it is still as it was seen. Who came in under what it said before comes in again, if it still lets
/// them.
pub(crate) fn change(server: &Server, caller: &Caller, id: &str, change: Amendment, seen: Option<i64>) -> Answer<Rule> {
    let before = find(server, caller, id)?;
    if seen.is_some_and(|revision| revision != before.revision) {
        return Err(Problem::changed());
    }
    let was = before.written();
    let written = Written {
        name: change.name.unwrap_or(was.name),
        issuer: change.issuer.unwrap_or(was.issuer),
        audience: change.audience.or(was.audience),
        subject: change.subject.unwrap_or(was.subject),
        claims: change.claims.unwrap_or(was.claims),
        permissions: change.permissions.unwrap_or(was.permissions),
        lifetime: change.lifetime.or(was.lifetime),
        mode: change.mode.or(was.mode),
        project: change.project.or(was.project),
    };
    let project = written.project.clone();
    let mut rule = written.rule(&before.id, server.issuer(), &caller.person.id, now())?;
    rule.created = before.created;
    rule.revision = before.revision + 1;
    let words = given(&rule, project.as_deref());
    let event = Event { detail: &words, ..Event::done("trust-rule.change", id) };
    alone(server, caller, &event, |rows, caller| {
        rule.project = home(rows, &caller.scope, project.as_deref())?;
        within(&rule, caller)?;
        if !rule.keep(rows, &caller.scope)? {
            return Err(Problem::changed());
        }
        Ok(bearer::revoke_jobs(rows, &caller.scope, &rule.id, now())?)
    })?;
    Ok(rule)
}

/// Takes a rule away, with every job that came in by it.
pub(crate) fn end(server: &Server, caller: &Caller, id: &str, seen: Option<i64>) -> Answer<()> {
    alone(server, caller, &Event::done("trust-rule.delete", id), |rows, caller| {
        caller.needs(Permission::TrustManage)?;
        let revision = Rule::revision(rows, &caller.scope, id)?.ok_or_else(Problem::not_found)?;
        if seen.is_some_and(|seen| seen != revision) {
            return Err(Problem::changed());
        }
        let gone = "DELETE FROM trust_rules WHERE org = $1 AND id = $2";
        if rows.execute(gone, values![caller.scope.id(), id])? == 0 {
            return Err(Problem::not_found());
        }
        Ok(bearer::revoke_jobs(rows, &caller.scope, id, now())?)
    })
}

async fn list(
    State(server): State<Arc<Server>>,
    caller: Caller,
    Query(asked): Query<Asked>,
) -> Answer<Json<Part<Shown>>> {
    blocking(&server, move |server| Ok(Json(some(server, &caller, &asked)?.map(|rule| shown(&rule))))).await
}

async fn show(State(server): State<Arc<Server>>, caller: Caller, Path(id): Path<String>) -> Answer<Tagged<Shown>> {
    blocking(&server, move |server| Ok(tagged(&one(server, &caller, &id)?))).await
}

async fn create(
    State(server): State<Arc<Server>>,
    caller: Caller,
    written: Creation<Written>,
) -> Answer<Created<Tagged<Shown>>> {
    let (caller, written) = written.of(caller);
    blocking(&server, move |server| {
        let (make, again) = (|| make(server, &caller, written), |id: &str| one(server, &caller, id));
        let rule = caller.once.carry_out(server, make, again)?;
        Ok(Created::at(format!("{ALL}/{}", rule.id), tagged(&rule)))
    })
    .await
}

async fn amend(
    State(server): State<Arc<Server>>,
    caller: Caller,
    Path(id): Path<String>,
    Seen(seen): Seen,
    Json(wanted): Json<Amendment>,
) -> Answer<Tagged<Shown>> {
    blocking(&server, move |server| Ok(tagged(&change(server, &caller, &id, wanted, seen)?))).await
}

async fn delete(
    State(server): State<Arc<Server>>,
    caller: Caller,
    Path(id): Path<String>,
    Seen(seen): Seen,
) -> Answer<Done> {
    blocking(&server, move |server| end(server, &caller, &id, seen).map(|()| Done)).await
}
