//! `lanyard credentials list`: what the vault holds. Opens no secret and asks no keychain.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::named::{shown_time, typed};
use crate::auth::session::timestamp;
use crate::cli::access::expiry;
use crate::cli::{Doors, active, vault_door};
use crate::credential::{Class, Metadata, Status, mask_identifier};
use crate::error::Result;
use crate::text::clean;
use crate::vault::Vault;

/// List the credentials in the vault
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  lanyard credentials list --status expires-soon\n  \
lanyard credentials list --search prod --json")]
pub(crate) struct Args {
    /// Only those of this kind or provider
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
    /// Only those of this status
    #[arg(long, value_name = "STATUS", value_parser = status_parser())]
    status: Option<Status>,
    /// Only those with this text in the name, provider, tags, note or a field that is no secret
    #[arg(long, value_name = "TEXT")]
    search: Option<String>,
    /// Only those with this tag
    #[arg(long, value_name = "TAG")]
    tag: Option<String>,
    /// Show the fields of each, secrets left out and identifiers masked
    #[arg(long)]
    long: bool,
}

fn status_parser() -> impl clap::builder::TypedValueParser<Value = Status> {
    use clap::builder::{PossibleValuesParser, TypedValueParser};
    PossibleValuesParser::new(Status::ALL.map(Status::flag))
        .map(|word| Status::ALL.into_iter().find(|status| status.flag() == word).unwrap_or(Status::Active))
}

/// A credential as JSON shows it. The names are part of the interface.
#[derive(Serialize)]
pub(crate) struct Shown<'m> {
    id: &'m str,
    name: &'m str,
    #[serde(skip_serializing_if = "Option::is_none")]
    project: Option<&'m str>,
    kind: &'static str,
    provider: &'static str,
    service: &'m str,
    status: &'static str,
    created_at: String,
    updated_at: String,
    last_used_at: Option<String>,
    verified_at: Option<String>,
    expires_at: Option<String>,
    tags: Vec<&'m str>,
    note: &'m str,
    fields: BTreeMap<&'m str, String>,
    secret_fields: Vec<&'m str>,
}

impl<'m> Shown<'m> {
    pub(crate) fn of(metadata: &'m Metadata, now: DateTime<Utc>) -> Self {
        Self {
            id: &metadata.id,
            name: &metadata.name,
            project: metadata.scope.project(),
            kind: metadata.kind.id,
            provider: metadata.kind.provider,
            service: metadata.service(),
            status: metadata.status(now).word(),
            created_at: timestamp(metadata.created),
            updated_at: timestamp(metadata.updated),
            last_used_at: metadata.used.map(timestamp),
            verified_at: metadata.verified.map(timestamp),
            expires_at: metadata.expires.map(timestamp),
            tags: metadata.tags.iter().map(String::as_str).collect(),
            note: &metadata.note,
            fields: metadata
                .fields
                .iter()
                .map(|(name, value)| (name.as_str(), masked(metadata, name, value)))
                .collect(),
            secret_fields: metadata.secret_names.iter().map(String::as_str).collect(),
        }
    }
}

/// A field that is no secret, as it may be shown.
pub(crate) fn masked(metadata: &Metadata, name: &str, value: &str) -> String {
    match metadata.kind.class(name) {
        Class::Plain => value.to_owned(),
        Class::Identifier => mask_identifier(value),
        Class::Secret => "****".into(),
    }
}

impl Args {
    /// Runs the command.
    pub(crate) fn run(self, doors: &Doors<'_>) -> Result<()> {
        let (_, profile) = active::active(doors)?;
        let clock = || doors.env.now();
        let vault = vault_door::local(doors, &profile, &clock);
        let now = doors.env.now();
        let all = vault.list()?;
        let found: Vec<&Metadata> = all.iter().filter(|metadata| self.wants(metadata, now)).collect();
        if active::output_json(&profile) {
            let shown: Vec<Shown<'_>> = found.iter().map(|metadata| Shown::of(metadata, now)).collect();
            return doors.ui.answer_json(&shown);
        }
        if found.is_empty() {
            guide(doors, all.len());
            return Ok(());
        }
        if self.long { long(doors, &found) } else { table(doors, &found, now) }
    }

    fn wants(&self, metadata: &Metadata, now: DateTime<Utc>) -> bool {
        let kind = |word: &String| {
            let word = word.replace('-', "_");
            [metadata.kind.id, metadata.kind.provider, metadata.service()]
                .iter()
                .any(|known| known.replace('-', "_") == word)
        };
        self.kind.as_ref().is_none_or(kind)
            && self.status.is_none_or(|status| metadata.status(now) == status)
            && self.search.as_ref().is_none_or(|word| metadata.mentions(word))
            && self.tag.as_ref().is_none_or(|tag| metadata.tags.contains(tag))
    }
}

/// What to do when there is nothing to show.
fn guide(doors: &Doors<'_>, held: usize) {
    if held > 0 {
        doors.ui.say(&format!("No credential matches; the vault holds {held}"));
        return;
    }
    doors.ui.say("No credentials yet");
    doors.ui.note("Store what an official tool has on this machine: lanyard credentials store aws");
    doors.ui.note("See what lies around in plain text:              lanyard credentials scan");
    doors.ui.note("Every provider:                                  lanyard credentials store --help");
}

fn table(doors: &Doors<'_>, found: &[&Metadata], now: DateTime<Utc>) -> Result<()> {
    let rows: Vec<Vec<String>> = found
        .iter()
        .map(|metadata| {
            vec![
                typed(metadata),
                metadata.kind.id.to_owned(),
                metadata.service().to_owned(),
                metadata.status(now).word().to_owned(),
                metadata.expires.map_or_else(|| "-".into(), |at| expiry(at, now)),
                metadata.used.map_or_else(|| "never".into(), shown_time),
            ]
        })
        .collect();
    doors.ui.table(&["name", "kind", "provider", "status", "expires", "last used"], &rows)
}

fn long(doors: &Doors<'_>, found: &[&Metadata]) -> Result<()> {
    let ui = doors.ui;
    ui.answer(&format!("Stored credentials ({}):", found.len()))?;
    for (index, metadata) in found.iter().enumerate() {
        if index > 0 {
            ui.answer("")?;
        }
        if metadata.name != metadata.service() || metadata.scope.project().is_some() {
            ui.answer(&format!("Name: {}", clean(&typed(metadata))))?;
        }
        ui.answer(&format!("Provider: {}", clean(metadata.service())))?;
        ui.answer(&format!("Created: {}", shown_time(metadata.created)))?;
        ui.answer(&format!("Updated: {}", shown_time(metadata.updated)))?;
        ui.answer("Fields:")?;
        for (name, value) in &metadata.fields {
            ui.answer(&format!("{name}: {}", clean(&masked(metadata, name, value))))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credential::tests::credential;
    use crate::credential::{Fields, Raw};
    use crate::provider::PROVIDERS;

    #[test]
    fn json_of_every_kind_shows_no_secret_and_masks_identifiers() {
        for kind in PROVIDERS.iter().flat_map(|provider| provider.kinds()) {
            let mut raw = Raw::new();
            for field in kind.fields {
                let canary = format!("LNYCANARY-{}", field.name.replace('_', ""));
                let value = if (field.check)(&canary).is_ok() { canary } else { field.example.to_owned() };
                raw.plain(field.name, &value);
            }
            if kind.open.is_some() {
                raw.plain("NAME", "LNYCANARY-name");
            }
            let credential = credential("work", Fields::parse(kind, raw).unwrap());
            let shown = serde_json::to_string(&Shown::of(&credential.metadata, credential.metadata.created)).unwrap();
            let hidden = credential.secrets.values().map(crate::secret::Secret::expose);
            let masked = credential.metadata.fields.iter().filter(|(name, _)| kind.class(name) == Class::Identifier);
            for secret in hidden.chain(masked.map(|(_, value)| value.as_str())).filter(|text| text.len() >= 8) {
                assert!(!shown.contains(secret), "{} shows {secret}: {shown}", kind.id);
            }
            for name in credential.secrets.keys() {
                assert!(shown.contains(&format!("\"{name}\"")), "{} names its secrets: {shown}", kind.id);
            }
        }
    }
}
