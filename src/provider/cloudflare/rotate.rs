//! Replacing a token: a new one with the same policies beside the old one, then the old one deleted. Rolling, which
//! Cloudflare offers as well, would end the old value before the new one is kept.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::answer::{Checked, of_verify, refused, success};
use super::{API, Cloudflare, DASHBOARD, Sort};
use crate::credential::{Credential, Raw};
use crate::http::{Method, Request, Url, segment};
use crate::provider::{Net, Outcome, ProviderError, Rotation, Verdict, api};
use crate::secret::Secret;

/// The rotation of Cloudflare's tokens.
pub(super) struct Rotate;

/// What the details of a token tell.
#[derive(Deserialize)]
struct Details {
    id: String,
    name: String,
    policies: Vec<Policy>,
    condition: Option<Value>,
    issued_on: Option<DateTime<Utc>>,
    expires_on: Option<DateTime<Utc>>,
}

#[derive(Deserialize)]
struct Policy {
    effect: Value,
    resources: Value,
    permission_groups: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    id: String,
}

#[derive(Deserialize)]
struct Listed {
    id: String,
    name: Option<String>,
}

#[derive(Deserialize)]
struct Made {
    value: Secret,
}

impl Rotation for Rotate {
    fn look_up(&self, credential: &Credential, net: &Net<'_>) -> Result<Option<String>, ProviderError> {
        Ok(Some(handle(credential, net)?.0))
    }

    fn mint(&self, credential: &Credential, since: Option<DateTime<Utc>>, net: &Net<'_>) -> Result<Raw, ProviderError> {
        let (own, collection) = handle(credential, net)?;
        let answer = api::send_as(credential, "api_token", Request::get(at(credential, net, &own)?), net)?;
        let details: Details = success(&answer).map_err(|verdict| may_not(*verdict))?;
        let name = api::rotation_name(&details.name, since.unwrap_or(net.now));
        if since.is_some() {
            remove_lost(credential, net, &collection, &name, &details.id)?;
        }
        let url = at(credential, net, &collection)?;
        let request = Request::post_json(url.clone(), &body(&details, &name, net.now));
        let answer = api::send_as(credential, "api_token", request, net)?;
        let Made { value } = success(&answer).map_err(|verdict| match api::not_made(&answer, &url, *verdict) {
            ProviderError::Refused(verdict) => may_not(*verdict),
            uncertain => uncertain,
        })?;
        let mut raw = Raw::new();
        raw.set("api_token", value);
        Ok(raw)
    }

    /// The token does not hold its identifier.
    fn handle(&self, _: &Credential) -> Option<String> {
        None
    }

    fn retire(&self, handle: &str, new: &Credential, net: &Net<'_>) -> Result<(), ProviderError> {
        let request = Request::new(Method::DELETE, at(new, net, handle)?);
        let answer = api::send_as(new, "api_token", request, net)?;
        if answer.is_success() || answer.status == 404 {
            return Ok(());
        }
        Err(may_not(refused(&answer)))
    }
}

fn at(credential: &Credential, net: &Net<'_>, path: &str) -> Result<Url, ProviderError> {
    API.at(&credential.metadata, net.env, path)
}

/// The path of the token, and of where it is kept.
fn handle(credential: &Credential, net: &Net<'_>) -> Result<(String, String), ProviderError> {
    if Sort::of(credential)? == Sort::Session {
        return Err(ProviderError::CannotRotate {
            what: "it is a session of wrangler, which wrangler itself renews".into(),
            mend: format!("make an API token and store that instead: {DASHBOARD}"),
        });
    }
    let (answer, collection) = Cloudflare::ask(credential, net)?;
    let verdict = of_verify(&answer);
    if verdict.outcome != Outcome::Valid {
        return Err(verdict.into());
    }
    let Checked { id, .. } = success(&answer).map_err(|verdict| ProviderError::from(*verdict))?;
    Ok((format!("{collection}/{}", segment(&id)), collection))
}

/// Deletes what an interrupted rotation made and lost: what bears its name.
fn remove_lost(
    credential: &Credential,
    net: &Net<'_>,
    collection: &str,
    name: &str,
    own: &str,
) -> Result<(), ProviderError> {
    let mut lost = Vec::new();
    for page in 1..=api::PAGES {
        let mut request = Request::get(at(credential, net, &format!("{collection}?per_page=50&page={page}"))?);
        request.max_answer = api::LONG;
        let answer = api::send_as(credential, "api_token", request, net)?;
        let listed: Vec<Listed> = success(&answer).map_err(|verdict| may_not(*verdict))?;
        let ended = listed.is_empty();
        lost.extend(listed.into_iter().filter(|token| token.id != own && token.name.as_deref() == Some(name)));
        if ended {
            break;
        }
    }
    for token in lost {
        Rotate.retire(&format!("{collection}/{}", segment(&token.id)), credential, net)?;
    }
    Ok(())
}

/// The new token: what the old one may do, from where, and for as long.
fn body(old: &Details, name: &str, now: DateTime<Utc>) -> String {
    let policy = |policy: &Policy| {
        let groups: Vec<Value> = policy.permission_groups.iter().map(|group| json!({ "id": group.id })).collect();
        json!({ "effect": policy.effect, "resources": policy.resources, "permission_groups": groups })
    };
    let mut body = Map::new();
    body.insert("name".into(), name.into());
    body.insert("policies".into(), old.policies.iter().map(policy).collect());
    if let Some(condition) = old.condition.clone().filter(|condition| !condition.is_null()) {
        body.insert("condition".into(), condition);
    }
    if let Some(end) = api::same_life(old.issued_on, old.expires_on, now) {
        body.insert("expires_on".into(), end.to_rfc3339_opts(SecondsFormat::Secs, true).into());
    }
    Value::Object(body).to_string()
}

/// Few tokens may make tokens; what to do where this one may not.
fn may_not(verdict: Verdict) -> ProviderError {
    if verdict.outcome != Outcome::Insufficient {
        return verdict.into();
    }
    ProviderError::CannotRotate {
        what: "the token may not manage tokens: it lacks the permission \"API Tokens Write\"".into(),
        mend: format!(
            "roll it by hand at {DASHBOARD}, then put the new value in: `lanyard credentials update NAME --field \
             api_token=-`"
        ),
    }
}
