//! The members of an organization: who they are, and what they may do.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{Method, StatusCode};
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::api::{Done, Json, Query, Seen, Tagged, version};
use super::audit::Event;
use super::bearer;
use super::bridge::blocking;
use super::caller::{Access, Caller};
use super::db::{DbError, OrgScope, Row, Rows, values};
use super::paging::{Asked, Part};
use super::people;
use super::permission::{Permission, Role};
use super::problem::{Answer, Problem};
use super::routes::Route;
use super::state::{Server, now};
use super::team::{self, alone, alone_telling, keep_an_owner, member, role};
use super::token::Kind;

const ONE: &str = "/members/{id}";
const LEAVE: &str = "/members/leave";

pub(crate) fn routes() -> Vec<Route> {
    let (read, manage) = (Permission::MembersRead, Permission::MembersManage);
    vec![
        Route::api(Method::GET, "/members", Access::Permission(read), list, "listMembers", "List members"),
        Route::api(Method::GET, ONE, Access::Permission(read), show, "showMember", "Show a member"),
        Route::api(Method::POST, LEAVE, Access::Permission(read), leave, "leaveOrganization", "Leave the organization")
            .refuses(&["last-owner", "by-hand"]),
        Route::api(Method::PATCH, ONE, Access::Permission(manage), amend, "changeMember", "Change a member's role")
            .refuses(&["last-owner"]),
        Route::api(Method::DELETE, ONE, Access::Permission(manage), remove, "removeMember", "Remove a member")
            .refuses(&["last-owner"]),
    ]
}

/// A member as it is shown.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Member")]
pub(crate) struct Shown {
    pub(crate) id: String,
    pub(crate) login: String,
    pub(crate) role: String,
    pub(crate) since: Option<DateTime<Utc>>,
}

const COLUMNS: &str = "SELECT members.person, people.login, members.role, members.created FROM members \
                       JOIN people ON people.id = members.person WHERE members.org = $1";

impl Shown {
    fn read(mut row: Row) -> Result<Self, DbError> {
        let (id, login, role) = (row.text(0)?, row.text(1)?, row.text(2)?);
        Ok(Self { id, login, role, since: DateTime::from_timestamp_millis(row.int(3)?) })
    }

    /// Their version: another as soon as they are something else, or have left and come back.
    pub(crate) fn version(&self) -> i64 {
        let since = self.since.map(|since| since.timestamp_millis().to_string()).unwrap_or_default();
        version([&self.id, &self.role, &since].map(String::as_str))
    }

    fn tagged(self) -> Tagged<Self> {
        Tagged { revision: self.version(), body: self }
    }

    /// Refuses to go on where somebody else has changed what they are since it was seen.
    fn is_as_seen(&self, seen: Option<i64>) -> Answer<()> {
        if seen.is_some_and(|version| version != self.version()) { Err(Problem::changed()) } else { Ok(()) }
    }
}

/// One page of the members.
pub(crate) fn some(server: &Server, caller: &Caller, asked: &Asked) -> Answer<Part<Shown>> {
    let page = asked.page(&server.keys, &caller.scope, "members")?;
    server.tell(&caller.scope, &caller.actor, &Event::done("member.list", ""))?;
    let all = format!("{COLUMNS} AND members.person > $2 ORDER BY members.person LIMIT $3");
    let found = server
        .db
        .read(&caller.scope, |rows| rows.query(&all, values![caller.scope.id(), &page.after, page.limit()]))?;
    let read = found.into_iter().map(Shown::read).collect::<Result<Vec<_>, _>>()?;
    page.cut(read, |member| &member.id)
}

/// The member of an identifier; somebody who is none is not there.
pub(crate) fn one(rows: &mut dyn Rows, scope: &OrgScope, person: &str) -> Answer<Shown> {
    let one = format!("{COLUMNS} AND members.person = $2");
    Ok(Shown::read(rows.first(&one, values![scope.id(), person])?.ok_or_else(Problem::not_found)?)?)
}

/// The identifier of the member of a login.
pub(crate) fn of_login(rows: &mut dyn Rows, scope: &OrgScope, login: &str) -> Result<Option<String>, DbError> {
    let member = "SELECT p.id FROM people p JOIN members m ON m.person = p.id WHERE m.org = $1 AND p.login = $2";
    let found = rows.first(member, values![scope.id(), &login.trim().to_ascii_lowercase()])?;
    found.map(|mut row| row.text(0)).transpose()
}

/// Makes a member what they are to be, if they still are what was seen.
pub(crate) fn make(server: &Server, caller: &Caller, id: &str, role: Role, seen: Option<i64>) -> Answer<Shown> {
    let event = Event { detail: role.word(), ..Event::done("member.role", id) };
    alone_telling(server, caller, &event, |rows, caller| {
        let former = member(rows, &caller.scope, id)?;
        caller.needs(Permission::MembersManage)?;
        caller.may_touch(former)?;
        caller.may_make(role)?;
        one(rows, &caller.scope, id)?.is_as_seen(seen)?;
        if former == Role::Owner && role != Role::Owner {
            keep_an_owner(rows, &caller.scope, id)?;
        }
        rows.execute(
            "UPDATE members SET role = $3 WHERE org = $1 AND person = $2",
            values![caller.scope.id(), id, role.word()],
        )?;
        Ok((one(rows, &caller.scope, id)?, format!("{} → {}", former.word(), role.word())))
    })
}

/// Removes a member with all that came of being one, if they still are what was seen.
pub(crate) fn take_out(server: &Server, caller: &Caller, id: &str, seen: Option<i64>) -> Answer<()> {
    alone(server, caller, &Event::done("member.remove", id), |rows, caller| {
        let former = member(rows, &caller.scope, id)?;
        caller.needs(Permission::MembersManage)?;
        caller.may_touch(former)?;
        one(rows, &caller.scope, id)?.is_as_seen(seen)?;
        if former == Role::Owner {
            keep_an_owner(rows, &caller.scope, id)?;
        }
        Ok(end(rows, &caller.scope, id)?)
    })
}

/// Ends the membership of whoever asks, with all that came of it. Programs that somebody has given a key end nothing of
/// theirs.
pub(crate) fn go(server: &Server, caller: &Caller) -> Answer<()> {
    let id = &caller.person.id;
    alone(server, caller, &Event::done("member.leave", id), |rows, caller| {
        if !is_by_hand(rows, caller)? {
            let why = "nobody leaves an organization by an API key or as a job: sign in";
            return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "by-hand", why));
        }
        if caller.role == Role::Owner {
            keep_an_owner(rows, &caller.scope, id)?;
        }
        Ok(end(rows, &caller.scope, id)?)
    })
}

/// Whether somebody has signed in for what they do, in the portal or with a program of theirs.
fn is_by_hand(rows: &mut dyn Rows, caller: &Caller) -> Answer<bool> {
    let kind = "SELECT 1 FROM tokens WHERE org = $1 AND id = $2 AND kind <> $3";
    let whose = values![caller.scope.id(), &caller.actor.token, Kind::Access.word()];
    Ok(rows.first(kind, whose)?.is_none())
}

async fn leave(State(server): State<Arc<Server>>, caller: Caller) -> Answer<Done> {
    blocking(&server, move |server| go(server, &caller).map(|()| Done)).await
}

async fn list(
    State(server): State<Arc<Server>>,
    caller: Caller,
    Query(asked): Query<Asked>,
) -> Answer<Json<Part<Shown>>> {
    blocking(&server, move |server| Ok(Json(some(server, &caller, &asked)?))).await
}

async fn show(State(server): State<Arc<Server>>, caller: Caller, Path(id): Path<String>) -> Answer<Tagged<Shown>> {
    blocking(&server, move |server| {
        let member = server.db.read(&caller.scope, |rows| one(rows, &caller.scope, &id))?;
        server.tell(&caller.scope, &caller.actor, &Event::done("member.show", &id))?;
        Ok(member.tagged())
    })
    .await
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Amendment {
    #[schemars(extend("enum" = team::ROLES))]
    role: String,
}

async fn amend(
    State(server): State<Arc<Server>>,
    caller: Caller,
    Path(id): Path<String>,
    Seen(seen): Seen,
    Json(wanted): Json<Amendment>,
) -> Answer<Tagged<Shown>> {
    let role = role(&wanted.role)?;
    blocking(&server, move |server| Ok(make(server, &caller, &id, role, seen)?.tagged())).await
}

async fn remove(
    State(server): State<Arc<Server>>,
    caller: Caller,
    Path(id): Path<String>,
    Seen(seen): Seen,
) -> Answer<Done> {
    blocking(&server, move |server| take_out(server, &caller, &id, seen).map(|()| Done)).await
}

/// Ends a membership with all that came of it: should the person be invited again, nothing of before is good. The trust
/// rules and the issuers that they stand for are the organization's, and stay: as long as they are gone, these let nobody
/// in, and afterwards nobody with more than the person has then.
fn end(rows: &mut dyn Rows, scope: &OrgScope, person: &str) -> Result<(), DbError> {
    // Held, so that a session which begins now is seen.
    people::hold(rows, person)?;
    let whose = values![scope.id(), person];
    for end in [
        // What counts in other organizations as well is not this one's.
        "DELETE FROM sessions WHERE only_in = $1 AND person = $2",
        "DELETE FROM half_sessions WHERE only_in = $1 AND person = $2",
        "DELETE FROM project_roles WHERE org = $1 AND person = $2",
        "DELETE FROM member_invitations WHERE org = $1 AND inviter = $2 AND spent IS NULL",
        "DELETE FROM codes WHERE org = $1 AND person = $2",
        "DELETE FROM devices WHERE org = $1 AND person = $2",
        "DELETE FROM members WHERE org = $1 AND person = $2",
    ] {
        rows.execute(end, whose)?;
    }
    bearer::revoke_person(rows, scope, person, now())
}
