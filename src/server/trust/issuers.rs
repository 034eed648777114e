//! What outside issuers publish, their keys and their documents, as it was fetched last. Only issuers that an
//! administrator named are ever asked.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};

use crate::auth::jwks::Keys;
use crate::auth::service::{Metadata, document_of, keys_of};
use crate::error::Result;
use crate::http::Http;

/// What was fetched is believed for so long.
const KEPT: TimeDelta = TimeDelta::minutes(10);
/// An issuer that did not answer is asked again so soon at the earliest.
const AGAIN: TimeDelta = TimeDelta::seconds(30);
/// For a key that it did not list, it is asked so often at most, however many ask for how many keys.
const ANEW: TimeDelta = TimeDelta::seconds(60);
/// So many issuers are remembered.
const MOST: usize = 256;
/// So many issuers are asked at a time for the jobs of one organization.
const AT_ONCE: usize = 4;
/// So long is waited for somebody else's question. Whoever waits longer comes back: an issuer that is slow is to keep
/// nobody busy but the one that asks it.
const PATIENCE: Duration = Duration::from_secs(2);

/// What is remembered of each issuer.
#[derive(Default)]
pub(crate) struct Issuers {
    keys: Remembered<Keys>,
    documents: Remembered<Metadata>,
    /// How many are asked for each organization now.
    asking: Mutex<HashMap<String, usize>>,
    less: Condvar,
}

/// What is not known is being asked, and that takes long.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Busy;

/// The place of a question of an organization.
struct Place<'i>(&'i Issuers, &'i str);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut asking = held(&self.0.asking);
        if let Some(count) = asking.get_mut(self.1) {
            *count -= 1;
            if *count == 0 {
                asking.remove(self.1);
            }
        }
        self.0.less.notify_all();
    }
}

impl Issuers {
    /// The keys of an issuer; `None` where it does not give them. With `anew`, those that are remembered lack the one
    /// that is looked for.
    pub(crate) fn keys(&self, issuer: &str, http: &dyn Http, anew: bool, now: DateTime<Utc>) -> Option<Arc<Keys>> {
        self.keys.get(issuer, anew, now, || keys_of(issuer, http)).unwrap_or_default()
    }

    /// The same for the jobs of an organization. Anybody can say that they are one: what they have asked keeps nobody of
    /// another organization waiting.
    ///
    /// # Errors
    /// [`Busy`] where the issuer, or too many others of the organization, are being asked and do not answer.
    pub(crate) fn keys_for(
        &self,
        whose: &str,
        issuer: &str,
        http: &dyn Http,
        anew: bool,
        now: DateTime<Utc>,
    ) -> std::result::Result<Option<Arc<Keys>>, Busy> {
        self.keys.get_or(issuer, anew, now, || {
            let _place = self.place(whose)?;
            Ok(keys_of(issuer, http))
        })
    }

    /// A place among those of the organization that ask.
    fn place<'i>(&'i self, whose: &'i str) -> std::result::Result<Place<'i>, Busy> {
        let is_full = |asking: &mut HashMap<String, usize>| asking.get(whose).is_some_and(|count| *count >= AT_ONCE);
        let waited = self.less.wait_timeout_while(held(&self.asking), PATIENCE, is_full);
        let (mut asking, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if is_full(&mut asking) {
            return Err(Busy);
        }
        *asking.entry(whose.to_owned()).or_default() += 1;
        drop(asking);
        Ok(Place(self, whose))
    }

    /// The document of an issuer; `None` where it does not give one that is its own.
    pub(crate) fn document(&self, issuer: &str, http: &dyn Http, now: DateTime<Utc>) -> Option<Arc<Metadata>> {
        self.documents.get(issuer, false, now, || document_of(issuer, http)).unwrap_or_default()
    }
}

/// What was fetched of each issuer.
struct Remembered<T>(Mutex<HashMap<String, Arc<Slot<T>>>>);

/// One issuer.
struct Slot<T> {
    known: Mutex<Known<T>>,
    /// Whoever asks it has an answer.
    answered: Condvar,
}

struct Known<T> {
    /// Whether somebody asks it: the others wait, and take what they get.
    is_asked: bool,
    /// What it told last, and when.
    told: Option<(Arc<T>, DateTime<Utc>)>,
    /// When it was last asked at all, and when for what it had not listed.
    asked: Option<DateTime<Utc>>,
    anew: Option<DateTime<Utc>>,
}

impl<T> Default for Remembered<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> Default for Slot<T> {
    fn default() -> Self {
        let known = Known { is_asked: false, told: None, asked: None, anew: None };
        Self { known: Mutex::new(known), answered: Condvar::new() }
    }
}

impl<T> Known<T> {
    /// What it told, as long as that counts.
    fn good(&self, now: DateTime<Utc>) -> Option<Arc<T>> {
        self.told.as_ref().filter(|(_, at)| now - *at < KEPT).map(|(told, _)| Arc::clone(told))
    }

    /// Whether it is asked now.
    fn is_due(&self, anew: bool, now: DateTime<Utc>) -> bool {
        let within = |at: Option<DateTime<Utc>>, span| at.is_some_and(|at| now - at < span);
        if anew { !within(self.anew, ANEW) } else { self.good(now).is_none() && !within(self.asked, AGAIN) }
    }
}

/// The one that asks an issuer. However that ends, it is over.
struct Asking<'s, T>(&'s Slot<T>);

impl<T> Drop for Asking<'_, T> {
    fn drop(&mut self) {
        held(&self.0.known).is_asked = false;
        self.0.answered.notify_all();
    }
}

impl<T> Slot<T> {
    /// What is known, where that is enough or somebody else finds it out; otherwise it is to be asked.
    fn wait(&self, anew: bool, now: DateTime<Utc>) -> std::result::Result<Option<Arc<T>>, Option<Asking<'_, T>>> {
        let began = Instant::now();
        let mut known = held(&self.known);
        while known.is_due(anew, now) {
            if !known.is_asked {
                known.is_asked = true;
                return Err(Some(Asking(self)));
            }
            let Some(left) = PATIENCE.checked_sub(began.elapsed()) else { return Err(None) };
            known = self.answered.wait_timeout(known, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        Ok(known.good(now))
    }
}

impl<T> Remembered<T> {
    fn get(
        &self,
        issuer: &str,
        anew: bool,
        now: DateTime<Utc>,
        fetch: impl FnOnce() -> Result<T>,
    ) -> std::result::Result<Option<Arc<T>>, Busy> {
        self.get_or(issuer, anew, now, || Ok(fetch()))
    }

    /// What an issuer told; where it is to be asked, and `fetch` has no place for that, nothing is noted of it.
    fn get_or(
        &self,
        issuer: &str,
        anew: bool,
        now: DateTime<Utc>,
        fetch: impl FnOnce() -> std::result::Result<Result<T>, Busy>,
    ) -> std::result::Result<Option<Arc<T>>, Busy> {
        let slot = self.slot(issuer);
        // One asks for all who want the same; one issuer that is slow keeps nobody from another, nor from what is known.
        let _asking = match slot.wait(anew, now) {
            Ok(known) => return Ok(known),
            Err(Some(asking)) => asking,
            Err(None) => return Err(Busy),
        };
        let fetched = fetch()?;
        if let Err(failure) = &fetched {
            tracing::warn!(issuer, %failure, "an issuer that an administrator named does not answer as it should");
        }
        let mut known = held(&slot.known);
        known.asked = Some(now);
        if anew {
            known.anew = Some(now);
        }
        // One that fails now has not taken back what it told a moment ago.
        if let Ok(fetched) = fetched {
            known.told = Some((Arc::new(fetched), now));
        }
        Ok(known.good(now))
    }

    fn slot(&self, issuer: &str) -> Arc<Slot<T>> {
        let mut all = held(&self.0);
        if all.len() >= MOST && !all.contains_key(issuer) {
            all.clear();
        }
        Arc::clone(all.entry(issuer.to_owned()).or_default())
    }
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::auth::service::ServiceError;
    use crate::http::{HeaderMap, Request, Response, Unreachable};

    #[test]
    fn an_issuer_is_asked_seldom() {
        let count = AtomicUsize::new(0);
        let http = |request: Request| -> std::result::Result<Response, Unreachable> {
            count.fetch_add(1, Ordering::Relaxed);
            let body = if request.url.path() == "/jwks" {
                r#"{"keys":[]}"#
            } else {
                r#"{"issuer":"https://id.example","jwks_uri":"https://id.example/jwks"}"#
            };
            let status = if request.url.host_str() == Some("id.example") { 200 } else { 500 };
            Ok(Response { status, headers: HeaderMap::new(), body: body.as_bytes().to_vec().into() })
        };
        let issuers = Issuers::default();
        let at = |seconds: i64| DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap();
        let asked = |issuer: &str, anew: bool, seconds: i64| {
            let before = count.load(Ordering::Relaxed);
            let found = issuers.keys(issuer, &http, anew, at(seconds)).is_some();
            (found, count.load(Ordering::Relaxed) - before)
        };
        assert_eq!(asked("https://id.example", false, 0), (true, 2));
        assert_eq!(asked("https://id.example", false, 599), (true, 0));
        assert_eq!(asked("https://id.example", true, 600), (true, 2), "for a key that it did not list");
        assert_eq!(asked("https://id.example", true, 659), (true, 0), "too soon");
        assert_eq!(asked("https://id.example", false, 659), (true, 0));
        assert_eq!(asked("https://id.example", true, 660), (true, 2));
        assert_eq!(asked("https://id.example", false, 1259), (true, 0));
        assert_eq!(asked("https://id.example", false, 1260), (true, 2));
        let (found, questions) = asked("https://other.example", false, 0);
        assert!(!found && questions > 0);
        assert_eq!(asked("https://other.example", false, 29), (false, 0));
        assert!(asked("https://other.example", false, 31).1 > 0);
    }

    #[test]
    fn of_many_who_look_for_a_key_one_asks() {
        let remembered = Remembered::<usize>::default();
        let count = AtomicUsize::new(0);
        let at = |seconds: i64| DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap();
        let all = |anew: bool, seconds: i64| -> Vec<Option<usize>> {
            let ask = || {
                let fetch = || {
                    std::thread::sleep(std::time::Duration::from_millis(50));
                    Ok(count.fetch_add(1, Ordering::SeqCst) + 1)
                };
                remembered.get("https://id.example", anew, at(seconds), fetch).unwrap().map(|told| *told)
            };
            std::thread::scope(|scope| {
                let asking: Vec<_> = (0..32).map(|_| scope.spawn(ask)).collect();
                asking.into_iter().map(|one| one.join().unwrap()).collect()
            })
        };
        assert_eq!(all(false, 0), vec![Some(1); 32]);
        // Each of them has what the one got, and those who come later do not ask either.
        assert_eq!(all(true, 1), vec![Some(2); 32]);
        assert_eq!(all(true, 60), vec![Some(2); 32]);
        assert_eq!(all(true, 61), vec![Some(3); 32]);
        // One that fails takes back nothing that still counts, and gives nothing that does not.
        let fails = |anew, seconds| {
            let fetch = || Err(ServiceError::Unknown { name: String::new(), nearest: None }.into());
            remembered.get("https://id.example", anew, at(seconds), fetch).unwrap().map(|told| *told)
        };
        assert_eq!((fails(true, 200), fails(false, 201), fails(true, 260)), (Some(3), Some(3), Some(3)));
        assert_eq!((fails(true, 661), fails(false, 700)), (None, None));
    }

    /// What anybody has asked for one organization, and takes long, keeps nobody else waiting for long.
    #[test]
    fn a_slow_issuer_keeps_others_busy_for_a_moment() {
        let issuers = Issuers::default();
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let (open, closed) = (Mutex::new(()), Condvar::new());
        let slow = AtomicUsize::new(0);
        let http = |request: Request| -> std::result::Result<Response, Unreachable> {
            if request.url.host_str().is_some_and(|host| host.starts_with("slow")) {
                slow.fetch_add(1, Ordering::SeqCst);
                let _ = closed.wait_timeout(held(&open), Duration::from_secs(8)).unwrap();
            }
            Ok(Response { status: 500, headers: HeaderMap::new(), body: Vec::new().into() })
        };
        let asked = |whose: &str, issuer: &str| {
            let began = Instant::now();
            let found = issuers.keys_for(whose, issuer, &http, false, now).map(|keys| keys.is_some());
            (found, began.elapsed())
        };
        let asked = &asked;
        std::thread::scope(|scope| {
            for number in 0..AT_ONCE {
                scope.spawn(move || asked("org_a", &format!("https://slow{number}.example")));
            }
            while slow.load(Ordering::SeqCst) < AT_ONCE {
                std::thread::sleep(Duration::from_millis(5));
            }
            // The same issuer, and one more of theirs, are not waited for until they answer.
            for issuer in ["https://slow0.example", "https://id.example"] {
                let (found, took) = asked("org_a", issuer);
                assert_eq!(found, Err(Busy), "{issuer}");
                assert!(took >= PATIENCE && took < 3 * PATIENCE, "{took:?}");
            }
            // Others ask theirs at once.
            let (found, took) = asked("org_b", "https://id.example");
            assert!(found == Ok(false) && took < PATIENCE, "{took:?}");
            closed.notify_all();
        });
        assert!(held(&issuers.asking).is_empty());
    }
}
