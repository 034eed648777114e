//! The values that are missing: what the vault can answer is not asked, the rest is asked for with a word of guidance.

use crate::cli::Doors;
use crate::cli::given::{Form, Given, Values};
use crate::credential::{Class, Field, Kind, Metadata, Raw, Scope};
use crate::error::{Code, Failure, Result};
use crate::provider::{self, Guide, Here, Provider};
use crate::secret::Secret;
use crate::text::{clean, printable};
use crate::vault::{Vault, usable};

/// The field that names the credential through which another one is used.
const SOURCE: &str = "source";

/// Nothing is stored through which the credential could be used.
#[derive(Debug, thiserror::Error)]
#[error("the {kind} is used through another credential ({sources}), and none is stored")]
struct NoneStored {
    kind: &'static str,
    sources: String,
    provider: &'static str,
}

impl NoneStored {
    fn of(kind: &Kind, guide: &Guide) -> Self {
        let known = guide.sources.iter().filter_map(|id| Some(provider::by_kind(id)?.1));
        let sources = known.clone().map(|kind| kind.title).collect::<Vec<_>>().join(" or ");
        Self { kind: kind.title, sources, provider: known.map(|kind| kind.provider).next().unwrap_or_default() }
    }
}

impl Failure for NoneStored {
    fn code(&self) -> Code {
        Code::Usage
    }

    fn mend(&self) -> Option<String> {
        Some(format!("`lanyard credentials store {}`, then this again", self.provider))
    }
}

/// Where the values come from.
pub(super) struct Asker<'a> {
    pub(super) doors: &'a Doors<'a>,
    pub(super) vault: &'a dyn Vault,
    /// Where the credential will be kept, from where its source is seen.
    pub(super) scope: &'a Scope,
    pub(super) provider: &'static dyn Provider,
    pub(super) here: &'a Here<'a>,
}

impl Asker<'_> {
    /// Fills in what `kind` lacks.
    pub(super) fn fill(&self, kind: &'static Kind, raw: &mut Raw) -> Result<()> {
        let missing = raw.missing(kind);
        if missing.is_empty() {
            return Ok(());
        }
        let guide = self.provider.guide(raw);
        let is_through = missing.contains(&SOURCE) && !guide.sources.is_empty();
        let sources = if is_through { self.sources(&guide)? } else { Vec::new() };
        if let [only] = sources.as_slice() {
            self.doors.ui.note(&format!("{} is used through {}", kind.title, clean(&only.name)));
            raw.plain(SOURCE, &only.name);
        }
        if let Some(hint) = guide.hint.as_ref().filter(|_| !raw.missing(kind).is_empty()) {
            // A host may be long, and the hint is worth its lines.
            self.doors.ui.note(&printable(hint));
        }
        if is_through && sources.is_empty() {
            return Err(NoneStored::of(kind, &guide).into());
        }
        if let Some((name, question)) = guide.file.filter(|(name, _)| missing.contains(name)) {
            self.file(kind, name, question, raw)?;
            self.provider.complete(raw, self.here)?;
        }
        for name in missing {
            match name {
                _ if raw.has(name) => {}
                SOURCE if is_through => self.choose(kind, &sources, raw)?,
                _ => self.ask(kind, name, raw)?,
            }
        }
        Ok(())
    }

    /// The stored credentials that it can be used through.
    fn sources(&self, guide: &Guide) -> Result<Vec<Metadata>> {
        let mut sources = Vec::new();
        for stored in self.vault.list()? {
            // One that another of its name hides is not seen from where this one will be.
            if guide.sources.contains(&stored.kind.id)
                && usable::find(self.vault, self.scope, &stored.name)?.is_some_and(|seen| seen.id == stored.id)
            {
                sources.push(stored);
            }
        }
        Ok(sources)
    }

    /// Lets the person choose the one that it is used through.
    fn choose(&self, kind: &'static Kind, sources: &[Metadata], raw: &mut Raw) -> Result<()> {
        let Some(field) = kind.field(SOURCE) else { return Ok(()) };
        let items: Vec<String> = sources.iter().map(|one| format!("{}: {}", one.name, one.kind.title)).collect();
        let names: Vec<&str> = sources.iter().map(|one| one.name.as_str()).collect();
        let flag = format!("--{} with one of {}", field.flag(), names.join(", "));
        let chosen = self.doors.ui.choose(field.title, &items, &flag)?;
        if let Some(chosen) = sources.get(chosen) {
            raw.plain(SOURCE, &chosen.name);
        }
        Ok(())
    }

    /// Asks for the file that holds a value, and reads it.
    fn file(&self, kind: &'static Kind, name: &str, question: &str, raw: &mut Raw) -> Result<()> {
        let flag = kind.field(name).map_or_else(|| name.to_owned(), Field::flag);
        let path = self.doors.ui.input(question, None, &format!("--{flag} @FILE"))?;
        let given = Given::new(format!("@{}", path.strip_prefix('@').unwrap_or(&path)));
        let value = Values::new(self.doors.env).read(&format!("--{flag}"), &given, Form::of(kind.field(name)))?;
        raw.set(name, value);
        Ok(())
    }

    /// Asks for a value.
    fn ask(&self, kind: &'static Kind, name: &str, raw: &mut Raw) -> Result<()> {
        let Some(field) = kind.field(name) else { return Ok(()) };
        let flag = format!("--{0} VALUE, --{0} - or --{0} @FILE", field.flag());
        let value = match field.class {
            Class::Secret => self.doors.ui.hidden(field.title, &flag)?,
            Class::Plain | Class::Identifier => Secret::new(self.doors.ui.input(field.title, None, &flag)?),
        };
        raw.set(name, value);
        Ok(())
    }
}
