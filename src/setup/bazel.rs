//! Bazel: a credential helper for each host in `~/.bazelrc`.

use std::collections::BTreeSet;

use super::block::{self, At};
use super::{Plan, SetupError, Site, Tool, links};
use crate::provider;

/// Bazel.
pub(super) struct Bazel;
/// The tool.
pub(super) static TOOL: Bazel = Bazel;

/// The name under which the program answers Bazel, which passes it no words of ours.
const PROGRAM: &str = "lanyard-bazel";

impl Tool for Bazel {
    fn name(&self) -> &'static str {
        "bazel"
    }

    fn title(&self) -> &'static str {
        "Bazel: downloads and remote caches"
    }

    fn programs(&self) -> &'static [&'static str] {
        &["bazel", "bazelisk"]
    }

    fn plan(&self, site: &Site<'_>) -> Result<Plan, SetupError> {
        let hosts = hosts(site);
        if hosts.is_empty() {
            return Err(SetupError::NothingToServe {
                tool: self.name(),
                store: "`lanyard credentials store api-key SERVICE --endpoint https://HOST`",
            });
        }
        let mut plan = Plan::default();
        links::plan(&mut plan, site, PROGRAM)?;
        let line = |host| format!("common --credential_helper={host}={PROGRAM}\n");
        let lines = hosts.iter().map(line).collect::<Vec<_>>().concat();
        plan.file(site.home(".bazelrc")?, |text| Ok(block::with(text, "#", At::Bottom, &lines)))?;
        Ok(plan)
    }
}

/// The hosts without their ports, as Bazel's patterns have them.
fn hosts(site: &Site<'_>) -> BTreeSet<String> {
    site.served_by("bazel")
        .flat_map(provider::addresses)
        .chain(site.hosts.iter().cloned())
        .filter(|address| address.scheme.as_deref() == Some("https"))
        .map(|address| address.host.split(':').next().unwrap_or_default().to_owned())
        .collect()
}
