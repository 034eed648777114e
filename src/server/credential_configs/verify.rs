//! Asking the provider whether a credential is good, through the connector that reaches nothing private.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Serialize;

use super::permitted;
use crate::credential::{Credential, Metadata};
use crate::provider::{self, Net, Outcome, Verdict};
use crate::server::api::Json;
use crate::server::bridge::blocking;
use crate::server::caller::Caller;
use crate::server::connections::{By, Want, fresh};
use crate::server::permission::Permission;
use crate::server::problem::{Answer, Problem};
use crate::server::state::{Server, now};
use crate::server::vault::OrgVault;
use crate::server::vault::sign_in::is_sign_in;
use crate::vault::{Vault, verify};

/// What the provider said.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Verdict")]
pub(super) struct Said {
    valid: bool,
    /// More exactly, in a word.
    outcome: &'static str,
    /// Whose it is, as the provider says; only of what is valid.
    #[serde(skip_serializing_if = "Option::is_none")]
    identity: Option<String>,
    /// The provider's own word, or the outcome; only of what is not valid.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// Why, where the provider itself said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<DateTime<Utc>>,
    /// What it may do, where the provider said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    scopes: Option<Vec<String>>,
}

pub(super) async fn ask(
    State(server): State<Arc<Server>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Answer<Json<Said>> {
    if let Some(verdict) = renewed(&server, &caller, &id).await? {
        return Ok(Json(told(verdict)));
    }
    let _turn = server.asking.acquire().await.map_err(|closed| Problem::internal(&closed))?;
    blocking(&server, move |server| Ok(Json(told(verified(server, &caller, &id)?)))).await
}

/// Asks the provider about the credential of an identifier, for whoever may have it asked, and notes what it says.
pub(crate) fn verified(server: &Server, caller: &Caller, id: &str) -> Answer<Verdict> {
    let (vault, stored) = permitted(server, caller, id, Permission::CredentialsVerify)?;
    if reaches_out(&vault, &stored.metadata)? {
        caller.must(server, Permission::CredentialsVerify, None)?;
    }
    asked(server, &vault, &stored.metadata)
}

/// Has what comes of a sign-in renewed, for whoever may have it asked about, before anybody is asked; what is to be said
/// where that cannot be.
pub(crate) async fn renewed(server: &Arc<Server>, caller: &Caller, id: &str) -> Answer<Option<Verdict>> {
    let by = By::of(caller, "credential.verify");
    let (asker, known) = (caller.clone(), id.to_owned());
    blocking(server, move |server| permitted(server, &asker, &known, Permission::CredentialsVerify).map(|_| ()))
        .await?;
    match fresh(server, &by, id, Want::Fresh).await {
        Ok(()) => Ok(None),
        Err(problem) if problem.status() == StatusCode::CONFLICT => {
            Ok(Some(Verdict::expired(problem.detail(), "reconnect it in the portal")))
        }
        Err(problem) => Err(problem),
    }
}

/// Whether a project's credential is used through one of the organization: then that one is used as well, and whoever
/// has a role in the project alone may not do that.
pub(crate) fn reaches_out(vault: &OrgVault<'_>, metadata: &Metadata) -> Answer<bool> {
    /// A longer way is a circle.
    const LONGEST: usize = 8;
    let mut at = metadata.clone();
    for _ in 0..LONGEST {
        let Some(source) = provider::of(&at).and_then(|provider| provider.source(&at)) else { return Ok(false) };
        match vault.find(&metadata.scope, source)? {
            Some(next) => at = next,
            None => return Ok(true),
        }
    }
    Ok(true)
}

/// Asks the provider about a credential, and notes what it says.
fn asked(server: &Server, vault: &OrgVault<'_>, metadata: &Metadata) -> Answer<Verdict> {
    let is_lacking = is_sign_in(metadata.kind) && !metadata.secret_names.contains(Credential::SESSION);
    if metadata.secret_names.is_empty() || is_lacking {
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        return Err(Problem::new(status, "no-secrets", "no secrets are stored for this credential"));
    }
    let can_be_asked = provider::of(metadata).is_some_and(|provider| provider.asks_by_http(metadata));
    if !can_be_asked {
        return Err(cannot_be_asked());
    }
    let http = server.connector();
    let net = Net { http: &http, env: &server.env, now: now() };
    let verdict = verify::one(vault, metadata, &net)?;
    if verdict.outcome == Outcome::CannotBeAsked {
        return Err(cannot_be_asked());
    }
    Ok(verdict)
}

fn cannot_be_asked() -> Problem {
    let status = StatusCode::UNPROCESSABLE_ENTITY;
    Problem::new(status, "cannot-be-asked", "the server can ask nobody about this credential")
}

/// Whether a verdict is the provider's own, so that its reason may be told.
pub(crate) fn is_telling(verdict: &Verdict) -> bool {
    !matches!(verdict.outcome, Outcome::Unreachable | Outcome::Tls | Outcome::Unexpected)
}

/// What the provider said. Of an address that did not answer as it should, no more than that is told: a server is no
/// eye for those who want to know what stands where.
fn told(verdict: Verdict) -> Said {
    let is_telling = is_telling(&verdict);
    let valid = matches!(verdict.outcome, Outcome::Valid | Outcome::Insufficient);
    let outcome = verdict.outcome.word();
    let error = verdict.error.filter(|_| is_telling).unwrap_or_else(|| outcome.to_owned());
    Said {
        valid,
        outcome,
        identity: verdict.identity.filter(|_| valid),
        error: (!valid).then_some(error),
        reason: verdict.reason.filter(|_| is_telling),
        next: verdict.next.filter(|_| is_telling),
        expires: verdict.expires.filter(|_| is_telling),
        scopes: is_telling.then_some(verdict.scopes),
    }
}
