//! Finding the credential that a person names.

use chrono::{DateTime, Utc};

use crate::cli::ui::unless_a_token;
use crate::config::Profile;
use crate::credential::{Metadata, Scope};
use crate::error::Result;
use crate::text::nearest;
use crate::vault::{Vault, VaultError, usable};

/// A time as lists show it: UTC, to the second.
pub(crate) fn shown_time(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%S").to_string()
}

/// A name as it is typed: `NAME`, or `PROJECT/NAME` for one of a project.
pub(crate) fn typed(metadata: &Metadata) -> String {
    match &metadata.scope {
        Scope::Organization => metadata.name.clone(),
        Scope::Project(project) => format!("{project}/{}", metadata.name),
    }
}

/// The credential of that name: in the project that the name gives, else in the profile's project, else in the
/// organization.
pub(crate) fn find(vault: &dyn Vault, profile: &Profile, name: &str) -> Result<Metadata> {
    let (scope, bare) = match name.split_once('/') {
        Some((project, bare)) => (Scope::Project(project.to_owned()), bare),
        None => (
            profile.project.as_ref().map_or(Scope::Organization, |project| Scope::Project(project.value.clone())),
            name,
        ),
    };
    let found = if name.contains('/') { vault.find(&scope, bare)? } else { usable::find(vault, &scope, bare)? };
    match found {
        Some(metadata) => Ok(metadata),
        None => Err(unknown(name, &vault.list()?).into()),
    }
}

/// There is none of that name; perhaps one much like it.
pub(crate) fn unknown(name: &str, all: &[Metadata]) -> VaultError {
    let known: Vec<String> = all.iter().map(typed).collect();
    let in_a_project = all.iter().find(|metadata| metadata.name == name).map(typed);
    let nearest = in_a_project.or_else(|| nearest(name, known.iter().map(String::as_str)).map(str::to_owned));
    let shown = if nearest.is_none() { unless_a_token(name, "of that name") } else { name };
    VaultError::Unknown { name: shown.to_owned(), nearest }
}
