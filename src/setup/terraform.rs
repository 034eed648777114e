//! Terraform and OpenTofu: the credentials helper in the CLI's configuration, and the program in the folder of plugins,
//! since `PATH` is not searched.

use std::path::PathBuf;

use super::block::{self, At};
use super::{Plan, SetupError, Site, Tool, links, read};

/// Terraform's registries and back ends.
pub(super) struct Terraform;
/// The tool.
pub(super) static TOOL: Terraform = Terraform;

const LINES: &str = "credentials_helper \"lanyard\" {\n  args = []\n}\n";

impl Tool for Terraform {
    fn name(&self) -> &'static str {
        "terraform"
    }

    fn title(&self) -> &'static str {
        "Terraform, OpenTofu: HCP Terraform and private registries"
    }

    fn programs(&self) -> &'static [&'static str] {
        &["terraform", "tofu"]
    }

    fn plan(&self, site: &Site<'_>) -> Result<Plan, SetupError> {
        let path = configuration(site)?;
        let theirs = block::without(&read(&path)?.unwrap_or_default());
        if theirs.lines().any(|line| line.trim_start().starts_with("credentials_helper")) {
            return Err(SetupError::Unclear {
                problem: "it names another credentials helper, and there can be one only".into(),
                mend: format!("take it out of {}", path.display()),
                path,
            });
        }
        let mut plan = Plan::default();
        let plugins = site.home(".terraform.d/plugins")?;
        plan.link(plugins.join(links::named("terraform-credentials-lanyard")), site.program);
        plan.file(path, |text| Ok(block::with(text, "#", At::Bottom, LINES)))?;
        plan.notes.push("a TF_TOKEN_… variable and a token that `terraform login` wrote to a file still win".into());
        Ok(plan)
    }

    fn check(&self, site: &Site<'_>) -> Result<Option<String>, SetupError> {
        let is_there = read(&configuration(site)?)?.is_some_and(|text| block::stands(&text));
        Ok(is_there.then(|| "terraform asks lanyard for hosts in the vault".to_owned()))
    }
}

fn configuration(site: &Site<'_>) -> Result<PathBuf, SetupError> {
    match site.env.var("TF_CLI_CONFIG_FILE") {
        Some(file) => Ok(site.env.working_dir().join(file)),
        None => site.home(".terraformrc"),
    }
}
