//! Credentials in short: name, provider and values in one object, as somebody writes them by hand. The same resource as
//! `/credential-configs`, by the same code; only the form is another.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::Method;
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::api::{Created, Creation, Done, Json, Query, Seen, Tagged};
use super::bridge::blocking;
use super::caller::{Access, Caller};
use super::credential_configs::{self as configs, Asked};
use super::paging::Part;
use super::permission::Permission;
use super::problem::{Answer, Problem};
use super::routes::Route;
use super::state::Server;
use crate::credential::{Class, Kind};
use crate::provider;
use crate::secret::Secret;
use crate::vault::wire::{self, Amendment, Incoming};

const ALL: &str = "/api/v1/credentials";
const ONE: &str = "/api/v1/credentials/{id}";

pub(crate) fn routes() -> Vec<Route> {
    let read = Access::InProject(Permission::CredentialsRead);
    let write = Access::InProject(Permission::CredentialsWrite);
    vec![
        Route::api(Method::GET, ALL, read, list, "listCredentials", "List credentials, without their secrets"),
        Route::api(Method::POST, ALL, write, create, "createCredential", "Store a credential with its secrets")
            .refuses(&["name-taken", "bad-name", "no-project"]),
        Route::api(Method::GET, ONE, read, show, "showCredential", "Show a credential, without its secrets"),
        Route::api(Method::PATCH, ONE, write, amend, "changeCredential", "Change a credential, or its values")
            .refuses(&["name-taken", "bad-name", "no-project", "does-not-open"]),
        Route::api(Method::DELETE, ONE, write, delete, "deleteCredential", "Delete a credential").refuses(&["in-use"]),
    ]
}

/// A credential as it is shown: never a secret of it.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ShortCredential")]
struct Shown {
    /// Whose it is, where this program knows the kind.
    provider: Option<&'static str>,
    #[serde(flatten)]
    shown: wire::Shown,
}

impl From<wire::Shown> for Shown {
    fn from(shown: wire::Shown) -> Self {
        Self { provider: provider::by_kind(&shown.kind).map(|(provider, _)| provider.name()), shown }
    }
}

fn tagged(Tagged { revision, body }: Tagged<wire::Shown>) -> Tagged<Shown> {
    Tagged { revision, body: body.into() }
}

/// A credential that is to be stored. Whatever is not named here is a value of it: `username`, `password`, `token`.
#[derive(Deserialize, JsonSchema)]
struct Wanted {
    #[schemars(length(min = 1, max = 128))]
    name: String,
    /// A provider, such as `hetzner`, or a kind, such as `aws_static`.
    provider: String,
    project: Option<String>,
    tags: Option<BTreeSet<String>>,
    note: Option<String>,
    expires: Option<DateTime<Utc>>,
    #[serde(flatten)]
    values: BTreeMap<String, Secret>,
}

/// What is to be another. Where a value is another, every secret is given anew: nothing that is kept goes to where it was
/// not given for.
#[derive(Deserialize, JsonSchema)]
struct Change {
    #[schemars(length(min = 1, max = 128))]
    name: Option<String>,
    /// The project to move it to; an empty one is the organization.
    project: Option<String>,
    tags: Option<BTreeSet<String>>,
    note: Option<String>,
    expires: Option<DateTime<Utc>>,
    #[serde(flatten)]
    values: BTreeMap<String, Secret>,
}

/// The values by what everybody may see of them: fields and secrets.
type Apart = (BTreeMap<String, String>, BTreeMap<String, Secret>);

fn apart(kind: &Kind, values: BTreeMap<String, Secret>) -> Apart {
    let (secret, plain): (BTreeMap<_, _>, BTreeMap<_, _>) =
        values.into_iter().partition(|(name, _)| kind.class(name) == Class::Secret);
    (plain.into_iter().map(|(name, value)| (name, value.expose().to_owned())).collect(), secret)
}

/// The kind that is meant by a word and the names of the values: the only one of its provider that they fit.
fn kind(word: &str, values: &BTreeMap<String, Secret>) -> Answer<&'static Kind> {
    if let Some((_, kind)) = provider::by_kind(word) {
        return Ok(kind);
    }
    let provider =
        provider::by_name(word).ok_or_else(|| Problem::invalid("there is no such provider, and no such kind"))?;
    if let [kind] = provider.kinds() {
        return Ok(kind);
    }
    let fits = |kind: &&Kind| {
        let has_all = kind.fields.iter().filter(|field| field.required).all(|field| values.contains_key(field.name));
        has_all && values.keys().all(|name| kind.field(name).is_some())
    };
    let mut fitting = provider.kinds().iter().filter(fits);
    if let (Some(kind), None) = (fitting.next(), fitting.next()) {
        return Ok(kind);
    }
    let kinds: Vec<&str> = provider.kinds().iter().map(|kind| kind.id).collect();
    Err(Problem::invalid(format!("the values do not tell which of {} it is: name that", kinds.join(", "))))
}

async fn list(
    State(server): State<Arc<Server>>,
    caller: Caller,
    Query(asked): Query<Asked>,
) -> Answer<Json<Part<Shown>>> {
    blocking(&server, move |server| {
        let wire::Page { items, next } = configs::some(server, &caller, &asked)?;
        Ok(Json(Part { items: items.into_iter().map(Shown::from).collect(), next }))
    })
    .await
}

async fn create(
    State(server): State<Arc<Server>>,
    caller: Caller,
    wanted: Creation<Wanted>,
) -> Answer<Created<Tagged<Shown>>> {
    let (caller, wanted) = wanted.of(caller);
    blocking(&server, move |server| {
        let kind = kind(&wanted.provider, &wanted.values)?;
        let (fields, data) = apart(kind, wanted.values);
        let incoming = Incoming {
            name: Some(wanted.name),
            kind: Some(kind.id.to_owned()),
            project: wanted.project,
            fields: Some(fields),
            data: Some(data),
            tags: wanted.tags,
            note: wanted.note,
            expires: wanted.expires,
            ..Incoming::default()
        };
        let made = configs::make(server, &caller, incoming)?;
        Ok(Created::at(format!("{ALL}/{}", made.body.id), tagged(made)))
    })
    .await
}

async fn show(State(server): State<Arc<Server>>, caller: Caller, Path(id): Path<String>) -> Answer<Tagged<Shown>> {
    blocking(&server, move |server| configs::one(server, &caller, &id).map(tagged)).await
}

async fn amend(
    State(server): State<Arc<Server>>,
    caller: Caller,
    Path(id): Path<String>,
    Seen(seen): Seen,
    Json(wanted): Json<Change>,
) -> Answer<Tagged<Shown>> {
    blocking(&server, move |server| {
        let Change { name, project, tags, note, expires, values } = wanted;
        if values.is_empty() {
            if expires.is_some() {
                return Err(Problem::invalid("when it expires is said with its values"));
            }
            let amendment = Amendment { name, project, tags, note, ..Amendment::default() };
            return configs::change(server, &caller, &id, amendment, seen).map(tagged);
        }
        if name.is_some() || project.is_some() {
            return Err(Problem::invalid("name and project are changed by a request of their own"));
        }
        let (_, stored) = configs::permitted(server, &caller, &id, Permission::CredentialsWrite)?;
        let old = stored.metadata;
        let (given, data) = apart(old.kind, values);
        let mut fields = old.fields;
        fields.extend(given);
        let (fields, data, version) = (Some(fields), Some(data), Some(old.version));
        let incoming = Incoming { fields, data, tags, note, expires, version, ..Incoming::default() };
        configs::secrets::replace(server, &caller, &id, incoming, seen).map(tagged)
    })
    .await
}

async fn delete(
    server: State<Arc<Server>>,
    caller: Caller,
    id: Path<String>,
    removal: Query<configs::Removal>,
    seen: Seen,
) -> Answer<Done> {
    configs::delete(server, caller, id, removal, seen).await
}
