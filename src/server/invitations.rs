//! Invitations: a link that makes a member of the one whom it is for, once, within seven days.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::Method;
use chrono::{DateTime, TimeDelta, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::api::{Created, Creation, Done, Json, Query};
use super::audit::Event;
use super::bridge::blocking;
use super::caller::{Access, Caller};
use super::db::{DbError, OrgScope, Row, Rows, values};
use super::paging::{Asked, Part};
use super::people;
use super::permission::{Permission, Role};
use super::problem::{Answer, Problem};
use super::routes::Route;
use super::state::{Server, now};
use super::team::{self, alone, role};
use super::token::{self, Kind};
use crate::secret::Secret;

mod accept;
mod page;

pub(crate) use accept::{Accepted, By, Who, accept_within, is_for, link};

/// A link is good for so long.
const LIFE: TimeDelta = TimeDelta::days(7);
const NOTE: usize = 128;

const ALL: &str = "/invitations";
const ONE: &str = "/invitations/{id}";

pub(crate) fn routes() -> Vec<Route> {
    let manage = Access::Permission(Permission::MembersManage);
    vec![
        Route::api(Method::GET, ALL, manage, list, "listInvitations", "List invitations that can be accepted"),
        Route::api(Method::POST, ALL, manage, create, "createInvitation", "Invite somebody by a link"),
        Route::api(Method::DELETE, ONE, manage, withdraw, "withdrawInvitation", "Withdraw an invitation"),
        Route::new(Method::GET, "/invite", Access::Page, page::show),
        Route::new(Method::POST, "/invite", Access::Page, page::submit),
    ]
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Wanted {
    #[schemars(extend("enum" = team::ROLES))]
    role: String,
    /// The login or the e-mail address of the one whom it is for: nobody else can accept it.
    #[serde(rename = "for")]
    #[schemars(length(min = 2, max = 128))]
    whom: String,
    /// What to know it again by.
    #[serde(default)]
    #[schemars(length(max = 128))]
    note: String,
}

/// An invitation that was just made, the only time that its link is there to be shown.
pub(crate) struct Made {
    id: String,
    pub(crate) whom: String,
    note: String,
    created: DateTime<Utc>,
    pub(crate) role: Role,
    pub(crate) expires: DateTime<Utc>,
    pub(crate) link: Secret,
}

/// The same as the API answers it.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "NewInvitation")]
struct Given {
    id: String,
    role: &'static str,
    /// The one whom it is for.
    #[serde(rename = "for")]
    whom: String,
    note: String,
    created: DateTime<Utc>,
    expires: DateTime<Utc>,
    /// What makes a member of the one whom it is for, once. It is shown this once.
    #[serde(skip_serializing_if = "Option::is_none")]
    link: Option<String>,
}

/// An invitation that may still be accepted: never its link.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Invitation")]
pub(crate) struct Open {
    pub(crate) id: String,
    pub(crate) role: String,
    /// The one whom it is for.
    #[serde(rename = "for")]
    pub(crate) whom: String,
    pub(crate) note: String,
    pub(crate) inviter: String,
    pub(crate) created: Option<DateTime<Utc>>,
    pub(crate) expires: Option<DateTime<Utc>>,
}

/// Invites the one of a login or an address, who is told of in a note.
pub(crate) fn invite(server: &Server, caller: &Caller, role: Role, whom: &str, note: &str) -> Answer<Made> {
    const WHOM: &str = "an invitation is for one login or e-mail address, of letters, digits and . _ @ + -";
    let whom = people::login(whom).ok_or_else(|| Problem::invalid(WHOM).about("for"))?;
    let note = note.trim().to_owned();
    if note.chars().count() > NOTE || note.chars().any(crate::text::is_unprintable) {
        let problem = Problem::invalid(format!("a note has at most {NOTE} characters, in one line"));
        return Err(problem.about("note"));
    }
    let minted = token::mint(Kind::Invitation)?;
    let (created, expires) = (now(), now() + LIFE);
    let event = Event { detail: role.word(), ..Event::done("invitation.create", &minted.id) };
    alone(server, caller, &event, |rows, caller| {
        caller.needs(Permission::MembersManage)?;
        caller.may_make(role)?;
        rows.execute(
            "INSERT INTO member_invitations (org, id, hash, role, note, inviter, created, expires, whom) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            values![
                caller.scope.id(),
                &minted.id,
                &minted.hash,
                role.word(),
                &note,
                &caller.person.id,
                created.timestamp_millis(),
                expires.timestamp_millis(),
                &whom,
            ],
        )?;
        Ok(())
    })?;
    let link = Secret::new([server.address("/invite?token=").as_str(), minted.token.expose()].concat());
    Ok(Made { id: minted.id, whom, note, created, role, expires, link })
}

macro_rules! open {
    () => {
        "SELECT member_invitations.id, role, note, people.login, member_invitations.created, expires, whom \
         FROM member_invitations JOIN people ON people.id = member_invitations.inviter \
         WHERE org = $1 AND spent IS NULL AND expires > $2 AND "
    };
}

impl Open {
    fn read(mut row: Row) -> Result<Self, DbError> {
        let time = DateTime::from_timestamp_millis;
        let (created, expires) = (time(row.int(4)?), time(row.int(5)?));
        let (id, role, note, inviter) = (row.text(0)?, row.text(1)?, row.text(2)?, row.text(3)?);
        Ok(Self { id, role, whom: row.text(6)?, note, inviter, created, expires })
    }
}

/// One page of those that may still be accepted.
pub(crate) fn some(server: &Server, caller: &Caller, asked: &Asked) -> Answer<Part<Open>> {
    let page = asked.page(&server.keys, &caller.scope, "invitations")?;
    server.tell(&caller.scope, &caller.actor, &Event::done("invitation.list", ""))?;
    let all = concat!(open!(), "member_invitations.id > $3 ORDER BY member_invitations.id LIMIT $4");
    let bound = values![caller.scope.id(), now().timestamp_millis(), &page.after, page.limit()];
    let found = server.db.read(&caller.scope, |rows| rows.query(all, bound))?;
    page.cut(found.into_iter().map(Open::read).collect::<Result<Vec<_>, _>>()?, |open| &open.id)
}

/// The invitation of an identifier, if it may still be accepted.
pub(crate) fn one(rows: &mut dyn Rows, scope: &OrgScope, id: &str) -> Answer<Open> {
    let one = concat!(open!(), "member_invitations.id = $3");
    let found = rows.first(one, values![scope.id(), now().timestamp_millis(), id])?;
    Ok(Open::read(found.ok_or_else(Problem::not_found)?)?)
}

/// Takes back an invitation that nobody has accepted.
pub(crate) fn take_back(server: &Server, caller: &Caller, id: &str) -> Answer<()> {
    alone(server, caller, &Event::done("invitation.withdraw", id), |rows, caller| {
        let one = "SELECT role FROM member_invitations WHERE org = $1 AND id = $2 AND spent IS NULL";
        let whose = values![caller.scope.id(), id];
        let kept = rows.first(one, whose)?.ok_or_else(Problem::not_found)?.text(0)?;
        caller.needs(Permission::MembersManage)?;
        caller.may_touch(role(&kept)?)?;
        rows.execute("DELETE FROM member_invitations WHERE org = $1 AND id = $2 AND spent IS NULL", whose)?;
        Ok(())
    })
}

async fn create(
    State(server): State<Arc<Server>>,
    caller: Caller,
    wanted: Creation<Wanted>,
) -> Answer<Created<Json<Given>>> {
    let (caller, wanted) = wanted.of(caller);
    let role = role(&wanted.role)?;
    blocking(&server, move |server| {
        let make = || -> Answer<Given> {
            let made = invite(server, &caller, role, &wanted.whom, &wanted.note)?;
            let Made { id, whom, note, created, role, expires, link } = made;
            let link = Some(link.expose().to_owned());
            Ok(Given { id, role: role.word(), whom, note, created, expires, link })
        };
        let given = caller.once.carry_out(server, make, |id| again(server, &caller, role, id))?;
        Ok(Created::nowhere(Json(given)))
    })
    .await
}

/// An invitation that was made before, while it can be accepted.
fn again(server: &Server, caller: &Caller, role: Role, id: &str) -> Answer<Given> {
    let open = "SELECT note, created, expires, whom FROM member_invitations \
                WHERE org = $1 AND id = $2 AND spent IS NULL AND expires > $3";
    let at = now().timestamp_millis();
    let found = server.db.read(&caller.scope, |rows| rows.first(open, values![caller.scope.id(), id, at]))?;
    server.tell(&caller.scope, &caller.actor, &Event::done("invitation.show", id))?;
    let mut row = found.ok_or_else(Problem::not_found)?;
    let time = |at| DateTime::from_timestamp_millis(at).unwrap_or_default();
    let (note, created, expires) = (row.text(0)?, time(row.int(1)?), time(row.int(2)?));
    Ok(Given { id: id.to_owned(), role: role.word(), whom: row.text(3)?, note, created, expires, link: None })
}

async fn list(
    State(server): State<Arc<Server>>,
    caller: Caller,
    Query(asked): Query<Asked>,
) -> Answer<Json<Part<Open>>> {
    blocking(&server, move |server| Ok(Json(some(server, &caller, &asked)?))).await
}

async fn withdraw(State(server): State<Arc<Server>>, caller: Caller, Path(id): Path<String>) -> Answer<Done> {
    blocking(&server, move |server| take_back(server, &caller, &id).map(|()| Done)).await
}
