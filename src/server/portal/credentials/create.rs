//! A new credential: first its type, then its values.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::form::{self, Known};
use super::{note, tags, vault};
use crate::credential::{Kind, Scope};
use crate::provider::{self, PROVIDERS};
use crate::server::bridge::blocking;
use crate::server::portal::inside::{Inside, Sent, sentence};
use crate::server::portal::page::{Page, Text, sent_on};
use crate::server::portal::shell::{Place, alert, day, hidden, mark};
use crate::server::problem::{Answer, Problem};
use crate::server::state::Server;
use crate::vault::{New, Vault};

#[derive(Deserialize)]
pub(super) struct Chosen {
    kind: Option<String>,
}

/// A kind that values can be typed for: not one that comes of a sign-in.
fn kind(id: &str) -> Option<&'static Kind> {
    provider::by_kind(id).filter(|(provider, _)| !provider.signs_in()).map(|(_, kind)| kind)
}

pub(super) async fn show(inside: Inside, Query(Chosen { kind: chosen }): Query<Chosen>) -> Response {
    match chosen.as_deref().map(kind) {
        Some(Some(kind)) => fill_in(&inside, kind, None, None).into_response(),
        Some(None) => Problem::not_found().into_response(),
        None => choose(&inside).into_response(),
    }
}

fn choose(inside: &Inside) -> Page {
    let mut items = String::new();
    for provider in PROVIDERS.iter().filter(|provider| !provider.signs_in()) {
        for kind in provider.kinds() {
            let _ = writeln!(
                items,
                "<li><a href=\"{}?kind={}\">{}<span>{}<small>{}</small></span></a></li>",
                Text(&inside.path("credentials/new")),
                Text(kind.id),
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

fn fill_in(inside: &Inside, kind: &Kind, sent: Option<&Sent>, problem: Option<&str>) -> Page {
    let text = |name: &str| sent.map_or("", |sent| sent.text(name));
    let known = sent.map(|sent| Known::of(kind, sent, BTreeSet::new())).unwrap_or_default();
    let named = sent.map(form::named).unwrap_or_default();
    let body = format!(
        "{}<p class=\"named\">{}{}</p>\n<form method=\"post\" action=\"{}\" autocomplete=\"off\">\n{}{}\n\
         <label>Name<small>Letters, digits and . _ @ + : -</small><input name=\"name\" required maxlength=\"128\" \
         autocapitalize=\"none\" spellcheck=\"false\" value=\"{}\"></label>\n{}\
         <label>Expires on<small>Where it is known and the values do not tell; the day in UTC</small>\
         <input type=\"date\" name=\"expires\" value=\"{}\"></label>\n\
         <label>Tags<small>With commas between</small><input name=\"tags\" value=\"{}\"></label>\n\
         <label>Note<input name=\"note\" maxlength=\"1000\" value=\"{}\"></label>\n\
         <button>Store</button>\n</form>",
        alert(problem),
        mark(kind.provider, kind.provider),
        Text(&upper(kind.title)),
        Text(&inside.path("credentials/new")),
        inside.word(),
        hidden("kind", kind.id),
        Text(text("name")),
        form::inputs(kind, &known, &named),
        Text(text("expires")),
        Text(text("tags")),
        Text(text("note")),
    );
    let page = inside.page(Place::Credentials, "Add a credential", body);
    if problem.is_some() { page.status(StatusCode::UNPROCESSABLE_ENTITY) } else { page }
}

pub(super) async fn submit(State(server): State<Arc<Server>>, inside: Inside, sent: Sent) -> Answer<Response> {
    let kind = kind(sent.text("kind")).ok_or_else(Problem::not_found)?;
    blocking(&server, move |server| match store(server, &inside, kind, &sent) {
        Ok(id) => Ok(sent_on(&inside.path(&format!("credentials/{id}?done=stored")), None)),
        Err(problem) if matches!(problem.status(), StatusCode::UNPROCESSABLE_ENTITY | StatusCode::CONFLICT) => {
            let page = fill_in(&inside, kind, Some(&sent), Some(&sentence(problem.detail())));
            Ok(page.status(problem.status()).into_response())
        }
        Err(problem) => Err(problem),
    })
    .await
}

fn store(server: &Server, inside: &Inside, kind: &'static Kind, sent: &Sent) -> Answer<String> {
    let expires = day(sent.text("expires")).map_err(Problem::invalid)?;
    let tags = tags(sent.text("tags")).map_err(Problem::invalid)?;
    let note = note(sent.text("note")).map_err(Problem::invalid)?;
    let fields = form::complete(kind, form::typed(kind, sent, &BTreeSet::new())?)?;
    let told = provider::by_name(kind.provider).and_then(|provider| provider.expires(&fields));
    let new = New {
        name: sent.text("name").to_owned(),
        scope: Scope::Organization,
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
