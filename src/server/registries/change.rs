//! Making, changing and deleting registries, for the API and the portal alike.

use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};

use super::rows::{Registry, find, forget_charts, kept};
use super::{Place, Sort, is_repository};
use crate::provider;
use crate::server::audit::{Event, changed};
use crate::server::caller::Caller;
use crate::server::db::{Rows, values};
use crate::server::fold::folded;
use crate::server::permission::Permission;
use crate::server::problem::{Answer, Problem};
use crate::server::projects;
use crate::server::state::{Server, now};
use crate::server::team::{self, alone, alone_telling};
use crate::vault::id;

/// So many repositories may be named.
const MOST: usize = 200;

/// A registry to be made.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    pub(crate) name: String,
    /// The word of a [`Sort`].
    pub(crate) kind: String,
    pub(crate) url: String,
    /// The name of a project; the organization's without.
    pub(crate) project: Option<String>,
    pub(crate) credential_config_id: Option<String>,
    #[serde(default)]
    pub(crate) repositories: Vec<String>,
}

/// A change of one. What is not named stays.
#[derive(Deserialize, Default, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Amendment {
    pub(crate) name: Option<String>,
    pub(crate) url: Option<String>,
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub(crate) credential_config_id: Login,
    pub(crate) repositories: Option<Vec<String>>,
}

/// What becomes of the credential of a registry.
#[derive(Default)]
pub(crate) enum Login {
    /// It stays.
    #[default]
    Same,
    /// There is none any more: `null`.
    Without,
    /// It is this one.
    With(String),
}

impl<'de> Deserialize<'de> for Login {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Ok(Option::deserialize(from)?.map_or(Self::Without, Self::With))
    }
}

/// Refuses, within a transaction, who may not do that to what is of this project, or of the organization.
pub(super) fn needs(caller: &Caller, project: Option<&str>) -> Answer<()> {
    let permission = Permission::RegistriesWrite;
    if caller.may(permission, project) { Ok(()) } else { Err(Problem::forbidden(permission.word())) }
}

fn place(sort: Sort, url: &str) -> Answer<Place> {
    Place::parse(sort, url).map_err(|problem| Problem::invalid(format!("url is malformed: {problem}")))
}

fn check_repositories(sort: Sort, repositories: &[String]) -> Answer<()> {
    if sort == Sort::Helm && !repositories.is_empty() {
        return Err(Problem::invalid("repositories are named for the kind oci alone"));
    }
    if repositories.len() > MOST {
        return Err(Problem::invalid(format!("at most {MOST} repositories may be named")));
    }
    if repositories.iter().all(|name| is_repository(name)) {
        return Ok(());
    }
    Err(Problem::invalid("repositories: one is no name of a repository, as charts/web is"))
}

/// Makes one.
pub(crate) fn make(server: &Server, caller: &Caller, wanted: &Wanted) -> Answer<Registry> {
    let name = team::name(&wanted.name)?;
    let sort = Sort::from_word(&wanted.kind).ok_or_else(|| Problem::invalid("a kind is helm-http or oci"))?;
    let place = place(sort, &wanted.url)?;
    check_repositories(sort, &wanted.repositories)?;
    let project = wanted.project.as_deref().filter(|project| !project.is_empty());
    let (now, credential) = (now(), wanted.credential_config_id.as_deref());
    let id = id::new("reg", now)?;
    let event = Event { detail: &name, ..Event::done("registry.create", &id) };
    alone(server, caller, &event, |rows, caller| {
        needs(caller, project)?;
        let project_id = match project {
            Some(name) => projects::named(rows, &caller.scope, name)?.id,
            None => String::new(),
        };
        if let Some(credential) = credential {
            take_into_use(server, caller, rows, credential, project, &place)?;
        }
        rows.execute(
            "INSERT INTO registries (org, id, project, name, folded, kind, url, repositories, credential, created, \
             revision, tried, outcome, reason, synced, charts) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 1, NULL, '', '', NULL, 0)",
            values![
                caller.scope.id(),
                &id,
                &project_id,
                &name,
                &folded(&name),
                sort.word(),
                &place.text(),
                &kept(&wanted.repositories),
                credential,
                now.timestamp_millis(),
            ],
        )?;
        find(rows, &caller.scope, &id)
    })
}

/// Refuses a credential that is not the organization's, or is of another project than the registry, or may not be sent
/// to the registry's host. One that is elsewhere is told as one that is nowhere.
fn take_into_use(
    server: &Server,
    caller: &Caller,
    rows: &mut dyn Rows,
    credential: &str,
    project: Option<&str>,
    place: &Place,
) -> Answer<()> {
    let vault = server.vault(caller.scope.clone(), caller.actor.clone());
    let found = vault.taken_into_use(rows, credential)?;
    let of = |project: Option<&str>, of: Option<&str>| of.is_none() || of == project;
    let Some(found) = found.filter(|found| of(project, found.scope.project())) else {
        let detail = "the credential is not there, or is of another project than the registry";
        let problem = Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "no-credential", detail);
        return Err(problem.with("credential_config_id", credential));
    };
    // It is sent to the registry: whoever has a project alone does not do that with what is the organization's.
    needs(caller, found.scope.project())?;
    if provider::hosts(&found).contains(&place.host()) {
        return Ok(());
    }
    let detail = format!("the credential is not for {}, and is not sent there", place.host());
    Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "other-host", detail))
}

/// Changes one; with a revision, only while it is of it.
pub(crate) fn change(
    server: &Server,
    caller: &Caller,
    id: &str,
    wanted: &Amendment,
    seen: Option<i64>,
) -> Answer<Registry> {
    let name = wanted.name.as_deref().map(team::name).transpose()?;
    alone_telling(server, caller, &Event::done("registry.amend", id), |rows, caller| {
        let found = standing(rows, caller, id, seen)?;
        let wants = match &wanted.credential_config_id {
            Login::With(credential) => Some(credential.as_str()),
            Login::Same | Login::Without => None,
        };
        // Whoever deletes the one or the other takes it away from here.
        let vault = server.vault(caller.scope.clone(), caller.actor.clone());
        vault.hold_all(rows, found.credential.as_deref().into_iter().chain(wants))?;
        let registry = standing(rows, caller, id, seen)?;
        let place = place(registry.sort, wanted.url.as_deref().unwrap_or(&registry.url))?;
        let repositories = wanted.repositories.as_ref().unwrap_or(&registry.repositories);
        check_repositories(registry.sort, repositories)?;
        let credential = match &wanted.credential_config_id {
            Login::Same => registry.credential.clone(),
            Login::Without => None,
            Login::With(credential) => Some(credential.clone()),
        };
        let is_elsewhere = place.text() != registry.url || *repositories != registry.repositories;
        let is_new = is_elsewhere || credential != registry.credential;
        if let Some(credential) = credential.as_deref().filter(|_| is_new) {
            take_into_use(server, caller, rows, credential, registry.project(), &place)?;
        }
        let name = name.as_ref().unwrap_or(&registry.name);
        rows.execute(
            "UPDATE registries SET name = $3, folded = $4, url = $5, repositories = $6, credential = $7, \
             revision = revision + 1 WHERE org = $1 AND id = $2",
            values![
                caller.scope.id(),
                id,
                name,
                &folded(name),
                &place.text(),
                &kept(repositories),
                credential.as_deref(),
            ],
        )?;
        if is_elsewhere {
            // What was listed is of another place.
            forget_charts(rows, &caller.scope, id)?;
            rows.execute(
                "UPDATE registries SET tried = NULL, outcome = '', reason = '', synced = NULL, charts = 0 \
                 WHERE org = $1 AND id = $2",
                values![caller.scope.id(), id],
            )?;
        }
        let told = changed(&[
            ("name", *name != registry.name),
            ("url", place.text() != registry.url),
            ("credential_config_id", credential != registry.credential),
            ("repositories", *repositories != registry.repositories),
        ]);
        Ok((find(rows, &caller.scope, id)?, told))
    })
}

/// Deletes one, with what is known of its charts.
pub(crate) fn remove(server: &Server, caller: &Caller, id: &str, seen: Option<i64>) -> Answer<()> {
    alone(server, caller, &Event::done("registry.delete", id), |rows, caller| {
        standing(rows, caller, id, seen)?;
        forget_charts(rows, &caller.scope, id)?;
        rows.execute("DELETE FROM registries WHERE org = $1 AND id = $2", values![caller.scope.id(), id])?;
        Ok(())
    })
}

/// The registry as it stands, for somebody who may change it, and of the revision that they have seen.
fn standing(rows: &mut dyn Rows, caller: &Caller, id: &str, seen: Option<i64>) -> Answer<Registry> {
    let registry = find(rows, &caller.scope, id)?;
    caller.sees(registry.project())?;
    needs(caller, registry.project())?;
    if seen.is_some_and(|revision| revision != registry.revision) {
        return Err(Problem::changed());
    }
    Ok(registry)
}
