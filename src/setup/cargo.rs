//! cargo: a credential provider for every registry, in `config.toml` of cargo's home. The provider says of registries
//! that are not in the vault that they are not its own, so cargo goes on to the others.

use std::path::{Path, PathBuf};

use toml_edit::{Array, DocumentMut, Item, Table, Value};

use crate::os::Env;

use super::{Plan, SetupError, Site, Tool, read};

/// Private crates.
pub(super) struct Cargo;
/// The tool.
pub(super) static TOOL: Cargo = Cargo;

/// The name under which the provider is listed, since a path with blanks cannot stand in the list.
const ALIAS: &str = "lanyard";
const PROVIDERS: &str = "global-credential-providers";
/// What cargo uses where nothing is listed.
const USUAL: &str = "cargo:token";

impl Tool for Cargo {
    fn name(&self) -> &'static str {
        "cargo"
    }

    fn title(&self) -> &'static str {
        "cargo: registries of crates"
    }

    fn programs(&self) -> &'static [&'static str] {
        &["cargo"]
    }

    fn plan(&self, site: &Site<'_>) -> Result<Plan, SetupError> {
        let path = configuration(site)?;
        let mut plan = Plan::default();
        plan.file(path.clone(), |text| with(text, site.program).ok_or_else(|| unclear(&path)))?;
        Ok(plan)
    }

    fn without(&self, _: &Env, path: &Path, text: &str, before: &str) -> Result<String, SetupError> {
        without(text, before).ok_or_else(|| unclear(path))
    }

    fn check(&self, site: &Site<'_>) -> Result<Option<String>, SetupError> {
        let text = read(&configuration(site)?)?.unwrap_or_default();
        let document: DocumentMut = text.parse().map_err(|_| SetupError::NotAsked {
            tool: self.name(),
            problem: "its configuration cannot be read".into(),
        })?;
        let listed = document.get("registry").and_then(|registry| registry.get(PROVIDERS)).and_then(Item::as_array);
        let is_last = listed.and_then(|listed| listed.iter().last()?.as_str()) == Some(ALIAS);
        if is_last {
            return Ok(Some("cargo asks lanyard first, for every registry in the vault".into()));
        }
        Err(SetupError::NotAsked { tool: self.name(), problem: "another provider is asked before it".into() })
    }

    fn replaces(&self) -> &'static [(&'static str, &'static str)] {
        &[("api-key", ".cargo/")]
    }
}

/// The file with the provider in it; `None` where what is there has another form.
fn with(text: &str, program: &Path) -> Option<String> {
    let mut document: DocumentMut = text.parse().ok()?;
    let aliases = document.entry("credential-alias").or_insert(Item::Table(Table::new())).as_table_like_mut()?;
    let mut command = Array::new();
    command.push(program.display().to_string());
    match aliases.get_mut(ALIAS) {
        Some(present) if present.to_string().trim() == command.to_string().trim() => {}
        // In its place, so that what is said above it stays.
        Some(present) => *present = toml_edit::value(command),
        None => drop(aliases.insert(ALIAS, toml_edit::value(command))),
    }
    let registry = document.entry("registry").or_insert(Item::Table(Table::new())).as_table_like_mut()?;
    let usual = || Item::Value(Value::Array(std::iter::once(USUAL).collect()));
    let listed = registry.entry(PROVIDERS).or_insert_with(usual).as_array_mut()?;
    // The last one is asked first.
    if listed.iter().last()?.as_str() != Some(ALIAS) {
        listed.retain(|entry| entry.as_str() != Some(ALIAS));
        listed.push(ALIAS);
    }
    Some(document.to_string())
}

/// The file without the provider, and with what it replaced; `None` where it is no TOML.
fn without(text: &str, before: &str) -> Option<String> {
    let mut document: DocumentMut = text.parse().ok()?;
    let before: DocumentMut = before.parse().unwrap_or_default();
    let old = |table: &str, key: &str| before.get(table).and_then(|table| table.get(key));
    if let Some(registry) = document.get_mut("registry").and_then(Item::as_table_like_mut) {
        let theirs = old("registry", PROVIDERS).and_then(Item::as_array);
        let was_listed = theirs.is_some_and(|theirs| theirs.iter().any(|entry| entry.as_str() == Some(ALIAS)));
        if let Some(listed) = registry.get_mut(PROVIDERS).and_then(Item::as_array_mut).filter(|_| !was_listed) {
            listed.retain(|entry| entry.as_str() != Some(ALIAS));
            // What cargo uses by itself was listed because of ours.
            if theirs.is_none() && (listed.iter().filter_map(Value::as_str).eq([USUAL]) || listed.is_empty()) {
                registry.remove(PROVIDERS);
            }
        }
        if registry.is_empty() && before.get("registry").is_none() {
            document.remove("registry");
        }
    }
    if let Some(aliases) = document.get_mut("credential-alias").and_then(Item::as_table_like_mut) {
        match (old("credential-alias", ALIAS), aliases.get_mut(ALIAS)) {
            (Some(theirs), Some(present)) => *present = theirs.clone(),
            _ => drop(aliases.remove(ALIAS)),
        }
        if aliases.is_empty() && before.get("credential-alias").is_none() {
            document.remove("credential-alias");
        }
    }
    Some(document.to_string())
}

fn unclear(path: &Path) -> SetupError {
    SetupError::Unclear {
        path: path.to_owned(),
        problem: "it is no TOML that cargo reads".into(),
        mend: format!("mend {}, then run the command once more", path.display()),
    }
}

/// cargo still reads the old name without an ending, where it is there.
fn configuration(site: &Site<'_>) -> Result<PathBuf, SetupError> {
    let home = match site.env.var("CARGO_HOME") {
        Some(home) => site.env.working_dir().join(home),
        None => site.home(".cargo")?,
    };
    let old = home.join("config");
    Ok(if old.is_file() { old } else { home.join("config.toml") })
}

#[cfg(test)]
mod tests {
    use super::*;

    const THEIRS: &str = "# mine\n[build]\njobs = 2 # two\n\n[registries.corp]\nindex = \"sparse+https://h/i/\"\n";

    #[test]
    fn the_provider_is_put_last_and_taken_out_again() {
        let program = Path::new("/opt/with blank/lanyard");
        let once = with(THEIRS, program).unwrap();
        assert!(once.starts_with(THEIRS), "{once}");
        assert!(once.contains("global-credential-providers = [\"cargo:token\", \"lanyard\"]"), "{once}");
        assert!(once.contains("lanyard = [\"/opt/with blank/lanyard\"]"), "{once}");
        assert_eq!(with(&once, program).unwrap(), once);
        assert_eq!(without(&once, THEIRS).unwrap(), THEIRS);
    }

    #[test]
    fn what_was_replaced_comes_back() {
        for theirs in [
            "[registry]\nglobal-credential-providers = [\"cargo:token\"]\n",
            "[registry]\n",
            "[credential-alias]\nlanyard = [\"/another\", \"word\"]\n\n[registry]\nglobal-credential-providers = [\"lanyard\"]\n",
        ] {
            let once = with(theirs, Path::new("/l")).unwrap();
            assert_eq!(without(&once, theirs).unwrap(), theirs, "{once}");
        }
    }

    #[test]
    fn the_providers_of_others_stay() {
        let theirs = "[registry]\nglobal-credential-providers = [\"cargo:libsecret\"]\n";
        let once = with(theirs, Path::new("/l")).unwrap();
        assert!(once.contains("[\"cargo:libsecret\", \"lanyard\"]"), "{once}");
        assert_eq!(without(&once, theirs).unwrap(), theirs);
        assert_eq!(without("not toml [", ""), None);
        assert_eq!(with("registry = 1", Path::new("/l")), None);
        assert_eq!(with("not toml [", Path::new("/l")), None);
    }
}
