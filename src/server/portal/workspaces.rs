//! The workspaces of an organization: a list, one of them with its credentials, and what changes them.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::Method;
use axum::response::{IntoResponse, Response};

use super::fields::{Input, NAME, NAME_HINT, Slip, buttons, summary};
use super::inside::{Inside, Sent};
use super::page::{Page, Text};
use super::question::Question;
use super::shell::{Listed, One, Place, fixable, hidden, mark, said, status, time};
use super::table::{Table, nothing, pages};
use super::{projects, shell};
use crate::server::bridge::blocking;
use crate::server::caller::Access;
use crate::server::paging::{Asked, Part};
use crate::server::permission::Permission;
use crate::server::problem::Answer;
use crate::server::routes::Route;
use crate::server::state::{Server, now};
use crate::server::vault::Stored;
use crate::server::workspaces::{self, Wanted, Workspace};

mod list;

pub(super) fn routes() -> Vec<Route> {
    let read = Access::Inside(Permission::CredentialsRead);
    let write = Access::InsideProject(Permission::WorkspacesWrite);
    let (get, post) = (Method::GET, Method::POST);
    vec![
        Route::new(get.clone(), "/portal/{org}/workspaces", read, all),
        Route::new(get.clone(), "/portal/{org}/workspaces/new", write, new),
        Route::new(post.clone(), "/portal/{org}/workspaces/new", write, make),
        Route::new(get.clone(), "/portal/{org}/workspaces/{id}", read, show),
        Route::new(get.clone(), "/portal/{org}/workspaces/{id}/edit", write, list::show),
        Route::new(post.clone(), "/portal/{org}/workspaces/{id}/edit", write, list::submit),
        Route::new(get, "/portal/{org}/workspaces/{id}/delete", write, ask),
        Route::new(post, "/portal/{org}/workspaces/{id}/delete", write, delete),
    ]
}

const DONE: &[(&str, &str)] = &[("deleted", "The workspace is deleted.")];
const ONE_DONE: &[(&str, &str)] = &[("changed", "It is changed.")];

async fn all(State(server): State<Arc<Server>>, inside: Inside, Query(listed): Query<Listed>) -> Answer<Response> {
    blocking(&server, move |server| {
        let part = workspaces::some(server, &inside.caller, &Asked::after(listed.after.clone()))?;
        Ok(page(&inside, &part, &listed).into_response())
    })
    .await
}

fn page(inside: &Inside, part: &Part<Workspace>, listed: &Listed) -> Page {
    let now = now();
    let (add, next) = if inside.may_somewhere(Permission::WorkspacesWrite) {
        let new = inside.path("workspaces/new");
        (
            format!("<p class=\"actions\"><a class=\"button\" href=\"{}\">New workspace</a></p>\n", Text(&new)),
            "Make one for each kind of work: it names the credentials that the work is done with.",
        )
    } else {
        (String::new(), "")
    };
    let content = if part.items.is_empty() {
        nothing("There is no workspace yet.", next)
    } else {
        let mut table = Table::new("Workspaces", &["Name", "Belongs to", "Credentials", "Created"]);
        for workspace in &part.items {
            let one = inside.path(&format!("workspaces/{}", workspace.id));
            table.row(&[
                format!("<a href=\"{}\">{}</a>", Text(&one), Text(&workspace.name)),
                Text(&belongs(workspace)).to_string(),
                workspace.credentials.len().to_string(),
                time(workspace.created(), now, ""),
            ]);
        }
        table.html()
    };
    let more = pages(&inside.path("workspaces"), &[], listed.after.as_deref(), part.next.as_deref());
    let body = format!("{}{add}{content}{more}", said(DONE, listed.done.as_deref()));
    inside.page(Place::Workspaces, "Workspaces", body)
}

/// Whose a workspace is, in words.
fn belongs(workspace: &Workspace) -> String {
    if workspace.project.is_empty() { "organization".into() } else { format!("project {}", workspace.project) }
}

/// Whether they may change a workspace.
fn may(inside: &Inside, workspace: &Workspace) -> bool {
    inside.caller.may(Permission::WorkspacesWrite, Some(&workspace.project))
}

/// The workspace, which they may change; without the right the page is refused as the change would be.
fn permitted(server: &Server, inside: &Inside, id: &str) -> Answer<Workspace> {
    let workspace = server.db.read(&inside.caller.scope, |rows| workspaces::find(rows, &inside.caller.scope, id))?;
    inside.caller.must(server, Permission::WorkspacesWrite, Some(&workspace.project))?;
    Ok(workspace)
}

/// The credentials of a workspace, in their order.
fn credentials(server: &Server, inside: &Inside, workspace: &Workspace) -> Answer<Vec<Stored>> {
    let vault = server.vault(inside.caller.scope.clone(), inside.caller.actor.clone());
    let mut found = Vec::new();
    for id in &workspace.credentials {
        found.extend(vault.by_id(id)?);
    }
    Ok(found)
}

async fn show(
    State(server): State<Arc<Server>>,
    inside: Inside,
    Path(One { id }): Path<One>,
    Query(listed): Query<Listed>,
) -> Answer<Response> {
    blocking(&server, move |server| {
        let workspace = workspaces::one(server, &inside.caller, &id)?;
        let credentials = credentials(server, &inside, &workspace)?;
        Ok(one(&inside, &workspace, &credentials, listed.done.as_deref()).into_response())
    })
    .await
}

fn one(inside: &Inside, workspace: &Workspace, credentials: &[Stored], done: Option<&str>) -> Page {
    let now = now();
    let at = |rest: &str| Text(&inside.path(&format!("workspaces/{}/{rest}", workspace.id))).to_string();
    let actions = if may(inside, workspace) {
        format!(
            "<p class=\"actions\"><a class=\"button\" href=\"{}\">Change</a>\
             <a class=\"button quiet\" href=\"{}\">Delete</a></p>\n",
            at("edit"),
            at("delete"),
        )
    } else {
        String::new()
    };
    let content = if credentials.is_empty() {
        let next = if may(inside, workspace) { "Choose them under “Change”." } else { "" };
        nothing("It has no credentials.", next)
    } else {
        let mut table = Table::new("Credentials of this workspace", &["Name", "Type", "Status", "Last used"]);
        for Stored { metadata, .. } in credentials {
            let one = inside.path(&format!("credentials/{}", metadata.id));
            table.row(&[
                format!(
                    "<span class=\"named\">{}<a href=\"{}\">{}</a></span>",
                    mark(metadata.kind.provider, metadata.service()),
                    Text(&one),
                    Text(&metadata.name),
                ),
                Text(metadata.kind.title).to_string(),
                status(metadata, now),
                time(metadata.used, now, "never"),
            ]);
        }
        table.html()
    };
    let body = format!(
        "{}{actions}<dl class=\"facts\">\n<dt>Belongs to</dt><dd>{}</dd>\n<dt>Created</dt><dd>{}</dd>\n</dl>\n\
         <h2>Credentials</h2>\n{content}",
        said(ONE_DONE, done),
        Text(&belongs(workspace)),
        time(workspace.created(), now, ""),
    );
    inside.page(Place::Workspaces, workspace.name.clone(), body)
}

fn new_form(server: &Server, inside: &Inside, name: &str, project: &str, slip: Option<&Slip>) -> Answer<Page> {
    let input = Input { name: "name", title: "Name", hint: NAME_HINT, value: name, more: NAME };
    let body = format!(
        "{}<p>Its credentials are chosen next.</p>\n<form method=\"post\" action=\"{}\">\n{}\n{}{}{}</form>",
        summary(slip),
        Text(&inside.path("workspaces/new")),
        inside.word(),
        input.html(slip),
        projects::choice(server, inside, Permission::WorkspacesWrite, project, slip)?,
        buttons("Make it", &inside.path("workspaces")),
    );
    Ok(inside.page(Place::Workspaces, "New workspace", body))
}

async fn new(State(server): State<Arc<Server>>, inside: Inside) -> Answer<Response> {
    blocking(&server, move |server| Ok(new_form(server, &inside, "", "", None)?.into_response())).await
}

async fn make(State(server): State<Arc<Server>>, inside: Inside, sent: Sent) -> Answer<Response> {
    blocking(&server, move |server| {
        let (name, project) = (sent.text("name"), sent.text("project"));
        let wanted =
            Wanted { name: name.to_owned(), project: Some(project.to_owned()), credential_config_ids: Vec::new() };
        let made = workspaces::make(server, &inside.caller, &wanted);
        fixable(
            made,
            |made| inside.on(&format!("workspaces/{}/edit", made.id)),
            |slip| new_form(server, &inside, name, project, Some(slip)),
        )
    })
    .await
}

async fn ask(State(server): State<Arc<Server>>, inside: Inside, Path(One { id }): Path<One>) -> Answer<Response> {
    blocking(&server, move |server| {
        let workspace = permitted(server, &inside, &id)?;
        let question = Question {
            at: Place::Workspaces,
            title: "Delete this workspace?",
            what: format!(
                "Delete <strong>{}</strong>? The {} in it stay where they are.",
                Text(&workspace.name),
                shell::count(workspace.credentials.len(), "credential"),
            ),
            hidden: hidden("revision", &workspace.revision.to_string()),
            to: inside.path(&format!("workspaces/{id}/delete")),
            does: "Delete",
            back: &inside.path(&format!("workspaces/{id}")),
        };
        Ok(question.page(&inside).into_response())
    })
    .await
}

async fn delete(
    State(server): State<Arc<Server>>,
    inside: Inside,
    Path(One { id }): Path<One>,
    sent: Sent,
) -> Answer<Response> {
    blocking(&server, move |server| {
        permitted(server, &inside, &id)?;
        workspaces::end(server, &inside.caller, &id, Some(sent.revision()?))?;
        Ok(inside.on("workspaces?done=deleted"))
    })
    .await
}
