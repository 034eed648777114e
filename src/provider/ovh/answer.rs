//! What OVHcloud's answers mean. Refusals carry an `errorCode`, which decides.

use chrono::{DateTime, Utc};
use serde::Deserialize;

use super::TITLE;
use crate::http::Response;
use crate::provider::{Outcome, Verdict, api};

const NEW_KEYS: &str =
    "make new keys at the page createToken of your region's API, such as https://eu.api.ovh.com/createToken/";

/// What the API tells of a consumer key.
#[derive(Deserialize)]
struct Current {
    #[serde(rename = "credentialId")]
    credential: u64,
    #[serde(rename = "applicationId")]
    application: u64,
    status: String,
    expiration: Option<DateTime<Utc>>,
    #[serde(default)]
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
struct Rule {
    method: String,
    path: String,
}

#[derive(Deserialize)]
struct Refusal {
    #[serde(rename = "errorCode")]
    code: String,
}

/// The server's time in seconds since 1970; what the answer means where it tells none.
pub(super) fn time(answer: &Response) -> Result<i64, Box<Verdict>> {
    match answer.json() {
        Ok(now) if answer.is_success() => Ok(now),
        _ => Err(Box::new(of_current(answer))),
    }
}

/// Whether the request was refused for its time, which may be the fault of its way alone.
pub(super) fn is_about_time(answer: &Response) -> bool {
    answer.status == 400
        && api::refusal(answer).is_some_and(|refusal: Refusal| {
            matches!(refusal.code.as_str(), "QUERY_TIME_OUT" | "INVALID_SIGNATURE")
        })
}

/// What came of asking about the consumer key.
pub(super) fn of_current(answer: &Response) -> Verdict {
    let current = answer.is_success().then(|| answer.json::<Current>().ok()).flatten();
    let Some(current) = current else { return refused(answer) };
    let verdict = match current.status.as_str() {
        "validated" => {
            Verdict::valid(format!("Application {}, consumer key {}", current.application, current.credential))
        }
        "expired" => Verdict::expired("OVHcloud says that the time of the consumer key is over", NEW_KEYS),
        "refused" => Verdict::invalid("the consumer key was refused or revoked at OVHcloud", NEW_KEYS),
        "pendingValidation" => not_validated(),
        _ => Verdict::unexpected(TITLE, answer.status),
    };
    let scopes = current.rules.iter().map(|rule| format!("{} {}", rule.method, rule.path));
    let verdict = if verdict.outcome == Outcome::Valid { verdict } else { verdict.code(&current.status) };
    verdict.expiring(current.expiration).with_scopes(scopes)
}

fn not_validated() -> Verdict {
    Verdict::invalid(
        "the consumer key waits for your consent",
        "open the validation address that came with it, sign in, then try again",
    )
}

fn refused(answer: &Response) -> Verdict {
    if let Some(verdict) = api::not_now(answer, TITLE, "x-ratelimit-reset") {
        return verdict;
    }
    let unexpected = Verdict::unexpected(TITLE, answer.status);
    let Some(Refusal { code }) = api::refusal(answer) else { return unexpected };
    let verdict = match (answer.status, code.as_str()) {
        (403, "INVALID_KEY") => Verdict::invalid(
            "OVHcloud does not know the application key",
            format!("check the region, since keys belong to one; else {NEW_KEYS}"),
        ),
        (403, "INVALID_CREDENTIAL") => {
            Verdict::invalid("OVHcloud does not know the consumer key for this application, or its time is over", NEW_KEYS)
        }
        (403, "NOT_CREDENTIAL") => not_validated(),
        (403, "NOT_GRANTED_CALL") => Verdict::insufficient(
            "OVHcloud knows the keys and does not let them read this (403 Forbidden)",
            "make keys with the rule GET /auth/currentCredential, if you want their expiry shown",
        ),
        (403, "FORBIDDEN") => Verdict::insufficient(
            "OVHcloud knows the keys and refuses them from here (403 Forbidden)",
            "look at the addresses from which they may be used, and at the policies of the account",
        ),
        (400, "INVALID_SIGNATURE") => Verdict::invalid(
            "the application secret does not belong to the application key",
            format!("copy the secret again, or {NEW_KEYS}"),
        ),
        (400, "QUERY_TIME_OUT") => Verdict::failed(
            Outcome::Unreachable,
            "requests are too long on their way to OVHcloud",
            "try again; if it stays so, a proxy on the way holds requests back",
        ),
        _ => unexpected,
    };
    verdict.code(code)
}
