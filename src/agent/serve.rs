//! Starting and ending: one agent for each data folder, its sockets made, and removed again.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use super::AgentError;
use super::place::Place;
use super::ssh;
use super::state::{State, Told};
use super::work::{Calls, answer, take};
use crate::os::Env;
use crate::os::clock;
use crate::os::files::{FileError, Lock};
use crate::vault::Unlocked;

/// How many callers are listened to at the same time. What a person tells the agent is done there and then.
const TAKERS: usize = 8;
/// How many questions of tools are answered at the same time. More of them wait, and the callers do it themselves if
/// that takes too long.
const WORKERS: usize = 12;
/// How often the clocks are looked at: no wait counts the time that the machine sleeps.
const LOOK: Duration = Duration::from_secs(30);

/// How long an agent goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Life {
    /// It ends after this.
    pub timeout: Duration,
    /// It ends when it was not asked anything for so long.
    pub idle: Option<Duration>,
}

/// An agent whose sockets are made, and that nobody answers yet.
pub struct Agent {
    env: Env,
    place: Place,
    calls: UnixListener,
    ssh: UnixListener,
    lock: Lock,
}

impl Agent {
    /// Makes the sockets. What an agent that was killed has left is replaced.
    pub fn listen(env: &Env) -> Result<Self, AgentError> {
        let lock = Lock::acquire(&env.data_dir().join("agent.lock"), Duration::ZERO, &mut |_| {});
        let lock = lock.map_err(|failure| match failure {
            FileError::Busy { holder, .. } => AgentError::Runs { pid: holder },
            other => other.into(),
        })?;
        let place = Place::made(env)?;
        let calls = listener(&place.calls)?;
        let ssh = listener(&place.ssh)?;
        Ok(Self { env: env.clone(), place, calls, ssh, lock })
    }

    /// Begins to answer.
    pub fn start(self, key: Unlocked, life: Life) -> Running {
        let (tell, told) = channel();
        let state = State::new(&self.env, self.place.clone(), key, life, clock::since_boot, tell.clone());
        let state = Arc::new(state);
        // Without a handler a signal ends the process at once, and the next agent removes the sockets.
        let _ = ctrlc::set_handler(move || tell.send(Told::End).unwrap_or_default());
        let (listener, calls) = (Arc::new(self.calls), Arc::new(Calls::default()));
        for number in 0..TAKERS + WORKERS {
            let (state, listener, calls) = (Arc::clone(&state), Arc::clone(&listener), Arc::clone(&calls));
            let work = move || {
                if number < TAKERS { take(&state, &listener, &calls) } else { answer(&state, &calls) }
            };
            // A panic ends one conversation, and the caller does it itself.
            std::thread::spawn(move || while catch_unwind(AssertUnwindSafe(&work)).is_err() {});
        }
        let (ssh, for_ssh) = (self.ssh, Arc::clone(&state));
        std::thread::spawn(move || ssh::listen(&for_ssh, &ssh));
        Running { state, told, place: self.place, _lock: self.lock }
    }
}

/// An agent that answers.
pub struct Running {
    state: Arc<State>,
    told: Receiver<Told>,
    place: Place,
    _lock: Lock,
}

impl Running {
    /// Waits until its time is over or it is told to end, by a request or a signal. Removes its sockets.
    pub fn wait(self) {
        wait(&self.state, &self.told);
        self.state.lock();
        for socket in [&self.place.calls, &self.place.ssh] {
            // One that is gone already needs no removal.
            let _ = std::fs::remove_file(socket);
        }
    }
}

/// Waits for the end, and forgets keys of ssh whose time ends before.
fn wait(state: &State, told: &Receiver<Told>) {
    while let Some(left) = state.left() {
        let next = state.ssh_keys.forget_old().unwrap_or(left);
        match told.recv_timeout(left.min(next).min(LOOK)) {
            Err(RecvTimeoutError::Timeout) | Ok(Told::Look) => {}
            Ok(Told::End) | Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// Listens at a path that this process alone may use. Whoever calls it holds the agent's lock.
fn listener(path: &Path) -> Result<UnixListener, AgentError> {
    let failed = |cause| AgentError::Socket { path: path.to_owned(), cause };
    match std::fs::remove_file(path) {
        Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => return Err(failed(cause)),
        _ => {}
    }
    // The folder keeps others out before the mode does.
    let listener = UnixListener::bind(path).map_err(failed)?;
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o600)).map_err(failed)?;
    Ok(listener)
}
