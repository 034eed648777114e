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
/// An issuer is asked again so soon at the earliest: for a key that it did not list, or after it failed.
const AGAIN: TimeDelta = TimeDelta::seconds(30);
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
struct Remembered<T>(Mutex<HashMap<String, Known<T>>>);

struct Known<T> {
    /// `None` where it did not give it.
    told: Option<Arc<T>>,
    asked: DateTime<Utc>,
}

impl<T> Default for Remembered<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> Remembered<T> {
    fn get(&self, issuer: &str, anew: bool, now: DateTime<Utc>, fetch: impl FnOnce() -> Result<T>) -> Option<Arc<T>> {
        if let Some(known) = self.known().get(issuer) {
            let age = now - known.asked;
            let is_good = known.told.is_some() && !anew && age < KEPT;
            if is_good || age < AGAIN {
                return known.told.clone();
            }
        }
        // Asked without the lock: one issuer that is slow keeps nobody from another.
        let fetched = fetch();
        if let Err(failure) = &fetched {
            tracing::warn!(issuer, %failure, "an issuer that an administrator named does not answer as it should");
        }
        let told = fetched.ok().map(Arc::new);
        let mut known = self.known();
        if known.len() >= MOST && !known.contains_key(issuer) {
            known.clear();
        }
        known.insert(issuer.to_owned(), Known { told: told.clone(), asked: now });
        told
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashMap<String, Known<T>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
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
        assert_eq!(asked("https://id.example", true, 29), (true, 0), "too soon");
        assert_eq!(asked("https://id.example", true, 31), (true, 2));
        assert_eq!(asked("https://id.example", false, 700), (true, 2));
        let (found, questions) = asked("https://other.example", false, 0);
        assert!(!found && questions > 0);
        assert_eq!(asked("https://other.example", false, 29), (false, 0));
        assert!(asked("https://other.example", false, 31).1 > 0);
    }
}
