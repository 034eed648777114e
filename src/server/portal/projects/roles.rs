//! A role in a project, given and taken back.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::permitted;
use crate::server::bridge::blocking;
use crate::server::members;
use crate::server::paging::Asked;
use crate::server::portal::fields::{Input, Slip, buttons, choice, summary};
use crate::server::portal::inside::{Inside, Sent};
use crate::server::portal::page::{Page, Text};
use crate::server::portal::shell::{One, Place, fixable, hidden};
use crate::server::problem::Answer;
use crate::server::projects::{Project, roles};
use crate::server::state::Server;

/// Whose role it is to be.
#[derive(Deserialize)]
pub(super) struct Whose {
    #[serde(default)]
    login: String,
}

pub(super) async fn show(
    State(server): State<Arc<Server>>,
    inside: Inside,
    Path(One { id }): Path<One>,
    Query(Whose { login }): Query<Whose>,
) -> Answer<Response> {
    blocking(&server, move |server| {
        let project = permitted(server, &inside, &id)?;
        let seen = roles::seen(server, &inside.caller, &id)?.to_string();
        let typed = Typed { login: &login, role: "member", revision: &seen };
        Ok(form(server, &inside, &project, &typed, None)?.into_response())
    })
    .await
}

/// What stands in the form.
struct Typed<'t> {
    login: &'t str,
    role: &'t str,
    /// The version of the roles that are seen with it.
    revision: &'t str,
}

fn form(server: &Server, inside: &Inside, project: &Project, typed: &Typed<'_>, slip: Option<&Slip>) -> Answer<Page> {
    let Typed { login, role, revision } = *typed;
    let one = inside.path(&format!("projects/{}", project.id));
    let known = members::some(server, &inside.caller, &Asked::after(None))?;
    let mut logins = String::new();
    for member in &known.items {
        let _ = write!(logins, "<option value=\"{}\"></option>", Text(&member.login));
    }
    let whose = Input {
        name: "login",
        title: "Member",
        hint: "The login of a member of the organization",
        value: login,
        more: "required list=\"logins\" maxlength=\"128\" autocapitalize=\"none\" spellcheck=\"false\"",
    };
    let options = [
        ("member", "member: stores and reads its credentials, makes its workspaces and registries".to_owned()),
        ("admin", "admin: that, and says who works in it".to_owned()),
        ("none", "no role in it any more".to_owned()),
    ];
    let body = format!(
        "{}<p>A role in <strong>{}</strong> adds to what somebody is in the organization.</p>\n\
         <form method=\"post\" action=\"{}/members\">\n{}{}\n{}<datalist id=\"logins\">{logins}</datalist>\n{}{}</form>",
        summary(slip),
        Text(&project.name),
        Text(&one),
        inside.word(),
        hidden("revision", revision),
        whose.html(slip),
        choice("role", "Role in the project", "", &options, role, slip),
        buttons("Give it", &one),
    );
    Ok(inside.page(Place::Projects, "A role in the project", body))
}

pub(super) async fn submit(
    State(server): State<Arc<Server>>,
    inside: Inside,
    Path(One { id }): Path<One>,
    sent: Sent,
) -> Answer<Response> {
    blocking(&server, move |server| {
        let project = permitted(server, &inside, &id)?;
        let typed = Typed { login: sent.text("login"), role: sent.text("role"), revision: sent.text("revision") };
        let given = give(server, &inside, &id, &typed, sent.revision()?);
        fixable(
            given,
            |_| inside.on(&format!("projects/{id}?done=given")),
            |slip| form(server, &inside, &project, &typed, Some(slip)),
        )
    })
    .await
}

fn give(server: &Server, inside: &Inside, id: &str, typed: &Typed<'_>, seen: i64) -> Answer<i64> {
    let login = typed.login;
    let role = match typed.role {
        "none" => None,
        word => Some(roles::project_role(word)?),
    };
    let person = server.db.read(&inside.caller.scope, |rows| members::of_login(rows, &inside.caller.scope, login))?;
    // Somebody who is none is refused by whoever gives the role, and that is told.
    let person = person.unwrap_or_default();
    let given = roles::give(server, &inside.caller, id, &person, role, Some(seen));
    given.map_err(|problem| if person.is_empty() { problem.about("login") } else { problem })
}
