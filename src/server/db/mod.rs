//! The server's database: SQLite in the data folder, or PostgreSQL.
//!
//! One SQL text serves both: columns are TEXT, BIGINT or BYTEA, placeholders are `$1`, `$2` …, times are milliseconds
//! since 1970. Whatever belongs to an organization has the organization in its primary key, and a statement that
//! touches it takes it from an [`OrgScope`], which only a caller who was let in can have. Every transaction says how far
//! it [reaches](Reach), and PostgreSQL shows it nothing beyond.
//!
//! On PostgreSQL several write at once, and whoever changes a row holds it until their transaction ends. So that no two
//! wait for one another, all take what they change in one order: the organization, its projects, its credentials by their
//! identifiers, what uses those (workspaces and registries), the key that secrets are sealed under, and last the end of the
//! audit, after which nothing else is taken. What was read before its row was held may be another by then: it is read again.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use url::Url;

#[cfg(test)]
mod additive;
mod error;
mod migrate;
mod pool;
mod postgres;
mod scope;
mod sqlite;
mod table;
mod value;

pub(crate) use error::DbError;
pub(crate) use migrate::{Version, newest};
pub(crate) use scope::{Closed, OrgScope, Reach};
pub(crate) use table::{Table, in_order};
pub(crate) use value::{Row, Value, values};

/// Where the database is.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Address {
    /// A file of its owner's alone.
    Sqlite(PathBuf),
    /// A PostgreSQL server, as its URL says. It may hold a password.
    Postgres(Url),
}

impl Address {
    /// Reads `sqlite:FILE` or `postgres://…`; a file is relative to the data folder.
    pub(crate) fn parse(text: &str, data: &Path) -> Option<Self> {
        if let Some(file) = text.strip_prefix("sqlite:") {
            let file = file.strip_prefix("//").unwrap_or(file);
            return (!file.is_empty()).then(|| Self::Sqlite(data.join(file)));
        }
        let url = Url::parse(text).ok()?;
        (matches!(url.scheme(), "postgres" | "postgresql") && url.host_str().is_some()).then_some(Self::Postgres(url))
    }

    /// The hosts where it is, with their ports; none for a file.
    pub(crate) fn hosts(&self) -> Vec<(String, u16)> {
        match self {
            Self::Sqlite(_) => Vec::new(),
            Self::Postgres(url) => postgres::hosts(url),
        }
    }

    /// What a person may read of it: never the password.
    pub(crate) fn in_words(&self) -> String {
        match self {
            Self::Sqlite(path) => path.display().to_string(),
            Self::Postgres(url) => format!(
                "postgres://{}{}{}",
                url.host_str().unwrap_or_default(),
                url.port().map(|port| format!(":{port}")).unwrap_or_default(),
                url.path()
            ),
        }
    }
}

/// Without the password, and without what else stands in a URL.
impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Address").field(&self.in_words()).finish()
    }
}

/// What is asked within one transaction.
pub(crate) trait Rows {
    /// The rows that a statement gives.
    fn query(&mut self, sql: &str, values: &[Value<'_>]) -> Result<Vec<Row>, DbError>;
    /// Runs a statement; how many rows it changed.
    fn execute(&mut self, sql: &str, values: &[Value<'_>]) -> Result<u64, DbError>;
    /// Runs several statements that take no values.
    fn batch(&mut self, sql: &str) -> Result<(), DbError>;
    /// From here on, the transaction reaches so far.
    fn enter(&mut self, reach: Reach<'_>) -> Result<(), DbError>;
    /// From here on, the transaction reaches what is closed else. Its organization stays what it is.
    fn open(&mut self, closed: Closed) -> Result<(), DbError>;

    /// The end of a statement that reads rows of a table which nobody is to take away before this transaction ends. Others
    /// read them so at the same time, and change what is not their key.
    fn lasting(&self, table: &str) -> String;
    /// The same of rows that are to be taken away: whoever reads them as lasting is waited for, and nobody does from then on.
    fn going(&self, table: &str) -> String;

    /// Sees every row that a statement without values gives, one after the other.
    fn each(&mut self, sql: &str, see: &mut dyn FnMut(&Row)) -> Result<(), DbError>;
    /// The tables of the server that there are.
    fn tables(&mut self) -> Result<Vec<Table>, DbError>;
    /// Brings the tables to a version, or up to date.
    fn migrate_to(&mut self, version: Option<usize>) -> Result<(), DbError>;

    /// The version of the tables.
    fn schema(&mut self) -> Result<usize, DbError> {
        let known = "SELECT version FROM schema_versions WHERE program = 'lanyard-server'";
        let version = self.first(known, &[])?.ok_or(DbError::Shape)?.int(0)?;
        usize::try_from(version).map_err(|_| DbError::Shape)
    }

    /// The first row that a statement gives.
    fn first(&mut self, sql: &str, values: &[Value<'_>]) -> Result<Option<Row>, DbError> {
        Ok(self.query(sql, values)?.into_iter().next())
    }
}

/// So many transactions were begun.
pub(crate) static TRANSACTIONS: AtomicU64 = AtomicU64::new(0);

/// The database.
pub(crate) struct Database {
    engine: Engine,
}

enum Engine {
    Sqlite(sqlite::Sqlite),
    Postgres(postgres::Postgres),
}

impl Database {
    /// Opens the database, makes it where there is none, and brings its tables up to date.
    pub(crate) fn open(address: &Address) -> Result<Self, DbError> {
        let database = Self::open_as_it_is(address)?;
        database.write(Reach::Server, |rows| rows.migrate_to(None))?;
        Ok(database)
    }

    /// Opens the database with its tables as they are.
    pub(crate) fn open_as_it_is(address: &Address) -> Result<Self, DbError> {
        let engine = match address {
            Address::Sqlite(path) => Engine::Sqlite(sqlite::Sqlite::open(path)?),
            Address::Postgres(url) => Engine::Postgres(postgres::Postgres::open(url)?),
        };
        Ok(Self { engine })
    }

    /// The same where there is a file of it; none is made.
    pub(crate) fn open_existing(address: &Address) -> Result<Option<Self>, DbError> {
        if matches!(address, Address::Sqlite(path) if !path.exists()) {
            return Ok(None);
        }
        Self::open_as_it_is(address).map(Some)
    }

    /// Opens the database to look at it, by which nothing in it can be changed; `None` where there is no file of it.
    pub(crate) fn look(address: &Address) -> Result<Option<Self>, DbError> {
        let engine = match address {
            Address::Sqlite(path) if !path.exists() => return Ok(None),
            Address::Sqlite(path) => Engine::Sqlite(sqlite::Sqlite::look(path)?),
            Address::Postgres(url) => Engine::Postgres(postgres::Postgres::look(url)?),
        };
        Ok(Some(Self { engine }))
    }

    /// What its tables are, as against what this program has.
    pub(crate) fn version(&self) -> Result<Version, DbError> {
        self.read(Reach::Server, |rows| migrate::version(rows))
    }

    /// Runs statements as one: all of them count, or none. They are on the disk when this returns.
    pub(crate) fn write<'r, T, E: From<DbError>>(
        &self,
        reach: impl Into<Reach<'r>>,
        work: impl FnOnce(&mut dyn Rows) -> Result<T, E>,
    ) -> Result<T, E> {
        TRANSACTIONS.fetch_add(1, Ordering::Relaxed);
        match &self.engine {
            Engine::Sqlite(engine) => engine.write(work),
            Engine::Postgres(engine) => engine.transaction(false, reach.into(), work),
        }
    }

    /// Reads rows as they were at one instant.
    pub(crate) fn read<'r, T, E: From<DbError>>(
        &self,
        reach: impl Into<Reach<'r>>,
        work: impl FnOnce(&mut dyn Rows) -> Result<T, E>,
    ) -> Result<T, E> {
        TRANSACTIONS.fetch_add(1, Ordering::Relaxed);
        match &self.engine {
            Engine::Sqlite(engine) => engine.read(work),
            Engine::Postgres(engine) => engine.transaction(true, reach.into(), work),
        }
    }

    /// Overwrites what recent writes have left beside the rows, keys above all. Where somebody is reading, the next time
    /// does it.
    pub(crate) fn forget(&self) {
        if let Engine::Sqlite(engine) = &self.engine {
            engine.empty_log();
        }
    }

    /// Looks for damage in a file of ours. A database elsewhere looks after itself.
    pub(crate) fn look_over(&self) -> Result<(), DbError> {
        match &self.engine {
            Engine::Sqlite(engine) => engine.look_over(),
            Engine::Postgres(_) => Ok(()),
        }
    }

    /// The role that it is used by, where that is bound by no row-level security; `None` where there are no roles.
    pub(crate) fn unbound_role(&self) -> Result<Option<String>, DbError> {
        match &self.engine {
            Engine::Sqlite(_) => Ok(None),
            Engine::Postgres(_) => self.read(Reach::Server, postgres::unbound_role),
        }
    }

    /// Whether it answers.
    pub(crate) fn answers(&self) -> Result<(), DbError> {
        self.read(Reach::Server, |rows| rows.first("SELECT version FROM schema_versions", &[]).map(|_| ()))
    }
}

#[cfg(test)]
pub(crate) mod tests;
