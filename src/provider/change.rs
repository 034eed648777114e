//! New values for a credential that is there: what its provider reads out of others follows them, and every other value
//! stays as it is.

use std::collections::BTreeMap;

use super::{Here, Provider, ProviderError};
use crate::credential::{Credential, Raw};
use crate::os::Env;
use crate::secret::Secret;

/// The values of a credential with `changes` over them and those for which `unset` holds taken out.
///
/// The surroundings play no part: a variable that happens to be set now says nothing about a credential of last year.
pub fn changed(
    provider: &dyn Provider,
    old: &Credential,
    changes: Raw,
    unset: impl Fn(&str) -> bool,
) -> Result<Raw, ProviderError> {
    let (env, given) = (Env::empty(), BTreeMap::new());
    let here = Here { env: &env, given: &given };
    let follows = following(provider, old, &changes, &here);
    let mut raw = changes;
    raw.fill_from(without(old, |name| unset(name) || follows.contains(&name)));
    provider.complete(&mut raw, &here)?;
    let names: Vec<String> = raw.names().filter(|name| unset(name)).map(str::to_owned).collect();
    for name in names {
        raw.take(&name);
    }
    Ok(raw)
}

/// The fields that follow: those that come out as they are when the provider is asked to read them out of the others.
/// One that does not was given by the user, who meant something else.
fn following(provider: &dyn Provider, old: &Credential, changes: &Raw, here: &Here<'_>) -> Vec<&'static str> {
    let mut follows: Vec<&'static str> = Vec::new();
    for field in old.metadata.kind.fields.iter().filter(|field| field.derived || field.follows) {
        if changes.has(field.name) || old.field(field.name).is_none() {
            continue;
        }
        follows.push(field.name);
        let mut raw = without(old, |name| follows.contains(&name));
        let is_read = provider.complete(&mut raw, here).is_ok()
            && follows.iter().all(|name| raw.get(name).map(Secret::expose) == old.field(name));
        if !is_read {
            follows.pop();
        }
    }
    follows
}

/// The values of a credential but for some.
fn without(old: &Credential, leaves_out: impl Fn(&str) -> bool) -> Raw {
    let mut raw = Raw::new();
    for (name, value) in old.secrets.iter().filter(|(name, _)| !leaves_out(name)) {
        raw.set(name, value.duplicate());
    }
    for (name, value) in old.metadata.fields.iter().filter(|(name, _)| !leaves_out(name)) {
        raw.plain(name, value);
    }
    raw
}
