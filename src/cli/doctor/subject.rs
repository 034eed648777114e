//! What the doctor examines: the configuration, and the service of the profile in use.

use std::path::Path;

use super::Finding;
use crate::auth::service::{self, preset_defaults};
use crate::cli::{Doors, active};
use crate::config::{self, Config, Profile};
use crate::error::Code;
use crate::http::{Url, parse_url};
use crate::os::Env;
use crate::secret::Choice;

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
        let config = match Config::load(doors.env) {
            Ok(config) => config,
            Err(failure) => return (Self::default(), vec![Finding::from_failure(CHECK, &failure)]),
        };
        let mut problems = loose_modes(doors.env);
        problems.extend(missing_names(&config));
        let profile = match config::profile(&config, doors.env, &active::overrides(doors.flags), &preset_defaults) {
            Ok(profile) => profile,
            Err(failure) => {
                problems.push(Finding::from_failure(CHECK, &failure));
                return (Self { config, ..Self::default() }, problems);
            }
        };
        if problems.is_empty() {
            let (profiles, services) = (config.profiles.len(), config.services.len());
            problems.push(Finding::ok(CHECK, format!("profiles: {profiles}, services: {services}")));
        }
        let address = address(&config, &profile);
        let (name, storage) = (Some(profile.name.value), Some(profile.storage.value));
        (Self { config, profile: name, storage, address }, problems)
    }
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
fn missing_names(config: &Config) -> Vec<Finding> {
    let missing = |message: String, mend: &str| Finding::failed(CHECK, Code::Config, message, mend);
    let rules = config.rules.iter().filter(|rule| !config.profiles.contains_key(&rule.profile)).map(|rule| {
        missing(
            format!("the rule for {} names the profile {}, which does not exist", rule.directory, rule.profile),
            "`lanyard profile unbind` removes the rule, `lanyard auth login --profile` makes the profile",
        )
    });
    let services = config.profiles.iter().filter_map(|(name, table)| {
        let service = table.service.as_deref()?;
        service::find(config, service).is_err().then(|| {
            missing(
                format!("the profile {name} names the service {service}, which does not exist"),
                "add its `[services.NAME]` table with `lanyard config edit`",
            )
        })
    });
    rules.chain(services).collect()
}

/// Where the service of a profile answers: its issuer, or the first address that is known.
fn address(config: &Config, profile: &Profile) -> Option<Url> {
    let service = profile.service.as_ref().and_then(|name| service::find(config, &name.value).ok());
    let table = service.map(|service| service.table).unwrap_or_default();
    let endpoint = profile.endpoint.as_ref().map(|endpoint| endpoint.value.clone());
    let addresses = [table.issuer, table.authorization_endpoint, table.token_endpoint, endpoint];
    parse_url(&addresses.into_iter().flatten().next()?).ok()
}
