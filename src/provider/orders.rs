//! Documents that somebody else wrote are data.
//!
//! Some official tools take orders out of the files that they read: a program to run, a file to open, a server to go
//! to, somebody else to act as. A file of one's own may do so. One that a server was sent, or that a server hands out,
//! may not: else whoever can store a credential of a team could have every machine of the team run a program.

use std::collections::BTreeMap;

use super::by_kind;
use crate::credential::Kind;
use crate::secret::Secret;

mod document;
mod forms;
mod git;

pub(super) use forms::{any, google, kubeconfig, named_by};

/// A value that gives an order, or that its kind does not have. Quotes nothing but what the program knows by name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {}", .key.map_or_else(|| why.to_string(), |key| format!("`{key}` {why}")))]
pub struct Order {
    /// The field of the credential.
    pub field: String,
    /// The key of the document, where it is one that is known.
    pub key: Option<&'static str>,
    /// What is wrong with it.
    why: &'static str,
}

/// What is wrong in a document: a key that is known, and why.
pub(super) type Wrong = (Option<&'static str>, &'static str);

/// The values of a credential.
pub struct Values<'v> {
    plain: &'v BTreeMap<String, String>,
    secrets: &'v BTreeMap<String, Secret>,
}

impl<'v> Values<'v> {
    /// A value, secret or not.
    pub(super) fn text(&self, name: &str) -> Option<&'v str> {
        let plain = || self.plain.get(name).map(String::as_str);
        self.secrets.get(name).map(Secret::expose).or_else(plain)
    }

    /// The order that a name gives, whatever its value.
    pub(super) fn named(&self, rule: fn(&str) -> Result<(), &'static str>) -> Result<(), Order> {
        for name in self.plain.keys().chain(self.secrets.keys()) {
            rule(name).map_err(|why| Order { field: crate::text::clean(name), key: None, why })?;
        }
        Ok(())
    }

    /// The order in a field, where a document in it has one.
    pub(super) fn held(&self, field: &str, rule: impl FnOnce(&str) -> Result<(), Wrong>) -> Result<(), Order> {
        let Some(text) = self.text(field) else { return Ok(()) };
        rule(text).map_err(|(key, why)| Order { field: field.to_owned(), key, why })
    }
}

/// Refuses values that give orders to whoever uses them.
///
/// # Errors
/// [`Order`], with the field and the key.
pub fn refuse_orders(
    kind: &Kind,
    plain: &BTreeMap<String, String>,
    secrets: &BTreeMap<String, Secret>,
) -> Result<(), Order> {
    match by_kind(kind.id) {
        Some((provider, _)) => provider.refuse_orders(&Values { plain, secrets }),
        None => Ok(()),
    }
}

/// Refuses what a server hands out and would not have been stored: names and values that are none of the kind's, and
/// values that give orders.
///
/// # Errors
/// [`Order`], with the field.
pub fn refuse_strange(
    kind: &Kind,
    plain: &BTreeMap<String, String>,
    secrets: &BTreeMap<String, Secret>,
) -> Result<(), Order> {
    let plain_texts = plain.iter().map(|(name, value)| (name, value.as_str()));
    for (name, value) in plain_texts.chain(secrets.iter().map(|(name, value)| (name, value.expose()))) {
        let held = match (kind.field(name), kind.open) {
            (Some(field), _) => (field.check)(value),
            (None, Some(rule)) => rule(name),
            (None, None) => Err("is no field of its kind"),
        };
        held.map_err(|why| Order { field: crate::text::clean(name), key: None, why })?;
    }
    refuse_orders(kind, plain, secrets)
}

#[cfg(test)]
mod tests;
