//! Why a grant gave no token, in our own sentences.

use crate::error::{Code, Failure};
use crate::http::{Malformed, Unreachable};
use crate::text::clean;

/// Why a grant gave no token.
#[derive(Debug, thiserror::Error)]
pub enum GrantError {
    /// No answer came.
    #[error("the service did not answer")]
    Unreachable(#[source] Unreachable),
    /// The service is in trouble: 5xx, or 429.
    #[error("the service is in trouble (it answered {status})")]
    Trouble {
        /// The status.
        status: u16,
        /// How long it asks to be left alone, in seconds.
        retry_after: Option<u64>,
    },
    /// An error from the registered list, or one of the service's own.
    #[error("{}", sentence(.error))]
    Refused {
        /// The error's registered name, such as `invalid_grant`.
        error: String,
        /// The service's own words, cleaned.
        #[source]
        words: Option<ProviderWords>,
        /// A new polling interval in seconds, which some services send with `slow_down`.
        interval: Option<u64>,
    },
    /// The answer is neither tokens nor an error.
    #[error("the answer of the token endpoint (status {status}) is not what it should be")]
    Malformed {
        /// The status.
        status: u16,
        /// Where the text went wrong.
        #[source]
        cause: Option<Malformed>,
    },
    /// A field of the answer breaks the rules. Names the field, never its value.
    #[error("the token endpoint sent an unusable {field}: {problem}")]
    BadField {
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
}

/// What a service said in its own words: shown as a quotation, cleaned and cut.
#[derive(Debug, thiserror::Error)]
#[error("the service says: “{0}”")]
pub struct ProviderWords(pub String);

impl ProviderWords {
    /// The words, if there are any left after cleaning.
    pub fn of(text: Option<&str>) -> Option<Self> {
        text.map(clean).filter(|text| !text.is_empty()).map(Self)
    }
}

/// Our own sentence for an error name from RFC 6749 sections 4.1.2.1 and 5.2, RFC 8628 section 3.5, OpenID Connect
/// Core section 3.1.2.6 and GitHub's device flow.
pub fn sentence(error: &str) -> String {
    match error {
        "access_denied" => "the sign-in was denied".into(),
        "invalid_grant" => "the service does not accept this grant any more".into(),
        "invalid_client" | "incorrect_client_credentials" | "unauthorized_client" => {
            "the service does not accept this client".into()
        }
        "invalid_scope" => "the service does not know one of the scopes".into(),
        "unsupported_grant_type" | "unsupported_response_type" => {
            "the service does not offer this way to sign in".into()
        }
        "redirect_uri_mismatch" => "the service does not know this redirect address".into(),
        "expired_token" => "the code expired before it was used".into(),
        "authorization_pending" => "nobody has entered the code yet".into(),
        "slow_down" => "the service asks for fewer questions".into(),
        "device_flow_disabled" => "the service does not allow sign-in by device code for this client".into(),
        "server_error" | "temporarily_unavailable" => "the service is in trouble".into(),
        "login_required" | "interaction_required" | "consent_required" | "account_selection_required" => {
            "the service wants you to sign in again".into()
        }
        "bad_verification_code" | "incorrect_device_code" => "the service does not know this code".into(),
        other => format!("the service refused: {}", clean(other)),
    }
}

impl GrantError {
    /// Whether the service said that the grant is spent: a refresh token that will never work again.
    pub fn is_invalid_grant(&self) -> bool {
        matches!(self, Self::Refused { error, .. } if error == "invalid_grant" || error == "bad_refresh_token")
    }

    /// Whether the request may have been carried out although no answer told so.
    pub fn is_unclear(&self) -> bool {
        match self {
            Self::Unreachable(cause) => !cause.never_sent() && !matches!(cause, Unreachable::Redirect { .. }),
            Self::Trouble { .. } => true,
            _ => false,
        }
    }
}

impl Failure for GrantError {
    fn code(&self) -> Code {
        match self {
            Self::Unreachable(_) | Self::Trouble { .. } | Self::Malformed { .. } => Code::Unreachable,
            Self::Refused { error, .. } => match error.as_str() {
                "invalid_grant" | "login_required" | "interaction_required" | "bad_refresh_token" => Code::SignedOut,
                "access_denied" | "consent_required" | "invalid_scope" => Code::Forbidden,
                "server_error" | "temporarily_unavailable" => Code::Unreachable,
                _ => Code::Failed,
            },
            Self::BadField { .. } => Code::Failed,
        }
    }

    fn mend(&self) -> Option<String> {
        Some(match self {
            Self::Unreachable(cause) => return cause.mend(),
            Self::Trouble { retry_after: Some(seconds), .. } => format!("try again in {seconds} s"),
            Self::Trouble { .. } => "try again in a minute".into(),
            Self::Malformed { .. } | Self::BadField { .. } => "check the service's addresses: `lanyard doctor`".into(),
            Self::Refused { error, .. } => match error.as_str() {
                "access_denied" => "run `lanyard auth login` again and allow the access".into(),
                "invalid_client" | "incorrect_client_credentials" | "unauthorized_client" => {
                    "check client_id, and the client secret if the service gave one (`--client-secret-stdin`)".into()
                }
                "invalid_scope" => "name other scopes with `--scopes`".into(),
                "redirect_uri_mismatch" => {
                    "register the redirect address at the service, or fix the port with `--port`".into()
                }
                "unsupported_grant_type" | "unsupported_response_type" | "device_flow_disabled" => {
                    "choose another way: `--web`, `--device` or `--with-token`".into()
                }
                _ => "sign in again: `lanyard auth login`".into(),
            },
        })
    }
}
