//! What the rules of an organization say to the token of a job.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::issuers::Busy;
use super::{Mode, Rule};
use crate::auth::id_token::{self, Expected, IdTokenError};
use crate::secret::Secret;
use crate::server::api::Json;
use crate::server::audit::{Event, Outcome};
use crate::server::bridge::blocking;
use crate::server::caller::Caller;
use crate::server::db::OrgScope;
use crate::server::problem::{Answer, Problem};
use crate::server::state::{Server, now};

/// What a job's token says, once the issuer's signature holds.
pub(crate) type Told = Map<String, Value>;

/// What a rule says to a token.
pub(crate) struct Judged {
    pub(crate) rule: Rule,
    /// What the token says, where it holds.
    pub(crate) told: Option<Told>,
    /// Why it is not let in; nothing where it is.
    pub(crate) why: Option<String>,
    /// Whether the issuer has not signed it.
    pub(crate) is_forged: bool,
}

/// What is wrong with a token itself.
struct Wrong {
    why: String,
    is_forged: bool,
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
        if let Err(Wrong { why, is_forged }) = verified(server, scope, token, &rule)? {
            return Ok(Judged { rule, told: None, why: Some(why), is_forged });
        }
        // The signature over just this text was found to hold.
        let told = unverified.as_ref().and_then(Value::as_object).cloned().unwrap_or_default();
        let why = rule.admits(&told).err();
        Ok(Judged { rule, told: Some(told), why, is_forged: false })
    };
    rules.into_iter().map(judged).collect()
}

/// Whether a token is of the rule's issuer, for the rule's audience, and valid now.
fn verified(server: &Server, scope: &OrgScope, token: &Secret, rule: &Rule) -> Answer<Result<(), Wrong>> {
    let http = server.connector();
    let expected = Expected {
        issuer: &rule.issuer,
        client_id: &rule.audience,
        nonce: None,
        access_token: None,
        max_age: None,
        subject: None,
    };
    let check = |anew| -> Answer<Option<_>> {
        let keys = server.issuers.keys_for(scope.id(), &rule.issuer, &http, anew, now());
        let keys = keys.map_err(|Busy| busy())?;
        Ok(keys.map(|keys| id_token::verify(token, &keys, &expected, now()).map(|_| ())))
    };
    let checked = match check(false)? {
        // Its keys may have changed since.
        Some(Err(IdTokenError::UnknownKey)) => check(true)?,
        checked => checked,
    };
    let none = || Err(Wrong { why: "the issuer gives no keys".into(), is_forged: false });
    Ok(checked.map_or_else(none, |checked| {
        // Its claims are looked at where the signature holds.
        let is_forged = |failure| !matches!(failure, IdTokenError::Claim { .. });
        checked.map_err(|failure| Wrong { why: failure.to_string(), is_forged: is_forged(failure) })
    }))
}

fn busy() -> Problem {
    let why = "an issuer is being asked for its keys; come back later";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", why).header(header::RETRY_AFTER, "1")
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

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Tried {
    /// The token that a job's own service made for it.
    token: Secret,
}

/// What the rules say to a token.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "TrustTrial")]
pub(super) struct Said {
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

pub(super) async fn attempt(
    State(server): State<Arc<Server>>,
    caller: Caller,
    Json(shown): Json<Tried>,
) -> Answer<Json<Said>> {
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
