//! The API keys of the members, for whoever runs the organization: those of everybody, those of one member, and the end of
//! any.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::Method;
use axum::response::{IntoResponse, Response};

use super::inside::Inside;
use super::keys;
use super::page::{Page, Text};
use super::question::Question;
use super::shell::{Listed, One, Place, said, time};
use super::table::{ACTIONS, Table, action, nothing, pages};
use crate::server::bridge::blocking;
use crate::server::caller::Access;
use crate::server::member_keys::{self, Shown};
use crate::server::members;
use crate::server::paging::Asked;
use crate::server::permission::Permission;
use crate::server::problem::Answer;
use crate::server::routes::Route;
use crate::server::state::{Server, now};

const ALL: &str = "/portal/{org}/members/keys";
const REVOKE: &str = "/portal/{org}/members/keys/{id}/revoke";

pub(super) fn routes() -> Vec<Route> {
    let manage = Access::Inside(Permission::MembersManage);
    vec![
        Route::new(Method::GET, ALL, manage, all),
        Route::new(Method::GET, "/portal/{org}/members/{id}/keys", manage, of_one),
        Route::new(Method::GET, REVOKE, manage, ask).freshly(REVOKE),
        Route::new(Method::POST, REVOKE, manage, revoke).freshly(ALL),
    ]
}

const DONE: &[(&str, &str)] = &[("revoked", "The key lets nobody in any more.")];

async fn all(State(server): State<Arc<Server>>, inside: Inside, Query(listed): Query<Listed>) -> Answer<Response> {
    blocking(&server, move |server| Ok(page(server, &inside, None, &listed)?.into_response())).await
}

async fn of_one(
    State(server): State<Arc<Server>>,
    inside: Inside,
    Path(One { id }): Path<One>,
    Query(listed): Query<Listed>,
) -> Answer<Response> {
    blocking(&server, move |server| {
        let scope = &inside.caller.scope;
        let member = server.db.read(scope, |rows| members::one(rows, scope, &id))?;
        Ok(page(server, &inside, Some(&member), &listed)?.into_response())
    })
    .await
}

/// The keys of everybody, or of one member.
fn page(server: &Server, inside: &Inside, member: Option<&members::Shown>, listed: &Listed) -> Answer<Page> {
    let whose = member.map(|member| member.id.as_str());
    let part = member_keys::some(server, &inside.caller, whose, &Asked::after(listed.after.clone()))?;
    let here = whose.map_or_else(|| inside.path("members/keys"), |id| inside.path(&format!("members/{id}/keys")));
    let (title, lead, other, other_title) = match member {
        None => (
            "API keys of everybody",
            "What every member has made for jobs and programs.".to_owned(),
            inside.path("members"),
            "Members",
        ),
        Some(member) => (
            "API keys of a member",
            format!("What <strong>{}</strong> has made for jobs and programs.", Text(&member.login)),
            inside.path("members/keys"),
            "API keys of everybody",
        ),
    };
    let body = format!(
        "{}<p>{lead} Whoever loses a key loses nothing else.</p>\n{}{}\
         <p class=\"actions\"><a class=\"button quiet\" href=\"{}\">{other_title}</a></p>\n",
        said(DONE, listed.done.as_deref()),
        table(inside, &part.items),
        pages(&here, &[], listed.after.as_deref(), part.next.as_deref()),
        Text(&other),
    );
    Ok(inside.page(Place::Members, title, body))
}

fn table(inside: &Inside, found: &[Shown]) -> String {
    if found.is_empty() {
        return nothing("There is none.", "");
    }
    let now = now();
    let heads = &["Name", "Whose", "Permissions", "Created", "Last used", "Expires", ACTIONS];
    let mut table = Table::new("API keys of members", heads);
    for Shown { key, login, .. } in found {
        let revoke = inside.path(&format!("members/keys/{}/revoke", key.id));
        table.row(&[
            keys::named(key),
            Text(login).to_string(),
            keys::may(key),
            time(key.created, now, ""),
            keys::used(key),
            keys::ends(key),
            action(&revoke, "Revoke", &format!("{} of {login}", key.name)),
        ]);
    }
    table.html()
}

async fn ask(State(server): State<Arc<Server>>, inside: Inside, Path(One { id }): Path<One>) -> Answer<Response> {
    blocking(&server, move |server| {
        let Shown { key, login, .. } = member_keys::one(server, &inside.caller, &id)?;
        let question = Question {
            at: Place::Members,
            title: "Revoke this key?",
            what: format!(
                "Revoke <strong>{}</strong> of <strong>{}</strong>? Whatever uses it is let in no more, at once.",
                Text(&key.name),
                Text(&login),
            ),
            hidden: String::new(),
            to: inside.path(&format!("members/keys/{}/revoke", key.id)),
            does: "Revoke",
            back: &inside.path("members/keys"),
        };
        Ok(question.page(&inside).into_response())
    })
    .await
}

async fn revoke(State(server): State<Arc<Server>>, inside: Inside, Path(One { id }): Path<One>) -> Answer<Response> {
    blocking(&server, move |server| {
        member_keys::end(server, &inside.caller, &id)?;
        Ok(inside.on("members/keys?done=revoked"))
    })
    .await
}
