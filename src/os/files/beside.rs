//! New content on its way: a file beside the one whose place it takes, and what of such files a killed writer left.
//!
//! Several processes may write one file at the same time. Each holds the lock of its own file beside it; one that nobody
//! holds has no writer any more, since the kernel frees the lock of who dies.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;

use tempfile::NamedTempFile;

/// The end of the names. It is ours alone: what other programs leave in such places is theirs.
const END: &str = ".lanyard.tmp";
/// So often somebody else is faster to take a new file for one that was left.
const ATTEMPTS: usize = 8;

/// An empty file beside `target`, under a random name and of its owner alone. It goes when it is dropped before it has
/// taken the place of `target`.
pub(super) fn make(target: &Path) -> io::Result<NamedTempFile> {
    let folder = target.parent().unwrap_or(Path::new("."));
    let prefix = format!(".{}.", target.file_name().unwrap_or_default().to_string_lossy());
    sweep(folder, &prefix);
    for _ in 0..ATTEMPTS {
        let made = tempfile::Builder::new().prefix(&prefix).suffix(END).tempfile_in(folder)?;
        if is_ours(&made) {
            return Ok(made);
        }
    }
    Err(io::ErrorKind::WouldBlock.into())
}

/// Takes the lock of a file that was just made. `false` where somebody who sweeps was between the two steps.
fn is_ours(made: &NamedTempFile) -> bool {
    match made.as_file().try_lock() {
        Ok(()) => made.path().exists(),
        Err(TryLockError::WouldBlock) => false,
        // Where a file system has no locks, nobody can take it either.
        Err(TryLockError::Error(_)) => true,
    }
}

/// Removes what a killed writer left.
fn sweep(folder: &Path, prefix: &str) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let is_one = name.starts_with(prefix) && name.ends_with(END);
        if !is_one || !entry.file_type().is_ok_and(|kind| kind.is_file()) {
            continue;
        }
        let Ok(left) = File::open(entry.path()) else { continue };
        // The lock is held until the file is gone, so that nobody begins to write it meanwhile.
        if left.try_lock().is_ok() {
            // One that cannot be removed harms nobody: it is private, and the next writer tries again.
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "the tests make their own files")]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_goes_and_what_belongs_to_somebody_stays() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("f");
        let [left, others, its] = [".f.abc.lanyard.tmp", ".f.abc.tmp", ".g.abc.lanyard.tmp"].map(|name| {
            let path = folder.path().join(name);
            std::fs::write(&path, "left").unwrap();
            path
        });
        let one = make(&target).unwrap();
        assert_eq!([&left, &others, &its].map(|path| path.exists()), [false, true, true]);
        let other = make(&target).unwrap();
        assert!(one.path().exists() && other.path().exists(), "both are being written");
        one.persist(&target).unwrap();
        other.persist(&target).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 3);
    }

    #[test]
    fn many_writers_of_one_file_are_not_in_each_others_way() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("f");
        std::thread::scope(|scope| {
            for number in 0..8 {
                let target = &target;
                scope.spawn(move || {
                    for _ in 0..50 {
                        super::super::replace(target, &[number; 64], false).unwrap();
                    }
                });
            }
        });
        let content = std::fs::read(&target).unwrap();
        assert!(content.len() == 64 && content.iter().all(|byte| *byte == content[0]));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
