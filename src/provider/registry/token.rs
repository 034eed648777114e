//! The protocol of the Open Container Initiative: who is asked, and what proves that a credential is good.
//!
//! See the distribution project's `docs/content/spec/auth/token.md`, `oauth.md` and `jwt.md`. A token server does not
//! fail when rights are missing and often serves everybody, so a token alone proves nothing. Proof is a token that
//! names its subject, or one that opens what an anonymous one does not.

use serde::Deserialize;
use url::Url;

use super::address::are_related;
use super::asked::{Asked, IDENTITY_TOKEN, NOBODY, claims, error_code};
use super::challenge::{self, Challenge};
use crate::http::{Request, Response, below, header, parse_url};
use crate::provider::api::is_spoken;
use crate::provider::{Outcome, ProviderError, Verdict};
use crate::secret::Secret;

/// Asks a registry about an account.
pub(super) fn ask(asked: &Asked<'_>) -> Result<Verdict, ProviderError> {
    let door = asked.openly(knock(asked)?)?;
    match door.status {
        200..300 if !is_registry(&door) => Ok(no_registry(asked)),
        200..300 => behind_open_door(asked),
        401 => {
            let challenges = challenges(&door);
            let by = |scheme: &str| challenges.iter().find(|challenge| challenge.scheme == scheme);
            match (by("bearer"), by("basic")) {
                (Some(bearer), _) => with_token(asked, bearer),
                (None, Some(_)) => by_password(asked),
                (None, None) => Ok(no_registry(asked)),
            }
        }
        404 => Ok(no_registry(asked)),
        _ => Ok(asked.other(&door)),
    }
}

/// `GET /v2/`, the question whether one is let in.
fn knock(asked: &Asked<'_>) -> Result<Request, ProviderError> {
    below(&asked.address.base(), "/v2/").map(Request::get).map_err(bad("url"))
}

fn bad(name: &'static str) -> impl Fn(crate::http::BadUrl) -> ProviderError {
    move |cause| ProviderError::BadEndpoint { name: name.into(), cause }
}

pub(super) fn challenges(answer: &Response) -> Vec<Challenge> {
    challenge::parse(answer.headers.get_all(header::WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok()))
}

/// A web page is no registry, however friendly its status.
fn is_registry(answer: &Response) -> bool {
    answer.headers.contains_key("docker-distribution-api-version") || answer.json::<serde::de::IgnoredAny>().is_ok()
}

/// A success with a credential: a registry that has named itself before need not say more.
fn lets_in(answer: &Response) -> bool {
    is_registry(answer) || answer.body.iter().all(u8::is_ascii_whitespace)
}

fn no_registry(asked: &Asked<'_>) -> Verdict {
    Verdict::failed(
        Outcome::Unexpected,
        format!("{} does not answer as a container registry does", asked.host()),
        "check the address; for charts over plain HTTP give `--flavour helm`",
    )
}

fn by_password(asked: &Asked<'_>) -> Result<Verdict, ProviderError> {
    let answer = asked.with_password(knock(asked)?)?;
    Ok(match answer.status {
        200..300 if lets_in(&answer) => asked.valid(),
        401 => asked.refused(&answer),
        403 if is_spoken(&answer) => insufficient(asked).code(error_code(&answer).unwrap_or_default()),
        _ => asked.other(&answer),
    })
}

fn behind_open_door(asked: &Asked<'_>) -> Result<Verdict, ProviderError> {
    let answer = asked.with_password(knock(asked)?)?;
    Ok(match answer.status {
        200..300 if lets_in(&answer) => asked.open_to_all(),
        401 => asked.refused(&answer),
        _ => asked.other(&answer),
    })
}

fn insufficient(asked: &Asked<'_>) -> Verdict {
    Verdict::insufficient(
        format!("{} knows this user and does not let it in", asked.host()),
        "ask for the right to pull from the registry",
    )
}

/// The flow with a token: fetched from the realm with the credential, shown to the registry.
fn with_token(asked: &Asked<'_>, bearer: &Challenge) -> Result<Verdict, ProviderError> {
    let realm = match realm(asked, bearer) {
        Ok(realm) => realm,
        Err(verdict) => return Ok(*verdict),
    };
    let answer = fetch(asked, &realm, bearer)?;
    let token = match answer.status {
        200..300 => match token_in(&answer) {
            Some(token) => token,
            None => return Ok(asked.other(&answer)),
        },
        401 => return Ok(asked.refused(&answer)),
        400 if grant_is_refused(&answer) => return Ok(asked.refused(&answer)),
        403 => return Ok(unclear(asked).code(error_code(&answer).unwrap_or_default())),
        _ => return Ok(asked.other(&answer)),
    };
    let inside = asked.openly(knock(asked)?.bearer(&token))?;
    match inside.status {
        200..300 if lets_in(&inside) => {}
        401 if says_insufficient(&inside) => return Ok(insufficient(asked)),
        403 if is_spoken(&inside) => return Ok(insufficient(asked).code(error_code(&inside).unwrap_or_default())),
        _ => return Ok(asked.other(&inside)),
    }
    // The subject is empty for whoever came without a credential.
    let subject = claims(&token).and_then(|claims| claims.sub).unwrap_or_default();
    let is_named = subject.eq_ignore_ascii_case(asked.username) || is_identity_token(asked);
    if !subject.is_empty() && is_named {
        return Ok(asked.valid());
    }
    without_credential(asked, &realm, bearer)
}

/// What somebody without a credential gets. Only where that is less has the credential proved anything.
fn without_credential(asked: &Asked<'_>, realm: &Url, bearer: &Challenge) -> Result<Verdict, ProviderError> {
    let answer = asked.openly(Request::get(question(realm, bearer, None)))?;
    let token = match answer.status {
        200..300 => token_in(&answer),
        400..=403 => return Ok(asked.valid()),
        _ => return Ok(asked.other(&answer)),
    };
    let Some(token) = token else { return Ok(asked.valid()) };
    let inside = asked.openly(knock(asked)?.bearer(&token))?;
    Ok(match inside.status {
        200..300 => asked.open_to_all(),
        401 | 403 => asked.valid(),
        _ => asked.other(&inside),
    })
}

/// Asks the token server, with an identity token as RFC 6749 has it, else with user name and password.
pub(super) fn fetch(asked: &Asked<'_>, realm: &Url, bearer: &Challenge) -> Result<Response, ProviderError> {
    if is_identity_token(asked) {
        let scope = bearer.parameter("scope").unwrap_or_default();
        let mut fields = vec![
            ("grant_type", "refresh_token"),
            ("service", bearer.parameter("service").unwrap_or_default()),
            ("client_id", "lanyard"),
            ("refresh_token", asked.password.expose()),
        ];
        if !scope.is_empty() {
            fields.push(("scope", scope));
        }
        let answer = asked.openly(Request::form(realm.clone(), &fields))?;
        if !matches!(answer.status, 404 | 405) {
            return Ok(answer);
        }
    }
    asked.with_password(Request::get(question(realm, bearer, Some(asked.username))))
}

fn is_identity_token(asked: &Asked<'_>) -> bool {
    matches!(asked.username, IDENTITY_TOKEN | NOBODY)
}

/// The realm with the service and each scope as parameters. The account is a name, no secret.
pub(super) fn question(realm: &Url, bearer: &Challenge, account: Option<&str>) -> Url {
    let mut url = realm.clone();
    {
        let mut query = url.query_pairs_mut();
        if let Some(service) = bearer.parameter("service") {
            query.append_pair("service", service);
        }
        for scope in bearer.parameter("scope").unwrap_or_default().split_whitespace() {
            query.append_pair("scope", scope);
        }
        if let Some(account) = account.filter(|account| *account != IDENTITY_TOKEN) {
            query.append_pair("account", account);
        }
    }
    url
}

/// The token server that the registry names, if the credential may go there: the registry's own, one of the same
/// domain, or one that the user trusts. Any other would get a password for the asking.
pub(super) fn realm(asked: &Asked<'_>, bearer: &Challenge) -> Result<Url, Box<Verdict>> {
    let Some(realm) = bearer.parameter("realm").and_then(|realm| parse_url(realm).ok()) else {
        return Err(Box::new(no_registry(asked)));
    };
    let base = asked.address.base();
    let is_downgrade = base.scheme() == "https" && realm.scheme() != "https";
    let is_trusted = asked.token_server.as_ref().is_some_and(|trusted| trusted.origin() == realm.origin());
    if !is_downgrade && (is_trusted || are_related(&base, &realm)) {
        return Ok(realm);
    }
    let server = realm.origin().ascii_serialization();
    Err(Box::new(Verdict::failed(
        Outcome::Unexpected,
        format!("{} sends its users to {server}, which is of another domain: nothing was sent there", asked.host()),
        format!("if {server} is to have the password, store it again with `--token-server {server}`"),
    )))
}

/// The token in an answer: `token`, or `access_token` as OAuth has it.
pub(super) fn token_in(answer: &Response) -> Option<Secret> {
    #[derive(Deserialize)]
    struct Answer {
        token: Option<Secret>,
        access_token: Option<Secret>,
    }
    let Answer { token, access_token } = answer.json().ok()?;
    token.or(access_token).filter(|token| !token.expose().is_empty())
}

/// RFC 6749 section 5.2: the refresh token is invalid, expired or revoked.
fn grant_is_refused(answer: &Response) -> bool {
    #[derive(Deserialize)]
    struct Refusal {
        error: String,
    }
    answer.json::<Refusal>().is_ok_and(|refusal| refusal.error == "invalid_grant")
}

/// RFC 6750 section 3.1: the token is good, and its rights are too few.
fn says_insufficient(answer: &Response) -> bool {
    challenges(answer).iter().any(|challenge| challenge.parameter("error") == Some("insufficient_scope"))
}

/// Some token servers say 403 to a wrong password, others to the right one of somebody without rights.
fn unclear(asked: &Asked<'_>) -> Verdict {
    Verdict::failed(
        Outcome::Unexpected,
        format!("{} refuses, and does not say whether the password is wrong or a right is missing", asked.host()),
        "check user name and password, and that this user may pull",
    )
}
