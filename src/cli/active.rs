//! The profile that a command works with: configuration, flags and surroundings put together.

use crate::auth::presets;
use crate::auth::service::preset_defaults;
use crate::cli::{Doors, Global};
use crate::config::{self, Config, Output, Overrides, Profile};
use crate::error::Result;
use crate::os::{Env, PASSPHRASE, TOKEN};

/// Loads the configuration and decides every setting. Warnings go to stderr.
pub(super) fn active(doors: &Doors<'_>) -> Result<(Config, Profile)> {
    active_with(doors, &overrides(doors.flags))
}

/// Like [`active`], with overrides that a command's own flags have changed.
pub(super) fn active_with(doors: &Doors<'_>, overrides: &Overrides) -> Result<(Config, Profile)> {
    let config = load(doors)?;
    let profile = config::profile(&config, doors.env, overrides, &preset_defaults)?;
    for warning in &profile.warnings {
        doors.ui.warn(warning);
    }
    Ok((config, profile))
}

/// Loads the configuration and shows its warnings.
pub(super) fn load(doors: &Doors<'_>) -> Result<Config> {
    let config = Config::load(doors.env)?;
    for warning in &config.warnings {
        doors.ui.warn(warning);
    }
    Ok(config)
}

/// What the flags that every command takes say.
pub(super) fn overrides(flags: &Global) -> Overrides {
    Overrides {
        profile: flags.profile.clone(),
        project: flags.project.clone(),
        api_key: flags.key.clone(),
        output: output_flag(flags),
        ..Overrides::default()
    }
}

/// Whether facts are printed as JSON under this profile.
pub(super) fn output_json(profile: &Profile) -> bool {
    profile.output.value == Output::Json
}

/// Whether facts are printed as JSON by a command that works with no profile.
pub(super) fn wants_json(doors: &Doors<'_>, config: &Config) -> bool {
    output_flag(doors.flags).or(config.defaults.output) == Some(Output::Json)
}

fn output_flag(flags: &Global) -> Option<Output> {
    if flags.json { Some(Output::Json) } else { flags.output }
}

/// The variables that hold secrets, which no program that lanyard starts may inherit.
///
/// A configuration that cannot be read is no reason to pass on what the built-in services use.
pub(super) fn secret_variables(env: &Env) -> Vec<String> {
    let config = Config::load(env).unwrap_or_default();
    let own = config.services.values().filter_map(|service| service.token_env.clone()).flatten();
    let chosen = config.profiles.values().filter_map(|profile| profile.service.as_deref());
    let known = presets::PRESETS.iter().map(|preset| preset.name);
    let presets =
        chosen.chain(known).filter_map(|name| preset_defaults(name, None)).flat_map(|preset| preset.token_env);
    [TOKEN.to_owned(), PASSPHRASE.to_owned()].into_iter().chain(own).chain(presets).collect()
}
