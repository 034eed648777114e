//! Replacing a key of SendGrid: a new one with the same permissions beside the old one, then the old one deleted. The
//! other services have no such API.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{PROVIDER, Service, key, service};
use crate::credential::{Credential, Metadata, Raw};
use crate::http::{Method, Request, Response, Url, segment};
use crate::provider::{Net, Outcome, Provider, ProviderError, Rotation, Verdict, api};
use crate::secret::Secret;

const KEYS: &str = "/v3/api_keys";

/// The rotation of SendGrid's keys; the others are told how theirs are replaced.
pub(super) struct Rotate;

/// What the list tells of a key.
#[derive(Deserialize)]
struct Listed {
    name: Option<String>,
    api_key_id: String,
}

#[derive(Deserialize)]
struct List {
    result: Vec<Listed>,
}

#[derive(Deserialize)]
struct Made {
    api_key: Secret,
}

impl Rotation for Rotate {
    fn can(&self, metadata: &Metadata) -> Result<(), ProviderError> {
        match service(metadata) {
            Some(Service { name: "sendgrid", .. }) => Ok(()),
            Some(Service { title, console, .. }) => Err(ProviderError::CannotRotate {
                what: format!("{title} replaces keys in its own console alone"),
                mend: format!(
                    "make a new one at {console}, put it in with `lanyard credentials update {}`, then delete the old one there",
                    metadata.name
                ),
            }),
            None => Err(ProviderError::CannotRotate {
                what: format!("lanyard does not know how {} replaces keys", metadata.service()),
                mend: format!(
                    "make a new one there and put it in with `lanyard credentials update {}`",
                    metadata.name
                ),
            }),
        }
    }

    fn mint(&self, credential: &Credential, since: Option<DateTime<Utc>>, net: &Net<'_>) -> Result<Raw, ProviderError> {
        let own = self.handle(credential).unwrap_or_default();
        let answer = send(credential, Request::get(at(credential, net, &format!("{KEYS}/{}", segment(&own)))?), net)?;
        let told: Value = if answer.is_success() { answer.json().unwrap_or(Value::Null) } else { Value::Null };
        let of_own = |pointer: &str| told.pointer(pointer).or_else(|| told.pointer(&format!("/result/0{pointer}")));
        let name = of_own("/name").and_then(Value::as_str).unwrap_or(&credential.metadata.name);
        let name = api::rotation_name(name, since.unwrap_or(net.now));
        if since.is_some() {
            remove_lost(credential, net, &name, &own)?;
        }
        let scopes = match of_own("/scopes").filter(|scopes| scopes.is_array()) {
            Some(scopes) => scopes.clone(),
            None => own_scopes(credential, net)?,
        };
        let url = at(credential, net, KEYS)?;
        let body = json!({ "name": name, "scopes": scopes }).to_string();
        let answer = send(credential, Request::post_json(url.clone(), &body), net)?;
        let made: Option<Made> = if answer.is_success() { answer.json().ok() } else { None };
        let Some(Made { api_key }) = made else {
            return Err(api::not_made(&answer, &url, may_not(credential, &answer)));
        };
        let mut raw = Raw::new();
        raw.set("api_key", api_key);
        Ok(raw)
    }

    /// The part between the points is the key's identifier.
    fn handle(&self, credential: &Credential) -> Option<String> {
        let key = key(credential).ok()?.expose();
        let (id, _) = key.strip_prefix("SG.")?.split_once('.')?;
        (!id.is_empty()).then(|| id.to_owned())
    }

    fn retire(&self, handle: &str, new: &Credential, net: &Net<'_>) -> Result<(), ProviderError> {
        let url = at(new, net, &format!("{KEYS}/{}", segment(handle)))?;
        let answer = send(new, Request::new(Method::DELETE, url), net)?;
        if answer.is_success() || answer.status == 404 {
            return Ok(());
        }
        Err(may_not(new, &answer).into())
    }
}

fn at(credential: &Credential, net: &Net<'_>, path: &str) -> Result<Url, ProviderError> {
    let known = service(&credential.metadata);
    known.map_or(super::ELSEWHERE, |service| service.api).at(&credential.metadata, net.env, path)
}

fn send(credential: &Credential, mut request: Request, net: &Net<'_>) -> Result<Response, ProviderError> {
    request.max_answer = api::LONG;
    api::send_as(credential, "api_key", request, net)
}

/// What an answer other than the expected one means. A key that is alive lacks the permission to manage keys.
fn may_not(credential: &Credential, answer: &Response) -> Verdict {
    let verdict = PROVIDER.judge(credential, answer);
    match verdict.outcome {
        Outcome::Insufficient => Verdict::insufficient(
            "the key may not manage keys",
            "give it the permissions api_keys.create, api_keys.read and api_keys.delete, or make a new one by hand",
        ),
        Outcome::Valid => Verdict::unexpected("SendGrid", answer.status),
        _ => verdict,
    }
}

/// What the key may do.
fn own_scopes(credential: &Credential, net: &Net<'_>) -> Result<Value, ProviderError> {
    let answer = send(credential, Request::get(at(credential, net, "/v3/scopes")?), net)?;
    let body: Value = if answer.is_success() { answer.json().unwrap_or(Value::Null) } else { Value::Null };
    let scopes = body.get("scopes").filter(|scopes| scopes.is_array()).cloned();
    scopes.ok_or_else(|| may_not(credential, &answer).into())
}

/// Deletes what an interrupted rotation made and lost: what bears its name.
fn remove_lost(credential: &Credential, net: &Net<'_>, name: &str, own: &str) -> Result<(), ProviderError> {
    let answer = send(credential, Request::get(at(credential, net, KEYS)?), net)?;
    let answered: Option<List> = if answer.is_success() { answer.json().ok() } else { None };
    let Some(List { result }) = answered else { return Err(may_not(credential, &answer).into()) };
    let leftovers = result.into_iter().filter(|key| key.api_key_id != own && key.name.as_deref() == Some(name));
    for key in leftovers {
        Rotate.retire(&key.api_key_id, credential, net)?;
    }
    Ok(())
}
