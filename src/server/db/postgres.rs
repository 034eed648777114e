//! PostgreSQL: a few connections that are used in turn.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use postgres::config::{Host, SslMode};
use postgres::fallible_iterator::FallibleIterator;
use postgres::types::{FromSql, IsNull, ToSql, Type, private::BytesMut, to_sql_checked};
use postgres::{Client, Config, NoTls, Statement};
use url::Url;

use super::pool::{Place, Pool};
use super::value::{Cell, Row, Value};
use super::{Closed, DbError, Reach, Rows, Table, migrate};
use crate::secret::Reason;
use crate::text::clean;

mod address;
mod tls;
mod wall;

use address::Address;
pub(super) use address::hosts;
use tls::Tls;

/// So many connections at a time. Each is a process of the database, and what many do at once is written together.
const MOST: usize = 16;
/// So many statements are kept ready on each.
const READY: usize = 256;
/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(10);
/// After so long without a word from the database, it is asked for one, and given up when it stays silent.
const SILENT: Duration = Duration::from_secs(10);
/// What the database itself ends: a transaction whose server says nothing any more would hold up everybody else.
const PATIENCE: &str = "SET idle_in_transaction_session_timeout = '15s'; SET tcp_keepalives_idle = 10; \
                        SET tcp_keepalives_interval = 3; SET tcp_keepalives_count = 3";
/// The number of the lock under which tables are made: `LNYS`.
const LOCK: i64 = 0x4c4e_5953;

/// A database on a server.
pub(super) struct Postgres {
    config: Config,
    /// On loopback, none unless the URL asks for it.
    tls: Option<Tls>,
    /// Nothing is written.
    looks: bool,
    pool: Pool<Connection>,
}

/// A connection, with the statements that are ready on it.
struct Connection {
    client: Client,
    ready: HashMap<String, Statement>,
}

impl Postgres {
    /// Connects once, to see that it answers. Over a network, nothing goes without TLS.
    pub(super) fn open(url: &Url) -> Result<Self, DbError> {
        Self::connected(url, false)
    }

    /// The same, and nothing is written there.
    pub(super) fn look(url: &Url) -> Result<Self, DbError> {
        Self::connected(url, true)
    }

    fn connected(url: &Url, looks: bool) -> Result<Self, DbError> {
        let Address { mut config, asks, authorities } = Address::read(url)?;
        config.connect_timeout(CONNECT).application_name("lanyard");
        config
            .keepalives_idle(SILENT)
            .keepalives_interval(SILENT / 3)
            .keepalives_retries(3)
            .tcp_user_timeout(2 * SILENT);
        let is_plain = is_on_loopback(&config) && !asks;
        config.ssl_mode(if is_plain { SslMode::Disable } else { SslMode::Require });
        let tls = if is_plain { None } else { Some(Tls::new(authorities.as_deref())?) };
        let made = Self { config, tls, looks, pool: Pool::new(MOST) };
        made.transaction(true, Reach::Server, |_| Ok::<_, DbError>(()))?;
        Ok(made)
    }

    fn connect(&self) -> Result<Connection, DbError> {
        let connected = match &self.tls {
            Some(tls) => self.config.connect(tls.clone()),
            None => self.config.connect(NoTls),
        };
        let mut client = connected.map_err(|cause| told(&cause))?;
        client.batch_execute(PATIENCE).map_err(|cause| told(&cause))?;
        if self.looks {
            client.batch_execute("SET default_transaction_read_only = on").map_err(|cause| told(&cause))?;
        }
        Ok(Connection { client, ready: HashMap::new() })
    }

    /// Runs statements as one, which reach so far. Reading ones see one instant.
    pub(super) fn transaction<T, E: From<DbError>>(
        &self,
        reads: bool,
        reach: Reach<'_>,
        work: impl FnOnce(&mut dyn Rows) -> Result<T, E>,
    ) -> Result<T, E> {
        let (mut place, mut connection) = self.begun(reads, reach)?;
        let mut within = Within { connection: &mut connection, is_aborted: false };
        let done = work(&mut within);
        let is_aborted = within.is_aborted;
        let end = end(done.is_ok(), is_aborted);
        // A connection that did not end its transaction is not used again: it is closed here, with all that it holds.
        let ended = connection.client.batch_execute(end).map_err(|cause| told(&cause));
        place.back = ended.is_ok().then_some(connection);
        match done {
            Ok(_) if is_aborted => Err(aborted().into()),
            Ok(done) => Ok(ended.map(|()| done)?),
            Err(failure) => Err(failure),
        }
    }

    /// A connection with a transaction that was begun: one that was used before, if the server was not started anew
    /// since, or a fresh one.
    fn begun(&self, reads: bool, reach: Reach<'_>) -> Result<(Place<'_, Connection>, Connection), DbError> {
        let begin = if reads { "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY" } else { "BEGIN" };
        let begin = format!("{begin}; {}", wall::enter(reach));
        let (place, idle) = self.pool.place()?;
        // Nothing was done on it yet, so that beginning again on another one does no harm.
        if let Some(mut connection) = idle
            && connection.client.batch_execute(&begin).is_ok()
        {
            return Ok((place, connection));
        }
        let mut connection = self.connect()?;
        connection.client.batch_execute(&begin).map_err(|cause| told(&cause))?;
        Ok((place, connection))
    }
}

/// Closing a connection waits for it, which nobody may do amid tasks: and it may be a task that held the database last.
/// So a thread of its own closes them.
impl Drop for Postgres {
    fn drop(&mut self) {
        let mut idle = self.pool.idle();
        std::thread::scope(|scope| {
            let _ = std::thread::Builder::new().spawn_scoped(scope, || idle.clear());
        });
        // Where there was no thread, the end of the process closes them.
        std::mem::forget(idle);
    }
}

/// The role of this connection, where no policy counts for it.
pub(super) fn unbound_role(rows: &mut dyn Rows) -> Result<Option<String>, DbError> {
    let one = "SELECT rolname::text FROM pg_roles WHERE rolname = current_user AND (rolsuper OR rolbypassrls)";
    rows.first(one, &[])?.map(|mut row| row.text(0)).transpose()
}

/// Whether every machine that the settings name is this one.
fn is_on_loopback(config: &Config) -> bool {
    let is_near = |host: &Host| match host {
        Host::Tcp(name) => name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback()),
        // A socket in the file system.
        #[cfg(unix)]
        Host::Unix(_) => true,
    };
    config.get_hosts().iter().all(is_near) && config.get_hostaddrs().iter().all(IpAddr::is_loopback)
}

fn read(row: &postgres::Row) -> Result<Row, postgres::Error> {
    (0..row.len()).map(|column| row.try_get(column)).collect::<Result<_, _>>().map(Row)
}

/// A transaction that is open.
struct Within<'t> {
    connection: &'t mut Connection,
    /// Whether a statement failed. Nothing counts any more then, and the database says no word of it at the end: it takes
    /// the order to keep everything as one to undo everything.
    is_aborted: bool,
}

impl Within<'_> {
    fn done<T>(&mut self, done: Result<T, DbError>) -> Result<T, DbError> {
        self.is_aborted |= done.is_err();
        done
    }

    fn run(&mut self, sql: &str) -> Result<(), DbError> {
        let done = self.connection.client.batch_execute(sql).map_err(|cause| told(&cause));
        self.done(done)
    }
}

/// How a transaction ends that is to be kept.
fn end(is_wanted: bool, is_aborted: bool) -> &'static str {
    if is_wanted && !is_aborted { "COMMIT" } else { "ROLLBACK" }
}

/// Nothing was done, though whoever wanted it went on after a statement that failed.
fn aborted() -> DbError {
    DbError::Refused(Reason("a statement of the transaction had failed".into()))
}

impl Connection {
    /// A statement, made ready where it is not yet.
    fn statement(&mut self, sql: &str) -> Result<Statement, postgres::Error> {
        if let Some(ready) = self.ready.get(sql) {
            return Ok(ready.clone());
        }
        if self.ready.len() >= READY {
            self.ready.clear();
        }
        let made = self.client.prepare(sql)?;
        self.ready.insert(sql.to_owned(), made.clone());
        Ok(made)
    }

    /// What came of a statement. One that failed is made ready anew: its tables may be others by now.
    fn told<T>(&mut self, sql: &str, done: Result<T, postgres::Error>) -> Result<T, DbError> {
        done.map_err(|cause| {
            self.ready.remove(sql);
            told(&cause)
        })
    }
}

impl Rows for Within<'_> {
    fn query(&mut self, sql: &str, values: &[Value<'_>]) -> Result<Vec<Row>, DbError> {
        let bound: Vec<&(dyn ToSql + Sync)> = values.iter().map(|value| value as _).collect();
        let found = self.connection.statement(sql).and_then(|ready| self.connection.client.query(&ready, &bound));
        let found = self.connection.told(sql, found);
        let found = self.done(found)?;
        found.iter().map(read).collect::<Result<_, _>>().map_err(|cause| told(&cause))
    }

    fn execute(&mut self, sql: &str, values: &[Value<'_>]) -> Result<u64, DbError> {
        let bound: Vec<&(dyn ToSql + Sync)> = values.iter().map(|value| value as _).collect();
        let done = self.connection.statement(sql).and_then(|ready| self.connection.client.execute(&ready, &bound));
        let done = self.connection.told(sql, done);
        self.done(done)
    }

    fn batch(&mut self, sql: &str) -> Result<(), DbError> {
        // Only tables are made this way. Whoever else makes them at the same time waits here.
        let locked = self.connection.client.execute("SELECT pg_advisory_xact_lock($1)", &[&LOCK]);
        self.done(locked.map_err(|cause| told(&cause)))?;
        // SQLite sorts by bytes; so shall this, whatever the database's own language is.
        let sql = sql.replace(" TEXT", " TEXT COLLATE \"C\"");
        self.run(&sql)
    }

    fn enter(&mut self, reach: Reach<'_>) -> Result<(), DbError> {
        self.run(&wall::enter(reach))
    }

    fn open(&mut self, closed: Closed) -> Result<(), DbError> {
        self.run(wall::open(closed))
    }

    fn lasting(&self, table: &str) -> String {
        format!(" FOR KEY SHARE OF {table}")
    }

    fn going(&self, table: &str) -> String {
        format!(" FOR UPDATE OF {table}")
    }

    fn each(&mut self, sql: &str, see: &mut dyn FnMut(&Row)) -> Result<(), DbError> {
        let none: [&(dyn ToSql + Sync); 0] = [];
        let mut each = || {
            let mut found = self.connection.client.query_raw(sql, none)?;
            while let Some(row) = found.next()? {
                see(&read(&row)?);
            }
            Ok(())
        };
        let done = each().map_err(|cause: postgres::Error| told(&cause));
        self.done(done)
    }

    fn tables(&mut self) -> Result<Vec<Table>, DbError> {
        let names = "SELECT relname::text FROM pg_class \
                     WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace ORDER BY 1";
        let mut list = |sql: &str, values: &[Value<'_>]| -> Result<Vec<String>, DbError> {
            self.query(sql, values)?.into_iter().map(|mut row| row.text(0)).collect()
        };
        let mut tables = Vec::new();
        for name in list(names, &[])?.into_iter().filter(|name| migrate::is_ours(name)) {
            let of = &[Value::Text(&name)];
            let columns = list(
                "SELECT attname::text FROM pg_attribute \
                 WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
                of,
            )?;
            let refers = list(
                "SELECT DISTINCT confrelid::regclass::text FROM pg_constraint \
                 WHERE contype = 'f' AND conrelid = to_regclass($1)",
                of,
            )?;
            tables.push(Table { name, columns, refers });
        }
        Ok(tables)
    }

    fn migrate_to(&mut self, version: Option<usize>) -> Result<(), DbError> {
        // What a migration moves, it sees.
        self.open(Closed::History)?;
        migrate::migrate(self, version)?;
        wall::put_up(self)
    }
}

impl ToSql for Value<'_> {
    fn to_sql(&self, kind: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match self {
            Self::Null => Ok(IsNull::Yes),
            Self::Text(text) => text.to_sql(kind, out),
            Self::Int(number) => number.to_sql(kind, out),
            Self::Bytes(bytes) => bytes.to_sql(kind, out),
        }
    }

    fn accepts(kind: &Type) -> bool {
        matches!(*kind, Type::TEXT | Type::INT8 | Type::BYTEA)
    }

    to_sql_checked!();
}

impl<'r> FromSql<'r> for Cell {
    fn from_sql(kind: &Type, raw: &'r [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(match *kind {
            Type::INT8 => Self::Int(i64::from_sql(kind, raw)?),
            // A number that stands in a statement.
            Type::INT4 => Self::Int(i32::from_sql(kind, raw)?.into()),
            Type::BYTEA => Self::Bytes(raw.to_vec()),
            _ => Self::Text(String::from_sql(kind, raw)?),
        })
    }

    fn from_sql_null(_: &Type) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self::Null)
    }

    fn accepts(kind: &Type) -> bool {
        matches!(*kind, Type::TEXT | Type::INT8 | Type::INT4 | Type::BYTEA)
    }
}

/// Whether an index, as the tables name it, keeps a name that somebody chose from being given twice.
fn is_of_a_name(index: &str) -> bool {
    ["_name", "_folded", "_login_key"].iter().any(|end| index.ends_with(end))
}

/// What the library says, with what it says of the cause. It quotes neither the address nor a value.
fn in_words(cause: &postgres::Error) -> Reason {
    let why = std::error::Error::source(cause).map(|why| format!(": {why}")).unwrap_or_default();
    Reason(clean(&format!("{cause}{why}")))
}

/// What the database said, sorted by what mends it. Its own words about a statement hold no value of a row.
fn told(cause: &postgres::Error) -> DbError {
    let Some(said) = cause.as_db_error() else {
        return DbError::Unreachable(in_words(cause));
    };
    let message = Reason(clean(said.message()));
    match said.code().code() {
        "23505" if said.constraint().is_some_and(is_of_a_name) => DbError::Taken,
        "23505" => DbError::Twice(message),
        "23503" => DbError::Linked(message),
        "22021" => DbError::Zero,
        "53100" => DbError::Full,
        "40001" | "40P01" | "55P03" => DbError::Busy,
        // It has ended the connection: the transaction stood still for too long.
        "25P03" => DbError::Unreachable(message),
        class if ["08", "28", "53", "57"].iter().any(|known| class.starts_with(known)) => DbError::Unreachable(message),
        _ => DbError::Refused(message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_failed_half_way_is_not_kept_whatever_is_wanted() {
        assert_eq!(end(true, false), "COMMIT");
        for (is_wanted, is_aborted) in [(true, true), (false, true), (false, false)] {
            assert_eq!(end(is_wanted, is_aborted), "ROLLBACK");
        }
    }

    #[test]
    fn an_index_is_of_a_name_by_its_own() {
        for index in ["projects_name", "trust_rules_folded", "people_login_key", "credentials_name"] {
            assert!(is_of_a_name(index), "{index}");
        }
        for index in ["members_pkey", "settings_pkey", "tokens_id", "devices_user_code_key", "connect_attempts_hash"] {
            assert!(!is_of_a_name(index), "{index}");
        }
    }
}
