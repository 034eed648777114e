//! The form of a registry, for a new one and for one that is there.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::One;
use crate::provider;
use crate::server::bridge::blocking;
use crate::server::portal::inside::{Inside, Sent, sentence};
use crate::server::portal::page::{Page, Text, sent_on};
use crate::server::portal::shell::{Place, alert, hidden};
use crate::server::problem::{Answer, Problem};
use crate::server::registries::{self, Amendment, Login, Registry, Sort, Wanted, make, one};
use crate::server::state::Server;

/// So many credentials can be chosen from.
const CHOICE: i64 = 500;

/// What stands in the form.
#[derive(Default)]
struct Typed {
    name: String,
    kind: String,
    url: String,
    repositories: String,
    credential: String,
    revision: String,
    /// The project of the registry, where it is of one.
    project: Option<String>,
    /// The registry, where there is one.
    id: Option<String>,
}

impl Typed {
    fn of(registry: &Registry) -> Self {
        Self {
            name: registry.name.clone(),
            kind: registry.sort.word().to_owned(),
            url: registry.url.clone(),
            repositories: registry.repositories.join(" "),
            credential: registry.credential.clone().unwrap_or_default(),
            revision: registry.revision.to_string(),
            project: registry.project().map(str::to_owned),
            id: Some(registry.id.clone()),
        }
    }

    /// What was sent, about the registry that it was of.
    fn sent(sent: &Sent, before: Self) -> Self {
        let text = |name: &str| sent.text(name).to_owned();
        let kind = if before.id.is_some() { before.kind } else { text("kind") };
        Self {
            name: text("name"),
            kind,
            url: text("url"),
            repositories: text("repositories"),
            credential: text("credential"),
            revision: text("revision"),
            ..before
        }
    }

    fn named(&self) -> Vec<String> {
        let words = self.repositories.split([' ', ',', '\n', '\r', '\t']);
        words.filter(|word| !word.is_empty()).map(str::to_owned).collect()
    }
}

/// The credentials that it may be asked with.
fn choice(server: &Server, inside: &Inside, typed: &Typed) -> Answer<String> {
    let vault = server.vault(inside.caller.scope.clone(), inside.caller.actor.clone());
    let mut options = String::from("<option value=\"\">None</option>");
    for stored in vault.page(&(String::new(), String::new()), CHOICE)? {
        let metadata = stored.metadata;
        let project = metadata.scope.project();
        let is_near = project.is_none() || project == typed.project.as_deref();
        if !is_near || provider::hosts(&metadata).is_empty() {
            continue;
        }
        let chosen = if metadata.id == typed.credential { " selected" } else { "" };
        let _ = write!(
            options,
            "<option value=\"{}\"{chosen}>{} ({})</option>",
            Text(&metadata.id),
            Text(&metadata.name),
            Text(metadata.kind.title),
        );
    }
    Ok(options)
}

fn page(server: &Server, inside: &Inside, typed: &Typed, problem: Option<&str>) -> Answer<Page> {
    let (title, back, to, button) = match &typed.id {
        None => ("Add a registry", "registries".to_owned(), "registries/new".to_owned(), "Add"),
        Some(id) => ("Edit", format!("registries/{id}"), format!("registries/{id}/edit"), "Save"),
    };
    let kind = if typed.id.is_some() {
        String::new()
    } else {
        let option = |sort: Sort| {
            let (word, title) = match sort {
                Sort::Helm => (sort.word(), "Helm repository over HTTP"),
                Sort::Oci => (sort.word(), "OCI registry"),
            };
            let chosen = if typed.kind == word { " selected" } else { "" };
            format!("<option value=\"{word}\"{chosen}>{title}</option>")
        };
        let options: String = Sort::ALL.into_iter().map(option).collect();
        format!("<label>Kind<select name=\"kind\">{options}</select></label>\n")
    };
    let repositories = if typed.kind == Sort::Helm.word() && typed.id.is_some() {
        String::new()
    } else {
        format!(
            "<label>Repositories<small>Of an OCI registry, with blanks between; all that it lists where none is named</small>\
             <input name=\"repositories\" autocomplete=\"off\" autocapitalize=\"none\" spellcheck=\"false\" value=\"{}\">\
             </label>\n",
            Text(&typed.repositories),
        )
    };
    let body = format!(
        "{}<form method=\"post\" action=\"{}\" autocomplete=\"off\">\n{}{}\n\
         <label>Name<small>Letters, digits and . _ -</small><input name=\"name\" required maxlength=\"64\" \
         autocapitalize=\"none\" spellcheck=\"false\" value=\"{}\"></label>\n{kind}\
         <label>Address<small>Such as https://charts.example.com/stable or oci://registry.example.com/charts</small>\
         <input name=\"url\" required autocapitalize=\"none\" spellcheck=\"false\" value=\"{}\"></label>\n\
         <label>Credential<small>It is sent to the hosts that it is for, and to no other</small>\
         <select name=\"credential\">{}</select></label>\n{repositories}\
         <p class=\"actions\"><button>{button}</button><a class=\"button quiet\" href=\"{}\">Cancel</a></p>\n</form>",
        alert(problem),
        Text(&inside.path(&to)),
        inside.word(),
        hidden("revision", &typed.revision),
        Text(&typed.name),
        Text(&typed.url),
        choice(server, inside, typed)?,
        Text(&inside.path(&back)),
    );
    Ok(inside.page(Place::Registries, title, body))
}

/// The form again, where what was sent cannot be; any other failure as it is.
fn again(server: &Server, inside: &Inside, typed: &Typed, problem: Problem) -> Answer<Response> {
    if !matches!(problem.status(), StatusCode::UNPROCESSABLE_ENTITY | StatusCode::CONFLICT) {
        return Err(problem);
    }
    let page = page(server, inside, typed, Some(&sentence(problem.detail())))?;
    Ok(page.status(problem.status()).into_response())
}

pub(super) async fn add(State(server): State<Arc<Server>>, inside: Inside) -> Answer<Response> {
    blocking(&server, move |server| Ok(page(server, &inside, &Typed::default(), None)?.into_response())).await
}

pub(super) async fn create(State(server): State<Arc<Server>>, inside: Inside, sent: Sent) -> Answer<Response> {
    blocking(&server, move |server| {
        let typed = Typed::sent(&sent, Typed::default());
        let wanted = Wanted {
            name: typed.name.clone(),
            kind: typed.kind.clone(),
            url: typed.url.clone(),
            project: None,
            credential_config_id: Some(typed.credential.clone()).filter(|id| !id.is_empty()),
            repositories: typed.named(),
        };
        match make(server, &inside.caller, &wanted) {
            Ok(registry) => Ok(sent_on(&inside.path(&format!("registries/{}?done=added", registry.id)), None)),
            Err(problem) => again(server, &inside, &typed, problem),
        }
    })
    .await
}

pub(super) async fn edit(
    State(server): State<Arc<Server>>,
    inside: Inside,
    Path(One { id }): Path<One>,
) -> Answer<Response> {
    blocking(&server, move |server| {
        let registry = one(server, &inside.caller, &id)?;
        Ok(page(server, &inside, &Typed::of(&registry), None)?.into_response())
    })
    .await
}

pub(super) async fn change(
    State(server): State<Arc<Server>>,
    inside: Inside,
    Path(One { id }): Path<One>,
    sent: Sent,
) -> Answer<Response> {
    blocking(&server, move |server| {
        let registry = one(server, &inside.caller, &id)?;
        let typed = Typed::sent(&sent, Typed::of(&registry));
        let wanted = Amendment {
            name: Some(typed.name.clone()),
            url: Some(typed.url.clone()),
            credential_config_id: match typed.credential.as_str() {
                "" => Login::Without,
                id => Login::With(id.to_owned()),
            },
            repositories: Some(typed.named()),
        };
        let revision = typed.revision.parse().map_err(|_| Problem::changed())?;
        match registries::change(server, &inside.caller, &id, &wanted, Some(revision)) {
            Ok(_) => Ok(sent_on(&inside.path(&format!("registries/{id}?done=changed")), None)),
            Err(problem) => again(server, &inside, &typed, problem),
        }
    })
    .await
}
