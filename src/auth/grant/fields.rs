//! The fields of an answer of the token endpoint, each taken by the rules of its kind.

use std::collections::BTreeMap;

use chrono::Duration;
use serde::Deserialize;

use super::error::{GrantError, ProviderWords};
use super::sent::Sent;
use crate::http::{Response, header};
use crate::secret::Secret;
use crate::text::clean;

/// The longest token accepted, in bytes.
const MAX_TOKEN: usize = 64 << 10;
/// The longest life of a token that is believed, in seconds: ten years.
const MAX_LIFE: i64 = 10 * 366 * 24 * 3600;

/// The fields of an answer, from JSON or from a form. Secrets stay in [`Secret`] from the first byte.
#[derive(Default)]
pub(super) struct Fields(BTreeMap<String, Field>);

/// One value of an answer. Anything but text and numbers reads as `Other`.
#[derive(Deserialize)]
#[serde(untagged)]
enum Field {
    Text(Secret),
    Number(f64),
    Other(serde::de::IgnoredAny),
}

pub(super) fn read_fields(answer: &Response) -> Result<Fields, GrantError> {
    let is_form = answer
        .header(&header::CONTENT_TYPE)
        .is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded") || kind.starts_with("text/plain"));
    if is_form && !answer.body.starts_with(b"{") {
        let pairs = url::form_urlencoded::parse(&answer.body);
        return Ok(Fields(
            pairs.map(|(name, value)| (name.into_owned(), Field::Text(Secret::new(value.into_owned())))).collect(),
        ));
    }
    answer.json().map(Fields).map_err(|cause| {
        if answer.status >= 500 || answer.status == 429 {
            trouble(answer)
        } else if matches!(answer.status, 400 | 401) && answer.body.is_empty() {
            // Some servers refuse without a word.
            GrantError::Refused { error: "invalid_client".into(), words: None, interval: None }
        } else {
            GrantError::Malformed { status: answer.status, cause: Some(cause) }
        }
    })
}

fn trouble(answer: &Response) -> GrantError {
    GrantError::Trouble { status: answer.status, retry_after: answer.retry_after() }
}

/// The errors by which a token endpoint decides (RFC 6749 section 5.2, RFC 8628 section 3.5), whatever the status.
const DECISIONS: [&str; 10] = [
    "invalid_request",
    "invalid_client",
    "invalid_grant",
    "unauthorized_client",
    "unsupported_grant_type",
    "invalid_scope",
    "access_denied",
    "authorization_pending",
    "slow_down",
    "expired_token",
];

pub(super) fn refuse_errors(answer: &Response, fields: &Fields, sent: &Sent) -> Result<(), GrantError> {
    if let Some(error) = fields.text("error") {
        // A word that no standard knows, beside a 5xx, is the server's own accident and not its decision. Beside a 429, it
        // is about how often it was asked, and so is what else would be said of a code that is asked about too often.
        let is_decision = DECISIONS.contains(&error) && !(answer.status == 429 && error == "slow_down");
        if (answer.status >= 500 || answer.status == 429) && !is_decision {
            return Err(trouble(answer));
        }
        return Err(GrantError::Refused {
            error: sent.unrepeated(Some(error)).map_or_else(|| "it repeats what it was sent".into(), clean),
            words: ProviderWords::of(sent.unrepeated(fields.text("error_description"))),
            interval: fields
                .seconds("interval")
                .ok()
                .flatten()
                .and_then(|interval| u64::try_from(interval.num_seconds()).ok()),
        });
    }
    if answer.status >= 500 || answer.status == 429 {
        return Err(trouble(answer));
    }
    Ok(())
}

impl Fields {
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        match self.0.get(name) {
            Some(Field::Text(text)) => Some(text.expose()),
            _ => None,
        }
    }

    /// A token: visible ASCII only, so that it can stand in a header, and of a bounded length.
    pub(super) fn token(&mut self, field: &'static str) -> Result<Option<Secret>, GrantError> {
        let token = match self.0.remove(field) {
            Some(Field::Text(token)) if !token.expose().is_empty() => token,
            None | Some(Field::Text(_) | Field::Other(_)) => return Ok(None),
            Some(Field::Number(_)) => return Err(GrantError::BadField { field, problem: "it is a number" }),
        };
        if token.expose().len() > MAX_TOKEN {
            return Err(GrantError::BadField { field, problem: "it is longer than 64 KiB" });
        }
        if !token.expose().bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(GrantError::BadField { field, problem: "it holds white space or control characters" });
        }
        Ok(Some(token))
    }

    /// A number of seconds, which some services send as text. Zero means that the service does not say.
    pub(super) fn seconds(&self, field: &'static str) -> Result<Option<Duration>, GrantError> {
        let number = match self.0.get(field) {
            Some(Field::Number(number)) => *number,
            Some(Field::Text(text)) => match text.expose().trim().parse::<f64>() {
                Ok(number) => number,
                Err(_) => return Err(GrantError::BadField { field, problem: "it is no number" }),
            },
            None | Some(Field::Other(_)) => return Ok(None),
        };
        #[expect(clippy::cast_precision_loss, reason = "a limit of ten years in seconds is exact in an f64")]
        if !(0.0..=MAX_LIFE as f64).contains(&number) {
            return Err(GrantError::BadField { field, problem: "it is negative or longer than ten years" });
        }
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the range was just checked; fractions of a second are dropped"
        )]
        let seconds = number as i64;
        Ok((seconds > 0).then(|| Duration::seconds(seconds)))
    }
}
