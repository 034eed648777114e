//! Who can read a file: the rights of the file itself and of every folder on the way to it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Who can read a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Readers {
    /// Its owner.
    You,
    /// A group of users as well.
    Group,
    /// Everybody on this machine.
    Everyone,
}

impl Readers {
    /// The word in lists and in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::You => "you",
            Self::Group => "group",
            Self::Everyone => "everyone",
        }
    }
}

/// What a file is at one moment, by which a later look tells whether it is still the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    length: u64,
    modified: Option<std::time::SystemTime>,
}

/// The rights of a file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rights {
    /// The mode bits; 0 where the system has none.
    pub(super) mode: u32,
    /// By which the file is known again.
    pub(super) stamp: Stamp,
}

impl Rights {
    #[cfg(unix)]
    pub(super) fn of(found: &std::fs::Metadata) -> Self {
        use std::os::unix::fs::MetadataExt;
        let (device, inode) = (found.dev(), found.ino());
        let stamp = Stamp { device, inode, length: found.len(), modified: found.modified().ok() };
        Self { mode: found.mode() & 0o7777, stamp }
    }

    #[cfg(not(unix))]
    pub(super) fn of(found: &std::fs::Metadata) -> Self {
        let stamp = Stamp { device: 0, inode: 0, length: found.len(), modified: found.modified().ok() };
        Self { mode: 0, stamp }
    }
}

/// The ways to files, each folder looked at once: how far others get.
#[derive(Default)]
pub(super) struct Ways {
    known: HashMap<PathBuf, Readers>,
}

impl Ways {
    /// Who can read a file of this mode at this place.
    pub(super) fn readers(&mut self, path: &Path, mode: u32) -> Readers {
        let own = of_bits(mode, 0o004, 0o040);
        if own == Readers::You {
            return own;
        }
        own.min(path.parent().map_or(Readers::Everyone, |folder| self.reached(folder)))
    }

    /// Who can get into a folder.
    fn reached(&mut self, folder: &Path) -> Readers {
        if let Some(known) = self.known.get(folder) {
            return *known;
        }
        let above = folder.parent().map_or(Readers::Everyone, |parent| self.reached(parent));
        // A folder that cannot be looked at is taken for an open one: what is said is rather too bad than too good.
        let own =
            std::fs::metadata(folder).map_or(Readers::Everyone, |found| of_bits(Rights::of(&found).mode, 0o001, 0o010));
        let reached = own.min(above);
        self.known.insert(folder.to_owned(), reached);
        reached
    }
}

fn of_bits(mode: u32, everyone: u32, group: u32) -> Readers {
    if cfg!(not(unix)) {
        return Readers::You;
    }
    match mode {
        mode if mode & everyone != 0 => Readers::Everyone,
        mode if mode & group != 0 => Readers::Group,
        _ => Readers::You,
    }
}

#[cfg(all(test, unix))]
#[allow(clippy::disallowed_methods, reason = "the tests make their own files")]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_closed_folder_on_the_way_keeps_others_out() {
        let root = tempfile::tempdir().unwrap();
        let inner = root.path().join("a/b");
        std::fs::create_dir_all(&inner).unwrap();
        let file = inner.join("f");
        std::fs::write(&file, "x").unwrap();
        let set = |path: &Path, mode| std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
        for (root_mode, folder_mode, mode, expected) in [
            (0o755, 0o755, 0o644, Readers::Everyone),
            (0o755, 0o755, 0o640, Readers::Group),
            (0o755, 0o755, 0o600, Readers::You),
            (0o700, 0o755, 0o644, Readers::You),
            (0o755, 0o750, 0o644, Readers::Group),
            (0o711, 0o711, 0o604, Readers::Everyone),
        ] {
            set(root.path(), root_mode);
            set(&inner, folder_mode);
            set(&file, mode);
            let found = std::fs::metadata(&file).unwrap();
            let readers = Ways::default().readers(&file, Rights::of(&found).mode);
            assert_eq!(readers, expected, "{root_mode:o} {folder_mode:o} {mode:o}");
        }
    }
}
