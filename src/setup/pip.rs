//! pip: the provider `subprocess` in `pip.conf`, and the program under the name `keyring`, which pip starts.

use std::path::{Path, PathBuf};

use super::{Plan, SetupError, Site, Tool, ini, links};
use crate::os::{Env, program};

/// Python packages by pip.
pub(super) struct Pip;
/// The tool.
pub(super) static TOOL: Pip = Pip;

const KEY: &str = "keyring-provider";

impl Tool for Pip {
    fn name(&self) -> &'static str {
        "pip"
    }

    fn title(&self) -> &'static str {
        "pip: Python package indexes"
    }

    fn programs(&self) -> &'static [&'static str] {
        &["pip", "pip3"]
    }

    fn plan(&self, site: &Site<'_>) -> Result<Plan, SetupError> {
        let mut plan = Plan::default();
        links::keyring(&mut plan, site)?;
        let path = configuration(site)?;
        plan.file(path, |text| Ok(ini::set(text, "global", KEY, "subprocess")))?;
        Ok(plan)
    }

    fn without(&self, _: &Env, _: &Path, text: &str, before: &str) -> Result<String, SetupError> {
        Ok(ini::without(text, "global", KEY, "subprocess", before))
    }

    fn check(&self, site: &Site<'_>) -> Result<Option<String>, SetupError> {
        let asked = ["pip", "pip3"].iter().find_map(|pip| program::output(site.env, pip, &["config", "list"], 20).ok());
        let Some(told) = asked else { return Ok(None) };
        if told.expose().contains("keyring-provider='subprocess'") {
            return Ok(Some("pip asks the program keyring, which is lanyard".into()));
        }
        Err(SetupError::NotAsked { tool: self.name(), problem: "it does not ask a program".into() })
    }

    fn replaces(&self) -> &'static [(&'static str, &'static str)] {
        &[("api-key", "pypirc"), ("password", "netrc"), ("password", "pip")]
    }
}

fn configuration(site: &Site<'_>) -> Result<PathBuf, SetupError> {
    match site.env.var("PIP_CONFIG_FILE") {
        Some(file) if file != "/dev/null" => Ok(site.env.working_dir().join(file)),
        _ => Ok(site.env.user_config_dir().ok_or(SetupError::NoHome)?.join("pip/pip.conf")),
    }
}
