//! Why the configuration cannot be used. No message quotes a value: it may be a secret in the wrong place.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::error::{Code, Failure};
use crate::http::BadUrl;
use crate::os::files::FileError;

/// Where the text stands that a message is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum At {
    /// In a file; line and column count from 1, the column in characters.
    File {
        /// The file.
        path: PathBuf,
        /// The line.
        line: usize,
        /// The column.
        column: usize,
    },
    /// On the command line.
    Argument,
}

impl At {
    /// The position of a byte `offset` of `text`, which was read from `path`.
    pub fn offset(path: &Path, text: &str, offset: usize) -> Self {
        let before = text.get(..offset.min(text.len())).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Self::File {
            path: path.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line, column } => write!(f, "{}:{line}:{column}: ", path.display()),
            Self::Argument => Ok(()),
        }
    }
}

/// Why the configuration cannot be read, used or changed.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The text is no TOML.
    #[error("{at}{problem}")]
    Syntax {
        /// Where.
        at: At,
        /// What the parser said, which never quotes the text.
        problem: String,
    },
    /// A key that lanyard does not know.
    #[error("{at}unknown key {key}")]
    UnknownKey {
        /// Where.
        at: At,
        /// The key, cleaned.
        key: String,
        /// The known key that was probably meant.
        nearest: Option<String>,
    },
    /// A value of the wrong type.
    #[error("{at}{key} must be {expected}, and is {found}")]
    WrongType {
        /// Where.
        at: At,
        /// The key.
        key: String,
        /// The type it must have, with its article.
        expected: &'static str,
        /// The type it has, with its article.
        found: &'static str,
    },
    /// A value of the right type that cannot be used.
    #[error("{at}{key} {problem}")]
    BadValue {
        /// Where.
        at: At,
        /// The key.
        key: String,
        /// What is wrong with the value, such as `is empty`.
        problem: String,
        /// What to write instead.
        mend: String,
    },
    /// A value in a variable or a flag that cannot be used.
    #[error("{origin} {problem}")]
    BadInput {
        /// The variable or the flag.
        origin: String,
        /// What is wrong with its value, such as `holds white space`.
        problem: String,
        /// What to do.
        mend: String,
    },
    /// Two services share an issuer and send its codes to different token endpoints (RFC 9700 section 4.4).
    #[error("{at}services {first} and {second} have the same issuer and different token endpoints")]
    MixUp {
        /// Where the second one names its token endpoint.
        at: At,
        /// One service.
        first: String,
        /// The other.
        second: String,
    },
    /// The chosen profile is not there.
    #[error("there is no profile {name}, which {chosen_by} names")]
    NoProfile {
        /// The name, cleaned.
        name: String,
        /// The source that chose it.
        chosen_by: String,
        /// The profile that was probably meant.
        nearest: Option<String>,
    },
    /// A key that cannot be read or written one by one.
    #[error("{key} {problem}")]
    BadKey {
        /// The key, cleaned.
        key: String,
        /// Why not.
        problem: &'static str,
        /// What to do instead.
        mend: String,
    },
    /// A key that has no value.
    #[error("{key} is not set")]
    NotSet {
        /// The key.
        key: String,
    },
    /// A name that is taken already.
    #[error("there is a profile {name} already")]
    Taken {
        /// The name.
        name: String,
    },
    /// The file changed while it was open in an editor.
    #[error("{} was changed by another process meanwhile", .path.display())]
    Changed {
        /// The file.
        path: PathBuf,
        /// Where the edited text was put.
        kept: Option<PathBuf>,
    },
    /// No editor could be run.
    #[error("the editor {program} {problem}")]
    Editor {
        /// The program, cleaned.
        program: String,
        /// What happened.
        problem: String,
    },
}

impl Failure for ConfigError {
    fn code(&self) -> Code {
        match self {
            Self::File(error) => error.code(),
            Self::UnknownKey { at: At::Argument, .. }
            | Self::WrongType { at: At::Argument, .. }
            | Self::BadValue { at: At::Argument, .. }
            | Self::BadKey { .. }
            | Self::Taken { .. } => Code::Usage,
            Self::NotSet { .. } | Self::Changed { .. } | Self::Editor { .. } => Code::Failed,
            _ => Code::Config,
        }
    }

    fn mend(&self) -> Option<String> {
        Some(match self {
            Self::File(error) => return error.mend(),
            Self::Syntax { .. } => "correct that line; `lanyard config edit` opens the file".into(),
            Self::UnknownKey { nearest: Some(nearest), .. } => format!("write {nearest}, if that is what was meant"),
            Self::UnknownKey { nearest: None, at: At::Argument, .. } => {
                "`lanyard config set --help` lists the keys that there are".into()
            }
            Self::UnknownKey { nearest: None, .. } => {
                "remove it; `lanyard config set --help` lists the keys that there are".into()
            }
            Self::WrongType { expected, .. } => format!("write {expected}"),
            Self::BadValue { mend, .. } | Self::BadInput { mend, .. } | Self::BadKey { mend, .. } => mend.clone(),
            Self::MixUp { second, .. } => {
                format!("give both the token endpoint that the issuer names, or remove service {second}")
            }
            Self::NoProfile { nearest: Some(nearest), .. } => {
                format!("use {nearest}, if that is what was meant; `lanyard profile list` shows all")
            }
            Self::NoProfile { name, nearest: None, .. } => {
                format!(
                    "make it with `lanyard auth login --profile {name}`; `lanyard profile list` shows what there is"
                )
            }
            Self::NotSet { key } => format!("set it with `lanyard config set {key} VALUE`"),
            Self::Taken { name } => format!("choose another name, or remove it with `lanyard profile remove {name}`"),
            Self::Changed { kept: Some(kept), .. } => format!("run it again; your text is kept in {}", kept.display()),
            Self::Changed { kept: None, .. } => "run it again".into(),
            Self::Editor { .. } => "set VISUAL or EDITOR to an editor that waits until the file is closed".into(),
        })
    }
}

/// What is wrong with an address, without any of its text.
pub(super) fn url_problem(error: &BadUrl) -> String {
    match error {
        BadUrl::Malformed(problem) => format!("is not a plain URL: {problem}"),
        BadUrl::Insecure { .. } => "is neither https nor loopback".into(),
    }
}

/// What mends an address.
pub(super) const URL_MEND: &str = "write an address such as https://api.example.com; \
                                   http is for 127.0.0.1, [::1] and localhost only";
