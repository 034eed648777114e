//! Files that only their owner may read, replaced whole, and locks that the kernel frees.
//!
//! A file is replaced by writing beside it, fsync, rename, and fsync of the folder, so a crash at any instant leaves
//! the old content or the new one. Modes are given at creation, never afterwards.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::error::{Code, Failure};

mod append;
mod beside;
mod exchange;
mod lock;
mod owner;

pub use append::append;
pub use exchange::exchange;
pub use lock::Lock;
#[cfg(unix)]
pub use owner::is_private_folder;
use owner::{check_private, refuse_foreign_home};
pub use owner::{loose_mode, others_could_write};

/// The largest file this module reads, in bytes. Configuration and token files are kilobytes.
const MAX_FILE: u64 = 4 << 20;

/// Why a file could not be read, written or locked.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The system refused an action on a path.
    #[error("cannot {action} {}", .path.display())]
    Io {
        /// What was tried: `read`, `write`, `create`, `lock`.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
    /// Another process holds the lock.
    #[error("{} is locked by another lanyard process{}", .path.display(), holder_text(.holder.as_ref()))]
    Busy {
        /// The lock file.
        path: PathBuf,
        /// The process id that the holder wrote into the file.
        holder: Option<u32>,
    },
    /// A path is something a private file must not be.
    #[error("{} is not safe to use: {problem}", .path.display())]
    Unsafe {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong, such as `others can read it (mode 0644)`.
        problem: String,
        /// The command that puts it right.
        mend: String,
    },
    /// A file is longer than anything lanyard writes.
    #[error("{} is larger than 4 MiB", .path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
}

fn holder_text(holder: Option<&u32>) -> String {
    holder.map_or_else(String::new, |pid| format!(" (process {pid})"))
}

impl FileError {
    /// The file or folder that it is about.
    pub fn path(&self) -> &Path {
        match self {
            Self::Io { path, .. } | Self::Busy { path, .. } | Self::Unsafe { path, .. } | Self::TooLarge { path } => {
                path
            }
        }
    }
}

impl Failure for FileError {
    fn code(&self) -> Code {
        match self {
            Self::Busy { .. } => Code::Failed,
            _ => Code::Config,
        }
    }

    fn mend(&self) -> Option<String> {
        Some(match self {
            Self::Io { cause, path, .. } => match cause.kind() {
                io::ErrorKind::PermissionDenied => format!("make {} yours: `ls -ld` shows who owns it", path.display()),
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                    "free some disk space, then try again".into()
                }
                io::ErrorKind::ReadOnlyFilesystem => "point LANYARD_CONFIG_DIR at a folder that can be written".into(),
                _ => format!("look at {}", path.display()),
            },
            Self::Busy { holder: Some(pid), .. } => format!("wait for process {pid} to end, or end it, then try again"),
            Self::Busy { holder: None, .. } => "wait for the other process to end, then try again".into(),
            Self::Unsafe { mend, .. } => mend.clone(),
            Self::TooLarge { path } => format!("look at {}: it is no file of lanyard's", path.display()),
        })
    }
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FileError {
    let path = path.to_owned();
    move |cause| FileError::Io { action, path, cause }
}

/// Makes a folder (and its parents) that only the owner may enter. An existing one is left as it is.
///
/// Refused when the program runs as the superuser on behalf of somebody else's home, where it would leave files that
/// their owner cannot touch.
pub fn create_private_dir(dir: &Path) -> Result<(), FileError> {
    refuse_foreign_home(dir)?;
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir).map_err(io_error("create", dir))
}

/// The whole content of a small file, or `None` where there is no such file. Refuses folders, pipes and devices.
pub fn read(path: &Path) -> Result<Option<Vec<u8>>, FileError> {
    match open_to_read(path, false)? {
        Some(file) => read_all(file, path).map(Some),
        None => Ok(None),
    }
}

/// The content of a file that holds a secret, or `None` where there is no such file.
///
/// On top of [`read`], refuses a symbolic link, a second hard link, another owner, and a mode that lets others in.
pub fn read_private(path: &Path) -> Result<Option<Vec<u8>>, FileError> {
    let Some(file) = open_to_read(path, true)? else { return Ok(None) };
    check_private(&file.metadata().map_err(io_error("read", path))?, path)?;
    read_all(file, path).map(Some)
}

/// Makes sure that `path` is a file of its owner alone: makes an empty one where there is none, and refuses what
/// [`read_private`] would refuse.
pub fn ensure_private(path: &Path) -> Result<(), FileError> {
    match create_new(path) {
        Ok(file) => file
            .metadata()
            .map_err(io_error("read", path))
            .and_then(|found| check_private(&found, path))
            .inspect_err(|_| drop(std::fs::remove_file(path))),
        Err(FileError::Io { cause, .. }) if cause.kind() == io::ErrorKind::AlreadyExists => refuse_unsafe(path),
        Err(failure) => Err(failure),
    }
}

/// Refuses what [`read_private`] would refuse; a file that is not there is fine.
///
/// The file is looked at and not opened: where a process closes a file, it loses every lock that it has on it, the
/// database's own among them.
pub fn refuse_unsafe(path: &Path) -> Result<(), FileError> {
    match std::fs::symlink_metadata(path) {
        Ok(found) if found.is_symlink() => Err(is_a_link(path)),
        Ok(found) if !found.is_file() => Err(is_no_file(path)),
        Ok(found) => check_private(&found, path),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(cause) => Err(io_error("read", path)(cause)),
    }
}

fn is_a_link(path: &Path) -> FileError {
    let mend = format!("replace {} by a regular file", path.display());
    FileError::Unsafe { path: path.to_owned(), problem: "it is a symbolic link".into(), mend }
}

fn is_no_file(path: &Path) -> FileError {
    let mend = format!("move {} away", path.display());
    FileError::Unsafe { path: path.to_owned(), problem: "it is not a regular file".into(), mend }
}

/// Copies a regular file of any size to a new one of its owner alone. Durable when it returns.
pub fn copy(from: &Path, to: &Path) -> Result<(), FileError> {
    let missing = || io_error("read", from)(io::ErrorKind::NotFound.into());
    let mut source = open_to_read(from, false)?.ok_or_else(missing)?;
    let mut target = create_new(to)?;
    io::copy(&mut source, &mut target).map_err(io_error("copy", from))?;
    target.sync_all().map_err(io_error("write", to))
}

/// Copies a file to a new one of its owner alone, which is there whole or not at all. Durable when it returns.
pub fn publish(from: &Path, path: &Path) -> Result<(), FileError> {
    let write = |action| io_error(action, path);
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut beside = beside::make(path).map_err(write("create"))?;
    let mut source = File::open(from).map_err(io_error("read", from))?;
    io::copy(&mut source, &mut beside).map_err(write("write"))?;
    beside.as_file().sync_all().map_err(write("write"))?;
    beside.persist_noclobber(path).map_err(|failed| write("create")(failed.error))?;
    sync_folder(folder).map_err(write("write"))
}

/// Moves a file that this program has just made to its place in the same file system. Durable when it returns.
pub fn put(made: &Path, path: &Path) -> Result<(), FileError> {
    let write = || io_error("write", path);
    File::open(made).and_then(|file| file.sync_all()).map_err(write())?;
    std::fs::rename(made, path).map_err(write())?;
    sync_folder(path.parent().unwrap_or(Path::new("."))).map_err(write())
}

fn create_new(path: &Path) -> Result<File, FileError> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map_err(io_error("create", path))
}

fn open_to_read(path: &Path, private: bool) -> Result<Option<File>, FileError> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        // NONBLOCK: opening a pipe that somebody put in the file's place must not wait for a writer.
        let no_follow = if private { rustix::fs::OFlags::NOFOLLOW } else { rustix::fs::OFlags::empty() };
        options.custom_flags((rustix::fs::OFlags::NONBLOCK | no_follow).bits().cast_signed());
    }
    let file = match options.open(path) {
        Ok(file) => file,
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(_) if private && path.is_symlink() => {
            return Err(is_a_link(path));
        }
        Err(cause) => return Err(io_error("read", path)(cause)),
    };
    let found = file.metadata().map_err(io_error("read", path))?;
    if !found.is_file() {
        return Err(is_no_file(path));
    }
    Ok(Some(file))
}

fn read_all(mut file: File, path: &Path) -> Result<Vec<u8>, FileError> {
    let length = file.metadata().map_err(io_error("read", path))?.len().min(MAX_FILE);
    // One byte more than there is, so that the end is seen without growing.
    let mut bytes = Zeroizing::new(vec![0; usize::try_from(length).unwrap_or_default() + 1]);
    let mut read = 0;
    loop {
        if read == bytes.len() {
            // The file grows meanwhile. Growing in place would leave a copy of a secret behind.
            let mut larger = Zeroizing::new(vec![0; 2 * read]);
            if let Some(begun) = larger.get_mut(..read) {
                begun.copy_from_slice(&bytes);
            }
            bytes = larger;
        }
        match file.read(bytes.get_mut(read..).unwrap_or_default()) {
            Ok(0) => break,
            Ok(more) => read += more,
            Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
            Err(cause) => return Err(io_error("read", path)(cause)),
        }
        if read as u64 > MAX_FILE {
            return Err(FileError::TooLarge { path: path.to_owned() });
        }
    }
    bytes.truncate(read);
    Ok(std::mem::take(&mut *bytes))
}

/// Replaces `path` by `content` as a whole, with mode 0600, durable when it returns.
///
/// A symbolic link is kept and its target replaced (dotfile managers) when `follow_link` says so; otherwise the link
/// itself gives way to the file.
pub fn replace(path: &Path, content: &[u8], follow_link: bool) -> Result<(), FileError> {
    replace_with(path, content, follow_link, None)
}

/// Replaces the configuration of another program as a whole, durable when it returns: a link is followed, a file that
/// exists keeps its mode, a new one is its owner's alone.
pub fn amend(path: &Path, content: &[u8]) -> Result<(), FileError> {
    let mode = match std::fs::metadata(path) {
        Ok(found) => Some(found.permissions()),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => None,
        Err(cause) => return Err(io_error("read", path)(cause)),
    };
    replace_with(path, content, true, mode)
}

fn replace_with(
    path: &Path,
    content: &[u8],
    follow_link: bool,
    mode: Option<std::fs::Permissions>,
) -> Result<(), FileError> {
    let target = if follow_link { path.canonicalize().unwrap_or_else(|_| path.to_owned()) } else { path.to_owned() };
    let folder = target.parent().unwrap_or(Path::new("."));
    create_private_dir(folder)?;
    refuse_foreign_home(folder)?;
    let write = |action| io_error(action, &target);
    let mut beside = beside::make(&target).map_err(write("write"))?;
    beside.write_all(content).map_err(write("write"))?;
    if let Some(mode) = mode {
        beside.as_file().set_permissions(mode).map_err(write("write"))?;
    }
    beside.as_file().sync_all().map_err(write("write"))?;
    beside.persist(&target).map_err(|failed| write("write")(failed.error))?;
    sync_folder(folder).map_err(write("write"))
}

/// Removes a file; `false` where there was none. Durable when it returns.
pub fn remove(path: &Path) -> Result<bool, FileError> {
    match std::fs::remove_file(path) {
        Ok(()) => sync_folder(path.parent().unwrap_or(Path::new("."))).map_err(io_error("remove", path)).map(|()| true),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(cause) => Err(io_error("remove", path)(cause)),
    }
}

/// Has the names of the files in a folder be on the disk.
#[cfg(unix)]
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Has the names of the files in a folder be on the disk.
#[cfg(not(unix))]
pub fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_longer_than_it_says_is_read_whole() {
        // The kernel's own files say that they are empty.
        let path = Path::new("/proc/self/limits");
        assert_eq!(std::fs::metadata(path).unwrap().len(), 0);
        let text = String::from_utf8(read(path).unwrap().unwrap()).unwrap();
        assert!(text.starts_with("Limit ") && text.contains("Max realtime timeout") && text.ends_with('\n'), "{text}");
    }
}
