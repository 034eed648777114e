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

fn holder_of(path: &Path) -> Option<u32> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}
