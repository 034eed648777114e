//! The members of an organization: who they are, what they are to be, and the end of being one.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::Method;
use axum::response::{IntoResponse, Response};

use super::fields::{Slip, buttons, choice, summary};
use super::inside::{Inside, Sent};
use super::page::{Page, Text, sent_on};
use super::question::Question;
use super::shell::{Listed, One, Place, fixable, hidden, said, time};
use super::table::{ACTIONS, Table, action, pages};
use crate::server::bridge::blocking;
use crate::server::caller::Access;
use crate::server::members::{self, Shown};
use crate::server::paging::{Asked, Part};
use crate::server::permission::{Permission, Role};
use crate::server::problem::{Answer, Problem};
use crate::server::routes::Route;
use crate::server::state::{Server, now};
use crate::server::team;

const LEAVE: &str = "/portal/{org}/members/leave";

pub(super) fn routes() -> Vec<Route> {
    let manage = Access::Inside(Permission::MembersManage);
    vec![
        Route::new(Method::GET, "/portal/{org}/members", Access::Inside(Permission::MembersRead), list),
        Route::new(Method::GET, LEAVE, Access::Inside(Permission::MembersRead), ask_to_leave).freshly(LEAVE),
        Route::new(Method::POST, LEAVE, Access::Inside(Permission::MembersRead), leave).freshly(LEAVE),
        Route::new(Method::GET, "/portal/{org}/members/{id}/role", manage, show)
            .freshly("/portal/{org}/members/{id}/role"),
        Route::new(Method::POST, "/portal/{org}/members/{id}/role", manage, submit)
            .freshly("/portal/{org}/members/{id}/role"),
        Route::new(Method::GET, "/portal/{org}/members/{id}/remove", manage, ask)
            .freshly("/portal/{org}/members/{id}/remove"),
        Route::new(Method::POST, "/portal/{org}/members/{id}/remove", manage, remove)
            .freshly("/portal/{org}/members/{id}/remove"),
    ]
}

const DONE: &[(&str, &str)] = &[("changed", "The role is another now."), ("removed", "They are no member any more.")];

async fn list(State(server): State<Arc<Server>>, inside: Inside, Query(listed): Query<Listed>) -> Answer<Response> {
    blocking(&server, move |server| {
        let part = members::some(server, &inside.caller, &Asked::after(listed.after.clone()))?;
        Ok(page(&inside, &part, &listed).into_response())
    })
    .await
}

fn page(inside: &Inside, part: &Part<Shown>, listed: &Listed) -> Page {
    let now = now();
    let manages = inside.may(Permission::MembersManage);
    let mut table = Table::new("Members", &["Login", "Role", "Since", ACTIONS]);
    for member in &part.items {
        let is_self = member.id == inside.caller.person.id;
        let this = if is_self { " <span class=\"status open\">you</span>" } else { "" };
        let at = |rest: &str| inside.path(&format!("members/{}/{rest}", member.id));
        let reachable = Role::from_word(&member.role).is_some_and(|role| inside.caller.role.covers(role));
        let of = format!("of {}", member.login);
        let mut actions = Vec::new();
        if manages && reachable {
            actions.push(action(&at("role"), "Change role", &of));
            actions.push(action(&at("remove"), "Remove", &member.login));
        }
        if manages {
            actions.push(action(&at("keys"), "API keys", &of));
        }
        table.row(&[
            format!("{}{this}", Text(&member.login)),
            Text(&member.role).to_string(),
            time(member.since, now, "not known"),
            actions.join(" "),
        ]);
    }
    let invite = if manages {
        format!(
            "<p class=\"actions\"><a class=\"button\" href=\"{}\">Invite somebody</a>\
             <a class=\"button quiet\" href=\"{}\">Open invitations</a>\
             <a class=\"button quiet\" href=\"{}\">API keys of everybody</a></p>\n",
            Text(&inside.path("invitations/new")),
            Text(&inside.path("invitations")),
            Text(&inside.path("members/keys")),
        )
    } else {
        String::new()
    };
    let leave = format!(
        "<p class=\"actions\"><a class=\"button quiet\" href=\"{}\">Leave the organization</a></p>\n",
        Text(&inside.path("members/leave")),
    );
    let more = pages(&inside.path("members"), &[], listed.after.as_deref(), part.next.as_deref());
    let body = format!("{}{invite}{}{more}{}{leave}", said(DONE, listed.done.as_deref()), table.html(), roles());
    inside.page(Place::Members, "Members", body)
}

/// What each role is, for whoever has to choose one.
pub(super) fn roles() -> String {
    let items: String =
        Role::ALL.into_iter().map(|role| format!("<dt>{}</dt><dd>{}</dd>\n", role.word(), Text(is(role)))).collect();
    format!("<h2>Roles</h2>\n<dl class=\"facts\">\n{items}</dl>")
}

fn is(role: Role) -> &'static str {
    match role {
        Role::Owner => "Everything, owners included, and further organizations on this server",
        Role::Admin => "Runs the organization: members, projects, trust rules and the audit",
        Role::Member => "Stores and reads credentials with their secrets, and makes workspaces",
        Role::Reader => "Sees what there is, and no secret",
    }
}

/// The roles that somebody may give, as the options of a choice.
pub(super) fn options(inside: &Inside) -> Vec<(&'static str, String)> {
    let caller = &inside.caller;
    let may = Role::ALL.into_iter().filter(|role| caller.may_make(*role).is_ok());
    may.map(|role| (role.word(), role.word().to_owned())).collect()
}

fn found(server: &Server, inside: &Inside, id: &str) -> Answer<Shown> {
    server.db.read(&inside.caller.scope, |rows| members::one(rows, &inside.caller.scope, id))
}

async fn show(State(server): State<Arc<Server>>, inside: Inside, Path(One { id }): Path<One>) -> Answer<Response> {
    blocking(&server, move |server| {
        let member = found(server, &inside, &id)?;
        Ok(form(&inside, &member, &member.version().to_string(), &member.role, None).into_response())
    })
    .await
}

fn form(inside: &Inside, member: &Shown, revision: &str, chosen: &str, slip: Option<&Slip>) -> Page {
    let body = format!(
        "{}<p>What <strong>{}</strong> is to be. It counts at once, for everything that they are signed in with.</p>\n\
         <form method=\"post\" action=\"{}\">\n{}{}\n{}{}</form>\n{}",
        summary(slip),
        Text(&member.login),
        Text(&inside.path(&format!("members/{}/role", member.id))),
        inside.word(),
        hidden("revision", revision),
        choice("role", "Role", "", &options(inside), chosen, slip),
        buttons("Change it", &inside.path("members")),
        roles(),
    );
    inside.page(Place::Members, "Change a role", body)
}

async fn submit(
    State(server): State<Arc<Server>>,
    inside: Inside,
    Path(One { id }): Path<One>,
    sent: Sent,
) -> Answer<Response> {
    blocking(&server, move |server| {
        let member = found(server, &inside, &id)?;
        let (wanted, seen) = (sent.text("role"), sent.revision()?);
        let done = team::role(wanted).and_then(|role| members::make(server, &inside.caller, &id, role, Some(seen)));
        fixable(
            done,
            |_| inside.on("members?done=changed"),
            |slip| Ok(form(&inside, &member, &seen.to_string(), wanted, Some(slip))),
        )
    })
    .await
}

async fn ask(State(server): State<Arc<Server>>, inside: Inside, Path(One { id }): Path<One>) -> Answer<Response> {
    blocking(&server, move |server| {
        let member = found(server, &inside, &id)?;
        let is_self = member.id == inside.caller.person.id;
        let whom = if is_self { "yourself".to_owned() } else { format!("<strong>{}</strong>", Text(&member.login)) };
        let question = Question {
            at: Place::Members,
            title: "Remove this member?",
            what: format!(
                "Remove {whom} from {}? Their tokens and API keys here end at once, their roles in projects and the \
                 invitations that they sent as well. The credentials that they stored stay.",
                Text(&inside.organization),
            ),
            hidden: hidden("revision", &member.version().to_string()),
            to: inside.path(&format!("members/{id}/remove")),
            does: "Remove",
            back: &inside.path("members"),
        };
        Ok(question.page(&inside).into_response())
    })
    .await
}

async fn remove(
    State(server): State<Arc<Server>>,
    inside: Inside,
    Path(One { id }): Path<One>,
    sent: Sent,
) -> Answer<Response> {
    blocking(&server, move |server| {
        found(server, &inside, &id)?;
        members::take_out(server, &inside.caller, &id, Some(sent.revision()?))?;
        // Whoever removed themselves has nothing to see there any more.
        let is_self = id == inside.caller.person.id;
        Ok(sent_on(&if is_self { "/".to_owned() } else { inside.path("members?done=removed") }, None))
    })
    .await
}

async fn ask_to_leave(inside: Inside) -> Response {
    let question = Question {
        at: Place::Members,
        title: "Leave this organization?",
        what: format!(
            "Leave {}? Your tokens and API keys here end at once, your roles in projects and the invitations that you sent \
             as well. The credentials that you stored stay. You come back by an invitation alone.",
            Text(&inside.organization),
        ),
        hidden: hidden("sure", "yes"),
        to: inside.path("members/leave"),
        does: "Leave",
        back: &inside.path("members"),
    };
    question.page(&inside).into_response()
}

async fn leave(State(server): State<Arc<Server>>, inside: Inside, sent: Sent) -> Answer<Response> {
    if sent.text("sure").is_empty() {
        return Err(Problem::invalid("nobody was asked whether they leave: open the page again"));
    }
    blocking(&server, move |server| {
        members::go(server, &inside.caller)?;
        Ok(sent_on("/", None))
    })
    .await
}
