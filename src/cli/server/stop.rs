//! `lanyard server stop`: ends the server that runs on the data of a folder.

use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::cli::Doors;
use crate::error::{Code, Failure, Result};
use crate::server::running;

/// How long a server may take to answer those whom it answers.
const ENDING: Duration = Duration::from_secs(30);

/// Why the server runs on.
#[derive(Debug, thiserror::Error)]
enum StopError {
    #[error("the server does not say which process it is")]
    Nameless,
    #[error("the server (process {pid}) cannot be told to end")]
    System {
        pid: u32,
        #[source]
        cause: std::io::Error,
    },
    #[error("the server (process {pid}) was told to end and has not")]
    Lasting { pid: u32 },
}

impl Failure for StopError {
    fn code(&self) -> Code {
        Code::Failed
    }

    fn mend(&self) -> Option<String> {
        Some(match self {
            Self::Nameless => "find it with `ps` and end it with `kill`".into(),
            Self::System { .. } => "ask whoever started it to end it".into(),
            Self::Lasting { pid } => format!("wait a little; `kill -9 {pid}` ends it at once and loses nothing"),
        })
    }
}

pub(super) fn stop(doors: &Doors<'_>, json: bool, folder: &Path) -> Result<()> {
    let Some(found) = running(folder)? else {
        if json {
            return doors.ui.answer_json(&json!({ "stopped": false }));
        }
        doors.ui.done(&format!("No server runs on {}", folder.display()));
        return Ok(());
    };
    let number = found.pid.ok_or(StopError::Nameless)?;
    let pid = i32::try_from(number).ok().and_then(Pid::from_raw).ok_or(StopError::Nameless)?;
    kill_process(pid, Signal::TERM).map_err(|cause| StopError::System { pid: number, cause: cause.into() })?;
    let deadline = Instant::now() + ENDING;
    while running(folder)?.is_some_and(|now| now.pid == found.pid) {
        if Instant::now() >= deadline {
            return Err(StopError::Lasting { pid: number }.into());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    if json {
        return doors.ui.answer_json(&json!({ "stopped": true, "pid": number }));
    }
    doors.ui.done(&format!("The server (process {number}) has ended"));
    Ok(())
}
