//! Passwords for container registries of AWS: made from keys, good for twelve hours.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::DateTime;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::api::{self, Door};
use super::endpoint::{self, Service};
use crate::credential::{Issued, Material};
use crate::http::Response;
use crate::provider::{Net, ProviderError, Verdict};
use crate::secret::Secret;

/// The host of the public registry, which is asked for its passwords in one region alone.
const PUBLIC: &str = "public.ecr.aws";

/// Makes the user name and the password for an ECR registry from AWS keys, with one request.
///
/// `host` is the registry's, such as `123456789012.dkr.ecr.eu-west-1.amazonaws.com` or `public.ecr.aws`. Where `region`
/// is empty, the host tells it. The password opens every registry that the keys may use.
///
/// # Errors
/// [`ProviderError::Refused`] where AWS says no, which includes keys without `ecr:GetAuthorizationToken`.
pub fn ecr_password(keys: &Material, region: &str, host: &str, net: &Net<'_>) -> Result<Issued, ProviderError> {
    let (service, region) = service(region, host);
    let public = service == Service::EcrPublic;
    let target = if public {
        "SpencerFrontendService.GetAuthorizationToken"
    } else {
        "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken"
    };
    let answer = api::ask_json(Door { keys, service, region, endpoint: None }, target, net)?;
    if !answer.is_success() {
        return Err(api::refusal(&answer, "ecr:GetAuthorizationToken").into());
    }
    let unexpected = || Verdict::unexpected(api::TITLE, answer.status);
    let token = token(&answer, public).ok_or_else(unexpected)?;
    let material = login(&token.password).ok_or_else(unexpected)?;
    // The fraction is dropped: the password ends before its time rather than after it.
    #[expect(clippy::cast_possible_truncation, reason = "a time in seconds is far below the limits")]
    let expires = token.expires_at.and_then(|at| DateTime::from_timestamp(at as i64, 0));
    Ok(Issued { material, expires })
}

/// Where the password for a registry is made, in a word.
pub fn ecr_place(region: &str, host: &str, net: &Net<'_>) -> Option<String> {
    let (service, region) = service(region, host);
    let place = endpoint::place(service, region, None, net.env).ok()?;
    Some(format!("{} {}", place.url, place.region))
}

/// The service of a registry, and its region where one is known.
fn service<'r>(region: &'r str, host: &'r str) -> (Service, Option<&'r str>) {
    let region = Some(region).filter(|region| !region.is_empty()).or_else(|| region_of(host));
    (if host.eq_ignore_ascii_case(PUBLIC) { Service::EcrPublic } else { Service::Ecr }, region)
}

/// `ACCOUNT.dkr.ecr.REGION.amazonaws.com` and its like tell the region.
fn region_of(host: &str) -> Option<&str> {
    let marks = [".dkr.ecr.", ".dkr.ecr-fips.", ".dkr-ecr.", ".dkr-ecr-fips."];
    let rest = marks.iter().find_map(|mark| host.split_once(mark))?.1;
    rest.split('.').next().filter(|region| !region.is_empty())
}

/// What `GetAuthorizationToken` answers: a list for private registries, one for the public one.
#[derive(Deserialize)]
struct Answer<T> {
    #[serde(rename = "authorizationData")]
    data: T,
}

/// One password.
#[derive(Deserialize)]
struct Token {
    /// User and password with a colon between, in base64.
    #[serde(rename = "authorizationToken")]
    password: Secret,
    /// Seconds since 1970.
    #[serde(rename = "expiresAt")]
    expires_at: Option<f64>,
}

fn token(answer: &Response, public: bool) -> Option<Token> {
    if public {
        return answer.json::<Answer<Token>>().ok().map(|answer| answer.data);
    }
    answer.json::<Answer<Vec<Token>>>().ok()?.data.into_iter().next()
}

/// User and password taken apart.
fn login(token: &Secret) -> Option<Material> {
    let pair = Zeroizing::new(STANDARD.decode(token.expose()).ok()?);
    let (username, password) = std::str::from_utf8(&pair).ok()?.split_once(':')?;
    if password.is_empty() {
        return None;
    }
    Some(Material::Basic { username: username.to_owned(), password: Secret::new(password.to_owned()) })
}
