//! Passphrases that many try at once, at several servers on one PostgreSQL: no more of them are looked at than of those
//! that come one after the other to one server.

use super::api_keys::Held;
use super::load::beside;
use super::races::Place;
use super::served::{Browser, LOGIN, PASSPHRASE, Served};

const WRONG: &str = "wrong wrong wrong";
/// Whoever writes them changes nothing.
const SPELLINGS: [&str; 4] = [LOGIN, "Alice@Example.com", "ALICE@EXAMPLE.COM ", " alice@example.com"];

/// Two servers on one database, and what is tried at them.
struct Two {
    place: Place,
    second: Served,
}

impl Two {
    fn new() -> Self {
        let place = Place::new();
        let second = beside(&place.served, &place.postgres.url());
        Self { place, second }
    }

    fn url(&self, nth: usize) -> &str {
        [&self.place.served.url, &self.second.url][nth % 2]
    }

    /// A new session of the owner, as a browser has it that is at one of the servers, with the word of its forms.
    fn signed_in(&self, nth: usize) -> (Browser, String) {
        let first = self.place.served.browser();
        let token = first.cookie().and_then(|cookie| cookie.split_once('=')).expect("a session").1.to_owned();
        let mut browser = Browser::new(self.url(nth));
        let port = self.url(nth).rsplit(':').next().expect("a port");
        browser.keep(&format!("lanyard-{port}={token}"));
        let word = browser.form("/account").into_iter().find(|(name, _)| name == "word").expect("a word").1;
        (browser, word)
    }

    /// Holds the ends of all chains of the audit: whoever has guessed waits there, and what they did is not to be seen.
    fn untold(&self) -> Held {
        Held::by(&self.place.postgres, "SELECT org FROM audit_heads")
    }

    fn number(&self, select: &str) -> String {
        self.place.postgres.as_superuser(select)
    }

    /// As if so many had failed at this a while ago: one more may be tried, and then nobody for five minutes.
    fn failed(&self, subject: &str, failures: u32) {
        let last = "(EXTRACT(EPOCH FROM now()) * 1000)::BIGINT - 400000";
        self.number("DELETE FROM attempts");
        self.number(&format!(
            "INSERT INTO attempts (subject, failures, last) VALUES ('{subject}', {failures}, {last})"
        ));
    }

    /// One was looked at and counted, nobody came in, and whoever knows the right one has to wait as well.
    fn is_kept(&self, statuses: &[u16], (subject, failures): (&str, u32), sessions: &str) {
        let count = |wanted: u16| statuses.iter().filter(|status| **status == wanted).count();
        assert_eq!((count(403), count(429)), (1, statuses.len() - 1), "{statuses:?}");
        let counted = format!("SELECT failures FROM attempts WHERE subject = '{subject}'");
        assert_eq!(self.number(&counted), (failures + 1).to_string());
        assert_eq!([0, 1].map(|nth| sign_in(self.url(nth), nth, PASSPHRASE)), [429, 429]);
        assert_eq!(self.number("SELECT COUNT(*) FROM sessions"), sessions);
        let told = "SELECT COUNT(*) FROM audit_events WHERE action IN ('sign-in', 'session.prove', \
                    'passphrase.change') AND entry LIKE '%denied%' AND org <> 'server'";
        assert_eq!(self.number(told), "1", "what came too early is told nowhere");
    }
}

fn sign_in(url: &str, nth: usize, passphrase: &str) -> u16 {
    Browser::new(url).sign_in(SPELLINGS[nth % SPELLINGS.len()], passphrase).status()
}

#[test]
fn passphrases_that_many_try_at_once_at_two_servers_are_few() {
    const MANY: usize = 16;
    let two = &Two::new();
    let sessions = two.number("SELECT COUNT(*) FROM sessions");
    // From anywhere; what counts those of one network is not there yet.
    let subject = (&format!("sign-in:{LOGIN}")[..], 113);
    two.failed(subject.0, subject.1);
    let held = two.untold();
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let guess = |nth| {
            let url = two.url(nth);
            scope.spawn(move || sign_in(url, nth, WRONG))
        };
        let all: Vec<_> = (0..MANY).map(guess).collect();
        two.place.waits(MANY);
        held.let_go();
        all.into_iter().map(|one| one.join().expect("an answer")).collect()
    });
    two.is_kept(&statuses, subject, &sessions);
}

/// The same passphrase is guessed at where somebody shows who they are once more, and where they change it.
#[test]
fn whichever_page_they_are_tried_on_they_are_counted_together() {
    let two = &Two::new();
    let browsers: Vec<_> = (0..4).map(|nth| two.signed_in(nth)).collect();
    let sessions = two.number("SELECT COUNT(*) FROM sessions");
    let subject = (&format!("sign-in:{LOGIN}@127.0.0.0/24")[..], 13);
    two.failed(subject.0, subject.1);
    let held = two.untold();
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let guess = |nth| {
            let url = two.url(nth);
            scope.spawn(move || sign_in(url, nth, WRONG))
        };
        let mut all: Vec<_> = (0..6).map(guess).collect();
        two.place.waits(6);
        // Each of these has the turn of one whose passphrase is stretched until it is over: two at a time, at each server.
        for (nth, (browser, word)) in browsers.iter().enumerate() {
            all.push(scope.spawn(move || {
                let (proves, new) = ([("word", word.as_str()), ("passphrase", WRONG)], "another correct horse");
                let changes = [("word", word.as_str()), ("old", WRONG), ("new", new), ("again", new)];
                let (path, fields) =
                    if nth < 2 { ("/account/prove", &proves[..]) } else { ("/account/passphrase", &changes[..]) };
                browser.post(path, fields).status()
            }));
        }
        two.place.waits(10);
        held.let_go();
        all.into_iter().map(|one| one.join().expect("an answer")).collect()
    });
    two.is_kept(&statuses, subject, &sessions);
}
