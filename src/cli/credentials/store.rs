//! `credentials store`: gather the values, ask the provider, keep.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;

use super::{connect, named};
use crate::auth::session::timestamp;
use crate::cli::argv::{self, Visible};
use crate::cli::given::{Form, Given, Values};
use crate::cli::{Doors, active, vault_door};
use crate::credential::{Check, Class, Credential, Field, Fields, Metadata, Raw, Scope};
use crate::error::{Code, Failure, Result, with_causes};
use crate::provider::{self, Broken, Found, Here, Input, Outcome, Provider, ProviderError, Verdict};
use crate::secret::Secret;
use crate::text::clean;
use crate::vault::{New, Vault, VaultError, name_from, usable};

mod ask;
mod form;

/// What was given on the command line.
pub(crate) struct Args {
    provider: &'static dyn Provider,
    inputs: BTreeMap<String, Vec<String>>,
    /// `NAME=VALUE` words.
    words: Vec<Given>,
    /// The inputs that are files and come from stdin, each with the field that it gives.
    piped: Vec<(&'static Input, &'static Field)>,
    fields: Vec<(&'static Field, Given)>,
    name: Option<String>,
    replace: bool,
    no_verify: bool,
    tags: BTreeSet<String>,
    note: Option<String>,
    project: Option<String>,
}

impl fmt::Debug for Args {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "store {}", self.provider.name())
    }
}

/// Why nothing was stored.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreFailure {
    /// The provider refused it.
    #[error("not stored: {}", .0.reason.as_deref().unwrap_or("the provider refuses it"))]
    Refused(Verdict),
    /// A word is no `NAME=VALUE`.
    #[error("a variable is given as NAME=VALUE")]
    NoAssignment,
    /// The person said no.
    #[error("not stored: {0} stays as it is")]
    Declined(String),
}

impl Failure for StoreFailure {
    fn code(&self) -> Code {
        match self {
            Self::Refused(_) => Code::Invalid,
            Self::NoAssignment => Code::Usage,
            Self::Declined(_) => Code::Failed,
        }
    }

    fn mend(&self) -> Option<String> {
        match self {
            Self::Refused(verdict) => {
                let next = verdict.next.clone().unwrap_or_default();
                Some(format!("{next}; `--no-verify` stores it all the same"))
            }
            Self::NoAssignment => Some("write NAME=VALUE, NAME=- (from stdin) or NAME=@FILE".into()),
            Self::Declined(_) => Some("choose another name with `--name`".into()),
        }
    }
}

/// What was stored, as JSON shows it. The names are part of the interface.
#[derive(Serialize)]
struct Stored<'m> {
    id: &'m str,
    name: &'m str,
    kind: &'static str,
    provider: &'static str,
    replaced: bool,
    status: &'static str,
    identity: Option<&'m str>,
    expires_at: Option<String>,
    from: Option<&'m str>,
}

impl Args {
    /// Runs the command.
    pub(crate) fn run(self, doors: &Doors<'_>) -> Result<()> {
        self.hide_secrets(doors);
        let (config, profile) = active::active(doors)?;
        let clock = || doors.env.now();
        let vault = vault_door::of(doors, &config, &profile, &clock)?;
        let vault = &*vault;
        let here = Here { env: doors.env, given: &self.inputs };
        let scope = self.project.clone().map_or(Scope::Organization, Scope::Project);
        let (fields, found) = self.gather(doors, vault, &scope, &here)?;
        let name = self.name.clone().unwrap_or_else(|| {
            let found_name = found.as_ref().and_then(|found| found.name.clone());
            name_from(&found_name.unwrap_or_else(|| self.provider.default_name(&fields)))
        });
        crate::vault::check_name(&name)?;
        let old = vault.find(&scope, &name)?;
        self.confirm_replacing(doors, old.as_ref())?;
        let expires = self.provider.expires(&fields).or_else(|| found.as_ref().and_then(|found| found.expires));
        let draft = draft(&name, scope.clone(), fields, expires, doors);
        let verdict = if self.no_verify { None } else { Some(asked(doors, vault, self.provider, &draft)?) };
        let Credential { metadata, secrets } = draft;
        let fields = Fields { kind: metadata.kind, plain: metadata.fields, secrets };
        let shown = self.provider.shown_once(&fields, &here).map(Secret::duplicate);
        let stored = vault.put(New {
            name,
            scope,
            expires,
            tags: if self.tags.is_empty() {
                old.as_ref().map(|old| old.tags.clone()).unwrap_or_default()
            } else {
                self.tags
            },
            note: self.note.or_else(|| old.as_ref().map(|old| old.note.clone())).unwrap_or_default(),
            verdict: verdict.clone(),
            replaces: old.clone(),
            retiring: None,
            fields,
        })?;
        let place = found.as_ref().map(|found| found.origin.place.as_str());
        tell(doors, active::output_json(&profile), &stored, old.is_some(), verdict.as_ref(), place)?;
        if let Some(origin) = found.as_ref().map(|found| &found.origin).filter(|origin| origin.plain_text) {
            doors.ui.note(&format!("it still lies in plain text in {}", clean(&origin.place)));
        }
        shown.map_or(Ok(()), |secret| doors.ui.answer_secret("", &secret))
    }

    /// Starts the program anew where a secret stands on the command line.
    fn hide_secrets(&self, doors: &Doors<'_>) {
        let mut visible: Vec<Visible<'_>> = Vec::new();
        for (field, given) in &self.fields {
            if let (Class::Secret, Some(secret)) = (field.class, given.literal()) {
                let flag = format!("--{}", field.flag());
                visible.push(Visible { place: argv::Place::Flag { instead: format!("{flag}=@"), flag }, secret });
            }
        }
        let pairs: Vec<(String, Given)> = self.words.iter().filter_map(assignment).collect();
        for (name, given) in &pairs {
            if let Some(secret) = given.literal() {
                visible.push(Visible { place: argv::Place::Assignment { name: name.clone() }, secret });
            }
        }
        if !visible.is_empty() {
            doors
                .ui
                .warn("others could see a secret on the command line; give - (stdin) or @FILE instead of the value");
            argv::hide(&visible);
        }
    }

    /// The values: from the flags, else from what the official tool has, else asked for.
    fn gather(
        &self,
        doors: &Doors<'_>,
        vault: &dyn Vault,
        scope: &Scope,
        here: &Here<'_>,
    ) -> Result<(Fields, Option<Found>)> {
        let mut raw = self.given(doors)?;
        let provider = self.provider;
        if provider.signs_in() {
            let kind = provider.complete(&mut raw, here)?;
            connect::connect(doors, &connect::Wish::of(here), &mut raw)?;
            return Ok((Fields::parse(kind, raw)?, None));
        }
        let class = |name: &str| provider.kinds().iter().find_map(|kind| kind.field(name)).map(|field| field.class);
        let gives_a_secret = raw.names().any(|name| class(name) != Some(Class::Plain));
        let mut found = None;
        if !gives_a_secret && !provider.is_told(&raw) {
            found = self.choose(doors, discovered(doors, provider, here)?)?;
            if let Some(found) = &mut found {
                raw.fill_from(std::mem::take(&mut found.raw));
            }
        }
        let mut kind = provider.complete(&mut raw, here)?;
        if let Some(found) = &found
            && !raw.missing(kind).is_empty()
        {
            kind = found.kind;
        }
        ask::Asker { doors, vault, scope, provider, here }.fill(kind, &mut raw)?;
        let kind = if found.is_some() { kind } else { provider.complete(&mut raw, here)? };
        Ok((Fields::parse(kind, raw)?, found))
    }

    fn given(&self, doors: &Doors<'_>) -> Result<Raw> {
        let values = Values::new(doors.env);
        let mut raw = Raw::new();
        for (field, given) in &self.fields {
            raw.set(field.name, values.read(&format!("--{}", field.flag()), given, Form::of(Some(field)))?);
        }
        for (input, field) in &self.piped {
            let stdin = Given::new("-".into());
            raw.set(field.name, values.read(&format!("--{}", input.name), &stdin, Form::of(Some(field)))?);
        }
        for word in &self.words {
            let (name, given) = assignment(word).ok_or(StoreFailure::NoAssignment)?;
            raw.set(&name, values.read(&name, &given, Form::Text)?);
        }
        Ok(raw)
    }

    /// The one that is meant of those that lie on this machine. The first is what the official tool would use.
    fn choose(&self, doors: &Doors<'_>, mut found: Vec<Found>) -> Result<Option<Found>> {
        if found.len() < 2 || !doors.ui.is_interactive() {
            return Ok((!found.is_empty()).then(|| found.swap_remove(0)));
        }
        let title = |found: &Found| {
            let name = found.name.as_deref().map_or_else(String::new, |name| format!("{}: ", clean(name)));
            format!("{name}{}, from {}", found.kind.title, clean(&found.origin.place))
        };
        let items: Vec<String> = found.iter().map(title).collect();
        let flag = self.provider.inputs().first().map_or_else(|| "--name".into(), |input| format!("--{}", input.name));
        let chosen = doors.ui.choose("Which one shall be stored?", &items, &flag)?;
        Ok(Some(found.swap_remove(chosen)))
    }

    fn confirm_replacing(&self, doors: &Doors<'_>, old: Option<&Metadata>) -> Result<()> {
        let Some(old) = old else { return Ok(()) };
        if self.replace {
            return Ok(());
        }
        if !doors.ui.is_interactive() {
            return Err(VaultError::Taken { name: old.name.clone() }.into());
        }
        let question = format!("There is a credential {} ({}) already. Replace it?", old.name, old.kind.title);
        if doors.ui.confirm(&question, true, "--replace")? {
            return Ok(());
        }
        Err(StoreFailure::Declined(old.name.clone()).into())
    }
}

/// What lies on this machine. A broken place is a warning where something else can be chosen.
fn discovered(doors: &Doors<'_>, provider: &dyn Provider, here: &Here<'_>) -> Result<Vec<Found>, ProviderError> {
    let mut all = provider.discover(here);
    let refusal = all.refusal();
    for Broken { failure, .. } in &all.broken {
        doors.ui.warn(&format!("passed over: {}", clean(&with_causes(failure))));
        if let Some(next) = failure.mend() {
            doors.ui.say(&format!("  next: {}", clean(&next)));
        }
    }
    refusal.map_or(Ok(all.found), Err)
}

/// `NAME=VALUE` taken apart.
fn assignment(word: &Given) -> Option<(String, Given)> {
    let (name, value) = word.as_it_is().expose().split_once('=')?;
    Some((name.to_owned(), Given::new(value.to_owned())))
}

/// A credential that is not stored yet.
pub(crate) fn draft(
    name: &str,
    scope: Scope,
    fields: Fields,
    expires: Option<chrono::DateTime<chrono::Utc>>,
    doors: &Doors<'_>,
) -> Credential {
    let now = doors.env.now();
    let Fields { kind, plain, secrets } = fields;
    let metadata = Metadata {
        id: String::new(),
        name: name.to_owned(),
        kind,
        scope,
        fields: plain,
        secret_names: secrets.keys().cloned().collect(),
        created: now,
        updated: now,
        used: None,
        verified: None,
        expires,
        check: Check::Never,
        tags: BTreeSet::new(),
        note: String::new(),
        version: 1,
    };
    Credential { metadata, secrets }
}

/// What the provider says of a credential that is not stored yet. A refusal is a failure; an answer that says nothing
/// about it is a warning.
pub(crate) fn asked(
    doors: &Doors<'_>,
    vault: &dyn Vault,
    provider: &'static dyn Provider,
    draft: &Credential,
) -> Result<Verdict> {
    let net = vault_door::net(doors);
    let source = match usable::source(vault, draft, &net) {
        Ok(source) => source,
        Err(VaultError::Unknown { name, .. }) => {
            let name = (draft.metadata.name.clone(), name);
            return Err(ProviderError::NoSource { name: name.0, source_name: name.1 }.into());
        }
        Err(VaultError::Provider(failure)) => {
            let verdict = failure.into_verdict(provider.title());
            return settle(doors, provider, verdict);
        }
        Err(failure) => return Err(failure.into()),
    };
    settle(doors, provider, provider::verify(provider, draft, source.as_ref(), &net))
}

fn settle(doors: &Doors<'_>, provider: &'static dyn Provider, verdict: Verdict) -> Result<Verdict> {
    if verdict.outcome.is_refusal() {
        return Err(StoreFailure::Refused(verdict).into());
    }
    let reason = verdict.reason.as_deref().unwrap_or_default();
    match verdict.outcome {
        Outcome::Valid | Outcome::CannotBeAsked => {}
        Outcome::Insufficient => doors.ui.warn(reason),
        _ => doors.ui.warn(&format!("not verified with {}: {reason}", provider.title())),
    }
    Ok(verdict)
}

/// Tells what was stored.
fn tell(
    doors: &Doors<'_>,
    json: bool,
    stored: &Metadata,
    replaced: bool,
    verdict: Option<&Verdict>,
    from: Option<&str>,
) -> Result<()> {
    let status = stored.status(doors.env.now());
    let identity = verdict.and_then(|verdict| verdict.identity.as_deref());
    if json {
        return doors.ui.answer_json(&Stored {
            id: &stored.id,
            name: &stored.name,
            kind: stored.kind.id,
            provider: stored.kind.provider,
            replaced,
            status: status.word(),
            identity,
            expires_at: stored.expires.map(timestamp),
            from,
        });
    }
    let what = if replaced { "Replaced" } else { "Stored" };
    let who = identity.map_or_else(String::new, |identity| format!(": {identity}"));
    let from = from.map_or_else(String::new, |from| format!(", from {}", clean(from)));
    let name = named::typed(stored);
    doors.ui.done(&format!("{what} {} ({}{from}), {}{who}", clean(&name), stored.kind.title, status.word()));
    Ok(())
}
