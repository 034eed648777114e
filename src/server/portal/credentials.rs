//! The credentials of an organization: the list of them, and where each of the other pages is.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::Method;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;

use super::fields::{Input, choice};
use super::inside::Inside;
use super::page::{Page, Text};
use super::shell::{One, Place, mark, said, status, time};
use super::table::{Table, address, nothing, pages};
use crate::credential::Status;
use crate::provider::PROVIDERS;
use crate::server::audit::Event;
use crate::server::bridge::blocking;
use crate::server::caller::Access;
use crate::server::credential_configs::cursor;
use crate::server::permission::Permission;
use crate::server::problem::{Answer, Problem};
use crate::server::projects;
use crate::server::routes::Route;
use crate::server::state::{Server, now};
use crate::server::vault::{Narrowed, OrgVault, Stored};
use crate::vault::{VaultError, measure};

mod change;
mod create;
mod delete;
pub(super) mod form;
mod replace;
mod show;

/// So many stand on a page.
const PAGE: usize = 50;
/// So many are warned of by name.
const WARNED: i64 = 20;

pub(super) fn routes() -> Vec<Route> {
    let (read, write) =
        (Access::Inside(Permission::CredentialsRead), Access::InsideProject(Permission::CredentialsWrite));
    let verify = Access::InsideProject(Permission::CredentialsVerify);
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

/// What a list is asked for.
#[derive(Deserialize, Default)]
struct Asked {
    #[serde(default)]
    kind: String,
    #[serde(default)]
    q: String,
    /// The name of a project.
    #[serde(default)]
    project: String,
    after: Option<String>,
    /// What was just done, in one of a few words.
    done: Option<String>,
}

impl Asked {
    /// What the list is narrowed to.
    fn narrowed(&self) -> [(&'static str, &str); 3] {
        [("kind", self.kind.as_str()), ("q", self.q.trim()), ("project", self.project.as_str())]
    }
}

const DONE: &[(&str, &str)] = &[("deleted", "The credential is deleted, and its secrets with it.")];

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
        let narrowed = asked.narrowed().map(|(_, value)| value);
        let after = asked.after.as_deref();
        let after = after.map(|text| cursor::read(&server.keys, &inside.caller.scope, &narrowed, text)).transpose()?;
        let project = Some(asked.project.as_str()).filter(|project| !project.is_empty());
        let wanted = Narrowed { kind: &asked.kind, name: asked.q.trim(), project };
        let limit = i64::try_from(PAGE + 1).unwrap_or(i64::MAX);
        let mut page = vault.narrowed(&after.unwrap_or_default(), &wanted, limit)?;
        let is_last = page.len() <= PAGE;
        page.truncate(PAGE);
        let next = match page.last() {
            Some(last) if !is_last => {
                Some(cursor::write(&server.keys, &inside.caller.scope, &narrowed, &last.metadata)?)
            }
            _ => None,
        };
        let above = said(DONE, asked.done.as_deref()) + &warnings(&inside, &vault, now())?;
        let (projects, _) = server.db.read(&inside.caller.scope, |rows| projects::names(rows, &inside.caller.scope))?;
        Ok(page_of(&inside, &asked, &page, next.as_deref(), &(above, projects)).into_response())
    })
    .await
}

fn page_of(
    inside: &Inside,
    asked: &Asked,
    page: &[Stored],
    next: Option<&str>,
    (above, projects): &(String, Vec<String>),
) -> Page {
    let may_add = inside.may_somewhere(Permission::CredentialsWrite);
    let add = if may_add {
        let new = address(&inside.path("credentials/new"), [("project", asked.project.as_str())]);
        format!("<p class=\"actions\"><a class=\"button\" href=\"{}\">Add a credential</a></p>\n", Text(&new))
    } else {
        String::new()
    };
    let narrowed = asked.narrowed();
    let content = if page.is_empty() {
        let is_narrowed = narrowed.iter().any(|(_, value)| !value.is_empty());
        match (is_narrowed, asked.after.is_some()) {
            (true, _) => {
                nothing("No credential is like that.", "Ask for less: every type, or a shorter part of the name.")
            }
            (false, true) => nothing("There are no more.", ""),
            (false, false) => none(inside, may_add),
        }
    } else {
        table(inside, page)
    };
    let more = pages(&inside.path("credentials"), &narrowed, asked.after.as_deref(), next);
    let body = format!("{above}{add}{}\n{content}{more}", filter(inside, asked, projects));
    inside.page(Place::Credentials, "Credentials", body)
}

/// Where there is none at all.
fn none(inside: &Inside, may_add: bool) -> String {
    let next = if may_add {
        format!(
            "<a href=\"{}\">Add one</a> here; or, on a machine that is signed in, <code>lanyard credentials store</code> \
             takes over what is there, and <code>lanyard credentials push --all</code> brings a whole vault.",
            Text(&inside.path("credentials/new"))
        )
    } else {
        "Members of the organization can store some.".to_owned()
    };
    nothing("There is no credential yet.", &next)
}

/// The form by which a list is narrowed. It changes nothing, so that it is sent as an address.
fn filter(inside: &Inside, asked: &Asked, projects: &[String]) -> String {
    let mut kinds = vec![("", "Every type".to_owned())];
    kinds.extend(PROVIDERS.iter().flat_map(|provider| provider.kinds()).map(|kind| (kind.id, kind.title.to_owned())));
    let project = if projects.is_empty() {
        String::new()
    } else {
        let mut options = vec![("", "Everywhere".to_owned())];
        options.extend(projects.iter().map(|name| (name.as_str(), name.clone())));
        choice("project", "Project", "", &options, &asked.project, None)
    };
    let q = Input {
        name: "q",
        title: "Name",
        value: asked.q.trim(),
        more: "type=\"search\" maxlength=\"128\" autocapitalize=\"none\" spellcheck=\"false\"",
        ..Input::default()
    };
    format!(
        "<form class=\"row\" role=\"search\" method=\"get\" action=\"{}\">\n{}{}{project}<button>Filter</button>\n</form>",
        Text(&inside.path("credentials")),
        q.html(None),
        choice("kind", "Type", "", &kinds, &asked.kind, None),
    )
}

fn table(inside: &Inside, page: &[Stored]) -> String {
    let now = now();
    let mut table = Table::new("Credentials", &["Name", "Type", "Status", "Expires", "Last used"]);
    for Stored { metadata, .. } in page {
        let project = metadata.scope.project().map(|project| format!("<small>project {}</small>", Text(project)));
        table.row(&[
            format!(
                "<span class=\"named\">{}<span><a href=\"{}\">{}</a>{}</span></span>",
                mark(metadata.kind.provider, metadata.service()),
                Text(&inside.path(&format!("credentials/{}", metadata.id))),
                Text(&metadata.name),
                project.unwrap_or_default(),
            ),
            Text(metadata.kind.title).to_string(),
            status(metadata, now),
            time(metadata.expires, now, "not known"),
            time(metadata.used, now, "never"),
        ]);
    }
    table.html()
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
fn tags(text: &str) -> Answer<BTreeSet<String>> {
    let tags: BTreeSet<String> =
        text.split(',').map(str::trim).filter(|tag| !tag.is_empty()).map(str::to_owned).collect();
    if tags.iter().any(|tag| tag.chars().any(char::is_control)) {
        return Err(Problem::invalid("a tag is of letters that can be seen").about("tags"));
    }
    measure::tags(&tags).map_err(VaultError::from)?;
    Ok(tags)
}

/// A line for people, as a form has it.
fn note(text: &str) -> Answer<String> {
    if text.chars().any(char::is_control) {
        return Err(Problem::invalid("a note is one line").about("note"));
    }
    measure::note(text).map_err(VaultError::from)?;
    Ok(text.to_owned())
}
