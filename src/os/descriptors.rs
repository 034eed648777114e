//! Open files that a process has from its parent: none of them is for a process that outlives it.

use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

use rustix::fs::{Dir, Mode, OFlags};
use rustix::io::FdFlags;

/// The first descriptor behind stdin, stdout and stderr.
const FIRST: RawFd = 3;

/// Has no program that is started from here on get a descriptor besides stdin, stdout and stderr. Those that this
/// process has opened itself are kept from children in any case; what its parent left it is not.
pub fn keep_from_children() {
    for number in open() {
        // SAFETY: the descriptor is open, and borrowed for one call that changes no more than a flag of it. Where another
        // thread closes it meanwhile, that call fails, or sets a flag that whatever is opened here has already.
        #[expect(unsafe_code, reason = "the system names inherited descriptors by their numbers alone")]
        let descriptor = unsafe { BorrowedFd::borrow_raw(number) };
        let _ = rustix::io::fcntl_setfd(descriptor, FdFlags::CLOEXEC);
    }
}

/// Closes what the parent left this process, besides stdin, stdout and stderr. To be called first of all, while the
/// process has opened nothing itself.
pub fn close_inherited() {
    for number in open() {
        // SAFETY: the descriptor is open, and nobody here owns it, since this process has opened nothing yet.
        #[expect(unsafe_code, reason = "the system names inherited descriptors by their numbers alone")]
        unsafe {
            rustix::io::close(number);
        }
    }
}

/// The numbers of what is open, without the folder in which they are read.
fn open() -> Vec<RawFd> {
    let folder = if cfg!(target_os = "linux") { "/proc/self/fd" } else { "/dev/fd" };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let Ok(folder) = rustix::fs::open(folder, flags, Mode::empty()) else { return Vec::new() };
    let own = folder.as_raw_fd();
    let entries = Dir::new(folder).into_iter().flatten().flatten();
    let numbers = entries.filter_map(|entry| entry.file_name().to_str().ok()?.parse().ok());
    numbers.filter(|number| *number >= FIRST && *number != own).collect()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_open_for_children_is_kept_from_them() {
        let file = std::fs::File::open("/dev/null").unwrap();
        rustix::io::fcntl_setfd(&file, FdFlags::empty()).unwrap();
        assert!(open().contains(&file.as_raw_fd()));
        keep_from_children();
        assert!(rustix::io::fcntl_getfd(&file).unwrap().contains(FdFlags::CLOEXEC));
    }
}
