//! Memory for a key that a process holds for hours: never written to swap, left out of core dumps, wiped on drop.

use rustix::mm::{Advice, madvise, mlock, munlock};
use zeroize::Zeroize;

/// As large as the pages of any machine that lanyard runs on, so that nothing else lies on the same page.
const PAGE: usize = 16 << 10;

#[repr(C, align(16384))]
struct Page([u8; PAGE]);

/// A few bytes in locked memory.
pub struct Locked {
    page: Box<Page>,
    length: usize,
    kept: bool,
}

impl Locked {
    /// Copies bytes into locked memory; `None` where they do not fit into a page. Where the system locks no more
    /// memory (`ulimit -l`), they lie in memory like any other, and [`Locked::is_locked`] says so.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        if bytes.len() > PAGE {
            return None;
        }
        let mut page = Box::new(Page([0; PAGE]));
        let start = (&raw mut page.0).cast();
        // SAFETY: the range is this box's own allocation, and neither call changes what is in it.
        #[expect(unsafe_code, reason = "locking takes an address; the range is one allocation that lives in `Self`")]
        let kept = unsafe {
            #[cfg(target_os = "linux")]
            let _ = madvise(start, PAGE, Advice::LinuxDontDump);
            #[cfg(not(target_os = "linux"))]
            let _ = madvise(start, PAGE, Advice::Normal);
            mlock(start, PAGE).is_ok()
        };
        page.0.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(Self { page, length: bytes.len(), kept })
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        self.page.0.get(..self.length).unwrap_or_default()
    }

    /// Whether the system keeps them from being written to a disk.
    pub fn is_locked(&self) -> bool {
        self.kept
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        self.page.0.zeroize();
        let start = (&raw mut self.page.0).cast();
        // SAFETY: the range is this box's own allocation, which is freed after this.
        #[expect(unsafe_code, reason = "unlocking takes an address; the range is one allocation that lives in `Self`")]
        unsafe {
            let _ = munlock(start, PAGE);
            #[cfg(target_os = "linux")]
            let _ = madvise(start, PAGE, Advice::LinuxDoDump);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_kept_and_what_does_not_fit_is_refused() {
        let locked = Locked::of(b"key").unwrap();
        assert_eq!(locked.bytes(), b"key");
        assert_eq!((&raw const locked.page.0).addr() % PAGE, 0);
        assert!(Locked::of(&vec![1; PAGE]).is_some());
        assert!(Locked::of(&vec![1; PAGE + 1]).is_none());
    }
}
