//! Where Verda's CLI keeps client credentials: its configuration, the environment, and a profile of its credentials
//! file, each value from the first that has it.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::KINDS;
use crate::credential::Raw;
use crate::provider::foreign::{Foreign, Section};
use crate::provider::{Discovered, Found, Here, Origin, ProviderError};
use crate::secret::Secret;
use crate::text::clean;

/// A value: its field, its variables (today's and that of the old company), its name in the credentials file.
const VALUES: [(&str, [&str; 2], &str); 2] = [
    ("client_id", ["VERDA_CLIENT_ID", "DATACRUNCH_CLIENT_ID"], "verda_client_id"),
    ("client_secret", ["VERDA_CLIENT_SECRET", "DATACRUNCH_CLIENT_SECRET"], "verda_client_secret"),
];

#[derive(Deserialize, Default)]
struct Configuration {
    #[serde(rename = "base-url")]
    address: Option<String>,
    #[serde(default)]
    auth: Auth,
}

#[derive(Deserialize, Default)]
struct Auth {
    profile: Option<String>,
    #[serde(rename = "client-id")]
    client_id: Option<Secret>,
    #[serde(rename = "client-secret")]
    client_secret: Option<Secret>,
    #[serde(rename = "credentials-file")]
    file: Option<String>,
}

/// What the CLI would use first, then the other profiles. A profile that is wanted by name stands alone.
pub(super) fn discover(here: &Here<'_>) -> Discovered {
    let wanted = here.input("verda-profile");
    let mut all = Discovered::default();
    let config = all.value(configuration(here));
    let chosen = config.auth.profile.clone().or_else(|| here.env.var("VERDA_PROFILE").map(str::to_owned));
    let active = wanted.map(str::to_owned).or_else(|| chosen.clone()).unwrap_or_else(|| "default".into());
    let path = credentials(here, config.auth.file.as_deref());
    let profiles = path.as_ref().map_or_else(|| Ok(Default::default()), |path| profiles(here, path, &active));
    let (mine, others) = all.value(profiles);
    let not_there = || ProviderError::NotThere {
        what: format!("profile {}", clean(&active)),
        place: path.as_ref().map_or_else(|| "the home folder".into(), |path| here.shown(path)),
        mend: "choose one of its sections with `--verda-profile`".into(),
    };
    if wanted.is_some() {
        match mine {
            Some(mine) => all.found.push(mine),
            None if all.broken.is_empty() => all.meant(not_there()),
            None => {}
        }
        return all;
    }
    let (own, origin) = own(here, config);
    match mine {
        Some(mine) => all.found.push(over(own, origin, mine)),
        None if own.has("client_id") || own.has("client_secret") => all.found.push(entry(own, None, origin)),
        // The CLI stops at a profile that is named and missing; another one is not what was meant.
        None if chosen.is_some() && !others.is_empty() => all.meant(not_there()),
        None => {}
    }
    all.found.extend(others);
    all
}

/// What the configuration says, else the variables, and where the secret came from.
fn own(here: &Here<'_>, config: Configuration) -> (Raw, Option<Origin>) {
    let (mut raw, mut origin) = (Raw::new(), None);
    if let Some(address) = config.address {
        raw.plain("endpoint", &address);
    }
    if let Some(id) = config.auth.client_id {
        raw.set("client_id", id);
    }
    if let (Some(secret), Some(folder)) = (config.auth.client_secret, folder(here)) {
        raw.set("client_secret", secret);
        origin = Some(Origin::file(here, &folder.join("config.yaml"), "auth.client-secret"));
    }
    for (field, variables, _) in VALUES {
        for name in variables {
            let Some(value) = here.env.var(name).filter(|_| !raw.has(field)) else { continue };
            raw.plain(field, value);
            origin = origin.or_else(|| Some(Origin::variable(name)));
        }
    }
    (raw, origin)
}

/// The values of a profile under those that win over them.
fn over(mut own: Raw, origin: Option<Origin>, profile: Found) -> Found {
    let whole = own.has("client_id") && own.has("client_secret");
    let origin = origin.filter(|_| own.has("client_secret")).unwrap_or(profile.origin);
    own.fill_from(profile.raw);
    Found { raw: own, origin, name: profile.name.filter(|_| !whole), ..profile }
}

/// The profiles of the credentials file: the active one, where it is there, and the others.
fn profiles(here: &Here<'_>, path: &Path, active: &str) -> Result<(Option<Found>, Vec<Found>), ProviderError> {
    let (mut mine, mut others) = (None, Vec::new());
    let Some(file) = Foreign::read(here, path, "credentials file of Verda")? else { return Ok((mine, others)) };
    for (name, section) in file.ini()?.into_sections() {
        let raw = values(section);
        // Profiles for the object store and the registry alone have no client.
        if !raw.has("client_secret") {
            continue;
        }
        let title = (name != "default").then(|| format!("verda-{name}"));
        let found = entry(raw, title, Some(Origin::file(here, path, &format!("[{name}]"))));
        if name == active { mine = Some(found) } else { others.push(found) }
    }
    Ok((mine, others))
}

fn values(mut section: Section) -> Raw {
    let mut raw = Raw::new();
    let names = VALUES.iter().map(|(field, _, name)| (*name, *field)).chain([("verda_base_url", "endpoint")]);
    for (name, field) in names {
        if let Some(value) = section.remove(name).filter(|value| !value.expose().is_empty()) {
            raw.set(field, value);
        }
    }
    raw
}

fn entry(raw: Raw, name: Option<String>, origin: Option<Origin>) -> Found {
    let origin = origin.unwrap_or_else(|| Origin::variable("VERDA_CLIENT_SECRET"));
    Found { kind: &KINDS[0], raw, name, origin, expires: None }
}

/// `VERDA_HOME`, else `~/.verda`.
fn folder(here: &Here<'_>) -> Option<PathBuf> {
    let own = here.env.var("VERDA_HOME").map(|folder| here.env.working_dir().join(folder));
    own.or_else(|| here.home(".verda"))
}

fn credentials(here: &Here<'_>, configured: Option<&str>) -> Option<PathBuf> {
    let named = configured.or(here.env.var("VERDA_SHARED_CREDENTIALS_FILE"));
    let named = named.map(|path| here.env.working_dir().join(here.env.expand_home(path)));
    named.or_else(|| Some(folder(here)?.join("credentials")))
}

fn configuration(here: &Here<'_>) -> Result<Configuration, ProviderError> {
    let Some(folder) = folder(here) else { return Ok(Configuration::default()) };
    match Foreign::read(here, &folder.join("config.yaml"), "configuration of Verda")? {
        // An empty file is no YAML mapping, and says nothing.
        Some(file) if !file.is_blank() => file.yaml(),
        _ => Ok(Configuration::default()),
    }
}
