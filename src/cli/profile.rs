//! `lanyard profile …`

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::auth::service::preset_defaults;
use crate::auth::session::{Place, Session};
use crate::cli::Doors;
use crate::cli::access::Access;
use crate::cli::active::{active, active_with, load, output_json, overrides, wants_json};
use crate::cli::config::existing;
use crate::config::resolve::shown;
use crate::config::{self, Config, ConfigError, Profile, Source, document, edit, rules};
use crate::error::Result;
use crate::os::Env;
use crate::secret::StoreError;
use crate::text::clean;

/// Manage profiles
#[derive(clap::Subcommand, Debug)]
pub(super) enum Command {
    /// List the profiles; a star marks the active one
    ///
    /// With --json: an array of objects with name, active, service, account, account_id, endpoint, project and storage.
    #[command(after_help = "Example:\n  lanyard profile list")]
    List,
    /// Show the settings of a profile and where each comes from
    ///
    /// With --json: an object with the names of `profile list`, and output, scopes, exists and sources.
    #[command(after_help = "Example:\n  lanyard profile show work")]
    Show {
        /// The profile; the active one by default
        #[arg(value_parser = crate::cli::ui::name, add = clap_complete::ArgValueCandidates::new(crate::cli::completions::profiles))]
        name: Option<String>,
    },
    /// Give a profile another name, with its session and the rules that name it
    #[command(after_help = "Example:\n  lanyard profile rename work acme")]
    Rename {
        /// The name now
        #[arg(value_parser = crate::cli::ui::name, add = clap_complete::ArgValueCandidates::new(crate::cli::completions::profiles))]
        old: String,
        /// The new name
        #[arg(value_parser = crate::cli::ui::name)]
        new: String,
    },
    /// Remove a profile, its session and the rules that name it
    #[command(after_help = "Example:\n  lanyard profile remove work --yes")]
    Remove {
        /// The profile
        #[arg(value_parser = crate::cli::ui::name, add = clap_complete::ArgValueCandidates::new(crate::cli::completions::profiles))]
        name: String,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
    /// Use a profile in a folder and everything below it
    #[command(after_help = "Example:\n  lanyard profile bind --profile work ~/work")]
    Bind {
        /// The folder; the working folder by default
        #[arg(value_hint = clap::ValueHint::DirPath)]
        dir: Option<PathBuf>,
    },
    /// Take the rule of a folder away
    #[command(after_help = "Example:\n  lanyard profile unbind ~/work")]
    Unbind {
        /// The folder; the working folder by default
        #[arg(value_hint = clap::ValueHint::DirPath)]
        dir: Option<PathBuf>,
    },
}

impl Command {
    /// Runs the command.
    pub(super) fn run(self, doors: &Doors<'_>) -> Result<()> {
        match self {
            Self::List => list(doors),
            Self::Show { name } => show(doors, name.as_deref()),
            Self::Rename { old, new } => rename(doors, &old, &new),
            Self::Remove { name, yes } => remove(doors, &name, yes),
            Self::Bind { dir } => bind(doors, dir),
            Self::Unbind { dir } => unbind(doors, dir),
        }
    }
}

fn list(doors: &Doors<'_>) -> Result<()> {
    let config = load(doors)?;
    let flags = overrides(doors.flags);
    let active = match config::profile(&config, doors.env, &flags, &preset_defaults) {
        Ok(active) => Some(active.name.value),
        Err(error) => {
            // The list is what helps to mend a name that is wrong.
            doors.ui.warn(&error.to_string());
            None
        }
    };
    let mut profiles = Vec::new();
    for name in config.profiles.keys() {
        profiles.push(config::named(&config, doors.env, &flags, &preset_defaults, name)?);
    }
    let is_active = |profile: &Profile| active.as_deref() == Some(profile.name.value.as_str());
    if wants_json(doors, &config) {
        let rows: Vec<Value> = profiles.iter().map(|profile| facts(profile, is_active(profile))).collect();
        return doors.ui.answer_json(&rows);
    }
    if profiles.is_empty() {
        doors.ui.note("no profiles yet; `lanyard auth login` makes one");
        return Ok(());
    }
    let text = |value: Option<&String>| value.cloned().unwrap_or_else(|| "-".into());
    let rows: Vec<Vec<String>> = profiles
        .iter()
        .map(|profile| {
            vec![
                if is_active(profile) { "*" } else { "" }.into(),
                profile.name.value.clone(),
                text(profile.service.as_ref().map(|service| &service.value)),
                text(profile.account.as_ref()),
                text(profile.endpoint.as_ref().map(|endpoint| &endpoint.value)),
                profile.storage.value.word().into(),
            ]
        })
        .collect();
    doors.ui.table(&["", "name", "service", "account", "endpoint", "storage"], &rows)
}

/// The facts that `list` and `show` have in common.
fn facts(profile: &Profile, active: bool) -> Value {
    json!({
        "name": profile.name.value,
        "active": active,
        "service": profile.service.as_ref().map(|service| &service.value),
        "account": profile.account,
        "account_id": profile.account_id,
        "endpoint": profile.endpoint.as_ref().map(|endpoint| &endpoint.value),
        "project": profile.project.as_ref().map(|project| &project.value),
        "storage": profile.storage.value.word(),
    })
}

fn show(doors: &Doors<'_>, name: Option<&str>) -> Result<()> {
    let flags = overrides(doors.flags);
    let (profile, is_active) = match name {
        None => (active(doors)?.1, true),
        Some(name) => {
            let config = load(doors)?;
            existing(&config, name)?;
            let active = config::profile(&config, doors.env, &flags, &preset_defaults);
            let is_active = active.is_ok_and(|active| active.name.value == name);
            (config::named(&config, doors.env, &flags, &preset_defaults, name)?, is_active)
        }
    };
    let rows = settings(&profile);
    if output_json(&profile) {
        let mut answer = facts(&profile, is_active);
        answer["exists"] = profile.exists.into();
        answer["output"] = profile.output.value.word().into();
        answer["scopes"] = json!(profile.scopes);
        answer["sources"] =
            rows.iter().filter_map(|(key, _, source)| Some((*key, source.as_ref()?.to_string()))).collect::<Value>();
        return doors.ui.answer_json(&answer);
    }
    let rows: Vec<Vec<String>> = rows
        .into_iter()
        .map(|(key, value, source)| vec![key.into(), value, source.map_or_else(String::new, |from| from.to_string())])
        .collect();
    doors.ui.table(&["setting", "value", "source"], &rows)
}

fn settings(profile: &Profile) -> Vec<(&'static str, String, Option<Source>)> {
    let mut rows = vec![("name", profile.name.value.clone(), Some(profile.name.source.clone()))];
    for (key, setting) in
        [("service", &profile.service), ("endpoint", &profile.endpoint), ("project", &profile.project)]
    {
        if let Some(setting) = setting {
            rows.push((key, setting.value.clone(), Some(setting.source.clone())));
        }
    }
    for (key, text) in [("account", &profile.account), ("account_id", &profile.account_id)] {
        if let Some(text) = text {
            rows.push((key, text.clone(), None));
        }
    }
    rows.push(("storage", profile.storage.value.word().into(), Some(profile.storage.source.clone())));
    rows.push(("output", profile.output.value.word().into(), Some(profile.output.source.clone())));
    if let Some(scopes) = &profile.scopes {
        rows.push(("scopes", scopes.join(" "), None));
    }
    rows
}

fn rename(doors: &Doors<'_>, old: &str, new: &str) -> Result<()> {
    edit::check_name(new)?;
    let config = load(doors)?;
    existing(&config, old)?;
    if config.profiles.contains_key(new) {
        return Err(ConfigError::Taken { name: new.to_owned() }.into());
    }
    let (from, to) = (profile_named(doors, &config, old)?, Place::of(doors.env, new));
    let access = Access::new(doors, &config, &from)?;
    // Both locks are held until the old item is gone: a renewal in between would renew what is about to be removed.
    let _locks = (access.lock()?, access.lock_of(&to)?);
    if let Some(session) = stored(&access)? {
        to.save(&*access.store, &session)?;
    }
    edit::edit(doors.env, |document| {
        document::rename_profile(document, old, new);
        Ok(())
    })?;
    forget(doors, &access);
    doors.ui.done(&format!("profile {old} is now {new}"));
    Ok(())
}

fn profile_named(doors: &Doors<'_>, config: &Config, name: &str) -> Result<Profile> {
    Ok(config::named(config, doors.env, &overrides(doors.flags), &preset_defaults, name)?)
}

/// The session of a profile. A damaged item is none; a store that is not there holds none either, and a profile without
/// an account never had one.
fn stored(access: &Access<'_>) -> Result<Option<Session>> {
    match access.place.load(&*access.store) {
        Err(StoreError::Damaged { .. }) => Ok(None),
        Err(StoreError::Absent { .. }) if access.profile.account.is_none() => Ok(None),
        other => Ok(other?),
    }
}

/// Takes the session of a profile that is gone out of its store. A store that does not answer is told and no more: the
/// profile is gone already.
fn forget(doors: &Doors<'_>, access: &Access<'_>) {
    match access.place.remove(&*access.store) {
        Ok(_) => {}
        Err(StoreError::Absent { .. }) if access.profile.account.is_none() => {}
        Err(failure) => {
            doors.ui.warn(&format!("its session may still be in the {}: {failure}", access.store.choice().title()));
        }
    }
}

fn remove(doors: &Doors<'_>, name: &str, yes: bool) -> Result<()> {
    let config = load(doors)?;
    existing(&config, name)?;
    if !yes && !doors.ui.confirm(&format!("Remove profile {name} and its session?"), false, "--yes")? {
        doors.ui.note("nothing removed");
        return Ok(());
    }
    let profile = profile_named(doors, &config, name)?;
    let access = Access::new(doors, &config, &profile)?;
    let _lock = access.lock()?;
    edit::edit(doors.env, |document| {
        document::remove_profile(document, name);
        Ok(())
    })?;
    forget(doors, &access);
    forget_client(&config, &access);
    doors.ui.done(&format!("profile {name} is removed"));
    Ok(())
}

/// The last profile of a service takes the client secret along.
fn forget_client(config: &Config, access: &Access<'_>) {
    let Ok(service) = access.service() else { return };
    let is_last =
        config.profiles.values().filter(|profile| profile.service.as_deref() == Some(&service.name)).count() <= 1;
    if is_last {
        let slot = access.place.client_slot(&*access.store, &service.name, service.address());
        // Most services never had one.
        let _ = access.store.remove(&slot);
    }
}

fn bind(doors: &Doors<'_>, dir: Option<PathBuf>) -> Result<()> {
    let folder = folder_of(doors.env, dir)?;
    if !folder.is_dir() {
        return Err(ConfigError::BadInput {
            origin: shown(&folder, doors.env),
            problem: "is no folder".into(),
            mend: "name a folder that is there".into(),
        }
        .into());
    }
    let (config, profile) = active_with(doors, &overrides(doors.flags))?;
    let name = profile.name.value;
    existing(&config, &name)?;
    let directory = directory_text(doors.env, &folder)?;
    edit::edit(doors.env, |document| {
        // Read again under the lock: another process may have added or removed a rule.
        let config = Config::load(doors.env)?;
        match config.rules.iter().position(|rule| rules::folder(rule, doors.env) == folder) {
            Some(place) => document::set_rule(document, place, &name),
            None => document::add_rule(document, &directory, &name),
        }
        Ok(())
    })?;
    doors.ui.done(&format!("profile {name} is used in {} and below", shown(&folder, doors.env)));
    Ok(())
}

fn unbind(doors: &Doors<'_>, dir: Option<PathBuf>) -> Result<()> {
    let folder = folder_of(doors.env, dir)?;
    let wanted = doors.flags.profile.as_deref();
    let removed = edit::edit(doors.env, |document| {
        let config = Config::load(doors.env)?;
        let is_its = |rule: &config::Rule| {
            rules::folder(rule, doors.env) == folder && wanted.is_none_or(|profile| profile == rule.profile)
        };
        let places: Vec<usize> =
            config.rules.iter().enumerate().filter(|(_, rule)| is_its(rule)).map(|(place, _)| place).collect();
        for place in places.iter().rev() {
            document::remove_rule(document, *place);
        }
        Ok(!places.is_empty())
    })?;
    let folder = shown(&folder, doors.env);
    if removed {
        doors.ui.done(&format!("no rule names {folder} any longer"));
    } else {
        doors.ui.note(&format!("no rule names {folder}; `lanyard which` shows what decides here"));
    }
    Ok(())
}

/// The folder that an argument means, with links resolved.
fn folder_of(env: &Env, dir: Option<PathBuf>) -> Result<PathBuf, ConfigError> {
    let Some(dir) = dir else { return Ok(rules::resolved(env.working_dir())) };
    let text = dir.to_str().ok_or_else(not_text)?;
    Ok(rules::resolved(&env.working_dir().join(env.expand_home(rules::without_stars(text)))))
}

/// A folder as a rule writes it: below the home folder with `~`.
fn directory_text(env: &Env, folder: &std::path::Path) -> Result<String, ConfigError> {
    let home = env.home().map(rules::resolved);
    let below_home = home.as_deref().and_then(|home| folder.strip_prefix(home).ok());
    let text = match below_home {
        Some(rest) if rest.as_os_str().is_empty() => "~".to_owned(),
        Some(rest) => format!("~/{}", rest.to_str().ok_or_else(not_text)?),
        None => folder.to_str().ok_or_else(not_text)?.trim_end_matches('/').to_owned(),
    };
    Ok(format!("{text}/**"))
}

fn not_text() -> ConfigError {
    ConfigError::BadInput {
        origin: "the folder's name".into(),
        problem: "is not UTF-8".into(),
        mend: clean("bind a folder above it"),
    }
}
