//! Why a provider could not do what was asked.

use crate::credential::FieldError;
use crate::error::{Code, Failure};
use crate::http::{BadUrl, Unreachable};
use crate::os::files::FileError;
use crate::provider::{Outcome, Verdict};
use crate::secret::Reason;

/// Why a provider could not do what was asked. No variant holds a secret.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// The values are no credential.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// A file could not be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// A file is there and is not what it should be.
    #[error("{place} is no usable {what}: {problem}")]
    Foreign {
        /// Where it lies, as a person reads it.
        place: String,
        /// What it should be: `AWS configuration file`.
        what: &'static str,
        /// What is wrong and in which line, without a value.
        problem: String,
    },
    /// There is nothing of that name where the user said to look.
    #[error("there is no {what} in {place}")]
    NotThere {
        /// What was looked for: `profile staging`.
        what: String,
        /// Where.
        place: String,
        /// What to do.
        mend: String,
    },
    /// A program did not do what it should.
    #[error("{program} did not give a credential")]
    Program {
        /// The program's name.
        program: String,
        /// What happened.
        #[source]
        cause: Reason,
        /// What to do.
        mend: String,
    },
    /// Nobody answered.
    #[error(transparent)]
    Unreachable(#[from] Unreachable),
    /// An address in the credential or in a variable is none that a secret is sent to.
    #[error("{name} is no address that a credential is sent to")]
    BadEndpoint {
        /// The field or the variable.
        name: String,
        /// What is wrong.
        #[source]
        cause: BadUrl,
    },
    /// The provider refused to make what was asked for.
    #[error("{}", .0.reason.as_deref().unwrap_or("the provider refused"))]
    Refused(Box<Verdict>),
    /// The credential is used through another one, which was not given.
    #[error("{name} is used through another credential, {source_name}, which is missing or not of the right kind")]
    NoSource {
        /// The credential.
        name: String,
        /// The one that is missing.
        source_name: String,
    },
    /// A value in the credential does not hold what it should.
    #[error("{field} of {name} is damaged: {problem}")]
    Damaged {
        /// The credential.
        name: String,
        /// The field.
        field: &'static str,
        /// What is wrong, without the value.
        problem: &'static str,
    },
    /// Two things were asked for of which one can be had.
    #[error("{what}")]
    Contrary {
        /// Which.
        what: &'static str,
        /// What to do instead.
        mend: &'static str,
    },
    /// The provider cannot do this at all.
    #[error("{what} is not possible for {provider}")]
    Unsupported {
        /// The provider's name.
        provider: &'static str,
        /// What was asked: `rotating`.
        what: &'static str,
    },
    /// What was found or given is nothing that can be kept.
    #[error("{what} cannot be stored: {why}")]
    CannotStore {
        /// What it is: `context dev`.
        what: String,
        /// Why it cannot be kept, in words that stand alone.
        why: String,
        /// What to do instead.
        mend: String,
    },
    /// The provider cannot do this for this credential.
    #[error("{what}")]
    CannotRotate {
        /// Why.
        what: String,
        /// What to do instead.
        mend: String,
    },
}

impl From<Verdict> for ProviderError {
    fn from(verdict: Verdict) -> Self {
        Self::Refused(Box::new(verdict))
    }
}

impl ProviderError {
    /// The file or the other place on this machine that it is about.
    pub fn place(&self) -> Option<String> {
        match self {
            Self::Foreign { place, .. } | Self::NotThere { place, .. } => Some(place.clone()),
            Self::File(failure) => Some(failure.path().display().to_string()),
            _ => None,
        }
    }

    /// What the failure says about the credential itself: mostly nothing.
    pub fn into_verdict(self, title: &str) -> Verdict {
        match self {
            Self::Refused(verdict) => *verdict,
            Self::Unreachable(failure) => {
                let outcome =
                    if matches!(failure, Unreachable::Tls { .. }) { Outcome::Tls } else { Outcome::Unreachable };
                let next = failure.mend().unwrap_or_default();
                Verdict::failed(outcome, crate::error::with_causes(&failure), next)
            }
            other => {
                let next = other.mend().unwrap_or_else(|| format!("check the credential and {title}"));
                Verdict::failed(Outcome::Unexpected, crate::error::with_causes(&other), next)
            }
        }
    }
}

impl Failure for ProviderError {
    fn code(&self) -> Code {
        match self {
            Self::Field(failure) => failure.code(),
            Self::Unreachable(failure) => failure.code(),
            Self::BadEndpoint { .. } => Code::Config,
            Self::Contrary { .. } => Code::Usage,
            Self::Refused(verdict) => match verdict.outcome {
                Outcome::Insufficient => Code::Forbidden,
                Outcome::Invalid | Outcome::Expired => Code::Invalid,
                _ => Code::Unreachable,
            },
            Self::NoSource { .. } | Self::Damaged { .. } => Code::Invalid,
            Self::File(_)
            | Self::Foreign { .. }
            | Self::NotThere { .. }
            | Self::Program { .. }
            | Self::Unsupported { .. }
            | Self::CannotStore { .. }
            | Self::CannotRotate { .. } => Code::Failed,
        }
    }

    fn mend(&self) -> Option<String> {
        match self {
            Self::Field(failure) => failure.mend(),
            Self::File(failure) => failure.mend(),
            Self::Foreign { place, .. } => Some(format!("look at {place}")),
            Self::NotThere { mend, .. }
            | Self::Program { mend, .. }
            | Self::CannotStore { mend, .. }
            | Self::CannotRotate { mend, .. } => Some(mend.clone()),
            Self::Contrary { mend, .. } => Some((*mend).to_owned()),
            Self::Unreachable(failure) => failure.mend(),
            Self::BadEndpoint { name, .. } => Some(format!("correct {name}")),
            Self::Refused(verdict) => verdict.next.clone(),
            Self::NoSource { source_name, .. } => {
                Some(format!("store {source_name} first; `lanyard credentials list` shows what there is"))
            }
            Self::Damaged { name, .. } => Some(format!("store it again: `lanyard credentials update {name}`")),
            Self::Unsupported { .. } => Some("make a new one at the provider and store it with `--replace`".into()),
        }
    }
}
