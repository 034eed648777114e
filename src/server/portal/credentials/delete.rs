//! Deleting a credential: asked about first, and refused while something is used through it.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::{One, stored, vault};
use crate::server::audit::{Event, Outcome};
use crate::server::bridge::blocking;
use crate::server::portal::inside::{Inside, Sent};
use crate::server::portal::page::{Page, Text, sent_on};
use crate::server::portal::shell::{Place, hidden};
use crate::server::problem::{Answer, Problem};
use crate::server::state::Server;
use crate::server::vault::Stored;
use crate::vault::Vault;

pub(super) async fn show(
    State(server): State<Arc<Server>>,
    inside: Inside,
    Path(One { id }): Path<One>,
) -> Answer<Response> {
    blocking(&server, move |server| {
        let vault = vault(server, &inside);
        let stored = stored(&vault, &id)?;
        let users = vault.users(&stored.metadata)?;
        Ok(if users.is_empty() { question(&inside, &stored) } else { in_use(&inside, &stored, &users) }.into_response())
    })
    .await
}

fn question(inside: &Inside, Stored { metadata, revision, .. }: &Stored) -> Page {
    let one = inside.path(&format!("credentials/{}", metadata.id));
    let body = format!(
        "<p>Delete <strong>{}</strong>? Its secrets go with it, and nobody brings them back. At its provider it stays as \
         it is.</p>\n<form method=\"post\" action=\"{}/delete\">\n{}{}\n\
         <p class=\"actions\"><button class=\"bad\">Delete</button><a class=\"button quiet\" href=\"{}\">Cancel</a></p>\n\
         </form>",
        Text(&metadata.name),
        Text(&one),
        inside.word(),
        hidden("revision", &revision.to_string()),
        Text(&one),
    );
    inside.page(Place::Credentials, "Delete this credential?", body)
}

fn in_use(inside: &Inside, Stored { metadata, .. }: &Stored, users: &[String]) -> Page {
    let users: String = users.iter().map(|user| format!("<li>{}</li>", Text(user))).collect();
    let body = format!(
        "<p role=\"alert\">{} is in use and is not deleted.</p>\n<p>It is used by:</p>\n<ul>{users}</ul>\n\
         <p class=\"actions\"><a class=\"button quiet\" href=\"{}\">Back</a></p>",
        Text(&metadata.name),
        Text(&inside.path(&format!("credentials/{}", metadata.id))),
    );
    inside.page(Place::Credentials, "In use", body).status(StatusCode::CONFLICT)
}

pub(super) async fn submit(
    State(server): State<Arc<Server>>,
    inside: Inside,
    Path(One { id }): Path<One>,
    sent: Sent,
) -> Answer<Response> {
    blocking(&server, move |server| {
        let vault = vault(server, &inside);
        let stored = stored(&vault, &id)?;
        let users = vault.users(&stored.metadata)?;
        if !users.is_empty() {
            let event = Event { outcome: Outcome::Denied, detail: "in-use", ..Event::done("credential.delete", &id) };
            server.tell(&inside.caller.scope, &inside.caller.actor, &event)?;
            return Ok(in_use(&inside, &stored, &users).into_response());
        }
        let revision = sent.text("revision").parse().map_err(|_| Problem::changed())?;
        vault.remove_if(&stored.metadata, Some(revision), false)?;
        Ok(sent_on(&inside.path("credentials"), None))
    })
    .await
}
