//! Trust rules: which jobs are let in without a secret. A list, a form for one, and what each says to a token.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::Method;
use axum::response::{IntoResponse, Response};

use super::fields::Slip;
use super::inside::{Inside, Sent};
use super::only_project;
use super::page::{Page, Text};
use super::question::Question;
use super::shell::{Listed, One, Place, fixable, hidden, said};
use super::table::{ACTIONS, Table, action, nothing};
use crate::server::bridge::blocking;
use crate::server::caller::Access;
use crate::server::permission::Permission;
use crate::server::problem::Answer;
use crate::server::routes::Route;
use crate::server::state::Server;
use crate::server::trust::{self, Mode, Rule};

mod attempt;
mod form;

pub(super) fn routes() -> Vec<Route> {
    let manage = Access::Inside(Permission::TrustManage);
    let (get, post) = (Method::GET, Method::POST);
    vec![
        Route::new(get.clone(), "/portal/{org}/trust-rules", manage, list),
        Route::new(get.clone(), "/portal/{org}/trust-rules/new", manage, new).freshly("/portal/{org}/trust-rules/new"),
        Route::new(post.clone(), "/portal/{org}/trust-rules/new", manage, make)
            .freshly("/portal/{org}/trust-rules/new"),
        Route::new(get.clone(), "/portal/{org}/trust-rules/try", manage, attempt::show),
        Route::new(post.clone(), "/portal/{org}/trust-rules/try", manage, attempt::submit),
        Route::new(get.clone(), "/portal/{org}/trust-rules/{id}/edit", manage, edit)
            .freshly("/portal/{org}/trust-rules/{id}/edit"),
        Route::new(post.clone(), "/portal/{org}/trust-rules/{id}/edit", manage, change)
            .freshly("/portal/{org}/trust-rules/{id}/edit"),
        Route::new(get, "/portal/{org}/trust-rules/{id}/delete", manage, ask)
            .freshly("/portal/{org}/trust-rules/{id}/delete"),
        Route::new(post, "/portal/{org}/trust-rules/{id}/delete", manage, delete)
            .freshly("/portal/{org}/trust-rules/{id}/delete"),
    ]
}

const DONE: &[(&str, &str)] = &[
    ("made", "The rule is in force."),
    ("changed", "The rule is changed. Jobs that came in by it before come in anew."),
    ("deleted", "The rule is gone, and every job that came in by it is out."),
];

async fn list(State(server): State<Arc<Server>>, inside: Inside, Query(listed): Query<Listed>) -> Answer<Response> {
    blocking(&server, move |server| {
        let rules = trust::all(server, &inside.caller)?;
        Ok(page(server, &inside, &rules, listed.done.as_deref()).into_response())
    })
    .await
}

fn page(server: &Server, inside: &Inside, rules: &[Rule], done: Option<&str>) -> Page {
    let content = if rules.is_empty() {
        nothing(
            "No job is let in yet.",
            "A rule lets jobs of GitHub Actions, GitLab CI or another issuer in by the token that their own service makes \
             for them, so that nothing secret is kept there.",
        )
    } else {
        let mut table = Table::new("Trust rules", &["Name", "Jobs", "They may", "Mode", ACTIONS]);
        for rule in rules {
            table.row(&row(inside, rule));
        }
        table.html()
    };
    let body = format!(
        "{}<p>Which jobs are let in without a secret, and what they may do then.</p>\n\
         <p class=\"actions\"><a class=\"button\" href=\"{}\">New rule</a>\
         <a class=\"button quiet\" href=\"{}\">Try a token</a></p>\n{content}\
         <p class=\"hint\">In the job: <code>lanyard auth login --federated --service {} --organization {}</code></p>",
        said(DONE, done),
        Text(&inside.path("trust-rules/new")),
        Text(&inside.path("trust-rules/try")),
        Text(server.issuer()),
        Text(inside.caller.scope.id()),
    );
    inside.page(Place::Trust, "Trust rules", body)
}

fn row(inside: &Inside, rule: &Rule) -> [String; 5] {
    let at = |rest: &str| inside.path(&format!("trust-rules/{}/{rest}", rule.id));
    let written = rule.written();
    let claims: String = written
        .claims
        .iter()
        .map(|(name, pattern)| format!("<small>{} = {}</small>", Text(name), Text(pattern)))
        .collect();
    let mode = match rule.mode {
        Mode::Enforce => "<span class=\"status good\">lets in</span>",
        Mode::Audit => "<span class=\"status open\">only notes</span>",
    };
    [
        Text(&rule.name).to_string(),
        format!("<code>{}</code><small>{}</small>{claims}", Text(&written.subject), Text(&rule.issuer)),
        format!("{}{}", Text(&written.permissions.join(", ")), only_project::shown(written.project.as_deref())),
        mode.to_owned(),
        format!("{} {}", action(&at("edit"), "Edit", &rule.name), action(&at("delete"), "Delete", &rule.name)),
    ]
}

async fn new(State(server): State<Arc<Server>>, inside: Inside) -> Answer<Response> {
    blocking(&server, move |server| Ok(form::new(server, &inside, &form::Typed::first(), None)?.into_response())).await
}

async fn make(State(server): State<Arc<Server>>, inside: Inside, sent: Sent) -> Answer<Response> {
    blocking(&server, move |server| {
        let typed = form::Typed::of(&sent);
        let made = typed.written().and_then(|written| trust::make(server, &inside.caller, written));
        let again = |slip: &Slip| form::new(server, &inside, &typed, Some(slip));
        fixable(made, |_| inside.on("trust-rules?done=made"), again)
    })
    .await
}

async fn edit(State(server): State<Arc<Server>>, inside: Inside, Path(One { id }): Path<One>) -> Answer<Response> {
    blocking(&server, move |server| {
        let rule = trust::one(server, &inside.caller, &id)?;
        let revision = rule.revision.to_string();
        Ok(form::edit(server, &inside, (&id, &revision), &form::Typed::from(&rule), None)?.into_response())
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
        trust::find(server, &inside.caller, &id)?;
        let (typed, revision) = (form::Typed::of(&sent), sent.revision()?);
        let changed = typed
            .written()
            .and_then(|written| trust::change(server, &inside.caller, &id, written.into(), Some(revision)));
        let shown = revision.to_string();
        let again = |slip: &Slip| form::edit(server, &inside, (&id, &shown), &typed, Some(slip));
        fixable(changed, |_| inside.on("trust-rules?done=changed"), again)
    })
    .await
}

async fn ask(State(server): State<Arc<Server>>, inside: Inside, Path(One { id }): Path<One>) -> Answer<Response> {
    blocking(&server, move |server| {
        let rule = trust::one(server, &inside.caller, &id)?;
        let question = Question {
            at: Place::Trust,
            title: "Delete this rule?",
            what: format!(
                "Delete <strong>{}</strong>? No job comes in by it any more, and those that did are out at once.",
                Text(&rule.name)
            ),
            hidden: hidden("revision", &rule.revision.to_string()),
            to: inside.path(&format!("trust-rules/{id}/delete")),
            does: "Delete",
            back: &inside.path("trust-rules"),
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
        trust::end(server, &inside.caller, &id, Some(sent.seen()))?;
        Ok(inside.on("trust-rules?done=deleted"))
    })
    .await
}
