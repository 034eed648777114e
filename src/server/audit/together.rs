//! Entries that stand for themselves, such as that something was read: where many wait, they are appended together.
//!
//! Each is on the disk before whoever did it is answered, as every entry is; one transaction, and one time on the disk,
//! is for all that wait for the same chain. An entry that tells of a change is not among them: it stands in the
//! transaction of the change.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};

use chrono::{DateTime, Utc};

use super::{Actor, Event, Outcome, append_all};
use crate::server::db::{Database, OrgScope};
use crate::server::keys::{KeyError, Keys};

/// So many are appended at a time.
const MOST: usize = 256;

/// What waits to be appended, by its chain.
#[derive(Default)]
pub(crate) struct Together {
    chains: Mutex<HashMap<String, Chain>>,
    ended: Condvar,
}

/// What waits for one chain. Whoever leads appends it.
#[derive(Default)]
struct Chain {
    waiting: Vec<Arc<Waiting>>,
    is_led: bool,
}

/// An entry that waits.
struct Waiting {
    actor: Actor,
    action: String,
    object: String,
    outcome: Outcome,
    detail: String,
    at: DateTime<Utc>,
    /// Whether it was appended with the others; nothing as long as it waits.
    ended: OnceLock<bool>,
}

impl Waiting {
    fn event(&self) -> Event<'_> {
        Event { action: &self.action, object: &self.object, outcome: self.outcome, detail: &self.detail }
    }
}

impl Together {
    /// Appends an entry, by itself or with others that wait at the same moment. It is on the disk when this returns.
    pub(crate) fn append(
        &self,
        db: &Database,
        keys: &Keys,
        scope: &OrgScope,
        actor: &Actor,
        event: &Event<'_>,
        at: DateTime<Utc>,
    ) -> Result<(), KeyError> {
        let own = Arc::new(Waiting {
            actor: actor.clone(),
            action: event.action.to_owned(),
            object: event.object.to_owned(),
            outcome: event.outcome,
            detail: event.detail.to_owned(),
            at,
            ended: OnceLock::new(),
        });
        let mut chains = self.chains();
        chains.entry(scope.id().to_owned()).or_default().waiting.push(Arc::clone(&own));
        loop {
            match own.ended.get() {
                Some(true) => return Ok(()),
                // What failed for all of them may be the fault of one: each tries for itself.
                Some(false) => break,
                None => {}
            }
            let chain = chains.entry(scope.id().to_owned()).or_default();
            if chain.is_led {
                chains = self.ended.wait(chains).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            chain.is_led = true;
            let count = chain.waiting.len().min(MOST);
            let batch = chain.waiting.drain(..count).collect();
            drop(chains);
            let done = Led { together: self, scope, batch, is_done: false }.append(db, keys);
            if count == 1 {
                return done;
            }
            chains = self.chains();
        }
        drop(chains);
        db.write(scope, |rows| append_all(rows, keys, scope, &[(actor, event, at)]))
    }

    fn chains(&self) -> MutexGuard<'_, HashMap<String, Chain>> {
        self.chains.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Entries that one of those who wait appends for all. With its end, however that comes, somebody else may lead.
struct Led<'t> {
    together: &'t Together,
    scope: &'t OrgScope,
    batch: Vec<Arc<Waiting>>,
    is_done: bool,
}

impl Led<'_> {
    fn append(mut self, db: &Database, keys: &Keys) -> Result<(), KeyError> {
        let events: Vec<Event<'_>> = self.batch.iter().map(|one| one.event()).collect();
        let entries: Vec<_> = self.batch.iter().zip(&events).map(|(one, event)| (&one.actor, event, one.at)).collect();
        let done = db.write(self.scope, |rows| append_all(rows, keys, self.scope, &entries));
        self.is_done = done.is_ok();
        done
    }
}

impl Drop for Led<'_> {
    fn drop(&mut self) {
        let mut chains = self.together.chains();
        for one in &self.batch {
            // Each ends once: nobody else has it.
            let _ = one.ended.set(self.is_done);
        }
        if let Some(chain) = chains.get_mut(self.scope.id()) {
            chain.is_led = false;
            if chain.waiting.is_empty() {
                chains.remove(self.scope.id());
            }
        }
        drop(chains);
        self.together.ended.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::audit::verify;
    use crate::server::db::Reach;
    use crate::server::db::tests::{Scratch, close};

    fn count(scratch: &Scratch) -> i64 {
        let count = "SELECT COUNT(*) FROM audit_events";
        scratch.db.read(Reach::Server, |rows| rows.first(count, &[])?.unwrap().int(0)).unwrap()
    }

    #[test]
    fn what_many_tell_at_once_is_one_chain_in_which_each_stands_once() {
        let scratch = Scratch::new();
        let other = OrgScope::of("org_other");
        scratch.organization(&other);
        let together = Together::default();
        std::thread::scope(|scope| {
            for number in 0..16 {
                let (together, scratch) = (&together, &scratch);
                let org = if number % 4 == 0 { &other } else { &scratch.org };
                scope.spawn(move || {
                    for turn in 0..25 {
                        let object = format!("{number}-{turn}");
                        let event = Event::done("test.done", &object);
                        let at = DateTime::UNIX_EPOCH;
                        together.append(&scratch.db, &scratch.keys, org, &Actor::default(), &event, at).unwrap();
                    }
                });
            }
        });
        for (org, length) in [(&scratch.org, 300), (&other, 100)] {
            let checked = scratch.db.read(org, |rows| verify(rows, &scratch.keys, org)).unwrap();
            assert_eq!(checked, Ok(length));
        }
        let objects = "SELECT COUNT(DISTINCT object) FROM audit_events";
        let objects = scratch.db.read(Reach::Server, |rows| rows.first(objects, &[])?.unwrap().int(0)).unwrap();
        assert_eq!((objects, count(&scratch)), (400, 400));
        assert!(together.chains().is_empty(), "nothing is kept of what is done");
    }

    #[test]
    fn one_that_cannot_be_told_fails_for_whoever_tells_it_alone() {
        let scratch = Scratch::new();
        close(&scratch.db, "audit_events", "NEW.object = 'bad'");
        let together = Together::default();
        let failed: usize = std::thread::scope(|scope| {
            let all: Vec<_> = (0..16)
                .map(|number| {
                    let (together, scratch) = (&together, &scratch);
                    scope.spawn(move || {
                        let told = |object: &str| {
                            let event = Event::done("test.done", object);
                            let at = DateTime::UNIX_EPOCH;
                            together.append(&scratch.db, &scratch.keys, &scratch.org, &Actor::default(), &event, at)
                        };
                        let is_bad = number % 8 == 0;
                        (0..20).filter(|_| told(if is_bad { "bad" } else { "good" }).is_err() == is_bad).count()
                    })
                })
                .collect();
            all.into_iter().map(|one| 20 - one.join().unwrap()).sum()
        });
        assert_eq!((failed, count(&scratch)), (0, 14 * 20));
    }
}
