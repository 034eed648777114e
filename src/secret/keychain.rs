//! The OS keychain: Secret Service on Linux, Keychain on macOS, Credential Manager on Windows.
//!
//! One item per slot, with the attributes `service=lanyard` and `username=NAME` and a label that a person finds in the
//! keychain's own window. On the session bus the values travel encrypted (Diffie-Hellman, AES); any program of the
//! same user can still ask for an item while the keychain is unlocked.
//!
//! A keychain may be locked, gone or stuck, so every call runs in a thread of its own under a deadline. The thread of
//! a call that did not come back is left behind; the process is about to report the failure and end.

use std::sync::OnceLock;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::{Choice, Reason, Secret, SecretStore, Slot, StoreError};

mod item;
#[cfg(all(unix, not(any(target_os = "macos", target_os = "ios", target_os = "android"))))]
mod session;

/// How long a keychain has to answer when nobody needs to do anything: to open the connection, and for the whole call
/// when nobody could answer its question.
const QUICK: Duration = Duration::from_secs(4);

/// How long a call may take while a person may be typing the keychain's password.
const PATIENT: Duration = Duration::from_secs(24);

/// How long the keychain was waited for, once it did not answer. Asking it again would only double the wait.
static STUCK: OnceLock<Duration> = OnceLock::new();

/// The OS keychain.
#[derive(Debug)]
pub struct Keychain {
    patience: Duration,
}

impl Keychain {
    /// The keychain of this user; nothing is opened yet. `interactive` grants the time a person needs to unlock it.
    pub fn new(interactive: bool) -> Self {
        Self { patience: if interactive { PATIENT } else { QUICK } }
    }

    /// Opens the keychain, runs `work` on it, and gives up waiting for either when the time is over.
    fn within<T: Send + 'static>(
        &self,
        open: fn() -> Result<(), StoreError>,
        work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        if let Some(after) = STUCK.get() {
            return Err(slow(*after));
        }
        let (tell, told) = mpsc::channel();
        let worker = move || {
            let opened = open();
            let is_open = opened.is_ok();
            // The waiting side may have given up; then nobody wants the answer, and nothing new should be begun.
            if tell.send(Step::Opened(opened)).is_ok() && is_open {
                let _ = tell.send(Step::Done(work()));
            }
        };
        std::thread::Builder::new().name("keychain".into()).spawn(worker).map_err(|error| absent(&error))?;
        self.wait(&told)
    }

    fn wait<T>(&self, told: &mpsc::Receiver<Step<T>>) -> Result<T, StoreError> {
        let start = Instant::now();
        let mut limit = QUICK;
        loop {
            match told.recv_timeout(limit.saturating_sub(start.elapsed())) {
                Ok(Step::Opened(Ok(()))) if self.patience > QUICK => limit = start.elapsed() + self.patience,
                Ok(Step::Opened(Ok(()))) => {}
                Ok(Step::Opened(Err(error))) => return Err(error),
                Ok(Step::Done(outcome)) => return outcome,
                Err(RecvTimeoutError::Timeout) => return Err(slow(*STUCK.get_or_init(|| limit))),
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(StoreError::Absent {
                        store: Choice::Keychain.title(),
                        cause: Some(Reason("the connection to it broke down".into())),
                    });
                }
            }
        }
    }
}

/// Begins to open the keychain, so that a call which follows soon finds it open. Asks for no item and prompts nobody;
/// what comes of it the call itself will say. Only where a session bus is at hand is there a way to shorten.
pub fn begin(has_bus: bool) {
    if cfg!(target_os = "linux") && has_bus {
        // Without a thread the call goes the whole way by itself.
        let _ = std::thread::Builder::new().name("keychain".into()).spawn(|| drop(item::open_to_read()));
    }
}

/// What the thread of a call has to say.
enum Step<T> {
    Opened(Result<(), StoreError>),
    Done(Result<T, StoreError>),
}

fn slow(after: Duration) -> StoreError {
    StoreError::Slow { store: Choice::Keychain.title(), after }
}

fn absent(error: &dyn std::error::Error) -> StoreError {
    StoreError::Absent { store: Choice::Keychain.title(), cause: Some(Reason::of(error)) }
}

impl SecretStore for Keychain {
    fn get(&self, slot: &Slot) -> Result<Option<Secret>, StoreError> {
        let slot = slot.clone();
        self.within(item::open_to_read, move || item::read_now(&slot))
    }

    fn set(&self, slot: &Slot, value: &Secret) -> Result<(), StoreError> {
        let (slot, value) = (slot.clone(), value.duplicate());
        self.within(item::open, move || item::Items.set(&slot, &value))
    }

    fn remove(&self, slot: &Slot) -> Result<bool, StoreError> {
        let slot = slot.clone();
        self.within(item::open, move || item::Items.remove(&slot))
    }

    fn probe(&self, size: usize) -> Result<(), StoreError> {
        self.within(item::open, move || item::Items.probe(size))
    }

    fn choice(&self) -> Choice {
        Choice::Keychain
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests;
