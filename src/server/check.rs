//! What `lanyard serve --check` looks at: all that a server needs, and the whole audit.

use std::net::SocketAddr;

use super::audit::{self, Broken, Sink};
use super::db::{Database, OrgScope, Reach, Version};
use super::error::ServeError;
use super::keys::{self, KeyError, Keys};
use super::random;
use super::running::{Running, running};
use super::serve::{bind, place, unwrapped};
use super::settings::Settings;
use super::tls;
use crate::secret::SecretStore;

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// The server that there is.
    pub found: Found,
    /// The role in the database, where that is bound by no row-level security.
    pub unbound: Option<String>,
}

/// The server that a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// All of it was looked at.
    All,
    /// The database is of an earlier version, which the next start brings up to date. The audit in it was not looked at.
    Earlier,
    /// There is no server in this database: the first start makes it.
    Nothing {
        /// The database.
        place: String,
    },
}

/// Looks at all that a server needs, goes through its audit, and tells what is wrong, without serving anybody. Nothing is
/// made, and nothing is brought up to date: that is the start's to do.
pub fn check(settings: &Settings, store: &dyn SecretStore) -> Result<Checked, ServeError> {
    if let Some((certificate, key)) = &settings.tls {
        tls::config(certificate, key)?;
    }
    settings.public_at(settings.listen)?;
    let running = running(&settings.data)?;
    for address in [Some(settings.listen), settings.metrics].into_iter().flatten() {
        could_bind(address, running.as_ref())?;
    }
    if let Some(sink) = &settings.checkpoints.sink {
        let deaf = |problem| ServeError::Setting { place: "--audit-checkpoints".into(), problem };
        sink.listens().map_err(deaf)?;
    }
    let db = Database::look(&settings.database)?;
    db.as_ref().map_or(Ok(()), Database::look_over)?;
    let unbound = db.as_ref().map(Database::unbound_role).transpose()?.flatten();
    let told = |found| Ok(Checked { found, unbound: unbound.clone() });
    let Some((db, version)) = with_version(db)? else { return told(nothing(settings, store)?) };
    if !keys::is_begun(&db)? {
        return told(nothing(settings, store)?);
    }
    let place = place(settings, store, &db);
    let is_earlier = version == Version::Earlier;
    let keys = if is_earlier { Keys::of_master(&db, &place)? } else { Keys::existing(&db, &place)? };
    if let Some(kv) = settings.keeping.engine.kv() {
        kv.check(keys.instance())?;
    }
    if is_earlier {
        return told(Found::Earlier);
    }
    db.read(Reach::Server, |rows| settings.keeping.engine.fits(rows))?;
    if let Some(Sink::File(file)) = &settings.checkpoints.sink {
        audit::hold_against(&db, &keys, file)?;
    }
    let found = match broken(&db, &keys) {
        // Somebody has replaced it since it was read.
        Err(KeyError::Replaced) => {
            keys.catch_up(&db, &place)?;
            broken(&db, &keys)
        }
        found => found,
    };
    found?.map_or_else(|| told(Found::All), Err)
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

/// The version of the tables in a database; `None` where there are none.
fn with_version(db: Option<Database>) -> Result<Option<(Database, Version)>, ServeError> {
    let Some(db) = db else { return Ok(None) };
    let version = db.version()?;
    Ok((version != Version::None).then_some((db, version)))
}

/// Whether a first start could have what it needs: it would make the rest.
fn nothing(settings: &Settings, store: &dyn SecretStore) -> Result<Found, ServeError> {
    match &settings.keeping.transit {
        Some(transit) => transit.try_out()?,
        None => unwrapped(settings, store).could_begin()?,
    }
    if let Some(kv) = settings.keeping.engine.kv() {
        let instance = random::base62(20).map_err(|_| ServeError::NoRandom)?;
        kv.check(&instance)?;
    }
    Ok(Found::Nothing { place: settings.database.in_words() })
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
