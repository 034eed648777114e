//! API keys of whoever is signed in: a list, a form for a new one, which is shown once, and the end of one.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};

use super::fields::{Input, Slip, choice, summary, tick, ticks};
use super::inside::{Inside, Sent};
use super::only_project;
use super::page::{Page, Text};
use super::prove;
use super::question::Question;
use super::shell::{Listed, One, Place, count, fixable, said, time};
use super::table::{ACTIONS, Table, action, nothing, pages};
use crate::server::api_keys::{self, Bounds, Made, Shown, Wanted};
use crate::server::bridge::blocking;
use crate::server::caller::Access;
use crate::server::paging::Asked;
use crate::server::permission::Permission;
use crate::server::problem::Answer;
use crate::server::routes::Route;
use crate::server::state::{Server, now};

/// How long a key may be asked to live, in days.
const LIVES: [(&str, &str); 4] = [("7", "a week"), ("30", "30 days"), ("90", "90 days"), ("365", "a year")];
/// What is chosen at first.
const USUAL: &str = "90";

pub(super) fn routes() -> Vec<Route> {
    let manage = Access::Inside(Permission::KeysManage);
    vec![
        Route::new(Method::GET, "/portal/{org}/keys", manage, show),
        Route::new(Method::POST, "/portal/{org}/keys", manage, create).freshly("/portal/{org}/keys"),
        Route::new(Method::GET, "/portal/{org}/keys/{id}/revoke", manage, ask)
            .freshly("/portal/{org}/keys/{id}/revoke"),
        Route::new(Method::POST, "/portal/{org}/keys/{id}/revoke", manage, revoke).freshly("/portal/{org}/keys"),
    ]
}

const DONE: &[(&str, &str)] = &[("revoked", "The key lets nobody in any more.")];

async fn show(State(server): State<Arc<Server>>, inside: Inside, Query(listed): Query<Listed>) -> Answer<Response> {
    blocking(&server, move |server| Ok(page(server, &inside, &listed, None, None)?.into_response())).await
}

fn page(server: &Server, inside: &Inside, listed: &Listed, sent: Option<&Sent>, slip: Option<&Slip>) -> Answer<Page> {
    let part = api_keys::some(server, &inside.caller, &Asked::after(listed.after.clone()))?;
    let bounds = server.db.read(&inside.caller.scope, |rows| Bounds::of(rows, &inside.caller.scope))?;
    let project = only_project::input(server, inside, sent.map_or("", |sent| sent.text("project")), slip)?;
    let body = format!(
        "{}{}<p>For jobs and programs that cannot sign in. A key ends by itself, and never has more than you have.</p>\n\
         {}{}\n<h2>A new key</h2>\n{}",
        said(DONE, listed.done.as_deref()),
        summary(slip),
        table(inside, &part.items),
        pages(&inside.path("keys"), &[], listed.after.as_deref(), part.next.as_deref()),
        form(inside, sent, slip, bounds.days, &project),
    );
    Ok(inside.page(Place::Keys, "API keys", body))
}

fn table(inside: &Inside, keys: &[Shown]) -> String {
    if keys.is_empty() {
        return nothing("You have none.", "Where a job has an identity of its own, a trust rule needs no key at all.");
    }
    let now = now();
    let mut table = Table::new("Your keys", &["Name", "Permissions", "Created", "Last used", "Expires", ACTIONS]);
    for key in keys {
        let revoke = inside.path(&format!("keys/{}/revoke", key.id));
        table.row(&[
            named(key),
            may(key),
            time(key.created, now, ""),
            used(key),
            ends(key),
            action(&revoke, "Revoke", &key.name),
        ]);
    }
    table.html()
}

/// What a key is called, and what it is known by.
pub(super) fn named(key: &Shown) -> String {
    format!("{}<small><code>{}</code></small>", Text(&key.name), Text(&key.id))
}

/// What a key may do, and where.
pub(super) fn may(key: &Shown) -> String {
    format!("{}{}", Text(&key.permissions.join(", ")), only_project::shown(key.project.as_deref()))
}

/// When a key ends, or that it has.
pub(super) fn ends(key: &Shown) -> String {
    let now = now();
    let is_over = key.expires.is_some_and(|at| at <= now);
    let over = if is_over { "<span class=\"status bad\">expired</span> " } else { "" };
    format!("{over}{}", time(key.expires, now, ""))
}

/// When a key was last used, and from which network.
pub(super) fn used(key: &Shown) -> String {
    let from = key.used_from.as_ref().map(|from| format!("<small>from {}</small>", Text(from))).unwrap_or_default();
    let idle = if key.idle { "<span class=\"status soon\">unused</span> " } else { "" };
    format!("{idle}{}{from}", time(key.used, now(), "never"))
}

fn form(inside: &Inside, sent: Option<&Sent>, slip: Option<&Slip>, most: i64, project: &str) -> String {
    if !inside.signed_in.is_fresh(now()) {
        return prove::way(&inside.path("keys"));
    }
    let is_chosen = |word: &str| sent.is_some_and(|sent| sent.all("permission").any(|sent| sent.expose() == word));
    let boxes: String = inside
        .caller
        .rights
        .most()
        .iter()
        .map(|permission| {
            let label = format!("{} <code>{}</code>", Text(permission.title()), Text(permission.word()));
            tick("permission", permission.word(), &label, is_chosen(permission.word()))
        })
        .collect();
    // Nothing is offered that the organization does not let a key live, but as long as it does.
    let is_let = |days: &str| days.parse::<i64>().is_ok_and(|days| days <= most);
    let longest = most.to_string();
    let mut lives: Vec<(&str, String)> =
        LIVES.iter().filter(|(days, _)| is_let(days)).map(|(days, title)| (*days, (*title).to_owned())).collect();
    if most < api_keys::LONGEST && lives.last().is_none_or(|(days, _)| *days != longest) {
        lives.push((&longest, count(usize::try_from(most).unwrap_or_default(), "day")));
    }
    let life = sent.map_or(if is_let(USUAL) { USUAL } else { &longest }, |sent| sent.text("days"));
    let name = Input {
        name: "name",
        title: "Name",
        hint: "What it is for",
        value: sent.map_or("", |sent| sent.text("name")),
        more: "required maxlength=\"64\"",
    };
    format!(
        "<form method=\"post\" action=\"{}\">\n{}\n{}{}{}{}<button>Make a key</button>\n</form>",
        Text(&inside.path("keys")),
        inside.word(),
        name.html(slip),
        ticks("permissions", "It may", &boxes, slip),
        project,
        choice("days", "It lives for", "", &lives, life, slip),
    )
}

async fn create(State(server): State<Arc<Server>>, inside: Inside, sent: Sent) -> Answer<Response> {
    let wanted = Wanted {
        name: sent.text("name").to_owned(),
        permissions: sent.all("permission").map(|word| word.expose().to_owned()).collect(),
        project: Some(sent.text("project").trim().to_owned()),
        // What is no number of days is refused like one that is out of reach.
        days: Some(sent.text("days").parse().unwrap_or_default()),
    };
    blocking(&server, move |server| {
        let made = api_keys::make(server, &inside.caller, &wanted);
        let again = |slip: &Slip| page(server, &inside, &Listed::default(), Some(&sent), Some(slip));
        fixable(made, |made| once(&inside, &made).into_response(), again)
    })
    .await
}

/// The only page that a key is on.
fn once(inside: &Inside, made: &Made) -> Page {
    let body = format!(
        "<p>This is the key <strong>{}</strong>. Copy it now: it is not shown again.</p>\n\
         <p><code class=\"once\" tabindex=\"0\">{}</code></p>\n<p class=\"hint\">It is for <code>LANYARD_TOKEN</code>, may {}{}, \
         and ends on {}.</p>\n<p><a class=\"button\" href=\"{}\">I have copied it</a></p>",
        Text(&made.name),
        Text(made.minted.token.expose()),
        Text(&made.permissions.iter().map(Permission::word).collect::<Vec<_>>().join(", ")),
        made.project.as_ref().map(|project| format!(" in the project {}", Text(project))).unwrap_or_default(),
        made.expires.format("%Y-%m-%d"),
        Text(&inside.path("keys")),
    );
    inside.page(Place::Keys, "A new API key", body).status(StatusCode::CREATED)
}

async fn ask(State(server): State<Arc<Server>>, inside: Inside, Path(One { id }): Path<One>) -> Answer<Response> {
    blocking(&server, move |server| {
        let key = api_keys::one(server, &inside.caller, &id)?;
        let question = Question {
            at: Place::Keys,
            title: "Revoke this key?",
            what: format!("Revoke <strong>{}</strong>? Whatever uses it is let in no more, at once.", Text(&key.name)),
            hidden: String::new(),
            to: inside.path(&format!("keys/{}/revoke", key.id)),
            does: "Revoke",
            back: &inside.path("keys"),
        };
        Ok(question.page(&inside).into_response())
    })
    .await
}

async fn revoke(State(server): State<Arc<Server>>, inside: Inside, Path(One { id }): Path<One>) -> Answer<Response> {
    blocking(&server, move |server| {
        api_keys::end(server, &inside.caller, &id)?;
        Ok(inside.on("keys?done=revoked"))
    })
    .await
}
