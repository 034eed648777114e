//! Asking the provider whether a credential is good, through the connector that reaches nothing private.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde_json::{Value, json};

use super::permitted;
use crate::credential::Metadata;
use crate::provider::{self, Net, Outcome, Verdict};
use crate::server::bridge::blocking;
use crate::server::caller::Caller;
use crate::server::connector::Connector;
use crate::server::permission::Permission;
use crate::server::problem::{Answer, Problem};
use crate::server::state::{Server, now};
use crate::server::vault::OrgVault;
use crate::vault::{Vault, verify};

pub(super) async fn ask(
    State(server): State<Arc<Server>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Answer<Json<Value>> {
    let _turn = server.asking.acquire().await.map_err(|closed| Problem::internal(&closed))?;
    blocking(&server, move |server| Ok(Json(told(&verified(server, &caller, &id)?)))).await
}

/// Asks the provider about the credential of an identifier, for whoever may have it asked, and notes what it says.
pub(crate) fn verified(server: &Server, caller: &Caller, id: &str) -> Answer<Verdict> {
    let (vault, stored) = permitted(server, caller, id, Permission::CredentialsVerify)?;
    if reaches_out(&vault, &stored.metadata)? {
        caller.must(server, Permission::CredentialsVerify, None)?;
    }
    asked(server, &vault, &stored.metadata)
}

/// Whether a project's credential is used through one of the organization: then that one is used as well, and whoever
/// has a role in the project alone may not do that.
fn reaches_out(vault: &OrgVault<'_>, metadata: &Metadata) -> Answer<bool> {
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
    if metadata.secret_names.is_empty() {
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        return Err(Problem::new(status, "no-secrets", "no secrets are stored for this credential"));
    }
    let can_be_asked = provider::of(metadata).is_some_and(|provider| provider.asks_by_http(metadata));
    if !can_be_asked {
        return Err(cannot_be_asked());
    }
    let http = Connector { allowed: &server.allowed_hosts };
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
fn told(verdict: &Verdict) -> Value {
    let is_telling = is_telling(verdict);
    let valid = matches!(verdict.outcome, Outcome::Valid | Outcome::Insufficient);
    let mut told = json!({ "valid": valid, "outcome": verdict.outcome.word() });
    if valid {
        told["identity"] = json!(verdict.identity);
    } else {
        let word = verdict.error.as_deref().filter(|_| is_telling).unwrap_or(verdict.outcome.word());
        told["error"] = json!(word);
    }
    if is_telling {
        told["reason"] = json!(verdict.reason);
        told["next"] = json!(verdict.next);
        told["expires"] = json!(verdict.expires);
        told["scopes"] = json!(verdict.scopes);
    }
    told
}
