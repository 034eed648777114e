//! What Cloudflare's answers mean. All have one form: `success`, `errors` with a code and a message each, and `result`.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{DASHBOARD, TITLE};
use crate::http::Response;
use crate::provider::{Outcome, Verdict, api};

/// The form of every answer.
#[derive(Deserialize)]
pub(super) struct Envelope<T> {
    pub(super) success: bool,
    #[serde(default = "Vec::new")]
    pub(super) errors: Vec<Fault>,
    pub(super) result: Option<T>,
}

#[derive(Deserialize)]
pub(super) struct Fault {
    pub(super) code: i64,
}

/// What the token's own check tells.
#[derive(Deserialize)]
pub(super) struct Checked {
    pub(super) id: String,
    status: String,
    expires_on: Option<DateTime<Utc>>,
}

/// The user of a session.
#[derive(Deserialize)]
struct User {
    id: String,
    email: Option<String>,
}

/// What came of asking about a token where it is kept.
pub(super) fn of_verify(answer: &Response) -> Verdict {
    let checked: Checked = match success(answer) {
        Ok(checked) => checked,
        Err(verdict) => return *verdict,
    };
    let again = format!("make a new one: {DASHBOARD}");
    let verdict = match checked.status.as_str() {
        "active" => Verdict::valid(format!("Token {}", checked.id)),
        "expired" => Verdict::expired("Cloudflare says that the token's time is over", again).code("expired"),
        "disabled" => {
            let on = format!("switch it on again: {DASHBOARD}");
            Verdict::invalid("the token is switched off at Cloudflare", on).code("disabled")
        }
        _ => Verdict::unexpected(TITLE, answer.status),
    };
    verdict.expiring(checked.expires_on)
}

/// What came of asking whose session it is.
pub(super) fn of_user(answer: &Response) -> Verdict {
    match success::<User>(answer) {
        Ok(user) => Verdict::valid(user.email.unwrap_or_else(|| format!("User {}", user.id))),
        Err(verdict) if verdict.outcome == Outcome::Invalid => Verdict {
            next: Some(format!("a session of wrangler lasts for a short time; make an API token instead: {DASHBOARD}")),
            ..*verdict
        },
        Err(verdict) => *verdict,
    }
}

/// The result of an answer; what the answer means where it has none.
pub(super) fn success<T: serde::de::DeserializeOwned>(answer: &Response) -> Result<T, Box<Verdict>> {
    if answer.is_success()
        && let Ok(Envelope { success: true, result: Some(result), .. }) = answer.json()
    {
        return Ok(result);
    }
    Err(Box::new(refused(answer)))
}

/// What an answer without a result means.
pub(super) fn refused(answer: &Response) -> Verdict {
    if let Some(verdict) = api::not_now(answer, TITLE, "ratelimit-reset") {
        return verdict;
    }
    let unexpected = Verdict::unexpected(TITLE, answer.status);
    let Some(Envelope::<IgnoredAny> { success: false, errors, .. }) = api::refusal(answer) else { return unexpected };
    let Some(code) = errors.first().map(|fault| fault.code) else { return unexpected };
    let again = format!("make a new one: {DASHBOARD}");
    let verdict = match (answer.status, code) {
        (_, 971 | 10013) => Verdict::failed(
            Outcome::RateLimited,
            "Cloudflare was asked too often",
            "wait five minutes, then test again",
        ),
        (400 | 401 | 403, 1000) => Verdict::invalid("Cloudflare does not know the token", again),
        (400 | 401, 6003 | 6103 | 6111) => Verdict::invalid(
            "Cloudflare does not take this for an API token",
            format!("copy the token again, or make a new one: {DASHBOARD}"),
        ),
        (401, 9109 | 10000) => Verdict::invalid("Cloudflare does not accept the token", again),
        (403, 9109 | 10000) => Verdict::insufficient(
            "Cloudflare refuses this to the token (403 Forbidden)",
            format!("look at its permissions, and at the addresses from which it may be used: {DASHBOARD}"),
        ),
        _ => unexpected,
    };
    verdict.code(code.to_string())
}
