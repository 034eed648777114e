//! A new credential: first its type, then its values.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::form::{self, Known};
use super::{note, tags, vault};
use crate::credential::Kind;
use crate::provider::{self, PROVIDERS};
use crate::server::bridge::blocking;
use crate::server::permission::Permission;
use crate::server::portal::fields::{Slip, buttons, summary};
use crate::server::portal::inside::{Inside, Sent};
use crate::server::portal::page::{Page, Text};
use crate::server::portal::projects;
use crate::server::portal::shell::{Place, fixable, hidden, mark};
use crate::server::portal::table::address;
use crate::server::problem::{Answer, Problem};
use crate::server::state::Server;
use crate::vault::wire::scope;
use crate::vault::{New, Vault};

#[derive(Deserialize)]
pub(super) struct Chosen {
    kind: Option<String>,
    /// The name of the project that it is to belong to.
    #[serde(default)]
    project: String,
}

/// A kind that values can be typed for: not one that comes of a sign-in.
fn kind(id: &str) -> Option<&'static Kind> {
    provider::by_kind(id).filter(|(provider, _)| !provider.signs_in()).map(|(_, kind)| kind)
}

pub(super) async fn show(
    State(server): State<Arc<Server>>,
    inside: Inside,
    Query(Chosen { kind: chosen, project }): Query<Chosen>,
) -> Answer<Response> {
    blocking(&server, move |server| match chosen.as_deref().map(kind) {
        Some(Some(kind)) => Ok(fill_in(server, &inside, kind, &Typed::Nothing { project: &project })?.into_response()),
        Some(None) => Err(Problem::not_found()),
        None => Ok(choose(&inside, &project).into_response()),
    })
    .await
}

fn choose(inside: &Inside, project: &str) -> Page {
    let mut items = String::new();
    for provider in PROVIDERS.iter().filter(|provider| !provider.signs_in()) {
        for kind in provider.kinds() {
            let _ = writeln!(
                items,
                "<li><a href=\"{}\">{}<span>{}<small>{}</small></span></a></li>",
                Text(&address(&inside.path("credentials/new"), [("project", project), ("kind", kind.id)])),
                mark(kind.provider, kind.provider),
                Text(&upper(kind.title)),
                Text(provider.title()),
            );
        }
    }
    let _ = writeln!(
        items,
        "<li><a href=\"{}\">{}<span>Sign-in to a service<small>Connected in the browser, and renewed here</small></span>\
         </a></li>",
        Text(&inside.path("credentials/connect")),
        mark("oauth", "oauth"),
    );
    let body = format!("<p>What is it?</p>\n<ul class=\"kinds\">\n{items}</ul>");
    inside.page(Place::Credentials, "Add a credential", body)
}

/// With its first letter upper-case.
fn upper(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect()
}

/// What stands in the form already.
enum Typed<'t> {
    /// Nothing but where it is to belong.
    Nothing {
        /// The name of a project, or empty.
        project: &'t str,
    },
    /// What was sent, and what is wrong with it.
    Sent(&'t Sent, &'t Slip),
}

fn fill_in(server: &Server, inside: &Inside, kind: &Kind, typed: &Typed<'_>) -> Answer<Page> {
    let (sent, slip, project) = match typed {
        Typed::Nothing { project } => (None, None, *project),
        Typed::Sent(sent, slip) => (Some(*sent), Some(*slip), sent.text("project")),
    };
    let text = |name: &str| sent.map_or("", |sent| sent.text(name));
    let known = sent.map(|sent| Known::of(kind, sent, BTreeSet::new())).unwrap_or_default();
    let named = sent.map(form::named).unwrap_or_default();
    let body = format!(
        "{}<p class=\"named\">{}{}</p>\n<form method=\"post\" action=\"{}\" autocomplete=\"off\">\n{}{}\n\
         {}{}{}{}{}{}</form>",
        summary(slip),
        mark(kind.provider, kind.provider),
        Text(&upper(kind.title)),
        Text(&inside.path("credentials/new")),
        inside.word(),
        hidden("kind", kind.id),
        form::name(text("name"), slip),
        projects::choice(server, inside, Permission::CredentialsWrite, project, slip)?,
        form::inputs(kind, &known, &named, slip),
        form::expires("Where it is known and the values do not tell; the day in UTC", text("expires"), slip),
        form::labels(text("tags"), text("note"), slip),
        buttons("Store", &inside.path("credentials")),
    );
    Ok(inside.page(Place::Credentials, "Add a credential", body))
}

pub(super) async fn submit(State(server): State<Arc<Server>>, inside: Inside, sent: Sent) -> Answer<Response> {
    let kind = kind(sent.text("kind")).ok_or_else(Problem::not_found)?;
    blocking(&server, move |server| {
        let stored = store(server, &inside, kind, &sent);
        fixable(
            stored,
            |id| inside.on(&format!("credentials/{id}?done=stored")),
            |slip| fill_in(server, &inside, kind, &Typed::Sent(&sent, slip)),
        )
    })
    .await
}

fn store(server: &Server, inside: &Inside, kind: &'static Kind, sent: &Sent) -> Answer<String> {
    let scope = scope(Some(sent.text("project")));
    inside
        .caller
        .must(server, Permission::CredentialsWrite, scope.project())
        .map_err(|denied| denied.about("project"))?;
    let (expires, tags, note) = (form::ends(sent)?, tags(sent.text("tags"))?, note(sent.text("note"))?);
    let fields = form::complete(kind, form::typed(kind, sent, &BTreeSet::new())?)?;
    let told = provider::by_name(kind.provider).and_then(|provider| provider.expires(&fields));
    let new = New {
        name: sent.text("name").to_owned(),
        scope,
        fields,
        expires: told.or(expires),
        tags,
        note,
        verdict: None,
        replaces: None,
        retiring: None,
    };
    Ok(vault(server, inside).put(new)?.id)
}
