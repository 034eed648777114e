//! Other keys in the place of those in force, while the server goes on.
//!
//! One transaction makes the new keys: from then on everything new is sealed under them. What rests under the old ones
//! is wrapped anew afterwards, a little at a time, so that others read and write in between; a note in the database says
//! for which organizations that is not done yet, so that whoever runs this again goes on where it broke off. An old key
//! goes when nothing rests under it any more.

use std::time::Duration;

use super::api::Once;
use super::audit::{self, Actor, Event, Together, server_scope};
use super::db::{Closed, Database, DbError, OrgScope, Reach, Rows, values};
use super::engine::Engine;
use super::error::ServeError;
use super::keys::{self, KeyError, Keys, Master, Replacement, hold};
use super::serve::{current, open_existing, place};
use super::settings::Settings;
use super::signing::SigningKey;
use super::state::now;
use super::vault::OrgVault;
use crate::os::files::{self, Lock};
use crate::secret::SecretStore;
use crate::vault::VaultError;

mod own;

pub use own::OwnRotated;

/// So many are done in one transaction: others that write wait no longer than that takes.
const PAGE: i64 = 50;
/// A master key that is announced comes into force after so long: by then, servers that share the database hold it.
const ANNOUNCED: Duration = keys::LOOK.saturating_mul(3);
/// So often is begun anew where somebody else was faster.
const TRIES: usize = 4;
/// How long another process that does the same is waited for.
const WAIT: Duration = Duration::from_secs(5);

/// What is to be replaced besides the keys of the organizations.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    /// The master key, too.
    pub master: bool,
    /// The keys of the secrets themselves, and the server's own, too: everything is sealed anew.
    pub secrets: bool,
}

/// What was done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rotated {
    /// It was begun before, and only ended now.
    pub resumed: bool,
    /// Organizations whose key was replaced, each with the version of the new one.
    pub organizations: Vec<(String, i64)>,
    /// So many data keys rest under another key now.
    pub rewrapped: u64,
    /// So many credentials do not open. They stay as they are, and so does the key that they rest under.
    pub closed: u64,
    /// What became of the server's own key, where that was replaced.
    pub own: Option<OwnRotated>,
}

/// Replaces the key that ID tokens are signed with; the identifier of the new one. The old one stays published for as long
/// as what it signed may count.
pub fn rotate_signing_key(settings: &Settings, store: &dyn SecretStore) -> Result<String, ServeError> {
    let (db, keys) = open_existing(settings, store)?;
    Ok(db.write(Reach::Server, |rows| -> Result<String, KeyError> {
        let id = SigningKey::replace(rows, &keys, now())?;
        let event = Event::done("signing-key.replace", &id);
        audit::append(rows, &keys, &server_scope(), &Actor::operator(), &event, now())?;
        Ok(id)
    })?)
}

/// How far it is: so many data keys rest under the new ones, of so many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Done so far.
    pub done: u64,
    /// To be done in all, as was counted at the beginning.
    pub of: u64,
}

/// Replaces the keys of a server, or ends what was begun before. After each part of the work it tells how far it is.
pub fn rotate_key(
    settings: &Settings,
    store: &dyn SecretStore,
    wanted: Wanted,
    tell: &mut dyn FnMut(Progress),
) -> Result<Rotated, ServeError> {
    // Nothing is made beside what is not there.
    current(settings)?;
    files::create_private_dir(&settings.data)?;
    let _lock = Lock::acquire(&settings.data.join("rotate.lock"), WAIT, &mut |_| {})?;
    let (db, keys) = open_existing(settings, store)?;
    let engine = settings.keeping.engine.clone().fit_for(&db)?;
    let place = place(settings, store, &db);
    keys.settle(&db, &place)?;
    let own_unfinished = || db.read(Reach::Server, own::unfinished);
    let (mut unfinished, mut own) = (unfinished(&db)?, own_unfinished()?);
    let resumed = !unfinished.is_empty() || own.is_some();
    if !resumed {
        begin(&db, &keys, &place, wanted)?;
        (unfinished, own) = (self::unfinished(&db)?, own_unfinished()?);
    }
    // Somebody else may have begun it, from another machine.
    keys.catch_up(&db, &place)?;
    let mut rotated = Rotated { resumed, ..Rotated::default() };
    let mut progress = Progress { done: 0, of: left(&db, &unfinished)? };
    let mut more = |done: u64| {
        progress.done += done;
        tell(progress);
    };
    for one in unfinished {
        let version = one.version;
        let org = one.scope.id().to_owned();
        let work = Work { db: &db, keys: &keys, engine: &engine, together: Together::default(), one };
        let (done, closed) = work.finish(&mut more)?;
        rotated.organizations.push((org, version));
        rotated.rewrapped += done;
        rotated.closed += closed;
    }
    if let Some(version) = own {
        let work = own::Work { db: &db, keys: &keys, engine: &engine, version };
        rotated.own = Some(work.finish()?);
    }
    // What rested under the old keys is overwritten.
    db.forget();
    Ok(rotated)
}

/// An organization that has a new key, under which not everything rests yet.
struct Unfinished {
    scope: OrgScope,
    version: i64,
    anew: bool,
    reached: String,
}

fn unfinished(db: &Database) -> Result<Vec<Unfinished>, DbError> {
    db.read(Reach::Server, |rows| {
        let mut found = Vec::new();
        for mut row in rows.query("SELECT org, version, anew, reached FROM key_rotations ORDER BY org", &[])? {
            found.push(Unfinished {
                scope: OrgScope::of(row.text(0)?),
                version: row.int(1)?,
                anew: row.int(2)? != 0,
                reached: row.text(3)?,
            });
        }
        Ok(found)
    })
}

/// How many data keys rest under an older key.
fn left(db: &Database, unfinished: &[Unfinished]) -> Result<u64, DbError> {
    let count = "SELECT COUNT(*) FROM data_keys WHERE org = $1 AND key_version < $2";
    let mut left = 0;
    for one in unfinished {
        let row =
            db.read(Reach::Secrets(&one.scope), |rows| rows.first(count, values![one.scope.id(), one.version]))?;
        left += u64::try_from(row.ok_or(DbError::Shape)?.int(0)?).unwrap_or_default();
    }
    Ok(left)
}

/// How it was begun.
enum Begun {
    /// Here.
    Here,
    /// By somebody else, who is not done yet.
    Elsewhere,
    /// Somebody else has put the key into force that was announced, and is done.
    Overtaken,
}

/// Makes the new keys, all of them or none.
fn begin(db: &Database, keys: &Keys, place: &Master<'_>, wanted: Wanted) -> Result<(), ServeError> {
    for _ in 0..TRIES {
        keys.catch_up(db, place)?;
        let next = if wanted.master { Some(Replacement::make(db, keys, place)?) } else { None };
        if next.as_ref().is_some_and(Replacement::is_announced) {
            std::thread::sleep(ANNOUNCED);
            keys.catch_up(db, place)?;
        }
        match begun(db, keys, next.as_ref(), wanted)? {
            // Whoever dies before this finds the new one beside the old one, and the proof in the database is of it.
            Begun::Here => return next.map_or(Ok(()), |next| next.promote(keys, place)),
            Begun::Elsewhere => return Ok(()),
            Begun::Overtaken => {}
        }
    }
    Err(DbError::Busy.into())
}

fn begun(db: &Database, keys: &Keys, next: Option<&Replacement>, wanted: Wanted) -> Result<Begun, ServeError> {
    let (now, actor) = (now(), Actor::operator());
    Ok(db.write(Reach::Server, |rows| -> Result<Begun, KeyError> {
        // Whoever does the same from another machine has begun before, or waits here until this is over.
        hold(rows)?;
        if rows.first("SELECT 1 FROM key_rotations LIMIT 1", &[])?.is_some() || own::unfinished(rows)?.is_some() {
            return Ok(Begun::Elsewhere);
        }
        if let Some(next) = next {
            if !next.rewrap(rows, keys)? {
                return Ok(Begun::Overtaken);
            }
            audit::append(rows, keys, &server_scope(), &actor, &Event::done("master-key.rotate", ""), now)?;
        }
        if wanted.secrets {
            own::begin(rows, keys)?;
        }
        for mut row in rows.query("SELECT id FROM organizations WHERE deleted IS NULL ORDER BY id", &[])? {
            let scope = OrgScope::of(row.text(0)?);
            let version = keys.next(rows, &scope, now)?;
            rows.execute(
                "INSERT INTO key_rotations (org, version, anew, reached) VALUES ($1, $2, $3, '')",
                values![scope.id(), version, i64::from(wanted.secrets)],
            )?;
            let event = Event { detail: &format!("version {version}"), ..Event::done("key.rotate", scope.id()) };
            audit::append(rows, keys, &scope, &actor, &event, now)?;
        }
        Ok(Begun::Here)
    })?)
}

struct Work<'w> {
    db: &'w Database,
    keys: &'w Keys,
    engine: &'w Engine,
    together: Together,
    one: Unfinished,
}

impl Work<'_> {
    fn vault(&self) -> OrgVault<'_> {
        OrgVault {
            db: self.db,
            keys: self.keys,
            engine: self.engine,
            together: &self.together,
            scope: self.one.scope.clone(),
            actor: Actor::operator(),
            once: Once::default(),
            now,
        }
    }

    /// Does what is left. Gives how many data keys were wrapped anew, and how many credentials do not open.
    fn finish(&self, more: &mut dyn FnMut(u64)) -> Result<(u64, u64), ServeError> {
        let mut done = if self.one.anew { self.seal_anew(more)? } else { 0 };
        for _ in 0..TRIES {
            let (rewrapped, closed) = self.rewrap(more)?;
            done += rewrapped;
            if self.retire(closed)? {
                return Ok((done, closed));
            }
        }
        // The note stays, so that whoever runs this again ends it.
        Err(DbError::Busy.into())
    }

    fn seal_anew(&self, more: &mut dyn FnMut(u64)) -> Result<u64, ServeError> {
        let (vault, scope) = (self.vault(), &self.one.scope);
        let (mut reached, mut done) = (self.one.reached.clone(), 0);
        loop {
            // What is stored from now on rests under the new key: it is not run after.
            let some = "SELECT credential FROM data_keys WHERE org = $1 AND credential > $2 AND key_version < $3 \
                        ORDER BY credential LIMIT $4";
            let page = values![scope.id(), &reached, self.one.version, PAGE];
            let page = self.db.read(Reach::Secrets(scope), |rows| rows.query(some, page))?;
            let ids = page.into_iter().map(|mut row| row.text(0)).collect::<Result<Vec<_>, _>>()?;
            let Some(last) = ids.last() else { return Ok(done) };
            // Nothing is done where others have ended it, and they wait while it is done here.
            let note = "UPDATE key_rotations SET reached = $3 WHERE org = $1 AND version = $2";
            let noted = |rows: &mut dyn Rows| Ok(rows.execute(note, values![scope.id(), self.one.version, last])? > 0);
            let sealed = vault.seal_anew(&ids, noted)?.done;
            done += sealed;
            more(sealed);
            reached.clone_from(last);
        }
    }

    fn rewrap(&self, more: &mut dyn FnMut(u64)) -> Result<(u64, u64), ServeError> {
        let vault = self.vault();
        let (mut after, mut done, mut closed) = (String::new(), 0, 0);
        while let Some(page) = self.db.write(&self.one.scope, |rows| -> Result<_, VaultError> {
            if self.hold(rows)? { vault.rewrap(rows, &after, PAGE) } else { Ok(None) }
        })? {
            after = page.last;
            done += page.done;
            more(page.done);
            closed += page.closed;
        }
        Ok((done, closed))
    }

    /// Keeps whoever does the same from another machine waiting until the transaction ends; `false` where they have ended
    /// it.
    fn hold(&self, rows: &mut dyn Rows) -> Result<bool, DbError> {
        let hold = "UPDATE key_rotations SET reached = reached WHERE org = $1 AND version = $2";
        Ok(rows.execute(hold, values![self.one.scope.id(), self.one.version])? > 0)
    }

    /// Takes those of the older keys away under which nothing rests, and notes that it is done. `false` where more than
    /// the `closed` that do not open rests under them: somebody has stored it since, who had the older key in hand. Whoever
    /// is still about to is waited for.
    fn retire(&self, closed: u64) -> Result<bool, ServeError> {
        let scope = &self.one.scope;
        let (now, actor) = (now(), Actor::operator());
        let done = self.db.write(scope, |rows| -> Result<bool, KeyError> {
            // Held before the note, as whoever deletes the organization does.
            hold(rows)?;
            if !self.hold(rows)? {
                return Ok(true);
            }
            keys::wait_for_sealing(rows, scope, self.one.version)?;
            rows.open(Closed::Secrets)?;
            let older = "SELECT k.version, (SELECT COUNT(*) FROM data_keys d WHERE d.org = k.org \
                         AND d.key_version = k.version) FROM organization_keys k WHERE k.org = $1 AND k.version < $2";
            let mut left = 0;
            for mut row in rows.query(older, values![scope.id(), self.one.version])? {
                let (version, count) = (row.int(0)?, row.int(1)?);
                left += u64::try_from(count).unwrap_or_default();
                if count > 0 {
                    continue;
                }
                self.keys.retire(rows, scope, version)?;
                let event = Event { detail: &format!("version {version}"), ..Event::done("key.retire", scope.id()) };
                audit::append(rows, self.keys, scope, &actor, &event, now)?;
            }
            if left > closed {
                return Ok(false);
            }
            rows.execute("DELETE FROM key_rotations WHERE org = $1", values![scope.id()])?;
            Ok(true)
        });
        is_retired(done)
    }
}

/// Whether the older keys have gone; not where something has come to rest under one while it was to go.
fn is_retired(done: Result<bool, KeyError>) -> Result<bool, ServeError> {
    match done {
        Err(KeyError::Db(DbError::Linked(_))) => Ok(false),
        done => Ok(done?),
    }
}

#[cfg(test)]
mod tests;
