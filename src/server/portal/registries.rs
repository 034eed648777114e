//! The registries of an organization: the list of them, and where each of the other pages is.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::Method;
use axum::response::{IntoResponse, Response};
use chrono::DateTime;

use super::inside::Inside;
use super::page::{Page, Text};
use super::shell::{Listed, Place, said, time};
use super::table::{Table, nothing, pages};
use crate::server::bridge::blocking;
use crate::server::caller::Access;
use crate::server::paging::{Asked, Part};
use crate::server::permission::Permission;
use crate::server::problem::Answer;
use crate::server::registries::{Registry, find, some};
use crate::server::routes::Route;
use crate::server::state::{Server, now};

mod delete;
mod form;
mod show;

pub(super) fn routes() -> Vec<Route> {
    let read = Access::Inside(Permission::CredentialsRead);
    let write = Access::InsideProject(Permission::RegistriesWrite);
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

/// Whether they may change a registry, and have it asked.
fn may(inside: &Inside, registry: &Registry) -> bool {
    inside.caller.may(Permission::RegistriesWrite, registry.project())
}

/// The registry, which they may change; without the right the page is refused as the change would be.
fn permitted(server: &Server, inside: &Inside, id: &str) -> Answer<Registry> {
    let registry = server.db.read(&inside.caller.scope, |rows| find(rows, &inside.caller.scope, id))?;
    inside.caller.must(server, Permission::RegistriesWrite, registry.project())?;
    Ok(registry)
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
fn last_listed(registry: &Registry) -> String {
    time(registry.synced.and_then(DateTime::from_timestamp_millis), now(), "never")
}

const DONE: &[(&str, &str)] = &[("deleted", "It is deleted.")];

async fn list(State(server): State<Arc<Server>>, inside: Inside, Query(listed): Query<Listed>) -> Answer<Response> {
    blocking(&server, move |server| {
        let part = some(server, &inside.caller, &Asked::after(listed.after.clone()))?;
        Ok(page(&inside, &part, &listed).into_response())
    })
    .await
}

fn page(inside: &Inside, part: &Part<Registry>, listed: &Listed) -> Page {
    let new = inside.path("registries/new");
    let add = if inside.may_somewhere(Permission::RegistriesWrite) {
        format!("<p class=\"actions\"><a class=\"button\" href=\"{}\">Add a registry</a></p>\n", Text(&new))
    } else {
        String::new()
    };
    let content = if part.items.is_empty() {
        nothing("There is no registry yet.", "One is asked for its charts, and uses a credential that is stored here.")
    } else {
        table(inside, &part.items)
    };
    let body = format!(
        "{}<p>Helm repositories and OCI registries, and the charts that each had when it was last asked.</p>\n\
         {add}{content}{}",
        said(DONE, listed.done.as_deref()),
        pages(&inside.path("registries"), &[], listed.after.as_deref(), part.next.as_deref()),
    );
    inside.page(Place::Registries, "Registries", body)
}

fn table(inside: &Inside, found: &[Registry]) -> String {
    let mut table = Table::new("Registries", &["Name", "Kind", "Address", "Charts", "Status", "Listed"]);
    for registry in found {
        let one = inside.path(&format!("registries/{}", registry.id));
        let project = registry.project().map(|project| format!("<small>{}</small>", Text(project)));
        table.row(&[
            format!("<a href=\"{}\">{}</a>{}", Text(&one), Text(&registry.name), project.unwrap_or_default()),
            Text(registry.sort.word()).to_string(),
            Text(&registry.url).to_string(),
            registry.charts.to_string(),
            status(registry),
            last_listed(registry),
        ]);
    }
    table.html()
}
