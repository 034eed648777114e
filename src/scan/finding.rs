//! One credential that was found, with every place it lies in.

use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};

use super::readers::{Readers, Rights, Stamp, Ways};
use super::shown;
use super::sight::Sighting;
use crate::credential::{Class, Fields, Kind, Raw, mask_identifier, mask_secret};
use crate::os::files;
use crate::provider::{Here, Origin, Outcome, Provider, Verdict};
use crate::text::clean;

/// A credential that lies on this machine.
pub struct Finding {
    /// Its provider.
    pub provider: &'static dyn Provider,
    /// What it is.
    pub kind: &'static Kind,
    /// The name that it would get in the vault: not yet one that is free there.
    pub name: String,
    /// Its values; or what is wrong with them, in a sentence without any of them.
    pub fields: Result<Fields, String>,
    /// The required values that were not found.
    pub missing: Vec<&'static str>,
    /// What may be seen of each value, by its field.
    pub masked: Vec<(String, String)>,
    /// Where it lies. The first is the worst.
    pub spots: Vec<Spot>,
    /// When it expires, where that is known.
    pub expires: Option<DateTime<Utc>>,
    /// What its provider said, where it was asked.
    pub verdict: Option<Verdict>,
}

/// What sort of place a credential lies in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// A file.
    File,
    /// A variable of the environment.
    Variable,
    /// An official tool gives it out.
    Tool,
}

impl Source {
    /// The word in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Variable => "variable",
            Self::Tool => "tool",
        }
    }
}

/// One place that a credential lies in.
#[derive(Debug, Clone)]
pub struct Spot {
    /// The place as a person reads it, cleaned: `~/.aws/credentials:3 [default]`.
    pub place: String,
    /// What sort of place it is.
    pub source: Source,
    /// The file, where it is one.
    pub path: Option<PathBuf>,
    /// The line, where it is known.
    pub line: Option<usize>,
    /// What tells it from others in the same file, in the words of the tool: `[default]`.
    pub entry: String,
    /// Whether anybody who can read the place can read the secret.
    pub plain_text: bool,
    /// Whether the file holds nothing else.
    pub whole_file: bool,
    /// Who can read it.
    pub readers: Readers,
    /// The mode of the file, where the system has such.
    pub mode: Option<u32>,
    /// What the file was when it was read.
    pub(super) stamp: Option<Stamp>,
}

/// What was found once, before it is known whether it is the same as something else.
pub(super) struct Draft {
    pub(super) kind: &'static Kind,
    pub(super) raw: Raw,
    pub(super) name: Option<String>,
    pub(super) spot: Spot,
    pub(super) expires: Option<DateTime<Utc>>,
    /// Whether nothing but a variable's name says that it is a secret.
    pub(super) is_guess: bool,
    /// Whether it was seen in a text, rather than read as its tool reads it.
    pub(super) is_sighting: bool,
}

impl Draft {
    /// What was seen in a text.
    pub(super) fn of_sighting(sighting: Sighting, mut spot: Spot) -> Self {
        let Sighting { kind, raw, variable, is_guess, .. } = sighting;
        if spot.source == Source::File
            && let Some(variable) = &variable
        {
            spot.entry = clean(variable);
        }
        let name = variable.filter(|_| kind.open.is_some()).map(|name| name.to_lowercase().replace('_', "-"));
        Self { kind, raw, name, spot, expires: None, is_guess, is_sighting: true }
    }
}

impl Spot {
    /// A line of a file that was walked over.
    pub(super) fn of_walk(here: &Here<'_>, path: &Path, rights: &Rights, line: usize) -> Self {
        Self {
            line: Some(line),
            stamp: Some(rights.stamp),
            mode: cfg!(unix).then_some(rights.mode),
            ..Self::at(shown(here, path), Source::File, Some(path.to_owned()))
        }
    }

    /// A variable of this process.
    pub(super) fn of_variable(name: &str) -> Self {
        Self::at(clean(&format!("${name}")), Source::Variable, None)
    }

    /// Where a provider found something.
    pub(super) fn of_origin(here: &Here<'_>, origin: Origin, kind: &Kind, raw: &Raw) -> Self {
        let Origin { place, path, plain_text, whole_file } = origin;
        let source = match (&path, place.starts_with('$')) {
            (Some(_), _) => Source::File,
            (None, true) => Source::Variable,
            (None, false) => Source::Tool,
        };
        let rights = path.as_deref().and_then(|path| std::fs::metadata(path).ok()).map(|found| Rights::of(&found));
        let line = path.as_deref().filter(|_| plain_text).and_then(|path| line_of(path, kind, raw));
        let file = path.as_deref().map(|path| shown(here, path));
        let entry = file.as_ref().and_then(|file| clean(&place).strip_prefix(file).map(|rest| rest.trim().to_owned()));
        Self {
            line,
            entry: entry.unwrap_or_default(),
            plain_text,
            whole_file,
            stamp: rights.map(|rights| rights.stamp),
            mode: rights.map(|rights| rights.mode).filter(|_| cfg!(unix)),
            ..Self::at(file.unwrap_or_else(|| clean(&place)), source, path)
        }
    }

    fn at(place: String, source: Source, path: Option<PathBuf>) -> Self {
        Self {
            place,
            source,
            path,
            line: None,
            entry: String::new(),
            plain_text: source != Source::Tool,
            whole_file: false,
            readers: Readers::You,
            mode: None,
            stamp: None,
        }
    }

    /// Finds out who can read it, and puts line and entry behind the file's name.
    pub(super) fn finish(&mut self, ways: &mut Ways) {
        if let (Some(path), Some(mode)) = (&self.path, self.mode) {
            self.readers = ways.readers(path, mode);
        }
        if let Some(line) = self.line {
            self.place = format!("{}:{line}", self.place);
        }
        if !self.entry.is_empty() {
            self.place = format!("{} {}", self.place, self.entry);
        }
    }

    /// How bad it is that a secret lies here.
    fn severity(&self) -> (bool, Readers) {
        (self.plain_text, self.readers)
    }

    /// Whether both are the same place.
    pub(super) fn is(&self, other: &Self) -> bool {
        match (&self.path, &other.path) {
            (Some(one), Some(other_path)) => {
                one == other_path
                    && (self.line.is_none() || other.line.is_none() || self.line == other.line || self.whole_file)
            }
            (None, None) => self.place == other.place,
            _ => false,
        }
    }
}

/// The line of a file in which a secret stands as it is.
fn line_of(path: &Path, kind: &Kind, raw: &Raw) -> Option<usize> {
    let bytes = zeroize::Zeroizing::new(files::read(path).ok()??);
    let text = std::str::from_utf8(&bytes).ok()?;
    let secrets = raw.names().filter(|name| kind.class(name) == Class::Secret).filter_map(|name| raw.get(name));
    let first = secrets
        .filter_map(|secret| secret.expose().lines().next().filter(|line| !line.is_empty()))
        .find_map(|secret| text.find(secret))?;
    Some(1 + text.get(..first)?.bytes().filter(|byte| *byte == b'\n').count())
}

/// What its provider says of a finding, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Life {
    /// The provider refuses it.
    Invalid,
    /// Its time is over.
    Expired,
    /// The provider was not asked, or said nothing about it.
    Unknown,
    /// The provider accepts it.
    Live,
}

impl Life {
    /// The word in lists and in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::Expired => "expired",
            Self::Unknown => "unknown",
            Self::Live => "live",
        }
    }
}

impl Finding {
    /// Whether it is alive, as far as is known.
    pub fn life(&self, now: DateTime<Utc>) -> Life {
        match self.verdict.as_ref().map(|verdict| verdict.outcome) {
            Some(Outcome::Valid | Outcome::Insufficient) => Life::Live,
            Some(Outcome::Invalid) => Life::Invalid,
            Some(Outcome::Expired) => Life::Expired,
            _ if self.expires.is_some_and(|at| at <= now) && !self.kind.renews_itself => Life::Expired,
            _ => Life::Unknown,
        }
    }

    /// How much it wants to be acted upon: what is alive and can be read by everybody most of all.
    pub fn urgency(&self, now: DateTime<Utc>) -> (Life, bool, Readers) {
        let (plain, readers) = self.spots.first().map_or((false, Readers::You), Spot::severity);
        (self.life(now), plain, readers)
    }

    /// A second copy of its values, where they are complete.
    pub fn copy(&self) -> Option<Fields> {
        let fields = self.fields.as_ref().ok()?;
        let secrets = fields.secrets.iter().map(|(name, value)| (name.clone(), value.duplicate())).collect();
        Some(Fields { kind: fields.kind, plain: fields.plain.clone(), secrets })
    }

    /// Whether it can go into the vault.
    pub fn is_importable(&self) -> bool {
        self.fields.is_ok()
    }

    /// The system it is for, as a person calls it.
    pub fn service(&self) -> String {
        let told = self.masked.iter().find(|(name, _)| name == "service");
        told.map_or_else(|| self.kind.provider.to_owned(), |(_, service)| service.clone())
    }

    /// What may be seen of it: of a pair its public half, else the end of the secret.
    pub fn shown(&self) -> &str {
        let of = |class| {
            let of_class = |(name, _): &&(String, String)| self.kind.class(name) == class;
            self.masked.iter().find(of_class).map(|(_, masked)| masked.as_str())
        };
        of(Class::Identifier).or_else(|| of(Class::Secret)).or_else(|| of(Class::Plain)).unwrap_or("****")
    }

    /// Puts the worst place first.
    pub(super) fn sort_spots(&mut self) {
        self.spots
            .sort_by(|one, other| other.severity().cmp(&one.severity()).then_with(|| one.place.cmp(&other.place)));
    }
}

/// What may be seen of each value.
pub(super) fn masked(kind: &Kind, raw: &Raw) -> Vec<(String, String)> {
    let mask = |name: &str| {
        let value = raw.get(name)?.expose();
        let masked = match kind.class(name) {
            Class::Plain => clean(value),
            Class::Identifier => clean(&mask_identifier(value)),
            Class::Secret => mask_secret(value),
        };
        Some((name.to_owned(), masked))
    };
    // In the order of the kind, which is that in which people know them; then names of the user's own.
    let known = kind.fields.iter().map(|field| field.name);
    let own = raw.names().filter(|name| kind.field(name).is_none());
    known.chain(own).filter_map(mask).collect()
}
