//! Which server runs on the data of a folder: it holds a lock there for as long as it lives, and says where it listens.

use std::path::Path;
use std::time::Duration;

use super::error::ServeError;
use crate::error::Failure as _;
use crate::os::files::{self, FileError, Lock};

/// The lock, and the number of the process that holds it.
const LOCK: &str = "running.lock";
/// The address by which people know the server.
const ADDRESS: &str = "address";

/// A server that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    /// Its process, where that could be read.
    pub pid: Option<u32>,
    /// The address by which people know it, once it listens.
    pub address: Option<String>,
}

/// The server that runs on the data in `folder`; `None` where none does. Makes nothing where there is no such folder.
pub fn running(folder: &Path) -> Result<Option<Running>, ServeError> {
    if !folder.is_dir() {
        return Ok(None);
    }
    match Lock::acquire(&folder.join(LOCK), Duration::ZERO, &mut |_| {}) {
        Ok(_) => Ok(None),
        Err(FileError::Busy { holder, .. }) => {
            let address = files::read(&folder.join(ADDRESS)).map_err(|failure| told(&failure))?;
            let address = address.and_then(|bytes| String::from_utf8(bytes).ok());
            Ok(Some(Running { pid: holder, address: address.map(|text| text.trim().to_owned()) }))
        }
        Err(failure) => Err(told(&failure)),
    }
}

/// Tells others that this process is the server of a folder, until dropped. A second server on the same folder is none
/// that they are told of.
pub(super) fn hold(folder: &Path, address: &str) -> Result<Option<Lock>, ServeError> {
    let lock = match Lock::acquire(&folder.join(LOCK), Duration::ZERO, &mut |_| {}) {
        Ok(lock) => lock,
        Err(FileError::Busy { .. }) => return Ok(None),
        Err(failure) => return Err(told(&failure)),
    };
    files::replace(&folder.join(ADDRESS), format!("{address}\n").as_bytes(), false)
        .map_err(|failure| told(&failure))?;
    Ok(Some(lock))
}

fn told(failure: &FileError) -> ServeError {
    ServeError::Database(Box::new(std::io::Error::other(failure.to_string())), failure.code(), failure.mend())
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
        let held = hold(dir.path(), "http://127.0.0.1:1").unwrap();
        assert!(held.is_some());
        assert!(hold(dir.path(), "http://127.0.0.1:2").unwrap().is_none(), "the second one is not told of");
        let told = running(dir.path()).unwrap().unwrap();
        assert_eq!(told, Running { pid: Some(std::process::id()), address: Some("http://127.0.0.1:1".into()) });
        drop(held);
        assert_eq!(running(dir.path()).unwrap(), None);
    }
}
