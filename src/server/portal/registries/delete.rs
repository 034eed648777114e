//! Deleting a registry: asked about first.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};

use super::permitted;
use crate::server::bridge::blocking;
use crate::server::portal::inside::{Inside, Sent};
use crate::server::portal::page::Text;
use crate::server::portal::question::Question;
use crate::server::portal::shell::{One, Place, hidden};
use crate::server::problem::Answer;
use crate::server::registries::remove;
use crate::server::state::Server;

pub(super) async fn ask(
    State(server): State<Arc<Server>>,
    inside: Inside,
    Path(One { id }): Path<One>,
) -> Answer<Response> {
    blocking(&server, move |server| {
        let registry = permitted(server, &inside, &id)?;
        let here = inside.path(&format!("registries/{}", registry.id));
        let question = Question {
            at: Place::Registries,
            title: "Delete this registry?",
            what: format!(
                "Delete <strong>{}</strong>, with what is known of its charts? Its credential stays.",
                Text(&registry.name)
            ),
            hidden: hidden("revision", &registry.revision.to_string()),
            to: format!("{here}/delete"),
            does: "Delete",
            back: &here,
        };
        Ok(question.page(&inside).into_response())
    })
    .await
}

pub(super) async fn submit(
    State(server): State<Arc<Server>>,
    inside: Inside,
    Path(One { id }): Path<One>,
    sent: Sent,
) -> Answer<Response> {
    blocking(&server, move |server| {
        permitted(server, &inside, &id)?;
        remove(server, &inside.caller, &id, Some(sent.revision()?))?;
        Ok(inside.on("registries?done=deleted"))
    })
    .await
}
