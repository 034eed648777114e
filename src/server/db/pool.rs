//! A few connections that are used in turn.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::DbError;

/// How long a connection is waited for that others use.
const WAIT: Duration = Duration::from_secs(20);

/// Room for so many connections at a time, and those that nobody uses just now.
pub(super) struct Pool<C> {
    most: usize,
    held: Mutex<Held<C>>,
    freed: Condvar,
}

struct Held<C> {
    idle: Vec<C>,
    in_use: usize,
}

/// The right to use a connection.
pub(super) struct Place<'p, C> {
    pool: &'p Pool<C>,
    /// One that can be used again.
    pub(super) back: Option<C>,
}

impl<C> Pool<C> {
    pub(super) fn new(most: usize) -> Self {
        Self { most, held: Mutex::new(Held { idle: Vec::new(), in_use: 0 }), freed: Condvar::new() }
    }

    /// A place, once there is one, and a connection that was used before, where there is one.
    pub(super) fn place(&self) -> Result<(Place<'_, C>, Option<C>), DbError> {
        let is_full = |held: &mut Held<C>| held.in_use >= self.most;
        let waited = self.freed.wait_timeout_while(self.held(), WAIT, is_full);
        let (mut held, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() {
            return Err(DbError::Busy);
        }
        held.in_use += 1;
        let idle = held.idle.pop();
        Ok((Place { pool: self, back: None }, idle))
    }

    /// Takes out those that nobody uses just now.
    pub(super) fn idle(&self) -> Vec<C> {
        std::mem::take(&mut self.held().idle)
    }

    fn held(&self) -> MutexGuard<'_, Held<C>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<C> Drop for Place<'_, C> {
    fn drop(&mut self) {
        let mut held = self.pool.held();
        held.in_use -= 1;
        held.idle.extend(self.back.take());
        drop(held);
        self.pool.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn no_more_are_used_at_a_time_than_there_is_room_for() {
        let pool = Pool::new(3);
        let (made, used, most) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..12 {
                scope.spawn(|| {
                    for turn in 0..20 {
                        let (mut place, idle) = pool.place().unwrap();
                        let connection = idle.unwrap_or_else(|| made.fetch_add(1, Ordering::SeqCst));
                        let now = used.fetch_add(1, Ordering::SeqCst) + 1;
                        most.fetch_max(now, Ordering::SeqCst);
                        std::thread::yield_now();
                        used.fetch_sub(1, Ordering::SeqCst);
                        // One that broke is not used again, and its place is free for another.
                        place.back = (turn % 5 != 0).then_some(connection);
                    }
                });
            }
        });
        assert!(most.load(Ordering::SeqCst) <= 3);
        assert!(pool.held().in_use == 0 && pool.held().idle.len() <= 3);
    }
}
