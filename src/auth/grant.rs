//! Requests to the token endpoint and its relatives: client authentication, answers, errors (RFC 6749 section 5).
//!
//! Every request is a form POST that no redirect moves. Answers are read as JSON or, from services that ignore
//! `Accept`, as a form; errors are recognised whatever the status says.

use chrono::{DateTime, Duration, Utc};

use crate::http::{Http, Request, Response};
use crate::secret::Secret;
use crate::text::is_unprintable;

mod client;
mod error;
mod fields;
mod sent;

pub use client::{AuthMethod, Client};
pub use error::{GrantError, ProviderWords, sentence};
use fields::{read_fields, refuse_errors};
use sent::Sent;

/// What the token endpoint gave.
#[derive(Debug)]
pub struct TokenAnswer {
    /// The access token.
    pub access_token: Secret,
    /// The refresh token, where one was given.
    pub refresh_token: Option<Secret>,
    /// The ID token, where one was given. Not verified yet.
    pub id_token: Option<Secret>,
    /// How long the access token lives, where the service says.
    pub expires_in: Option<Duration>,
    /// The scopes granted, where the service says.
    pub scopes: Option<Vec<String>>,
    /// When the server thinks it answered.
    pub date: Option<DateTime<Utc>>,
}

/// Sends a token request and reads the answer.
pub fn request_tokens(http: &dyn Http, request: Request) -> Result<TokenAnswer, GrantError> {
    let sent = Sent::with(&request);
    let answer = http.send(request).map_err(GrantError::Unreachable)?;
    let date = answer.date();
    let mut fields = read_fields(&answer)?;
    refuse_errors(&answer, &fields, &sent)?;
    if !answer.is_success() {
        return Err(GrantError::Malformed { status: answer.status, cause: None });
    }
    // `mac` and its like would need a proof that lanyard cannot give (RFC 6749 section 7.1).
    match fields.text("token_type") {
        Some(kind) if kind.eq_ignore_ascii_case("bearer") => {}
        None => {}
        Some(_) => return Err(GrantError::BadField { field: "token_type", problem: "only Bearer is known" }),
    }
    let expires_in = fields.seconds("expires_in")?;
    let scopes = fields.text("scope").map(words);
    Ok(TokenAnswer {
        access_token: fields
            .token("access_token")?
            .ok_or(GrantError::BadField { field: "access_token", problem: "it is missing" })?,
        refresh_token: fields.token("refresh_token")?,
        id_token: fields.token("id_token")?,
        expires_in,
        scopes,
        date,
    })
}

/// Sends a request of the OAuth family that answers with JSON of another shape than tokens.
pub fn request_json<T: serde::de::DeserializeOwned>(http: &dyn Http, request: Request) -> Result<T, GrantError> {
    let sent = Sent::with(&request);
    let answer = http.send(request).map_err(GrantError::Unreachable)?;
    refuse_errors(&answer, &read_fields(&answer).unwrap_or_default(), &sent)?;
    if !answer.is_success() {
        return Err(GrantError::Malformed { status: answer.status, cause: None });
    }
    answer.json().map_err(|cause| GrantError::Malformed { status: answer.status, cause: Some(cause) })
}

/// The registered name of the error in an answer, where there is one.
pub fn error_name(answer: &Response) -> Option<String> {
    read_fields(answer).ok()?.text("error").map(str::to_owned)
}

/// Splits a scope list: blanks by the standard, commas at some services. What a terminal would act on is left out.
pub fn words(list: &str) -> Vec<String> {
    let printable = |word: &str| word.chars().filter(|character| !is_unprintable(*character)).collect();
    list.split([' ', ',']).map(printable).filter(|word: &String| !word.is_empty()).collect()
}

#[cfg(test)]
mod tests;
