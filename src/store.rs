//! Rows: the embedded database, opened, brought up to date, and asked in plain SQL.
//!
//! The database library is asynchronous; this module has a small runtime of its own, so that everybody above sees plain
//! functions. The SQL and the migrations keep to what SQLite and PostgreSQL have in common, but for the few statements
//! whose functions say so.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use sqlx::any::AnyRow;
use sqlx::migrate::Migrator;
use sqlx::{AnyConnection, AssertSqlSafe, ConnectOptions, Connection};

use crate::error::{Code, Failure};
use crate::os::files::{self, FileError};
use crate::secret::Reason;

mod credentials;
mod keys;

pub use credentials::{CredentialRow, Page, SealedRows, SecretRow};
pub use keys::{KeyRow, VaultRow};

static MIGRATIONS: Migrator = sqlx::migrate!("src/store/migrations");
/// How long to wait for another process that writes, in milliseconds.
const BUSY: u32 = 15_000;

/// An open database.
pub struct Store {
    path: PathBuf,
    open: Mutex<Open>,
}

struct Open {
    runtime: tokio::runtime::Runtime,
    connection: AnyConnection,
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
        sqlx::any::install_default_drivers();
        let refused =
            |cause: &dyn std::error::Error| RowError::Refused { path: path.to_owned(), cause: Reason::of(cause) };
        let runtime = tokio::runtime::Builder::new_current_thread().build().map_err(|cause| refused(&cause))?;
        let url = url_of(path);
        let options: sqlx::any::AnyConnectOptions = url.parse().map_err(|cause: sqlx::Error| refused(&cause))?;
        let options = options.disable_statement_logging();
        let connection = runtime.block_on(async {
            let mut connection = options.connect().await?;
            let settings = format!(
                "PRAGMA busy_timeout = {BUSY}; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
                 PRAGMA foreign_keys = ON; PRAGMA secure_delete = ON; PRAGMA trusted_schema = OFF;"
            );
            sqlx::raw_sql(AssertSqlSafe(settings)).execute(&mut connection).await?;
            Ok::<_, sqlx::Error>(connection)
        });
        let connection = connection.map_err(|cause| told(path, &cause))?;
        let store = Self { path: path.to_owned(), open: Mutex::new(Open { runtime, connection }) };
        store.migrate()?;
        Ok(store)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn migrate(&self) -> Result<(), RowError> {
        let newest = MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or_default();
        let present = self.with(async |connection| {
            let row = sqlx::query("SELECT MAX(version) FROM _sqlx_migrations").fetch_one(connection).await;
            // Before the first migration there is no such table.
            Ok(row.ok().and_then(|row| column::<Option<i64>>(&row, 0).ok().flatten()))
        })?;
        match present {
            Some(present) if present == newest => Ok(()),
            Some(present) if present > newest => Err(RowError::Newer { path: self.path.clone() }),
            _ => {
                let mut open = self.lock();
                let Open { runtime, connection } = &mut *open;
                runtime
                    .block_on(MIGRATIONS.run_direct(None, connection, false))
                    .map_err(|cause| RowError::Refused { path: self.path.clone(), cause: Reason::of(&cause) })
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        // A panic elsewhere cannot leave the connection half used: a transaction that is dropped is rolled back.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs queries one after the other.
    fn with<T>(&self, work: impl AsyncFnOnce(&mut AnyConnection) -> Result<T, sqlx::Error>) -> Result<T, RowError> {
        let mut open = self.lock();
        let Open { runtime, connection } = &mut *open;
        runtime.block_on(work(connection)).map_err(|cause| told(&self.path, &cause))
    }

    /// Runs queries as one: all of them count, or none.
    fn atomically<T>(
        &self,
        work: impl AsyncFnOnce(&mut AnyConnection) -> Result<T, sqlx::Error>,
    ) -> Result<T, RowError> {
        let mut open = self.lock();
        let Open { runtime, connection } = &mut *open;
        let done = runtime.block_on(async {
            // Taken at once, so that two writers wait for each other instead of failing half-way.
            let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
            let done = work(&mut transaction).await?;
            transaction.commit().await?;
            Ok(done)
        });
        done.map_err(|cause| told(&self.path, &cause))
    }

    /// Writes a consistent copy of the whole database to a new or empty file of its owner alone. SQLite only.
    pub fn copy_to(&self, path: &Path) -> Result<(), RowError> {
        files::ensure_private(path)?;
        let target = path.display().to_string();
        self.with(async |connection| sqlx::query("VACUUM INTO $1").bind(target).execute(connection).await)?;
        Ok(files::make_private(path)?)
    }

    /// Replaces every row by those of another database of the same form, all at once. SQLite only.
    pub fn replace_by(&self, other: &Path) -> Result<(), RowError> {
        let other = other.display().to_string();
        self.with(async |connection| sqlx::query("ATTACH DATABASE $1 AS other").bind(other).execute(connection).await)?;
        let replaced = self.atomically(async |connection| {
            for table in ["vaults", "vault_keys", "credentials", "data_keys", "secrets"] {
                sqlx::raw_sql(AssertSqlSafe(format!("DELETE FROM main.{table}"))).execute(&mut *connection).await?;
            }
            for table in ["vaults", "vault_keys", "credentials", "data_keys", "secrets"] {
                let copy = format!("INSERT INTO main.{table} SELECT * FROM other.{table}");
                sqlx::raw_sql(AssertSqlSafe(copy)).execute(&mut *connection).await?;
            }
            Ok(())
        });
        self.with(async |connection| sqlx::raw_sql("DETACH DATABASE other").execute(connection).await)?;
        replaced
    }

    /// Reads every page and index; an error where one is damaged. SQLite only.
    pub fn check_whole(&self) -> Result<(), RowError> {
        let said = self.with(async |connection| {
            let row = sqlx::query("PRAGMA integrity_check").fetch_one(connection).await?;
            column::<String>(&row, 0)
        })?;
        if said == "ok" {
            return Ok(());
        }
        Err(RowError::Damaged { path: self.path.clone(), cause: Reason("a page does not check out".into()) })
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())
    }
}

/// `sqlite:` and the path, with what would end it percent-encoded.
fn url_of(path: &Path) -> String {
    let mut url = String::from("sqlite://");
    for byte in path.as_os_str().as_encoded_bytes() {
        if byte.is_ascii_alphanumeric() || b"/-_.~".contains(byte) {
            url.push(char::from(*byte));
        } else {
            use std::fmt::Write as _;
            // Writing into a String cannot fail.
            let _ = write!(url, "%{byte:02X}");
        }
    }
    url + "?mode=rw"
}

/// A column's value.
fn column<'r, T: sqlx::Decode<'r, sqlx::Any> + sqlx::Type<sqlx::Any>>(
    row: &'r AnyRow,
    index: usize,
) -> Result<T, sqlx::Error> {
    sqlx::Row::try_get(row, index)
}

/// What the database said, sorted by what mends it.
fn told(path: &Path, cause: &sqlx::Error) -> RowError {
    let path = path.to_owned();
    let Some(database) = cause.as_database_error() else {
        return RowError::Refused { path, cause: Reason::of(cause) };
    };
    if database.is_unique_violation() {
        return RowError::Taken;
    }
    let said = Reason(crate::text::clean(database.message()));
    // The low byte is SQLite's primary result code.
    let code = database.code().and_then(|code| code.parse::<u32>().ok()).unwrap_or_default() & 0xff;
    match code {
        5 | 6 => RowError::Busy { path },
        13 => RowError::Full { path },
        11 | 26 => RowError::Damaged { path, cause: said },
        _ => RowError::Refused { path, cause: said },
    }
}

#[cfg(test)]
mod tests;
