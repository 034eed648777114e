//! The first page: who is signed in, and where they belong.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};

use super::page::{Page, Text, sent_on};
use super::session::Visitor;
use crate::server::bridge::blocking;
use crate::server::db::Reach;
use crate::server::people;
use crate::server::problem::Answer;
use crate::server::state::Server;

pub(super) async fn show(State(server): State<Arc<Server>>, visitor: Visitor) -> Answer<Response> {
    let Some(signed_in) = visitor.signed_in else {
        let is_new =
            blocking(&server, |server| Ok(server.db.read(Reach::Server, |rows| people::is_empty(rows))?)).await?;
        if is_new {
            let line =
                "<p>Nobody can sign in yet. Whoever started the server has a link that makes the first owner.</p>";
            return Ok(Page::new("This server is new", line.into()).into_response());
        }
        return Ok(sent_on("/sign-in", None));
    };
    let organizations: String = signed_in
        .members
        .iter()
        .map(|member| {
            format!(
                "<dt>{}</dt><dd><a href=\"/portal/{}/credentials\">{}</a></dd>",
                Text(member.role.word()),
                Text(member.scope.id()),
                Text(&member.organization)
            )
        })
        .collect();
    let body = format!(
        "<p>Signed in as <a href=\"/account\">{}</a>.</p>\n<dl>{organizations}</dl>\n\
         <p class=\"hint\">In a terminal: <code>lanyard auth login --service {}</code></p>\n\
         <p><a href=\"/second-factor\">Second factor</a></p>\n\
         <form method=\"post\" action=\"/sign-out\"><input type=\"hidden\" name=\"word\" value=\"{}\">\
         <button class=\"quiet\">Sign out</button></form>",
        Text(&signed_in.person.login),
        Text(server.issuer()),
        Text(&signed_in.form_word),
    );
    Ok(Page::new("Your organizations", body).into_response())
}
