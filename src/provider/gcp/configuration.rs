//! What gcloud is configured with: the active configuration's account and project.

use std::path::{Path, PathBuf};

use crate::os::files;
use crate::provider::{Here, ProviderError};

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
    /// The variables win, as with gcloud.
    pub(super) fn read(here: &Here<'_>) -> Result<Self, ProviderError> {
        let mut active = Self::of_file(here)?;
        let first = |names: &[&str]| names.iter().find_map(|name| here.env.var(name)).map(str::to_owned);
        active.account = first(&["CLOUDSDK_CORE_ACCOUNT"]).or(active.account);
        active.project =
            first(&["GOOGLE_CLOUD_PROJECT", "GCLOUD_PROJECT", "CLOUDSDK_CORE_PROJECT"]).or(active.project);
        Ok(active)
    }

    fn of_file(here: &Here<'_>) -> Result<Self, ProviderError> {
        let Some(folder) = folder(here) else { return Ok(Self::default()) };
        let chosen = match here.env.var("CLOUDSDK_ACTIVE_CONFIG_NAME") {
            Some(name) => Some(name.to_owned()),
            None => text(here, &folder.join("active_config"), "gcloud configuration")?,
        };
        let name = chosen.as_deref().map_or("default", str::trim);
        // The name of a configuration: gcloud itself allows nothing that could climb out of the folder.
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)) {
            return Ok(Self::default());
        }
        let path = folder.join("configurations").join(format!("config_{name}"));
        let Some(text) = text(here, &path, "gcloud configuration")? else { return Ok(Self::default()) };
        parse(&text).map_err(|line| ProviderError::Foreign {
            place: here.shown(&path),
            what: "gcloud configuration",
            problem: format!("line {line} is neither [SECTION] nor NAME = VALUE"),
        })
    }
}

/// A file as text, where it is there.
pub(super) fn text(here: &Here<'_>, path: &Path, what: &'static str) -> Result<Option<String>, ProviderError> {
    let Some(bytes) = files::read(path)? else { return Ok(None) };
    String::from_utf8(bytes).map(Some).map_err(|_| ProviderError::Foreign {
        place: here.shown(path),
        what,
        problem: "it is no UTF-8 text".into(),
    })
}

/// Reads the section `core` of a gcloud configuration; the number of the line that is none where there is one.
pub(super) fn parse(text: &str) -> Result<Active, usize> {
    let mut active = Active::default();
    let mut in_core = false;
    let mut any = false;
    for (number, line) in text.lines().enumerate() {
        let continues = line.starts_with([' ', '\t']) && any;
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', ';']) || continues {
            continue;
        }
        if let Some(section) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            in_core = section.trim() == "core";
            continue;
        }
        let Some((name, value)) = line.split_once(['=', ':']) else { return Err(number + 1) };
        any = true;
        let value = Some(value.trim().to_owned()).filter(|value| !value.is_empty());
        match name.trim() {
            "account" if in_core => active.account = value,
            "project" if in_core => active.project = value,
            _ => {}
        }
    }
    Ok(active)
}
