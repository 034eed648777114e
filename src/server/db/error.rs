//! Why the database did not do it.

use crate::error::{Code, Failure};
use crate::os::files::FileError;
use crate::secret::Reason;

/// Why the database did not do it. No variant holds a value of a row.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DbError {
    /// The file or its folder cannot be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// A name that must be unique is taken.
    #[error("the name is taken")]
    Taken,
    /// Something that is there once came a second time: somebody else did the same at the same moment.
    #[error("the database has this already")]
    Twice(#[source] Reason),
    /// What is to go is referred to by something, or what is referred to has gone: somebody else was faster.
    #[error("something in the database refers to what is gone")]
    Linked(#[source] Reason),
    /// Somebody else wrote for too long.
    #[error("the database is being written by another process")]
    Busy,
    /// There is no room.
    #[error("there is no room on the disk for the database")]
    Full,
    /// It does not answer.
    #[error("the database does not answer")]
    Unreachable(#[source] Reason),
    /// Its address says what cannot be.
    #[error("the address of the database cannot be used")]
    Address(#[source] Reason),
    /// A text that it cannot keep.
    #[error("the database keeps no text with a zero byte in it")]
    Zero,
    /// A newer program wrote it.
    #[error("the database was written by a newer lanyard")]
    Newer,
    /// Another program's database.
    #[error("the database belongs to another program")]
    Strange,
    /// Its file is damaged.
    #[error("the database is damaged")]
    Damaged(#[source] Reason),
    /// A row is not of the form it should be.
    #[error("a row of the database is not of the form it should be")]
    Shape,
    /// Anything else that it said.
    #[error("the database refused")]
    Refused(#[source] Reason),
}

impl Failure for DbError {
    fn code(&self) -> Code {
        match self {
            Self::File(failure) => failure.code(),
            Self::Unreachable(_) => Code::Unreachable,
            Self::Address(_) | Self::Newer | Self::Strange => Code::Config,
            Self::Taken
            | Self::Twice(_)
            | Self::Linked(_)
            | Self::Busy
            | Self::Full
            | Self::Zero
            | Self::Shape
            | Self::Damaged(_)
            | Self::Refused(_) => Code::Failed,
        }
    }

    fn mend(&self) -> Option<String> {
        Some(match self {
            Self::File(failure) => return failure.mend(),
            Self::Taken => "choose another name".into(),
            Self::Twice(_) | Self::Linked(_) => "try again".into(),
            Self::Busy => "wait for the other process, then try again".into(),
            Self::Full => "free some disk space; what was stored before is still there".into(),
            Self::Zero => "leave the zero byte out".into(),
            Self::Unreachable(_) => "see that the database runs, and check `--database`".into(),
            Self::Address(_) => {
                "check `--database`; of TLS it says `sslmode=verify-full`, and `sslrootcert=FILE` for authorities of one's own"
                    .into()
            }
            Self::Newer => "install the newer lanyard".into(),
            Self::Strange => {
                "give the server a database of its own: `--database`, or `--data` for another folder".into()
            }
            Self::Damaged(_) => "move the file away and bring a backup back: `lanyard server restore`".into(),
            Self::Shape | Self::Refused(_) => "look at the database; a backup may be needed".into(),
        })
    }
}
