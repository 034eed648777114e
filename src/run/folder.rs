//! Files for a child process, in memory: a folder of the user's alone on a file system that has no disk.
//!
//! It goes when the child has ended. When lanyard itself is killed, a guard takes it away once nobody holds the lock in
//! it any more: lanyard's lock is handed to the child, and the kernel frees it when both are gone. What even the guard
//! could not take away, the next run does.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::Duration;

use crate::os::Env;
use crate::run::{RunError, inner, variables};

/// How the folders are called, before the user and a random word.
const PREFIX: &str = "lanyard-run-";
/// How a folder is called in which there may be no lock yet.
const UNFINISHED: &str = ".lanyard-run-";
/// One that is unfinished for longer was left so.
const STALE: Duration = Duration::from_mins(1);
/// The file in it that is locked.
const LOCK: &str = ".lock";

/// The files of one child.
pub struct Folder {
    path: PathBuf,
    lock: File,
    guard: Option<Child>,
    count: usize,
}

impl Folder {
    /// A new folder with a guard. `variable` is the one that needs it.
    pub fn make(env: &Env, variable: &str) -> Result<Self, RunError> {
        let base = memory(env).ok_or_else(|| RunError::NoMemory { variable: variable.to_owned() })?;
        sweep(&base);
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |cause| RunError::Folder { action: "make", path, cause }
        };
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(|_| failed(&base)(io::ErrorKind::Other.into()))?;
        let name = format!("{}-{:016x}", rustix::process::geteuid().as_raw(), u64::from_ne_bytes(random));
        let unfinished = base.join(format!("{UNFINISHED}{name}"));
        let path = base.join(format!("{PREFIX}{name}"));
        DirBuilder::new().mode(0o700).create(&unfinished).map_err(failed(&unfinished))?;
        // Under its name, the folder is there with its lock held or not at all: whoever can take the lock may remove it.
        let locked = create(&unfinished.join(LOCK)).and_then(|lock| {
            lock.lock()?;
            fs::rename(&unfinished, &path)?;
            Ok(lock)
        });
        let lock = locked.map_err(|cause| {
            let _ = fs::remove_dir_all(&unfinished);
            failed(&path)(cause)
        })?;
        let mut folder = Self { path, lock, guard: None, count: 0 };
        let guard = inner::guard(&folder.path);
        folder.guard = Some(guard.map_err(|cause| RunError::System { action: "guard the files", cause })?);
        Ok(folder)
    }

    /// Writes a file, and tells where it is.
    pub fn put(&mut self, file: &variables::File<'_>) -> Result<PathBuf, RunError> {
        // Each has a folder of its own: two may have the same name, and programs read names.
        let place = self.path.join(self.count.to_string());
        self.count += 1;
        let path = place.join(plain_name(file.name));
        let failed = |cause| RunError::Folder { action: "write", path: path.clone(), cause };
        let content = file.content.bytes().ok_or_else(|| failed(io::ErrorKind::InvalidData.into()))?;
        DirBuilder::new().mode(0o700).create(&place).map_err(failed)?;
        create(&path).and_then(|mut file| file.write_all(&content)).map_err(failed)?;
        Ok(path)
    }

    /// Lets the next program that is started hold the lock as well.
    pub fn share(&self) -> Result<(), RunError> {
        let shared = rustix::io::fcntl_setfd(&self.lock, rustix::io::FdFlags::empty());
        shared.map_err(|cause| RunError::System { action: "share the lock of the files", cause: cause.into() })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let gone = fs::remove_dir_all(&self.path);
        let Some(mut guard) = self.guard.take() else { return };
        if gone.is_ok() {
            // It would wait for as long as a program that the child left behind runs.
            let _ = guard.kill();
            let _ = guard.wait();
        }
    }
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// A name without a folder in it.
fn plain_name(name: &str) -> &str {
    let name = Path::new(name).file_name().and_then(|name| name.to_str()).unwrap_or("file");
    if name.len() > 200 || name == LOCK || name.contains('\0') { "file" } else { name }
}

/// The folder in memory in which folders can be made: the user's own, else the machine's.
#[cfg(target_os = "linux")]
fn memory(env: &Env) -> Option<PathBuf> {
    let is_private = |path: &Path| fs::metadata(path).is_ok_and(|found| crate::os::files::is_private_folder(&found));
    let own = env.var("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_absolute() && is_private(path));
    own.into_iter().chain([PathBuf::from("/dev/shm")]).find(|path| is_in_memory(path))
}

/// Elsewhere no file system is known to have no disk.
#[cfg(not(target_os = "linux"))]
fn memory(_: &Env) -> Option<PathBuf> {
    None
}

#[cfg(target_os = "linux")]
fn is_in_memory(path: &Path) -> bool {
    /// The numbers of tmpfs and ramfs, from the kernel's `magic.h`.
    const IN_MEMORY: [i128; 2] = [0x0102_1994, 0x8584_58f6];
    let writable = rustix::fs::access(path, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK).is_ok();
    writable
        && rustix::fs::statfs(path).is_ok_and(|found| IN_MEMORY.contains(&(i128::from(found.f_type) & 0xffff_ffff)))
}

/// Removes what a run left behind that was killed together with its guard.
pub fn sweep_all(env: &Env) {
    if let Some(base) = memory(env) {
        sweep(&base);
    }
}

fn sweep(base: &Path) {
    let own = format!("{}-", rustix::process::geteuid().as_raw());
    for entry in fs::read_dir(base).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let begins = |prefix: &str| {
            name.as_bytes().strip_prefix(prefix.as_bytes()).is_some_and(|rest| rest.starts_with(own.as_bytes()))
        };
        if begins(PREFIX) {
            remove_unless_locked(&entry.path());
        } else if begins(UNFINISHED) && is_mine(&entry.path()) {
            let age = entry.metadata().and_then(|found| found.modified()).ok().and_then(|at| at.elapsed().ok());
            if age.is_some_and(|age| age > STALE) {
                // Nothing of value is in it yet; the next run tries again.
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }
}

/// Whether it is a folder of this user, and no link to one.
fn is_mine(path: &Path) -> bool {
    let me = rustix::process::geteuid().as_raw();
    fs::symlink_metadata(path).is_ok_and(|found| found.is_dir() && found.uid() == me)
}

/// Removes a folder if nobody holds its lock.
fn remove_unless_locked(path: &Path) {
    if is_mine(path) && File::open(path.join(LOCK)).is_ok_and(|lock| lock.try_lock().is_ok()) {
        let _ = fs::remove_dir_all(path);
    }
}

/// What the guard does: waits until nobody holds the lock of a folder, then removes it.
pub(super) fn watch_over(path: &Path) {
    let is_one = path.file_name().is_some_and(|name| name.as_bytes().starts_with(PREFIX.as_bytes()));
    if is_one && is_mine(path) && File::open(path.join(LOCK)).is_ok_and(|lock| lock.lock().is_ok()) {
        let _ = fs::remove_dir_all(path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_no_folder_in_it() {
        for (name, plain) in [
            ("a.json", "a.json"),
            ("../../x", "x"),
            ("/etc/passwd", "passwd"),
            ("..", "file"),
            ("", "file"),
            (".lock", "file"),
        ] {
            assert_eq!(plain_name(name), plain, "{name}");
        }
    }

    #[test]
    fn only_what_nobody_holds_is_swept() {
        let base = tempfile::tempdir().unwrap();
        let me = rustix::process::geteuid().as_raw();
        let folder = |name: &str| {
            let path = base.path().join(name);
            fs::create_dir(&path).unwrap();
            path
        };
        let left = folder(&format!("{PREFIX}{me}-1"));
        drop(create(&left.join(LOCK)).unwrap());
        let held = folder(&format!("{PREFIX}{me}-2"));
        let lock = create(&held.join(LOCK)).unwrap();
        lock.lock().unwrap();
        let fresh = folder(&format!("{UNFINISHED}{me}-3"));
        let without = folder(&format!("{PREFIX}{me}-4"));
        let others = folder(&format!("{PREFIX}{}-5", me + 1));
        drop(create(&others.join(LOCK)).unwrap());
        sweep(base.path());
        let seen = [&left, &held, &fresh, &without, &others].map(|path| path.exists());
        assert_eq!(seen, [false, true, true, true, true]);
        drop(lock);
        watch_over(&held);
        assert!(!held.exists());
    }
}
