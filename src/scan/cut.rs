//! Taking a credential out of the place it lies in: the file that holds nothing else goes as a whole, an entry is cut
//! out of its file, and every other byte is kept.
//!
//! What cannot be cut for certain is left, and it is told why. The new content takes the old one's place by a rename, so
//! that a crash leaves the one or the other.

use std::ops::Range;
use std::path::Path;

use zeroize::Zeroizing;

use super::finding::{Source, Spot};
use super::readers::Rights;
use super::sight::{Sort, basic_pair};
use crate::credential::{Class, Fields};
use crate::os::files::{self, FileError};
use crate::text::clean;

mod ini;
mod json;
mod lines;
mod netrc;
mod toml;

/// How a credential was taken out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removed {
    /// The file held nothing else, and is gone.
    File,
    /// Its entry is gone from the file.
    Entry,
}

/// Why a credential was left where it lies.
#[derive(Debug, thiserror::Error)]
pub enum Left {
    /// Nobody can take a variable out of the process that set it.
    #[error("{0} is set by whatever started this shell")]
    Variable(String),
    /// A tool gives it out and keeps it in its own way.
    #[error("{0} keeps it")]
    Tool(String),
    /// The file is reached through a link, so that it is not clear whose it is.
    #[error("{0} is a symbolic link")]
    Link(String),
    /// The file has another name, under which everything would stay.
    #[error("{0} has a second name (hard link)")]
    SecondName(String),
    /// The file is not what it was when it was read.
    #[error("{0} was changed meanwhile")]
    Changed(String),
    /// There is no safe way to cut something out of such a file.
    #[error("{place} is no file that an entry can be cut out of: {why}")]
    Unknown {
        /// The file.
        place: String,
        /// Why not.
        why: &'static str,
    },
    /// The secret stands there in another form than as a value of its own.
    #[error("{0} holds it in a way that cannot be cut out alone")]
    Woven(String),
    /// The system refused.
    #[error(transparent)]
    File(#[from] FileError),
}

impl Left {
    /// What to do by hand.
    pub fn next(&self) -> String {
        match self {
            Self::Variable(name) => format!(
                "remove the line that sets {}, in a start-up file of the shell or in the CI's settings, and open a new \
                 shell",
                name.trim_start_matches('$')
            ),
            Self::Tool(_) => "sign out with that tool, if nothing else needs it".into(),
            Self::Link(place) => format!("look where it leads (`ls -l {place}`), and remove the entry there"),
            Self::SecondName(place) => format!("find the other name (`find / -samefile {place}`), and remove both"),
            Self::Changed(_) => "run the scan again".into(),
            Self::Unknown { place, .. } | Self::Woven(place) => format!("edit {place} by hand"),
            Self::File(failure) => crate::error::Failure::mend(failure).unwrap_or_default(),
        }
    }
}

/// The values that are to go.
pub(super) struct Unwanted {
    secrets: Vec<Zeroizing<String>>,
    identifiers: Vec<String>,
}

impl Unwanted {
    /// The secrets of a credential, and the public halves of its pairs.
    pub(super) fn of(fields: &Fields) -> Self {
        let secrets = fields.secrets.values().map(|secret| Zeroizing::new(secret.expose().trim().to_owned()));
        let identifiers = fields.plain.iter().filter(|(name, _)| fields.kind.class(name) == Class::Identifier);
        Self {
            secrets: secrets.filter(|secret| !secret.is_empty()).collect(),
            identifiers: identifiers.map(|(_, value)| value.clone()).collect(),
        }
    }

    /// Whether a value is one of the secrets, or holds one as the password of a pair in base64.
    fn is(&self, value: &str) -> bool {
        let value = value.trim();
        let is_one = |value: &str| self.secrets.iter().any(|secret| secret.as_str() == value);
        let as_pair = || {
            let pair = basic_pair(value)?;
            let (_, password) = pair.split_once(':')?;
            Some(is_one(password))
        };
        is_one(value) || as_pair().unwrap_or(false)
    }

    /// Whether a value is the public half of a pair whose secret goes.
    fn belongs(&self, value: &str) -> bool {
        self.identifiers.iter().any(|identifier| identifier == value.trim())
    }

    /// Whether a secret still stands somewhere in a text.
    fn stands_in(&self, text: &str) -> bool {
        self.secrets.iter().any(|secret| text.contains(secret.as_str()))
    }
}

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Dotenv,
    Shell,
    Ini,
    Json,
    Toml,
    Netrc,
    GitCredentials,
}

/// What the next cut takes away; `None` where nothing unwanted is left. An error says why it cannot be cut.
type Piece = Result<Option<Range<usize>>, &'static str>;

impl Format {
    /// The format of a file, by its name and, for names that many use, by its first character.
    pub(super) fn of(path: &Path, text: &str) -> Option<Self> {
        let name = path.file_name()?.to_string_lossy().to_ascii_lowercase();
        let folder = path.parent().and_then(Path::file_name).map(|name| name.to_string_lossy().to_ascii_lowercase());
        let folder = folder.unwrap_or_default();
        let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
        match (name.as_str(), Sort::of(&name)) {
            (".netrc" | "_netrc", _) => Some(Self::Netrc),
            (".git-credentials", _) => Some(Self::GitCredentials),
            ("credentials", _) if folder == "git" => Some(Self::GitCredentials),
            ("credentials", _) if folder == ".cargo" => Some(Self::Toml),
            (_, Sort::Assignments) => Some(Self::Dotenv),
            (_, Sort::Shell) => Some(Self::Shell),
            (".npmrc" | ".pypirc" | ".s3cfg" | ".boto", _) => Some(Self::Ini),
            ("credentials" | "config", _) if starts_with_section(text) => Some(Self::Ini),
            _ => match ending {
                "toml" => Some(Self::Toml),
                "ini" | "cfg" | "conf" | "cnf" | "properties" => Some(Self::Ini),
                "sh" | "bash" | "zsh" => Some(Self::Shell),
                "json" => Some(Self::Json),
                _ if text.trim_start().starts_with('{') => Some(Self::Json),
                _ => None,
            },
        }
    }

    fn piece(self, text: &str, unwanted: &Unwanted) -> Piece {
        match self {
            Self::Dotenv => lines::of_dotenv(text, unwanted),
            Self::Shell => lines::of_shell(text, unwanted),
            Self::GitCredentials => Ok(lines::of_git_credentials(text, unwanted)),
            Self::Ini => ini::piece(text, unwanted),
            Self::Json => json::piece(text, unwanted),
            Self::Toml => toml::piece(text, unwanted),
            Self::Netrc => netrc::piece(text, unwanted),
        }
    }
}

/// Whether the first line that says something is the head of a section.
fn starts_with_section(text: &str) -> bool {
    let mut lines = text.lines().map(|line| line.trim_start_matches('\u{feff}').trim());
    lines.find(|line| !line.is_empty() && !line.starts_with(['#', ';'])).is_some_and(|line| line.starts_with('['))
}

/// The text without the unwanted values; `None` where they are not in it.
pub(super) fn without(
    format: Format,
    text: &str,
    unwanted: &Unwanted,
) -> Result<Option<Zeroizing<String>>, &'static str> {
    let mut rest = Zeroizing::new(text.to_owned());
    let mut is_cut = false;
    while let Some(piece) = format.piece(&rest, unwanted)? {
        let (Some(before), Some(after)) = (rest.get(..piece.start), rest.get(piece.end..)) else {
            return Err("its parts cannot be told apart");
        };
        let shorter = Zeroizing::new([before, after].concat());
        if shorter.len() >= rest.len() {
            return Err("its parts cannot be told apart");
        }
        rest = shorter;
        is_cut = true;
    }
    if unwanted.stands_in(&rest) {
        return Err("the secret stands in it outside of a value of its own");
    }
    Ok(is_cut.then_some(rest))
}

/// Takes a credential out of the place it lies in.
pub fn remove(spot: &Spot, fields: &Fields) -> Result<Removed, Left> {
    let path = match (spot.source, &spot.path) {
        (Source::Variable, _) => return Err(Left::Variable(spot.place.clone())),
        (Source::Tool, _) | (_, None) => return Err(Left::Tool(spot.place.clone())),
        (Source::File, Some(path)) => path,
    };
    let place = || clean(&path.display().to_string());
    let found = std::fs::symlink_metadata(path).map_err(|_| Left::Changed(place()))?;
    if found.is_symlink() {
        return Err(Left::Link(place()));
    }
    if has_second_name(&found) {
        return Err(Left::SecondName(place()));
    }
    if spot.whole_file {
        if Some(Rights::of(&found).stamp) != spot.stamp {
            return Err(Left::Changed(place()));
        }
        files::remove(path)?;
        return Ok(Removed::File);
    }
    let bytes = files::read(path)?.map(Zeroizing::new).ok_or_else(|| Left::Changed(place()))?;
    let unknown = |why| Left::Unknown { place: place(), why };
    let text = std::str::from_utf8(&bytes).map_err(|_| unknown("it is no UTF-8 text"))?;
    let format = Format::of(path, text).ok_or_else(|| unknown("its format is none of those that lanyard knows"))?;
    let rest = without(format, text, &Unwanted::of(fields)).map_err(unknown)?;
    let Some(rest) = rest else {
        // Gone with another credential's values, or never there in a form of which a cut could be sure.
        let is_untouched = Some(Rights::of(&found).stamp) == spot.stamp;
        return if is_untouched { Err(Left::Woven(place())) } else { Ok(Removed::Entry) };
    };
    files::exchange(path, &found, rest.as_bytes())?;
    Ok(Removed::Entry)
}

#[cfg(unix)]
fn has_second_name(found: &std::fs::Metadata) -> bool {
    std::os::unix::fs::MetadataExt::nlink(found) > 1
}

#[cfg(not(unix))]
fn has_second_name(_: &std::fs::Metadata) -> bool {
    false
}

#[cfg(test)]
mod tests;
