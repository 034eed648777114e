//! Invitations: a link that is shown once, those that are open, and taking one back.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};

use super::fields::{Input, Slip, buttons, choice, summary};
use super::inside::{Inside, Sent};
use super::members::{options, roles};
use super::page::{Page, Text};
use super::question::Question;
use super::shell::{Listed, One, Place, fixable, said, time};
use super::table::{ACTIONS, Table, action, nothing, pages};
use crate::server::bridge::blocking;
use crate::server::caller::Access;
use crate::server::invitations::{self, Made, Open};
use crate::server::paging::{Asked, Part};
use crate::server::permission::Permission;
use crate::server::problem::Answer;
use crate::server::routes::Route;
use crate::server::state::{Server, now};
use crate::server::team;

pub(super) fn routes() -> Vec<Route> {
    let manage = Access::Inside(Permission::MembersManage);
    vec![
        Route::new(Method::GET, "/portal/{org}/invitations", manage, list),
        Route::new(Method::GET, "/portal/{org}/invitations/new", manage, show).freshly("/portal/{org}/invitations/new"),
        Route::new(Method::POST, "/portal/{org}/invitations/new", manage, submit)
            .freshly("/portal/{org}/invitations/new"),
        Route::new(Method::GET, "/portal/{org}/invitations/{id}/withdraw", manage, ask),
        Route::new(Method::POST, "/portal/{org}/invitations/{id}/withdraw", manage, withdraw),
    ]
}

const DONE: &[(&str, &str)] = &[("withdrawn", "Its link is good for nothing any more.")];

async fn list(State(server): State<Arc<Server>>, inside: Inside, Query(listed): Query<Listed>) -> Answer<Response> {
    blocking(&server, move |server| {
        let part = invitations::some(server, &inside.caller, &Asked::after(listed.after.clone()))?;
        Ok(page(&inside, &part, &listed).into_response())
    })
    .await
}

fn page(inside: &Inside, part: &Part<Open>, listed: &Listed) -> Page {
    let now = now();
    let new = inside.path("invitations/new");
    let mut table = Table::new("Open invitations", &["For", "Note", "Role", "By", "Made", "Ends", ACTIONS]);
    for open in &part.items {
        let whom = &open.whom;
        let withdraw = inside.path(&format!("invitations/{}/withdraw", open.id));
        table.row(&[
            Text(whom).to_string(),
            Text(&open.note).to_string(),
            Text(&open.role).to_string(),
            Text(&open.inviter).to_string(),
            time(open.created, now, ""),
            time(open.expires, now, ""),
            action(&withdraw, "Withdraw", &format!("the invitation for {whom}")),
        ]);
    }
    let content = if part.items.is_empty() {
        nothing("No invitation is open.", "A link that you make is good once, for seven days.")
    } else {
        table.html()
    };
    let body = format!(
        "{}<p class=\"actions\"><a class=\"button\" href=\"{}\">Invite somebody</a></p>\n{content}{}",
        said(DONE, listed.done.as_deref()),
        Text(&new),
        pages(&inside.path("invitations"), &[], listed.after.as_deref(), part.next.as_deref()),
    );
    inside.page(Place::Members, "Open invitations", body)
}

async fn show(inside: Inside) -> Response {
    form(&inside, ("member", "", ""), None).into_response()
}

fn form(inside: &Inside, (role, for_whom, note): (&str, &str, &str), slip: Option<&Slip>) -> Page {
    let whom = Input {
        name: "for",
        title: "For whom",
        hint: "Their e-mail address, or the login that they have here or are to have. Nobody else can use the link; nothing \
               is sent to it",
        value: for_whom,
        more: "required maxlength=\"128\" autocapitalize=\"none\" spellcheck=\"false\"",
    };
    let note = Input {
        name: "note",
        title: "Note",
        hint: "What you know the invitation again by",
        value: note,
        more: "maxlength=\"128\"",
    };
    let body = format!(
        "{}<p>You get a link, once. The one whom it is for becomes a member by it, within seven days.</p>\n\
         <form method=\"post\" action=\"{}\">\n{}\n{}{}{}{}</form>\n{}",
        summary(slip),
        Text(&inside.path("invitations/new")),
        inside.word(),
        whom.html(slip),
        note.html(slip),
        choice("role", "As", "", &options(inside), role, slip),
        buttons("Make a link", &inside.path("members")),
        roles(),
    );
    inside.page(Place::Members, "Invite somebody", body)
}

async fn submit(State(server): State<Arc<Server>>, inside: Inside, sent: Sent) -> Answer<Response> {
    blocking(&server, move |server| {
        let (role, whom, note) = (sent.text("role"), sent.text("for"), sent.text("note"));
        let made = team::role(role).and_then(|role| invitations::invite(server, &inside.caller, role, whom, note));
        fixable(
            made,
            |made| once(&inside, &made).into_response(),
            |slip| Ok(form(&inside, (role, whom, note), Some(slip))),
        )
    })
    .await
}

/// The only page that the link is on.
fn once(inside: &Inside, made: &Made) -> Page {
    let body = format!(
        "<p>Give this link to <strong>{}</strong>, on a way that nobody else reads. It is not shown again.</p>\n\
         <p><code class=\"once\" tabindex=\"0\">{}</code></p>\n\
         <p class=\"hint\">Nobody else can use it. They join as {}, once, until {}.</p>\n\
         <p><a class=\"button\" href=\"{}\">I have copied it</a></p>",
        Text(&made.whom),
        Text(made.link.expose()),
        made.role.word(),
        made.expires.format("%Y-%m-%d"),
        Text(&inside.path("invitations")),
    );
    inside.page(Place::Members, "The invitation", body).status(StatusCode::CREATED)
}

async fn ask(State(server): State<Arc<Server>>, inside: Inside, Path(One { id }): Path<One>) -> Answer<Response> {
    blocking(&server, move |server| {
        let open = server.db.read(&inside.caller.scope, |rows| invitations::one(rows, &inside.caller.scope, &id))?;
        let note = if open.note.is_empty() { String::new() } else { format!(" ({})", Text(&open.note)) };
        let question = Question {
            at: Place::Members,
            title: "Withdraw this invitation?",
            what: format!(
                "Withdraw the invitation of <strong>{}</strong>{note} as {}? Its link lets nobody in any more.",
                Text(&open.whom),
                Text(&open.role),
            ),
            hidden: String::new(),
            to: inside.path(&format!("invitations/{id}/withdraw")),
            does: "Withdraw",
            back: &inside.path("invitations"),
        };
        Ok(question.page(&inside).into_response())
    })
    .await
}

async fn withdraw(State(server): State<Arc<Server>>, inside: Inside, Path(One { id }): Path<One>) -> Answer<Response> {
    blocking(&server, move |server| {
        invitations::take_back(server, &inside.caller, &id)?;
        Ok(inside.on("invitations?done=withdrawn"))
    })
    .await
}
