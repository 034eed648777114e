//! The credentials of an organization: the list of them, and where each of the other pages is.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::Method;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;

use super::inside::Inside;
use super::page::{Page, Text};
use super::shell::{Place, mark, status, time};
use crate::credential::Status;
use crate::provider::PROVIDERS;
use crate::server::audit::Event;
use crate::server::bridge::blocking;
use crate::server::caller::Access;
use crate::server::credential_configs::cursor;
use crate::server::permission::Permission;
use crate::server::problem::{Answer, Problem};
use crate::server::routes::Route;
use crate::server::state::{Server, now};
use crate::server::vault::{Narrowed, OrgVault, Stored};

mod change;
mod create;
mod delete;
mod form;
mod replace;
mod show;

/// So many stand on a page.
const PAGE: usize = 50;
/// So many are warned of by name.
const WARNED: i64 = 20;

pub(super) fn routes() -> Vec<Route> {
    let (read, write) = (Access::Inside(Permission::CredentialsRead), Access::Inside(Permission::CredentialsWrite));
    let verify = Access::Inside(Permission::CredentialsVerify);
    let (get, post) = (Method::GET, Method::POST);
    vec![
        Route::new(get.clone(), "/portal/{org}/credentials", read, list),
        Route::new(get.clone(), "/portal/{org}/credentials/new", write, create::show),
        Route::new(post.clone(), "/portal/{org}/credentials/new", write, create::submit),
        Route::new(get.clone(), "/portal/{org}/credentials/{id}", read, show::show),
        Route::new(get.clone(), "/portal/{org}/credentials/{id}/edit", write, change::show),
        Route::new(post.clone(), "/portal/{org}/credentials/{id}/edit", write, change::submit),
        Route::new(get.clone(), "/portal/{org}/credentials/{id}/values", write, replace::show),
        Route::new(post.clone(), "/portal/{org}/credentials/{id}/values", write, replace::submit),
        Route::new(post.clone(), "/portal/{org}/credentials/{id}/verify", verify, show::verify),
        Route::new(get, "/portal/{org}/credentials/{id}/delete", write, delete::show),
        Route::new(post, "/portal/{org}/credentials/{id}/delete", write, delete::submit),
    ]
}

/// The organization and the credential of a path.
#[derive(Deserialize)]
struct One {
    id: String,
}

/// What a list is asked for.
#[derive(Deserialize, Default)]
struct Asked {
    #[serde(default)]
    kind: String,
    #[serde(default)]
    q: String,
    after: Option<String>,
}

fn vault<'s>(server: &'s Server, inside: &Inside) -> OrgVault<'s> {
    server.vault(inside.caller.scope.clone(), inside.caller.actor.clone())
}

/// The credential of an identifier, of this organization; another's is not there.
fn stored(vault: &OrgVault<'_>, id: &str) -> Answer<Stored> {
    vault.by_id(id)?.ok_or_else(Problem::not_found)
}

async fn list(State(server): State<Arc<Server>>, inside: Inside, Query(asked): Query<Asked>) -> Answer<Response> {
    blocking(&server, move |server| {
        server.tell(&inside.caller.scope, &inside.caller.actor, &Event::done("credential.list", ""))?;
        let vault = vault(server, &inside);
        let after =
            asked.after.as_deref().map(|text| cursor::read(&server.keys, &inside.caller.scope, text)).transpose()?;
        let wanted = Narrowed { kind: &asked.kind, name: asked.q.trim() };
        let limit = i64::try_from(PAGE + 1).unwrap_or(i64::MAX);
        let mut page = vault.narrowed(&after.unwrap_or_default(), &wanted, limit)?;
        let is_last = page.len() <= PAGE;
        page.truncate(PAGE);
        let next = match page.last() {
            Some(last) if !is_last => Some(cursor::write(&server.keys, &inside.caller.scope, &last.metadata)?),
            _ => None,
        };
        let warnings = warnings(&inside, &vault, now())?;
        Ok(page_of(&inside, &asked, &page, next.as_deref(), &warnings).into_response())
    })
    .await
}

fn page_of(inside: &Inside, asked: &Asked, page: &[Stored], next: Option<&str>, warnings: &str) -> Page {
    let add = if inside.may(Permission::CredentialsWrite) {
        format!("<p><a class=\"button\" href=\"{}\">Add a credential</a></p>\n", Text(&inside.path("credentials/new")))
    } else {
        String::new()
    };
    let narrowed = !asked.kind.is_empty() || !asked.q.trim().is_empty();
    let content = if page.is_empty() {
        let why = match (narrowed, asked.after.is_some()) {
            (true, _) => "No credential is like that.",
            (false, true) => "There are no more.",
            (false, false) => "There is no credential yet.",
        };
        format!("<p role=\"status\">{why}</p>")
    } else {
        table(inside, page)
    };
    let here = inside.path("credentials");
    let address = |after: Option<&str>| {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        for (name, value) in
            [("kind", asked.kind.as_str()), ("q", asked.q.trim()), ("after", after.unwrap_or_default())]
        {
            if !value.is_empty() {
                query.append_pair(name, value);
            }
        }
        format!("{here}?{}", query.finish())
    };
    let mut links = Vec::new();
    if asked.after.is_some() {
        links.push(format!("<a class=\"button quiet\" href=\"{}\">First page</a>", Text(&address(None))));
    }
    if let Some(next) = next {
        links.push(format!(
            "<a class=\"button quiet\" rel=\"next\" href=\"{}\">Next page</a>",
            Text(&address(Some(next)))
        ));
    }
    let pages = if links.is_empty() {
        String::new()
    } else {
        format!("\n<nav aria-label=\"Pages\"><p class=\"actions\">{}</p></nav>", links.concat())
    };
    let body = format!("{warnings}{add}{}\n{content}{pages}", filter(inside, asked));
    inside.page(Place::Credentials, "Credentials", body)
}

/// The form by which a list is narrowed. It changes nothing, so that it is sent as an address.
fn filter(inside: &Inside, asked: &Asked) -> String {
    let mut options = String::from("<option value=\"\">Every type</option>");
    for kind in PROVIDERS.iter().flat_map(|provider| provider.kinds()) {
        let chosen = if kind.id == asked.kind { " selected" } else { "" };
        let _ = write!(options, "<option value=\"{}\"{chosen}>{}</option>", Text(kind.id), Text(kind.title));
    }
    format!(
        "<form class=\"row\" role=\"search\" method=\"get\" action=\"{}\">\n\
         <label>Name<input type=\"search\" name=\"q\" maxlength=\"128\" autocomplete=\"off\" autocapitalize=\"none\" \
         spellcheck=\"false\" value=\"{}\"></label>\n\
         <label>Type<select name=\"kind\">{options}</select></label>\n<button>Filter</button>\n</form>",
        Text(&inside.path("credentials")),
        Text(asked.q.trim()),
    )
}

fn table(inside: &Inside, page: &[Stored]) -> String {
    let now = now();
    let rows: String = page
        .iter()
        .map(|Stored { metadata, .. }| {
            let project = metadata.scope.project().map(|project| format!("<small>{}</small>", Text(project)));
            format!(
                "<tr><th scope=\"row\"><span class=\"named\">{}<span><a href=\"{}\">{}</a>{}</span></span></th><td>{}</td>\
                 <td>{}</td><td>{}</td><td>{}</td></tr>\n",
                mark(metadata.kind.provider, metadata.service()),
                Text(&inside.path(&format!("credentials/{}", metadata.id))),
                Text(&metadata.name),
                project.unwrap_or_default(),
                Text(metadata.kind.title),
                status(metadata, now),
                time(metadata.expires, now, "not known"),
                time(metadata.used, now, "never"),
            )
        })
        .collect();
    format!(
        "<div class=\"table\"><table>\n<thead><tr><th scope=\"col\">Name</th><th scope=\"col\">Type</th>\
         <th scope=\"col\">Status</th><th scope=\"col\">Expires</th><th scope=\"col\">Last used</th></tr></thead>\n\
         <tbody>\n{rows}</tbody></table></div>"
    )
}

/// What has expired, and what does so soon.
fn warnings(inside: &Inside, vault: &OrgVault<'_>, now: DateTime<Utc>) -> Answer<String> {
    let ending = vault.ending(now + TimeDelta::days(7), WARNED)?;
    let of = |wanted: Status| -> Vec<String> {
        let such = ending.iter().map(|stored| &stored.metadata).filter(|metadata| metadata.status(now) == wanted);
        let link = |metadata: &crate::credential::Metadata| {
            let address = inside.path(&format!("credentials/{}", metadata.id));
            format!("<a href=\"{}\">{}</a>", Text(&address), Text(&metadata.name))
        };
        such.map(link).collect()
    };
    let line = |class: &str, what: &str, names: Vec<String>| {
        if names.is_empty() {
            return String::new();
        }
        format!("<p class=\"notice {class}\"><strong>{what}</strong> {}</p>\n", names.join(", "))
    };
    let (expired, soon) = (of(Status::Expired), of(Status::ExpiresSoon));
    Ok(line("bad", "Expired:", expired) + &line("soon", "Expires soon:", soon))
}

/// Words to find a credential by, as a form has them: with commas between.
fn tags(text: &str) -> Result<BTreeSet<String>, &'static str> {
    let tags: BTreeSet<String> =
        text.split(',').map(str::trim).filter(|tag| !tag.is_empty()).map(str::to_owned).collect();
    let fits = |tag: &String| tag.chars().count() <= 64 && !tag.chars().any(char::is_control);
    if tags.len() <= 32 && tags.iter().all(fits) {
        Ok(tags)
    } else {
        Err("There are at most 32 tags, of at most 64 characters each.")
    }
}

/// A line for people, as a form has it.
fn note(text: &str) -> Result<String, &'static str> {
    let fits = text.chars().count() <= 1000 && !text.chars().any(char::is_control);
    if fits { Ok(text.to_owned()) } else { Err("A note is one line of at most 1000 characters.") }
}
