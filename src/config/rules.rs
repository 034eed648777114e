//! Directory rules: which `[[rules]]` entries hold in a folder.

use std::path::{Path, PathBuf};

use super::Rule;
use crate::os::Env;

/// A rule's folder without the `/**` that is implied.
pub fn without_stars(directory: &str) -> &str {
    let folder = directory.strip_suffix("/**").or_else(|| directory.strip_suffix("/*")).unwrap_or(directory);
    if folder.is_empty() { "/" } else { folder }
}

/// The folder that a rule names, with `~` expanded and links resolved as far as it exists.
pub fn folder(rule: &Rule, env: &Env) -> PathBuf {
    resolved(&env.expand_home(without_stars(&rule.directory)))
}

/// The rules in order of weight: those that hold here, the longest folder first, then the others. The number is the
/// rule's place in the file.
pub(super) fn by_weight<'a>(rules: &'a [Rule], env: &Env) -> Vec<(usize, &'a Rule, bool)> {
    let here = resolved(env.working_dir());
    let mut weighed: Vec<(usize, &Rule, usize)> = rules
        .iter()
        .enumerate()
        .map(|(place, rule)| {
            let folder = folder(rule, env);
            // `starts_with` compares whole components: ~/work does not hold in ~/workshop.
            let depth = if here.starts_with(&folder) { folder.components().count() } else { 0 };
            (place, rule, depth)
        })
        .collect();
    weighed.sort_by_key(|(_, _, depth)| std::cmp::Reverse(*depth));
    weighed.into_iter().map(|(place, rule, depth)| (place, rule, depth > 0)).collect()
}

/// The path with links resolved; the part that does not exist is kept as it is written.
pub fn resolved(path: &Path) -> PathBuf {
    for ancestor in path.ancestors() {
        if let Ok(real) = ancestor.canonicalize() {
            // Joining an empty rest would put a slash at the end, and the path is compared as bytes elsewhere.
            let rest = path.strip_prefix(ancestor).ok().filter(|rest| !rest.as_os_str().is_empty());
            return rest.map_or_else(|| real.clone(), |rest| real.join(rest));
        }
    }
    path.to_owned()
}
