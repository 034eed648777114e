//! The form of a registry, for a new one and for one that is there.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};

use super::permitted;
use crate::credential::Metadata;
use crate::provider;
use crate::server::bridge::blocking;
use crate::server::permission::Permission;
use crate::server::portal::fields::{Input, NAME, NAME_HINT, Slip, buttons, choice, summary};
use crate::server::portal::inside::{Inside, Sent};
use crate::server::portal::page::{Page, Text};
use crate::server::portal::projects;
use crate::server::portal::shell::{One, Place, fixable, hidden};
use crate::server::problem::Answer;
use crate::server::registries::{self, Amendment, Login, Registry, Sort, Wanted, make};
use crate::server::state::Server;
use crate::server::vault::{Narrowed, Stored};

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
    /// The name of its project, or empty.
    project: String,
    /// The registry, where there is one.
    id: Option<String>,
    /// The credential that it has, where there is one.
    has: Option<String>,
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
            project: registry.project.clone(),
            id: Some(registry.id.clone()),
            has: registry.credential.clone(),
        }
    }

    /// What was sent, about the registry that it was of.
    fn sent(sent: &Sent, before: Self) -> Self {
        let text = |name: &str| sent.text(name).to_owned();
        // Its kind and its place stay what they are.
        let is_new = before.id.is_none();
        let (kind, project) = if is_new { (text("kind"), text("project")) } else { (before.kind, before.project) };
        Self {
            name: text("name"),
            kind,
            project,
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

/// What it may have of: the organization's credentials and those of its project, where it has one already, as far as
/// somebody may use them; and the one that it has. Tells as well whether there are more.
fn near(server: &Server, inside: &Inside, typed: &Typed) -> Answer<(Vec<Metadata>, bool)> {
    let vault = server.vault(inside.caller.scope.clone(), inside.caller.actor.clone());
    let is_open = inside.may(Permission::RegistriesWrite);
    let (most, mut is_cut) = (usize::try_from(CHOICE).unwrap_or_default(), false);
    let mut cut = |mut found: Vec<Stored>| {
        is_cut |= found.len() > most;
        found.truncate(most);
        found
    };
    let mut found = match &typed.id {
        None if is_open => cut(vault.page(None, &Default::default(), CHOICE + 1)?),
        known => {
            let mut places = Vec::from_iter(is_open.then(String::new));
            match known {
                None => places.extend(projects::open_to(server, inside, Permission::RegistriesWrite)?.0),
                Some(_) => places.extend(Some(typed.project.clone()).filter(|project| !project.is_empty())),
            }
            let mut found = Vec::new();
            for project in &places {
                let wanted = Narrowed { project: Some(project), ..Narrowed::default() };
                found.extend(cut(vault.narrowed(&Default::default(), &wanted, CHOICE + 1)?));
            }
            found
        }
    };
    if let Some(has) = &typed.has
        && found.iter().all(|stored| stored.metadata.id != *has)
    {
        found.extend(vault.by_id(has)?);
    }
    Ok((found.into_iter().map(|stored| stored.metadata).collect(), is_cut))
}

/// The credentials that it may be asked with, and whether there may be more.
fn logins(server: &Server, inside: &Inside, typed: &Typed) -> Answer<(Vec<(String, String)>, bool)> {
    let mut logins = vec![(String::new(), "None".to_owned())];
    let (near, is_cut) = near(server, inside, typed)?;
    for metadata in near {
        if provider::hosts(&metadata).is_empty() {
            continue;
        }
        let project = metadata.scope.project().map(|project| format!(", project {project}"));
        let title = format!("{} ({}{})", metadata.name, metadata.kind.title, project.unwrap_or_default());
        logins.push((metadata.id, title));
    }
    Ok((logins, is_cut))
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
    let first = if typed.id.is_some() {
        String::new()
    } else {
        let place = projects::choice(server, inside, Permission::RegistriesWrite, &typed.project, slip)?;
        format!("{place}{}", kinds(typed, slip))
    };
    let repositories = if typed.kind == Sort::Helm.word() && typed.id.is_some() {
        String::new()
    } else {
        let hint = "Of an OCI registry, with blanks between; all that it lists where none is named";
        line("repositories", "Repositories", hint, &typed.repositories, plain)
    };
    let such = "Such as https://charts.example.com/stable or oci://registry.example.com/charts";
    let (logins, is_cut) = logins(server, inside, typed)?;
    let logins: Vec<(&str, String)> = logins.iter().map(|(id, title)| (id.as_str(), title.clone())).collect();
    let mut sent_to = "It is sent to the hosts that it is for, and to no other".to_owned();
    if is_cut {
        let _ =
            write!(sent_to, ". Only the first {CHOICE} credentials were looked through; the command line takes any");
    }
    let body = format!(
        "{}<form method=\"post\" action=\"{}\" autocomplete=\"off\">\n{}{}\n{}{first}{}{}{repositories}{}</form>",
        summary(slip),
        Text(&inside.path(&to)),
        inside.word(),
        hidden("revision", &typed.revision),
        line("name", "Name", NAME_HINT, &typed.name, NAME),
        line("url", "Address", such, &typed.url, &format!("required {plain}")),
        choice("credential", "Credential", &sent_to, &logins, &typed.credential, slip),
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
            project: Some(typed.project.clone()),
            credential_config_id: Some(typed.credential.clone()).filter(|id| !id.is_empty()),
            repositories: typed.named(),
        };
        let made = make(server, &inside.caller, &wanted);
        fixable(
            made,
            |registry| inside.on(&format!("registries/{}?done=added", registry.id)),
            |slip| page(server, &inside, &typed, Some(slip)),
        )
    })
    .await
}

pub(super) async fn edit(
    State(server): State<Arc<Server>>,
    inside: Inside,
    Path(One { id }): Path<One>,
) -> Answer<Response> {
    blocking(&server, move |server| {
        let registry = permitted(server, &inside, &id)?;
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
        let registry = permitted(server, &inside, &id)?;
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
        fixable(
            changed,
            |_| inside.on(&format!("registries/{id}?done=changed")),
            |slip| page(server, &inside, &typed, Some(slip)),
        )
    })
    .await
}
