//! uv: the provider `subprocess` in `uv.toml`, and the program under the name `keyring`, which uv starts.

use std::path::{Path, PathBuf};

use toml_edit::{DocumentMut, Item};

use crate::os::Env;

use super::{Plan, SetupError, Site, Tool, links, read};

/// Python packages by uv.
pub(super) struct Uv;
/// The tool.
pub(super) static TOOL: Uv = Uv;

const KEY: &str = "keyring-provider";
const VALUE: &str = "subprocess";

impl Tool for Uv {
    fn name(&self) -> &'static str {
        "uv"
    }

    fn title(&self) -> &'static str {
        "uv: Python package indexes"
    }

    fn programs(&self) -> &'static [&'static str] {
        &["uv"]
    }

    fn plan(&self, site: &Site<'_>) -> Result<Plan, SetupError> {
        let mut plan = Plan::default();
        links::keyring(&mut plan, site)?;
        let path = configuration(site)?;
        plan.file(path.clone(), |text| with(text).ok_or_else(|| unclear(&path)))?;
        plan.notes.push("uv asks for an index whose address has a user name, or with --keyring-provider".into());
        Ok(plan)
    }

    fn without(&self, _: &Env, path: &Path, text: &str, before: &str) -> Result<String, SetupError> {
        without(text, before).ok_or_else(|| unclear(path))
    }

    fn check(&self, site: &Site<'_>) -> Result<Option<String>, SetupError> {
        let text = read(&configuration(site)?)?.unwrap_or_default();
        let document = text.parse::<DocumentMut>().unwrap_or_default();
        if document.get(KEY).and_then(Item::as_str) == Some(VALUE) {
            return Ok(Some("uv asks the program keyring, which is lanyard".into()));
        }
        Err(SetupError::NotAsked { tool: self.name(), problem: "it does not ask a program".into() })
    }

    fn replaces(&self) -> &'static [(&'static str, &'static str)] {
        &[("password", "netrc"), ("password", "uv")]
    }
}

fn with(text: &str) -> Option<String> {
    let mut document: DocumentMut = text.parse().ok()?;
    match document.get_mut(KEY) {
        Some(present) if present.as_str() == Some(VALUE) => {}
        // In its place, so that what is said above it stays.
        Some(present) => *present = toml_edit::value(VALUE),
        None => drop(document.insert(KEY, toml_edit::value(VALUE))),
    }
    Some(document.to_string())
}

/// The file without our word, or with the one that it replaced; `None` where it is no TOML.
fn without(text: &str, before: &str) -> Option<String> {
    let mut document: DocumentMut = text.parse().ok()?;
    if document.get(KEY).and_then(Item::as_str) == Some(VALUE) {
        match (before.parse::<DocumentMut>().unwrap_or_default().remove(KEY), document.get_mut(KEY)) {
            (Some(old), Some(present)) => *present = old,
            _ => drop(document.remove(KEY)),
        }
    }
    Some(document.to_string())
}

fn unclear(path: &Path) -> SetupError {
    SetupError::Unclear {
        path: path.to_owned(),
        problem: "it is no TOML that uv reads".into(),
        mend: format!("mend {}, then run the command once more", path.display()),
    }
}

fn configuration(site: &Site<'_>) -> Result<PathBuf, SetupError> {
    match site.env.var("UV_CONFIG_FILE") {
        Some(file) => Ok(site.env.working_dir().join(file)),
        None => Ok(site.env.user_config_dir().ok_or(SetupError::NoHome)?.join("uv/uv.toml")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_that_was_replaced_comes_back() {
        for theirs in ["", "[pip]\nstrict = true\n", "# mine\nkeyring-provider = \"disabled\" # no\n", "keyring-provider = \"subprocess\"\n"] {
            let ours = with(theirs).unwrap();
            assert!(ours.contains("keyring-provider = \"subprocess\""), "{ours}");
            assert_eq!(without(&(ours + "[later]\n"), theirs).unwrap(), format!("{theirs}[later]\n"));
        }
        assert_eq!(without("not toml [", ""), None);
    }
}
