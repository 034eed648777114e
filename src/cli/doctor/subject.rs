//! What the doctor examines: the configuration, and the service of the profile in use.

use std::path::Path;

use super::Finding;
use crate::cli::Doors;
use crate::config::{Config, ProfileTable, ServiceTable};
use crate::error::Code;
use crate::http::{Url, parse_url};
use crate::os::{Env, PROFILE, files};
use crate::secret::Choice;

/// The names of the built-in services.
pub(in crate::cli) const BUILT_IN: [&str; 5] = ["github", "gitlab", "google", "huggingface", "microsoft"];

/// The name under which a built-in service can be reached when the configuration gives no address for it.
const BUILT_IN_ADDRESSES: [(&str, &str); 5] = [
    ("github", "https://github.com"),
    ("gitlab", "https://gitlab.com"),
    ("google", "https://accounts.google.com"),
    ("huggingface", "https://huggingface.co"),
    ("microsoft", "https://login.microsoftonline.com"),
];

const CHECK: &str = "configuration";

/// The parts of the configuration that the other checks need. Where it cannot be read, nothing is configured.
#[derive(Debug, Default)]
pub(super) struct Subject {
    pub(super) config: Config,
    pub(super) profile: Option<String>,
    pub(super) storage: Option<Choice>,
    /// Where the service of the profile is.
    pub(super) address: Option<Url>,
}

impl Subject {
    /// Reads the configuration; the findings tell how that went.
    pub(super) fn of(doors: &Doors<'_>) -> (Self, Vec<Finding>) {
        let env = doors.env;
        let config = match load(env) {
            Ok(config) => config,
            Err(finding) => return (Self::default(), vec![*finding]),
        };
        let profile = doors.flags.profile.clone().or_else(|| env.var(PROFILE).map(str::to_owned));
        let profile = profile.or_else(|| config.profile.clone());
        let mut problems = loose_modes(env);
        problems.extend(missing_names(&config, profile.as_deref()));
        if problems.is_empty() {
            let (profiles, services) = (config.profiles.len(), config.services.len());
            problems.push(Finding::ok(CHECK, format!("profiles: {profiles}, services: {services}")));
        }
        let table = profile.as_ref().and_then(|name| config.profiles.get(name));
        let storage = table.and_then(|table| table.storage).or(config.defaults.storage);
        let address = address(&config, table);
        (Self { config, profile, storage, address }, problems)
    }
}

/// Reads and checks the file. The parser's text would quote the line, so only the place is told.
fn load(env: &Env) -> Result<Config, Box<Finding>> {
    let path = env.config_dir().join("config.toml");
    let Some(bytes) = files::read(&path).map_err(|error| Box::new(Finding::from_failure(CHECK, &error)))? else {
        return Ok(Config::default());
    };
    let text = String::from_utf8_lossy(&bytes);
    toml::from_str(&text).map_err(|error| {
        let line = error.span().map_or(1, |span| text[..span.start].lines().count().max(1));
        let message = format!("{} line {line} is not understood", path.display());
        Box::new(Finding::failed(CHECK, Code::Config, message, "mend it with `lanyard config edit`"))
    })
}

/// The folder, the configuration and the file stores, where others can reach them.
#[cfg(unix)]
fn loose_modes(env: &Env) -> Vec<Finding> {
    use std::os::unix::fs::PermissionsExt;
    let dir = env.config_dir();
    let loose = |path: &Path, wanted: u32| {
        let mode = std::fs::metadata(path).ok()?.permissions().mode() & 0o777;
        let path = path.display();
        (mode & 0o077 != 0).then(|| {
            let message = format!("others can reach {path} (mode {mode:04o})");
            Finding::failed(CHECK, Code::Config, message, format!("chmod {wanted:o} {path}"))
        })
    };
    let files = ["config.toml", "sessions.age", "sessions.plain.json"];
    let within = files.into_iter().filter_map(|file| loose(&dir.join(file), 0o600));
    loose(dir, 0o700).into_iter().chain(within).collect()
}

#[cfg(not(unix))]
fn loose_modes(_: &Env) -> Vec<Finding> {
    Vec::new()
}

/// Names that the configuration uses and nobody defined.
fn missing_names(config: &Config, profile: Option<&str>) -> Vec<Finding> {
    let unknown_profile = |name: &str| !config.profiles.contains_key(name);
    let missing = |message: String, mend: &str| Finding::failed(CHECK, Code::Config, message, mend);
    let chosen = profile.filter(|name| unknown_profile(name)).map(|name| {
        missing(format!("the profile {name} does not exist"), "`lanyard profile list` shows those that do")
    });
    let rules = config.rules.iter().filter(|rule| unknown_profile(&rule.profile)).map(|rule| {
        missing(
            format!("the rule for {} names the profile {}, which does not exist", rule.directory, rule.profile),
            "`lanyard profile unbind` removes the rule, `lanyard auth login --profile` makes the profile",
        )
    });
    let services = config.profiles.iter().filter_map(|(name, table)| {
        let service = table.service.as_deref()?;
        let known = config.services.contains_key(service) || BUILT_IN.contains(&service);
        (!known).then(|| {
            missing(
                format!("the profile {name} names the service {service}, which does not exist"),
                "add its `[services.NAME]` table with `lanyard config edit`",
            )
        })
    });
    chosen.into_iter().chain(rules).chain(services).collect()
}

/// Where the service of a profile answers: its issuer, or the first address that is configured.
fn address(config: &Config, profile: Option<&ProfileTable>) -> Option<Url> {
    let name = profile?.service.as_deref()?;
    let own = config.services.get(name);
    let of_table = |service: &ServiceTable| {
        let addresses = [&service.issuer, &service.authorization_endpoint, &service.token_endpoint, &service.endpoint];
        addresses.into_iter().flatten().next().cloned()
    };
    let built_in = own.and_then(|service| service.preset.as_deref()).unwrap_or(name);
    let built_in = || BUILT_IN_ADDRESSES.iter().find(|(known, _)| *known == built_in).map(|(_, at)| (*at).to_owned());
    let text = own.and_then(of_table).or_else(|| profile?.endpoint.clone()).or_else(built_in)?;
    parse_url(&text).ok()
}
