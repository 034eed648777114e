//! The question every failure answers: which exit code, and what mends it.
//!
//! Each module defines its own error enum next to the code that raises it and implements [`Failure`] beside the
//! variants, so a new error without an exit code and a next step does not compile. The ways in (`cli`, later `server`)
//! turn a `Box<dyn Failure>` into an exit status or a response; nothing below them knows how it will be shown.

/// Why the process ends, as its exit status. The numbers are part of the interface and never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Code {
    /// Failed for a reason that no other code names.
    Failed = 1,
    /// The command line is wrong.
    Usage = 2,
    /// The configuration is wrong.
    Config = 3,
    /// Not signed in, or the session expired and cannot be renewed.
    SignedOut = 4,
    /// Signed in, but not permitted.
    Forbidden = 5,
    /// The network or the service did not answer.
    Unreachable = 6,
    /// The keychain or another secret store did not answer.
    Store = 7,
    /// A credential was checked and is not valid.
    Invalid = 8,
    /// The command that was to be started cannot be run.
    NotRunnable = 126,
    /// The command that was to be started is not there.
    NotFound = 127,
    /// Interrupted by the user.
    Interrupted = 130,
}

/// An error that knows its exit code and the action that mends it.
///
/// `Display` says what failed, `source()` says why, [`Failure::mend`] names the next step. None of the three may quote
/// a secret or unparsed input.
pub trait Failure: std::error::Error + Send + Sync {
    /// The exit status that this failure ends the process with.
    fn code(&self) -> Code;
    /// The command or action that mends it, without a full stop; `None` only where nothing can be done.
    fn mend(&self) -> Option<String>;
}

impl<F: Failure + 'static> From<F> for Box<dyn Failure> {
    fn from(failure: F) -> Self {
        Box::new(failure)
    }
}

/// The result of anything that can fail for a reason a person should read.
pub type Result<T, E = Box<dyn Failure>> = std::result::Result<T, E>;

/// What failed and why, on one line: `cannot reach https://h: connection refused`.
pub fn with_causes(failure: &dyn Failure) -> String {
    let mut told = failure.to_string();
    let mut cause = failure.source();
    while let Some(inner) = cause {
        told = format!("{told}: {inner}");
        cause = inner.source();
    }
    told
}
