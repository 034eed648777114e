//! Why an agent does not start, or does not do what it is told.

use std::path::PathBuf;

use crate::error::{Code, Failure};
use crate::os::files::FileError;

/// Why an agent does not start, or does not do what it is told.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// None runs for this data folder.
    #[error("no agent runs")]
    None,
    /// One runs already.
    #[error("an agent runs already{}", .pid.map_or_else(String::new, |pid| format!(" (process {pid})")))]
    Runs {
        /// Its process.
        pid: Option<u32>,
    },
    /// Its socket cannot be made.
    #[error("cannot listen on {}", .path.display())]
    Socket {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        #[source]
        cause: std::io::Error,
    },
    /// It does not answer, or in words that are not understood.
    #[error("the agent does not answer")]
    Silent,
    /// Its folder or lock is not usable.
    #[error(transparent)]
    File(#[from] FileError),
    /// The process that was to be the agent has ended.
    #[error("the agent did not start")]
    Died {
        /// What the system said.
        #[source]
        cause: Option<std::io::Error>,
    },
    /// What was to be its key is none.
    #[error("the agent was given no key")]
    NoKey,
}

impl Failure for AgentError {
    fn code(&self) -> Code {
        match self {
            Self::File(failure) => failure.code(),
            _ => Code::Failed,
        }
    }

    fn mend(&self) -> Option<String> {
        Some(match self {
            Self::None => "start one: `lanyard agent start`".into(),
            Self::Runs { .. } => "look at it with `lanyard agent status`, or end it with `lanyard agent stop`".into(),
            Self::Socket { .. } => "look at the folder, or name another one in XDG_RUNTIME_DIR".into(),
            Self::Silent => {
                "end it by its process id, which stands in agent.lock in the data folder, and start another".into()
            }
            Self::File(failure) => return failure.mend(),
            Self::Died { .. } => "see what it says in the foreground: `lanyard agent start --foreground`".into(),
            Self::NoKey => "start it with `lanyard agent start`".into(),
        })
    }
}
