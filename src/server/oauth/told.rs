//! What the audit is told of sign-ins: what each was given, and which were refused and why.

use super::error::Given;
use crate::server::audit::{self, Actor, Event, Outcome};
use crate::server::bearer::Grant;
use crate::server::db::Rows;
use crate::server::edge::Source;
use crate::server::permission::Permissions;
use crate::server::programs::Ended;
use crate::server::state::{Server, now};

/// Whoever came with what was given to somebody.
fn actor(grant: &Grant, source: &Source) -> Actor {
    Actor { person: grant.person.clone(), ..source.actor() }
}

/// Tells that a sign-in was refused that belongs to somebody: an action, and why.
pub(super) fn refused(
    rows: &mut dyn Rows,
    server: &Server,
    grant: &Grant,
    action: &str,
    why: &str,
    source: &Source,
) -> Given<()> {
    let event = Event { outcome: Outcome::Denied, detail: why, ..Event::done(action, &grant.family) };
    Ok(audit::append(rows, &server.keys, &grant.scope, &actor(grant, source), &event, now())?)
}

/// Ends a sign-in of which what is good once came a second time, with the API keys that were made with it, and tells it.
pub(super) fn stolen(rows: &mut dyn Rows, server: &Server, grant: &Grant, source: &Source) -> Given<()> {
    let ended = Ended::now(rows, &grant.scope, &grant.family)?;
    refused(rows, server, grant, "token.reuse", "", source)?;
    Ok(ended.tell_keys(rows, &server.keys, &actor(grant, source))?)
}

/// What a program may do, in words for the audit.
pub(super) fn granted(permissions: &Permissions) -> String {
    if permissions.is_empty() { "nothing".into() } else { permissions.words() }
}
