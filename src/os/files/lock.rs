//! Locks across processes that the kernel frees.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use super::{FileError, create_private_dir, io_error};

/// A lock across processes, held until dropped. The kernel frees it when the holder dies.
///
/// The lock file is its own file, never renamed and never removed: a lock on a file that is replaced by rename would
/// protect a dead inode.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock `path`, waiting at most `wait`. `waiting` is called once, with the holder's process id, when
    /// the lock is not free at once.
    pub fn acquire(path: &Path, wait: Duration, waiting: &mut dyn FnMut(Option<u32>)) -> Result<Self, FileError> {
        if let Some(folder) = path.parent() {
            create_private_dir(folder)?;
        }
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(path).map_err(io_error("lock", path))?;
        let start = Instant::now();
        let mut pause = Duration::from_millis(1);
        let mut told = false;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(std::fs::TryLockError::Error(cause)) => return Err(io_error("lock", path)(cause)),
                Err(std::fs::TryLockError::WouldBlock) => {
                    let holder = holder_of(path);
                    if start.elapsed() >= wait {
                        return Err(FileError::Busy { path: path.to_owned(), holder });
                    }
                    if !std::mem::replace(&mut told, true) {
                        waiting(holder);
                    }
                    std::thread::sleep(pause);
                    pause = (pause * 2).min(Duration::from_millis(50));
                }
            }
        }
        // The id only helps the message of whoever waits, so a failure to write it is not a failure to lock.
        let _ = file.set_len(0).and_then(|()| write!(file, "{}", std::process::id()));
        Ok(Self { _file: file })
    }

    /// Whether the lock `path` is free; whoever holds it is named else. Those who look make nothing, and do not see one
    /// another.
    pub fn look(path: &Path) -> Result<(), FileError> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(cause) => return Err(io_error("lock", path)(cause)),
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(()),
            Err(std::fs::TryLockError::Error(cause)) => Err(io_error("lock", path)(cause)),
            Err(std::fs::TryLockError::WouldBlock) => {
                Err(FileError::Busy { path: path.to_owned(), holder: holder_of(path) })
            }
        }
    }
}

/// Who says that they hold the lock, unless the system knows better: on a volume that a container shares, their number is
/// one of its own, and here it may be anybody's.
fn holder_of(path: &Path) -> Option<u32> {
    let told = std::fs::read_to_string(path).ok()?.trim().parse().ok()?;
    is_held_by(path, told).unwrap_or(true).then_some(told)
}

/// Whether a process of this number holds a lock on the file, as the kernel lists them (proc_locks(5)). `None` where that
/// cannot be told.
#[cfg(target_os = "linux")]
fn is_held_by(path: &Path, pid: u32) -> Option<bool> {
    use std::os::unix::fs::MetadataExt;

    let file = std::fs::metadata(path).ok()?.ino().to_string();
    let all = std::fs::read_to_string("/proc/locks").ok()?;
    let holds = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_, "FLOCK", _, _, holder, place, ..] = words[..] else { return false };
        holder == pid.to_string() && place.rsplit(':').next() == Some(&file)
    };
    Some(all.lines().any(holds))
}

#[cfg(not(target_os = "linux"))]
fn is_held_by(_: &Path, _: u32) -> Option<bool> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn a_number_that_is_somebody_elses_here_names_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let held = Lock::acquire(&path, Duration::ZERO, &mut |_| {}).unwrap();
        let holder = || match Lock::look(&path) {
            Err(FileError::Busy { holder, .. }) => holder,
            other => panic!("{other:?}"),
        };
        assert_eq!(holder(), Some(std::process::id()));
        // As a container writes it, whose first process it is.
        std::fs::write(&path, "1\n").unwrap();
        assert_eq!(holder(), None);
        drop(held);
        assert!(Lock::look(&path).is_ok());
    }
}
