//! How often is answered: each address, each caller and each organization has a rate of its own, for each class of what is
//! asked.
//!
//! They are counted by the generic cell rate algorithm, one number for each, in memory: who asks too often costs the
//! database nothing. Every server counts for itself. What guesses cost is a matter of its own (`attempts.rs`).

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hash};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};

/// What may come at once: what the rate gives in this time.
const WINDOW: Duration = Duration::from_secs(10);
/// So many are remembered at a time; those that come on top share one rate.
const ROOM: usize = 1 << 16;

/// What is asked, by what it costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Class {
    /// Whether the server lives.
    Free,
    /// Looking.
    Read,
    /// Changing something.
    Write,
    /// Whatever a guess can be made at.
    SignIn,
    /// The same where a passphrase is stretched.
    Passphrase,
    /// What asks others, or goes through a great deal.
    Costly,
}

impl Class {
    /// The class of a route.
    pub(crate) fn of(method: &Method, path: &str) -> Self {
        let last = path.rsplit('/').next().unwrap_or_default();
        match path {
            "/healthz" => Self::Free,
            _ if ["verify", "export", "sync", "try", "disconnect", "refresh"].contains(&last) => Self::Costly,
            "/connect/callback" => Self::SignIn,
            _ if path.starts_with("/sign-in/back/") => Self::SignIn,
            _ if *method == Method::GET || *method == Method::HEAD => Self::Read,
            "/sign-in" | "/setup" | "/invite" | "/account/passphrase" | "/account/prove" => Self::Passphrase,
            // They ask an issuer, or the service that is to be connected.
            _ if path.starts_with("/account/prove/with/") || ["link", "connect"].contains(&last) => Self::Costly,
            "/token"
            | "/leaked-tokens"
            | "/authorize"
            | "/device"
            | "/device-authorization"
            | "/revoke"
            | "/introspect"
            | "/sign-in/code"
            | "/second-factor" => Self::SignIn,
            // By a passkey, or by an issuer.
            _ if path.starts_with("/sign-in/") => Self::SignIn,
            _ => Self::Write,
        }
    }

    /// Whether only so many do it at a time.
    pub(crate) fn has_turns(self) -> bool {
        matches!(self, Self::SignIn | Self::Passphrase | Self::Costly)
    }

    /// The word.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Read => "read",
            Self::Write => "write",
            Self::SignIn => "sign-in",
            Self::Passphrase => "passphrase",
            Self::Costly => "costly",
        }
    }

    /// It has one part of the rate in so many.
    fn share(self) -> u64 {
        match self {
            Self::Free | Self::Read => 1,
            Self::Write => 2,
            Self::Costly => 4,
            Self::SignIn | Self::Passphrase => 40,
        }
    }
}

/// Requests in a second; 0 is as many as there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rates {
    /// From one address.
    pub(crate) address: u32,
    /// Of one person or job, with all their tokens and sessions.
    pub(crate) caller: u32,
    /// Of one organization.
    pub(crate) organization: u32,
}

impl Default for Rates {
    fn default() -> Self {
        Self { address: 400, caller: 200, organization: 1000 }
    }
}

/// Whom a request is counted for.
#[derive(Debug, Clone, Copy, Hash)]
enum Subject<'s> {
    Address(IpAddr),
    Caller(&'s str),
    Organization(&'s str),
    /// Everybody who is not remembered.
    Rest(&'static str),
}

impl Subject<'_> {
    fn word(self) -> &'static str {
        match self {
            Self::Address(_) => "address",
            Self::Caller(_) => "caller",
            Self::Organization(_) => "organization",
            Self::Rest(word) => word,
        }
    }
}

/// Whose a token or a session is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Whose {
    /// The organization; empty where it is not of one.
    pub(crate) organization: String,
    /// The person, or the rule of a job.
    pub(crate) person: String,
}

/// What is left for one whom a request was counted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Count {
    /// Which rate it is.
    pub(crate) name: &'static str,
    /// What may come at once.
    quota: u64,
    left: u64,
    /// Until the whole quota is there again.
    full: Duration,
    /// Until the next one is answered, where this one is not.
    pub(crate) wait: Option<Duration>,
}

/// The counts of a request, as far as it was counted: the last one may be the one that was too many.
#[derive(Debug, Default)]
pub(crate) struct Counts(Vec<Count>);

impl Counts {
    /// The rate that is used up.
    pub(crate) fn over(&self) -> Option<(&'static str, Duration)> {
        self.0.iter().find_map(|count| Some((count.name, count.wait?)))
    }

    /// Tells the caller, as draft-ietf-httpapi-ratelimit-headers-10 has it.
    pub(crate) fn tell(&self, headers: &mut HeaderMap) {
        let list = |one: fn(&Count) -> String| self.0.iter().map(one).collect::<Vec<_>>().join(", ");
        let policy = list(|count| format!("\"{}\";q={};w={}", count.name, count.quota, WINDOW.as_secs()));
        let left = list(|count| format!("\"{}\";r={};t={}", count.name, count.left, seconds(count.full)));
        for (name, text) in [("ratelimit-policy", policy), ("ratelimit", left)] {
            if let Ok(value) = HeaderValue::from_str(&text)
                && !text.is_empty()
            {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
    }
}

/// A time in whole seconds, so that who waits for it has waited long enough.
pub(crate) fn seconds(time: Duration) -> u64 {
    time.as_nanos().div_ceil(1_000_000_000).try_into().unwrap_or(u64::MAX)
}

/// What was asked how often.
pub(crate) struct Limits {
    rates: Rates,
    hasher: RandomState,
    began: Instant,
    /// When the quota of each is whole again, in nanoseconds since the server began.
    full: Mutex<HashMap<u64, u64>>,
    /// Whose the tokens are that were let in, by what only who has the token knows.
    known: Mutex<HashMap<[u8; 32], Whose>>,
}

impl Limits {
    /// Nobody has asked yet.
    pub(crate) fn new(rates: Rates) -> Self {
        Self {
            rates,
            hasher: RandomState::new(),
            began: Instant::now(),
            full: Mutex::default(),
            known: Mutex::default(),
        }
    }

    /// Counts a request, for the address that it comes from and for whoever has the token that it shows.
    pub(crate) fn count(&self, address: Option<IpAddr>, token: Option<&[u8; 32]>, class: Class) -> Counts {
        let mut counts = Counts::default();
        if let Some(address) = address {
            counts.0.extend(self.take(Subject::Address(network(address)), class));
        }
        let whose = token.and_then(|token| lock(&self.known).get(token).cloned());
        if let Some(whose) = whose {
            self.count_whose(&mut counts, &whose, class);
        }
        counts
    }

    /// Notes whose a token is that was let in, and counts the request for them where it was not.
    pub(crate) fn learn(&self, counts: &mut Counts, token: &[u8; 32], whose: &Whose, class: Class) {
        let mut known = lock(&self.known);
        if known.get(token) == Some(whose) {
            return;
        }
        if known.len() >= ROOM {
            known.clear();
        }
        let is_new = known.insert(*token, whose.clone()).is_none();
        drop(known);
        if is_new {
            self.count_whose(counts, whose, class);
        }
    }

    fn count_whose(&self, counts: &mut Counts, whose: &Whose, class: Class) {
        for subject in [Subject::Caller(&whose.person), Subject::Organization(&whose.organization)] {
            let is_anybody = !matches!(subject, Subject::Organization(""));
            if is_anybody && counts.over().is_none() {
                counts.0.extend(self.take(subject, class));
            }
        }
    }

    fn take(&self, subject: Subject<'_>, class: Class) -> Option<Count> {
        let now = u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.take_at(subject, class, now)
    }

    fn take_at(&self, subject: Subject<'_>, class: Class, now: u64) -> Option<Count> {
        let rate = match subject.word() {
            "address" => self.rates.address,
            "caller" => self.rates.caller,
            _ => self.rates.organization,
        };
        if rate == 0 || class == Class::Free {
            return None;
        }
        let window = u64::try_from(WINDOW.as_nanos()).unwrap_or(u64::MAX);
        let quota = (u64::from(rate) * WINDOW.as_secs() / class.share()).max(1);
        let each = window / quota;
        let mut full = lock(&self.full);
        let mut key = self.hasher.hash_one((subject, class));
        if full.len() >= ROOM && !full.contains_key(&key) {
            full.retain(|_, full| *full > now);
            if full.len() >= ROOM {
                key = self.hasher.hash_one((Subject::Rest(subject.word()), class));
            }
        }
        let used = full.get(&key).map_or(0, |full| full.saturating_sub(now));
        let (used, wait) = match used + each {
            next if next > window => (used, Some(Duration::from_nanos(next - window))),
            next => (next, None),
        };
        full.insert(key, now + used);
        let left = (window - used) / each;
        Some(Count { name: subject.word(), quota, left, full: Duration::from_nanos(used), wait })
    }
}

fn lock<T>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What one customer of a provider has at least: an address of version 4, or a network of version 6.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;
    const HERE: Subject<'static> = Subject::Caller("alice");

    fn limits(rate: u32) -> Limits {
        Limits::new(Rates { address: rate, caller: rate, organization: rate })
    }

    #[test]
    fn what_the_rate_gives_in_the_window_comes_at_once_and_then_one_after_the_other() {
        let limits = limits(2);
        let take = |now| limits.take_at(HERE, Class::Read, now).unwrap();
        for left in (0..20).rev() {
            let count = take(0);
            assert_eq!((count.quota, count.left, count.wait), (20, left, None));
        }
        assert_eq!(take(0).wait, Some(Duration::from_millis(500)));
        assert_eq!(take(SECOND / 4).wait, Some(Duration::from_millis(250)), "who was refused is not put back");
        assert_eq!(take(SECOND / 2).wait, None);
        assert_eq!(take(SECOND / 2).wait, Some(Duration::from_millis(500)));
        assert_eq!(take(60 * SECOND).left, 19);
    }

    #[test]
    fn each_and_each_class_has_its_own() {
        let limits = limits(2);
        let take = |subject, class| limits.take_at(subject, class, 0).unwrap();
        assert_eq!(take(HERE, Class::Write).quota, 10);
        assert_eq!(take(HERE, Class::SignIn).quota, 1);
        assert!(take(HERE, Class::SignIn).wait.is_some());
        assert!(take(HERE, Class::Costly).wait.is_none() && take(Subject::Caller("bob"), Class::SignIn).wait.is_none());
        assert!(take(Subject::Organization("alice"), Class::SignIn).wait.is_none());
        assert!(limits.take_at(HERE, Class::Free, 0).is_none());
        assert!(Limits::new(Rates { caller: 0, ..Rates::default() }).take_at(HERE, Class::Read, 0).is_none());
    }

    #[test]
    fn a_crowd_takes_no_room_and_is_held_together() {
        let limits = limits(2);
        for one in 0..u32::try_from(ROOM).unwrap() {
            limits.take_at(Subject::Address(IpAddr::V4(one.into())), Class::SignIn, 0);
        }
        let late = |one: u32| Subject::Address(IpAddr::V4((0xc000_0000 + one).into()));
        assert!(limits.take_at(late(0), Class::SignIn, 0).unwrap().wait.is_none());
        assert!(limits.take_at(late(1), Class::SignIn, 0).unwrap().wait.is_some());
        assert!(lock(&limits.full).len() <= ROOM + 1);
        assert!(limits.take_at(late(1), Class::SignIn, 11 * SECOND).unwrap().wait.is_none(), "they have gone");
        assert!(lock(&limits.full).len() < 10);
    }

    #[test]
    fn a_token_is_counted_for_whoever_has_it_once_that_is_known() {
        let limits = limits(1);
        let whose = Whose { organization: "org".into(), person: "alice".into() };
        let mut counts = limits.count(None, Some(&[1; 32]), Class::Read);
        assert!(counts.0.is_empty());
        limits.learn(&mut counts, &[1; 32], &whose, Class::Read);
        limits.learn(&mut counts, &[1; 32], &whose, Class::Read);
        limits.learn(&mut counts, &[2; 32], &whose, Class::Read);
        let counts = limits.count(None, Some(&[2; 32]), Class::Read);
        let mut headers = HeaderMap::new();
        counts.tell(&mut headers);
        assert_eq!(headers["ratelimit-policy"], "\"caller\";q=10;w=10, \"organization\";q=10;w=10");
        assert_eq!(headers["ratelimit"], "\"caller\";r=7;t=3, \"organization\";r=7;t=3");
        for _ in 0..7 {
            assert!(limits.count(None, Some(&[1; 32]), Class::Read).over().is_none());
        }
        let (name, wait) = limits.count(None, Some(&[1; 32]), Class::Read).over().unwrap();
        assert_eq!((name, seconds(wait)), ("caller", 1));
    }

    #[test]
    fn a_customer_of_a_provider_is_one() {
        let one = |text: &str| network(text.parse().unwrap()).to_string();
        assert_eq!(one("::ffff:192.0.2.9"), "192.0.2.9");
        assert_eq!(one("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
    }

    #[test]
    fn a_route_has_its_class() {
        for (method, path, class) in [
            ("GET", "/healthz", Class::Free),
            ("GET", "/readyz", Class::Read),
            ("GET", "/sign-in", Class::Read),
            ("POST", "/sign-in", Class::Passphrase),
            ("POST", "/token", Class::SignIn),
            ("DELETE", "/credential-configs/{id}", Class::Write),
            ("POST", "/credential-configs/{id}/verify", Class::Costly),
            ("GET", "/audit/export", Class::Costly),
            ("POST", "/credential-configs/{id}/refresh", Class::Costly),
            ("GET", "/connect/callback", Class::SignIn),
            ("GET", "/sign-in/back/{id}", Class::SignIn),
            ("POST", "/sign-in/with/{id}", Class::SignIn),
            ("POST", "/sign-in/passkey/answer", Class::SignIn),
            ("POST", "/account/prove", Class::Passphrase),
            ("POST", "/account/prove/with/{id}", Class::Costly),
            ("POST", "/account/upstreams/{id}/link", Class::Costly),
            ("POST", "/portal/{org}/credentials/{id}/connect", Class::Costly),
            ("PUT", "", Class::Write),
        ] {
            assert_eq!(Class::of(&method.parse().unwrap(), path), class, "{method} {path}");
        }
    }
}
