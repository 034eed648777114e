//! Why the keeper of secrets did not do it.

use crate::error::{Code, Failure};
use crate::http::Unreachable;
use crate::os::files::FileError;

/// Why the keeper of secrets did not do it. No variant holds a secret or what it said.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeeperError {
    /// No answer came.
    #[error(transparent)]
    Unreachable(#[from] Unreachable),
    /// It did not answer those who asked before, who still wait.
    #[error("the keeper of secrets does not answer")]
    Busy,
    /// It is sealed, or a standby with nobody to ask.
    #[error("the keeper of secrets is sealed")]
    Sealed,
    /// It lets nobody in with what was given.
    #[error("the keeper of secrets does not know this {what}")]
    NotLetIn {
        /// What was shown to it.
        what: &'static str,
    },
    /// What lets one in cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// What lets one in is not there.
    #[error("there is nothing in {file}")]
    Empty {
        /// The file.
        file: String,
    },
    /// The policy does not allow it, or the token has ended.
    #[error("the keeper of secrets does not permit it")]
    Forbidden,
    /// It said no in another way.
    #[error("the keeper of secrets refused (status {status})")]
    Refused {
        /// The status of its answer.
        status: u16,
    },
    /// Its answer is not of the form it should be.
    #[error("the answer of the keeper of secrets is not of the form it should be: {0}")]
    Strange(&'static str),
    /// The secrets are too many for it.
    #[error("the secrets are larger than the keeper of secrets takes")]
    TooLarge,
    /// A place in it is named in a way that no place is.
    #[error("a place in the keeper of secrets has a name that none has")]
    Address,
    /// What was laid down for a credential was cleared away before it counted.
    #[error("the keeper of secrets took too long")]
    Late,
    /// What was fetched from it was replaced again and again meanwhile.
    #[error("the secrets were replaced before they could be fetched from their keeper, time and again")]
    Restless,
    /// Nothing of what should be there is.
    #[error("of {count} that should have secrets in the keeper, none has any there")]
    Bare {
        /// So many should be there.
        count: usize,
    },
    /// There is none, and something rests in one.
    #[error("the secrets rest in a keeper of secrets, and its address is not given")]
    None,
}

impl KeeperError {
    /// Whether it is the keeper that is not there, and not this question that it does not like.
    pub(crate) fn is_down(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::Busy | Self::Sealed)
    }
}

impl Failure for KeeperError {
    fn code(&self) -> Code {
        match self {
            Self::Unreachable(failure) => failure.code(),
            Self::Busy | Self::Late | Self::Restless => Code::Unreachable,
            Self::File(failure) => failure.code(),
            Self::Empty { .. } | Self::Address | Self::None => Code::Config,
            Self::Sealed
            | Self::NotLetIn { .. }
            | Self::Forbidden
            | Self::Refused { .. }
            | Self::Strange(_)
            | Self::Bare { .. } => Code::Store,
            Self::TooLarge => Code::Usage,
        }
    }

    fn mend(&self) -> Option<String> {
        Some(match self {
            Self::Unreachable(failure) => {
                let own = failure.mend().unwrap_or_default();
                format!("check `--vault-address` and `--vault-ca-file`; {own}")
            }
            Self::Busy | Self::Late | Self::Restless => "try again".into(),
            Self::Sealed => "unseal it: `bao operator unseal` or `vault operator unseal`".into(),
            Self::NotLetIn { .. } => "make a new one and put it into its file; it is read again at once".into(),
            Self::File(failure) => return failure.mend(),
            Self::Empty { .. } => "put it there, readable by the server's user alone".into(),
            Self::Forbidden => "see that the token lives and that its policy covers the mount and the key".into(),
            Self::Refused { .. } => "look at its log; the mount must be KV version 2".into(),
            Self::Strange(_) => "check `--vault-address` and `--vault-mount`; the mount must be KV version 2".into(),
            Self::Bare { .. } => {
                "check `--vault-address`, `--vault-mount` and `--vault-namespace`; where they are right, bring a backup \
                 of before back"
                    .into()
            }
            Self::TooLarge => "store less at once, or keep secrets in the database".into(),
            Self::Address => "somebody wrote to the database past the server; bring a backup back".into(),
            Self::None => {
                "give `--vault-address` and what lets the server in, or move them first: `lanyard server move-secrets`"
                    .into()
            }
        })
    }
}
