//! One registry, the charts that are known of it, and asking it for them.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use chrono::DateTime;

use super::{last_listed, may, status};
use crate::server::bridge::blocking;
use crate::server::paging::{Asked, Part};
use crate::server::portal::inside::{Inside, sentence};
use crate::server::portal::page::{Page, Text};
use crate::server::portal::shell::{Listed, One, Place, time};
use crate::server::portal::table::{Table, nothing, pages};
use crate::server::problem::Answer;
use crate::server::registries::{Chart, Registry, charts, one, synced};
use crate::server::state::{Server, now};

/// So many versions are named of a chart.
const NAMED: usize = 10;

pub(super) async fn show(
    State(server): State<Arc<Server>>,
    inside: Inside,
    Path(One { id }): Path<One>,
    Query(seen): Query<Listed>,
) -> Answer<Response> {
    blocking(&server, move |server| {
        let (scope, actor) = (&inside.caller.scope, &inside.caller.actor);
        let registry = one(server, &inside.caller, &id)?;
        let known = charts(server, &inside.caller, &id, &Asked::after(seen.after.clone()))?;
        let vault = server.vault(scope.clone(), actor.clone());
        let credential = match &registry.credential {
            Some(credential) => vault.by_id(credential)?.map(|stored| stored.metadata),
            None => None,
        };
        let credential = credential.map_or_else(
            || "<span class=\"none\">none</span>".to_owned(),
            |metadata| {
                let at = inside.path(&format!("credentials/{}", metadata.id));
                format!("<a href=\"{}\">{}</a>", Text(&at), Text(&metadata.name))
            },
        );
        Ok(page(&inside, &registry, &credential, &known, &seen).into_response())
    })
    .await
}

pub(super) async fn sync(
    State(server): State<Arc<Server>>,
    inside: Inside,
    Path(One { id }): Path<One>,
) -> Answer<Response> {
    let registry = synced(&server, inside.caller.clone(), id).await?;
    Ok(inside.on(&format!("registries/{}?done=asked", registry.id)))
}

/// What was just done, or what came of asking.
fn notice(registry: &Registry, done: Option<&str>) -> String {
    let (good, text) = match (done, registry.outcome.as_str()) {
        (Some("added"), _) => (true, "It is added. Ask it for its charts.".to_owned()),
        (Some("changed"), _) => (true, "It is changed.".to_owned()),
        (Some("asked"), "synced") => (true, "Its charts are listed.".to_owned()),
        (_, "" | "synced") => return String::new(),
        _ => (false, format!("When it was last asked, it gave no list. {}", sentence(&registry.reason))),
    };
    let (class, role) = if good { ("good", "status") } else { ("bad", "alert") };
    format!("<p class=\"notice {class}\" role=\"{role}\">{}</p>\n", Text(&text))
}

fn page(inside: &Inside, registry: &Registry, credential: &str, known: &Part<Chart>, seen: &Listed) -> Page {
    let here = inside.path(&format!("registries/{}", registry.id));
    let actions = if may(inside, registry) {
        format!(
            "<div class=\"actions\">\n<form method=\"post\" action=\"{0}/sync\">{1}<button>Sync now</button></form>\n\
             <a class=\"button quiet\" href=\"{0}/edit\">Edit</a>\n<a class=\"button quiet\" href=\"{0}/delete\">Delete</a>\n\
             </div>\n",
            Text(&here),
            inside.word(),
        )
    } else {
        String::new()
    };
    let repositories = match registry.repositories.as_slice() {
        [] => "<span class=\"none\">all that it lists</span>".to_owned(),
        named => Text(&named.join(", ")).to_string(),
    };
    let tried = time(registry.tried.and_then(DateTime::from_timestamp_millis), now(), "never");
    let charts = if known.items.is_empty() { nothing("No chart is known.", "") } else { table(&known.items) };
    let body = format!(
        "{}{actions}<dl class=\"facts\">\n<dt>Kind</dt><dd>{}</dd>\n<dt>Address</dt><dd>{}</dd>\n\
         <dt>Repositories</dt><dd>{repositories}</dd>\n<dt>Belongs to</dt><dd>{}</dd>\n\
         <dt>Credential</dt><dd>{credential}</dd>\n<dt>Status</dt><dd>{}</dd>\n<dt>Listed</dt><dd>{}</dd>\n\
         <dt>Asked</dt><dd>{tried}</dd>\n<dt>Charts</dt><dd>{}</dd>\n</dl>\n<h2>Charts</h2>\n{charts}{}",
        notice(registry, seen.done.as_deref()),
        Text(registry.sort.word()),
        Text(&registry.url),
        Text(registry.project().unwrap_or("the organization")),
        status(registry),
        last_listed(registry),
        registry.charts,
        pages(&here, &[], seen.after.as_deref(), known.next.as_deref()),
    );
    inside.page(Place::Registries, registry.name.clone(), body)
}

fn table(known: &[Chart]) -> String {
    let mut table = Table::new("Charts", &["Name", "Newest", "Versions", "Description"]);
    for chart in known {
        let mut versions = chart.versions.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
        if chart.versions.len() > NAMED {
            let _ = write!(versions, " and {} more", chart.versions.len() - NAMED);
        }
        table.row(&[&chart.name, &chart.newest, &versions, &chart.description].map(|text| Text(text).to_string()));
    }
    table.html()
}
