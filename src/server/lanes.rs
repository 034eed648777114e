//! How many do the same thing at a time, where it is dear: the others wait, and where too many wait, they are sent away.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::limits::Class;

/// One kind of work.
struct Lane {
    turns: Arc<Semaphore>,
    waiting: AtomicUsize,
    longest: usize,
}

impl Lane {
    fn new(turns: usize, longest: usize) -> Self {
        Self { turns: Arc::new(Semaphore::new(turns)), waiting: AtomicUsize::new(0), longest }
    }

    async fn enter(&self) -> Option<OwnedSemaphorePermit> {
        if let Ok(turn) = Arc::clone(&self.turns).try_acquire_owned() {
            return Some(turn);
        }
        // Whoever goes away while they wait leaves the queue as well.
        let _place = Place::of(&self.waiting, self.longest)?;
        Arc::clone(&self.turns).acquire_owned().await.ok()
    }
}

/// A place in a queue.
struct Place<'p>(&'p AtomicUsize);

impl<'p> Place<'p> {
    fn of(waiting: &'p AtomicUsize, longest: usize) -> Option<Self> {
        if waiting.fetch_add(1, Ordering::Relaxed) < longest {
            return Some(Self(waiting));
        }
        waiting.fetch_sub(1, Ordering::Relaxed);
        None
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The lanes of a server. What is read and changed has none: it takes no longer than it takes.
pub(crate) struct Lanes {
    sign_ins: Lane,
    passphrases: Lane,
    costly: Lane,
}

/// The turn of one request.
pub(crate) enum Turn {
    /// It can begin.
    Now(Option<OwnedSemaphorePermit>),
    /// Too many wait.
    Never,
}

impl Lanes {
    /// Empty ones.
    pub(crate) fn new() -> Self {
        Self { sign_ins: Lane::new(32, 512), passphrases: Lane::new(8, 24), costly: Lane::new(16, 256) }
    }

    /// Waits for a turn.
    pub(crate) async fn enter(&self, class: Class) -> Turn {
        let lane = match class {
            Class::Free | Class::Read | Class::Write => return Turn::Now(None),
            Class::SignIn => &self.sign_ins,
            // Each takes long: nobody is to wait for more than a few.
            Class::Passphrase => &self.passphrases,
            Class::Costly => &self.costly,
        };
        match lane.enter().await {
            Some(turn) => Turn::Now(Some(turn)),
            None => Turn::Never,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_is_counted_and_who_goes_is_not() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let lane = Lane::new(1, 1);
        runtime.block_on(async {
            let turn = lane.enter().await.unwrap();
            let soon = std::time::Duration::from_millis(5);
            assert!(tokio::time::timeout(soon, lane.enter()).await.is_err(), "it waits");
            let (waits, sent_away) = tokio::join!(tokio::time::timeout(soon, lane.enter()), lane.enter());
            assert!(waits.is_err() && sent_away.is_none());
            drop(turn);
            assert!(lane.enter().await.is_some());
        });
        assert_eq!(lane.waiting.load(Ordering::Relaxed), 0);
    }
}
