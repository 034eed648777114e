//! Access tokens: what a key or a refresh token is exchanged for, and what the token server says where it does not.

use chrono::{DateTime, Duration, Utc};
use serde::Deserialize;

use super::{Form, TITLE, address, jwt, key_of};
use crate::credential::{Credential, Issued, Material, Metadata};
use crate::http::{Request, Response};
use crate::provider::{Net, Outcome, ProviderError, Verdict};
use crate::secret::Secret;

/// A token server whose clock is nearer than this has no reason to complain of ours.
const SAME_TIME: Duration = Duration::seconds(30);

/// Gets an access token.
pub(super) fn issue(credential: &Credential, net: &Net<'_>) -> Result<Issued, ProviderError> {
    let url = address::token(&credential.metadata, net)?;
    let answer = if Form::of(&credential.metadata) == Form::User {
        let secret = |name: &'static str| {
            let problem = "it is not there";
            let damaged = || ProviderError::Damaged { name: credential.metadata.name.clone(), field: name, problem };
            credential.secret(name).ok_or_else(damaged)
        };
        net.http.send(Request::form(
            url,
            &[
                ("grant_type", "refresh_token"),
                ("client_id", credential.field("client_id").unwrap_or_default()),
                ("client_secret", secret("client_secret")?.expose()),
                ("refresh_token", secret("refresh_token")?.expose()),
            ],
        ))?
    } else {
        let key = key_of(credential)?;
        let ask = |at: DateTime<Utc>| -> Result<Response, ProviderError> {
            let name = credential.metadata.name.clone();
            let assertion = jwt::assertion(&key, at)
                .map_err(|problem| ProviderError::Damaged { name, field: "key_file", problem })?;
            let grant = ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer");
            Ok(net.http.send(Request::form(url.clone(), &[grant, ("assertion", assertion.expose())]))?)
        };
        let answer = ask(net.now)?;
        // The server's own clock is what it measures ours by, so it is asked once more with that.
        match answer.date().filter(|date| blames_the_clock(&answer) && (*date - net.now).abs() > SAME_TIME) {
            Some(date) => ask(date)?,
            None => answer,
        }
    };
    read(&answer, &credential.metadata, net.now)
}

fn read(answer: &Response, metadata: &Metadata, now: DateTime<Utc>) -> Result<Issued, ProviderError> {
    #[derive(Deserialize)]
    struct Token {
        access_token: Secret,
        expires_in: Option<f64>,
    }
    if !answer.is_success() {
        return Err(refused(answer, metadata).into());
    }
    let Ok(token) = answer.json::<Token>() else { return Err(Verdict::unexpected(TITLE, answer.status).into()) };
    let fits = !token.access_token.expose().is_empty()
        && token.access_token.expose().bytes().all(|byte| byte.is_ascii_graphic());
    if !fits {
        return Err(Verdict::unexpected(TITLE, answer.status).into());
    }
    #[expect(clippy::cast_possible_truncation, reason = "clamped before")]
    let life = token.expires_in.map(|seconds| Duration::seconds(seconds.clamp(0.0, 1e6) as i64));
    Ok(Issued { material: Material::Bearer(token.access_token), expires: life.map(|life| now + life) })
}

/// What the token server says of a grant that it does not take (RFC 6749 section 5.2, and Google's own words).
#[derive(Deserialize)]
struct Refusal {
    error: String,
    #[serde(default)]
    error_description: String,
    #[serde(default)]
    error_subtype: String,
}

fn blames_the_clock(answer: &Response) -> bool {
    let refusal = || answer.json::<Refusal>().ok();
    !answer.is_success() && refusal().is_some_and(|refusal| refusal.is_about_the_clock())
}

impl Refusal {
    fn says(&self, words: &str) -> bool {
        self.error_description.to_lowercase().contains(words)
    }

    fn is_about_the_clock(&self) -> bool {
        self.error == "invalid_grant" && (self.says("short-lived token") || self.says("check your iat and exp"))
    }
}

fn refused(answer: &Response, metadata: &Metadata) -> Verdict {
    if answer.status == 429 || answer.status >= 500 {
        return Verdict::of_status(answer, TITLE);
    }
    let Ok(refusal) = answer.json::<Refusal>() else { return Verdict::unexpected(TITLE, answer.status) };
    let verdict = match Form::of(metadata) {
        Form::User => of_user(&refusal, metadata),
        Form::ServiceAccount | Form::ApiKey => of_service_account(&refusal, metadata),
    };
    let verdict = verdict.unwrap_or_else(|| match refusal.error.as_str() {
        "internal_failure" | "server_error" | "temporarily_unavailable" => Verdict::failed(
            Outcome::Unreachable,
            "Google Cloud is in trouble",
            "try again later; the credential may well be good",
        ),
        "rate_limit_exceeded" | "slow_down" => Verdict::failed(
            Outcome::RateLimited,
            "Google Cloud was asked too often",
            "wait some minutes, then test again",
        ),
        _ => Verdict::unexpected(TITLE, answer.status),
    });
    verdict.code(&refusal.error)
}

fn of_service_account(refusal: &Refusal, metadata: &Metadata) -> Option<Verdict> {
    let email = metadata.field("client_email").unwrap_or("the service account");
    let new_key = || format!("make a new key in the console, then `{}`", update(metadata, "key_file=@FILE"));
    if refusal.is_about_the_clock() {
        return Some(Verdict::failed(
            Outcome::Unexpected,
            "Google Cloud finds the time of this machine wrong",
            "set the clock, then test again; the key may well be good",
        ));
    }
    match refusal.error.as_str() {
        "invalid_grant" if refusal.says("invalid jwt signature") => {
            Some(Verdict::invalid(format!("the key of {email} was deleted or disabled"), new_key()))
        }
        "invalid_grant" if refusal.says("account not found") => {
            Some(Verdict::invalid(format!("there is no {email} any more"), "store a key of another service account"))
        }
        "invalid_grant" | "invalid_client" if refusal.says("disabled") => {
            Some(Verdict::invalid(format!("{email} is disabled"), "enable the service account in the console"))
        }
        "deleted_client" => {
            Some(Verdict::invalid(format!("there is no {email} any more"), "store a key of another service account"))
        }
        _ => None,
    }
}

fn of_user(refusal: &Refusal, metadata: &Metadata) -> Option<Verdict> {
    let again = || {
        format!(
            "run `gcloud auth application-default login`, then `lanyard credentials store gcp --replace --name {}`",
            metadata.name
        )
    };
    match refusal.error.as_str() {
        "invalid_grant" if refusal.error_subtype == "invalid_rapt" => {
            Some(Verdict::expired("the organization wants the user to sign in again from time to time", again()))
        }
        "invalid_grant" if refusal.says("account has been deleted") => {
            Some(Verdict::invalid("the account was deleted", "sign in with another account"))
        }
        "invalid_grant" => Some(Verdict::invalid("the refresh token has expired or was revoked", again())),
        "invalid_client" | "unauthorized_client" | "deleted_client" => Some(Verdict::invalid(
            "Google does not know the OAuth client that the sign-in was made with, or not with this secret",
            again(),
        )),
        _ => None,
    }
}

/// The command that puts a new value in.
pub(super) fn update(metadata: &Metadata, assignment: &str) -> String {
    format!("lanyard credentials update {} --field {assignment}", metadata.name)
}
