//! The result of resolution: a profile, where each of its values comes from, and what lost.

use std::fmt;
use std::sync::Arc;

use super::Output;
use crate::secret::{Choice, Secret};
use crate::text::clean;

/// What the command line says.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// `--profile`.
    pub profile: Option<String>,
    /// `--project`.
    pub project: Option<String>,
    /// `--api-key`.
    pub api_key: Option<Arc<Secret>>,
    /// `--output` or `--json`.
    pub output: Option<Output>,
    /// `--storage`.
    pub storage: Option<Choice>,
    /// Whether the profile may be one that does not exist yet, as for a sign-in that makes it.
    pub allow_new: bool,
}

/// Where a value comes from. `Display` says it in words for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A flag, such as `--profile`.
    Flag(&'static str),
    /// An environment variable.
    Variable(String),
    /// A `[[rules]]` entry of the user.
    Rule {
        /// The folder as the rule writes it.
        directory: String,
        /// The configuration file, shortened for a person.
        path: String,
        /// The line of the rule's profile.
        line: Option<usize>,
    },
    /// A `.lanyard.toml` in this folder or above.
    ProjectFile {
        /// The file, shortened for a person.
        path: String,
        /// The line of the key.
        line: Option<usize>,
    },
    /// The user's configuration.
    Config {
        /// The configuration file, shortened for a person.
        path: String,
        /// The key.
        key: String,
        /// The line of the key, where it is set.
        line: Option<usize>,
    },
    /// A built-in service.
    Preset(String),
    /// The session that login stored (for a token only).
    Session,
    /// Nobody said anything.
    Default,
}

impl Source {
    /// One word for programs: `flag`, `variable`, `rule`, `project_file`, `config`, `preset`, `session`, `default`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Flag(_) => "flag",
            Self::Variable(_) => "variable",
            Self::Rule { .. } => "rule",
            Self::ProjectFile { .. } => "project_file",
            Self::Config { .. } => "config",
            Self::Preset(_) => "preset",
            Self::Session => "session",
            Self::Default => "default",
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => f.write_str(flag),
            Self::Variable(name) => f.write_str(name),
            Self::Rule { directory, path, line: Some(line) } => write!(f, "rule {} ({path}:{line})", clean(directory)),
            Self::Rule { directory, path, line: None } => write!(f, "rule {} ({path})", clean(directory)),
            Self::ProjectFile { path, line: Some(line) } | Self::Config { path, line: Some(line), .. } => {
                write!(f, "{path}:{line}")
            }
            Self::ProjectFile { path, line: None } => f.write_str(path),
            Self::Config { path, key, line: None } => write!(f, "{key} in {path}"),
            Self::Preset(name) => write!(f, "built-in service {name}"),
            Self::Session => f.write_str("stored session"),
            Self::Default => f.write_str("default"),
        }
    }
}

/// A value and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sourced<T> {
    /// The value.
    pub value: T,
    /// Where it comes from.
    pub source: Source,
}

/// What a built-in service says about settings that the configuration may leave out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PresetDefaults {
    /// The variables that carry a token for the service.
    pub token_env: Vec<String>,
    /// The API's base address.
    pub endpoint: Option<String>,
}

/// A token that the command line or the environment gave.
#[derive(Debug)]
pub struct EnvToken {
    /// The token, without surrounding white space.
    pub value: Secret,
    /// The variable it was in, or the flag.
    pub variable: String,
}

/// What became of a candidate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is in force.
    Won,
    /// It is not, for this reason.
    Lost(String),
}

/// One place that could have decided a setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// What it says; always `None` for a token.
    pub value: Option<String>,
    /// The place.
    pub source: Source,
    /// What became of it.
    pub outcome: Outcome,
}

/// Every candidate of the four settings that `lanyard which` explains, strongest first.
#[derive(Debug, Clone, Default)]
pub struct Chains {
    /// For the profile's name.
    pub profile: Vec<Candidate>,
    /// For the project.
    pub project: Vec<Candidate>,
    /// For the endpoint.
    pub endpoint: Vec<Candidate>,
    /// For the token. Holds no token.
    pub token: Vec<Candidate>,
}

/// One account on one service with its settings, each with its source.
#[derive(Debug)]
pub struct Profile {
    /// The name; `default` where nobody chose one.
    pub name: Sourced<String>,
    /// Whether `[profiles.NAME]` is there.
    pub exists: bool,
    /// The service's name.
    pub service: Option<Sourced<String>>,
    /// The project in use.
    pub project: Option<Sourced<String>>,
    /// The API's base address, checked by `http::parse_url`.
    pub endpoint: Option<Sourced<String>>,
    /// The account's name, as login wrote it.
    pub account: Option<String>,
    /// The account's identifier, as login wrote it.
    pub account_id: Option<String>,
    /// Where the tokens rest.
    pub storage: Sourced<Choice>,
    /// How facts are printed.
    pub output: Sourced<Output>,
    /// The scopes to ask for instead of the service's.
    pub scopes: Option<Vec<String>>,
    /// The token of the environment that is in force.
    pub token: Option<EnvToken>,
    /// Every candidate, for `lanyard which`.
    pub chains: Chains,
    /// What a person should know, such as a project file that was not used.
    pub warnings: Vec<String>,
}

impl Profile {
    /// The endpoint that the user's own configuration or the service names, whatever the environment says: the one that
    /// a stored session may be sent to.
    pub fn own_endpoint(&self) -> Option<&str> {
        let own =
            |candidate: &&Candidate| !matches!(candidate.source, Source::Variable(_)) && candidate.value.is_some();
        self.chains.endpoint.iter().find(own)?.value.as_deref()
    }
}
