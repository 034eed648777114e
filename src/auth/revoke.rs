//! Taking a session back at the service (RFC 7009): the refresh token first, then the access token.

use std::time::Duration;

use crate::auth::grant;
use crate::auth::presets::Revocation;
use crate::auth::session::Session;
use crate::error::{Code, Failure};
use crate::http::{HeaderValue, Http, Method, Request, Unreachable, Url, header};
use crate::secret::Secret;
use crate::text::{clean, repeats};

/// The longest pause that a busy service is granted before the second try.
const LONGEST_PAUSE: u64 = 10;

/// Why the service did not take the session back.
#[derive(Debug, thiserror::Error)]
pub enum RevokeError {
    /// The service has no address for it.
    #[error("{service} offers no way to revoke a token")]
    NotOffered {
        /// The service.
        service: String,
    },
    /// No answer came.
    #[error("{service} could not be asked to revoke the session")]
    Unreachable {
        /// The service.
        service: String,
        /// Why.
        #[source]
        cause: Unreachable,
    },
    /// The service answered with a refusal.
    #[error("{service} did not revoke the session (it answered {status}{})", .error.as_deref().map(|error| format!(", {error}")).unwrap_or_default())]
    Refused {
        /// The service.
        service: String,
        /// The status.
        status: u16,
        /// The error's registered name, where one was given.
        error: Option<String>,
    },
}

impl Failure for RevokeError {
    fn code(&self) -> Code {
        match self {
            Self::NotOffered { .. } => Code::Failed,
            Self::Unreachable { .. } => Code::Unreachable,
            Self::Refused { status, .. } => {
                if *status >= 500 || *status == 429 {
                    Code::Unreachable
                } else {
                    Code::Forbidden
                }
            }
        }
    }

    fn mend(&self) -> Option<String> {
        Some(match self {
            Self::NotOffered { .. } => {
                "end the session on the service's own page; `lanyard auth logout` removes it from this machine".into()
            }
            Self::Unreachable { .. } => "try again, or remove it here alone with `lanyard auth revoke --force`".into(),
            Self::Refused { .. } => {
                "end it on the service's own page, then remove it here with `lanyard auth revoke --force`".into()
            }
        })
    }
}

/// Asks the service to take back both tokens of a session. `endpoint` is the address for it, from the session or the
/// service's table. Succeeds when the service agreed, or does not know the tokens any more.
pub fn revoke(
    session: &Session,
    endpoint: Option<&Url>,
    style: Revocation,
    http: &dyn Http,
) -> Result<(), RevokeError> {
    let Some(endpoint) = endpoint else {
        return Err(RevokeError::NotOffered { service: session.service.clone() });
    };
    let tokens = [("refresh_token", session.refresh_token.as_ref()), ("access_token", Some(&session.access_token))];
    for (hint, token) in tokens {
        let Some(token) = token else { continue };
        revoke_one(session, endpoint, style, hint, token, http)?;
    }
    Ok(())
}

fn revoke_one(
    session: &Session,
    endpoint: &Url,
    style: Revocation,
    hint: &str,
    token: &Secret,
    http: &dyn Http,
) -> Result<(), RevokeError> {
    let request = || match (style, &session.client) {
        (Revocation::CredentialList, _) => credential_list(endpoint, token),
        (Revocation::Standard, Some(client)) => {
            client.form(endpoint, &[("token", token.expose()), ("token_type_hint", hint)])
        }
        (Revocation::Standard, None) => {
            Request::form(endpoint.clone(), &[("token", token.expose()), ("token_type_hint", hint)])
        }
    };
    let mut answer = send(session, request(), http)?;
    if answer.status == 503 || answer.status == 429 {
        let pause = answer.retry_after().unwrap_or(1);
        if pause <= LONGEST_PAUSE {
            std::thread::sleep(Duration::from_secs(pause));
            answer = send(session, request(), http)?;
        }
    }
    if answer.is_success() {
        return Ok(());
    }
    let error = grant::error_name(&answer).filter(|error| !repeats(error, token.expose())).map(|error| clean(&error));
    // RFC 7009 section 2.2: an unknown token is revoked already; some servers say so with an error. Section 2.2.1: a
    // server that cannot revoke access tokens ended the session with the refresh token.
    let session_ended = hint == "access_token" && session.refresh_token.is_some();
    match error.as_deref() {
        Some("invalid_token") => return Ok(()),
        Some("unsupported_token_type") if session_ended => return Ok(()),
        _ => {}
    }
    Err(RevokeError::Refused { service: session.service.clone(), status: answer.status, error })
}

fn send(session: &Session, request: Request, http: &dyn Http) -> Result<crate::http::Response, RevokeError> {
    http.send(request).map_err(|cause| RevokeError::Unreachable { service: session.service.clone(), cause })
}

/// GitHub's form: `{"credentials": ["TOKEN"]}`.
fn credential_list(endpoint: &Url, token: &Secret) -> Request {
    let mut request = Request::new(Method::POST, endpoint.clone());
    request.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    // Tokens are visible ASCII without quotes or backslashes by the time they are stored, but JSON quotes them safely.
    let quoted = zeroize::Zeroizing::new(serde_json::Value::from(token.expose()).to_string());
    request.body = Some(zeroize::Zeroizing::new(["{\"credentials\":[", &quoted, "]}"].concat().into_bytes()));
    request
}

/// Takes back tokens that were just issued and could not be stored. Nobody is told if it fails: the failure to store
/// is what the person must read.
pub fn discard(session: &Session, style: Revocation, http: &dyn Http) {
    if let Err(error) = revoke(session, session.endpoints.revocation.as_ref(), style, http) {
        tracing::debug!(%error, "the unstored session was not revoked");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::auth::session::tests::session;
    use crate::http::{HeaderMap, Response};

    /// Revokes a session at a service that answers each request by its body. Returns what was asked, too.
    fn revoked(answer: impl Fn(&str) -> (u16, &'static str) + Sync) -> (Result<(), RevokeError>, Vec<String>) {
        let asked = Mutex::new(Vec::new());
        let http = |request: Request| {
            let body = String::from_utf8(request.body.unwrap().to_vec()).unwrap();
            let (status, text) = answer(&body);
            asked.lock().unwrap().push(body);
            Ok(Response { status, headers: HeaderMap::new(), body: text.as_bytes().to_vec().into() })
        };
        let session = session(chrono::DateTime::from_timestamp(0, 0).unwrap(), None);
        let endpoint = Url::parse("https://id.example/revoke").unwrap();
        let told = revoke(&session, Some(&endpoint), Revocation::Standard, &http);
        (told, asked.into_inner().unwrap())
    }

    #[test]
    fn the_refresh_token_goes_first() {
        let (told, asked) = revoked(|_| (200, ""));
        assert!(told.is_ok());
        assert!(
            asked[0].contains("token_type_hint=refresh_token") && asked[1].contains("token_type_hint=access_token")
        );
    }

    #[test]
    fn a_service_that_cannot_revoke_access_tokens_has_ended_the_session_all_the_same() {
        let unsupported = (400, r#"{"error":"unsupported_token_type"}"#);
        let access_only = |body: &str| if body.contains("hint=access_token") { unsupported } else { (200, "") };
        assert!(revoked(access_only).0.is_ok());
        assert!(matches!(revoked(|_| unsupported).0, Err(RevokeError::Refused { status: 400, .. })));
    }

    #[test]
    fn a_busy_service_is_asked_once_more_and_an_unknown_token_is_revoked_already() {
        let busy = |_: &str| (503, "");
        let (told, asked) = revoked(busy);
        assert_eq!((told.unwrap_err().code(), asked.len()), (Code::Unreachable, 2));
        assert!(revoked(|_| (400, r#"{"error":"invalid_token"}"#)).0.is_ok());
    }
}
