//! Accepting an invitation: of several who try at once, one succeeds.

use chrono::{DateTime, Utc};

use crate::secret::Secret;
use crate::server::audit::{self, Actor, Event};
use crate::server::db::{DbError, OrgScope, Reach, Rows, values};
use crate::server::edge::Source;
use crate::server::people;
use crate::server::permission::{Permission, Role};
use crate::server::portal::SignedIn;
use crate::server::problem::Answer;
use crate::server::state::{Server, now};
use crate::server::team::hold;
use crate::server::token::{self, Kind};

/// An invitation that can be accepted now.
pub(super) struct Invited {
    id: String,
    scope: OrgScope,
    pub(super) organization: String,
    pub(super) role: Role,
    pub(super) expires: i64,
}

/// Who accepts it.
pub(super) enum Who<'w> {
    /// Somebody new, with the hash of their passphrase.
    New {
        /// The login.
        login: &'w str,
        /// The hash.
        hash: &'w str,
    },
    /// Whoever is signed in.
    Known(&'w SignedIn),
}

/// What came of it.
pub(super) enum Accepted {
    /// They are a member; this is their new session.
    Joined(Secret),
    /// The link was used, withdrawn, has expired, or is none.
    Gone,
    /// They are in the organization already; the link stays.
    AlreadyIn,
    /// Somebody has the login; the link stays.
    LoginTaken,
}

/// The public part of a token that could be an invitation.
pub(super) fn parsed(token: &Secret) -> Option<token::Parsed> {
    token::parse(token.expose()).filter(|parsed| parsed.kind == Kind::Invitation)
}

/// The invitation of a token, if it can be accepted now: whoever made it must still be able to make it.
pub(super) fn find(rows: &mut dyn Rows, token: &Secret, now: DateTime<Utc>) -> Result<Option<Invited>, DbError> {
    let Some(parsed) = parsed(token) else { return Ok(None) };
    let one = "SELECT org, hash, role, inviter, expires, organizations.name FROM member_invitations \
               JOIN organizations ON organizations.id = member_invitations.org \
               WHERE member_invitations.id = $1 AND spent IS NULL AND expires > $2";
    let Some(mut row) = rows.first(one, values![&parsed.id, now.timestamp_millis()])? else { return Ok(None) };
    let (scope, hash) = (OrgScope::of(row.text(0)?), row.bytes(1)?);
    let (role, inviter, expires) = (Role::from_word(&row.text(2)?), row.text(3)?, row.int(4)?);
    let organization = row.text(5)?;
    let Some(role) = role.filter(|_| parsed.is(&hash)) else { return Ok(None) };
    let may = |inviter: Role| inviter.covers(role) && inviter.permissions().has(Permission::MembersManage);
    let stands = people::role(rows, &scope, &inviter)?.is_some_and(may);
    Ok(stands.then_some(Invited { id: parsed.id, scope, organization, role, expires }))
}

/// Makes a member of whoever accepts.
pub(super) fn accept(server: &Server, token: &Secret, who: &Who<'_>, source: &Source) -> Answer<Accepted> {
    let now = now();
    server.db.write(Reach::Server, |rows| -> Answer<Accepted> {
        let Some(first) = find(rows, token, now)? else { return Ok(Accepted::Gone) };
        // Looked at again when nobody else can change the organization any more.
        rows.enter(Reach::Of(&first.scope))?;
        hold(rows, &first.scope)?;
        let Some(invited) = find(rows, token, now)? else { return Ok(Accepted::Gone) };
        let scope = &invited.scope;
        match who {
            Who::New { login, .. } if people::by_login(rows, login)?.is_some() => return Ok(Accepted::LoginTaken),
            Who::Known(known) if people::role(rows, scope, &known.person.id)?.is_some() => {
                return Ok(Accepted::AlreadyIn);
            }
            _ => {}
        }
        let spent = rows.execute(
            "UPDATE member_invitations SET spent = $3 WHERE org = $1 AND id = $2 AND spent IS NULL",
            values![scope.id(), &invited.id, now.timestamp_millis()],
        )?;
        if spent == 0 {
            return Ok(Accepted::Gone);
        }
        let person = match who {
            Who::New { login, hash } => people::new_person(rows, login, hash, now)?.id,
            Who::Known(known) => known.person.id.clone(),
        };
        people::join(rows, scope, &person, invited.role, now)?;
        // With more rights comes another session.
        if let Who::Known(known) = who {
            people::sign_out(rows, &known.session)?;
        }
        let session = people::sign_in(rows, &person, now)?;
        let actor = Actor { person: person.clone(), token: session.id, ..source.actor() };
        for event in [
            Event::done("invitation.accept", &invited.id),
            Event { detail: invited.role.word(), ..Event::done("member.create", &person) },
        ] {
            audit::append(rows, &server.keys, scope, &actor, &event, now)?;
        }
        Ok(Accepted::Joined(session.token))
    })
}
