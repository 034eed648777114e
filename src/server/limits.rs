//! How often is answered: each address, each token, each caller and each organization has a rate of its own, for each
//! class of what is asked.
//!
//! They are counted by the generic cell rate algorithm, one number for each, in memory: who asks too often costs the
//! database nothing. Every server counts for itself. What guesses cost is a matter of its own (`attempts.rs`).

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hash};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::http::{HeaderMap, HeaderName, HeaderValue};

mod class;

pub(crate) use class::Class;

/// What may come at once: what the rate gives in this time.
const WINDOW: Duration = Duration::from_secs(10);
/// So many are remembered at a time; those that come on top share one rate.
const ROOM: usize = 1 << 16;

/// Requests in a second; 0 is as many as there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rates {
    /// From one address.
    pub(crate) address: u32,
    /// Of one token or session.
    pub(crate) token: u32,
    /// Of one person or job, with all their tokens and sessions.
    pub(crate) caller: u32,
    /// Of one organization.
    pub(crate) organization: u32,
}

impl Default for Rates {
    fn default() -> Self {
        Self { address: 400, token: 100, caller: 200, organization: 1000 }
    }
}

/// Whom a request is counted for.
#[derive(Debug, Clone, Copy, Hash)]
enum Subject<'s> {
    Address(IpAddr),
    /// By what only who has it knows.
    Token(&'s [u8; 32]),
    Caller(&'s str),
    Organization(&'s str),
    /// Everybody who is not remembered.
    Rest(&'static str),
}

impl Subject<'_> {
    fn word(self) -> &'static str {
        match self {
            Self::Address(_) => "address",
            Self::Token(_) => "token",
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

    /// Tells the caller, as draft-ietf-httpapi-ratelimit-headers-10 has it: what leaves least comes first.
    pub(crate) fn tell(&self, headers: &mut HeaderMap) {
        let mut counts: Vec<&Count> = self.0.iter().collect();
        counts.sort_by_key(|count| count.left);
        let list = |one: fn(&Count) -> String| counts.iter().map(|count| one(count)).collect::<Vec<_>>().join(", ");
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

    /// Counts a request, for the address that it comes from, for the token that it shows and for whoever has that. A
    /// token that was never let in is not counted: anybody can think of any number of them.
    pub(crate) fn count(&self, address: Option<IpAddr>, token: Option<&[u8; 32]>, class: Class) -> Counts {
        let mut counts = Counts::default();
        if let Some(address) = address {
            counts.0.extend(self.take(Subject::Address(network(address)), class));
        }
        let whose = token.and_then(|token| lock(&self.known).get(token).cloned());
        if let Some((token, whose)) = token.zip(whose) {
            self.count_whose(&mut counts, token, &whose, class);
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
            self.count_whose(counts, token, whose, class);
        }
    }

    /// The narrowest first: what one token asks too often takes nothing from the others of whoever has it.
    fn count_whose(&self, counts: &mut Counts, token: &[u8; 32], whose: &Whose, class: Class) {
        let (person, organization) = (Subject::Caller(&whose.person), Subject::Organization(&whose.organization));
        for subject in [Subject::Token(token), person, organization] {
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
            "token" => self.rates.token,
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
    use std::net::Ipv4Addr;

    use super::*;

    const SECOND: u64 = 1_000_000_000;
    const HERE: Subject<'static> = Subject::Caller("alice");

    fn limits(rate: u32) -> Limits {
        Limits::new(Rates { address: rate, token: 0, caller: rate, organization: rate })
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
    fn each_token_has_its_own_below_that_of_the_organization() {
        let limits = Limits::new(Rates { address: 0, token: 1, caller: 2, organization: 3 });
        let ask = |token: u8, person: &str| {
            let whose = Whose { organization: "org".into(), person: person.into() };
            let mut counts = limits.count(None, Some(&[token; 32]), Class::Read);
            limits.learn(&mut counts, &[token; 32], &whose, Class::Read);
            counts.over().map(|(name, _)| name)
        };
        let asked = |token, person| (0..15).map(|_| ask(token, person)).collect::<Vec<_>>();
        assert_eq!(asked(1, "alice"), [vec![None; 10], vec![Some("token"); 5]].concat());
        // Another key of the same person goes on, and what was refused to the first one is not taken from it.
        assert_eq!(asked(2, "alice"), [vec![None; 10], vec![Some("token"); 5]].concat());
        assert_eq!(asked(3, "alice")[0], Some("caller"), "all keys of a person are of one");
        assert_eq!(asked(4, "bob")[..10], vec![None; 10]);
        assert_eq!(asked(5, "carol")[..10], vec![Some("organization"); 10], "and all of them of the organization");
        // What nobody let in takes no room.
        let known = lock(&limits.full).len();
        for token in 100..200 {
            assert!(limits.count(None, Some(&[token; 32]), Class::Read).0.is_empty());
        }
        assert_eq!(lock(&limits.full).len(), known);
    }

    #[test]
    fn the_rate_that_leaves_least_is_told_first() {
        let limits = Limits::new(Rates { address: 5, token: 1, caller: 2, organization: 3 });
        let whose = Whose { organization: "org".into(), person: "alice".into() };
        let mut counts = limits.count(Some(IpAddr::V4(Ipv4Addr::LOCALHOST)), Some(&[1; 32]), Class::Read);
        limits.learn(&mut counts, &[1; 32], &whose, Class::Read);
        let mut headers = HeaderMap::new();
        counts.tell(&mut headers);
        let told = "\"token\";r=9;t=1, \"caller\";r=19;t=1, \"organization\";r=29;t=1, \"address\";r=49;t=1";
        assert_eq!(headers["ratelimit"], told);
        assert!(headers["ratelimit-policy"].to_str().unwrap().starts_with("\"token\";q=10;w=10, "));
    }

    #[test]
    fn a_customer_of_a_provider_is_one() {
        let one = |text: &str| network(text.parse().unwrap()).to_string();
        assert_eq!(one("::ffff:192.0.2.9"), "192.0.2.9");
        assert_eq!(one("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
    }
}
