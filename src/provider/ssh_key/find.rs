//! Keys that lie on this machine: in `~/.ssh`, and where its configuration says.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::{derive, key};
use crate::credential::{Kind, Raw};
use crate::os::files;
use crate::provider::{Discovered, Found, Here, Origin, ProviderError};
use crate::secret::Secret;

/// The keys that ssh tries without being told, in its order.
const USUAL: [&str; 6] = ["id_rsa", "id_ecdsa", "id_ecdsa_sk", "id_ed25519", "id_ed25519_sk", "id_dsa"];
/// Configuration files include one another no deeper than this.
const DEEPEST: usize = 8;

/// Every key: the file that the user named, or those in `~/.ssh` and in `IdentityFile` lines.
pub(super) fn all(kind: &'static Kind, here: &Here<'_>) -> Discovered {
    let mut all = Discovered::default();
    if here.is_on("generate") || here.input("public-key").is_some() {
        return all;
    }
    if let Some(file) = here.input("private-key") {
        let named = derive::private_file(file, here);
        return Discovered::only(named.map(|(path, text)| vec![found(kind, here, &path, text)]));
    }
    let Some(folder) = here.home(".ssh") else { return all };
    let mut paths: Vec<PathBuf> = USUAL.iter().map(|name| folder.join(name)).collect();
    paths.extend(others(&folder));
    paths.extend(identity_files(here, &folder.join("config"), DEEPEST, &mut all));
    let mut seen = BTreeSet::new();
    for path in paths.into_iter().filter(|path| seen.insert(path.clone()) && path.is_file()) {
        all.add(key_file(kind, here, &path));
    }
    all
}

/// The key in a file. A file may be called as a key is and be none: a public key alone, a note.
fn key_file(kind: &'static Kind, here: &Here<'_>, path: &Path) -> Result<Option<Found>, ProviderError> {
    let text = files::read(path)?.and_then(|bytes| String::from_utf8(bytes).ok()).map(Secret::new);
    let Some(text) = text.filter(|text| key::is_private(text.expose())) else { return Ok(None) };
    key::read(text.expose()).map_err(|problem| ProviderError::Foreign {
        place: here.shown(path),
        what: "SSH private key",
        problem: problem.to_owned(),
    })?;
    Ok(Some(found(kind, here, path, text)))
}

/// Files that are called as keys are.
fn others(folder: &Path) -> Vec<PathBuf> {
    let is_key = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.starts_with("id_") && path.extension().is_none_or(|ending| ending != "pub")
    };
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(is_key).collect();
    paths.sort();
    paths
}

fn found(kind: &'static Kind, here: &Here<'_>, path: &Path, text: Secret) -> Found {
    let private = key::read(text.expose());
    let is_encrypted = private.as_ref().is_ok_and(key::Private::is_encrypted);
    let mut raw = private.map_or_else(|_| Raw::new(), |private| derive::beside(path, &private));
    raw.set("private_key", text);
    derive::derive(&mut raw);
    let name = path.file_name().and_then(|name| name.to_str()).map(str::to_owned);
    let origin = Origin::file(here, path, if is_encrypted { "(closed by a passphrase)" } else { "" }).whole();
    Found { kind, raw, name, origin: Origin { plain_text: !is_encrypted, ..origin }, expires: None }
}

/// The files that `IdentityFile` lines name. A configuration that cannot be read is noted in `all`.
fn identity_files(here: &Here<'_>, config: &Path, depth: usize, all: &mut Discovered) -> Vec<PathBuf> {
    let Some(bytes) = all.value(files::read(config).map_err(ProviderError::from)) else { return Vec::new() };
    let text = String::from_utf8_lossy(&bytes);
    let mut paths = Vec::new();
    for (keyword, value) in directives(&text) {
        match keyword.as_str() {
            "identityfile" => paths.extend(expanded(here, &value)),
            "include" if depth > 0 => {
                for path in value.split_whitespace().filter_map(|pattern| expanded(here, pattern)) {
                    for path in matches(&path) {
                        paths.extend(identity_files(here, &path, depth - 1, all));
                    }
                }
            }
            _ => {}
        }
    }
    paths
}

/// The lines of an `ssh_config(5)`: keyword in lower case, and the rest without its quotes.
pub(super) fn directives(text: &str) -> Vec<(String, String)> {
    let directive = |line: &str| {
        let line = line.trim();
        let end = line.find(|character: char| character.is_whitespace() || character == '=')?;
        let (keyword, rest) = line.split_at(end);
        let rest = rest.trim_start();
        let value = rest.strip_prefix('=').unwrap_or(rest).trim();
        let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
        (!keyword.starts_with('#') && !value.is_empty()).then(|| (keyword.to_ascii_lowercase(), value.to_owned()))
    };
    text.lines().filter_map(directive).collect()
}

/// The path that a value stands for: `~` and `%d` are the home folder, and what hangs on the connection is left out.
fn expanded(here: &Here<'_>, value: &str) -> Option<PathBuf> {
    let home = here.env.home()?;
    let value = value.replace("%d", &home.display().to_string());
    if value == "none" || value.contains(['%', '$']) {
        return None;
    }
    let path = here.env.expand_home(&value);
    // A relative one is looked for where the configuration lies, as `Include` has it.
    Some(home.join(".ssh").join(path))
}

/// The files that a path with `*` and `?` in its last part stands for.
fn matches(path: &Path) -> Vec<PathBuf> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if !name.contains(['*', '?']) {
        return vec![path.to_owned()];
    }
    let entries = path.parent().and_then(|folder| std::fs::read_dir(folder).ok()).into_iter().flatten().flatten();
    let fits = |path: &PathBuf| {
        path.is_file() && path.file_name().and_then(|name| name.to_str()).is_some_and(|text| is_like(name, text))
    };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(fits).collect();
    paths.sort();
    paths
}

/// Whether a name fits a pattern of `*` and `?`.
fn is_like(pattern: &str, name: &str) -> bool {
    let (mut parts, mut letters) = (pattern.chars(), name.chars());
    match parts.next() {
        None => name.is_empty(),
        Some('*') => is_like(parts.as_str(), name) || (letters.next().is_some() && is_like(pattern, letters.as_str())),
        Some(part) => {
            letters.next().is_some_and(|letter| part == '?' || part == letter)
                && is_like(parts.as_str(), letters.as_str())
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_pattern_is_met_or_not() {
        for (pattern, name, meets) in [
            ("*", "", true),
            ("*.conf", "a.conf", true),
            ("*.conf", ".conf", true),
            ("*.conf", "a.conf~", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*a*b", "xaxxb", true),
            ("", "a", false),
        ] {
            assert_eq!(is_like(pattern, name), meets, "{pattern} {name}");
        }
    }

    #[test]
    fn lines_are_read_as_ssh_reads_them() {
        let text = "# IdentityFile no\nHost *\n  IdentityFile ~/.ssh/a\n\tidentityfile=\"~/my keys/b\"\r\nIdentityFile = c\nAlone\n=\n";
        let read = directives(text);
        let read: Vec<(&str, &str)> = read.iter().map(|(keyword, value)| (keyword.as_str(), value.as_str())).collect();
        let file = "identityfile";
        assert_eq!(read, [("host", "*"), (file, "~/.ssh/a"), (file, "~/my keys/b"), (file, "c")]);
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(text in any::<String>()) {
            directives(&text);
        }

        #[test]
        fn a_value_that_was_written_is_read_back(value in "[!-~&&[^\"=]][ !#-~]{0,30}[!-~&&[^\"]]") {
            let read = directives(&format!("Host x\n  IdentityFile \"{value}\"\n"));
            prop_assert_eq!(&read[1], &("identityfile".to_owned(), value));
        }
    }
}
