//! What a server says when it does not do what was asked, and what that means for whoever asked.

use serde::Deserialize;

use crate::auth::grant::GrantError;
use crate::auth::renew::RenewError;
use crate::error::{Code, Failure};
use crate::http::{Malformed, Response, Unreachable, header};
use crate::text::clean;
use crate::vault::VaultError;

/// Why a server did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// No answer came.
    #[error("the server does not answer")]
    Unreachable(#[source] Unreachable),
    /// Nobody is signed in there any more.
    #[error("the server does not accept the sign-in")]
    SignedOut,
    /// It is not permitted.
    #[error("the server does not permit this: {0}")]
    Forbidden(String),
    /// It did not want to.
    #[error("the server answered {status}: {detail}")]
    Refused {
        /// The status.
        status: u16,
        /// What it said.
        detail: String,
        /// How long it wants to be left alone, in seconds.
        retry_after: Option<u64>,
    },
    /// The answer is none of a lanyard server's.
    #[error("the answer of the server is none of a lanyard server's")]
    Malformed(#[source] Option<Malformed>),
}

impl Failure for RemoteError {
    fn code(&self) -> Code {
        match self {
            Self::Unreachable(failure) => failure.code(),
            Self::SignedOut => Code::SignedOut,
            Self::Forbidden(_) => Code::Forbidden,
            Self::Refused { status: 429 | 500.., .. } | Self::Malformed(_) => Code::Unreachable,
            Self::Refused { .. } => Code::Failed,
        }
    }

    fn mend(&self) -> Option<String> {
        Some(match self {
            Self::Unreachable(failure) => return failure.mend(),
            Self::SignedOut => "sign in again: `lanyard auth login`".into(),
            Self::Forbidden(_) => {
                "sign in with all that you may do: `lanyard auth login --scopes all`; if that is not \
                                   enough, ask an administrator of the organization"
                    .into()
            }
            Self::Refused { status: 429 | 500.., retry_after: Some(seconds), .. } => {
                format!("try again in {seconds} s")
            }
            Self::Refused { status: 429, .. } => "wait a little, then run the command again".into(),
            Self::Refused { status: 500.., .. } => "try again; if it stays so, the server's log tells more".into(),
            Self::Refused { .. } => "change what was asked for".into(),
            Self::Malformed(_) => "check the address of the server in the configuration".into(),
        })
    }
}

impl From<RemoteError> for VaultError {
    fn from(failure: RemoteError) -> Self {
        Self::Elsewhere(Box::new(failure))
    }
}

/// A problem as the server tells it (RFC 9457).
#[derive(Deserialize, Default)]
struct Problem {
    #[serde(default)]
    r#type: String,
    #[serde(default)]
    detail: String,
    /// What uses it, where that is why.
    #[serde(default)]
    used_by: Vec<String>,
}

pub(super) fn read<T: serde::de::DeserializeOwned>(answer: &Response) -> Result<T, RemoteError> {
    answer.json().map_err(|cause| RemoteError::Malformed(Some(cause)))
}

fn problem(answer: &Response) -> Problem {
    let is_problem = answer.header(&header::CONTENT_TYPE).is_some_and(|kind| kind.contains("problem+json"));
    if is_problem { answer.json().unwrap_or_default() } else { Problem::default() }
}

/// Why the server did not do what was asked.
pub(super) fn refused(answer: &Response) -> RemoteError {
    let problem = problem(answer);
    let mut detail = clean(&problem.detail);
    if !problem.used_by.is_empty() {
        detail = format!("{detail}: {}", clean(&problem.used_by.join(", ")));
    }
    match (answer.status, problem.r#type.as_str()) {
        (401, _) => RemoteError::SignedOut,
        (403, _) => RemoteError::Forbidden(detail),
        (_, "") => RemoteError::Malformed(None),
        (status, _) => RemoteError::Refused { status, detail, retry_after: answer.retry_after() },
    }
}

/// What the server says of a sign-in that it could not renew.
fn of_its_sign_in(name: String, cause: impl FnOnce(String, String) -> RenewError) -> VaultError {
    let cause = Box::new(cause(name.clone(), "the service".into()));
    VaultError::Session { name, cause }
}

/// What a refusal means for the credential that was asked about.
pub(super) fn refusal(answer: &Response, name: &str) -> VaultError {
    let problem = problem(answer);
    let name = name.to_owned();
    match (answer.status, problem.r#type.rsplit(':').next().unwrap_or_default()) {
        (409, "name-taken") => VaultError::Taken { name },
        (412, "changed") => VaultError::Changed { name },
        (422, "bad-name") => VaultError::BadName,
        (422, "no-project") => VaultError::NoProject,
        (404, "not-found") if !name.is_empty() => VaultError::Changed { name },
        (500, "does-not-open") => VaultError::DoesNotOpen { name },
        (409, "not-connected" | "needs-reconnecting") => {
            of_its_sign_in(name, |profile, service| RenewError::LoginNeeded { profile, service, cause: None })
        }
        (503, "service-unreachable" | "renewing") => of_its_sign_in(name, |_, _| {
            RenewError::Grant(GrantError::Trouble { status: answer.status, retry_after: answer.retry_after() })
        }),
        (409, "in-use") => VaultError::InUse { name, users: problem.used_by },
        _ => refused(answer).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_to_come_back_later_is_told_when() {
        let mend = |status: u16, kind: &str, after: Option<&str>| {
            let pairs = [("content-type", Some("application/problem+json")), ("retry-after", after)];
            let pairs = pairs.into_iter().filter_map(|(name, value)| Some((name, value?)));
            let pairs =
                pairs.map(|(name, value)| (name.parse::<crate::http::HeaderName>().unwrap(), value.parse().unwrap()));
            let body = format!("{{\"type\":\"urn:lanyard:problem:{kind}\",\"detail\":\"later\"}}").into_bytes();
            refused(&Response { status, headers: pairs.collect(), body: body.into() }).mend().unwrap()
        };
        assert_eq!(mend(429, "too-often", Some("7")), "try again in 7 s");
        assert_eq!(mend(503, "secrets-unavailable", Some("5")), "try again in 5 s");
        assert!(mend(429, "too-often", None).contains("wait a little"));
        assert!(mend(503, "unavailable", None).contains("log tells more"));
        assert!(mend(409, "gone", Some("5")).contains("change what was asked for"));
    }
}
