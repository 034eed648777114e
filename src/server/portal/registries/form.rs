//! The form of a registry, for a new one and for one that is there.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};

use crate::provider;
use crate::server::bridge::blocking;
use crate::server::portal::fields::{Input, NAME, NAME_HINT, Slip, buttons, choice, summary};
use crate::server::portal::inside::{Inside, Sent};
use crate::server::portal::page::{Page, Text, sent_on};
use crate::server::portal::shell::{One, Place, fixable, hidden};
use crate::server::problem::Answer;
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
fn logins(server: &Server, inside: &Inside, typed: &Typed) -> Answer<Vec<(String, String)>> {
    let vault = server.vault(inside.caller.scope.clone(), inside.caller.actor.clone());
    let mut logins = vec![(String::new(), "None".to_owned())];
    for stored in vault.page(None, &(String::new(), String::new()), CHOICE)? {
        let metadata = stored.metadata;
        let project = metadata.scope.project();
        let is_near = project.is_none() || project == typed.project.as_deref();
        if is_near && !provider::hosts(&metadata).is_empty() {
            logins.push((metadata.id, format!("{} ({})", metadata.name, metadata.kind.title)));
        }
    }
    Ok(logins)
}

fn kinds(typed: &Typed, slip: Option<&Slip>) -> String {
    let options = Sort::ALL.map(|sort| match sort {
        Sort::Helm => (sort.word(), "Helm repository over HTTP".to_owned()),
        Sort::Oci => (sort.word(), "OCI registry".to_owned()),
    });
    choice("kind", "Kind", "", &options, &typed.kind, slip)
}

fn page(server: &Server, inside: &Inside, typed: &Typed, slip: Option<&Slip>) -> Answer<Page> {
    let (title, back, to, does) = match &typed.id {
        None => ("Add a registry", "registries".to_owned(), "registries/new".to_owned(), "Add"),
        Some(id) => ("Edit", format!("registries/{id}"), format!("registries/{id}/edit"), "Save"),
    };
    let plain = "autocapitalize=\"none\" spellcheck=\"false\"";
    let line = |name: &str, title: &str, hint: &str, value: &str, more: &str| {
        Input { name, title, hint, value, more }.html(slip)
    };
    let kind = if typed.id.is_some() { String::new() } else { kinds(typed, slip) };
    let repositories = if typed.kind == Sort::Helm.word() && typed.id.is_some() {
        String::new()
    } else {
        let hint = "Of an OCI registry, with blanks between; all that it lists where none is named";
        line("repositories", "Repositories", hint, &typed.repositories, plain)
    };
    let such = "Such as https://charts.example.com/stable or oci://registry.example.com/charts";
    let logins = logins(server, inside, typed)?;
    let logins: Vec<(&str, String)> = logins.iter().map(|(id, title)| (id.as_str(), title.clone())).collect();
    let sent_to = "It is sent to the hosts that it is for, and to no other";
    let body = format!(
        "{}<form method=\"post\" action=\"{}\" autocomplete=\"off\">\n{}{}\n{}{kind}{}{}{repositories}{}</form>",
        summary(slip),
        Text(&inside.path(&to)),
        inside.word(),
        hidden("revision", &typed.revision),
        line("name", "Name", NAME_HINT, &typed.name, NAME),
        line("url", "Address", such, &typed.url, &format!("required {plain}")),
        choice("credential", "Credential", sent_to, &logins, &typed.credential, slip),
        buttons(does, &inside.path(&back)),
    );
    Ok(inside.page(Place::Registries, title, body))
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
        let made = make(server, &inside.caller, &wanted);
        Ok(match fixable(made, |slip| page(server, &inside, &typed, Some(slip)))? {
            Ok(registry) => sent_on(&inside.path(&format!("registries/{}?done=added", registry.id)), None),
            Err(again) => again,
        })
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
        let changed = registries::change(server, &inside.caller, &id, &wanted, Some(sent.revision()?));
        Ok(match fixable(changed, |slip| page(server, &inside, &typed, Some(slip)))? {
            Ok(_) => sent_on(&inside.path(&format!("registries/{id}?done=changed")), None),
            Err(again) => again,
        })
    })
    .await
}
