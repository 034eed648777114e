//! Where Vercel's CLI keeps what it signs in with.

use std::path::PathBuf;

use chrono::{DateTime, Utc};
use serde::Deserialize;

use super::KINDS;
use crate::credential::Raw;
use crate::provider::foreign::Foreign;
use crate::provider::{Discovered, Found, Here, Origin, ProviderError};
use crate::secret::Secret;

/// The variable first, then what `vercel login` stored in a file. What it put into the keychain stays there.
pub(super) fn discover(here: &Here<'_>) -> Discovered {
    let mut all = Discovered::default();
    let team = here.env.var("VERCEL_ORG_ID");
    if let Some(token) = here.env.var("VERCEL_TOKEN") {
        all.found.push(entry(here, Secret::new(token.to_owned()), team, Origin::variable("VERCEL_TOKEN"), None));
    }
    all.add(signed_in(here, team));
    all
}

fn signed_in(here: &Here<'_>, team: Option<&str>) -> Result<Option<Found>, ProviderError> {
    let Some(folder) = folder(here) else { return Ok(None) };
    let path = folder.join("auth.json");
    let Some(file) = Foreign::read(here, &path, "sign-in of Vercel")? else { return Ok(None) };
    let signed_in: SignedIn = file.json()?;
    let Some(token) = signed_in.token.filter(|token| !token.expose().is_empty()) else { return Ok(None) };
    // Without it, it is not known which team is worked in.
    let settings = match Foreign::read(here, &folder.join("config.json"), "configuration of Vercel")? {
        Some(file) => file.json()?,
        None => Settings::default(),
    };
    let team = team.or(settings.team.as_deref());
    let end = signed_in.end.and_then(|second| DateTime::from_timestamp(second, 0));
    Ok(Some(entry(here, token, team, Origin::file(here, &path, ""), end)))
}

/// `com.vercel.cli` in the folder for data, else the folder of the CLI's old name.
fn folder(here: &Here<'_>) -> Option<PathBuf> {
    let chosen = here.env.var("XDG_DATA_HOME").map(PathBuf::from).filter(|folder| folder.is_absolute());
    let data = chosen.or_else(|| {
        if cfg!(target_os = "macos") {
            here.home("Library/Application Support")
        } else if cfg!(windows) {
            Some(PathBuf::from(here.env.var("APPDATA")?).join("xdg.data"))
        } else {
            here.home(".local/share")
        }
    })?;
    let (now, before) = (data.join("com.vercel.cli"), here.home(".now")?);
    Some(if now.is_dir() || !before.is_dir() { now } else { before })
}

/// The organization is a team's or the user's own; only a team's counts.
fn entry(
    here: &Here<'_>,
    token: Secret,
    team: Option<&str>,
    origin: Origin,
    expires: Option<DateTime<Utc>>,
) -> Found {
    let mut raw = Raw::new();
    raw.set("api_token", token);
    if let Some(team) = team.filter(|team| team.starts_with("team_")) {
        raw.plain("team_id", team);
    }
    if let Some(project) = here.env.var("VERCEL_PROJECT_ID") {
        raw.plain("project_id", project);
    }
    Found { kind: &KINDS[0], raw, name: None, origin, expires }
}

#[derive(Deserialize)]
struct SignedIn {
    token: Option<Secret>,
    #[serde(rename = "expiresAt")]
    end: Option<i64>,
}

#[derive(Deserialize, Default)]
struct Settings {
    #[serde(rename = "currentTeam")]
    team: Option<String>,
}
