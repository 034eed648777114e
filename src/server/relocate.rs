//! Secrets that move from the database into a keeper of secrets, or back, while the server goes on.
//!
//! Each is opened, sealed anew under another data key, and laid down where new ones go; the row that names it changes in
//! one transaction, and what it named before is destroyed. Whoever breaks off leaves some here and some there, all of
//! which open; who runs it again goes on with those that have not moved.

use std::time::Duration;

use super::api::Once;
use super::audit::{self, Actor, Event, Together, server_scope};
use super::db::{Database, OrgScope, Reach, values};
use super::engine::Engine;
use super::error::ServeError;
use super::keys::Keys;
use super::serve::{current, open_existing};
use super::settings::Settings;
use super::state::now;
use super::upstream::Shelf;
use super::vault::OrgVault;
use crate::os::files::{self, Lock};
use crate::secret::SecretStore;

/// So many are looked for at a time.
const PAGE: i64 = 50;
/// How long another process that does the same is waited for.
const WAIT: Duration = Duration::from_secs(5);

/// What was done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Moved {
    /// Where to: `envelope` or `vault`.
    pub to: &'static str,
    /// So many credentials rest in the other place now, the server's own at issuers among them.
    pub moved: u64,
    /// So many do not open, and stay where they are.
    pub closed: u64,
}

/// Moves every secret to where the settings have new ones go.
pub fn move_secrets(settings: &Settings, store: &dyn SecretStore) -> Result<Moved, ServeError> {
    // Nothing is made beside what is not there.
    current(settings)?;
    files::create_private_dir(&settings.data)?;
    let _lock = Lock::acquire(&settings.data.join("rotate.lock"), WAIT, &mut |_| {})?;
    let (db, keys) = open_existing(settings, store)?;
    let engine = settings.keeping.engine.clone().fit_for(&db)?;
    if let Some(kv) = engine.outside() {
        kv.check(keys.instance())?;
    }
    all(&db, &keys, &engine)
}

/// Moves what is not where new secrets go.
pub(super) fn all(db: &Database, keys: &Keys, engine: &Engine) -> Result<Moved, ServeError> {
    let to = if engine.outside().is_some() { "vault" } else { "envelope" };
    let mut moved = Moved { to, ..Moved::default() };
    let all = "SELECT id FROM organizations WHERE deleted IS NULL ORDER BY id";
    for mut row in db.read(Reach::Server, |rows| rows.query(all, &[]))? {
        let scope = OrgScope::of(row.text(0)?);
        let of_one = of_organization(db, keys, engine, scope)?;
        (moved.moved, moved.closed) = (moved.moved + of_one.moved, moved.closed + of_one.closed);
    }
    let actor = Actor::operator();
    let event = Event { detail: to, ..Event::done("server.move-secrets", "") };
    db.write(Reach::Server, |rows| audit::append(rows, keys, &server_scope(), &actor, &event, now()))?;
    // What was destroyed in the database is overwritten; what is due in the keeper goes now.
    db.forget();
    engine.sweep(db, now())?;
    Ok(moved)
}

fn of_organization(db: &Database, keys: &Keys, engine: &Engine, scope: OrgScope) -> Result<Moved, ServeError> {
    let rest = if engine.outside().is_some() {
        "SELECT DISTINCT credential FROM secrets WHERE org = $1 AND credential > $2 ORDER BY credential LIMIT $3"
    } else {
        "SELECT credential FROM kept_secrets WHERE org = $1 AND credential > $2 ORDER BY credential LIMIT $3"
    };
    let (together, once) = (Together::default(), Once::default());
    let vault = OrgVault { db, keys, engine, together: &together, scope, actor: Actor::operator(), once, now };
    let (mut after, mut moved) = (String::new(), Moved::default());
    loop {
        let page =
            db.read(Reach::Secrets(&vault.scope), |rows| rows.query(rest, values![vault.scope.id(), &after, PAGE]))?;
        let ids = page.into_iter().map(|mut row| row.text(0)).collect::<Result<Vec<_>, _>>()?;
        let Some(last) = ids.last() else { break };
        let anew = vault.seal_anew(&ids, |_| Ok(true))?;
        (moved.moved, moved.closed) = (moved.moved + anew.done, moved.closed + anew.closed);
        after.clone_from(last);
    }
    let (issuers, lost) = Shelf { db, keys, engine }.move_all(&vault.scope)?;
    (moved.moved, moved.closed) = (moved.moved + issuers, moved.closed + lost);
    if moved.moved > 0 {
        let detail = format!("{} credentials", moved.moved);
        let event = Event { detail: &detail, ..Event::done("secrets.move", vault.scope.id()) };
        db.write(&vault.scope, |rows| audit::append(rows, keys, &vault.scope, &vault.actor, &event, now()))?;
    }
    Ok(moved)
}
