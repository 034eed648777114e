//! Programs that are registered: which ones may ask members to be let in. A list, a form for one, and the end of one.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::Method;
use axum::response::{IntoResponse, Response};
use chrono::DateTime;

use super::fields::{Input, Slip, buttons, hint, marked, summary, tick};
use super::inside::{Inside, Sent};
use super::page::{Page, Text};
use super::question::Question;
use super::shell::{Listed, One, Place, fixable, hidden, said, time};
use super::table::{ACTIONS, Table, action, nothing};
use crate::server::bridge::blocking;
use crate::server::caller::Access;
use crate::server::clients::{self, Registered, Written};
use crate::server::permission::Permission;
use crate::server::problem::Answer;
use crate::server::routes::Route;
use crate::server::state::{Server, now};

const NEW: &str = "/portal/{org}/programs/new";
const EDIT: &str = "/portal/{org}/programs/{id}/edit";
const DELETE: &str = "/portal/{org}/programs/{id}/delete";

pub(super) fn routes() -> Vec<Route> {
    let manage = Access::Inside(Permission::TrustManage);
    vec![
        Route::new(Method::GET, "/portal/{org}/programs", manage, list),
        Route::new(Method::GET, NEW, manage, new).freshly(NEW),
        Route::new(Method::POST, NEW, manage, make).freshly(NEW),
        Route::new(Method::GET, EDIT, manage, edit).freshly(EDIT),
        Route::new(Method::POST, EDIT, manage, change).freshly(EDIT),
        Route::new(Method::GET, DELETE, manage, ask).freshly(DELETE),
        Route::new(Method::POST, DELETE, manage, delete).freshly(DELETE),
    ]
}

const DONE: &[(&str, &str)] = &[
    ("made", "The program is registered."),
    ("changed", "The program is changed. Whoever has let it in stays signed in to it."),
    ("deleted", "The program is gone, and every token that it was given has ended, with the API keys made with it."),
];

async fn list(State(server): State<Arc<Server>>, inside: Inside, Query(listed): Query<Listed>) -> Answer<Response> {
    blocking(&server, move |server| {
        let programs = clients::all(server, &inside.caller)?;
        Ok(page(server, &inside, &programs, listed.done.as_deref()).into_response())
    })
    .await
}

fn page(server: &Server, inside: &Inside, programs: &[Registered], done: Option<&str>) -> Page {
    let content = if programs.is_empty() {
        nothing(
            "No program is registered.",
            "The command line needs none. A program of your own asks members to be let in under its own name, and the audit \
             has it under that.",
        )
    } else {
        let mut table = Table::new("Programs", &["Name", "Client id", "Let in", "Registered", ACTIONS]);
        for program in programs {
            table.row(&row(inside, program));
        }
        table.html()
    };
    let body = format!(
        "{}<p>Programs that may ask members of this organization to be let in, in the browser or by a code.</p>\n\
         <p class=\"actions\"><a class=\"button\" href=\"{}\">New program</a></p>\n{content}\
         <p class=\"hint\">On the command line: <code>lanyard auth login --service {} --client-id …</code></p>",
        said(DONE, done),
        Text(&inside.path("programs/new")),
        Text(server.issuer()),
    );
    inside.page(Place::Programs, "Programs", body)
}

fn row(inside: &Inside, program: &Registered) -> [String; 5] {
    let at = |rest: &str| inside.path(&format!("programs/{}/{rest}", program.id));
    let addresses = program.redirects.iter().map(|address| format!("<small>{}</small>", Text(address)));
    let ways = match (program.redirects.is_empty(), program.device) {
        (false, true) => "in the browser, by a code",
        (false, false) => "in the browser",
        (true, _) => "by a code",
    };
    let registered = time(DateTime::from_timestamp_millis(program.created), now(), "");
    [
        Text(&program.name).to_string(),
        format!("<code>{}</code>", Text(&program.id)),
        format!("{ways}{}", addresses.collect::<String>()),
        format!("{registered}<small>{}</small>", Text(&program.by)),
        format!("{} {}", action(&at("edit"), "Edit", &program.name), action(&at("delete"), "Delete", &program.name)),
    ]
}

/// What stands in the form.
struct Typed {
    name: String,
    /// One in a line.
    addresses: String,
    device: bool,
}

impl Typed {
    fn of(sent: &Sent) -> Self {
        let text = |name: &str| sent.text(name).to_owned();
        let device = sent.text("device") == "yes";
        Self { name: text("name"), addresses: text("redirect_uris").replace("\r\n", "\n"), device }
    }

    fn written(&self) -> Written {
        let lines = self.addresses.lines().map(str::trim).filter(|line| !line.is_empty());
        Written { name: self.name.clone(), redirect_uris: lines.map(str::to_owned).collect(), device: self.device }
    }
}

impl From<&Registered> for Typed {
    fn from(program: &Registered) -> Self {
        Self { name: program.name.clone(), addresses: program.redirects.join("\n"), device: program.device }
    }
}

fn form(inside: &Inside, to: &str, rest: &str, typed: &Typed, slip: Option<&Slip>) -> String {
    let name = Input {
        name: "name",
        title: "Name",
        hint: "What people are shown who are asked to let it in",
        value: &typed.name,
        more: "required maxlength=\"64\"",
    };
    let addresses: Vec<String> = typed.addresses.lines().map(|line| Text(line).to_string()).collect();
    [
        summary(slip),
        format!("<form method=\"post\" action=\"{}\">\n{}{rest}\n", Text(to), inside.word()),
        name.html(slip),
        format!(
            "<label>Addresses{}<textarea name=\"redirect_uris\" rows=\"3\" autocomplete=\"off\" autocapitalize=\"none\" \
             spellcheck=\"false\"{}>{}</textarea></label>\n",
            hint(
                "Where its answer goes, one in a line, letter by letter: https://app.example.com/callback, \
                 http://127.0.0.1/callback for any port, or com.example.app:/callback"
            ),
            marked(slip, "redirect_uris"),
            addresses.join("\n"),
        ),
        tick("device", "yes", "It may be let in by a code that a person types", typed.device),
        buttons("Save the program", &inside.path("programs")),
        "</form>".into(),
    ]
    .concat()
}

fn new_form(inside: &Inside, typed: &Typed, slip: Option<&Slip>) -> Page {
    inside.page(Place::Programs, "New program", form(inside, &inside.path("programs/new"), "", typed, slip))
}

fn edit_form(inside: &Inside, (id, revision): (&str, &str), typed: &Typed, slip: Option<&Slip>) -> Page {
    let to = inside.path(&format!("programs/{id}/edit"));
    inside.page(Place::Programs, "Edit the program", form(inside, &to, &hidden("revision", revision), typed, slip))
}

async fn new(inside: Inside) -> Response {
    let typed = Typed { name: String::new(), addresses: String::new(), device: true };
    new_form(&inside, &typed, None).into_response()
}

async fn make(State(server): State<Arc<Server>>, inside: Inside, sent: Sent) -> Answer<Response> {
    blocking(&server, move |server| {
        let typed = Typed::of(&sent);
        let made = clients::make(server, &inside.caller, typed.written());
        fixable(made, |_| inside.on("programs?done=made"), |slip: &Slip| Ok(new_form(&inside, &typed, Some(slip))))
    })
    .await
}

async fn edit(State(server): State<Arc<Server>>, inside: Inside, Path(One { id }): Path<One>) -> Answer<Response> {
    blocking(&server, move |server| {
        let program = clients::one(server, &inside.caller, &id)?;
        let revision = program.revision.to_string();
        Ok(edit_form(&inside, (&id, &revision), &Typed::from(&program), None).into_response())
    })
    .await
}

async fn change(
    State(server): State<Arc<Server>>,
    inside: Inside,
    Path(One { id }): Path<One>,
    sent: Sent,
) -> Answer<Response> {
    blocking(&server, move |server| {
        clients::find(server, &inside.caller, &id)?;
        let (typed, revision) = (Typed::of(&sent), sent.revision()?);
        let changed = clients::change(server, &inside.caller, &id, typed.written().into(), Some(revision));
        let shown = revision.to_string();
        let again = |slip: &Slip| Ok(edit_form(&inside, (&id, &shown), &typed, Some(slip)));
        fixable(changed, |_| inside.on("programs?done=changed"), again)
    })
    .await
}

async fn ask(State(server): State<Arc<Server>>, inside: Inside, Path(One { id }): Path<One>) -> Answer<Response> {
    blocking(&server, move |server| {
        let program = clients::one(server, &inside.caller, &id)?;
        let question = Question {
            at: Place::Programs,
            title: "Delete this program?",
            what: format!(
                "Delete <strong>{}</strong>? Nobody lets it in any more, and every token that it was given ends at once, \
                 with the API keys that were made with it.",
                Text(&program.name)
            ),
            hidden: hidden("revision", &program.revision.to_string()),
            to: inside.path(&format!("programs/{id}/delete")),
            does: "Delete",
            back: &inside.path("programs"),
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
        clients::end(server, &inside.caller, &id, Some(sent.seen()))?;
        Ok(inside.on("programs?done=deleted"))
    })
    .await
}
