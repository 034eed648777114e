//! Where an agent is found: two sockets in a folder that only its owner may enter, one pair for each data folder.

use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::os::Env;
use crate::os::files::{self, FileError};

/// The longest path that a socket can have on every Unix, in bytes.
const LONGEST: usize = 100;

/// The sockets of an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// Where helpers ask.
    pub(super) calls: PathBuf,
    /// Where ssh asks.
    pub(super) ssh: PathBuf,
}

impl Place {
    /// In the folder that the session's own files are kept in, under a name that stands for the data folder.
    fn of_session(env: &Env) -> Option<Self> {
        let folder = env.var("XDG_RUNTIME_DIR").map(Path::new).filter(|folder| folder.is_absolute())?;
        let data = env.data_dir();
        let data = std::path::absolute(&data).unwrap_or(data);
        let digest = Sha256::digest(data.as_os_str().as_encoded_bytes());
        let [first, second, third, fourth, ..] = *digest.as_slice() else { return None };
        let tag = format!("{:08x}", u32::from_be_bytes([first, second, third, fourth]));
        Some(Self::named(&folder.join("lanyard"), &format!("agent-{tag}"), &format!("ssh-{tag}")))
    }

    /// In the data folder itself, where there is no session.
    fn of_data(env: &Env) -> Self {
        Self::named(&env.data_dir(), "agent", "ssh")
    }

    fn named(folder: &Path, calls: &str, ssh: &str) -> Self {
        Self { calls: folder.join(format!("{calls}.sock")), ssh: folder.join(format!("{ssh}.sock")) }
    }

    /// Where a new agent would listen. Makes nothing.
    pub(super) fn coming(env: &Env) -> Self {
        Self::of_session(env).filter(Self::fits).unwrap_or_else(|| Self::of_data(env))
    }

    /// Where an agent may be, the usual place first.
    pub(super) fn all(env: &Env) -> impl Iterator<Item = Self> {
        Self::of_session(env).into_iter().chain(std::iter::once_with(|| Self::of_data(env)))
    }

    /// The place for a new agent, whose folder is made: that of the session where there is one.
    pub(super) fn made(env: &Env) -> Result<Self, FileError> {
        let session = Self::of_session(env).filter(|place| {
            let is_there = place.folder().parent().is_some_and(is_own);
            // Where somebody else was faster, it is not made beside his.
            place.fits() && is_there && files::create_private_dir(place.folder()).is_ok() && is_private(place.folder())
        });
        let place = if let Some(place) = session {
            place
        } else {
            let place = Self::of_data(env);
            files::create_private_dir(place.folder())?;
            place
        };
        let unsafe_ = |problem: &str, mend: String| FileError::Unsafe {
            path: place.folder().to_owned(),
            problem: problem.to_owned(),
            mend,
        };
        if !place.fits() {
            let mend = "set XDG_RUNTIME_DIR to a folder with a short path".to_owned();
            return Err(unsafe_("its path is too long for a socket", mend));
        }
        if !is_private(place.folder()) {
            return Err(unsafe_("others can enter it", format!("chmod 700 {}", place.folder().display())));
        }
        Ok(place)
    }

    fn folder(&self) -> &Path {
        self.calls.parent().unwrap_or(Path::new("/"))
    }

    fn fits(&self) -> bool {
        self.calls.as_os_str().len() <= LONGEST
    }

    /// Whether a socket lies there that is this user's own, in a folder that is this user's own. Looked at before one
    /// connects, so that nobody who was there first is talked to.
    pub(super) fn is_safe(socket: &Path) -> bool {
        let folder = socket.parent().is_some_and(is_private);
        folder
            && std::fs::symlink_metadata(socket).is_ok_and(|found| found.file_type().is_socket() && found.uid() == me())
    }
}

fn me() -> u32 {
    rustix::process::geteuid().as_raw()
}

fn is_own(folder: &Path) -> bool {
    std::fs::metadata(folder).is_ok_and(|found| found.is_dir() && found.uid() == me())
}

fn is_private(folder: &Path) -> bool {
    std::fs::symlink_metadata(folder).is_ok_and(|found| files::is_private_folder(&found))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_data_folder_has_a_place_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let session = folder.path().to_str().unwrap();
        let env = |data: &str| {
            Env::invented(folder.path(), folder.path(), &[("LANYARD_DATA_DIR", data), ("XDG_RUNTIME_DIR", session)])
        };
        let (one, other) = (Place::made(&env("/data/one")).unwrap(), Place::made(&env("/data/two")).unwrap());
        assert_ne!(one, other);
        assert_eq!(Place::all(&env("/data/one")).next(), Some(one.clone()));
        assert!(one.calls.starts_with(folder.path().join("lanyard")));
        std::os::unix::net::UnixListener::bind(&one.calls).unwrap();
        assert!(Place::is_safe(&one.calls) && !Place::is_safe(&one.ssh));
        std::fs::set_permissions(one.folder(), std::os::unix::fs::PermissionsExt::from_mode(0o750)).unwrap();
        assert!(!Place::is_safe(&one.calls));
        let data = folder.path().join("data");
        assert_eq!(Place::made(&env(data.to_str().unwrap())).unwrap().calls, data.join("agent.sock"));
        std::fs::set_permissions(&data, std::os::unix::fs::PermissionsExt::from_mode(0o750)).unwrap();
        let refused = Place::made(&env(data.to_str().unwrap())).unwrap_err();
        assert!(refused.to_string().contains("others can enter it"));
    }

    #[test]
    fn without_a_session_it_is_in_the_data_folder() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        for session in ["", "relative", "/no/such/folder"] {
            let env = Env::invented(
                folder.path(),
                folder.path(),
                &[("LANYARD_DATA_DIR", data.to_str().unwrap()), ("XDG_RUNTIME_DIR", session)],
            );
            let place = Place::made(&env).unwrap();
            assert_eq!(place.calls, data.join("agent.sock"));
            assert!(Place::all(&env).any(|known| known == place));
        }
        let long = folder.path().join("x".repeat(120));
        let env = Env::invented(folder.path(), folder.path(), &[("LANYARD_DATA_DIR", long.to_str().unwrap())]);
        assert!(Place::made(&env).unwrap_err().to_string().contains("too long"));
    }
}
