//! Two ordinary users: as root, every test of a file's mode passes and proves nothing.

use std::path::Path;
use std::process::{Command, Output};

/// A user without any rights but its own. The number needs no entry in the list of users.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct User(u32);

/// The owner of the files.
pub const OWNER: User = User(61_001);
/// Another user of the same machine, who looks.
pub const STRANGER: User = User(61_002);

impl User {
    /// The words before a command that make it run as this user, for [`crate::stage::Stage::wrap`].
    pub fn wrapper(self) -> [String; 6] {
        let id = self.0.to_string();
        ["setpriv", "--reuid", &id, "--regid", &id, "--clear-groups"].map(str::to_owned)
    }

    /// Runs a shell script as this user.
    pub fn sh(self, script: &str) -> Output {
        let wrapper = self.wrapper();
        Command::new(&wrapper[0])
            .args(&wrapper[1..])
            .args(["sh", "-c", script])
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .output()
            .expect("setpriv is there")
    }

    /// Makes a folder and everything in it this user's own.
    pub fn own(self, folder: &Path) {
        std::os::unix::fs::lchown(folder, Some(self.0), Some(self.0)).expect("root may do that");
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() && !path.is_symlink() {
                self.own(&path);
            } else {
                std::os::unix::fs::lchown(&path, Some(self.0), Some(self.0)).expect("root may do that");
            }
        }
    }
}

/// Whether this process may take on other users. Only a test that needs it asks, and says that it is left out.
pub fn are_possible() -> bool {
    let possible = rustix::process::getuid().is_root();
    if !possible {
        eprintln!("left out: taking on other users needs root");
    }
    possible
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stranger_cannot_read_what_the_owner_keeps() {
        if !are_possible() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("kept"), "secret").unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(folder.path().join("kept"), mode).unwrap();
        OWNER.own(folder.path());
        let script = format!("cat {}/kept", folder.path().display());
        assert_eq!(OWNER.sh(&script).stdout, b"secret");
        assert!(!STRANGER.sh(&script).status.success());
    }
}
