//! The list of a workspace, which is replaced as a whole: a box for each credential that it has or may have.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::{credentials, permitted};
use crate::server::bridge::blocking;
use crate::server::portal::fields::{Input, NAME, NAME_HINT, Slip, buttons, summary, tick};
use crate::server::portal::inside::{Inside, Sent};
use crate::server::portal::page::{Page, Text};
use crate::server::portal::shell::{One, Place, fixable, hidden, mark};
use crate::server::portal::table::nothing;
use crate::server::problem::Answer;
use crate::server::state::Server;
use crate::server::vault::{Narrowed, Stored};
use crate::server::workspaces::{self, Amendment, Workspace};

/// So many more are offered at a time.
const OFFERED: i64 = 100;

/// What is looked for.
#[derive(Deserialize)]
pub(super) struct Wanted {
    #[serde(default)]
    q: String,
}

/// What stands in the form.
struct Typed<'t> {
    name: &'t str,
    revision: &'t str,
    /// The identifiers of those that are ticked.
    ticked: &'t [String],
    /// What is looked for.
    q: &'t str,
}

pub(super) async fn show(
    State(server): State<Arc<Server>>,
    inside: Inside,
    Path(One { id }): Path<One>,
    Query(Wanted { q }): Query<Wanted>,
) -> Answer<Response> {
    blocking(&server, move |server| {
        let workspace = permitted(server, &inside, &id)?;
        let revision = workspace.revision.to_string();
        let ticked = &workspace.credentials;
        let typed = Typed { name: &workspace.name, revision: &revision, ticked, q: q.trim() };
        Ok(form(server, &inside, &workspace, &typed, None)?.into_response())
    })
    .await
}

/// Those that it does not have and may have: the organization's and its project's, as far as they are looked for, and
/// those that are ticked.
fn offered(server: &Server, inside: &Inside, workspace: &Workspace, typed: &Typed<'_>) -> Answer<Vec<Stored>> {
    let vault = server.vault(inside.caller.scope.clone(), inside.caller.actor.clone());
    let mut offered = Vec::new();
    let places = [Some(""), Some(workspace.project.as_str()).filter(|project| !project.is_empty())];
    for project in places.into_iter().flatten() {
        let wanted = Narrowed { project: Some(project), name: typed.q, ..Narrowed::default() };
        offered.extend(vault.narrowed(&Default::default(), &wanted, OFFERED)?);
    }
    // What was ticked in another search stays, so that a form that is shown again holds what was sent.
    for id in typed.ticked {
        let is_there = |stored: &Stored| stored.metadata.id == *id;
        if offered.iter().any(is_there) || workspace.credentials.contains(id) {
            continue;
        }
        let is_near = |stored: &Stored| {
            let project = stored.metadata.scope.project().unwrap_or_default();
            project.is_empty() || project == workspace.project
        };
        offered.extend(vault.by_id(id)?.filter(is_near));
    }
    offered.retain(|stored| !workspace.credentials.contains(&stored.metadata.id));
    Ok(offered)
}

fn form(
    server: &Server,
    inside: &Inside,
    workspace: &Workspace,
    typed: &Typed<'_>,
    slip: Option<&Slip>,
) -> Answer<Page> {
    let one = inside.path(&format!("workspaces/{}", workspace.id));
    let (has, offered) = (credentials(server, inside, workspace)?, offered(server, inside, workspace, typed)?);
    let name = Input { name: "name", title: "Name", hint: NAME_HINT, value: typed.name, more: NAME };
    let body = format!(
        "{}{}<form method=\"post\" action=\"{}/edit\">\n{}{}{}\n{}{}{}{}</form>",
        summary(slip),
        search(&one, typed.q),
        Text(&one),
        inside.word(),
        hidden("revision", typed.revision),
        hidden("q", typed.q),
        name.html(slip),
        group("In it", &has, typed.ticked),
        group("To choose from", &offered, typed.ticked),
        buttons("Save", &one),
    );
    let body = if has.is_empty() && offered.is_empty() && typed.q.is_empty() {
        let new = inside.path("credentials/new");
        let next = format!("<a href=\"{}\">Add a credential</a> first, then choose it here.", Text(&new));
        format!("{}{body}", nothing("There is no credential that it may have.", &next))
    } else {
        body
    };
    Ok(inside.page(Place::Workspaces, "Change the workspace", body))
}

/// The form by which what is offered is narrowed.
fn search(one: &str, q: &str) -> String {
    format!(
        "<form class=\"row\" role=\"search\" method=\"get\" action=\"{}/edit\">\n\
         <label>Find a credential to add<small>Save what you have ticked before</small>\
         <input type=\"search\" name=\"q\" maxlength=\"128\" autocomplete=\"off\" autocapitalize=\"none\" \
         spellcheck=\"false\" value=\"{}\"></label>\n<button class=\"quiet\">Find</button>\n</form>\n",
        Text(one),
        Text(q),
    )
}

fn group(title: &str, credentials: &[Stored], ticked: &[String]) -> String {
    if credentials.is_empty() {
        return String::new();
    }
    let boxes: String = credentials
        .iter()
        .map(|Stored { metadata, .. }| {
            let label = format!(
                "{}<span>{} <small>{}, {}</small></span>",
                mark(metadata.kind.provider, metadata.service()),
                Text(&metadata.name),
                Text(metadata.kind.title),
                Text(&metadata.scope.to_string()),
            );
            tick("credential", &metadata.id, &label, ticked.contains(&metadata.id))
        })
        .collect();
    format!("<fieldset class=\"many\"><legend>{title}</legend>\n{boxes}</fieldset>\n")
}

pub(super) async fn submit(
    State(server): State<Arc<Server>>,
    inside: Inside,
    Path(One { id }): Path<One>,
    sent: Sent,
) -> Answer<Response> {
    blocking(&server, move |server| {
        let workspace = permitted(server, &inside, &id)?;
        let ticked: Vec<String> = sent.all("credential").map(|one| one.expose().to_owned()).collect();
        let wanted =
            Amendment { name: Some(sent.text("name").to_owned()), credential_config_ids: Some(ticked.clone()) };
        let changed = workspaces::change(server, &inside.caller, &id, &wanted, Some(sent.revision()?));
        let (name, revision) = (sent.text("name"), sent.text("revision"));
        let typed = Typed { name, revision, ticked: &ticked, q: sent.text("q") };
        fixable(
            changed,
            |_| inside.on(&format!("workspaces/{id}?done=changed")),
            |slip| form(server, &inside, &workspace, &typed, Some(slip)),
        )
    })
    .await
}
