//! A file that only grows.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

use super::{FileError, io_error};

/// Appends a line to a file, and makes one of its owner alone where there is none. It is on the disk when this returns.
pub fn append(path: &Path, line: &str) -> Result<(), FileError> {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options.open(path).and_then(|mut file| {
        // In one piece, so that a line of another process does not come between.
        file.write_all(format!("{line}\n").as_bytes())?;
        file.sync_all()
    });
    written.map_err(io_error("write", path))
}
