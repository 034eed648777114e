//! Where Cloudflare's tools keep what they sign in with.

use std::path::PathBuf;

use chrono::{DateTime, Utc};
use serde::Deserialize;

use super::KINDS;
use crate::os::Env;
use crate::provider::foreign::Foreign;
use crate::provider::{Discovered, Found, Here, Origin, ProviderError};
use crate::credential::Raw;
use crate::secret::Secret;

/// The account that the tools would work in.
pub(super) fn account_id(env: &Env) -> Option<&str> {
    env.var("CLOUDFLARE_ACCOUNT_ID").or_else(|| env.var("CF_ACCOUNT_ID"))
}

/// Tokens in variables first, as wrangler takes them, then what wrangler itself keeps. The global key, which wrangler
/// prefers to a token, is no credential of ours.
pub(super) fn discover(here: &Here<'_>) -> Discovered {
    let mut found: Vec<Found> = Vec::new();
    for name in ["CLOUDFLARE_API_TOKEN", "CF_API_TOKEN"] {
        let Some(token) = here.env.var(name) else { continue };
        let again = found.iter().any(|found| found.raw.get("api_token").is_some_and(|known| known.expose() == token));
        if !again {
            found.push(entry(here, Secret::new(token.to_owned()), Origin::variable(name), None));
        }
    }
    let mut all = Discovered { found, ..Discovered::default() };
    all.add(kept_by_wrangler(here));
    all
}

fn kept_by_wrangler(here: &Here<'_>) -> Result<Vec<Found>, ProviderError> {
    let mut found = Vec::new();
    let Some(path) = wrangler(here) else { return Ok(found) };
    let Some(file) = Foreign::read(here, &path, "configuration of wrangler")? else { return Ok(found) };
    let Configuration { api_token, oauth_token, expiration_time } = file.toml()?;
    let origin = |entry| Origin::file(here, &path, entry);
    found.extend(kept(api_token).map(|token| entry(here, token, origin("api_token"), None)));
    let end = expiration_time.as_ref().and_then(time);
    found.extend(kept(oauth_token).map(|token| entry(here, token, origin("oauth_token"), end)));
    Ok(found)
}

/// A time, which wrangler writes as a text.
fn time(value: &toml::Value) -> Option<DateTime<Utc>> {
    Some(DateTime::parse_from_rfc3339(value.as_str()?).ok()?.to_utc())
}

fn kept(token: Option<Secret>) -> Option<Secret> {
    token.filter(|token| !token.expose().is_empty())
}

fn entry(here: &Here<'_>, token: Secret, origin: Origin, expires: Option<DateTime<Utc>>) -> Found {
    let mut raw = Raw::new();
    raw.set("api_token", token);
    if let Some(id) = account_id(here.env) {
        raw.plain("account_id", id);
    }
    Found { kind: &KINDS[0], raw, name: None, origin, expires }
}

/// `~/.wrangler` where that folder is, else `.wrangler` in the folder for configuration, which is the same on all
/// systems where `XDG_CONFIG_HOME` is set.
fn wrangler(here: &Here<'_>) -> Option<PathBuf> {
    let own = here.home(".wrangler")?;
    let folder = if own.is_dir() {
        own
    } else if here.env.var("XDG_CONFIG_HOME").is_some() {
        here.xdg_config()?.join(".wrangler")
    } else if cfg!(target_os = "macos") {
        here.home("Library/Preferences/.wrangler")?
    } else if cfg!(windows) {
        PathBuf::from(here.env.var("APPDATA")?).join("xdg.config/.wrangler")
    } else {
        here.xdg_config()?.join(".wrangler")
    };
    Some(folder.join("config/default.toml"))
}

#[derive(Deserialize)]
struct Configuration {
    /// Of wrangler 1.
    api_token: Option<Secret>,
    oauth_token: Option<Secret>,
    expiration_time: Option<toml::Value>,
}
