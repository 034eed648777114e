//! npm: it has no helper, but reads variables in `.npmrc`. The token comes with `lanyard run -- npm …` and stands in no
//! file.

use std::path::PathBuf;

use super::block::{self, At};
use super::{Plan, SetupError, Site, Tool};
use crate::credential::Metadata;
use crate::provider;

/// npm, pnpm, yarn.
pub(super) struct Npm;
/// The tool.
pub(super) static TOOL: Npm = Npm;

impl Tool for Npm {
    fn name(&self) -> &'static str {
        "npm"
    }

    fn title(&self) -> &'static str {
        "npm: registries, under `lanyard run`"
    }

    fn programs(&self) -> &'static [&'static str] {
        &["npm", "pnpm"]
    }

    fn plan(&self, site: &Site<'_>) -> Result<Plan, SetupError> {
        let places: Vec<String> = site.of_kinds(&["api_key"]).filter_map(place).collect();
        if places.is_empty() {
            return Err(SetupError::NothingToServe { tool: self.name(), store: "`lanyard credentials store api-key npm`" });
        }
        let line = |place| format!("//{place}/:_authToken=${{NPM_TOKEN}}\n");
        let lines = places.iter().map(line).collect::<Vec<_>>().concat();
        let mut plan = Plan::default();
        plan.file(configuration(site)?, |text| Ok(block::with(text, "#", At::Bottom, &lines)))?;
        plan.notes.push("npm has no way to ask a helper: start it with `lanyard run --credential NAME -- npm …`".into());
        Ok(plan)
    }

    fn replaces(&self) -> &'static [(&'static str, &'static str)] {
        &[("api-key", "npmrc")]
    }
}

/// Where a registry's token counts: its host and path.
fn place(metadata: &Metadata) -> Option<String> {
    let address = provider::addresses(metadata).into_iter().next()?;
    (metadata.service() == "npm").then(|| match address.path {
        Some(path) => format!("{}/{path}", address.host),
        None => address.host,
    })
}

fn configuration(site: &Site<'_>) -> Result<PathBuf, SetupError> {
    let chosen = ["NPM_CONFIG_USERCONFIG", "npm_config_userconfig"].iter().find_map(|name| site.env.var(name));
    chosen.map_or_else(|| site.home(".npmrc"), |file| Ok(site.env.working_dir().join(file)))
}
