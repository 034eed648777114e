//! SQLite: one writer, several readers, in a file of its owner's alone.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ErrorCode, OpenFlags, ToSql, Transaction, TransactionBehavior, params_from_iter};

use super::pool::Pool;
use super::value::{Cell, Row, Value};
use super::{Closed, DbError, Reach, Rows, Table, migrate};
use crate::os::files;
use crate::secret::Reason;
use crate::text::clean;

/// How long to wait for another process that writes.
const BUSY: Duration = Duration::from_secs(15);
/// So many connections that read.
const MOST: usize = 16;
/// So many statements are kept ready on each.
const READY: usize = 256;
/// Marks the file as the server's: `LNYS`.
const APPLICATION: i32 = 0x4c4e_5953;

/// A database in a file.
pub(super) struct Sqlite {
    path: PathBuf,
    /// Nothing is written.
    looks: bool,
    writer: Mutex<Connection>,
    readers: Pool<Connection>,
}

impl Sqlite {
    /// Opens the file and makes it where there is none.
    ///
    /// WAL keeps readers and the writer out of each other's way; every commit is on the disk when it returns; what is
    /// deleted is overwritten.
    pub(super) fn open(path: &Path) -> Result<Self, DbError> {
        let folder = path.parent().unwrap_or(Path::new("."));
        files::create_private_dir(folder)?;
        files::ensure_private(path)?;
        let made = Self::connected(path, false)?;
        mark(&made.writer.lock().unwrap_or_else(PoisonError::into_inner))?;
        Ok(made)
    }

    /// Opens a file that is there, and writes nothing to it.
    pub(super) fn look(path: &Path) -> Result<Self, DbError> {
        files::refuse_unsafe(path)?;
        Self::connected(path, true)
    }

    fn connected(path: &Path, looks: bool) -> Result<Self, DbError> {
        let folder = path.parent().unwrap_or(Path::new("."));
        for end in ["-wal", "-shm", "-journal"] {
            let mut name = path.file_name().unwrap_or_default().to_owned();
            name.push(end);
            files::refuse_unsafe(&path.with_file_name(name))?;
        }
        // The database refuses every link on the way, so that nobody swaps the file now that it was looked at.
        let real = folder
            .canonicalize()
            .map_or_else(|_| path.to_owned(), |real| real.join(path.file_name().unwrap_or_default()));
        let writer = connect(&real, looks).map_err(|cause| told(&cause))?;
        refuse_strange(&writer)?;
        Ok(Self { path: real, looks, writer: Mutex::new(writer), readers: Pool::new(MOST) })
    }

    pub(super) fn write<T, E: From<DbError>>(&self, work: impl FnOnce(&mut dyn Rows) -> Result<T, E>) -> Result<T, E> {
        // Whoever broke off in here has left no transaction open.
        let mut connection = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let transaction =
            connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(|cause| told(&cause))?;
        let done = work(&mut Within(&transaction))?;
        transaction.commit().map_err(|cause| told(&cause))?;
        Ok(done)
    }

    /// Looks through the file for damage. What is wrong with it is told by its first words.
    pub(super) fn look_over(&self) -> Result<(), DbError> {
        let connection = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let found: String =
            connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(|cause| told(&cause))?;
        if found == "ok" { Ok(()) } else { Err(DbError::Damaged(Reason(clean(&found)))) }
    }

    /// Moves the log into the file and empties it.
    pub(super) fn empty_log(&self) {
        let connection = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(cause) = connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)") {
            tracing::debug!(%cause, "the log is not empty");
        }
    }

    pub(super) fn read<T, E: From<DbError>>(&self, work: impl FnOnce(&mut dyn Rows) -> Result<T, E>) -> Result<T, E> {
        let (mut place, idle) = self.readers.place()?;
        let mut connection = match idle {
            Some(connection) => connection,
            None => connect(&self.path, self.looks).map_err(|cause| told(&cause))?,
        };
        let done = connection
            .transaction()
            .map_err(|cause| E::from(told(&cause)))
            .and_then(|transaction| work(&mut Within(&transaction)));
        place.back = Some(connection);
        done
    }
}

fn connect(path: &Path, looks: bool) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX
            | OpenFlags::SQLITE_OPEN_EXRESCODE
            | OpenFlags::SQLITE_OPEN_NOFOLLOW,
    )?;
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(READY);
    connection.execute_batch(
        "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA secure_delete = ON; PRAGMA trusted_schema = OFF; \
         PRAGMA temp_store = MEMORY;",
    )?;
    if looks {
        connection.execute_batch("PRAGMA query_only = ON")?;
    }
    Ok(connection)
}

/// Refuses a file of another program.
fn refuse_strange(connection: &Connection) -> Result<(), DbError> {
    let look = || -> rusqlite::Result<(i32, u32)> {
        let tables = connection.query_row("SELECT COUNT(*) FROM sqlite_master", [], |row| row.get(0))?;
        Ok((connection.pragma_query_value(None, "application_id", |row| row.get(0))?, tables))
    };
    let (application, tables) = look().map_err(|cause| told(&cause))?;
    if application != APPLICATION && tables > 0 { Err(DbError::Strange) } else { Ok(()) }
}

/// Marks a file as the server's.
fn mark(connection: &Connection) -> Result<(), DbError> {
    let mark = || {
        connection.execute_batch("PRAGMA journal_mode = WAL")?;
        connection.pragma_update(None, "application_id", APPLICATION)
    };
    mark().map_err(|cause| told(&cause))
}

/// A transaction that is open.
struct Within<'t>(&'t Transaction<'t>);

impl Rows for Within<'_> {
    fn query(&mut self, sql: &str, values: &[Value<'_>]) -> Result<Vec<Row>, DbError> {
        let ask = || -> rusqlite::Result<Vec<Row>> {
            let mut statement = self.0.prepare_cached(&numbered(sql))?;
            let columns = statement.column_count();
            let mut found = statement.query(params_from_iter(values))?;
            let mut rows = Vec::new();
            while let Some(row) = found.next()? {
                rows.push(Row((0..columns).map(|column| cell(row.get_ref(column)?)).collect::<Result<_, _>>()?));
            }
            Ok(rows)
        };
        ask().map_err(|cause| told(&cause))
    }

    fn execute(&mut self, sql: &str, values: &[Value<'_>]) -> Result<u64, DbError> {
        let run = || self.0.prepare_cached(&numbered(sql))?.execute(params_from_iter(values));
        run().map(|changed| changed as u64).map_err(|cause| told(&cause))
    }

    fn batch(&mut self, sql: &str) -> Result<(), DbError> {
        self.0.execute_batch(sql).map_err(|cause| told(&cause))
    }

    /// Here the statements alone say how far they reach.
    fn enter(&mut self, _: Reach<'_>) -> Result<(), DbError> {
        Ok(())
    }

    fn open(&mut self, _: Closed) -> Result<(), DbError> {
        Ok(())
    }

    /// Here nobody else writes meanwhile.
    fn lasting(&self, _: &str) -> String {
        String::new()
    }

    fn going(&self, _: &str) -> String {
        String::new()
    }

    fn each(&mut self, sql: &str, see: &mut dyn FnMut(&Row)) -> Result<(), DbError> {
        let mut ask = || -> rusqlite::Result<()> {
            let mut statement = self.0.prepare(sql)?;
            let columns = statement.column_count();
            let mut found = statement.query([])?;
            while let Some(row) = found.next()? {
                see(&Row((0..columns).map(|column| cell(row.get_ref(column)?)).collect::<Result<_, _>>()?));
            }
            Ok(())
        };
        ask().map_err(|cause| told(&cause))
    }

    fn tables(&mut self) -> Result<Vec<Table>, DbError> {
        let names = "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name";
        let mut list = |sql: &str, values: &[Value<'_>]| -> Result<Vec<String>, DbError> {
            self.query(sql, values)?.into_iter().map(|mut row| row.text(0)).collect()
        };
        let mut tables = Vec::new();
        for name in list(names, &[])?.into_iter().filter(|name| migrate::is_ours(name)) {
            let of = &[Value::Text(&name)];
            let columns = list("SELECT name FROM pragma_table_info($1) ORDER BY cid", of)?;
            let refers = list("SELECT DISTINCT \"table\" FROM pragma_foreign_key_list($1)", of)?;
            tables.push(Table { name, columns, refers });
        }
        Ok(tables)
    }

    fn migrate_to(&mut self, version: Option<usize>) -> Result<(), DbError> {
        migrate::migrate(self, version)
    }
}

/// SQLite spells a numbered placeholder with `?`. No statement of ours has a `$` in another place.
fn numbered(sql: &str) -> String {
    sql.replace('$', "?")
}

fn cell(value: ValueRef<'_>) -> rusqlite::Result<Cell> {
    Ok(match value {
        ValueRef::Null => Cell::Null,
        ValueRef::Integer(number) => Cell::Int(number),
        ValueRef::Text(_) => Cell::Text(value.as_str()?.to_owned()),
        ValueRef::Blob(bytes) => Cell::Bytes(bytes.to_vec()),
        ValueRef::Real(_) => return Err(rusqlite::Error::InvalidQuery),
    })
}

impl ToSql for Value<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Int(number) => ValueRef::Integer(*number),
            Self::Bytes(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

/// What the database said, sorted by what mends it.
fn told(cause: &rusqlite::Error) -> DbError {
    let rusqlite::Error::SqliteFailure(code, message) = cause else { return DbError::Shape };
    let said = Reason(clean(message.as_deref().unwrap_or("no reason was given")));
    match code.code {
        ErrorCode::ConstraintViolation if code.extended_code == rusqlite::ffi::SQLITE_CONSTRAINT_PRIMARYKEY => {
            DbError::Twice(said)
        }
        ErrorCode::ConstraintViolation if code.extended_code == rusqlite::ffi::SQLITE_CONSTRAINT_UNIQUE => {
            // It names the columns, and not the index.
            let is_of_a_name = [".name", ".folded", ".login"].iter().any(|column| said.0.ends_with(column));
            if is_of_a_name { DbError::Taken } else { DbError::Twice(said) }
        }
        ErrorCode::ConstraintViolation if code.extended_code == rusqlite::ffi::SQLITE_CONSTRAINT_FOREIGNKEY => {
            DbError::Linked(said)
        }
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => DbError::Busy,
        ErrorCode::DiskFull => DbError::Full,
        ErrorCode::SystemIoFailure | ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied => {
            DbError::Unreachable(said)
        }
        ErrorCode::NotADatabase => DbError::Strange,
        ErrorCode::DatabaseCorrupt => DbError::Damaged(said),
        _ => DbError::Refused(said),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_connection_writes_to_the_disk_and_overwrites_what_goes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("server.db");
        let sqlite = Sqlite::open(&path).unwrap();
        let settings = |rows: &mut dyn Rows| -> Result<Vec<String>, DbError> {
            let names =
                ["synchronous", "journal_mode", "foreign_keys", "secure_delete", "trusted_schema", "temp_store"];
            let mut found = Vec::new();
            for name in names {
                let row = rows.first(&format!("PRAGMA {name}"), &[])?.unwrap();
                found.extend(row.values().map(|value| format!("{value:?}")));
            }
            Ok(found)
        };
        // Full, and not off.
        let expected = ["Int(2)", "Text(\"wal\")", "Int(1)", "Int(1)", "Int(0)", "Int(2)"];
        assert_eq!(sqlite.write(settings).unwrap(), expected);
        assert_eq!(sqlite.read(settings).unwrap(), expected);
    }
}
