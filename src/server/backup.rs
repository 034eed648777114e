//! The whole server in one file, and back.
//!
//! A backup is what the tables hold at one instant: secrets as they rest there, sealed, and keys as they rest there,
//! wrapped. All of it is sealed once more, as a file of `age` that opens with the master key and for whoever else was
//! named, so that no byte of it can be changed, cut off or put elsewhere, by those others neither. It is brought back into
//! either kind of database, by this program or a later one.
//!
//! Secrets that rest in a keeper are fetched from there once the database was read, sealed as they are, and stand in the
//! file as those of the database do: a backup is whole wherever they rest. What the keeper has lost holds up no backup of
//! the rest: it is left out, and told.

use std::fs::File;
use std::path::Path;

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value as Json, json};

use super::audit::{self, Actor, Event, server_scope};
use super::db::{Closed, Database, DbError, OrgScope, Reach, Rows, Table, Version, in_order, newest, values};
use super::engine::Engine;
use super::error::ServeError;
use super::keeper::KeeperError;
use super::keys::{KeyError, Keys, WRAPPED, WRAPPED_NEXT, keep_setting, setting};
use super::relocate;
use super::running::running;
use super::serve::{existing, place, unwrapped};
use super::settings::Settings;
use super::state::now;
use super::token::Kind;
use crate::os::files;
use crate::secret::SecretStore;
use crate::vault::seal::Key;

mod drill;
mod file;
mod head;
mod kept;
mod rows;
mod untold;

pub use drill::{Drilled, drill};
pub use head::Recipients;
pub use kept::Missing;
pub(crate) use untold::tell as tell_of_untold;

use file::{Facts, Reader, Writer};
use head::{Head, Opener};
use kept::{Fetched, Kept};

/// So often a backup is begun anew where secrets were replaced in the keeper meanwhile.
const TRIES: usize = 5;

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backed {
    /// So many rows.
    pub rows: u64,
    /// Whose secrets are not in the keeper any more. They stand in the backup without.
    pub missing: Vec<Missing>,
    /// The tables are of an earlier version: the audit tells of this backup once they were brought up to date.
    pub is_earlier: bool,
}

/// What was brought back.
#[derive(Debug, Clone)]
pub struct Restored {
    /// When the backup was made.
    pub made: String,
    /// How many rows it had.
    pub rows: u64,
}

/// What stands before the rows of a table.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Heading {
    table: String,
    columns: Vec<String>,
}

/// The line before the rows of a table.
fn heading(table: &Table) -> Json {
    json!(Heading { table: table.name.clone(), columns: table.columns.clone() })
}

/// Writes a backup to a new file. The server goes on meanwhile. The tables are written as they are, also those of an
/// earlier version, and left so.
pub fn backup(
    settings: &Settings,
    store: &dyn SecretStore,
    file: &Path,
    recipients: &Recipients,
) -> Result<Backed, ServeError> {
    let (db, version) = existing(settings)?;
    let is_earlier = version == Version::Earlier;
    let rests = place(settings, store, &db);
    let keys = if is_earlier { Keys::of_master(&db, &rests)? } else { Keys::existing_to_use(&db, &rests)? };
    let engine = &settings.keeping.engine;
    let told = |cause: std::io::Error| unwritten(file, &cause);
    // Made beside, so that half of one never has the name of a whole one.
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let fresh = || tempfile::Builder::new().prefix(".backup.").suffix(".tmp").tempfile_in(folder).map_err(told);
    let mut fetched = Fetched::within(folder, file)?;
    let mut written = None;
    for _ in 0..TRIES {
        // Somebody may have replaced the master key since it was read.
        keys.catch_up(&db, &rests)?;
        let mut made = fresh()?;
        if let Some(backed) = write((&db, &keys, recipients), (engine, &mut fetched), made.as_file_mut(), file)? {
            written = Some((made, Backed { is_earlier, ..backed }));
            break;
        }
    }
    let (made, backed) = written.ok_or(KeeperError::Restless)?;
    made.as_file().sync_all().map_err(told)?;
    let lost = match backed.missing.len() {
        0 => String::new(),
        lost => format!(", {lost} without their secrets"),
    };
    let detail = format!("{} rows{lost}{}", backed.rows, recipients.in_words());
    // It is told where it is there, and there where it is told: it gets its name before the entry counts, and loses it
    // again where the entry cannot be kept.
    let mut is_there = false;
    let done = db.write(Reach::Server, |rows| -> Result<(), ServeError> {
        if is_earlier {
            untold::note(rows, &detail, now())?;
        } else {
            untold::done(rows, &keys, &detail, now())?;
        }
        made.persist_noclobber(file).map_err(|failed| told(failed.error))?;
        is_there = true;
        files::sync_folder(folder).map_err(told)
    });
    if done.is_err() && is_there {
        std::fs::remove_file(file).map_err(told)?;
        files::sync_folder(folder).map_err(told)?;
    }
    done.map(|()| backed)
}

/// Writes everything as it is at one instant. `None` where secrets were put elsewhere before they were fetched.
fn write(
    (db, keys, recipients): (&Database, &Keys, &Recipients),
    (engine, fetched): (&Engine, &mut Fetched),
    out: &mut File,
    file: &Path,
) -> Result<Option<Backed>, ServeError> {
    let told = |cause: std::io::Error| unwritten(file, &cause);
    let (mut out, count, kept) = db.read(Reach::Server, |rows| -> Result<_, ServeError> {
        rows.open(Closed::Secrets)?;
        let made = now().to_rfc3339_opts(SecondsFormat::Millis, true);
        let facts = Facts { schema: rows.schema()?, made };
        let opener = Opener::begin(keys, rows)?;
        let mut out = Writer::begin(out, file, opener, recipients, &facts)?;
        let mut count = 0;
        for table in in_order(rows.tables()?) {
            out.line(&heading(&table)).map_err(told)?;
            if kept::is_left_out(&table) {
                continue;
            }
            let mut failure = None;
            rows.each(&table.all(), &mut |row| {
                count += 1;
                // The first failure is told; what comes after it counts for nothing.
                if failure.is_none() {
                    failure = out.line(&rows::written(row)).err();
                }
            })?;
            failure.map_or(Ok(()), |cause| Err(told(cause)))?;
        }
        Ok((out, count, Kept::of(rows)?))
    })?;
    // Nobody's transaction waits for the keeper.
    let mut put = |line: &Json| out.line(line).map_err(told);
    let put = kept.write(db, engine.kv(), fetched, &mut put)?;
    let Some((more, missing)) = put else { return Ok(None) };
    out.end().map_err(told)?;
    Ok(Some(Backed { rows: count + more, missing, is_earlier: false }))
}

/// Brings a backup back. Nothing is written before the whole of it was found to be good and of this master key.
///
/// Whoever was signed in signs in again: what was ended since the backup was made would count again otherwise.
pub fn restore(
    settings: &Settings,
    store: &dyn SecretStore,
    file: &Path,
    replace: bool,
) -> Result<Restored, ServeError> {
    let Examined { head, facts, master, wrapped, opener } = Examined::look(settings, store, file)?;
    let engine = &settings.keeping.engine;
    engine.outside().map_or(Ok(()), |kv| kv.check(&head.instance))?;
    files::create_private_dir(&settings.data)?;
    let db = Database::open_as_it_is(&settings.database)?;
    let there = match db.version()? {
        Version::None => None,
        _ => db.read(Reach::Server, |rows| setting(rows, "instance"))?,
    };
    if there.is_some() && !replace {
        return Err(ServeError::Occupied);
    }
    // It would go on with keys that open nothing of what it finds.
    if there.is_some_and(|there| there != head.instance) && running(&settings.data)?.is_some() {
        return Err(ServeError::Runs);
    }
    let (rows, keys) = db.write(Reach::Server, |rows| -> Result<(u64, Keys), ServeError> {
        rows.migrate_to(None)?;
        engine.fits(rows)?;
        let abandoned = kept::places(rows)?;
        let count = put_back(rows, &facts, &opener, file)?;
        kept::abandon(rows, &abandoned)?;
        keep_wrapped(rows, wrapped.as_deref())?;
        let keys = Keys::within(rows, master, &head.instance)?;
        end_sign_ins(rows)?;
        tell(rows, &keys, &facts.made, now())?;
        Ok((count, keys))
    })?;
    if engine.outside().is_some() {
        relocate::all(&db, &keys, engine)?;
    }
    Ok(Restored { made: facts.made, rows })
}

/// A backup that was found whole, and what opens it.
struct Examined {
    head: Head,
    facts: Facts,
    /// Its master key, and the wrapped form of that, where a key of the keeper wraps it.
    master: Key,
    wrapped: Option<String>,
    opener: Opener,
}

impl Examined {
    fn look(settings: &Settings, store: &dyn SecretStore, file: &Path) -> Result<Self, ServeError> {
        let head = file::head(file)?;
        let (master, wrapped) = master(settings, store, &head)?;
        let opener = head.opener(&master).ok_or_else(|| is_other(settings, store))?;
        let (facts, reader) = Reader::open(file, &opener)?;
        if facts.schema > newest() {
            return Err(newer(file));
        }
        reader.check()?;
        Ok(Self { head, facts, master, wrapped, opener })
    }
}

/// The master key that a backup opens with, and its wrapped form where a key of the keeper wraps it.
fn master(settings: &Settings, store: &dyn SecretStore, head: &Head) -> Result<(Key, Option<String>), ServeError> {
    let Some(transit) = &settings.keeping.transit else {
        return Ok((unwrapped(settings, store).read_present(&head.instance, head.passphrase.as_deref())?, None));
    };
    for wrapped in &head.masters {
        let master = transit.unwrap(wrapped)?;
        if head.opener(&master).is_some() {
            return Ok((master, Some(wrapped.clone())));
        }
    }
    Err(ServeError::NoMasterKey { place: transit.in_words() })
}

/// That what is there is another master key.
fn is_other(settings: &Settings, store: &dyn SecretStore) -> ServeError {
    match &settings.keeping.transit {
        Some(transit) => ServeError::OtherMasterKey { place: transit.in_words() },
        None => unwrapped(settings, store).is_other(),
    }
}

/// Keeps the wrapped form of the master key that counts from now on, and no other.
fn keep_wrapped(rows: &mut dyn Rows, wrapped: Option<&str>) -> Result<(), DbError> {
    rows.execute("DELETE FROM settings WHERE name IN ($1, $2)", values![WRAPPED, WRAPPED_NEXT])?;
    wrapped.map_or(Ok(()), |wrapped| keep_setting(rows, WRAPPED, wrapped))
}

/// Puts the rows of a backup in the place of all that is there, in tables of its own time, and then brings those up to
/// date.
fn put_back(rows: &mut dyn Rows, facts: &Facts, opener: &Opener, file: &Path) -> Result<u64, ServeError> {
    let (_, mut reader) = Reader::open(file, opener)?;
    rows.open(Closed::History)?;
    for table in in_order(rows.tables()?).iter().rev() {
        rows.batch(&format!("DROP TABLE \"{}\"", table.name))?;
    }
    rows.migrate_to(Some(facts.schema))?;
    let there = rows.tables()?;
    for table in in_order(there.clone()).iter().rev().filter(|table| !table.is_schema()) {
        rows.execute(&format!("DELETE FROM \"{}\"", table.name), &[])?;
    }
    let (mut into, mut count) = (None, 0);
    while let Some(line) = reader.line()? {
        if line.is_object() {
            let heading: Heading = serde_json::from_value(line).map_err(|_| bad(file, "a table is none"))?;
            let table = there.iter().find(|table| table.name == heading.table && table.columns == heading.columns);
            let table = table.ok_or_else(|| bad(file, "it has a table that its version of lanyard did not have"))?;
            into = Some((table.insert(), table.is_schema()));
            continue;
        }
        count += 1;
        let (sql, is_schema) = into.as_ref().ok_or_else(|| bad(file, "a row stands before its table"))?;
        if !is_schema {
            let cells = rows::read(&line).ok_or_else(|| bad(file, "a row is none"))?;
            rows.execute(sql, &cells.iter().map(rows::Cell::value).collect::<Vec<_>>())?;
        }
    }
    rows.migrate_to(None)?;
    Ok(count)
}

/// Ends every sign-in, and every link and code that is good once: it may have been used or withdrawn since the backup was
/// made. API keys stay, and so do recovery codes, without which somebody might be locked out.
fn end_sign_ins(rows: &mut dyn Rows) -> Result<(), DbError> {
    for table in [
        "sessions",
        "half_sessions",
        "codes",
        "devices",
        "invitations",
        "passphrase_resets",
        "upstream_attempts",
        "passkey_challenges",
        "connect_attempts",
        "refresh_leases",
        "successors",
    ] {
        rows.execute(&format!("DELETE FROM {table}"), &[])?;
    }
    rows.execute("DELETE FROM member_invitations WHERE spent IS NULL", &[])?;
    let end = "UPDATE tokens SET revoked = $2 WHERE kind <> $1 AND revoked IS NULL";
    rows.execute(end, values![Kind::Key.word(), now().timestamp_millis()]).map(|_| ())
}

/// Tells it in every chain: from here on, it goes on from an older state.
fn tell(rows: &mut dyn Rows, keys: &Keys, made: &str, now: DateTime<Utc>) -> Result<(), KeyError> {
    let event = Event { detail: made, ..Event::done("server.restore", "") };
    audit::append(rows, keys, &server_scope(), &Actor::operator(), &event, now)?;
    for mut row in rows.query("SELECT id FROM organizations WHERE deleted IS NULL ORDER BY id", &[])? {
        audit::append(rows, keys, &OrgScope::of(row.text(0)?), &Actor::operator(), &event, now)?;
    }
    Ok(())
}

fn unwritten(file: &Path, cause: &std::io::Error) -> ServeError {
    ServeError::Unwritten { file: file.display().to_string(), problem: cause.to_string() }
}

fn newer(file: &Path) -> ServeError {
    ServeError::NewerBackup { file: file.display().to_string() }
}

fn bad(file: &Path, problem: &str) -> ServeError {
    ServeError::Backup { file: file.display().to_string(), problem: problem.to_owned() }
}
