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
use serde_json::{Map, Value};

use super::api::{Created, Creation, Done, Json, Seen, Tagged};
use super::audit::{Event, Outcome};
use super::bearer;
use super::bridge::blocking;
use super::caller::{Access, Caller};
use super::connector::Connector;
use super::db::{OrgScope, Rows, values};
use super::permission::{self, Permission};
use super::problem::{Answer, Problem};
use super::projects;
use super::routes::Route;
use super::state::{Server, now};
use super::team::alone;
use crate::auth::id_token::{self, Expected, IdTokenError};
use crate::secret::Secret;
use crate::vault::id;

mod issuers;
mod pattern;
mod rule;

pub(crate) use issuers::Issuers;
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

/// What a job's token says, once the issuer's signature holds.
pub(crate) type Told = Map<String, Value>;

/// What a rule says to a token.
pub(crate) struct Judged {
    pub(crate) rule: Rule,
    /// What the token says, where it holds.
    pub(crate) told: Option<Told>,
    /// Why it is not let in; nothing where it is.
    pub(crate) why: Option<String>,
}

/// What the rules of an organization say to a token, for each rule of its issuer. Empty where no rule names the issuer, or where it is no token at all.
pub(crate) fn judge(server: &Server, scope: &OrgScope, token: &Secret) -> Answer<Vec<Judged>> {
    // Nothing is believed here but whom to ask, and only issuers that an administrator named are asked.
    let unverified = id_token::unverified_claims(token);
    let Some(issuer) = unverified.as_ref().and_then(|claims| claims["iss"].as_str()) else { return Ok(Vec::new()) };
    let rules = server.db.read(scope, |rows| Rule::all(rows, scope))?;
    let rules: Vec<Rule> = rules.into_iter().filter(|rule| rule.issuer == issuer).collect();
    if rules.is_empty() {
        return Ok(Vec::new());
    }
    let judged = |rule: Rule| {
        if let Err(why) = verified(server, token, &rule) {
            return Judged { rule, told: None, why: Some(why) };
        }
        // The signature over just this text was found to hold.
        let told = unverified.as_ref().and_then(Value::as_object).cloned().unwrap_or_default();
        let why = rule.admits(&told).err();
        Judged { rule, told: Some(told), why }
    };
    Ok(rules.into_iter().map(judged).collect())
}

/// Whether a token is of the rule's issuer, for the rule's audience, and valid now.
fn verified(server: &Server, token: &Secret, rule: &Rule) -> Result<(), String> {
    let http = Connector::new(&server.allowed_hosts);
    let expected = Expected {
        issuer: &rule.issuer,
        client_id: &rule.audience,
        nonce: None,
        access_token: None,
        max_age: None,
        subject: None,
    };
    let check = |anew| -> Result<_, String> {
        let keys = server.issuers.keys(&rule.issuer, &http, anew, now());
        let keys = keys.ok_or_else(|| "the issuer gives no keys".to_owned())?;
        Ok(id_token::verify(token, &keys, &expected, now()))
    };
    let checked = match check(false)? {
        // Its keys may have changed since.
        Err(IdTokenError::UnknownKey) => check(true)?,
        checked => checked,
    };
    checked.map(|_| ()).map_err(|failure| failure.to_string())
}

/// A job by its subject and its run, for the audit.
pub(crate) fn job(told: &Told) -> String {
    let text = |name: &str| match told.get(name) {
        Some(Value::String(text)) => Some(text.clone()),
        Some(Value::Number(number)) => Some(number.to_string()),
        _ => None,
    };
    let subject = text("sub").unwrap_or_default();
    match ["run_id", "job_id", "jti"].into_iter().find_map(text) {
        Some(run) => format!("{subject} run {run}"),
        None => subject,
    }
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

/// Every rule of an organization.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "TrustRules")]
struct All {
    items: Vec<Shown>,
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

/// What each rule says to a token, and whose job it is, without letting anybody in.
pub(crate) fn tried(server: &Server, caller: &Caller, token: &Secret) -> Answer<(Option<String>, Vec<Judged>)> {
    let judged = judge(server, &caller.scope, token)?;
    let subject = judged.iter().find_map(|one| one.told.as_ref()).map(job);
    let outcome = if judged.iter().any(|one| one.why.is_none()) { Outcome::Done } else { Outcome::Failed };
    let detail = subject.clone().unwrap_or_default();
    let event = Event { outcome, detail: &detail, ..Event::done("trust-rule.try", "") };
    server.tell(&caller.scope, &caller.actor, &event)?;
    Ok((subject, judged))
}

async fn list(State(server): State<Arc<Server>>, caller: Caller) -> Answer<Json<All>> {
    blocking(&server, move |server| Ok(Json(All { items: all(server, &caller)?.iter().map(shown).collect() }))).await
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

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Tried {
    /// The token that a job's own service made for it.
    token: Secret,
}

/// What the rules say to a token.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "TrustTrial")]
struct Said {
    /// The job, where its issuer vouches for it.
    job: Option<String>,
    rules: Vec<SaidBy>,
}

/// What one rule says to it.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "TrustVerdict")]
struct SaidBy {
    id: String,
    name: String,
    mode: Mode,
    admits: bool,
    /// Why not.
    why: Option<String>,
}

async fn attempt(State(server): State<Arc<Server>>, caller: Caller, Json(shown): Json<Tried>) -> Answer<Json<Said>> {
    let _turn = server.asking.acquire().await.map_err(|closed| Problem::internal(&closed))?;
    blocking(&server, move |server| {
        let (subject, judged) = tried(server, &caller, &shown.token)?;
        let said = |Judged { rule, why, .. }: Judged| SaidBy {
            id: rule.id,
            name: rule.name,
            mode: rule.mode,
            admits: why.is_none(),
            why,
        };
        Ok(Json(Said { job: subject, rules: judged.into_iter().map(said).collect() }))
    })
    .await
}
