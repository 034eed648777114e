//! What gcloud is configured with: the active configuration's account and project.

use std::path::{Path, PathBuf};

use crate::provider::foreign::{Foreign, Ini};
use crate::provider::{Discovered, Here, ProviderError};

const WHAT: &str = "gcloud configuration";

/// Account and project, as gcloud would take them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Active {
    pub(super) account: Option<String>,
    pub(super) project: Option<String>,
}

/// gcloud's folder: `$CLOUDSDK_CONFIG`, else `~/.config/gcloud`, on Windows `%APPDATA%\gcloud`.
pub(super) fn folder(here: &Here<'_>) -> Option<PathBuf> {
    if let Some(chosen) = here.env.var("CLOUDSDK_CONFIG") {
        return Some(here.env.working_dir().join(here.env.expand_home(chosen)));
    }
    if cfg!(windows) {
        return here.env.var("APPDATA").map(|folder| Path::new(folder).join("gcloud"));
    }
    // Not `$XDG_CONFIG_HOME`: gcloud does not read it.
    here.home(".config/gcloud")
}

impl Active {
    /// The variables win, as with gcloud. A broken file is noted in `all`.
    pub(super) fn read(here: &Here<'_>, all: &mut Discovered) -> Self {
        let mut active = all.value(Self::of_file(here));
        let first = |names: &[&str]| names.iter().find_map(|name| here.env.var(name)).map(str::to_owned);
        active.account = first(&["CLOUDSDK_CORE_ACCOUNT"]).or(active.account);
        active.project =
            first(&["GOOGLE_CLOUD_PROJECT", "GCLOUD_PROJECT", "CLOUDSDK_CORE_PROJECT"]).or(active.project);
        active
    }

    fn of_file(here: &Here<'_>) -> Result<Self, ProviderError> {
        let Some(folder) = folder(here) else { return Ok(Self::default()) };
        let chosen = match here.env.var("CLOUDSDK_ACTIVE_CONFIG_NAME") {
            Some(name) => Some(name.to_owned()),
            None => Foreign::read(here, &folder.join("active_config"), WHAT)?.map(|file| file.text().to_owned()),
        };
        let name = chosen.as_deref().map_or("default", str::trim);
        // The name of a configuration: gcloud itself allows nothing that could climb out of the folder.
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)) {
            return Ok(Self::default());
        }
        let path = folder.join("configurations").join(format!("config_{name}"));
        match Foreign::read(here, &path, WHAT)? {
            Some(file) => Ok(Self::of(file.ini()?)),
            None => Ok(Self::default()),
        }
    }

    /// The section `core`.
    pub(super) fn of(ini: Ini) -> Self {
        let mut active = Self::default();
        for (_, mut core) in ini.into_sections().into_iter().filter(|(name, _)| name == "core") {
            let mut value = |name: &str| core.remove(name).map(|value| value.expose().to_owned());
            active = Self { account: value("account"), project: value("project") };
        }
        active
    }
}
