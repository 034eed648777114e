//! docker and every other client that reads its file: a helper for each registry in `config.json`, and the program under
//! the name by which they look for it.

use std::path::{Path, PathBuf};

use super::{Plan, SetupError, Site, Tool, json, links, read};
use crate::credential::docker_key;
use crate::os::{Env, program};
use crate::provider;

/// Registries.
pub(super) struct Docker;
/// The tool.
pub(super) static TOOL: Docker = Docker;

/// The program that clients start for `"lanyard"` in their file.
const PROGRAM: &str = "docker-credential-lanyard";
const HELPERS: &str = "credHelpers";
const OURS: &str = "lanyard";

impl Tool for Docker {
    fn name(&self) -> &'static str {
        "docker"
    }

    fn title(&self) -> &'static str {
        "docker, skopeo, crane, Helm: registries"
    }

    fn programs(&self) -> &'static [&'static str] {
        &["docker", "skopeo", "podman", "crane", "helm", "buildah", "oras"]
    }

    fn plan(&self, site: &Site<'_>) -> Result<Plan, SetupError> {
        let hosts = hosts(site);
        if hosts.is_empty() {
            return Err(SetupError::NothingToServe { tool: self.name(), store: "`lanyard credentials store registry URL`" });
        }
        let path = configuration(site)?;
        let mut plan = Plan::default();
        links::plan(&mut plan, site, PROGRAM)?;
        plan.file(path.clone(), |text| {
            hosts
                .iter()
                .try_fold(text.to_owned(), |text, host| json::set(&text, HELPERS, host, OURS))
                .ok_or_else(|| unclear(&path))
        })?;
        if read(&path)?.is_some_and(|text| json::has(&text, "credsStore")) {
            plan.notes.push("other registries still go to the store named in credsStore".into());
        }
        Ok(plan)
    }

    fn without(&self, _: &Env, path: &Path, text: &str, before: &str) -> Result<String, SetupError> {
        json::without(text, HELPERS, OURS, before).ok_or_else(|| unclear(path))
    }

    fn check(&self, site: &Site<'_>) -> Result<Option<String>, SetupError> {
        let not_asked = |problem: String| SetupError::NotAsked { tool: self.name(), problem };
        let Some(host) = hosts(site).into_iter().next() else { return Ok(None) };
        if program::find(site.env, PROGRAM).is_none() {
            return Err(not_asked(format!("{PROGRAM} is not in a folder of PATH")));
        }
        let text = read(&configuration(site)?)?.unwrap_or_default();
        match json::get(&text, HELPERS, &host) {
            Some(OURS) => Ok(Some(format!("clients ask lanyard for {host}"))),
            _ => Err(not_asked(format!("its file names another helper for {host}"))),
        }
    }

    fn replaces(&self) -> &'static [(&'static str, &'static str)] {
        &[("registry", "config.json"), ("registry", "auth.json")]
    }
}

fn unclear(path: &Path) -> SetupError {
    SetupError::Unclear {
        path: path.to_owned(),
        problem: "it is no JSON object, or its credHelpers are none".into(),
        mend: format!("mend {}, then run the command once more", path.display()),
    }
}

/// The registries, as docker's file names them.
fn hosts(site: &Site<'_>) -> Vec<String> {
    let own = site.served_by("docker").filter_map(|metadata| provider::addresses(metadata).into_iter().next());
    let mut hosts: Vec<String> = own
        .chain(site.hosts.iter().cloned())
        .map(|address| docker_key(&address.host))
        .collect();
    hosts.sort_unstable();
    hosts.dedup();
    hosts
}

fn configuration(site: &Site<'_>) -> Result<PathBuf, SetupError> {
    match site.env.var("DOCKER_CONFIG") {
        Some(folder) => Ok(site.env.working_dir().join(folder).join("config.json")),
        None => site.home(".docker/config.json"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credential::tests::credential;
    use crate::credential::{Address, Fields, Raw};

    #[test]
    fn every_registry_that_the_helper_knows_is_set_up() {
        let stored = |kind: &str, values: &[(&str, &str)]| {
            let mut raw = Raw::new();
            for (name, value) in values {
                raw.plain(name, value);
            }
            credential(kind, Fields::parse(provider::by_kind(kind).unwrap().1, raw).unwrap()).metadata
        };
        let credentials = [
            stored("registry", &[("url", "https://docker.io"), ("username", "u"), ("password", "p")]),
            stored("registry_gar", &[("url", "https://europe-docker.pkg.dev"), ("source", "gcp"), ("flavour", "gar")]),
        ];
        let env = Env::empty();
        let named = ["r.example:5000", "index.docker.io"].map(|host| Address::named(host).unwrap());
        let site = Site {
            env: &env,
            program: Path::new("/opt/lanyard"),
            credentials: &credentials,
            exported: &|_, _| Ok(None),
            hosts: &named,
            credential: None,
        };
        assert_eq!(hosts(&site), ["europe-docker.pkg.dev", "https://index.docker.io/v1/", "r.example:5000"]);
    }
}
