//! The program under other names: some tools look for a helper by a name of their own in a folder of `PATH`.
//!
//! On Unix such a name is a symbolic link. Windows makes those for administrators only; there it is a copy. Whether what
//! stands somewhere is ours is told by its mark: where the link leads, or what the copy holds.

use std::env::consts::EXE_SUFFIX;
use std::path::{Path, PathBuf};

use super::{Plan, SetupError, Site};
use crate::os::files::{self, FileError};
use crate::os::program;

/// Plans the link `name`, unless `PATH` finds the program under it already. It goes beside the program where that folder
/// is the user's own, else into `~/.local/bin`.
pub(super) fn plan(plan: &mut Plan, site: &Site<'_>, name: &str) -> Result<(), SetupError> {
    if program::find(site.env, named(name)).is_some_and(|found| leads(&found, site.program)) {
        return Ok(());
    }
    let folder = folder(site)?;
    if !on_path(site, &folder) {
        plan.notes.push(format!("{} is not in PATH: put it there, so that tools find {name}", folder.display()));
    }
    plan.link(folder.join(named(name)), site.program);
    Ok(())
}

/// The file in which a system looks for a program of that name.
pub(super) fn named(name: &str) -> String {
    format!("{name}{EXE_SUFFIX}")
}

/// Refuses what is in the way of a link, which must not be lost: all that bears none of these marks.
pub(super) fn refuse_anothers(path: &Path, marks: &[String]) -> Result<(), SetupError> {
    let is_free = path.symlink_metadata().is_err();
    if is_free || is_ours(path, marks) { Ok(()) } else { Err(SetupError::InTheWay { path: path.to_owned() }) }
}

/// Removes a link that bears one of these marks; `false` where it is gone, or is somebody else's by now.
pub(super) fn remove(path: &Path, marks: &[String]) -> Result<bool, SetupError> {
    Ok(is_ours(path, marks) && files::remove(path)?)
}

fn is_ours(path: &Path, marks: &[String]) -> bool {
    mark(path).is_some_and(|mark| marks.contains(&mark))
}

/// Whether the program is what is found at `path`.
#[cfg(unix)]
pub(super) fn leads(path: &Path, to: &Path) -> bool {
    path.canonicalize().is_ok_and(|found| to.canonicalize().is_ok_and(|to| found == to))
}

/// Whether the program is what is found at `path`.
#[cfg(not(unix))]
pub(super) fn leads(path: &Path, to: &Path) -> bool {
    mark(path).is_some_and(|found| mark(to) == Some(found))
}

/// The mark of what stands at `path`.
#[cfg(unix)]
fn mark(path: &Path) -> Option<String> {
    Some(std::fs::read_link(path).ok()?.display().to_string())
}

/// The mark of what stands at `path`.
#[cfg(not(unix))]
fn mark(path: &Path) -> Option<String> {
    Some(super::change::digest(std::fs::read(path).ok()?))
}

/// The mark that a link to the program will bear.
#[cfg(unix)]
#[expect(clippy::unnecessary_wraps, reason = "on other systems the program has to be read")]
pub(super) fn mark_of(to: &Path) -> Option<String> {
    Some(to.display().to_string())
}

/// The mark that a copy of the program will bear.
#[cfg(not(unix))]
pub(super) fn mark_of(to: &Path) -> Option<String> {
    mark(to)
}

/// Makes the link. What is in its place is ours.
pub(super) fn make(path: &Path, to: &Path) -> Result<(), SetupError> {
    let io = |cause| FileError::Io { action: "create", path: path.to_owned(), cause };
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(io)?;
    }
    files::remove(path)?;
    #[cfg(unix)]
    std::os::unix::fs::symlink(to, path).map_err(io)?;
    #[cfg(not(unix))]
    std::fs::copy(to, path).map_err(io)?;
    Ok(())
}

/// Plans the link `keyring`, the program that pip, uv and twine start. Another program of that name is not hidden: it
/// may hold what its owner needs.
pub(super) fn keyring(plan: &mut Plan, site: &Site<'_>) -> Result<(), SetupError> {
    const PROGRAM: &str = "keyring";
    match program::find(site.env, named(PROGRAM)) {
        Some(found) if !leads(&found, site.program) => Err(SetupError::InTheWay { path: found }),
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
