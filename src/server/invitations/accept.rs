//! Accepting an invitation: the one whom it is for does, and of several who try at once, one succeeds.

use chrono::{DateTime, Utc};

use crate::secret::Secret;
use crate::server::audit::{self, Actor, Event};
use crate::server::db::{DbError, OrgScope, Reach, Rows, values};
use crate::server::edge::Source;
use crate::server::people;
use crate::server::permission::{Permission, Role};
use crate::server::portal::SignedIn;
use crate::server::problem::{Answer, Problem};
use crate::server::state::{Server, now};
use crate::server::team::hold;
use crate::server::token::{self, Kind};

/// An invitation that can be accepted now.
pub(super) struct Invited {
    pub(super) id: String,
    pub(super) scope: OrgScope,
    pub(super) organization: String,
    pub(super) role: Role,
    pub(super) expires: i64,
    /// The login or the address of the one whom it is for.
    pub(super) whom: String,
}

impl Invited {
    /// Whether it is for somebody of this login or address.
    pub(super) fn is_for(&self, name: &str) -> bool {
        people::login(name).is_some_and(|name| name == self.whom)
    }
}

/// Who accepts it.
pub(crate) enum Who<'w> {
    /// Somebody new, with the hash of their passphrase.
    New {
        /// The login.
        login: &'w str,
        /// The hash.
        hash: &'w str,
        /// What they are known by: the login, or the address that an issuer vouches for, if it does for one.
        name: Option<&'w str>,
    },
    /// Whoever is signed in.
    Known(&'w SignedIn),
    /// Somebody who was a member before, as an issuer of the organization says; [`is_for`] has found that it is for them.
    Back {
        /// The person.
        person: &'w str,
    },
}

/// How an invitation is shown.
pub(crate) enum By<'b> {
    /// By its link.
    Token(&'b Secret),
    /// By its identifier, to whom its link was shown before.
    Id(&'b str),
}

/// What came of it.
pub(crate) enum Accepted {
    /// This person is a member; this is their new session.
    Joined {
        /// The person.
        person: String,
        /// The token of the session.
        session: Secret,
    },
    /// The link was used, withdrawn, has expired, or is none.
    Gone,
    /// They are in the organization already; the link stays.
    AlreadyIn,
    /// It is for somebody else; the link stays.
    NotTheirs,
    /// Somebody has the login; the link stays.
    LoginTaken,
    /// Whoever is signed in is so in another organization alone; the link stays.
    Elsewhere,
}

/// The public part of a token that could be an invitation.
pub(super) fn parsed(token: &Secret) -> Option<token::Parsed> {
    token::parse(token.expose()).filter(|parsed| parsed.kind == Kind::Invitation)
}

/// The invitation of a token, if it can be accepted now: whoever made it must still be able to make it.
pub(super) fn find(rows: &mut dyn Rows, token: &Secret, now: DateTime<Utc>) -> Result<Option<Invited>, DbError> {
    find_by(rows, &By::Token(token), now)
}

/// The organization and the public part of an invitation whose link this is, if it can be accepted now.
pub(crate) fn link(
    rows: &mut dyn Rows,
    token: &Secret,
    now: DateTime<Utc>,
) -> Result<Option<(OrgScope, String)>, DbError> {
    Ok(find(rows, token, now)?.map(|invited| (invited.scope, invited.id)))
}

fn find_by(rows: &mut dyn Rows, by: &By<'_>, now: DateTime<Utc>) -> Result<Option<Invited>, DbError> {
    let (id, parsed) = match by {
        By::Id(id) => ((*id).to_owned(), None),
        By::Token(token) => match parsed(token) {
            Some(parsed) => (parsed.id.clone(), Some(parsed)),
            None => return Ok(None),
        },
    };
    let one = "SELECT org, hash, role, inviter, expires, organizations.name, whom FROM member_invitations \
               JOIN organizations ON organizations.id = member_invitations.org \
               WHERE member_invitations.id = $1 AND spent IS NULL AND expires > $2";
    let Some(mut row) = rows.first(one, values![&id, now.timestamp_millis()])? else { return Ok(None) };
    let (scope, hash) = (OrgScope::of(row.text(0)?), row.bytes(1)?);
    let (role, inviter, expires) = (Role::from_word(&row.text(2)?), row.text(3)?, row.int(4)?);
    let (organization, whom) = (row.text(5)?, row.text(6)?);
    let Some(role) = role.filter(|_| parsed.is_none_or(|parsed| parsed.is(&hash))) else { return Ok(None) };
    let may = |inviter: Role| inviter.covers(role) && inviter.permissions().has(Permission::MembersManage);
    let stands = people::role(rows, &scope, &inviter)?.is_some_and(may);
    Ok(stands.then_some(Invited { id, scope, organization, role, expires, whom }))
}

/// Whether an invitation, if it can be accepted now, is for somebody who is known by one of these names.
pub(crate) fn is_for(rows: &mut dyn Rows, id: &str, names: &[&str], now: DateTime<Utc>) -> Result<bool, DbError> {
    let invited = find_by(rows, &By::Id(id), now)?;
    Ok(invited.is_none_or(|invited| names.iter().any(|name| invited.is_for(name))))
}

/// Makes a member of whoever accepts.
pub(super) fn accept(server: &Server, token: &Secret, who: &Who<'_>, source: &Source) -> Answer<Accepted> {
    server.db.write(Reach::Server, |rows| accept_within(rows, server, &By::Token(token), who, None, source))
}

/// The same within a transaction. Who comes by an issuer is signed in to `only` the organization that believes it; an
/// invitation of another one is none for them.
pub(crate) fn accept_within(
    rows: &mut dyn Rows,
    server: &Server,
    by: &By<'_>,
    who: &Who<'_>,
    only: Option<&OrgScope>,
    source: &Source,
) -> Answer<Accepted> {
    let now = now();
    let Some(first) = find_by(rows, by, now)? else { return Ok(Accepted::Gone) };
    // Looked at again when nobody else can change the organization any more.
    rows.enter(Reach::Of(&first.scope))?;
    hold(rows, &first.scope)?;
    let Some(invited) = find_by(rows, by, now)? else { return Ok(Accepted::Gone) };
    let scope = &invited.scope;
    let known = match who {
        Who::New { .. } => None,
        Who::Known(known) => Some(known.person.id.as_str()),
        Who::Back { person } => Some(*person),
    };
    let only = match who {
        Who::Known(known) => known.only.as_ref(),
        _ => only,
    };
    if only.is_some_and(|only| only != scope) {
        return Ok(Accepted::Elsewhere);
    }
    let is_theirs = match who {
        Who::New { name, .. } => name.is_some_and(|name| invited.is_for(name)),
        Who::Known(known) => invited.is_for(&known.person.login),
        Who::Back { .. } => true,
    };
    if !is_theirs {
        return Ok(Accepted::NotTheirs);
    }
    match (who, known) {
        (Who::New { login, .. }, _) if people::by_login(rows, login)?.is_some() => return Ok(Accepted::LoginTaken),
        (_, Some(person)) if people::role(rows, scope, person)?.is_some() => return Ok(Accepted::AlreadyIn),
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
        Who::New { login, hash, .. } => people::new_person(rows, login, hash, now)?.id,
        _ => known.unwrap_or_default().to_owned(),
    };
    people::join(rows, scope, &person, invited.role, now)?;
    let session = match who {
        // With more rights comes another session. A link is no proof of who somebody is: what was shown was shown before.
        Who::Known(known) => people::carry_on(rows, &known.session, now)?.ok_or_else(Problem::unauthenticated)?,
        _ => people::sign_in_to(rows, &person, only, now)?,
    };
    let actor = Actor { person: person.clone(), token: session.id, ..source.actor() };
    for event in [
        Event::done("invitation.accept", &invited.id),
        Event { detail: invited.role.word(), ..Event::done("member.create", &person) },
    ] {
        audit::append(rows, &server.keys, scope, &actor, &event, now)?;
    }
    Ok(Accepted::Joined { person, session: session.token })
}
