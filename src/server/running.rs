//! Which server runs on the data of a folder: it holds a lock there for as long as it lives, and says where it listens.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use super::error::ServeError;
use crate::os::files::{self, FileError, Lock};

/// The lock, and the number of the process that holds it.
const LOCK: &str = "running.lock";
/// The address by which people know the server.
const ADDRESS: &str = "address";
/// The addresses that it listens on, each on a line.
const LISTENS: &str = "listening";
/// Whoever looks who runs is in the way of whoever starts for less than this.
const MOMENT: Duration = Duration::from_millis(100);

/// A server that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    /// Its process, where that could be read.
    pub pid: Option<u32>,
    /// The address by which people know it, once it listens.
    pub address: Option<String>,
    /// Where it listens, once it does.
    pub listens: Vec<SocketAddr>,
}

/// The server that runs on the data in `folder`; `None` where none does. Makes nothing.
pub fn running(folder: &Path) -> Result<Option<Running>, ServeError> {
    match Lock::look(&folder.join(LOCK)) {
        Ok(()) => Ok(None),
        Err(FileError::Busy { holder, .. }) => {
            let text = |name: &str| -> Result<Option<String>, ServeError> {
                let bytes = files::read(&folder.join(name))?;
                Ok(bytes.and_then(|bytes| String::from_utf8(bytes).ok()))
            };
            let address = text(ADDRESS)?.map(|text| text.trim().to_owned());
            let listens = text(LISTENS)?.unwrap_or_default().lines().filter_map(|line| line.parse().ok()).collect();
            Ok(Some(Running { pid: holder, address, listens }))
        }
        Err(failure) => Err(failure.into()),
    }
}

/// Tells others that this process is the server of a folder, until dropped. A second server on the same folder is none
/// that they are told of.
pub(super) fn hold(folder: &Path, address: &str, listens: &[SocketAddr]) -> Result<Option<Lock>, ServeError> {
    let lock = match Lock::acquire(&folder.join(LOCK), MOMENT, &mut |_| {}) {
        Ok(lock) => lock,
        Err(FileError::Busy { .. }) => return Ok(None),
        Err(failure) => return Err(failure.into()),
    };
    let listens: String = listens.iter().map(|address| format!("{address}\n")).collect();
    for (name, text) in [(LISTENS, listens), (ADDRESS, format!("{address}\n"))] {
        files::replace(&folder.join(name), text.as_bytes(), false)?;
    }
    Ok(Some(lock))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_server_of_a_folder_is_told_of_while_it_lives() {
        let dir = tempfile::tempdir().unwrap();
        let absent = dir.path().join("absent");
        assert_eq!(running(&absent).unwrap(), None);
        assert!(!absent.exists());
        let listens: Vec<SocketAddr> = vec!["127.0.0.1:1".parse().unwrap(), "[::1]:9464".parse().unwrap()];
        let held = hold(dir.path(), "http://127.0.0.1:1", &listens).unwrap();
        assert!(held.is_some());
        let second = hold(dir.path(), "http://127.0.0.1:2", &[]).unwrap();
        assert!(second.is_none(), "the second one is not told of");
        let told = running(dir.path()).unwrap().unwrap();
        let address = Some("http://127.0.0.1:1".into());
        assert_eq!(told, Running { pid: Some(std::process::id()), address, listens });
        assert_eq!(running(dir.path()).unwrap(), Some(told));
        drop(held);
        assert_eq!(running(dir.path()).unwrap(), None);
        // Whoever looks at the same moment is no server.
        std::thread::scope(|scope| {
            let all: Vec<_> =
                (0..8).map(|_| scope.spawn(|| (0..50).all(|_| running(dir.path()).unwrap().is_none()))).collect();
            assert!(all.into_iter().all(|one| one.join().unwrap()));
        });
    }
}
