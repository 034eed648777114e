//! API keys of whoever is signed in: a list, a form for a new one, which is shown once, and the end of one.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::inside::{Inside, Sent, sentence};
use super::page::{Page, Text, sent_on};
use super::shell::{Place, alert, time};
use crate::server::api_keys::{self, Made, Shown, Wanted};
use crate::server::bridge::blocking;
use crate::server::caller::Access;
use crate::server::permission::Permission;
use crate::server::problem::{Answer, Problem};
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
        Route::new(Method::GET, "/portal/{org}/keys/{id}/revoke", manage, ask),
        Route::new(Method::POST, "/portal/{org}/keys/{id}/revoke", manage, revoke).freshly("/portal/{org}/keys"),
    ]
}

#[derive(Deserialize)]
struct One {
    id: String,
}

async fn show(State(server): State<Arc<Server>>, inside: Inside) -> Answer<Response> {
    blocking(&server, move |server| {
        let keys = api_keys::all(server, &inside.caller)?;
        Ok(page(&inside, &keys, None, None).into_response())
    })
    .await
}

fn page(inside: &Inside, keys: &[Shown], sent: Option<&Sent>, problem: Option<&str>) -> Page {
    let body = format!(
        "<p>For jobs and programs that cannot sign in. A key ends by itself, and never has more than you have.</p>\n{}\n\
         <h2>A new key</h2>\n{}{}",
        table(inside, keys),
        alert(problem),
        form(inside, sent),
    );
    inside.page(Place::Keys, "API keys", body)
}

fn table(inside: &Inside, keys: &[Shown]) -> String {
    if keys.is_empty() {
        return "<p role=\"status\">You have none.</p>".into();
    }
    let now = now();
    let rows: String = keys
        .iter()
        .map(|key| {
            let is_over = key.expires.is_some_and(|at| at <= now);
            let over = if is_over { "<span class=\"status bad\">expired</span> " } else { "" };
            format!(
                "<tr><th scope=\"row\">{}<small>{}</small></th><td>{}</td><td>{}</td><td>{}</td><td>{over}{}</td>\
                 <td><a href=\"{}\">Revoke<span class=\"apart\"> {}</span></a></td></tr>\n",
                Text(&key.name),
                Text(&key.id),
                Text(&key.permissions.join(", ")),
                time(key.created, now, ""),
                time(key.used, now, "never"),
                time(key.expires, now, ""),
                Text(&inside.path(&format!("keys/{}/revoke", key.id))),
                Text(&key.name),
            )
        })
        .collect();
    format!(
        "<div class=\"table\"><table>\n<thead><tr><th scope=\"col\">Name</th><th scope=\"col\">Permissions</th>\
         <th scope=\"col\">Created</th><th scope=\"col\">Last used</th><th scope=\"col\">Expires</th>\
         <th scope=\"col\"><span class=\"apart\">Revoke</span></th></tr></thead>\n<tbody>\n{rows}</tbody></table></div>"
    )
}

fn form(inside: &Inside, sent: Option<&Sent>) -> String {
    let is_chosen = |word: &str| sent.is_some_and(|sent| sent.all("permission").any(|sent| sent.expose() == word));
    let boxes: String = inside
        .caller
        .permissions
        .iter()
        .map(|permission| {
            let checked = if is_chosen(permission.word()) { " checked" } else { "" };
            format!(
                "<label class=\"check\"><input type=\"checkbox\" name=\"permission\" value=\"{0}\"{checked}>{1} \
                 <code>{0}</code></label>\n",
                Text(permission.word()),
                Text(permission.title()),
            )
        })
        .collect();
    let life = sent.map_or(USUAL, |sent| sent.text("days"));
    let lives: String = LIVES
        .iter()
        .map(|(days, title)| {
            let chosen = if *days == life { " selected" } else { "" };
            format!("<option value=\"{days}\"{chosen}>{title}</option>")
        })
        .collect();
    format!(
        "<form method=\"post\" action=\"{}\">\n{}\n\
         <label>Name<small>What it is for</small><input name=\"name\" required maxlength=\"64\" autocomplete=\"off\" \
         value=\"{}\"></label>\n<fieldset><legend>It may</legend>\n{boxes}</fieldset>\n\
         <label>It lives for<select name=\"days\">{lives}</select></label>\n<button>Make a key</button>\n</form>",
        Text(&inside.path("keys")),
        inside.word(),
        Text(sent.map_or("", |sent| sent.text("name"))),
    )
}

async fn create(State(server): State<Arc<Server>>, inside: Inside, sent: Sent) -> Answer<Response> {
    let wanted = Wanted {
        name: sent.text("name").to_owned(),
        permissions: sent.all("permission").map(|word| word.expose().to_owned()).collect(),
        // What is no number of days is refused like one that is out of reach.
        days: Some(sent.text("days").parse().unwrap_or_default()),
    };
    blocking(&server, move |server| match api_keys::make(server, &inside.caller, &wanted) {
        Ok(made) => Ok(once(&inside, &made).into_response()),
        Err(problem) if problem.status() == StatusCode::UNPROCESSABLE_ENTITY => {
            let keys = api_keys::all(server, &inside.caller)?;
            let page = page(&inside, &keys, Some(&sent), Some(&sentence(problem.detail())));
            Ok(page.status(problem.status()).into_response())
        }
        Err(problem) => Err(problem),
    })
    .await
}

/// The only page that a key is on.
fn once(inside: &Inside, made: &Made) -> Page {
    let body = format!(
        "<p>This is the key <strong>{}</strong>. Copy it now: it is not shown again.</p>\n\
         <p><code class=\"once\" tabindex=\"0\">{}</code></p>\n<p class=\"hint\">It is for <code>LANYARD_TOKEN</code>, may {}, \
         and ends on {}.</p>\n<p><a class=\"button\" href=\"{}\">I have copied it</a></p>",
        Text(&made.name),
        Text(made.minted.token.expose()),
        Text(&made.permissions.iter().map(Permission::word).collect::<Vec<_>>().join(", ")),
        made.expires.format("%Y-%m-%d"),
        Text(&inside.path("keys")),
    );
    inside.page(Place::Keys, "A new API key", body).status(StatusCode::CREATED)
}

async fn ask(State(server): State<Arc<Server>>, inside: Inside, Path(One { id }): Path<One>) -> Answer<Response> {
    blocking(&server, move |server| {
        let keys = api_keys::all(server, &inside.caller)?;
        let key = keys.into_iter().find(|key| key.id == id).ok_or_else(Problem::not_found)?;
        let body = format!(
            "<p>Revoke <strong>{}</strong>? Whatever uses it is let in no more, at once.</p>\n\
             <form method=\"post\" action=\"{}\">\n{}\n<p class=\"actions\"><button class=\"bad\">Revoke</button>\
             <a class=\"button quiet\" href=\"{}\">Cancel</a></p>\n</form>",
            Text(&key.name),
            Text(&inside.path(&format!("keys/{}/revoke", key.id))),
            inside.word(),
            Text(&inside.path("keys")),
        );
        Ok(inside.page(Place::Keys, "Revoke this key?", body).into_response())
    })
    .await
}

async fn revoke(State(server): State<Arc<Server>>, inside: Inside, Path(One { id }): Path<One>) -> Answer<Response> {
    blocking(&server, move |server| {
        api_keys::end(server, &inside.caller, &id)?;
        Ok(sent_on(&inside.path("keys"), None))
    })
    .await
}
