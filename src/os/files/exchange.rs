//! New content for a file of somebody else's: its mode and its owner stay as they are.

use std::fs::Metadata;
use std::io::Write;
use std::path::Path;

use super::{FileError, beside, io_error, sync_folder};

/// Replaces the content of a file that was `found` to be a regular one, with its mode and its owner kept; durable when
/// it returns. A file that was changed or replaced since `found` is left alone.
pub fn exchange(path: &Path, found: &Metadata, content: &[u8]) -> Result<(), FileError> {
    let write = || io_error("write", path);
    // Private until it has the rights of the file whose place it takes.
    let mut beside = beside::make(path).map_err(write())?;
    beside.write_all(content).map_err(write())?;
    keep_rights(beside.as_file(), found).map_err(write())?;
    beside.as_file().sync_all().map_err(write())?;
    let now = std::fs::symlink_metadata(path).map_err(write())?;
    if !is_same(found, &now) {
        return Err(FileError::Unsafe {
            path: path.to_owned(),
            problem: "somebody else changes it".into(),
            mend: "wait until nobody else changes it, then run the command again".into(),
        });
    }
    beside.persist(path).map_err(|failed| write()(failed.error))?;
    sync_folder(path.parent().unwrap_or(Path::new("."))).map_err(write())
}

#[cfg(unix)]
fn keep_rights(file: &std::fs::File, found: &Metadata) -> std::io::Result<()> {
    use std::os::unix::fs::MetadataExt;
    let own = file.metadata()?;
    if (own.uid(), own.gid()) != (found.uid(), found.gid()) {
        std::os::unix::fs::fchown(file, Some(found.uid()), Some(found.gid()))?;
    }
    file.set_permissions(found.permissions())
}

#[cfg(not(unix))]
fn keep_rights(_: &std::fs::File, _: &Metadata) -> std::io::Result<()> {
    Ok(())
}

#[cfg(unix)]
fn is_same(one: &Metadata, other: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    let known = |found: &Metadata| (found.dev(), found.ino(), found.size(), found.mtime(), found.mtime_nsec());
    known(one) == known(other)
}

#[cfg(not(unix))]
fn is_same(one: &Metadata, other: &Metadata) -> bool {
    one.len() == other.len() && one.modified().ok() == other.modified().ok()
}

#[cfg(all(test, unix))]
#[allow(clippy::disallowed_methods, reason = "the tests make their own files")]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn mode_and_content_are_as_told_and_nothing_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        std::fs::write(&path, "old").unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).unwrap();
        std::fs::write(folder.path().join(".f.abc.lanyard.tmp"), "left").unwrap();
        exchange(&path, &std::fs::symlink_metadata(&path).unwrap(), b"new").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o640);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_changes_meanwhile_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        std::fs::write(&path, "old").unwrap();
        let found = std::fs::symlink_metadata(&path).unwrap();
        std::fs::write(&path, "changed").unwrap();
        assert!(matches!(exchange(&path, &found, b"new"), Err(FileError::Unsafe { .. })));
        assert_eq!(std::fs::read(&path).unwrap(), b"changed");
        std::fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("elsewhere", &path).unwrap();
        assert!(exchange(&path, &found, b"new").is_err());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
