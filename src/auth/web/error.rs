//! Why a browser sign-in gave no tokens.

use std::time::Duration;

use crate::auth::grant::{GrantError, ProviderWords, sentence};
use crate::auth::loopback::LoopbackError;
use crate::auth::service::ServiceError;
use crate::error::{Code, Failure};

/// Why a browser sign-in gave no tokens.
#[derive(Debug, thiserror::Error)]
pub enum WebError {
    /// The service lacks something that a browser sign-in needs.
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// The loopback address could not be listened on.
    #[error(transparent)]
    Loopback(#[from] LoopbackError),
    /// The system gave no random numbers.
    #[error("the system gives no random numbers")]
    Randomness,
    /// Nobody came back in time.
    #[error("nobody finished the sign-in within {} s", .limit.as_secs())]
    TimedOut {
        /// How long lanyard waited.
        limit: Duration,
    },
    /// The person gave up.
    #[error("interrupted")]
    Cancelled,
    /// The service sent the browser back with an error.
    #[error("{}", sentence(.error))]
    Refused {
        /// The error's registered name.
        error: String,
        /// The service's own words, cleaned.
        #[source]
        words: Option<ProviderWords>,
    },
    /// The answer names another issuer than the one that was asked (RFC 9207).
    #[error("the answer came from another issuer than {issuer}, and was not used")]
    OtherIssuer {
        /// The issuer that was asked.
        issuer: String,
    },
    /// The answer lacks the issuer that the service announced, or has one that it did not announce.
    #[error("the answer of {issuer} {problem}, and was not used")]
    IssuerParameter {
        /// The issuer that was asked.
        issuer: String,
        /// What is wrong with the parameter.
        problem: &'static str,
    },
    /// The token endpoint did not take the code.
    #[error("the code could not be exchanged for tokens")]
    Exchange(#[source] GrantError),
    /// The service did not take the pushed request (RFC 9126).
    #[error("the service did not take the sign-in request")]
    Pushed(#[source] GrantError),
}

impl Failure for WebError {
    fn code(&self) -> Code {
        match self {
            Self::Service(cause) => cause.code(),
            Self::Loopback(cause) => cause.code(),
            Self::TimedOut { .. } => Code::SignedOut,
            Self::Cancelled => Code::Interrupted,
            Self::Refused { error, .. } if error == "access_denied" => Code::Forbidden,
            Self::Randomness | Self::Refused { .. } | Self::OtherIssuer { .. } | Self::IssuerParameter { .. } => {
                Code::Failed
            }
            Self::Exchange(cause) | Self::Pushed(cause) => cause.code(),
        }
    }

    fn mend(&self) -> Option<String> {
        Some(match self {
            Self::Service(cause) => return cause.mend(),
            Self::Loopback(cause) => return cause.mend(),
            Self::Randomness => "try again; a system without random numbers cannot sign anyone in".into(),
            Self::TimedOut { .. } => {
                "run `lanyard auth login` again; `--timeout` gives more time, `--device` needs no browser on this machine. \
                 If the browser showed an error, the redirect address may have to be registered: see `--port`"
                    .into()
            }
            Self::Cancelled => return None,
            Self::Refused { error, .. } if error == "access_denied" => {
                "run `lanyard auth login` again and allow the access".into()
            }
            Self::Refused { error, .. } if error == "invalid_scope" => "name other scopes with `--scopes`".into(),
            Self::Refused { .. } => "check the client's registration at the service, then sign in again".into(),
            Self::OtherIssuer { .. } => "check `issuer` and the endpoints of this service before you sign in again".into(),
            Self::IssuerParameter { .. } => {
                "if the service's operator confirms that this is how it answers, set `accept_unannounced_iss = true` for it"
                    .into()
            }
            Self::Exchange(cause) | Self::Pushed(cause) => return cause.mend(),
        })
    }
}
