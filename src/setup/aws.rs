//! AWS tools: a profile for each AWS credential in `~/.aws/config`, whose `credential_process` is lanyard.

use std::path::{Path, PathBuf};

use super::block::{self, At};
use super::{Plan, SetupError, Site, Tool, read};
use crate::os::program;

/// AWS tools.
pub(super) struct Aws;
/// The tool.
pub(super) static TOOL: Aws = Aws;


impl Tool for Aws {
    fn name(&self) -> &'static str {
        "aws"
    }

    fn title(&self) -> &'static str {
        "aws and the AWS libraries"
    }

    fn programs(&self) -> &'static [&'static str] {
        &["aws", "terraform", "tofu", "pulumi", "cdk", "sam"]
    }

    fn plan(&self, site: &Site<'_>) -> Result<Plan, SetupError> {
        let path = configuration(site)?;
        let present = read(&path)?.unwrap_or_default();
        let theirs = block::without(&present);
        let command = command(site.program);
        let mut plan = Plan::default();
        let mut lines = Vec::new();
        for metadata in site.served_by("aws") {
            let name = &metadata.name;
            let section = section(name);
            if theirs.lines().any(|line| heads(line, &section)) {
                plan.notes.push(format!(
                    "profile {name} is in {} already and stays as it is; rename the credential to have it set up",
                    path.display()
                ));
                continue;
            }
            lines.push(format!("[{section}]\ncredential_process = {command} {name}\n"));
            if let Some(region) = metadata.field("region") {
                lines.push(format!("region = {region}\n"));
            }
        }
        if lines.is_empty() && plan.notes.is_empty() {
            return Err(SetupError::NothingToServe { tool: self.name(), store: "`lanyard credentials store aws`" });
        }
        plan.file(path, |text| Ok(block::with(text, "#", At::Bottom, &lines.concat())))?;
        Ok(plan)
    }

    fn check(&self, site: &Site<'_>) -> Result<Option<String>, SetupError> {
        let Some(first) = site.served_by("aws").next() else { return Ok(None) };
        let asked = ["configure", "get", "credential_process", "--profile", &first.name];
        let Ok(told) = program::output(site.env, "aws", &asked, 20) else { return Ok(None) };
        if told.expose().contains("helper aws") {
            return Ok(Some(format!("aws --profile {} asks lanyard", first.name)));
        }
        Err(SetupError::NotAsked { tool: self.name(), problem: format!("profile {} has another process", first.name) })
    }

    fn replaces(&self) -> &'static [(&'static str, &'static str)] {
        &[("aws", "credentials")]
    }
}

/// The head of a profile's section. The usual profile has one of its own.
fn section(name: &str) -> String {
    if name == "default" { "default".into() } else { format!("profile {name}") }
}

/// Whether a line is the head of that section.
fn heads(line: &str, section: &str) -> bool {
    let inner = line.trim().strip_prefix('[').and_then(|rest| rest.split(']').next());
    inner.is_some_and(|inner| inner.split_whitespace().eq(section.split_whitespace()))
}

/// The command as AWS libraries split it: no shell, double quotes around what has blanks.
fn command(program: &Path) -> String {
    let path = program.display().to_string();
    let is_simple = path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._-+".contains(&byte));
    if is_simple { format!("{path} helper aws") } else { format!("\"{path}\" helper aws") }
}

fn configuration(site: &Site<'_>) -> Result<PathBuf, SetupError> {
    match site.env.var("AWS_CONFIG_FILE") {
        Some(file) => Ok(site.env.working_dir().join(site.env.expand_home(file))),
        None => site.home(".aws/config"),
    }
}
