//! The process's own streams for what another program writes: bytes as they are, as they come.

use std::io::{self, Write};

/// One of the streams of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relay {
    /// stdout.
    Output,
    /// stderr.
    Errors,
}

impl Write for Relay {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Output => io::stdout().write(bytes),
            Self::Errors => io::stderr().write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Output => io::stdout().flush(),
            Self::Errors => io::stderr().flush(),
        }
    }
}

/// Whether stdout and stderr lead to the same place, so that their order is to be kept.
#[cfg(unix)]
pub fn is_one_stream() -> bool {
    let place = |found: rustix::fs::Stat| (found.st_dev, found.st_ino);
    match (rustix::fs::fstat(io::stdout()), rustix::fs::fstat(io::stderr())) {
        (Ok(output), Ok(errors)) => place(output) == place(errors),
        _ => false,
    }
}

/// Whether stdout and stderr lead to the same place; elsewhere that is not known.
#[cfg(not(unix))]
pub fn is_one_stream() -> bool {
    false
}
