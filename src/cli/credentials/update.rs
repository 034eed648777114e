//! `lanyard credentials update`: new values for some fields, or new words about it.

use chrono::{DateTime, Utc};

use super::named::{self, typed};
use super::store::{asked, draft};
use crate::cli::argv::{self, Visible};
use crate::cli::given::{Form, Given, Values};
use crate::cli::{Doors, active, ui, vault_door};
use crate::credential::{Class, Credential, Field, FieldError, Fields, Kind, Metadata, Raw};
use crate::error::{Code, Failure, Result};
use crate::provider::{self, Provider, ProviderError};
use crate::text::clean;
use crate::vault::{Change, New, VaultError};

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

/// Why nothing was updated.
#[derive(Debug, thiserror::Error)]
enum UpdateFailure {
    /// A value is given without a field.
    #[error("a new value is given as FIELD=VALUE")]
    NoField,
    /// A field that is to be taken out is not there.
    #[error("credential {name} has no field {}", clean(.field))]
    NotThere {
        /// The credential.
        name: String,
        /// The field.
        field: String,
        /// The fields that it has.
        has: String,
    },
    /// There is nothing to ask for.
    #[error("no new value was given")]
    NothingGiven {
        /// The field that has lines.
        field: &'static str,
    },
    /// The values are no credential any more.
    #[error("{0}")]
    Field(FieldError, &'static Kind),
    /// The provider makes nothing of them.
    #[error(transparent)]
    Provider(ProviderError),
}

impl UpdateFailure {
    fn of(kind: &'static Kind) -> impl Fn(ProviderError) -> Self {
        move |failure| match failure {
            ProviderError::Field(failure) => Self::Field(failure, kind),
            other => Self::Provider(other),
        }
    }
}

impl Failure for UpdateFailure {
    fn code(&self) -> Code {
        match self {
            Self::NoField | Self::NotThere { .. } | Self::NothingGiven { .. } => Code::Usage,
            Self::Field(failure, _) => failure.code(),
            Self::Provider(failure) => failure.code(),
        }
    }

    fn mend(&self) -> Option<String> {
        match self {
            Self::NoField => Some("write --field NAME=-, and pipe the value in".into()),
            Self::NotThere { has, .. } => Some(format!("it has {has}")),
            Self::NothingGiven { field } => Some(format!("give --field {field}=@FILE")),
            Self::Field(FieldError::Missing { field, .. }, _) => {
                Some(format!("give --field {field}=VALUE, --field {field}=- (from stdin) or --field {field}=@FILE"))
            }
            Self::Field(FieldError::Unknown { nearest: None, .. }, kind) => {
                let names: Vec<&str> = kind.fields.iter().map(|field| field.name).collect();
                Some(format!("its fields are {}", names.join(", ")))
            }
            Self::Field(failure, _) => failure.mend(),
            Self::Provider(failure) => failure.mend(),
        }
    }
}

impl Args {
    /// Runs the command.
    pub(crate) fn run(self, doors: &Doors<'_>) -> Result<()> {
        let (config, profile) = active::active(doors)?;
        let clock = || doors.env.now();
        let vault = vault_door::of(doors, &config, &profile, &clock)?;
        let vault = &*vault;
        let metadata = named::find(vault, &profile, &self.name)?;
        self.hide_secrets(doors, metadata.kind);
        let words = !self.tag.is_empty() || !self.untag.is_empty() || self.note.is_some();
        self.check_unset(&metadata)?;
        let mut changes = self.changes(doors, &metadata)?;
        if changes.is_empty() && self.unset.is_empty() {
            if words {
                let amended = vault.amend(&metadata, &self.change())?;
                doors.ui.done(&format!("Updated {}", typed(&amended)));
                return Ok(());
            }
            ask(doors, &metadata, &mut changes)?;
            if changes.is_empty() {
                doors.ui.say("Nothing was changed");
                return Ok(());
            }
        }
        let provider = provider::of(&metadata).ok_or_else(|| VaultError::Foreign { name: metadata.name.clone() })?;
        let old = vault.open(&metadata)?;
        let new_secret = changes.names().any(|name| metadata.kind.class(name) == Class::Secret);
        let refused = UpdateFailure::of(metadata.kind);
        let raw = provider::changed(provider, &old, changes, |name| self.unsets(name)).map_err(&refused)?;
        let fields = Fields::parse(metadata.kind, raw).map_err(|failure| refused(failure.into()))?;
        let expires = provider.expires(&fields).or_else(|| own_expiry(provider, old).filter(|_| !new_secret));
        let draft = draft(&metadata.name, metadata.scope.clone(), fields, expires, doors);
        let verdict = if self.no_verify { None } else { Some(asked(doors, vault, provider, &draft)?) };
        let who = verdict.as_ref().and_then(|verdict| verdict.identity.clone());
        let change = self.change();
        // In one piece: nobody ever sees the new values with the old words.
        let stored = vault.put(New {
            name: metadata.name.clone(),
            scope: metadata.scope.clone(),
            fields: Fields { kind: metadata.kind, plain: draft.metadata.fields, secrets: draft.secrets },
            expires,
            tags: change.tags(&metadata.tags),
            note: change.note.unwrap_or_else(|| metadata.note.clone()),
            verdict,
            replaces: Some(metadata),
            retiring: None,
        })?;
        let who = who.map_or_else(String::new, |who| format!(": {who}"));
        doors.ui.done(&format!("Updated {}, {}{who}", typed(&stored), stored.status(doors.env.now()).word()));
        Ok(())
    }

    /// Refuses to take out what is not there.
    fn check_unset(&self, metadata: &Metadata) -> Result<(), UpdateFailure> {
        let names = || metadata.fields.keys().chain(&metadata.secret_names);
        let is_there = |unset: &&String| names().any(|name| unset.replace('-', "_") == *name || *unset == name);
        match self.unset.iter().find(|unset| !is_there(unset)) {
            None => Ok(()),
            Some(field) => {
                let has = names().map(String::as_str).collect::<Vec<_>>().join(", ");
                Err(UpdateFailure::NotThere {
                    name: typed(metadata),
                    field: ui::unless_a_token(field, "of that name").to_owned(),
                    has,
                })
            }
        }
    }

    /// Whether a field is to be taken out.
    fn unsets(&self, name: &str) -> bool {
        self.unset.iter().any(|unset| unset.replace('-', "_") == name || unset == name)
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
            let (name, value) = given.as_it_is().expose().split_once('=').ok_or(UpdateFailure::NoField)?;
            let name = field_name(metadata.kind, name);
            let value = Given::new(value.to_owned());
            let form = Form::of(metadata.kind.field(&name));
            let read = values.read(&format!("--field {name}"), &value, form)?;
            raw.set(&name, read);
        }
        Ok(raw)
    }
}

/// When a credential expires, where that is not read out of its values.
fn own_expiry(provider: &dyn Provider, old: Credential) -> Option<DateTime<Utc>> {
    let Credential { metadata, secrets } = old;
    let fields = Fields { kind: metadata.kind, plain: metadata.fields, secrets };
    metadata.expires.filter(|_| provider.expires(&fields).is_none())
}

/// The name of a field as the kind has it: hyphens are as good as underscores, but in names of the user's own.
fn field_name(kind: &Kind, name: &str) -> String {
    if kind.open.is_some() { name.to_owned() } else { name.replace('-', "_") }
}

/// Asks for each secret that it has; an empty answer keeps the old one. What has lines is not typed.
fn ask(doors: &Doors<'_>, metadata: &Metadata, changes: &mut Raw) -> Result<()> {
    let kind = metadata.kind;
    let is_kept = |field: &&Field| field.required || metadata.secret_names.contains(field.name);
    let of_kind = kind.fields.iter().filter(|field| field.class == Class::Secret).filter(is_kept);
    let (files, lines): (Vec<&Field>, Vec<&Field>) = of_kind.partition(|field| field.multiline);
    let own = metadata.secret_names.iter().filter(|name| kind.field(name).is_none());
    let lines = lines.into_iter().map(|field| (field.name, field.title));
    let asked: Vec<(&str, &str)> = lines.chain(own.map(|name| (name.as_str(), name.as_str()))).collect();
    if let ([], Some(file)) = (asked.as_slice(), files.first()) {
        return Err(UpdateFailure::NothingGiven { field: file.name }.into());
    }
    for (name, title) in asked {
        let question = format!("{title} (empty keeps the old one)");
        let value = doors.ui.hidden(&question, &format!("--field {name}=-"))?;
        if !value.expose().is_empty() {
            changes.set(name, value);
        }
    }
    for file in files {
        doors.ui.note(&format!("{} is given as --field {}=@FILE", file.title, file.name));
    }
    Ok(())
}
