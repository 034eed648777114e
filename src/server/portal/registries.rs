//! The registries of an organization: the list of them, and where each of the other pages is.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::Method;
use axum::response::{IntoResponse, Response};
use chrono::DateTime;
use serde::Deserialize;

use super::inside::Inside;
use super::page::Text;
use super::shell::{Place, time};
use crate::server::bridge::blocking;
use crate::server::caller::Access;
use crate::server::paging::{self, Part};
use crate::server::permission::Permission;
use crate::server::problem::Answer;
use crate::server::registries::{Registry, some};
use crate::server::routes::Route;
use crate::server::state::{Server, now};

mod delete;
mod form;
mod show;

pub(super) fn routes() -> Vec<Route> {
    let (read, write) = (Access::Inside(Permission::CredentialsRead), Access::Inside(Permission::RegistriesWrite));
    let (get, post) = (Method::GET, Method::POST);
    vec![
        Route::new(get.clone(), "/portal/{org}/registries", read, list),
        Route::new(get.clone(), "/portal/{org}/registries/new", write, form::add),
        Route::new(post.clone(), "/portal/{org}/registries/new", write, form::create),
        Route::new(get.clone(), "/portal/{org}/registries/{id}", read, show::show),
        Route::new(post.clone(), "/portal/{org}/registries/{id}/sync", write, show::sync),
        Route::new(get.clone(), "/portal/{org}/registries/{id}/edit", write, form::edit),
        Route::new(post.clone(), "/portal/{org}/registries/{id}/edit", write, form::change),
        Route::new(get, "/portal/{org}/registries/{id}/delete", write, delete::ask),
        Route::new(post, "/portal/{org}/registries/{id}/delete", write, delete::submit),
    ]
}

/// The organization and the registry of a path.
#[derive(Deserialize)]
struct One {
    id: String,
}

/// What a page of a list is asked for.
#[derive(Deserialize)]
struct Asked {
    /// The cursor of a page.
    after: Option<String>,
    /// What was just done, in one of a few words.
    done: Option<String>,
}

/// How a registry is, in a word with a colour.
fn status(registry: &Registry) -> String {
    let (class, word) = match registry.outcome.as_str() {
        "" => ("open", "not asked yet"),
        "synced" => ("good", "synced"),
        other => ("bad", other),
    };
    format!("<span class=\"status {class}\">{}</span>", Text(&word.replace('_', " ")))
}

/// When it was last listed in whole.
fn listed(registry: &Registry) -> String {
    time(registry.synced.and_then(DateTime::from_timestamp_millis), now(), "never")
}

/// The links to the first and the next page of a list.
fn pages(here: &str, is_first: bool, next: Option<&str>) -> String {
    let mut links = String::new();
    if !is_first {
        let _ = write!(links, "<a class=\"button quiet\" href=\"{}\">First page</a>", Text(here));
    }
    if let Some(next) = next {
        let query: String = url::form_urlencoded::Serializer::new(String::new()).append_pair("after", next).finish();
        let address = format!("{here}?{query}");
        let _ = write!(links, "<a class=\"button quiet\" rel=\"next\" href=\"{}\">Next page</a>", Text(&address));
    }
    if links.is_empty() {
        return links;
    }
    format!("\n<nav aria-label=\"Pages\"><p class=\"actions\">{links}</p></nav>")
}

async fn list(State(server): State<Arc<Server>>, inside: Inside, Query(asked): Query<Asked>) -> Answer<Response> {
    blocking(&server, move |server| {
        let Part { items: found, next } = some(server, &inside.caller, &paging::Asked::after(asked.after.clone()))?;
        let add = if inside.may(Permission::RegistriesWrite) {
            format!("<p><a class=\"button\" href=\"{}\">Add a registry</a></p>\n", Text(&inside.path("registries/new")))
        } else {
            String::new()
        };
        let content = if found.is_empty() {
            "<p role=\"status\">There is no registry yet.</p>".to_owned()
        } else {
            table(&inside, &found)
        };
        let pages = pages(&inside.path("registries"), asked.after.is_none(), next.as_deref());
        let gone = if asked.done.as_deref() == Some("deleted") {
            "<p class=\"notice good\" role=\"status\">It is deleted.</p>\n"
        } else {
            ""
        };
        let body = format!(
            "{gone}<p>Helm repositories and OCI registries, and the charts that each had when it was last asked.</p>\n\
             {add}{content}{pages}"
        );
        Ok(inside.page(Place::Registries, "Registries", body).into_response())
    })
    .await
}

fn table(inside: &Inside, found: &[Registry]) -> String {
    let row = |registry: &Registry| {
        let project = registry.project().map(|project| format!("<small>{}</small>", Text(project)));
        format!(
            "<tr><th scope=\"row\"><a href=\"{}\">{}</a>{}</th><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>\n",
            Text(&inside.path(&format!("registries/{}", registry.id))),
            Text(&registry.name),
            project.unwrap_or_default(),
            Text(registry.sort.word()),
            Text(&registry.url),
            registry.charts,
            status(registry),
            listed(registry),
        )
    };
    let rows: String = found.iter().map(row).collect();
    format!(
        "<div class=\"table\"><table>\n<thead><tr><th scope=\"col\">Name</th><th scope=\"col\">Kind</th>\
         <th scope=\"col\">Address</th><th scope=\"col\">Charts</th><th scope=\"col\">Status</th>\
         <th scope=\"col\">Listed</th></tr></thead>\n<tbody>\n{rows}</tbody></table></div>"
    )
}
