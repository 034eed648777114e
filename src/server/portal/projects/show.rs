//! One project: what is in it, and who works in it.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};

use crate::server::bridge::blocking;
use crate::server::paging::{Asked, Part};
use crate::server::permission::Permission;
use crate::server::portal::inside::Inside;
use crate::server::portal::page::{Page, Text};
use crate::server::portal::shell::{Listed, One, Place, said};
use crate::server::portal::table::{ACTIONS, Table, action, address, nothing, pages};
use crate::server::problem::Answer;
use crate::server::projects::{self, Project, roles};
use crate::server::state::Server;

const DONE: &[(&str, &str)] = &[
    ("made", "The project is made. Now say who works in it, and store what they need."),
    ("renamed", "It has its new name."),
    ("given", "The role counts from now on."),
];

/// What the page shows.
struct Shown<'s> {
    project: &'s Project,
    content: &'s [String],
    people: Option<&'s Part<roles::Shown>>,
    listed: &'s Listed,
}

pub(super) async fn show(
    State(server): State<Arc<Server>>,
    inside: Inside,
    Path(One { id }): Path<One>,
    Query(listed): Query<Listed>,
) -> Answer<Response> {
    blocking(&server, move |server| {
        let project = projects::one(server, &inside.caller, &id)?;
        let content =
            server.db.read(&inside.caller.scope, |rows| projects::content(rows, &inside.caller.scope, &project))?;
        let people = people(server, &inside, &id, &listed)?;
        let shown = Shown { project: &project, content: &content, people: people.as_ref(), listed: &listed };
        Ok(page(&inside, &shown).into_response())
    })
    .await
}

/// Who works in it, for whoever may see that.
fn people(server: &Server, inside: &Inside, id: &str, listed: &Listed) -> Answer<Option<Part<roles::Shown>>> {
    if !inside.may(Permission::MembersRead) {
        return Ok(None);
    }
    roles::some(server, &inside.caller, id, &Asked::after(listed.after.clone())).map(Some)
}

fn page(inside: &Inside, shown: &Shown<'_>) -> Page {
    let Shown { project, listed, .. } = shown;
    let name = project.name.as_str();
    let at = |rest: &str| inside.path(&format!("projects/{}{rest}", project.id));
    let mut links = Vec::new();
    if inside.caller.may(Permission::CredentialsWrite, Some(name)) {
        let new = address(&inside.path("credentials/new"), [("project", name)]);
        links.push((new, "Add a credential", "button"));
    }
    if inside.caller.may(Permission::ProjectsManage, Some(name)) {
        links.push((at("/members"), "Give a role", "button quiet"));
        links.push((at("/edit"), "Rename", "button quiet"));
    }
    if inside.may(Permission::ProjectsManage) {
        links.push((at("/delete"), "Delete", "button quiet"));
    }
    let mut actions = String::new();
    for (to, title, class) in &links {
        let _ = write!(actions, "<a class=\"{class}\" href=\"{}\">{title}</a>", Text(to));
    }
    let actions = if links.is_empty() { actions } else { format!("<p class=\"actions\">{actions}</p>\n") };
    let body = format!(
        "{}{actions}<h2>In it</h2>\n{}\n{}",
        said(DONE, listed.done.as_deref()),
        content(inside, shown),
        shown.people.map(|people| workers(inside, shown, people)).unwrap_or_default(),
    );
    inside.page(Place::Projects, project.name.clone(), body)
}

fn content(inside: &Inside, shown: &Shown<'_>) -> String {
    let name = &shown.project.name;
    if shown.content.is_empty() {
        let next = "Add a credential, and choose this project as what it belongs to.";
        let may = inside.caller.may(Permission::CredentialsWrite, Some(name));
        return nothing("Nothing yet.", if may { next } else { "" });
    }
    let items: String = shown.content.iter().map(|one| format!("<li>{}</li>", Text(one))).collect();
    let list = address(&inside.path("credentials"), [("project", name.as_str())]);
    format!("<ul>{items}</ul>\n<p><a href=\"{}\">Its credentials in the list</a></p>\n", Text(&list))
}

fn workers(inside: &Inside, shown: &Shown<'_>, people: &Part<roles::Shown>) -> String {
    let project = shown.project;
    let may = inside.caller.may(Permission::ProjectsManage, Some(&project.name));
    let content = if people.items.is_empty() {
        nothing("Nobody has a role in it.", "What the organization's members may do counts here as everywhere.")
    } else {
        let mut table = Table::new("Roles in this project", &["Login", "Role", ACTIONS]);
        for one in &people.items {
            let here = inside.path(&format!("projects/{}/members", project.id));
            let to = address(&here, [("login", one.login.as_str())]);
            let change = if may { action(&to, "Change", &format!("the role of {}", one.login)) } else { String::new() };
            table.row(&[Text(&one.login).to_string(), Text(&one.role).to_string(), change]);
        }
        table.html()
    };
    let here = inside.path(&format!("projects/{}", project.id));
    let more = pages(&here, &[], shown.listed.after.as_deref(), people.next.as_deref());
    format!("<h2>Who works in it</h2>\n{content}{more}")
}
