//! `lanyard credentials list`: what the vault holds. Opens no secret and asks no keychain.

use std::borrow::Cow;
use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde::{Serialize, Serializer};

use super::named::{shown_time, typed};
use crate::auth::session::timestamp;
use crate::cli::access::expiry;
use crate::cli::ui::Table;
use crate::cli::{Doors, active, vault_door};
use crate::credential::{Class, Metadata, Status, mask_identifier};
use crate::error::Result;
use crate::text::clean_into;

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
    tags: &'m BTreeSet<String>,
    note: &'m str,
    fields: ShownFields<'m>,
    secret_fields: &'m BTreeSet<String>,
}

/// The fields of a credential that are no secret, masked while they are written.
struct ShownFields<'m>(&'m Metadata);

impl Serialize for ShownFields<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.fields.iter().map(|(name, value)| (name, masked(self.0, name, value))))
    }
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
            tags: &metadata.tags,
            note: &metadata.note,
            fields: ShownFields(metadata),
            secret_fields: &metadata.secret_names,
        }
    }
}

/// A field that is no secret, as it may be shown.
pub(crate) fn masked<'v>(metadata: &Metadata, name: &str, value: &'v str) -> Cow<'v, str> {
    match metadata.kind.class(name) {
        Class::Plain => value.into(),
        Class::Identifier => mask_identifier(value).into(),
        Class::Secret => "****".into(),
    }
}

impl Args {
    /// Runs the command.
    pub(crate) fn run(self, doors: &Doors<'_>) -> Result<()> {
        let (config, profile) = active::active(doors)?;
        let clock = || doors.env.now();
        let vault = vault_door::of(doors, &config, &profile, &clock)?;
        let vault = &*vault;
        let now = doors.env.now();
        let (mut held, mut found) = (0, 0);
        let mut each = |see: &mut dyn FnMut(&Metadata)| {
            vault.each(&mut |metadata| {
                held += 1;
                if self.wants(&metadata, now) {
                    found += 1;
                    see(&metadata);
                }
            })
        };
        if active::output_json(&profile) {
            return doors.ui.answer_json_list(|list| {
                let mut written = Ok(());
                each(&mut |metadata| {
                    if written.is_ok() {
                        written = list.push(&Shown::of(metadata, now));
                    }
                })?;
                Ok(written?)
            });
        }
        let mut table = Table::new(&["name", "kind", "provider", "status", "expires", "last used"]);
        let mut text = String::new();
        if self.long {
            each(&mut |metadata| long(&mut text, metadata))?;
        } else {
            each(&mut |metadata| row(&mut table, metadata, now))?;
        }
        if found == 0 {
            guide(doors, held);
            return Ok(());
        }
        if self.long {
            doors.ui.answer(&format!("Stored credentials ({found}):\n{}", text.trim_end_matches('\n')))
        } else {
            doors.ui.answer_table(&table)
        }
    }

    fn wants(&self, metadata: &Metadata, now: DateTime<Utc>) -> bool {
        let kind = |word: &String| {
            [metadata.kind.id, metadata.kind.provider, metadata.service()].iter().any(|known| is_same_word(known, word))
        };
        self.kind.as_ref().is_none_or(kind)
            && self.status.is_none_or(|status| metadata.status(now) == status)
            && self.search.as_ref().is_none_or(|word| metadata.mentions(word))
            && self.tag.as_ref().is_none_or(|tag| metadata.tags.contains(tag))
    }
}

/// Whether two words are one, where a hyphen is as good as an underscore.
fn is_same_word(one: &str, other: &str) -> bool {
    let plain = |byte: u8| if byte == b'-' { b'_' } else { byte };
    one.bytes().map(plain).eq(other.bytes().map(plain))
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

fn row(table: &mut Table, metadata: &Metadata, now: DateTime<Utc>) {
    let expires = metadata.expires.map(|at| expiry(at, now));
    let used = metadata.used.map(shown_time);
    table.row([
        &typed(metadata),
        metadata.kind.id,
        metadata.service(),
        metadata.status(now).word(),
        expires.as_deref().unwrap_or("-"),
        used.as_deref().unwrap_or("never"),
    ]);
}

/// Writes a credential with its fields behind others, a line each.
fn long(text: &mut String, metadata: &Metadata) {
    if metadata.name != metadata.service() || metadata.scope.project().is_some() {
        line(text, "Name", &typed(metadata));
    }
    line(text, "Provider", metadata.service());
    line(text, "Created", &shown_time(metadata.created));
    line(text, "Updated", &shown_time(metadata.updated));
    text.push_str("Fields:\n");
    for (name, value) in &metadata.fields {
        line(text, name, &masked(metadata, name, value));
    }
    text.push('\n');
}

fn line(text: &mut String, label: &str, value: &str) {
    text.extend([label, ": "]);
    clean_into(value, text);
    text.push('\n');
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
