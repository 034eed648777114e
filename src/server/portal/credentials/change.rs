//! Changing what is no value of a credential: its name, its tags, its note.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::{One, note, stored, tags, vault};
use crate::server::bridge::blocking;
use crate::server::portal::inside::{Inside, Sent, sentence};
use crate::server::portal::page::{Page, Text, sent_on};
use crate::server::portal::shell::{Place, alert, hidden};
use crate::server::problem::{Answer, Problem};
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
        let Stored { metadata, revision, .. } = stored(&vault(server, &inside), &id)?;
        let tags = metadata.tags.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        let revision = revision.to_string();
        let typed = Typed { name: &metadata.name, tags: &tags, note: &metadata.note, revision: &revision };
        Ok(form(&inside, &id, &typed, None).into_response())
    })
    .await
}

fn form(inside: &Inside, id: &str, typed: &Typed<'_>, problem: Option<&str>) -> Page {
    let one = inside.path(&format!("credentials/{id}"));
    let body = format!(
        "{}<form method=\"post\" action=\"{}/edit\">\n{}{}\n\
         <label>Name<small>Letters, digits and . _ @ + : -</small><input name=\"name\" required maxlength=\"128\" \
         autocapitalize=\"none\" spellcheck=\"false\" autocomplete=\"off\" value=\"{}\"></label>\n\
         <label>Tags<small>With commas between</small><input name=\"tags\" autocomplete=\"off\" value=\"{}\"></label>\n\
         <label>Note<input name=\"note\" maxlength=\"1000\" autocomplete=\"off\" value=\"{}\"></label>\n\
         <p class=\"actions\"><button>Save</button><a class=\"button quiet\" href=\"{}\">Cancel</a></p>\n</form>",
        alert(problem),
        Text(&one),
        inside.word(),
        hidden("revision", typed.revision),
        Text(typed.name),
        Text(typed.tags),
        Text(typed.note),
        Text(&one),
    );
    inside.page(Place::Credentials, "Edit", body)
}

pub(super) async fn submit(
    State(server): State<Arc<Server>>,
    inside: Inside,
    Path(One { id }): Path<One>,
    sent: Sent,
) -> Answer<Response> {
    blocking(&server, move |server| match change(server, &inside, &id, &sent) {
        Ok(()) => Ok(sent_on(&inside.path(&format!("credentials/{id}?done=changed")), None)),
        Err(problem) if matches!(problem.status(), StatusCode::UNPROCESSABLE_ENTITY | StatusCode::CONFLICT) => {
            let typed = Typed {
                name: sent.text("name"),
                tags: sent.text("tags"),
                note: sent.text("note"),
                revision: sent.text("revision"),
            };
            let page = form(&inside, &id, &typed, Some(&sentence(problem.detail())));
            Ok(page.status(problem.status()).into_response())
        }
        Err(problem) => Err(problem),
    })
    .await
}

fn change(server: &Server, inside: &Inside, id: &str, sent: &Sent) -> Answer<()> {
    let vault = vault(server, inside);
    let old = stored(&vault, id)?.metadata;
    let wanted = tags(sent.text("tags")).map_err(Problem::invalid)?;
    let note = note(sent.text("note")).map_err(Problem::invalid)?;
    let revision = sent.text("revision").parse().map_err(|_| Problem::changed())?;
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
