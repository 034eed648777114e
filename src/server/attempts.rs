//! Failed attempts to guess something: after a few, each costs a wait that grows.
//!
//! They are counted by what was guessed at and the network that they came from, in the database: every server counts
//! together. Whoever guesses at an account makes its owner wait nowhere else, unless they do so from many networks, and
//! even then not in a browser that the owner has signed in with: what is tried there is counted by that browser alone. A
//! success forgets the failures at the account, and none of the network's.

use std::net::IpAddr;

use chrono::{DateTime, Utc};

use super::db::{DbError, Rows, values};
use super::problem::Problem;

/// So many slips are free at one account, from one network.
const FREE: i64 = 5;
/// So many are free at one account from anywhere, and from one network at any account.
const MANY: i64 = 20 * FREE;
/// The longest wait, in seconds: nobody can lock another out for longer.
const LONGEST: i64 = 300;
/// What is counted of everybody is counted so long, in milliseconds.
const MINUTE: i64 = 60_000;
/// After so long without a failure, all are forgotten.
const FORGET: i64 = 3600;

/// What is guessed at, for one attempt.
pub(crate) struct Attempt {
    /// At this account, from anywhere.
    account: String,
    /// What it is counted by.
    counted: Vec<Counted>,
    /// The first wait, in seconds.
    first: i64,
    /// By everybody together, and so often in a minute at most, where that is counted.
    all: Option<(String, i64)>,
}

/// One of the things that an attempt is counted by.
struct Counted {
    subject: String,
    /// So many slips are free.
    free: i64,
    /// Whether a success forgets them.
    is_forgotten: bool,
}

impl Attempt {
    /// An attempt at an account, which is named as it is looked up.
    pub(crate) fn at(what: &str, account: &str, from: Option<IpAddr>) -> Self {
        let network = network(from);
        let account = format!("{what}:{account}");
        let here = Counted { subject: format!("{account}@{network}"), free: FREE, is_forgotten: true };
        let anywhere = Counted { subject: account.clone(), free: MANY, is_forgotten: true };
        let network = Counted { subject: format!("{what}@{network}"), free: MANY, is_forgotten: false };
        Self { account, counted: vec![here, anywhere, network], first: 1, all: None }
    }

    /// The same in a browser that the owner of the account has signed in with, where it is one: counted by that alone. What
    /// others do makes nobody wait there, and what is done there makes nobody wait elsewhere.
    pub(crate) fn in_browser(self, browser: Option<&str>) -> Self {
        let Some(browser) = browser else { return self };
        let subject = format!("{}@device:{browser}", self.account);
        Self { counted: vec![Counted { subject, free: FREE, is_forgotten: true }], ..self }
    }

    /// The same where a few slips are all that anybody makes: whoever makes more waits as long as there is to wait.
    pub(crate) fn dearly(self) -> Self {
        Self { first: LONGEST, ..self }
    }

    /// The same where so many fail in a minute at most, whoever they are and wherever they come from.
    pub(crate) fn at_most(self, what: &str, most: i64) -> Self {
        Self { all: Some((format!("{what}@all"), most)), ..self }
    }

    /// Has whoever tries the same at the same moment wait until this transaction ends: none of them is looked at before
    /// the others are counted.
    pub(crate) fn hold(&self, rows: &mut dyn Rows, now: DateTime<Utc>) -> Result<(), DbError> {
        let all = self.all.iter().map(|(subject, _)| subject);
        for subject in self.counted.iter().map(|one| &one.subject).chain(all) {
            rows.execute(
                "INSERT INTO attempts (subject, failures, last) VALUES ($1, 0, $2) \
                 ON CONFLICT (subject) DO UPDATE SET failures = attempts.failures",
                values![subject, now.timestamp_millis()],
            )?;
        }
        Ok(())
    }

    /// Has this attempt be looked at, unless it comes too early: of many who try at once, one after the other is.
    pub(crate) fn take(&self, rows: &mut dyn Rows, now: DateTime<Utc>) -> Result<(), Problem> {
        self.hold(rows, now)?;
        self.refuse_early(rows, now)
    }

    /// Refuses an attempt that comes too early.
    pub(crate) fn refuse_early(&self, rows: &mut dyn Rows, now: DateTime<Utc>) -> Result<(), Problem> {
        for Counted { subject, free, .. } in &self.counted {
            let Some((failures, last)) = known(rows, subject)? else { continue };
            let wait = if failures < *free { 0 } else { self.first << (failures - free).min(20) }.min(LONGEST);
            let left = last / 1000 + wait - now.timestamp();
            if left > 0 {
                return Err(Problem::slow_down(left));
            }
        }
        if let Some((subject, most)) = &self.all
            && let Some((failures, begun)) = known(rows, subject)?
        {
            let left = begun + MINUTE - now.timestamp_millis();
            if failures >= *most && left > 0 {
                return Err(Problem::slow_down(left / 1000 + 1));
            }
        }
        Ok(())
    }

    /// Counts a failure.
    pub(crate) fn failed(&self, rows: &mut dyn Rows, now: DateTime<Utc>) -> Result<(), DbError> {
        let at = now.timestamp_millis();
        // In one order and in one statement each, so that those who fail at once are all counted.
        for Counted { subject, .. } in &self.counted {
            rows.execute(
                "INSERT INTO attempts (subject, failures, last) VALUES ($1, 1, $2) ON CONFLICT (subject) DO UPDATE SET \
                 failures = CASE WHEN attempts.last > $3 THEN attempts.failures + 1 ELSE 1 END, last = $2",
                values![subject, at, at - FORGET * 1000],
            )?;
        }
        if let Some((subject, _)) = &self.all {
            rows.execute(
                "INSERT INTO attempts (subject, failures, last) VALUES ($1, 1, $2) ON CONFLICT (subject) DO UPDATE SET \
                 failures = CASE WHEN attempts.last > $3 THEN attempts.failures + 1 ELSE 1 END, \
                 last = CASE WHEN attempts.last > $3 THEN attempts.last ELSE $2 END",
                values![subject, at, at - MINUTE],
            )?;
        }
        Ok(())
    }

    /// Forgets the failures of the account, or in a browser that is known those of that browser: what was tried elsewhere
    /// stays counted, however often the owner comes in.
    pub(crate) fn succeeded(&self, rows: &mut dyn Rows) -> Result<(), DbError> {
        for Counted { subject, .. } in self.counted.iter().filter(|one| one.is_forgotten) {
            rows.execute("DELETE FROM attempts WHERE subject = $1", values![subject])?;
        }
        Ok(())
    }
}

fn known(rows: &mut dyn Rows, subject: &str) -> Result<Option<(i64, i64)>, DbError> {
    let row = rows.first("SELECT failures, last FROM attempts WHERE subject = $1", values![subject])?;
    row.map(|mut row| Ok((row.int(0)?, row.int(1)?))).transpose()
}

/// The network of an address: what one customer of a provider has at least.
pub(crate) fn network(address: Option<IpAddr>) -> String {
    match address.map(|address| address.to_canonical()) {
        Some(IpAddr::V4(address)) => {
            let [a, b, c, _] = address.octets();
            format!("{a}.{b}.{c}.0/24")
        }
        Some(IpAddr::V6(address)) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{a:x}:{b:x}:{c:x}:{:x}::/56", d & 0xff00)
        }
        None => "unknown".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::db::Reach;
    use crate::server::db::tests::Scratch;

    #[test]
    fn guessing_becomes_slow_and_locks_nobody_out_for_long() {
        let scratch = Scratch::new();
        let at = |seconds| DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap();
        let from = |text: &str| Some(text.parse().unwrap());
        let alice = Attempt::at("sign-in", "alice", from("192.0.2.7"));
        let early =
            |attempt: &Attempt, now| scratch.db.read(Reach::Server, |rows| attempt.refuse_early(rows, now)).is_err();
        let fail = |attempt: &Attempt, now| scratch.db.write(Reach::Server, |rows| attempt.failed(rows, now)).unwrap();
        for second in 0..5 {
            assert!(!early(&alice, at(second)));
            fail(&alice, at(second));
        }
        assert!(early(&alice, at(4)) && !early(&alice, at(6)));
        for _ in 0..45 {
            fail(&alice, at(6));
        }
        assert!(early(&alice, at(6 + LONGEST - 1)) && !early(&alice, at(6 + LONGEST)));
        let elsewhere = Attempt::at("sign-in", "alice", from("198.51.100.1"));
        assert!(!early(&elsewhere, at(6)), "whose account it is waits nowhere else");
        let neighbour = Attempt::at("sign-in", "bob", from("192.0.2.200"));
        assert!(!early(&neighbour, at(6)), "a network of many is not locked out by one");
        for _ in 0..60 {
            fail(&neighbour, at(6));
        }
        assert!(early(&Attempt::at("sign-in", "carol", from("192.0.2.1")), at(6)));
        assert!(!early(&Attempt::at("sign-in", "carol", from("192.0.3.1")), at(6)));
        scratch.db.write(Reach::Server, |rows| alice.succeeded(rows)).unwrap();
        assert!(!early(&elsewhere, at(7)) && early(&alice, at(6)), "the network's failures stay");
        // From many networks, it is one account all the same.
        for number in 0..MANY + 4 {
            fail(&Attempt::at("sign-in", "dora", from(&format!("10.0.{number}.1"))), at(10));
        }
        let dora = Attempt::at("sign-in", "dora", from("10.1.0.1"));
        assert!(early(&dora, at(12)) && !early(&dora, at(10 + LONGEST)));
        // Where everybody is counted together, nobody is let past what is too much.
        let many = |account: &str| Attempt::at("code", account, from("192.0.2.7")).dearly().at_most("code", 7);
        for number in 0..7 {
            let one = many(&format!("account-{number}"));
            scratch.db.write(Reach::Server, |rows| one.hold(rows, at(20))).unwrap();
            assert!(!early(&one, at(20)), "{number}");
            fail(&one, at(20));
        }
        assert!(early(&many("another"), at(21)) && early(&many("another"), at(79)) && !early(&many("another"), at(80)));
        for _ in 1..5 {
            fail(&many("account-1"), at(100));
        }
        assert!(early(&many("account-1"), at(100 + LONGEST - 1)) && !early(&many("account-1"), at(100 + LONGEST)));
        assert_eq!(network(from("::ffff:192.0.2.9")), "192.0.2.0/24");
        assert_eq!(network(from("2001:db8:1:2345::9")), "2001:db8:1:2300::/56");
    }

    #[test]
    fn who_guesses_from_everywhere_keeps_the_owner_waiting_everywhere_but_in_their_own_browser() {
        let scratch = Scratch::new();
        let at = |seconds| DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap();
        let here = |browser| Attempt::at("sign-in", "alice", Some("192.0.2.7".parse().unwrap())).in_browser(browser);
        let early =
            |attempt: &Attempt, now| scratch.db.read(Reach::Server, |rows| attempt.refuse_early(rows, now)).is_err();
        let fail = |attempt: &Attempt, now| scratch.db.write(Reach::Server, |rows| attempt.failed(rows, now)).unwrap();
        let succeed = |attempt: &Attempt| scratch.db.write(Reach::Server, |rows| attempt.succeeded(rows)).unwrap();
        // From two hundred networks, the owner's own among them, for as long as anybody likes.
        for number in 0..2 * MANY {
            fail(&Attempt::at("sign-in", "alice", Some(format!("10.0.{number}.1").parse().unwrap())), at(0));
            fail(&here(None), at(0));
        }
        assert!(early(&here(None), at(LONGEST - 1)), "without its cookie");
        assert!(!early(&here(Some("one")), at(0)));
        // It has its own few slips, and then its own wait, of the same length at most.
        for slip in 0..FREE {
            assert!(!early(&here(Some("one")), at(slip)), "{slip}");
            fail(&here(Some("one")), at(slip));
        }
        assert!(early(&here(Some("one")), at(FREE - 1)) && !early(&here(Some("one")), at(FREE)));
        for _ in 0..40 {
            fail(&here(Some("one")), at(10));
        }
        assert!(early(&here(Some("one")), at(10 + LONGEST - 1)) && !early(&here(Some("one")), at(10 + LONGEST)));
        assert!(!early(&here(Some("two")), at(10)), "another browser of theirs");
        let other = Attempt::at("second-factor", "alice", None).in_browser(Some("one"));
        assert!(!early(&other, at(10)), "another thing that is guessed at");
        // What is tried there counts nowhere else, and who comes in there makes those who guess wait no less.
        let counted = |subject: &str| scratch.db.read(Reach::Server, |rows| known(rows, subject)).unwrap();
        assert_eq!(counted("sign-in:alice").map(|(failures, _)| failures), Some(4 * MANY));
        succeed(&here(Some("one")));
        assert!(!early(&here(Some("one")), at(11)) && early(&here(None), at(11)));
        assert_eq!(counted("sign-in:alice").map(|(failures, _)| failures), Some(4 * MANY));
        assert_eq!(counted("sign-in:alice@device:one"), None);
    }
}
