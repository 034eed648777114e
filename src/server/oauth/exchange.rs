//! Token exchange (RFC 8693): a job shows the token that its own service made for it, and gets one of ours for a while.
//!
//! The job says which organization it works for: no other's rules are looked at, so that nobody else can write a rule
//! that makes it theirs. Whether it is let in is for the rules of that organization (`trust.rs`).

use axum::response::{IntoResponse, Response};
use chrono::TimeDelta;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::client::Client;
use super::error::{Given, refused};
use super::proof::token_type;
use crate::secret::Secret;
use crate::server::api::Json;
use crate::server::attempts::Attempt;
use crate::server::audit::{self, Actor, Event, Outcome};
use crate::server::bearer::{self, Grant};
use crate::server::caller::Rights;
use crate::server::db::{OrgScope, Reach, Rows, values};
use crate::server::edge::Source;
use crate::server::people;
use crate::server::permission::Permissions;
use crate::server::problem::Answer;
use crate::server::state::{Server, now};
use crate::server::token::{Kind, Minted};
use crate::server::trust::{self, Judged, Mode, Rule, Told};

/// The grant.
pub(super) const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
/// What a job's own token may be called.
const SHOWN: [&str; 2] = ["urn:ietf:params:oauth:token-type:jwt", "urn:ietf:params:oauth:token-type:id_token"];

/// What a job asks.
#[derive(Deserialize, JsonSchema)]
pub(super) struct Asked {
    subject_token: Option<Secret>,
    subject_token_type: Option<String>,
    requested_token_type: Option<String>,
    /// The organization.
    audience: Option<String>,
    actor_token: Option<Secret>,
}

/// What a job gets.
pub(super) struct Exchanged {
    minted: Minted,
    life: i64,
    permissions: Permissions,
    is_bound: bool,
}

impl IntoResponse for Exchanged {
    fn into_response(self) -> Response {
        Json(json!({
            "access_token": self.minted.token.expose(),
            "issued_token_type": ACCESS_TOKEN,
            "token_type": token_type(self.is_bound),
            "expires_in": self.life,
            "scope": self.permissions.words(),
        }))
        .into_response()
    }
}

pub(super) fn exchange(
    server: &Server,
    client: &Client,
    asked: &Asked,
    scope: Option<&str>,
    bound: Option<&str>,
    source: &Source,
) -> Given<Exchanged> {
    if !client.is_for_jobs() {
        return refused("unauthorized_client", "this client is let in by a person");
    }
    let Some(token) = &asked.subject_token else { return refused("invalid_request", "subject_token is missing") };
    if !asked.subject_token_type.as_deref().is_some_and(|kind| SHOWN.contains(&kind)) {
        return refused("invalid_request", "the subject token is shown as a JWT");
    }
    if asked.requested_token_type.as_deref().is_some_and(|kind| kind != ACCESS_TOKEN) || asked.actor_token.is_some() {
        return refused("invalid_request", "a job gets an access token for itself");
    }
    let Some(organization) = &asked.audience else {
        return refused("invalid_target", "audience names the organization");
    };
    let wanted = match scope {
        Some(words) => Permissions::parse(words).filter(|wanted| !wanted.is_empty()),
        None => Some(Permissions::default()),
    };
    let Some(wanted) = wanted else { return refused("invalid_scope", "a scope is unknown") };
    let from = source.address.map(|address| address.to_string()).unwrap_or_default();
    let org = OrgScope::of(organization.as_str());
    let (is_there, attempt) = server.db.read(Reach::Server, |rows| -> Answer<_> {
        let one = "SELECT 1 FROM organizations WHERE id = $1 AND deleted IS NULL";
        let is_there = rows.first(one, values![org.id()])?.is_some();
        // The jobs of many share an address: those of one organization keep no others waiting.
        let whose = if is_there { org.id() } else { "none" };
        let attempt = Attempt::at(&format!("exchange {whose}"), &from, source.address);
        attempt.refuse_early(rows, now())?;
        Ok((is_there, attempt))
    })?;
    let judged = if is_there { trust::judge(server, &org, token)? } else { Vec::new() };
    // What does not belong to an organization that there is belongs to the server.
    let chain = if is_there { org.clone() } else { audit::server_scope() };
    // What is found out is kept, though the answer is a refusal.
    server.db.write(Reach::Server, |rows| -> Given<Given<Exchanged>> {
        let mut near: Option<(&Rule, &Told)> = None;
        let mut watching = Vec::new();
        let tell = |rows: &mut dyn Rows, watching: &[(&str, String)]| -> Answer<()> {
            for (rule, name) in watching {
                let event = Event { detail: name, outcome: Outcome::Denied, ..Event::done("job.would-sign-in", rule) };
                audit::append(rows, &server.keys, &chain, &source.actor(), &event, now())?;
            }
            Ok(())
        };
        for Judged { rule, told, why, .. } in &judged {
            let Some(told) = told else { continue };
            near = near.or(Some((rule, told)));
            if why.is_some() {
                continue;
            }
            // Its issuer was asked for a while: somebody may have changed it meanwhile, or taken it away.
            if !rule.still_stands(rows, &org)? {
                continue;
            }
            let name = trust::job(told);
            if rule.mode == Mode::Audit {
                watching.push((rule.id.as_str(), name));
                continue;
            }
            // Whoever stands for the rule may have less now than when they wrote it, or be gone.
            let Some(role) = people::role(rows, &org, &rule.person)? else { continue };
            let roles = people::project_roles(rows, &org, &rule.person)?;
            let rights =
                Rights::of(role, roles, &rule.permissions, rule.project.as_ref().map(|home| home.name.as_str()));
            let given = if rule.project.is_some() { rights.most() } else { rights.everywhere };
            if given.is_empty() || !wanted.within(&given) {
                continue;
            }
            let permissions = if wanted.is_empty() { given } else { wanted.clone() };
            let grant = Grant {
                scope: org.clone(),
                person: rule.person.clone(),
                client: client.id.clone(),
                permissions: permissions.clone(),
                family: rule.id.clone(),
                project: rule.project.as_ref().map(|home| home.id.clone()),
                bound: bound.map(str::to_owned),
            };
            attempt.succeeded(rows)?;
            let life = TimeDelta::seconds(rule.life);
            let minted = bearer::issue(rows, Kind::Job, &grant, &name, life, now())?;
            let actor = Actor { person: format!("job {name}"), token: minted.id.clone(), ..source.actor() };
            tell(rows, &watching)?;
            let event = Event { detail: &permissions.words(), ..Event::done("job.sign-in", &rule.id) };
            audit::append(rows, &server.keys, &org, &actor, &event, now())?;
            return Ok(Ok(Exchanged { minted, life: rule.life, permissions, is_bound: bound.is_some() }));
        }
        // Nobody guesses at what an issuer signs: a job of theirs that no rule lets in is no attempt.
        if judged.iter().all(|one| one.is_forged) {
            attempt.failed(rows, now())?;
        }
        tell(rows, &watching)?;
        let (object, name) = near.map_or(("", String::new()), |(rule, told)| (rule.id.as_str(), trust::job(told)));
        let event = Event { detail: &name, outcome: Outcome::Denied, ..Event::done("job.sign-in", object) };
        audit::append(rows, &server.keys, &chain, &source.actor(), &event, now())?;
        Ok(refused("invalid_request", "no trust rule of the organization lets this token in"))
    })?
}
