//! What `lanyard serve --check` looks at: all that a server needs, and the whole audit.

use std::net::SocketAddr;

use super::audit::{self, Broken, Sink};
use super::db::{Address, Database, OrgScope, Reach, Version};
use super::error::ServeError;
use super::keys::{KeyError, Keys};
use super::running::{Running, running};
use super::serve::{bind, open, place};
use super::settings::Settings;
use super::tls;
use crate::secret::SecretStore;

/// What a check found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checked {
    /// All of it was looked at.
    All,
    /// A server runs on a database of an earlier version, which was left as it is. The audit in it was not looked at.
    Earlier,
}

/// Opens all that a server needs, goes through its audit, and tells what is wrong, without serving anybody. Where a server
/// runs on the same data, it is left alone: nothing is made, and nothing is brought up to date.
pub fn check(settings: &Settings, store: &dyn SecretStore) -> Result<Checked, ServeError> {
    if let Some((certificate, key)) = &settings.tls {
        tls::config(certificate, key)?;
    }
    settings.public_at(settings.listen)?;
    let running = running(&settings.data)?;
    for address in [Some(settings.listen), settings.metrics].into_iter().flatten() {
        could_bind(address, running.as_ref())?;
    }
    let (db, keys) = match running {
        Some(_) => match open_in_use(settings, store)? {
            Ok(open) => open,
            Err(Version::Earlier) => return Ok(Checked::Earlier),
            // Nobody uses it yet.
            Err(_) => open(settings, store)?,
        },
        None => open(settings, store)?,
    };
    db.look_over()?;
    if let Some(kv) = settings.keeping.engine.kv() {
        kv.check(keys.instance())?;
    }
    if let Some(sink) = &settings.checkpoints.sink {
        let deaf = |problem| ServeError::Setting { place: "--audit-checkpoints".into(), problem };
        sink.listens().map_err(deaf)?;
        if let Sink::File(file) = sink {
            audit::hold_against(&db, &keys, file)?;
        }
    }
    let found = match broken(&db, &keys) {
        // Somebody has replaced it since it was read.
        Err(KeyError::Replaced) => {
            keys.catch_up(&db, &place(settings, store, &db))?;
            broken(&db, &keys)
        }
        found => found,
    };
    found?.map_or(Ok(Checked::All), Err)
}

/// Whether an address can be listened on, or is by the server that runs on the same data.
fn could_bind(address: SocketAddr, running: Option<&Running>) -> Result<(), ServeError> {
    match bind(address) {
        Err(ServeError::Listen { cause, .. })
            if cause.kind() == std::io::ErrorKind::AddrInUse
                && running.is_some_and(|running| running.listens.contains(&address)) =>
        {
            Ok(())
        }
        bound => bound.map(drop),
    }
}

/// Opens the database and the keys of a server that runs, and makes neither tables nor keys. Where the tables are none, or
/// of an earlier version of the program, it gives that instead.
fn open_in_use(settings: &Settings, store: &dyn SecretStore) -> Result<Result<(Database, Keys), Version>, ServeError> {
    if matches!(&settings.database, Address::Sqlite(file) if !file.exists()) {
        return Ok(Err(Version::None));
    }
    let db = Database::open_as_it_is(&settings.database)?;
    Ok(match db.version()? {
        Version::Newest => {
            let keys = Keys::existing(&db, &place(settings, store, &db))?;
            Ok((db, keys))
        }
        other => Err(other),
    })
}

/// Goes through every chain of the audit. The first entry that is not what was written is named.
pub(super) fn audit_is_whole(db: &Database, keys: &Keys) -> Result<(), ServeError> {
    broken(db, keys)?.map_or(Ok(()), Err)
}

/// What is wrong with an audit, of whichever organization.
fn broken(db: &Database, keys: &Keys) -> Result<Option<ServeError>, KeyError> {
    db.read(Reach::Server, |rows| {
        for mut row in rows.query("SELECT org FROM audit_heads ORDER BY org", &[])? {
            let org = row.text(0)?;
            let scope = OrgScope::of(&org);
            rows.enter(Reach::Of(&scope))?;
            let is_broken = |sequence: i64, problem: String| ServeError::Audit { org: org.clone(), problem, sequence };
            match audit::verify(rows, keys, &scope) {
                Ok(Ok(_)) => {}
                Ok(Err(Broken { sequence, problem })) => return Ok(Some(is_broken(sequence, problem.to_owned()))),
                Err(KeyError::Replaced) => return Err(KeyError::Replaced),
                Err(failure) => return Ok(Some(is_broken(0, failure.to_string()))),
            }
        }
        Ok(None)
    })
}
