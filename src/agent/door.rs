//! The agent's way to the vault: with the key that the agent holds, and without ever asking the store of the root key,
//! which is for a process that a person has started.

use std::cell::Cell;
use std::os::unix::fs::MetadataExt;
use std::rc::Rc;

use chrono::{DateTime, Utc};

use super::state::State;
use crate::secret::{Choice, StoreError};
use crate::vault::Local;

/// The vault, kept open by one thread.
pub(super) struct Door<'d> {
    state: &'d State,
    clock: &'d dyn Fn() -> DateTime<Utc>,
    vault: Local<'d>,
    store_was_asked: Rc<Cell<bool>>,
    /// Which file was opened.
    file: Option<(u64, u64)>,
}

impl<'d> Door<'d> {
    /// Nothing is opened yet.
    pub(super) fn new(state: &'d State, clock: &'d dyn Fn() -> DateTime<Utc>) -> Self {
        let store_was_asked = Rc::new(Cell::new(false));
        let vault = local(state, clock, &store_was_asked);
        Self { state, clock, file: identity(&vault), vault, store_was_asked }
    }

    /// The vault as it is now, closed: its metadata can be seen.
    pub(super) fn closed(&mut self) -> &Local<'d> {
        let file = identity(&self.vault);
        if file != self.file {
            // Another file lies in the place of the one that was opened.
            self.vault = local(self.state, self.clock, &self.store_was_asked);
            self.file = file;
        }
        &self.vault
    }

    /// Does something with the vault while it is open; `None` where the agent is locked, or found that its key is not
    /// the vault's any more.
    pub(super) fn opened<T>(&mut self, work: impl FnOnce(&Local<'d>) -> T) -> Option<T> {
        let key = self.state.key()?;
        self.closed();
        self.store_was_asked.set(false);
        self.vault.unlock_with(&key);
        let done = work(&self.vault);
        self.vault.lock();
        if self.store_was_asked.get() {
            self.state.lock();
            return None;
        }
        Some(done)
    }
}

fn local<'d>(state: &State, clock: &'d dyn Fn() -> DateTime<Utc>, asked: &Rc<Cell<bool>>) -> Local<'d> {
    let asked = Rc::clone(asked);
    let opener = move |_| {
        asked.set(true);
        Err(StoreError::Locked { store: "agent", cause: None })
    };
    Local::new(&state.env.data_dir(), Choice::Auto, Box::new(opener), clock)
}

/// Which file the vault's is.
fn identity(vault: &Local<'_>) -> Option<(u64, u64)> {
    std::fs::metadata(vault.path()).ok().map(|found| (found.dev(), found.ino()))
}
