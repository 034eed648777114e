//! What all threads of an agent share: the key, the clock, and how long it goes on.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::control::Status;
use super::held;
use super::place::Place;
use super::serve::Life;
use super::ssh::Keys;
use crate::os::Env;
use crate::os::clock::Clock;
use crate::vault::Unlocked;

/// What all threads share.
pub(super) struct State {
    /// The agent's own surroundings.
    pub(super) env: Env,
    /// Its sockets.
    pub(super) place: Place,
    life: Life,
    key: Mutex<Option<Unlocked>>,
    /// SSH keys that are not in the vault.
    pub(super) ssh_keys: Keys,
    clock: Clock,
    /// When it was started, by that clock and by the one on the wall.
    started: Duration,
    started_at: DateTime<Utc>,
    /// When it was last asked, in milliseconds since the start.
    asked: AtomicU64,
    answered: AtomicU64,
    told: Mutex<Sender<Told>>,
}

/// What the thread is told that waits for the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    /// To end the agent.
    End,
    /// To look again how long it may wait.
    Look,
}

impl State {
    /// An agent that has just started. Whoever waits at the other end of `told` ends it.
    pub(super) fn new(env: &Env, place: Place, key: Unlocked, life: Life, clock: Clock, told: Sender<Told>) -> Self {
        Self {
            place,
            life,
            key: Mutex::new(Some(key)),
            ssh_keys: Keys::new(clock),
            clock,
            started: clock(),
            started_at: env.now(),
            asked: AtomicU64::new(0),
            answered: AtomicU64::new(0),
            told: Mutex::new(told),
            env: env.clone(),
        }
    }

    /// The key, for one question; `None` while locked. Whoever takes it gives it back at the question's end.
    pub(super) fn key(&self) -> Option<Unlocked> {
        held(&self.key).clone()
    }

    /// Uses this key from now on.
    pub(super) fn unlock(&self, key: Unlocked) {
        *held(&self.key) = Some(key);
    }

    /// Forgets the key, and every SSH key that was handed over.
    pub(super) fn lock(&self) {
        *held(&self.key) = None;
        self.ssh_keys.clear();
    }

    /// Notes that somebody asks.
    pub(super) fn note_asked(&self) {
        let since = self.elapsed().as_millis();
        self.asked.store(u64::try_from(since).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Notes that a tool was answered.
    pub(super) fn note_answered(&self) {
        self.answered.fetch_add(1, Ordering::Relaxed);
    }

    /// Has the agent end.
    pub(super) fn end(&self) {
        // Where nobody waits, it is ending.
        let _ = held(&self.told).send(Told::End);
    }

    /// Has the thread that waits look how long it may wait now.
    pub(super) fn look(&self) {
        let _ = held(&self.told).send(Told::Look);
    }

    fn elapsed(&self) -> Duration {
        (self.clock)().saturating_sub(self.started)
    }

    /// How long it goes on if nobody asks; `None` where its time is over.
    pub(super) fn left(&self) -> Option<Duration> {
        let left = [self.until_end(), self.until_idle().unwrap_or(Duration::MAX)].into_iter().min()?;
        (!left.is_zero()).then_some(left)
    }

    fn until_end(&self) -> Duration {
        // Where sleep stops the one clock, the other one goes on.
        let by_wall = (self.env.now() - self.started_at).to_std().unwrap_or_default();
        self.life.timeout.saturating_sub(by_wall.max(self.elapsed()))
    }

    fn until_idle(&self) -> Option<Duration> {
        let asked = Duration::from_millis(self.asked.load(Ordering::Relaxed));
        self.life.idle.map(|idle| idle.saturating_sub(self.elapsed().saturating_sub(asked)))
    }

    /// How it stands.
    pub(super) fn status(&self) -> Status {
        let key = self.key();
        Status {
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            locked: key.is_none(),
            memory_locked: key.is_some_and(|key| key.is_in_locked_memory()),
            answered: self.answered.load(Ordering::Relaxed),
            added_ssh_keys: self.ssh_keys.count(),
            ends_in: self.until_end().as_secs(),
            idle_ends_in: self.until_idle().map(|left| left.as_secs()),
            ssh_socket: self.place.ssh.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;
    use crate::secret::Secret;

    static SECONDS: AtomicU64 = AtomicU64::new(1000);

    fn clock() -> Duration {
        Duration::from_secs(SECONDS.load(Ordering::SeqCst))
    }

    #[test]
    fn time_that_the_machine_sleeps_counts() {
        let env = Env::empty();
        let key = Unlocked::from_secret(&Secret::new(format!("id\n1\nfile\nid\nstore\n1\n\n{}=", "A".repeat(43))));
        let idle = Some(Duration::from_mins(10));
        let life = Life { timeout: Duration::from_hours(1), idle };
        let place = Place::coming(&env);
        let state = State::new(&env, place, key.expect("a key"), life, clock, channel().0);
        SECONDS.fetch_add(500, Ordering::SeqCst);
        assert_eq!(state.left(), Some(Duration::from_secs(100)));
        state.note_asked();
        SECONDS.fetch_add(599, Ordering::SeqCst);
        assert_eq!(state.left(), Some(Duration::from_secs(1)));
        // A lid that is closed: no thread runs meanwhile, and the clock goes on.
        SECONDS.fetch_add(1, Ordering::SeqCst);
        assert_eq!(state.left(), None);
        state.note_asked();
        SECONDS.fetch_add(3600, Ordering::SeqCst);
        assert_eq!(state.until_end(), Duration::ZERO);
    }
}
