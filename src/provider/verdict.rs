//! What a provider said when it was asked about a credential.

use chrono::{DateTime, Utc};

use crate::credential::Check;
use crate::http::{Response, header, reason_phrase};
use crate::text::clean;

/// What asking came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The provider accepted it.
    Valid,
    /// The provider knows it and does not let it do what was asked: it is alive.
    Insufficient,
    /// The provider refused it.
    Invalid,
    /// Its time is over.
    Expired,
    /// The provider asks to come back later.
    RateLimited,
    /// The provider did not answer, or answered that it is in trouble.
    Unreachable,
    /// The connection could not be made safe.
    Tls,
    /// The answer was none that the provider documents.
    Unexpected,
    /// Nobody can be asked about such a credential.
    CannotBeAsked,
}

impl Outcome {
    /// Every outcome.
    pub const ALL: [Self; 9] = [
        Self::Valid,
        Self::Insufficient,
        Self::Invalid,
        Self::Expired,
        Self::RateLimited,
        Self::Unreachable,
        Self::Tls,
        Self::Unexpected,
        Self::CannotBeAsked,
    ];

    /// The word in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Insufficient => "insufficient",
            Self::Invalid => "invalid",
            Self::Expired => "expired",
            Self::RateLimited => "rate_limited",
            Self::Unreachable => "unreachable",
            Self::Tls => "tls",
            Self::Unexpected => "unexpected",
            Self::CannotBeAsked => "cannot_be_asked",
        }
    }

    /// Whether the credential works, or nobody says that it does not.
    pub fn passes(self) -> bool {
        matches!(self, Self::Valid | Self::Insufficient | Self::CannotBeAsked)
    }

    /// Whether the provider said for certain that it does not work.
    pub fn is_refusal(self) -> bool {
        matches!(self, Self::Invalid | Self::Expired)
    }

    /// What the vault remembers; `None` where the answer says nothing about the credential.
    pub fn check(self) -> Option<Check> {
        match self {
            Self::Valid => Some(Check::Valid),
            Self::Insufficient => Some(Check::Insufficient),
            Self::Invalid => Some(Check::Invalid),
            Self::Expired => Some(Check::Expired),
            Self::RateLimited | Self::Unreachable | Self::Tls | Self::Unexpected | Self::CannotBeAsked => None,
        }
    }
}

/// What a provider said. Every text in it is cleaned and holds no secret.
#[derive(Debug, Clone)]
pub struct Verdict {
    /// What asking came to.
    pub outcome: Outcome,
    /// Who it is, as a person says it: `Account 123456789012`.
    pub identity: Option<String>,
    /// The provider's own word for a refusal: `InvalidClientTokenId`.
    pub error: Option<String>,
    /// Why, in a sentence without a full stop.
    pub reason: Option<String>,
    /// What to do about it, without a full stop.
    pub next: Option<String>,
    /// When it expires, where the provider said.
    pub expires: Option<DateTime<Utc>>,
    /// What it may do, where the provider said.
    pub scopes: Vec<String>,
}

impl Verdict {
    fn new(outcome: Outcome) -> Self {
        Self { outcome, identity: None, error: None, reason: None, next: None, expires: None, scopes: Vec::new() }
    }

    /// It is good, and this is who it is: `Account 123456789012`.
    pub fn valid(identity: impl AsRef<str>) -> Self {
        Self { identity: Some(clean(identity.as_ref())), ..Self::new(Outcome::Valid) }
    }

    /// It is good, and nobody says who it is.
    pub fn valid_unnamed() -> Self {
        Self::new(Outcome::Valid)
    }

    /// Nobody can be asked.
    pub fn cannot_be_asked() -> Self {
        Self { reason: Some("nobody can be asked whether it works".into()), ..Self::new(Outcome::CannotBeAsked) }
    }

    /// Any outcome but a good one, with why and what to do.
    pub fn failed(outcome: Outcome, reason: impl AsRef<str>, next: impl Into<String>) -> Self {
        Self { reason: Some(clean(reason.as_ref())), next: Some(next.into()), ..Self::new(outcome) }
    }

    /// The provider refused it.
    pub fn invalid(reason: impl AsRef<str>, next: impl Into<String>) -> Self {
        Self::failed(Outcome::Invalid, reason, next)
    }

    /// Its time is over.
    pub fn expired(reason: impl AsRef<str>, next: impl Into<String>) -> Self {
        Self::failed(Outcome::Expired, reason, next)
    }

    /// It is alive and may not do what was asked.
    pub fn insufficient(reason: impl AsRef<str>, next: impl Into<String>) -> Self {
        Self::failed(Outcome::Insufficient, reason, next)
    }

    /// The answer was none that the provider documents.
    pub fn unexpected(title: &str, status: u16) -> Self {
        Self::failed(
            Outcome::Unexpected,
            format!("{title} answered {} in a way that lanyard does not know", told(status)),
            "try again; if it stays so, check the endpoint and any proxy on the way",
        )
    }

    /// What the status alone tells: 2xx valid, 401 invalid, 403 insufficient, 429 rate-limited, 5xx unreachable.
    pub fn of_status(answer: &Response, title: &str) -> Self {
        match answer.status {
            200..300 => Self::valid_unnamed(),
            401 => Self::invalid(
                format!("{title} does not accept it ({})", told(401)),
                "store a new one; `lanyard credentials store --help` names the ways",
            ),
            403 => Self::insufficient(
                format!("{title} accepts it and does not let it read this ({})", told(403)),
                "grant it the permission to read, if you want its account shown",
            ),
            429 => {
                let after = answer.header(&header::RETRY_AFTER).and_then(|after| after.trim().parse::<u32>().ok());
                let next = after.map_or_else(
                    || "wait some minutes, then test again".to_owned(),
                    |seconds| format!("wait {seconds} s, then test again"),
                );
                Self::failed(Outcome::RateLimited, format!("{title} was asked too often ({})", told(429)), next)
            }
            status @ 500.. => Self::failed(
                Outcome::Unreachable,
                format!("{title} is in trouble ({})", told(status)),
                "try again later; the credential may well be good",
            ),
            status => Self::unexpected(title, status),
        }
    }

    /// Adds the provider's own word for what happened, where it is one: a server in trouble may put there what it was
    /// sent.
    #[must_use]
    pub fn code(mut self, error: impl AsRef<str>) -> Self {
        self.error = Some(clean(error.as_ref())).filter(|error| is_word(error));
        self
    }

    /// Adds when it expires, where that is known and the verdict does not say so yet.
    #[must_use]
    pub fn expiring(mut self, at: Option<DateTime<Utc>>) -> Self {
        self.expires = self.expires.or(at);
        self
    }

    /// Adds what it may do.
    #[must_use]
    pub fn with_scopes(mut self, scopes: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        self.scopes = scopes.into_iter().map(|scope| clean(scope.as_ref())).filter(|scope| !scope.is_empty()).collect();
        self
    }
}

/// The longest word of a provider's own that is shown.
const LONGEST_WORD: usize = 48;

/// Whether a text is a word such as `InvalidClientTokenId`, `invalid_grant` or `1000`. Where letters and digits stand
/// mixed, it may be a secret.
fn is_word(text: &str) -> bool {
    let is_mixed = |part: &str| {
        part.len() > 4
            && part.bytes().any(|byte| byte.is_ascii_digit())
            && part.bytes().any(|byte| byte.is_ascii_alphabetic())
    };
    !text.is_empty()
        && text.len() <= LONGEST_WORD
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b" _.-:".contains(&byte))
        && !text.split([' ', '_', '.', '-', ':']).any(is_mixed)
}

/// A status with its usual words: `401 Unauthorized`.
fn told(status: u16) -> String {
    format!("{status} {}", reason_phrase(status)).trim_end().to_owned()
}
