//! Where the official tools keep the keys: in variables and in files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use serde::Deserialize;

use super::services::{SERVICES, Service};
use super::{KINDS, npmrc};
use crate::credential::Raw;
use crate::provider::foreign::Foreign;
use crate::provider::{Discovered, Found, Here, Origin, ProviderError};
use crate::secret::Secret;

type Result<T, E = ProviderError> = std::result::Result<T, E>;

/// What lies on this machine of the service that the user named, or of all.
pub(super) fn discover(here: &Here<'_>) -> Discovered {
    let wanted = here.input("service").map(str::to_lowercase);
    let mut all = Discovered::default();
    for service in SERVICES.iter().filter(|service| wanted.as_deref().is_none_or(|wanted| wanted == service.name)) {
        // npm reads its settings alone; the variables are used from there.
        if service.name == "npm" {
            all.add(npm(here));
        }
        for name in service.variables {
            if let Some(key) = here.env.var(name).filter(|key| !is_password_of_a_user(here, name, key)) {
                all.found.push(entry(service, Secret::new(key.to_owned()), None, Origin::variable(name)));
            }
        }
        match service.name {
            "digitalocean" => all.add(doctl(here, service)),
            "stripe" => all.add(stripe(here, service)),
            "slack" => all.add(slack(here, service)),
            "huggingface" => huggingface(here, service, &mut all),
            "pypi" => all.add(pypirc(here, service)),
            "cargo" => all.add(super::cargo::discover(here, service)),
            _ => {}
        }
    }
    all
}

/// `TWINE_PASSWORD` may belong to a user of another index.
fn is_password_of_a_user(here: &Here<'_>, variable: &str, value: &str) -> bool {
    variable == "TWINE_PASSWORD"
        && (here.env.var("TWINE_USERNAME").is_some_and(|user| user != "__token__") || !value.starts_with("pypi-"))
}

pub(super) fn entry(service: &'static Service, key: Secret, name: Option<String>, origin: Origin) -> Found {
    let mut raw = Raw::new();
    raw.plain("service", service.name).set("api_key", key);
    Found { kind: &KINDS[0], raw, name, origin, expires: None }
}

/// The user's `.npmrc`. The one of a project is not read: a clone could send a token to where it likes.
fn npm(here: &Here<'_>) -> Result<Vec<Found>> {
    let mut found = Vec::new();
    let chosen = ["NPM_CONFIG_USERCONFIG", "npm_config_userconfig"].iter().find_map(|name| here.env.var(name));
    let path = chosen.map(|path| here.env.working_dir().join(here.env.expand_home(path)));
    let Some(path) = path.or_else(|| here.home(".npmrc")) else { return Ok(found) };
    let (Some(file), Some(service)) = (Foreign::read(here, &path, "settings of npm")?, Service::of("npm")) else {
        return Ok(found);
    };
    for npmrc::Entry { registry, token } in npmrc::parse(file.text(), here.env) {
        let address = registry.trim_end_matches('/');
        let official = service.api.official.ends_with(&format!("//{address}"));
        let host = address.split('/').next().unwrap_or_default();
        let origin = Origin::file(here, &path, &format!("[{address}]"));
        let mut one = entry(service, token, (!official).then(|| format!("npm-{host}")), origin);
        // Always with its address, so that no variable sends it elsewhere.
        let is_here = ["127.0.0.1", "localhost", "[::1]"].iter().any(|loopback| host.starts_with(loopback));
        one.raw.plain("endpoint", &format!("{}://{address}", if is_here { "http" } else { "https" }));
        found.push(one);
    }
    Ok(found)
}

#[derive(Deserialize)]
struct Doctl {
    #[serde(rename = "access-token")]
    token: Option<Secret>,
    #[serde(rename = "auth-contexts", default)]
    contexts: Option<BTreeMap<String, Secret>>,
    context: Option<String>,
}

/// The context that doctl uses comes first.
fn doctl(here: &Here<'_>, service: &'static Service) -> Result<Vec<Found>> {
    let mut found = Vec::new();
    let Some(path) = os_config(here, "doctl/config.yaml") else { return Ok(found) };
    let Some(file) = Foreign::read(here, &path, "configuration of doctl")?.filter(|file| !file.is_blank()) else {
        return Ok(found);
    };
    let Doctl { token, contexts, context } = file.yaml()?;
    let current = context.unwrap_or_else(|| "default".into());
    let mut all: Vec<(String, Secret)> = contexts.unwrap_or_default().into_iter().collect();
    all.extend(token.map(|token| ("default".to_owned(), token)));
    all.retain(|(_, token)| !token.expose().is_empty());
    all.sort_by_key(|(name, _)| *name != current);
    found.extend(all.into_iter().map(|(name, token)| {
        let given = (name != "default").then(|| format!("digitalocean-{name}"));
        entry(service, token, given, Origin::file(here, &path, &format!("[{name}]")))
    }));
    Ok(found)
}

#[derive(Deserialize)]
#[serde(untagged)]
enum StripeEntry {
    Project {
        test_mode_api_key: Option<Secret>,
        live_mode_api_key: Option<Secret>,
    },
    Setting(serde::de::IgnoredAny),
}

/// One key for tests and one for real money in each project; what lies in the keychain stands as stars in the file.
fn stripe(here: &Here<'_>, service: &'static Service) -> Result<Vec<Found>> {
    let mut found = Vec::new();
    let Some(path) = here.xdg_config().map(|folder| folder.join("stripe/config.toml")) else { return Ok(found) };
    let Some(file) = Foreign::read(here, &path, "configuration of the Stripe CLI")? else { return Ok(found) };
    let projects: BTreeMap<String, StripeEntry> = file.toml()?;
    for (project, settings) in projects {
        let StripeEntry::Project { test_mode_api_key: test, live_mode_api_key: live } = settings else { continue };
        for (mode, key) in [("test", test), ("live", live)] {
            let Some(key) = key.filter(|key| !key.expose().is_empty() && !key.expose().contains('*')) else { continue };
            let name = if project == "default" { format!("stripe-{mode}") } else { format!("stripe-{project}-{mode}") };
            let origin = Origin::file(here, &path, &format!("[{project}] {mode}_mode_api_key"));
            found.push(entry(service, key, Some(name), origin));
        }
    }
    Ok(found)
}

#[derive(Deserialize)]
struct SlackTeam {
    token: Option<Secret>,
    team_domain: Option<String>,
    exp: Option<i64>,
}

/// One token for each team, by the team's id.
fn slack(here: &Here<'_>, service: &'static Service) -> Result<Vec<Found>> {
    let mut found = Vec::new();
    let Some(path) = here.home(".slack/credentials.json") else { return Ok(found) };
    let Some(file) = Foreign::read(here, &path, "file of sign-ins of the Slack CLI")?.filter(|file| !file.is_blank())
    else {
        return Ok(found);
    };
    let teams: BTreeMap<String, SlackTeam> = file.json()?;
    for (id, SlackTeam { token, team_domain, exp }) in teams {
        let Some(token) = token.filter(|token| !token.expose().is_empty()) else { continue };
        let team = team_domain.unwrap_or(id);
        let origin = Origin::file(here, &path, &format!("[{team}]"));
        let mut one = entry(service, token, Some(format!("slack-{team}")), origin);
        one.expires = exp.filter(|second| *second > 0).and_then(time);
        found.push(one);
    }
    Ok(found)
}

fn time(second: i64) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(second, 0)
}

/// The file with the token in use, then those that were stored under a name.
fn huggingface(here: &Here<'_>, service: &'static Service, all: &mut Discovered) {
    let cache = here.env.var("XDG_CACHE_HOME").map(PathBuf::from).or_else(|| here.home(".cache"));
    let home = here.env.var("HF_HOME").map(|path| here.env.expand_home(path));
    let Some(home) = home.or_else(|| Some(cache?.join("huggingface"))) else { return };
    let chosen = here.env.var("HF_TOKEN_PATH").map(|path| here.env.expand_home(path));
    let path = here.env.working_dir().join(chosen.unwrap_or_else(|| home.join("token")));
    let in_use = Foreign::read(here, &path, "token of Hugging Face").map(|file| {
        let file = file.filter(|file| !file.is_blank())?;
        let token = Secret::new(file.text().trim().to_owned());
        Some(entry(service, token, None, Origin::file(here, &path, "").whole()))
    });
    all.add(in_use);
    all.add(stored_tokens(here, service, &here.env.working_dir().join(home.join("stored_tokens"))));
}

fn stored_tokens(here: &Here<'_>, service: &'static Service, path: &Path) -> Result<Vec<Found>> {
    let mut found = Vec::new();
    let Some(file) = Foreign::read(here, path, "file of tokens of Hugging Face")? else { return Ok(found) };
    for (name, mut section) in file.ini()?.into_sections() {
        if let Some(token) = section.remove("hf_token").filter(|token| !token.expose().is_empty()) {
            let origin = Origin::file(here, path, &format!("[{name}]"));
            found.push(entry(service, token, Some(format!("huggingface-{name}")), origin));
        }
    }
    Ok(found)
}

/// The indexes that a token is kept for; passwords of users are not PyPI's.
fn pypirc(here: &Here<'_>, service: &'static Service) -> Result<Vec<Found>> {
    let mut found = Vec::new();
    let Some(path) = here.home(".pypirc") else { return Ok(found) };
    let Some(file) = Foreign::read(here, &path, "file of package indexes")? else { return Ok(found) };
    for (name, mut section) in file.ini()?.into_sections() {
        let is_token = section.get("username").is_none_or(|user| user.expose() == "__token__");
        let token = section.remove("password").filter(|password| is_token && password.expose().starts_with("pypi-"));
        let Some(token) = token else { continue };
        let origin = Origin::file(here, &path, &format!("[{name}]"));
        let mut one = entry(service, token, (name != "pypi").then(|| name.clone()), origin);
        let address = match (section.remove("repository"), name.as_str()) {
            (Some(address), _) => Some(address),
            (None, "testpypi") => Some(Secret::new("https://test.pypi.org/legacy/".into())),
            (None, _) => None,
        };
        if let Some(address) = address {
            one.raw.set("endpoint", address);
        }
        found.push(one);
    }
    Ok(found)
}

/// A path in the folder in which programs written in Go keep their configuration.
fn os_config(here: &Here<'_>, path: &str) -> Option<PathBuf> {
    let folder = if cfg!(target_os = "macos") {
        here.home("Library/Application Support")
    } else if cfg!(windows) {
        here.env.var("APPDATA").map(PathBuf::from)
    } else {
        here.xdg_config()
    };
    Some(folder?.join(path))
}
