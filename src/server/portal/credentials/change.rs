//! Changing what is no value of a credential: its name, its tags, its note.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};

use super::{One, form, note, tags};
use crate::server::bridge::blocking;
use crate::server::credential_configs::permitted;
use crate::server::permission::Permission;
use crate::server::portal::fields::{Slip, buttons, summary};
use crate::server::portal::inside::{Inside, Sent};
use crate::server::portal::page::{Page, Text};
use crate::server::portal::shell::{Place, fixable, hidden};
use crate::server::problem::Answer;
use crate::server::state::Server;
use crate::server::vault::Stored;
use crate::vault::Change;

/// What stands in the form.
struct Typed<'t> {
    name: &'t str,
    tags: &'t str,
    note: &'t str,
    revision: &'t str,
}

pub(super) async fn show(
    State(server): State<Arc<Server>>,
    inside: Inside,
    Path(One { id }): Path<One>,
) -> Answer<Response> {
    blocking(&server, move |server| {
        let (_, stored) = permitted(server, &inside.caller, &id, Permission::CredentialsWrite)?;
        let Stored { metadata, revision, .. } = stored;
        let tags = metadata.tags.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        let revision = revision.to_string();
        let typed = Typed { name: &metadata.name, tags: &tags, note: &metadata.note, revision: &revision };
        Ok(page(&inside, &id, &typed, None).into_response())
    })
    .await
}

fn page(inside: &Inside, id: &str, typed: &Typed<'_>, slip: Option<&Slip>) -> Page {
    let one = inside.path(&format!("credentials/{id}"));
    let body = format!(
        "{}<form method=\"post\" action=\"{}/edit\">\n{}{}\n{}{}{}</form>",
        summary(slip),
        Text(&one),
        inside.word(),
        hidden("revision", typed.revision),
        form::name(typed.name, slip),
        form::labels(typed.tags, typed.note, slip),
        buttons("Save", &one),
    );
    inside.page(Place::Credentials, "Edit", body)
}

pub(super) async fn submit(
    State(server): State<Arc<Server>>,
    inside: Inside,
    Path(One { id }): Path<One>,
    sent: Sent,
) -> Answer<Response> {
    blocking(&server, move |server| {
        let typed = Typed {
            name: sent.text("name"),
            tags: sent.text("tags"),
            note: sent.text("note"),
            revision: sent.text("revision"),
        };
        let changed = change(server, &inside, &id, &sent);
        fixable(
            changed,
            |()| inside.on(&format!("credentials/{id}?done=changed")),
            |slip| Ok(page(&inside, &id, &typed, Some(slip))),
        )
    })
    .await
}

fn change(server: &Server, inside: &Inside, id: &str, sent: &Sent) -> Answer<()> {
    let (vault, stored) = permitted(server, &inside.caller, id, Permission::CredentialsWrite)?;
    let old = stored.metadata;
    let (wanted, note, revision) = (tags(sent.text("tags"))?, note(sent.text("note"))?, sent.revision()?);
    let change = Change {
        name: Some(sent.text("name").to_owned()),
        untag: old.tags.difference(&wanted).cloned().collect(),
        tag: wanted,
        note: Some(note),
        ..Change::default()
    };
    vault.amend_if(&old, &change, Some(revision))?;
    Ok(())
}
