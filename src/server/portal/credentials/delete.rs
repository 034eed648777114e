//! Deleting a credential: asked about first, and refused while something is used through it.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};

use super::One;
use crate::credential::Credential;
use crate::server::audit::{Event, Outcome};
use crate::server::bridge::blocking;
use crate::server::credential_configs::permitted;
use crate::server::permission::Permission;
use crate::server::portal::inside::{Inside, Sent};
use crate::server::portal::page::{Page, Text};
use crate::server::portal::question::{Question, in_use};
use crate::server::portal::shell::{Place, hidden};
use crate::server::problem::Answer;
use crate::server::state::Server;
use crate::server::vault::Stored;
use crate::vault::Vault;

pub(super) async fn show(
    State(server): State<Arc<Server>>,
    inside: Inside,
    Path(One { id }): Path<One>,
) -> Answer<Response> {
    blocking(&server, move |server| {
        let (vault, stored) = permitted(server, &inside.caller, &id, Permission::CredentialsWrite)?;
        let users = vault.users(&stored.metadata)?;
        Ok(if users.is_empty() { question(&inside, &stored) } else { used(&inside, &stored, &users) }.into_response())
    })
    .await
}

fn question(inside: &Inside, Stored { metadata, revision, .. }: &Stored) -> Page {
    let is_connected = metadata.secret_names.contains(Credential::SESSION);
    let one = inside.path(&format!("credentials/{}", metadata.id));
    let question = Question {
        at: Place::Credentials,
        title: "Delete this credential?",
        what: format!(
            "Delete <strong>{}</strong>? Its secrets go with it, and nobody brings them back. {}",
            Text(&metadata.name),
            if is_connected {
                "Its sign-in goes on at the service: disconnect it first to end it there."
            } else {
                "At its provider it stays as it is."
            }
        ),
        hidden: hidden("revision", &revision.to_string()),
        to: format!("{one}/delete"),
        does: "Delete",
        back: &one,
    };
    question.page(inside)
}

fn used(inside: &Inside, Stored { metadata, .. }: &Stored, users: &[String]) -> Page {
    let one = inside.path(&format!("credentials/{}", metadata.id));
    in_use(inside, Place::Credentials, &metadata.name, users, &one)
}

pub(super) async fn submit(
    State(server): State<Arc<Server>>,
    inside: Inside,
    Path(One { id }): Path<One>,
    sent: Sent,
) -> Answer<Response> {
    blocking(&server, move |server| {
        let (vault, stored) = permitted(server, &inside.caller, &id, Permission::CredentialsWrite)?;
        let users = vault.users(&stored.metadata)?;
        if !users.is_empty() {
            let event = Event { outcome: Outcome::Denied, detail: "in-use", ..Event::done("credential.delete", &id) };
            server.tell(&inside.caller.scope, &inside.caller.actor, &event)?;
            return Ok(used(&inside, &stored, &users).into_response());
        }
        vault.remove_if(&stored.metadata, Some(sent.revision()?), false)?;
        Ok(inside.on("credentials?done=deleted"))
    })
    .await
}
