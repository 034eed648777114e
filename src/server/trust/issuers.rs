//! What outside issuers publish, their keys and their documents, as it was fetched last. Only issuers that an
//! administrator named are ever asked.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

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

/// What is remembered of each issuer.
#[derive(Default)]
pub(crate) struct Issuers {
    keys: Remembered<Keys>,
    documents: Remembered<Metadata>,
}

impl Issuers {
    /// The keys of an issuer; `None` where it does not give them. With `anew`, those that are remembered lack the one
    /// that is looked for.
    pub(crate) fn keys(&self, issuer: &str, http: &dyn Http, anew: bool, now: DateTime<Utc>) -> Option<Arc<Keys>> {
        self.keys.get(issuer, anew, now, || keys_of(issuer, http))
    }

    /// The document of an issuer; `None` where it does not give one that is its own.
    pub(crate) fn document(&self, issuer: &str, http: &dyn Http, now: DateTime<Utc>) -> Option<Arc<Metadata>> {
        self.documents.get(issuer, false, now, || document_of(issuer, http))
    }
}

/// What was fetched of each issuer.
struct Remembered<T>(Mutex<HashMap<String, Arc<Slot<T>>>>);

/// One issuer.
struct Slot<T> {
    /// Held by the one that asks it: the others wait, and take what it got.
    asking: Mutex<()>,
    known: Mutex<Known<T>>,
}

struct Known<T> {
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
        Self { asking: Mutex::default(), known: Mutex::new(Known { told: None, asked: None, anew: None }) }
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

impl<T> Remembered<T> {
    fn get(&self, issuer: &str, anew: bool, now: DateTime<Utc>, fetch: impl FnOnce() -> Result<T>) -> Option<Arc<T>> {
        let slot = self.slot(issuer);
        let is_due = || held(&slot.known).is_due(anew, now);
        if !is_due() {
            return held(&slot.known).good(now);
        }
        // One asks for all who want the same; one issuer that is slow keeps nobody from another, nor from what is known.
        let _asking = held(&slot.asking);
        if !is_due() {
            return held(&slot.known).good(now);
        }
        let fetched = fetch();
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
        known.good(now)
    }

    fn slot(&self, issuer: &str) -> Arc<Slot<T>> {
        let mut all = held(&self.0);
        if all.len() >= MOST && !all.contains_key(issuer) {
            all.clear();
        }
        Arc::clone(all.entry(issuer.to_owned()).or_default())
    }
}

fn held<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
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
                remembered.get("https://id.example", anew, at(seconds), fetch).map(|told| *told)
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
            remembered.get("https://id.example", anew, at(seconds), fetch).map(|told| *told)
        };
        assert_eq!((fails(true, 200), fails(false, 201), fails(true, 260)), (Some(3), Some(3), Some(3)));
        assert_eq!((fails(true, 661), fails(false, 700)), (None, None));
    }
}
