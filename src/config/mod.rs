//! Profiles and settings in TOML: what the user's `config.toml` may say, who wins, and from where.
//!
//! [`Config::load`] reads and checks the file; [`profile`] decides every setting and remembers each candidate;
//! [`edit::edit`] changes the file under a lock and keeps the user's comments and order.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::os::{Env, files};
use crate::secret::Choice;

pub mod check;
pub mod document;
pub mod edit;
pub mod error;
pub mod resolve;
pub mod rules;
pub mod schema;

mod profile;
mod project_file;

pub use error::ConfigError;
pub use profile::{Candidate, Chains, EnvToken, Outcome, Overrides, PresetDefaults, Profile, Source, Sourced};
pub use resolve::{named, profile};

/// The file's name in the configuration folder.
pub const FILE: &str = "config.toml";

/// The user's configuration file, checked. Every part may be absent.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Config {
    /// The default profile.
    pub profile: Option<String>,
    /// What holds where a profile says nothing.
    pub defaults: Defaults,
    /// `[profiles.NAME]`: one account on one service each.
    pub profiles: BTreeMap<String, ProfileTable>,
    /// `[services.NAME]`: something one signs in to.
    pub services: BTreeMap<String, ServiceTable>,
    /// `[[rules]]`: which profile a directory uses.
    pub rules: Vec<Rule>,
    /// Where this was read from; the file may not exist.
    #[serde(skip)]
    pub path: PathBuf,
    /// What a person should know about the file, such as a mode that lets others read it.
    #[serde(skip)]
    pub warnings: Vec<String>,
    /// The line of each value, by its key.
    #[serde(skip)]
    lines: BTreeMap<String, usize>,
}

impl Config {
    /// Reads and checks the user's configuration. No file is an empty configuration.
    pub fn load(env: &Env) -> Result<Self, ConfigError> {
        Ok(Self::load_with_entries(env)?.0)
    }

    /// Like [`Config::load`], with every value of the file in its order.
    pub fn load_with_entries(env: &Env) -> Result<(Self, Vec<check::Entry>), ConfigError> {
        let path = env.config_dir().join(FILE);
        let Some(bytes) = files::read(&path)? else {
            return Ok((Self { path, ..Self::default() }, Vec::new()));
        };
        let (mut config, entries) = check::read(&path, &bytes)?;
        config.warnings = loose_modes(env.config_dir(), &path);
        Ok((config, entries))
    }

    /// The line on which a key has its value.
    pub fn line_of(&self, key: &[&str]) -> Option<usize> {
        let key: Vec<String> = key.iter().map(|segment| (*segment).to_owned()).collect();
        self.lines.get(&schema::join(&key)).copied()
    }
}

/// A warning for the folder and the file where others can reach them.
fn loose_modes(folder: &Path, file: &Path) -> Vec<String> {
    [(folder, "700"), (file, "600")]
        .into_iter()
        .filter_map(|(path, wanted)| {
            let mode = files::loose_mode(path)?;
            let path = path.display();
            Some(format!("others can reach {path} (mode {mode:04o}); run `chmod {wanted} {path}`"))
        })
        .collect()
}

/// The `[defaults]` table.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Defaults {
    /// How facts are printed.
    pub output: Option<Output>,
    /// Where tokens rest.
    pub storage: Option<Choice>,
}

/// How facts are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Output {
    /// For people.
    Table,
    /// For programs, with stable names.
    Json,
}

impl Output {
    /// The word used in the configuration and on the command line.
    pub fn word(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::Json => "json",
        }
    }
}

/// A `[profiles.NAME]` table. Holds no secret.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct ProfileTable {
    /// The name of a `[services.NAME]` table or of a built-in preset.
    pub service: Option<String>,
    /// The project in use.
    pub project: Option<String>,
    /// The API's base address.
    pub endpoint: Option<String>,
    /// The account's name, written by login.
    pub account: Option<String>,
    /// The account's identifier (the `sub` of an OpenID Connect issuer), written by login.
    pub account_id: Option<String>,
    /// Where this profile's tokens rest.
    pub storage: Option<Choice>,
    /// How facts are printed under this profile.
    pub output: Option<Output>,
    /// The scopes to ask for instead of the service's.
    pub scopes: Option<Vec<String>>,
}

/// A `[services.NAME]` table. Where a preset of that name exists, each value given here replaces the preset's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ServiceTable {
    /// The built-in preset to start from, when it is not the table's own name: `gitlab` for a self-managed one.
    pub preset: Option<String>,
    /// The OpenID Connect or OAuth 2.0 issuer, found by discovery.
    pub issuer: Option<String>,
    /// The client identifier registered for lanyard.
    pub client_id: Option<String>,
    /// The secret of a native client that is not confidential (Google's desktop clients); a real one goes to the
    /// secret store through `--client-secret-stdin`.
    pub client_secret: Option<String>,
    /// The scopes to ask for.
    pub scopes: Option<Vec<String>>,
    /// The variables that carry a token for this service, most wanted first.
    pub token_env: Option<Vec<String>>,
    /// The API's base address, for profiles that name none.
    pub endpoint: Option<String>,
    /// RFC 6749 section 3.1.
    pub authorization_endpoint: Option<String>,
    /// RFC 6749 section 3.2.
    pub token_endpoint: Option<String>,
    /// RFC 8628 section 3.1.
    pub device_authorization_endpoint: Option<String>,
    /// RFC 7009.
    pub revocation_endpoint: Option<String>,
    /// RFC 7662.
    pub introspection_endpoint: Option<String>,
    /// OpenID Connect Core section 5.3.
    pub userinfo_endpoint: Option<String>,
    /// RFC 9126.
    pub pushed_authorization_request_endpoint: Option<String>,
    /// RFC 7517: the issuer's keys.
    pub jwks_uri: Option<String>,
    /// How the client proves itself at the token endpoint: `client_secret_basic` or `client_secret_post`
    /// (OpenID Connect Core section 9), where the server's metadata leaves a choice.
    pub token_endpoint_auth_method: Option<String>,
    /// The host name in the redirect URI: `127.0.0.1` (default), `[::1]` or `localhost`.
    pub redirect_host: Option<String>,
    /// The port in the redirect URI, for a server that demands a fixed one.
    pub redirect_port: Option<u16>,
    /// The path in the redirect URI; `/callback` by default.
    pub redirect_path: Option<String>,
    /// The `audience` parameter that some servers want (Auth0).
    pub audience: Option<String>,
    /// The `resource` parameter (RFC 8707).
    pub resource: Option<String>,
    /// The `prompt` parameter (OpenID Connect Core section 3.1.2.1).
    pub prompt: Option<String>,
    /// Whether an `iss` in the callback is accepted from a server that did not announce it (RFC 9207 section 2.4).
    pub accept_unannounced_iss: Option<bool>,
    /// Whether it is a lanyard server: the commands for credentials then work on the vault there.
    pub vault: Option<bool>,
    /// How to ask the API who one is.
    pub api: Option<ApiTable>,
    /// The git host that takes this service's tokens.
    pub git: Option<GitTable>,
}

/// A `[services.NAME.git]` table: the git host that takes the service's tokens.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct GitTable {
    /// The host's address: scheme, host and port.
    pub address: Option<String>,
    /// The user name that the host wants beside a token; none where it takes any.
    pub username: Option<String>,
    /// The scopes without which a token opens no repository.
    pub scopes: Option<Vec<String>>,
}

/// A `[services.NAME.api]` table: paths below the endpoint and JSON pointers (RFC 6901) into their answers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ApiTable {
    /// The path that answers who the token belongs to.
    pub whoami: Option<String>,
    /// Pointer to the account's name.
    pub account: Option<String>,
    /// Pointer to the account's identifier.
    pub account_id: Option<String>,
    /// Pointer to the token's expiry (RFC 3339 or seconds since 1970).
    pub expires_at: Option<String>,
    /// Pointer to the token's scopes (an array, or words separated by blanks or commas).
    pub scopes: Option<String>,
    /// The path that lists projects.
    pub projects: Option<String>,
    /// Pointer to the array of projects in that answer; the whole answer by default.
    pub projects_list: Option<String>,
    /// Pointer to a project's name within one element.
    pub project_name: Option<String>,
    /// The page where a person makes a new token.
    pub token_page: Option<String>,
}

/// A `[[rules]]` entry: below `directory`, `profile` is used. The longest directory that matches wins.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Rule {
    /// A folder; a leading `~` is the home folder, a trailing `/**` is implied.
    pub directory: String,
    /// The profile to use there.
    pub profile: String,
}

#[cfg(test)]
mod tests;
