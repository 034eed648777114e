//! Rows: the embedded database, opened, brought up to date, and asked in plain SQL.
//!
//! The SQL and the migrations keep to what SQLite and PostgreSQL have in common, but for the few statements whose
//! functions say so.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction, TransactionBehavior};

use crate::error::{Code, Failure};
use crate::os::files::{self, FileError};
use crate::secret::Reason;

mod credentials;
mod keys;

pub use credentials::{CredentialRow, Page, SealedRows, SecretRow};
pub use keys::{KeyRow, VaultRow};

/// What brings the tables from each version to the next. One that was published is never changed.
const MIGRATIONS: &[&str] = &[include_str!("store/migrations/0001_vault.sql")];
/// How long to wait for another process that writes.
const BUSY: Duration = Duration::from_secs(15);
/// The tables, those that others refer to first.
const TABLES: [&str; 5] = ["vaults", "vault_keys", "credentials", "data_keys", "secrets"];

/// An open database.
pub struct Store {
    path: PathBuf,
    connection: Connection,
}

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
    /// The file is no database, or a damaged one.
    #[error("{} is damaged", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What the database said.
        #[source]
        cause: Reason,
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
            _ => Code::Failed,
        }
    }

    fn mend(&self) -> Option<String> {
        Some(match self {
            Self::File(failure) => return failure.mend(),
            Self::Busy { .. } => "wait for the other process, then try again".into(),
            Self::Full { .. } => "free some disk space, then try again; nothing was lost".into(),
            Self::Damaged { path, .. } => {
                format!("move {} away, then bring a backup back: `lanyard vault restore FILE`", path.display())
            }
            Self::Newer { .. } => "install the newer lanyard, or point LANYARD_DATA_DIR elsewhere".into(),
            Self::Taken => "choose another name".into(),
            Self::Refused { path, .. } => format!("check the disk and {}", path.display()),
        })
    }
}

impl Store {
    /// Opens the database `path` and makes it where there is none; brings its tables up to date.
    ///
    /// The file is its owner's alone. WAL keeps readers and one writer out of each other's way; every commit is on the
    /// disk when it returns; what is deleted is overwritten.
    pub fn open(path: &Path) -> Result<Self, RowError> {
        if let Some(folder) = path.parent() {
            files::create_private_dir(folder)?;
        }
        files::ensure_private(path)?;
        let open = || {
            let connection = Connection::open_with_flags(
                path,
                OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_EXRESCODE,
            )?;
            connection.busy_timeout(BUSY)?;
            connection.execute_batch(
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; \
                 PRAGMA secure_delete = ON; PRAGMA trusted_schema = OFF;",
            )?;
            Ok(connection)
        };
        let connection = open().map_err(|cause| told(path, &cause))?;
        let store = Self { path: path.to_owned(), connection };
        store.migrate()?;
        Ok(store)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn migrate(&self) -> Result<(), RowError> {
        let newest = u32::try_from(MIGRATIONS.len()).unwrap_or(u32::MAX);
        match self.with(version)? {
            present if present == newest => return Ok(()),
            present if present > newest => return Err(RowError::Newer { path: self.path.clone() }),
            _ => {}
        }
        self.atomically(|transaction| {
            // Another process may have been faster.
            let present = version(transaction)?;
            for migration in MIGRATIONS.iter().skip(present as usize) {
                transaction.execute_batch(migration)?;
            }
            if present < newest {
                transaction.pragma_update(None, "user_version", newest)?;
            }
            Ok(())
        })
    }

    /// Runs queries one after the other.
    fn with<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, RowError> {
        work(&self.connection).map_err(|cause| told(&self.path, &cause))
    }

    /// Runs queries as one: all of them count, or none.
    fn atomically<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, RowError> {
        self.with(|connection| {
            // Taken at once, so that two writers wait for each other instead of failing half-way. Dropped without a
            // commit, it is rolled back.
            let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
            let done = work(&transaction)?;
            transaction.commit()?;
            Ok(done)
        })
    }

    /// Writes a consistent copy of the whole database to a new or empty file of its owner alone. SQLite only.
    pub fn copy_to(&self, path: &Path) -> Result<(), RowError> {
        files::ensure_private(path)?;
        self.with(|connection| connection.execute("VACUUM INTO ?1", [path.to_string_lossy()]))?;
        Ok(files::make_private(path)?)
    }

    /// Replaces every row by those of another database of the same form, all at once. SQLite only.
    pub fn replace_by(&self, other: &Path) -> Result<(), RowError> {
        self.with(|connection| connection.execute("ATTACH DATABASE ?1 AS other", [other.to_string_lossy()]))?;
        let replaced = self.atomically(|transaction| {
            for table in TABLES {
                transaction.execute_batch(&format!("DELETE FROM main.{table}"))?;
            }
            for table in TABLES {
                transaction.execute_batch(&format!("INSERT INTO main.{table} SELECT * FROM other.{table}"))?;
            }
            Ok(())
        });
        self.with(|connection| connection.execute_batch("DETACH DATABASE other"))?;
        replaced
    }

    /// Reads every page and index; an error where one is damaged. SQLite only.
    pub fn check_whole(&self) -> Result<(), RowError> {
        let said: String =
            self.with(|connection| connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)))?;
        if said == "ok" {
            return Ok(());
        }
        Err(RowError::Damaged { path: self.path.clone(), cause: Reason("a page does not check out".into()) })
    }
}

/// How many migrations the tables have seen.
fn version(connection: &Connection) -> rusqlite::Result<u32> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())
    }
}

/// What the database said, sorted by what mends it.
fn told(path: &Path, cause: &rusqlite::Error) -> RowError {
    let path = path.to_owned();
    let rusqlite::Error::SqliteFailure(code, message) = cause else {
        // What a row holds is none of the reader's business; the kind of the trouble is.
        return RowError::Refused { path, cause: Reason("a row is not of the form it should be".into()) };
    };
    let said = Reason(crate::text::clean(message.as_deref().unwrap_or("no reason was given")));
    match code.code {
        ErrorCode::ConstraintViolation if code.extended_code == rusqlite::ffi::SQLITE_CONSTRAINT_UNIQUE => {
            RowError::Taken
        }
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => RowError::Busy { path },
        ErrorCode::DiskFull => RowError::Full { path },
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => RowError::Damaged { path, cause: said },
        _ => RowError::Refused { path, cause: said },
    }
}

#[cfg(test)]
mod tests;
