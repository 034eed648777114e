//! Values given on the command line: as they are, from stdin (`-`), or from a file (`@FILE`).

use std::cell::Cell;
use std::io::Read;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::builder::{StringValueParser, TypedValueParser};
use zeroize::Zeroizing;

use crate::credential::Field;
use crate::error::{Code, Failure, Result};
use crate::os::Env;
use crate::secret::Secret;

/// The largest value read, in bytes: a file of 1 MiB, and what base64 adds to it.
const MOST: u64 = 2 << 20;

/// A value from the command line, which `Debug` does not show.
#[derive(Debug)]
pub(super) struct Given(Secret);

impl Clone for Given {
    fn clone(&self) -> Self {
        Self(self.0.duplicate())
    }
}

/// Reads such a value.
pub(super) fn parser() -> impl TypedValueParser<Value = Given> {
    StringValueParser::new().map(|value| Given(Secret::new(value)))
}

/// Why a value could not be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum GivenError {
    /// Two values were to come from stdin.
    #[error("stdin can give one value, and {flag} is the second that wants it")]
    StdinTwice {
        /// The flag.
        flag: String,
    },
    /// The file or stdin could not be read.
    #[error("cannot read the value of {flag}")]
    Unreadable {
        /// The flag.
        flag: String,
        /// What the system said.
        #[source]
        cause: std::io::Error,
    },
    /// A file that was named could not be read.
    #[error("cannot read {place}")]
    NoFile {
        /// The file, or stdin.
        place: String,
        /// What the system said.
        #[source]
        cause: std::io::Error,
    },
    /// A file that was named is larger than it can be.
    #[error("{place} is larger than 2 MiB")]
    LargeFile {
        /// The file, or stdin.
        place: String,
    },
    /// More than a value can be.
    #[error("the value of {flag} is larger than 2 MiB")]
    TooLarge {
        /// The flag.
        flag: String,
    },
}

impl Failure for GivenError {
    fn code(&self) -> Code {
        Code::Usage
    }

    fn mend(&self) -> Option<String> {
        Some(match self {
            Self::StdinTwice { flag } => format!("give one of them as `{flag} @FILE`"),
            Self::Unreadable { .. } => "pipe the value in, or name a file of text that you may read".into(),
            Self::NoFile { .. } => "name a file of text that you may read, or - for stdin".into(),
            Self::TooLarge { .. } | Self::LargeFile { .. } => "check that it is the right file".into(),
        })
    }
}

impl Given {
    /// A value as it is.
    pub(super) fn new(value: String) -> Self {
        Self(Secret::new(value))
    }

    /// What was written, whatever it says.
    pub(super) fn as_it_is(&self) -> &Secret {
        &self.0
    }

    /// The value itself, where it stands on the command line.
    pub(super) fn literal(&self) -> Option<&Secret> {
        let text = self.0.expose();
        (text != "-" && !text.starts_with('@')).then_some(&self.0)
    }
}

/// What a file or stdin holds of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// One line; the break at its end is none of it.
    Line,
    /// Lines.
    Text,
    /// Bytes, of which the value is made in base64.
    Bytes,
}

impl Form {
    /// The form of a field's values; of names beyond the fields, lines.
    pub(super) fn of(field: Option<&Field>) -> Self {
        match field {
            Some(field) if field.binary => Self::Bytes,
            Some(field) if !field.multiline => Self::Line,
            _ => Self::Text,
        }
    }
}

/// Reads values; stdin can be asked once.
pub(super) struct Values<'a> {
    env: &'a Env,
    stdin_used: Cell<bool>,
}

impl<'a> Values<'a> {
    /// Nothing was read yet.
    pub(super) fn new(env: &'a Env) -> Self {
        Self { env, stdin_used: Cell::new(false) }
    }

    /// The value that was given for `flag`.
    pub(super) fn read(&self, flag: &str, given: &Given, form: Form) -> Result<Secret> {
        let text = given.0.expose();
        let unreadable = |cause| GivenError::Unreadable { flag: flag.to_owned(), cause };
        let value = if text == "-" {
            if self.stdin_used.replace(true) {
                return Err(GivenError::StdinTwice { flag: flag.to_owned() }.into());
            }
            whole(flag, &mut std::io::stdin().lock(), form)?
        } else if let Some(path) = text.strip_prefix('@') {
            let path: PathBuf = self.env.working_dir().join(self.env.expand_home(path));
            let mut file = std::fs::File::open(Path::new(&path)).map_err(unreadable)?;
            whole(flag, &mut file, form)?
        } else {
            return Ok(given.0.duplicate());
        };
        if form != Form::Line {
            return Ok(value);
        }
        let line =
            value.expose().strip_suffix('\n').map_or(value.expose(), |line| line.strip_suffix('\r').unwrap_or(line));
        Ok(Secret::new(line.to_owned()))
    }
}

/// All that a reader gives, as text.
fn whole(flag: &str, reader: &mut dyn Read, form: Form) -> Result<Secret> {
    let unreadable = |cause| GivenError::Unreadable { flag: flag.to_owned(), cause };
    let mut bytes = Zeroizing::new(Vec::with_capacity(16 << 10));
    let read = reader.take(MOST + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if read as u64 > MOST {
        return Err(GivenError::TooLarge { flag: flag.to_owned() }.into());
    }
    if form == Form::Bytes {
        return Ok(Secret::new(STANDARD.encode(&*bytes)));
    }
    let text = std::str::from_utf8(&bytes);
    let text = text.map_err(|_| unreadable(std::io::Error::new(std::io::ErrorKind::InvalidData, "it is no text")))?;
    Ok(Secret::new(text.to_owned()))
}

/// The text of a file that is named on the command line, `-` for stdin, and what to call the place it came from.
pub(super) fn file(env: &Env, path: &Path) -> Result<(String, Secret)> {
    let is_stdin = path == Path::new("-");
    let place = if is_stdin { "stdin".to_owned() } else { path.display().to_string() };
    let unreadable = |cause| GivenError::NoFile { place: place.clone(), cause };
    let read = if is_stdin {
        text_of(&mut std::io::stdin().lock())
    } else {
        std::fs::File::open(env.working_dir().join(path)).and_then(|mut file| text_of(&mut file))
    };
    let text = read.map_err(unreadable)?.ok_or_else(|| GivenError::LargeFile { place: place.clone() })?;
    Ok((place, text))
}

/// All that a reader gives; `None` where it is too much.
fn text_of(reader: &mut dyn Read) -> std::io::Result<Option<Secret>> {
    let mut text = Zeroizing::new(String::with_capacity(16 << 10));
    let read = reader.take(MOST + 1).read_to_string(&mut text)?;
    Ok((read as u64 <= MOST).then(|| Secret::new(std::mem::take(&mut *text))))
}
