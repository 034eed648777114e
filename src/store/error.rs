//! Why rows could not be read or written.

use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

use crate::error::{Code, Failure};
use crate::os::files::FileError;
use crate::secret::Reason;
use crate::text::clean;

/// Why rows could not be read or written. No variant holds a value of a row.
#[derive(Debug, thiserror::Error)]
pub enum RowError {
    /// The file or its folder cannot be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// Another process was writing for too long.
    #[error("{} is being written by another process", .path.display())]
    Busy {
        /// The file.
        path: PathBuf,
    },
    /// The disk is full.
    #[error("there is no room on the disk for {}", .path.display())]
    Full {
        /// The file.
        path: PathBuf,
    },
    /// The system did not read or write.
    #[error("{} cannot be read or written", .path.display())]
    Disk {
        /// The file.
        path: PathBuf,
        /// What the database said.
        #[source]
        cause: Reason,
    },
    /// The file or its folder cannot be written.
    #[error("{} cannot be opened for writing", .path.display())]
    ReadOnly {
        /// The file.
        path: PathBuf,
        /// What the database said.
        #[source]
        cause: Reason,
    },
    /// The file is no database, or a damaged one.
    #[error("{} is damaged", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What the database said.
        #[source]
        cause: Reason,
    },
    /// Another program's database.
    #[error("{} is no vault: another program made it", .path.display())]
    Strange {
        /// The file.
        path: PathBuf,
    },
    /// A newer program wrote it.
    #[error("{} was written by a newer lanyard", .path.display())]
    Newer {
        /// The file.
        path: PathBuf,
    },
    /// A name that must be unique is taken.
    #[error("the name is taken")]
    Taken,
    /// Anything else that the database said.
    #[error("the database {} refused", .path.display())]
    Refused {
        /// The file.
        path: PathBuf,
        /// What it said.
        #[source]
        cause: Reason,
    },
}

impl Failure for RowError {
    fn code(&self) -> Code {
        match self {
            Self::File(failure) => failure.code(),
            Self::Taken => Code::Usage,
            Self::ReadOnly { .. } => Code::Config,
            _ => Code::Failed,
        }
    }

    fn mend(&self) -> Option<String> {
        Some(match self {
            Self::File(failure) => return failure.mend(),
            Self::Busy { .. } => "wait for the other process, then try again".into(),
            Self::Full { .. } => "free some disk space, then try again; what was stored before is still there".into(),
            Self::Disk { .. } => {
                "see that the disk has room and is in order, then try again; what was stored before is still there"
                    .into()
            }
            Self::ReadOnly { path, .. } => {
                let folder = path.parent().unwrap_or(path).display();
                format!(
                    "see that you may write in {folder} and that there is room, or point LANYARD_DATA_DIR elsewhere"
                )
            }
            Self::Damaged { path, .. } => {
                format!("move {} away, then bring a backup back: `lanyard vault restore FILE`", path.display())
            }
            Self::Strange { path } => format!("move {} away, or point LANYARD_DATA_DIR elsewhere", path.display()),
            Self::Newer { .. } => "install the newer lanyard, or point LANYARD_DATA_DIR elsewhere".into(),
            Self::Taken => "choose another name".into(),
            Self::Refused { path, .. } => format!("look at {}", path.display()),
        })
    }
}

/// What the database said, sorted by what mends it.
pub(super) fn told(path: &Path, cause: &rusqlite::Error) -> RowError {
    let path = path.to_owned();
    let rusqlite::Error::SqliteFailure(code, message) = cause else {
        // What a row holds is none of the reader's business; the kind of the trouble is.
        return RowError::Damaged { path, cause: Reason("a row is not of the form it should be".into()) };
    };
    let said = Reason(clean(message.as_deref().unwrap_or("no reason was given")));
    match code.code {
        ErrorCode::ConstraintViolation if code.extended_code == rusqlite::ffi::SQLITE_CONSTRAINT_UNIQUE => {
            RowError::Taken
        }
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => RowError::Busy { path },
        ErrorCode::DiskFull => RowError::Full { path },
        // The index of the log could not be made larger: on a full disk, that is what fails first.
        _ if code.extended_code == rusqlite::ffi::SQLITE_IOERR_SHMSIZE => RowError::Full { path },
        ErrorCode::SystemIoFailure => RowError::Disk { path, cause: said },
        ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied => {
            RowError::ReadOnly { path, cause: said }
        }
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => RowError::Damaged { path, cause: said },
        _ => RowError::Refused { path, cause: said },
    }
}
