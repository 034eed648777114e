//! Rows: the embedded database, opened, brought up to date, and asked in plain SQL.
//!
//! The SQL and the migrations keep to what SQLite and PostgreSQL have in common, but for the few statements whose
//! functions say so.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

use crate::os::files::{self, Lock};

mod change;
mod copies;
mod credentials;
mod error;
mod hosts;
mod issued;
mod keys;

pub use change::{Amendment, Checked, Opened, Written};
pub use credentials::{CredentialRow, Page, SealedRows, SecretRow};
pub use error::RowError;
pub use hosts::ByHost;
pub use issued::IssuedRow;
pub use keys::{KeyRow, Rekeyed, VaultRow};

/// What brings the tables from each version to the next. One that was published is never changed.
const MIGRATIONS: &[&str] = &[
    include_str!("store/migrations/0001_vault.sql"),
    include_str!("store/migrations/0002_hosts.sql"),
    include_str!("store/migrations/0003_issued.sql"),
    include_str!("store/migrations/0004_scopes.sql"),
];
/// How long to wait for another process that writes.
const BUSY: Duration = Duration::from_secs(15);
/// How long to wait for another process that makes the vault or changes its keys, perhaps while a person is asked.
const LOCKED: Duration = Duration::from_mins(1);
/// Marks the file as ours: `LNYD`.
const APPLICATION: i32 = 0x4c4e_5944;
/// What SQLite puts beside the database while it is open.
const BESIDE: [&str; 3] = ["-wal", "-shm", "-journal"];

/// An open database.
pub struct Store {
    path: PathBuf,
    connection: Connection,
}

impl Store {
    /// Opens the database `path` and makes it where there is none; brings its tables up to date.
    ///
    /// The file is its owner's alone. WAL keeps readers and one writer out of each other's way; every commit is on the
    /// disk when it returns; what is deleted is overwritten.
    pub fn open(path: &Path) -> Result<Self, RowError> {
        Self::open_with(path, || Self::lock(path).map(Some))
    }

    /// The same for somebody who holds [`Store::lock`] already.
    pub fn open_locked(path: &Path, _: &Lock) -> Result<Self, RowError> {
        Self::open_with(path, || Ok(None))
    }

    /// Keeps others from making the vault or changing its keys at the same time. Reading and storing go on.
    pub fn lock(path: &Path) -> Result<Lock, RowError> {
        let waiting = |holder| tracing::debug!(?holder, "waiting for another process");
        Ok(Lock::acquire(&path.with_extension("lock"), LOCKED, &mut |holder| waiting(holder))?)
    }

    fn open_with(path: &Path, lock: impl FnOnce() -> Result<Option<Lock>, RowError>) -> Result<Self, RowError> {
        let folder = path.parent().unwrap_or(Path::new("."));
        files::create_private_dir(folder)?;
        files::ensure_private(path)?;
        for end in BESIDE {
            files::refuse_unsafe(&with_end(path, end))?;
        }
        // The database refuses every link on the way, so that nobody swaps the file now that it was looked at.
        let real = folder.canonicalize().map_or_else(|_| path.to_owned(), |real| real.join(name_of(path)));
        let connection = connect(&real).map_err(|cause| error::told(path, &cause))?;
        let store = Self { path: path.to_owned(), connection };
        if store.outdated()? > 0 || !store.has_log()? {
            // Two processes that change a fresh file to WAL would fail each other.
            let _lock = lock()?;
            store.migrate()?;
        }
        Ok(store)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How many migrations are to be made.
    fn outdated(&self) -> Result<usize, RowError> {
        let (application, present, tables): (i32, usize, u32) = self.with(|connection| {
            let number = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
            // All three come with one commit. The mark is read last, so that a file which another process is just making
            // never looks like somebody else's.
            let tables = connection.query_row("SELECT COUNT(*) FROM sqlite_master", [], |row| row.get(0))?;
            let present = usize::try_from(number("user_version")?).unwrap_or(usize::MAX);
            Ok((number("application_id")?, present, tables))
        })?;
        if application != APPLICATION && (tables > 0 || present > 0) {
            return Err(RowError::Strange { path: self.path.clone() });
        }
        MIGRATIONS.len().checked_sub(present).ok_or_else(|| RowError::Newer { path: self.path.clone() })
    }

    /// Whether it is in WAL mode; a copy that was put in its place by hand is not.
    fn has_log(&self) -> Result<bool, RowError> {
        let mode =
            self.with(|connection| connection.pragma_query_value(None, "journal_mode", |row| row.get::<_, String>(0)))?;
        Ok(mode == "wal")
    }

    /// Brings the tables up to date, unless another process was faster.
    fn migrate(&self) -> Result<(), RowError> {
        self.with(|connection| connection.execute_batch("PRAGMA journal_mode = WAL"))?;
        let outdated = self.outdated()?;
        if outdated == 0 {
            return Ok(());
        }
        self.atomically(|transaction| {
            for migration in MIGRATIONS.iter().skip(MIGRATIONS.len() - outdated) {
                transaction.execute_batch(migration)?;
            }
            transaction.pragma_update(None, "application_id", APPLICATION)?;
            transaction.pragma_update(None, "user_version", u32::try_from(MIGRATIONS.len()).unwrap_or(u32::MAX))
        })
    }

    /// Runs queries one after the other.
    fn with<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, RowError> {
        work(&self.connection).map_err(|cause| error::told(&self.path, &cause))
    }

    /// Runs queries as one: all of them count, or none.
    fn atomically<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, RowError> {
        self.atomically_if(|transaction| work(transaction).map(|done| (done, true)))
    }

    /// Runs queries as one; where the work says `false` beside its result, none of them counts.
    fn atomically_if<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<(T, bool)>) -> Result<T, RowError> {
        self.with(|connection| {
            // Taken at once, so that two writers wait for each other instead of failing half-way. Dropped without a
            // commit, it is rolled back.
            let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
            let (done, counts) = work(&transaction)?;
            if counts {
                transaction.commit()?;
            }
            Ok(done)
        })
    }

    /// Overwrites what recent writes left in the log, keys above all, where nobody else is reading.
    fn empty_log(&self) {
        // Where somebody reads for longer, whoever closes the database last does it.
        let _ = self.with(|connection| {
            connection.busy_timeout(Duration::from_secs(1))?;
            connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")
        });
        let _ = self.with(|connection| connection.busy_timeout(BUSY));
    }
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX
            | OpenFlags::SQLITE_OPEN_EXRESCODE
            | OpenFlags::SQLITE_OPEN_NOFOLLOW,
    )?;
    connection.busy_timeout(BUSY)?;
    connection.execute_batch(
        "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA secure_delete = ON; PRAGMA trusted_schema = OFF; \
         PRAGMA temp_store = MEMORY;",
    )?;
    Ok(connection)
}

fn name_of(path: &Path) -> &std::ffi::OsStr {
    path.file_name().unwrap_or_default()
}

/// The path with more letters at its end.
fn with_end(path: &Path, end: &str) -> PathBuf {
    let mut name = name_of(path).to_owned();
    name.push(end);
    path.with_file_name(name)
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())
    }
}

#[cfg(test)]
mod tests;
