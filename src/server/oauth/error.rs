//! Errors as RFC 6749 section 5.2 has them.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;

use crate::server::api::{Gives, Operation};
use crate::server::db::DbError;
use crate::server::keys::KeyError;
use crate::server::problem::{Problem, Refusal};

/// Why a program was not given what it asked for.
#[derive(Debug)]
pub(super) enum OauthError {
    /// One of the registered errors, with a sentence.
    Refused(&'static str, &'static str),
    /// Something that has nothing to do with the protocol.
    Other(Problem),
}

/// The result of an endpoint.
pub(super) type Given<T> = Result<T, OauthError>;

pub(super) fn refused<T>(error: &'static str, description: &'static str) -> Given<T> {
    Err(OauthError::Refused(error, description))
}

/// What becomes of a transaction that comes to this: a refusal is an answer, and what was noted on the way to it stays;
/// any other failure undoes all of it.
pub(super) fn settled<T>(given: Given<T>) -> Given<Given<T>> {
    match given {
        Err(OauthError::Other(problem)) => Err(OauthError::Other(problem)),
        answer => Ok(answer),
    }
}

impl From<Problem> for OauthError {
    fn from(problem: Problem) -> Self {
        Self::Other(problem)
    }
}

impl From<DbError> for OauthError {
    fn from(failure: DbError) -> Self {
        Self::Other(failure.into())
    }
}

impl From<KeyError> for OauthError {
    fn from(failure: KeyError) -> Self {
        Self::Other(failure.into())
    }
}

/// The members of an error.
#[derive(JsonSchema)]
#[schemars(rename = "OAuthError")]
#[allow(dead_code, reason = "the form of what is sent")]
struct Shown {
    error: String,
    error_description: String,
    /// The number of the request, in the log and the audit.
    request_id: String,
}

impl<T: Gives> Gives for Given<T> {
    fn tell(told: &mut Operation<'_>) {
        T::tell(told);
        for status in [
            StatusCode::BAD_REQUEST,
            StatusCode::UNAUTHORIZED,
            StatusCode::TOO_MANY_REQUESTS,
            StatusCode::INTERNAL_SERVER_ERROR,
            StatusCode::SERVICE_UNAVAILABLE,
        ] {
            told.answer_besides::<Shown>(status);
        }
    }
}

impl IntoResponse for OauthError {
    fn into_response(self) -> Response {
        let after = match &self {
            Self::Refused(..) => None,
            Self::Other(problem) => problem.retry_after(),
        };
        let (status, error, description) = match self {
            Self::Refused("invalid_client", description) => (StatusCode::UNAUTHORIZED, "invalid_client", description),
            Self::Refused(error, description) => (StatusCode::BAD_REQUEST, error, description),
            Self::Other(problem) if problem.status() == StatusCode::TOO_MANY_REQUESTS => {
                (problem.status(), "slow_down", "too many attempts; come back later")
            }
            Self::Other(problem) if problem.status() == StatusCode::SERVICE_UNAVAILABLE => {
                (problem.status(), "temporarily_unavailable", "the server cannot do this now; come back later")
            }
            Self::Other(problem) => (problem.status(), "server_error", "the server failed; its log tells more"),
        };
        let said = [("error", error), ("error_description", description)];
        let said = said.into_iter().map(|(name, text)| (name.to_owned(), text.into())).collect();
        let mut response = Refusal(said).answer(status, "application/json");
        // RFC 6749 section 5.1 wants both; the second is for caches that nobody has any more.
        response.headers_mut().insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
        response.headers_mut().extend(after.map(|after| (header::RETRY_AFTER, after)));
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_comes_too_early_is_told_when_to_come_back() {
        let after = |error: OauthError| {
            let response = error.into_response();
            let after = response.headers().get(header::RETRY_AFTER).map(|after| after.to_str().unwrap().to_owned());
            (response.status().as_u16(), after)
        };
        assert_eq!(after(Problem::slow_down(17).into()), (429, Some("17".into())));
        assert_eq!(after(Problem::busy().into()), (503, Some("5".into())));
        assert_eq!(after(Problem::unavailable().into()), (503, None));
        assert_eq!(after(OauthError::Refused("slow_down", "")), (400, None));
    }
}
