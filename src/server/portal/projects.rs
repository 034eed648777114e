//! The projects of an organization: a list, one of them with what is in it and who works in it, and what changes them.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::Method;
use axum::response::{IntoResponse, Response};

use super::fields::{Input, NAME, NAME_HINT, Slip, buttons, summary};
use super::inside::{Inside, Sent};
use super::page::{Page, Text};
use super::question::{Question, in_use};
use super::shell::{Listed, One, Place, fixable, hidden, said, time};
use super::table::{Table, nothing, pages};
use crate::server::audit::{Event, Outcome};
use crate::server::bridge::blocking;
use crate::server::caller::Access;
use crate::server::paging::{Asked, Part};
use crate::server::permission::Permission;
use crate::server::problem::Answer;
use crate::server::projects::{self, OFFERED, Project};
use crate::server::routes::Route;
use crate::server::state::{Server, now};

mod roles;
mod show;

pub(super) fn routes() -> Vec<Route> {
    let (read, manage) = (Access::Inside(Permission::CredentialsRead), Access::Inside(Permission::ProjectsManage));
    let within = Access::InsideProject(Permission::ProjectsManage);
    let (get, post) = (Method::GET, Method::POST);
    vec![
        Route::new(get.clone(), "/portal/{org}/projects", read, list),
        Route::new(get.clone(), "/portal/{org}/projects/new", manage, new),
        Route::new(post.clone(), "/portal/{org}/projects/new", manage, make),
        Route::new(get.clone(), "/portal/{org}/projects/{id}", read, show::show),
        Route::new(get.clone(), "/portal/{org}/projects/{id}/edit", within, edit),
        Route::new(post.clone(), "/portal/{org}/projects/{id}/edit", within, rename),
        Route::new(get.clone(), "/portal/{org}/projects/{id}/members", within, roles::show)
            .freshly("/portal/{org}/projects/{id}/members"),
        Route::new(post.clone(), "/portal/{org}/projects/{id}/members", within, roles::submit)
            .freshly("/portal/{org}/projects/{id}/members"),
        Route::new(get, "/portal/{org}/projects/{id}/delete", manage, ask),
        Route::new(post, "/portal/{org}/projects/{id}/delete", manage, delete),
    ]
}

const DONE: &[(&str, &str)] = &[("deleted", "The project is deleted.")];

async fn list(State(server): State<Arc<Server>>, inside: Inside, Query(listed): Query<Listed>) -> Answer<Response> {
    blocking(&server, move |server| {
        let part = projects::some(server, &inside.caller, &Asked::after(listed.after.clone()))?;
        Ok(page(&inside, &part, &listed).into_response())
    })
    .await
}

fn page(inside: &Inside, part: &Part<Project>, listed: &Listed) -> Page {
    let now = now();
    let new = inside.path("projects/new");
    let (add, next) = if inside.may(Permission::ProjectsManage) {
        (
            format!("<p class=\"actions\"><a class=\"button\" href=\"{}\">New project</a></p>\n", Text(&new)),
            "Make one for work that only some people do: a role in it opens its credentials to them alone.",
        )
    } else {
        (String::new(), "Whoever runs the organization can make one.")
    };
    let content = if part.items.is_empty() {
        nothing("There is no project yet.", next)
    } else {
        let mut table = Table::new("Projects", &["Name", "Created"]);
        for project in &part.items {
            let one = inside.path(&format!("projects/{}", project.id));
            table.row(&[
                format!("<a href=\"{}\">{}</a>", Text(&one), Text(&project.name)),
                time(project.created(), now, ""),
            ]);
        }
        table.html()
    };
    let more = pages(&inside.path("projects"), &[], listed.after.as_deref(), part.next.as_deref());
    let body = format!("{}{add}{content}{more}", said(DONE, listed.done.as_deref()));
    inside.page(Place::Projects, "Projects", body)
}

/// The form for a name, of a new project or of one that is there.
fn form(
    inside: &Inside,
    title: &'static str,
    to: &str,
    rest: &str,
    back: &str,
    name: &str,
    slip: Option<&Slip>,
) -> Page {
    let input = Input { name: "name", title: "Name", hint: NAME_HINT, value: name, more: NAME };
    let does = if rest.is_empty() { "Make it" } else { "Rename it" };
    let body = format!(
        "{}<form method=\"post\" action=\"{}\">\n{}{rest}\n{}{}</form>",
        summary(slip),
        Text(to),
        inside.word(),
        input.html(slip),
        buttons(does, back),
    );
    inside.page(Place::Projects, title, body)
}

fn new_form(inside: &Inside, name: &str, slip: Option<&Slip>) -> Page {
    form(inside, "New project", &inside.path("projects/new"), "", &inside.path("projects"), name, slip)
}

async fn new(inside: Inside) -> Response {
    new_form(&inside, "", None).into_response()
}

async fn make(State(server): State<Arc<Server>>, inside: Inside, sent: Sent) -> Answer<Response> {
    blocking(&server, move |server| {
        let name = sent.text("name");
        let made = projects::make(server, &inside.caller, name);
        fixable(
            made,
            |project| inside.on(&format!("projects/{}?done=made", project.id)),
            |slip| Ok(new_form(&inside, name, Some(slip))),
        )
    })
    .await
}

/// The project, to which they may do this; without the right the page is refused as the change would be.
fn permitted(server: &Server, inside: &Inside, id: &str) -> Answer<Project> {
    let project = server.db.read(&inside.caller.scope, |rows| projects::find(rows, &inside.caller.scope, id))?;
    inside.caller.must(server, Permission::ProjectsManage, Some(&project.name))?;
    Ok(project)
}

fn edit_form(inside: &Inside, id: &str, revision: &str, name: &str, slip: Option<&Slip>) -> Page {
    let one = inside.path(&format!("projects/{id}"));
    form(inside, "Rename the project", &format!("{one}/edit"), &hidden("revision", revision), &one, name, slip)
}

async fn edit(State(server): State<Arc<Server>>, inside: Inside, Path(One { id }): Path<One>) -> Answer<Response> {
    blocking(&server, move |server| {
        let project = permitted(server, &inside, &id)?;
        Ok(edit_form(&inside, &id, &project.revision.to_string(), &project.name, None).into_response())
    })
    .await
}

async fn rename(
    State(server): State<Arc<Server>>,
    inside: Inside,
    Path(One { id }): Path<One>,
    sent: Sent,
) -> Answer<Response> {
    blocking(&server, move |server| {
        permitted(server, &inside, &id)?;
        let (name, revision) = (sent.text("name"), sent.text("revision"));
        let renamed = projects::call(server, &inside.caller, &id, name, Some(sent.revision()?));
        fixable(
            renamed,
            |_| inside.on(&format!("projects/{id}?done=renamed")),
            |slip| Ok(edit_form(&inside, &id, revision, name, Some(slip))),
        )
    })
    .await
}

async fn ask(State(server): State<Arc<Server>>, inside: Inside, Path(One { id }): Path<One>) -> Answer<Response> {
    blocking(&server, move |server| {
        let (project, content) = content(server, &inside, &id)?;
        if !content.is_empty() {
            return Ok(full(&inside, &project, &content).into_response());
        }
        let question = Question {
            at: Place::Projects,
            title: "Delete this project?",
            what: format!(
                "Delete <strong>{}</strong>? Nothing is in it; the roles that members have in it go.",
                Text(&project.name)
            ),
            hidden: hidden("revision", &project.revision.to_string()),
            to: inside.path(&format!("projects/{id}/delete")),
            does: "Delete",
            back: &inside.path(&format!("projects/{id}")),
        };
        Ok(question.page(&inside).into_response())
    })
    .await
}

fn content(server: &Server, inside: &Inside, id: &str) -> Answer<(Project, Vec<String>)> {
    server.db.read(&inside.caller.scope, |rows| -> Answer<_> {
        let project = projects::find(rows, &inside.caller.scope, id)?;
        let content = projects::content(rows, &inside.caller.scope, &project)?;
        Ok((project, content))
    })
}

fn full(inside: &Inside, project: &Project, content: &[String]) -> Page {
    in_use(inside, Place::Projects, &project.name, content, &inside.path(&format!("projects/{}", project.id)))
}

async fn delete(
    State(server): State<Arc<Server>>,
    inside: Inside,
    Path(One { id }): Path<One>,
    sent: Sent,
) -> Answer<Response> {
    blocking(&server, move |server| {
        let (project, content) = content(server, &inside, &id)?;
        if !content.is_empty() {
            let event = Event { outcome: Outcome::Denied, detail: "in-use", ..Event::done("project.delete", &id) };
            server.tell(&inside.caller.scope, &inside.caller.actor, &event)?;
            return Ok(full(&inside, &project, &content).into_response());
        }
        projects::end(server, &inside.caller, &id, Some(sent.revision()?))?;
        Ok(inside.on("projects?done=deleted"))
    })
    .await
}

/// The names of the projects into which somebody may put something, of the first ones, and whether there are more.
pub(super) fn open_to(server: &Server, inside: &Inside, permission: Permission) -> Answer<(Vec<String>, bool)> {
    let (names, is_cut) = server.db.read(&inside.caller.scope, |rows| projects::names(rows, &inside.caller.scope))?;
    Ok((names.into_iter().filter(|name| inside.caller.may(permission, Some(name))).collect(), is_cut))
}

/// The choice of where something belongs, for whoever has one; `chosen` is the name of a project or empty.
pub(super) fn choice(
    server: &Server,
    inside: &Inside,
    permission: Permission,
    chosen: &str,
    slip: Option<&Slip>,
) -> Answer<String> {
    let (mut names, is_cut) = open_to(server, inside, permission)?;
    // What was chosen is offered, however many projects come before it: nothing is put elsewhere by saving a form.
    if !chosen.is_empty() && !names.iter().any(|name| name == chosen) && inside.caller.may(permission, Some(chosen)) {
        names.push(chosen.to_owned());
    }
    let mut options: Vec<(&str, String)> = Vec::new();
    if inside.may(permission) {
        options.push(("", "the whole organization".to_owned()));
    }
    options.extend(names.iter().map(|name| (name.as_str(), format!("project {name}"))));
    if options.len() < 2 && chosen.is_empty() && inside.may(permission) {
        return Ok(String::new());
    }
    let mut hint =
        "Who has a role in a project may use what is in it; what is the organization's, members of it".to_owned();
    if is_cut {
        let _ = write!(hint, ". Only the first {OFFERED} projects are here; the command line takes any");
    }
    Ok(super::fields::choice("project", "Belongs to", &hint, &options, chosen, slip))
}
