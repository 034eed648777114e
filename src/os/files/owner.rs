//! Whose a file is, and whom else its mode lets in.

use std::fs::Metadata;
use std::path::Path;

use super::FileError;

/// The nearest existing ancestor of `dir` belongs to another user while we are the superuser: `sudo` with a kept HOME.
#[cfg(unix)]
pub(super) fn refuse_foreign_home(dir: &Path) -> Result<(), FileError> {
    use std::os::unix::fs::MetadataExt;
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let owner = dir.ancestors().find_map(|ancestor| std::fs::metadata(ancestor).ok()).map(|found| found.uid());
    match owner {
        Some(uid) if uid != 0 => Err(FileError::Unsafe {
            path: dir.to_owned(),
            problem: format!("it belongs to user {uid}, and lanyard runs as root"),
            mend: "run lanyard without sudo, or with `sudo -H`".into(),
        }),
        _ => Ok(()),
    }
}

#[cfg(not(unix))]
pub(super) fn refuse_foreign_home(_: &Path) -> Result<(), FileError> {
    Ok(())
}

#[cfg(unix)]
pub(super) fn check_private(found: &Metadata, path: &Path) -> Result<(), FileError> {
    use std::os::unix::fs::MetadataExt;
    let me = rustix::process::geteuid().as_raw();
    let problem = if found.uid() != me {
        Some((format!("it belongs to user {}", found.uid()), format!("move {} away and sign in again", path.display())))
    } else if found.mode() & 0o077 != 0 {
        let mode = found.mode() & 0o777;
        Some((format!("others can reach it (mode {mode:04o})"), format!("chmod 600 {}", path.display())))
    } else if found.nlink() > 1 {
        Some((
            "it has a second name (hard link)".into(),
            format!("find the other name: find / -samefile {}", path.display()),
        ))
    } else {
        None
    };
    match problem.or_else(|| folder_problem(path, me)) {
        Some((problem, mend)) => Err(FileError::Unsafe { path: path.to_owned(), problem, mend }),
        None => Ok(()),
    }
}

#[cfg(unix)]
fn folder_problem(path: &Path, me: u32) -> Option<(String, String)> {
    use std::os::unix::fs::MetadataExt;
    let folder = path.parent()?;
    let found = std::fs::metadata(folder).ok()?;
    if found.uid() != me && found.uid() != 0 {
        return Some((
            format!("its folder belongs to user {}", found.uid()),
            format!("chown \"$USER\" {}", folder.display()),
        ));
    }
    (found.mode() & 0o022 != 0)
        .then(|| ("others can write to its folder".into(), format!("chmod 700 {}", folder.display())))
}

#[cfg(not(unix))]
pub(super) fn check_private(_: &Metadata, _: &Path) -> Result<(), FileError> {
    Ok(())
}

/// The mode bits that let others reach `path`, where there are any: for a warning, not for a refusal.
#[cfg(unix)]
pub fn loose_mode(path: &Path) -> Option<u32> {
    use std::os::unix::fs::MetadataExt;
    let mode = std::fs::metadata(path).ok()?.mode() & 0o777;
    (mode & 0o077 != 0).then_some(mode)
}

/// The mode bits that let others reach `path`; Windows keeps the user's folder private by itself.
#[cfg(not(unix))]
pub fn loose_mode(_: &Path) -> Option<u32> {
    None
}

/// Whether somebody else than this user and the superuser could have written the file. One that is not there says
/// nothing.
#[cfg(unix)]
pub fn others_could_write(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let me = rustix::process::geteuid().as_raw();
    std::fs::metadata(path).is_ok_and(|found| (found.uid() != me && found.uid() != 0) || found.mode() & 0o022 != 0)
}

/// Whether somebody else could have written the file; Windows keeps the user's folder private by itself.
#[cfg(not(unix))]
pub fn others_could_write(_: &Path) -> bool {
    false
}

/// Whether what was found is a folder that its owner, this process's user, alone may enter.
#[cfg(unix)]
pub fn is_private_folder(found: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    found.is_dir() && found.uid() == rustix::process::geteuid().as_raw() && found.mode() & 0o777 == 0o700
}
