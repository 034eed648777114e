//! `lanyard credentials update`: new values for some fields, or new words about it.

use std::collections::BTreeMap;

use super::named::{self, typed};
use super::store::{asked, draft};
use crate::cli::argv::{self, Visible};
use crate::cli::given::{Given, Values};
use crate::cli::{Doors, active, vault_door};
use crate::credential::{Class, Credential, Fields, Kind, Metadata, Raw};
use crate::error::{Code, Failure, Result};
use crate::provider::{self, Here};
use crate::secret::Secret;
use crate::vault::{Change, New, Vault, VaultError};

/// Put in new values, or change tags and note
///
/// Without flags at a terminal, the secrets are asked for; an empty answer keeps the old one.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  lanyard credentials update cloudflare --field api_token=@token.txt\n  \
lanyard credentials update aws --tag prod --note 'deploys'")]
pub(crate) struct Args {
    /// The credential
    #[arg(value_name = "NAME", add = clap_complete::ArgValueCandidates::new(crate::cli::completions::credentials))]
    name: String,
    /// A new value; as the value, - reads stdin and @FILE a file
    #[arg(long, value_name = "FIELD=VALUE", value_parser = crate::cli::given::parser())]
    field: Vec<Given>,
    /// Take a field out
    #[arg(long, value_name = "FIELD")]
    unset: Vec<String>,
    /// Add a tag
    #[arg(long, value_name = "TAG")]
    tag: Vec<String>,
    /// Take a tag away
    #[arg(long, value_name = "TAG")]
    untag: Vec<String>,
    /// The line for people; an empty one takes it away
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    /// Store the new values without asking the provider
    #[arg(long)]
    no_verify: bool,
}

/// A value is given without a field.
#[derive(Debug, thiserror::Error)]
#[error("a new value is given as FIELD=VALUE")]
struct NoField;

impl Failure for NoField {
    fn code(&self) -> Code {
        Code::Usage
    }

    fn mend(&self) -> Option<String> {
        Some("write --field NAME=-, and pipe the value in".into())
    }
}

impl Args {
    /// Runs the command.
    pub(crate) fn run(self, doors: &Doors<'_>) -> Result<()> {
        let (_, profile) = active::active(doors)?;
        let clock = || doors.env.now();
        let vault = vault_door::local(doors, &profile, &clock);
        let mut metadata = named::find(&vault, &profile, &self.name)?;
        self.hide_secrets(doors, metadata.kind);
        let words = !self.tag.is_empty() || !self.untag.is_empty() || self.note.is_some();
        if words {
            metadata = vault.amend(&metadata, &self.change())?;
        }
        let mut changes = self.changes(doors, &metadata)?;
        if changes.is_empty() && self.unset.is_empty() {
            if words {
                doors.ui.done(&format!("Updated {}", typed(&metadata)));
                return Ok(());
            }
            ask(doors, metadata.kind, &mut changes)?;
            if changes.is_empty() {
                doors.ui.say("Nothing was changed");
                return Ok(());
            }
        }
        let provider = provider::of(&metadata).ok_or_else(|| VaultError::Foreign { name: metadata.name.clone() })?;
        let mut raw = self.merged(&vault.open(&metadata)?, changes);
        if metadata.kind.fields.iter().any(|field| field.derived) {
            provider.complete(&mut raw, &Here { env: doors.env, given: &BTreeMap::new() })?;
        }
        let fields = Fields::parse(metadata.kind, raw)?;
        let expires = provider.expires(&fields);
        let draft = draft(&metadata.name, metadata.scope.clone(), fields, expires, doors);
        let verdict = if self.no_verify { None } else { Some(asked(doors, &vault, provider, &draft)?) };
        let who = verdict.as_ref().and_then(|verdict| verdict.identity.clone());
        let stored = vault.put(New {
            name: metadata.name.clone(),
            scope: metadata.scope.clone(),
            fields: Fields { kind: metadata.kind, plain: draft.metadata.fields, secrets: draft.secrets },
            expires,
            tags: metadata.tags.clone(),
            note: metadata.note.clone(),
            verdict,
            replaces: Some(metadata),
            retiring: None,
        })?;
        let who = who.map_or_else(String::new, |who| format!(": {who}"));
        doors.ui.done(&format!("Updated {}, {}{who}", typed(&stored), stored.status(doors.env.now()).word()));
        Ok(())
    }

    /// Starts the program anew where a secret stands on the command line.
    fn hide_secrets(&self, doors: &Doors<'_>, kind: &Kind) {
        let pairs = self.field.iter().filter_map(|given| {
            let (name, value) = given.as_it_is().expose().split_once('=')?;
            Some((name.to_owned(), Given::new(value.to_owned())))
        });
        let pairs: Vec<(String, Given)> =
            pairs.filter(|(name, _)| kind.class(&field_name(kind, name)) == Class::Secret).collect();
        let mut visible = Vec::new();
        for (name, given) in &pairs {
            let Some(secret) = given.literal() else { continue };
            // As a word of its own, and as `--field=NAME=VALUE`.
            for name in [name.clone(), format!("--field={name}")] {
                visible.push(Visible { place: argv::Place::Assignment { name }, secret });
            }
        }
        if !visible.is_empty() {
            doors
                .ui
                .warn("others could see a secret on the command line; give - (stdin) or @FILE instead of the value");
            argv::hide(&visible);
        }
    }

    fn change(&self) -> Change {
        Change {
            tag: self.tag.iter().cloned().collect(),
            untag: self.untag.iter().cloned().collect(),
            note: self.note.clone(),
            ..Change::default()
        }
    }

    fn changes(&self, doors: &Doors<'_>, metadata: &Metadata) -> Result<Raw> {
        let values = Values::new(doors.env);
        let mut raw = Raw::new();
        for given in &self.field {
            let (name, value) = given.as_it_is().expose().split_once('=').ok_or(NoField)?;
            let name = field_name(metadata.kind, name);
            let value = Given::new(value.to_owned());
            let multiline = metadata.kind.field(&name).is_none_or(|field| field.multiline);
            let read = values.read(&format!("--field {name}"), &value, multiline)?;
            raw.set(&name, read);
        }
        Ok(raw)
    }

    /// The old values with the new ones over them. What was read out of an old secret goes with it.
    fn merged(&self, old: &Credential, mut changes: Raw) -> Raw {
        let kind = old.metadata.kind;
        let new_secret = changes.names().any(|name| kind.class(name) == Class::Secret);
        let stale = |name: &str| new_secret && kind.field(name).is_some_and(|field| field.derived);
        let unset = |name: &str| self.unset.iter().any(|unset| unset.replace('-', "_") == name || unset == name);
        let gone = |name: &str| unset(name) || stale(name);
        for (name, value) in &old.secrets {
            if !gone(name) {
                changes.fill(name, value.duplicate());
            }
        }
        for (name, value) in &old.metadata.fields {
            if !gone(name) {
                changes.fill(name, Secret::new(value.clone()));
            }
        }
        changes
    }
}

/// The name of a field as the kind has it: hyphens are as good as underscores, but in names of the user's own.
fn field_name(kind: &Kind, name: &str) -> String {
    if kind.open.is_some() { name.to_owned() } else { name.replace('-', "_") }
}

/// Asks for each secret; an empty answer keeps the old one.
fn ask(doors: &Doors<'_>, kind: &'static Kind, changes: &mut Raw) -> Result<()> {
    for field in kind.fields.iter().filter(|field| field.class == Class::Secret && !field.multiline) {
        let question = format!("{} (empty keeps the old one)", field.title);
        let value = doors.ui.hidden(&question, &format!("--field {}=-", field.name))?;
        if !value.expose().is_empty() {
            changes.set(field.name, value);
        }
    }
    Ok(())
}
