//! New values in the place of old ones. What is not typed stays, and is not shown.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};

use super::form::{self, Known};
use super::{One, vault};
use crate::credential::{Class, Fields, Metadata, Raw};
use crate::provider;
use crate::server::bridge::blocking;
use crate::server::credential_configs::permitted;
use crate::server::permission::Permission;
use crate::server::portal::fields::{Slip, buttons, summary};
use crate::server::portal::inside::{Inside, Sent};
use crate::server::portal::page::{Page, Text};
use crate::server::portal::shell::{Place, fixable, hidden};
use crate::server::problem::{Answer, Problem};
use crate::server::state::{Server, now};
use crate::vault::{New, Vault};

pub(super) async fn show(
    State(server): State<Arc<Server>>,
    inside: Inside,
    Path(One { id }): Path<One>,
) -> Answer<Response> {
    blocking(&server, move |server| {
        let (_, stored) = permitted(server, &inside.caller, &id, Permission::CredentialsWrite)?;
        let metadata = typeable(stored.metadata)?;
        let known = Known { plain: metadata.fields.clone(), stored: metadata.secret_names.clone() };
        // A day that has passed is none of the new values.
        let expires =
            metadata.expires.filter(|at| *at > now()).map(|at| at.format("%Y-%m-%d").to_string()).unwrap_or_default();
        Ok(fill_in(&inside, &metadata, &known, &[], &expires, None).into_response())
    })
    .await
}

/// One that comes of a sign-in has no values to type.
fn typeable(metadata: Metadata) -> Answer<Metadata> {
    let signs_in = provider::of(&metadata).is_none_or(provider::Provider::signs_in);
    if signs_in { Err(Problem::not_found()) } else { Ok(metadata) }
}

fn fill_in(
    inside: &Inside,
    metadata: &Metadata,
    known: &Known,
    named: &[String],
    expires: &str,
    slip: Option<&Slip>,
) -> Page {
    let one = inside.path(&format!("credentials/{}", metadata.id));
    let body = format!(
        "{}<p>New values for <strong>{}</strong>.</p>\n\
         <form method=\"post\" action=\"{}/values\" autocomplete=\"off\">\n{}{}\n{}{}{}</form>",
        summary(slip),
        Text(&metadata.name),
        Text(&one),
        inside.word(),
        hidden("version", &metadata.version.to_string()),
        form::inputs(metadata.kind, known, named, slip),
        form::expires("Where it is known; the day in UTC", expires, slip),
        buttons("Replace", &one),
    );
    inside.page(Place::Credentials, "Replace values", body)
}

pub(super) async fn submit(
    State(server): State<Arc<Server>>,
    inside: Inside,
    Path(One { id }): Path<One>,
    sent: Sent,
) -> Answer<Response> {
    blocking(&server, move |server| {
        let (_, stored) = permitted(server, &inside.caller, &id, Permission::CredentialsWrite)?;
        let metadata = typeable(stored.metadata)?;
        let again = |slip: &Slip| {
            let known = Known::of(metadata.kind, &sent, metadata.secret_names.clone());
            Ok(fill_in(&inside, &metadata, &known, &form::named(&sent), sent.text("expires"), Some(slip)))
        };
        fixable(
            replace(server, &inside, &metadata, &sent),
            |()| inside.on(&format!("credentials/{id}?done=replaced")),
            again,
        )
    })
    .await
}

fn replace(server: &Server, inside: &Inside, old: &Metadata, sent: &Sent) -> Answer<()> {
    if sent.text("version") != old.version.to_string() {
        return Err(Problem::changed());
    }
    let expires = match form::ends(sent)? {
        // The same day as before is the same instant as before.
        Some(day) => old.expires.filter(|at| at.date_naive() == day.date_naive()).or(Some(day)),
        None => None,
    };
    let mut typed = form::typed(old.kind, sent, &old.secret_names)?;
    let gone = taken_out(old, sent, &typed);
    let same: Vec<String> = old
        .fields
        .iter()
        .filter(|(name, value)| typed.get(name).is_some_and(|typed| typed.expose() == value.as_str()))
        .map(|(name, _)| name.clone())
        .collect();
    // What was not touched may follow what was.
    for name in same {
        typed.take(&name);
    }
    let vault = vault(server, inside);
    let provider = provider::of(old).ok_or_else(|| Problem::internal("a kind of no provider"))?;
    let opened = if old.secret_names.is_empty() {
        crate::credential::Credential { metadata: old.clone(), secrets: BTreeMap::new() }
    } else {
        vault.open(old)?
    };
    let raw = provider::changed(provider, &opened, typed, |name| gone.contains(name))
        .map_err(|failure| form::refused(&failure))?;
    let fields = Fields::parse(old.kind, raw)?;
    let told = provider.expires(&fields);
    vault.put(New {
        name: String::new(),
        scope: old.scope.clone(),
        fields,
        expires: told.or(expires),
        tags: old.tags.clone(),
        note: old.note.clone(),
        verdict: None,
        replaces: Some(old.clone()),
        retiring: None,
    })?;
    Ok(())
}

/// The fields that were emptied, and the secrets that were marked.
fn taken_out(old: &Metadata, sent: &Sent, typed: &Raw) -> BTreeSet<String> {
    let mut gone: BTreeSet<String> =
        form::gone(sent).into_iter().filter(|name| old.secret_names.contains(name) && !typed.has(name)).collect();
    let emptied = old.kind.fields.iter().filter(|field| {
        field.class != Class::Secret && !field.derived && old.field(field.name).is_some() && !typed.has(field.name)
    });
    // One that follows others is read out of them again.
    gone.extend(emptied.filter(|field| !field.follows).map(|field| field.name.to_owned()));
    gone
}
