//! The program under other names: some tools look for a helper by a name of their own in a folder of `PATH`.

use std::path::{Path, PathBuf};

use super::{Plan, SetupError, Site};
use crate::os::program;

/// Plans the link `name`, unless `PATH` finds the program under it already. It goes beside the program where that folder
/// is the user's own, else into `~/.local/bin`.
pub(super) fn plan(plan: &mut Plan, site: &Site<'_>, name: &str) -> Result<(), SetupError> {
    let real = site.program.canonicalize().ok();
    let found = program::find(site.env, name).and_then(|found| found.canonicalize().ok());
    if found.is_some() && found == real {
        return Ok(());
    }
    let folder = folder(site)?;
    if !on_path(site, &folder) {
        plan.notes.push(format!("{} is not in PATH: put it there, so that tools find {name}", folder.display()));
    }
    plan.link(folder.join(name), site.program);
    Ok(())
}

/// Plans the link `keyring`, the program that pip, uv and twine start. Another program of that name is not hidden: it may hold what its owner needs.
pub(super) fn keyring(plan: &mut Plan, site: &Site<'_>) -> Result<(), SetupError> {
    const PROGRAM: &str = "keyring";
    let real = site.program.canonicalize().ok();
    match program::find(site.env, PROGRAM) {
        Some(found) if found.canonicalize().ok() != real => Err(SetupError::InTheWay { path: found }),
        _ => self::plan(plan, site, PROGRAM),
    }
}

fn folder(site: &Site<'_>) -> Result<PathBuf, SetupError> {
    let home = site.env.home();
    let own = site.program.parent().filter(|own| home.is_some_and(|home| own.starts_with(home)));
    match own.filter(|own| on_path(site, own)) {
        Some(own) => Ok(own.to_owned()),
        None => site.home(".local/bin"),
    }
}

fn on_path(site: &Site<'_>, folder: &Path) -> bool {
    std::env::split_paths(site.env.var("PATH").unwrap_or_default()).any(|part| part == folder)
}
