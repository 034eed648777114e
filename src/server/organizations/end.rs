//! The end of an organization: everything of it goes, but for its audit, which nobody adds to any more.
//!
//! Its keys go with it, so that whatever a copy of the database has of its secrets opens no more. What proves its audit is
//! kept, as of every key that was replaced: the chain is looked at with the others for as long as the server is there.

use axum::http::StatusCode;

use super::find;
use crate::server::audit::{self, Event, Outcome};
use crate::server::caller::Caller;
use crate::server::db::{Closed, DbError, OrgScope, Reach, Rows, in_order, values};
use crate::server::engine::{self, Owner};
use crate::server::keys;
use crate::server::permission::Permission;
use crate::server::problem::{Answer, Problem};
use crate::server::state::{Server, now};
use crate::server::team::hold;

const ACTION: &str = "organization.delete";
/// What stays: the audit with what proves it, and the notes of what is to be destroyed in the keeper. The keys go by a way
/// of their own.
const STAYING: [&str; 6] =
    ["audit_events", "audit_heads", "audit_checkpoints", "audit_keys", "kept_leftovers", "organization_keys"];

/// Deletes the organization of a caller with everything in it, if they name it, and it is still as it was seen.
pub(crate) fn end(server: &Server, caller: &Caller, id: &str, typed: &str, seen: Option<i64>) -> Answer<()> {
    let scope = &caller.scope;
    let event = Event::done(ACTION, id);
    let done = server.db.write(scope, |rows| -> Answer<()> {
        hold(rows, scope)?;
        let standing = caller.standing(rows)?;
        let known = find(rows, scope, id)?;
        standing.needs(Permission::OrganizationsManage)?;
        known.is_as_seen(seen)?;
        if typed.trim() != known.name {
            return Err(Problem::invalid("this is not the name of the organization").about("name"));
        }
        rows.enter(Reach::Server)?;
        keep_one(rows, scope)?;
        // Before its credentials, as whoever replaces its keys does, who finds it gone afterwards.
        rows.execute("UPDATE key_rotations SET reached = reached WHERE org = $1", values![scope.id()])?;
        hold_credentials(rows, scope)?;
        keys::wait_for_sealing(rows, scope, i64::MAX)?;
        clear(rows, scope)?;
        // Holds the chain: who is adding to the organization now is done before, or finds it gone.
        for chain in [&audit::server_scope(), scope] {
            audit::append(rows, &server.keys, chain, &caller.actor, &event, now())?;
        }
        // What they have added until then.
        clear(rows, scope)?;
        server.keys.retire_all(rows, scope)?;
        rows.execute(
            "UPDATE organizations SET name = '', revision = revision + 1, deleted = $2 WHERE id = $1",
            values![scope.id(), now().timestamp_millis()],
        )?;
        Ok(())
    });
    if let Err(problem) = &done
        && problem.status().is_client_error()
    {
        server.tell(scope, &caller.actor, &Event { outcome: Outcome::Denied, ..event })?;
    }
    done?;
    server.keys.forget(scope);
    server.db.forget();
    if let Err(failure) = server.engine.sweep(&server.db, now()) {
        tracing::warn!(%failure, "secrets of a deleted organization are still in the keeper; they go later");
    }
    Ok(())
}

/// Refuses to leave a server without any organization: nobody could sign in to it any more, and nobody could make one.
fn keep_one(rows: &mut dyn Rows, scope: &OrgScope) -> Answer<()> {
    // Of two that end at once, the second waits here, and finds the first gone.
    keys::hold(rows)?;
    let other = "SELECT 1 FROM organizations WHERE id <> $1 AND deleted IS NULL LIMIT 1";
    if rows.first(other, values![scope.id()])?.is_some() {
        return Ok(());
    }
    let detail = "it is the only organization of this server: end the server and delete its database instead";
    Err(Problem::new(StatusCode::CONFLICT, "last-organization", detail))
}

/// Takes the credentials of an organization before what uses them, in the order in which everybody does.
fn hold_credentials(rows: &mut dyn Rows, scope: &OrgScope) -> Result<(), DbError> {
    rows.execute("UPDATE projects SET created = created WHERE org = $1", values![scope.id()])?;
    for mut row in rows.query("SELECT id FROM credentials WHERE org = $1 ORDER BY id", values![scope.id()])? {
        let hold = "UPDATE credentials SET revision = revision WHERE org = $1 AND id = $2";
        rows.execute(hold, values![scope.id(), &row.text(0)?])?;
    }
    Ok(())
}

/// Removes every row of an organization from every table that there is, what refers to others first.
fn clear(rows: &mut dyn Rows, scope: &OrgScope) -> Result<(), DbError> {
    rows.open(Closed::Secrets)?;
    for of in Owner::ALL {
        engine::vacate(rows, scope, of, None)?;
    }
    for table in in_order(rows.tables()?).into_iter().rev() {
        if STAYING.contains(&table.name.as_str()) {
            continue;
        }
        for column in table.columns.iter().filter(|column| matches!(column.as_str(), "org" | "only_in")) {
            rows.execute(&format!("DELETE FROM \"{}\" WHERE \"{column}\" = $1", table.name), values![scope.id()])?;
        }
    }
    Ok(())
}
