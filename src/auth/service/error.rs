//! Why a service cannot be used.

use crate::config::schema::typed;
use crate::error::{Code, Failure};
use crate::http::{BadUrl, Malformed, Unreachable};

/// Why a service cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// No table and no preset has this name.
    #[error("there is no service named {name}")]
    Unknown {
        /// The name asked for.
        name: String,
        /// The closest known name.
        nearest: Option<String>,
    },
    /// A client identifier is needed and none is configured.
    #[error("{service} needs a client id, and none is configured")]
    NoClientId {
        /// The service.
        service: String,
        /// Where one is registered.
        registration: Option<&'static str>,
    },
    /// An address in the configuration or the metadata is not safe.
    #[error("the {field} of {service} cannot be used")]
    BadAddress {
        /// The service.
        service: String,
        /// The metadata's name of the address, such as `token_endpoint`.
        field: &'static str,
        /// What is wrong with it.
        #[source]
        cause: BadUrl,
    },
    /// The metadata names another issuer.
    #[error("the metadata found at {issuer} belongs to another issuer")]
    OtherIssuer {
        /// The configured issuer.
        issuer: String,
    },
    /// No metadata document was found.
    #[error("{issuer} publishes no OpenID Connect or OAuth 2.0 metadata (answered {status})")]
    NoMetadata {
        /// The configured issuer.
        issuer: String,
        /// The status of the last answer.
        status: u16,
    },
    /// The metadata document is no metadata.
    #[error("the metadata of {issuer} is not what it should be")]
    BadMetadata {
        /// The configured issuer.
        issuer: String,
        /// Where the JSON went wrong.
        #[source]
        cause: Malformed,
    },
    /// No answer came.
    #[error("cannot ask {issuer} for its metadata")]
    Unreachable {
        /// The configured issuer.
        issuer: String,
        /// Why.
        #[source]
        cause: Unreachable,
    },
    /// The service does not offer what was asked for.
    #[error("{service} offers no {what}")]
    NotOffered {
        /// The service.
        service: String,
        /// What is missing: `browser sign-in`, `device sign-in`, `PKCE with S256`.
        what: &'static str,
        /// What to do instead.
        instead: &'static str,
    },
}

impl Failure for ServiceError {
    fn code(&self) -> Code {
        match self {
            Self::Unreachable { .. } | Self::NoMetadata { .. } | Self::BadMetadata { .. } => Code::Unreachable,
            Self::OtherIssuer { .. } | Self::NotOffered { .. } => Code::Failed,
            Self::Unknown { .. } | Self::NoClientId { .. } | Self::BadAddress { .. } => Code::Config,
        }
    }

    fn mend(&self) -> Option<String> {
        Some(match self {
            Self::Unknown { nearest: Some(nearest), .. } => {
                format!("did you mean `{nearest}`? `lanyard auth login` lists the services")
            }
            Self::Unknown { name, nearest: None } => {
                format!("add [services.{name}] to the configuration, or use `lanyard auth login --issuer URL`")
            }
            Self::NoClientId { service, registration } => {
                let place = registration.map_or_else(String::new, |page| format!("register one at {page}, then "));
                format!(
                    "{place}give --client-id ID, or `lanyard config set {} ID`",
                    typed(&["services", service, "client_id"])
                )
            }
            Self::BadAddress { service, field, .. } => {
                format!("correct the address: `lanyard config set {} https://…`", typed(&["services", service, field]))
            }
            Self::OtherIssuer { .. } => {
                "configure the issuer exactly as the service spells it, with or without the last slash".into()
            }
            Self::NoMetadata { .. } | Self::BadMetadata { .. } => {
                "check the issuer; a service without metadata needs its endpoints in [services.NAME]".into()
            }
            Self::Unreachable { cause, .. } => return cause.mend(),
            Self::NotOffered { instead, .. } => (*instead).into(),
        })
    }
}
