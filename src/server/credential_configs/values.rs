//! The values of a credential on their way in: held against their kind, and never quoted.

use std::collections::BTreeMap;

use crate::auth::session::Session;
use crate::credential::{Class, Credential, Fields, Kind, Metadata, Raw};
use crate::provider;
use crate::secret::Secret;
use crate::server::problem::{Answer, Problem};
use crate::server::vault::sign_in::is_sign_in;

/// The kind of that identifier.
pub(super) fn kind(id: &str) -> Answer<&'static Kind> {
    provider::by_kind(id).map(|(_, kind)| kind).ok_or_else(|| Problem::invalid("there is no such kind"))
}

/// The values of a new credential. Without secrets they are checked as far as they go; the secrets follow.
pub(super) fn first(
    kind: &'static Kind,
    plain: BTreeMap<String, String>,
    data: Option<BTreeMap<String, Secret>>,
) -> Answer<Fields> {
    refuse_secrets(kind, &plain)?;
    if let Some(data) = data {
        refuse_sessions(kind, &data)?;
        // Before anything else looks into it, so that it is told by its name.
        provider::refuse_orders(kind, &plain, &data)?;
        return Ok(Fields::parse(kind, raw(plain, data)?)?);
    }
    for (name, value) in &plain {
        let field =
            kind.field(name).ok_or_else(|| Problem::invalid(format!("the {} has no such field", kind.title)))?;
        (field.check)(value).map_err(|problem| Problem::invalid(format!("{name} is malformed: {problem}")))?;
    }
    Ok(Fields { kind, plain, secrets: BTreeMap::new() })
}

/// New values in the place of old ones: fields that are not named stay.
pub(super) fn next(
    old: &Metadata,
    kind: &'static Kind,
    plain: Option<BTreeMap<String, String>>,
    data: BTreeMap<String, Secret>,
) -> Answer<Fields> {
    let plain = plain.unwrap_or_else(|| old.fields.clone());
    refuse_secrets(kind, &plain)?;
    refuse_sessions(kind, &data)?;
    provider::refuse_orders(kind, &plain, &data)?;
    Ok(Fields::parse(kind, raw(plain, data)?)?)
}

/// A secret in the place of a field that everybody may see is refused before it is stored there.
fn refuse_secrets(kind: &Kind, plain: &BTreeMap<String, String>) -> Answer<()> {
    match plain.keys().find(|name| kind.class(name) == Class::Secret) {
        Some(_) => Err(Problem::invalid("a secret belongs under `data`, not under `fields`")),
        None => Ok(()),
    }
}

/// A session that could not be read again is none.
fn refuse_sessions(kind: &Kind, data: &BTreeMap<String, Secret>) -> Answer<()> {
    let item = data.get(Credential::SESSION).filter(|_| is_sign_in(kind));
    if item.is_none_or(|item| Session::from_item(item).is_some()) {
        return Ok(());
    }
    Err(Problem::invalid("the session is none that can be read, or one that is over before it begins"))
}

fn raw(plain: BTreeMap<String, String>, data: BTreeMap<String, Secret>) -> Answer<Raw> {
    let mut raw = Raw::new();
    for (name, value) in plain {
        raw.set(&name, Secret::new(value));
    }
    for (name, value) in data {
        if raw.has(&name) {
            return Err(Problem::invalid("a field is given twice"));
        }
        raw.set(&name, value);
    }
    Ok(raw)
}
