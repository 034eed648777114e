//! git: a helper for each host in `~/.gitconfig`, with an empty one before it, so that no other helper is asked or told.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::block::{self, At};
use super::{Plan, SetupError, Site, Tool, read};
use crate::credential::Address;
use crate::os::program;
use crate::provider;

/// git over HTTPS.
pub(super) struct Git;
/// The tool.
pub(super) static TOOL: Git = Git;


impl Tool for Git {
    fn name(&self) -> &'static str {
        "git"
    }

    fn title(&self) -> &'static str {
        "git over HTTPS"
    }

    fn programs(&self) -> &'static [&'static str] {
        &["git"]
    }

    fn plan(&self, site: &Site<'_>) -> Result<Plan, SetupError> {
        let path = configuration(site)?;
        let present = read(&path)?.unwrap_or_default();
        // A host that was named once stays, whatever else is stored or named later.
        let before = block::lines(&present).filter_map(|line| line.strip_prefix("[credential \"")?.strip_suffix("\"]"));
        let origins: BTreeSet<String> = origins(site).into_iter().chain(before.map(str::to_owned)).collect();
        if origins.is_empty() {
            return Err(SetupError::NothingToServe {
                tool: self.name(),
                store: "`lanyard credentials store git HOST`; or name a host: `lanyard setup git --host github.com`",
            });
        }
        let helper = command(site.program);
        let with_path: BTreeSet<String> = addresses(site).filter(|own| own.path.is_some()).map(|own| origin(&own)).collect();
        let section = |name: &String| {
            // Without it git tells no path, and what is for a path is never handed out.
            let path = if with_path.contains(name) { "\tuseHttpPath = true\n" } else { "" };
            format!("[credential \"{name}\"]\n\thelper =\n\thelper = \"{helper}\"\n{path}")
        };
        let lines = origins.iter().map(section).collect::<Vec<_>>().concat();
        let mut plan = Plan::default();
        plan.file(path, |text| Ok(block::with(text, "#", At::Bottom, &lines)))?;
        Ok(plan)
    }

    fn check(&self, site: &Site<'_>) -> Result<Option<String>, SetupError> {
        let Some(origin) = origins(site).into_iter().next() else { return Ok(None) };
        let asked = program::output(site.env, "git", &["config", "--get-urlmatch", "credential.helper", &origin], 10);
        let Ok(told) = asked else { return Ok(None) };
        if told.expose().contains("helper git") {
            return Ok(Some(format!("git asks lanyard for {origin}")));
        }
        Err(SetupError::NotAsked { tool: self.name(), problem: format!("it has another helper for {origin}") })
    }

    fn replaces(&self) -> &'static [(&'static str, &'static str)] {
        &[("git", ".git-credentials"), ("git", "netrc")]
    }
}

/// The hosts that git is to ask lanyard for.
fn origins(site: &Site<'_>) -> BTreeSet<String> {
    addresses(site).chain(site.hosts.iter().cloned()).map(|address| origin(&address)).collect()
}

/// What is stored for git.
fn addresses<'s>(site: &'s Site<'_>) -> impl Iterator<Item = Address> + 's {
    site.served_by("git").flat_map(provider::addresses)
}

fn origin(address: &Address) -> String {
    format!("{}://{}", address.scheme.as_deref().unwrap_or("https"), address.host)
}

/// The file that git writes its own global settings to.
fn configuration(site: &Site<'_>) -> Result<PathBuf, SetupError> {
    if let Some(file) = site.env.var("GIT_CONFIG_GLOBAL") {
        return Ok(site.env.expand_home(file));
    }
    let own = site.home(".gitconfig")?;
    let other = site.env.user_config_dir().map(|dir| dir.join("git/config"));
    Ok(other.filter(|other| other.is_file() && !own.exists()).unwrap_or(own))
}

/// The command as git's configuration has it, within double quotes. git hands it to a shell.
fn command(program: &Path) -> String {
    let path = program.display().to_string();
    let is_simple = path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._-+".contains(&byte));
    let command = if is_simple {
        format!("{path} helper git")
    } else {
        format!("!'{}' helper git", path.replace('\'', r"'\''"))
    };
    command.replace('\\', r"\\").replace('"', "\\\"")
}
