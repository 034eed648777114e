//! Replacing a token: a new one for the same account or team beside the old one, then the old one deleted.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::answer::{Current, Token, refused};
use super::{API, CURRENT, DASHBOARD};
use crate::credential::{Credential, Raw};
use crate::http::{Method, Request, Response, Url, segment};
use crate::provider::{Net, Outcome, ProviderError, Rotation, Verdict, api};
use crate::secret::Secret;

/// The rotation of Vercel's tokens.
pub(super) struct Rotate;

#[derive(Deserialize)]
struct Listed {
    tokens: Vec<Token>,
    #[serde(default)]
    pagination: Pagination,
}

#[derive(Deserialize, Default)]
struct Pagination {
    next: Option<u64>,
}

#[derive(Deserialize)]
struct Made {
    #[serde(rename = "bearerToken")]
    value: Secret,
}

impl Rotation for Rotate {
    fn look_up(&self, credential: &Credential, net: &Net<'_>) -> Result<Option<String>, ProviderError> {
        Ok(Some(current(credential, net)?.id))
    }

    fn mint(&self, credential: &Credential, since: Option<DateTime<Utc>>, net: &Net<'_>) -> Result<Raw, ProviderError> {
        let old = current(credential, net)?;
        let name = api::rotation_name(old.name.as_deref().unwrap_or("token"), since.unwrap_or(net.now));
        if since.is_some() {
            remove_lost(credential, net, &name, &old.id)?;
        }
        let mut body = Map::new();
        body.insert("name".into(), name.into());
        if let Some(end) = api::same_life(old.made(), old.end(), net.now) {
            body.insert("expiresAt".into(), end.timestamp_millis().into());
        }
        let url = at(credential, net, &format!("/v3/user/tokens{}", query(&old)))?;
        let request = Request::post_json(url.clone(), &Value::Object(body).to_string());
        let answer = api::send_as(credential, "api_token", request, net)?;
        let made: Option<Made> = answer.is_success().then(|| answer.json().ok()).flatten();
        let Some(Made { value }) = made else {
            return Err(match api::not_made(&answer, &url, refused(&answer)) {
                ProviderError::Refused(verdict) => may_not(*verdict),
                uncertain => uncertain,
            });
        };
        let mut raw = Raw::new();
        raw.set("api_token", value);
        Ok(raw)
    }

    /// The token does not hold its identifier.
    fn handle(&self, _: &Credential) -> Option<String> {
        None
    }

    fn retire(&self, handle: &str, new: &Credential, net: &Net<'_>) -> Result<(), ProviderError> {
        let url = at(new, net, &format!("/v3/user/tokens/{}", segment(handle)))?;
        let answer = api::send_as(new, "api_token", Request::new(Method::DELETE, url), net)?;
        if answer.is_success() || answer.status == 404 {
            return Ok(());
        }
        Err(may_not(refused(&answer)))
    }
}

fn at(credential: &Credential, net: &Net<'_>, path: &str) -> Result<Url, ProviderError> {
    API.at(&credential.metadata, net.env, path)
}

fn read<T: serde::de::DeserializeOwned>(answer: &Response) -> Result<T, ProviderError> {
    let read = answer.is_success().then(|| answer.json().ok()).flatten();
    read.ok_or_else(|| may_not(refused(answer)))
}

/// The token as Vercel describes it.
fn current(credential: &Credential, net: &Net<'_>) -> Result<Token, ProviderError> {
    let session = credential.secret("api_token").is_some_and(|token| token.expose().starts_with("vca_"));
    if session {
        return Err(ProviderError::CannotRotate {
            what: "it is a session of the Vercel CLI, which the CLI itself renews".into(),
            mend: format!("make an access token and store that instead: {DASHBOARD}"),
        });
    }
    let answer = api::send_as(credential, "api_token", Request::get(at(credential, net, CURRENT)?), net)?;
    Ok(read::<Current>(&answer)?.token)
}

/// The team that the token is for, where it is for one alone: so the new one is as well.
fn query(old: &Token) -> String {
    match old.scopes.as_slice() {
        [only] => only.team.as_ref().map_or_else(String::new, |team| format!("?teamId={}", segment(team))),
        _ => String::new(),
    }
}

/// Deletes what an interrupted rotation made and lost: what bears its name.
fn remove_lost(credential: &Credential, net: &Net<'_>, name: &str, own: &str) -> Result<(), ProviderError> {
    let mut path = "/v6/user/tokens".to_owned();
    for _ in 0..api::PAGES {
        let mut request = Request::get(at(credential, net, &path)?);
        request.max_answer = api::LONG;
        let listed: Listed = read(&api::send_as(credential, "api_token", request, net)?)?;
        for token in &listed.tokens {
            if token.id != own && token.name.as_deref() == Some(name) {
                Rotate.retire(&token.id, credential, net)?;
            }
        }
        let Some(older) = listed.pagination.next else { break };
        path = format!("/v6/user/tokens?until={older}");
    }
    Ok(())
}

/// Only a token of the full account may make tokens; what to do where this one may not.
fn may_not(verdict: Verdict) -> ProviderError {
    if verdict.outcome != Outcome::Insufficient {
        return verdict.into();
    }
    ProviderError::CannotRotate {
        what: "the token may not make tokens: Vercel lets only a token of the full account do that".into(),
        mend: format!(
            "make a new one at {DASHBOARD}, put it in with `lanyard credentials update NAME --field api_token=-`, then \
             delete the old one there"
        ),
    }
}
