//! What two do at once to one sign-in on PostgreSQL: what ends ends also for whoever is half way through, and whoever
//! guesses many at a time guesses no more than who guesses one after the other.

use serde_json::json;

use super::api_keys::Held;
use super::grants::{REDIRECT, VERIFIER, code_for, exchange, text};
use super::identity::set_up;
use super::openbao::wait_until;
use super::postgres::Postgres;
use super::served::{Browser, LOGIN, PASSPHRASE, Served, api, hidden, token};
use super::team::{invite, join};
use crate::stage::Stage;
use crate::wire::{self, Message};

const BOB: &str = "bob@example.com";

/// A server on PostgreSQL, and whoever runs its organization.
struct Place {
    postgres: Postgres,
    served: Served,
    owner: Stage,
}

impl Place {
    fn new() -> Self {
        let postgres = Postgres::start();
        let served = Served::new(&["--database", &postgres.url()]);
        let owner = served.manager();
        Self { postgres, served, owner }
    }

    /// Holds the ends of all chains of the audit: whoever has something to tell waits, with all that they did untold.
    fn untold(&self) -> Held {
        Held::by(&self.postgres, "SELECT org FROM audit_heads")
    }

    /// Waits until so many of the server wait for somebody's row.
    fn waits(&self, count: usize) {
        let waiting = "SELECT COUNT(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'";
        wait_until("it waits", || self.postgres.as_superuser(waiting) == count.to_string());
    }

    /// Has the first be half way through, and then the second come; what they answer.
    fn meet<A: Send, B: Send>(&self, first: impl FnOnce() -> A + Send, second: impl FnOnce() -> B + Send) -> (A, B) {
        let held = self.untold();
        std::thread::scope(|scope| {
            let first = scope.spawn(first);
            self.waits(1);
            let second = scope.spawn(second);
            self.waits(2);
            held.let_go();
            (first.join().expect("an answer"), second.join().expect("an answer"))
        })
    }
}

fn form(url: &str, path: &str, fields: &[(&str, &str)]) -> Message {
    wire::post_form(&format!("{url}{path}"), fields).expect("an answer")
}

/// Whatever ends a sign-in ends the tokens as well that somebody is getting for it at that moment.
#[test]
fn what_is_renewed_while_a_sign_in_ends_ends_with_it() {
    let place = Place::new();
    let (url, bearer) = (place.served.url.as_str(), token(&place.owner));
    let bob = join(&place.served, &invite(&place.owner, "member"), BOB);
    let person = place.postgres.as_superuser(&format!("SELECT id FROM people WHERE login = '{BOB}'"));
    for way in ["revoked", "reported", "code again", "removed"] {
        let code = code_for(&bob, &[]);
        let given = exchange(&place.served, &code, &[]).json();
        let (access, refresh) = (text(&given, "access_token"), text(&given, "refresh_token"));
        let renew = || {
            let fields = [("grant_type", "refresh_token"), ("client_id", "lanyard"), ("refresh_token", refresh)];
            form(url, "/token", &fields)
        };
        let again = [
            ("grant_type", "authorization_code"),
            ("client_id", "lanyard"),
            ("code", code.as_str()),
            ("redirect_uri", REDIRECT),
            ("code_verifier", VERIFIER),
        ];
        let end = || match way {
            "revoked" => form(url, "/revoke", &[("token", refresh)]),
            "reported" => {
                let found = json!([{ "token": access }]).to_string();
                wire::send("POST", &format!("{url}/leaked-tokens"), &["Content-Type: application/json"], &found)
                    .expect("an answer")
            }
            "code again" => form(url, "/token", &again),
            _ => api(url, "DELETE", &format!("/members/{person}"), &bearer, ""),
        };
        let (renewed, ended) = place.meet(renew, end);
        let expected = match way {
            "revoked" => 200,
            "reported" => 202,
            "code again" => 400,
            _ => 204,
        };
        assert_eq!((renewed.status(), ended.status()), (200, expected), "{way}: {}", ended.text());
        let asks = api(url, "GET", "/userinfo", text(&renewed.json(), "access_token"), "");
        assert_eq!(asks.status(), 401, "{way}");
        let left = "SELECT COUNT(*) FROM tokens WHERE revoked IS NULL AND person =";
        assert_eq!(place.postgres.as_superuser(&format!("{left} '{person}'")), "0", "{way}");
    }
}

fn halves(url: &str, count: usize) -> Vec<String> {
    let half = || {
        let asked = Browser::new(url).sign_in(LOGIN, PASSPHRASE);
        hidden(&asked.text()).into_iter().find(|(name, _)| name == "half").expect("a form").1
    };
    (0..count).map(|_| half()).collect()
}

/// Whoever changes their passphrase ends every other session, that of somebody as well who is just coming in.
#[test]
fn who_is_coming_in_while_the_passphrase_changes_is_out_again() {
    let place = Place::new();
    let (url, browser) = (place.served.url.as_str(), place.served.browser());
    let (_, codes) = set_up(&browser);
    let half = halves(url, 1).remove(0);
    let word = browser.form("/account").into_iter().find(|(name, _)| name == "word").expect("a word").1;
    let new = "LNYCANARYanother horse battery";
    let fields = [("word", word.as_str()), ("old", PASSPHRASE), ("new", new), ("again", new)];
    let (entered, changed) = place.meet(
        || Browser::new(url).post("/sign-in/code", &[("half", &half), ("code", &codes[0])]),
        || browser.post("/account/passphrase", &fields),
    );
    assert_eq!((entered.status(), changed.status()), (303, 303), "{} {}", entered.text(), changed.text());
    let account = |answer: &Message| {
        let mut own = Browser::new(url);
        own.keep(answer.header("set-cookie").expect("a session").split(';').next().expect("a cookie"));
        own.get("/account").status()
    };
    assert_eq!((account(&entered), account(&changed)), (303, 200));
    assert_eq!(place.postgres.as_superuser("SELECT COUNT(*) FROM sessions"), "1");
}

/// Many wrong guesses at once are looked at one after the other, and no more of them than of those that come so.
#[test]
fn who_guesses_many_at_a_time_guesses_no_more() {
    const MANY: usize = 10;
    let place = Place::new();
    let (url, browser) = (place.served.url.as_str(), &place.served.browser());
    set_up(browser);
    let halves = &halves(url, MANY);
    let word = &browser.form("/second-factor").into_iter().find(|(name, _)| name == "word").expect("a word").1;
    let at_a_code =
        |nth: usize| Browser::new(url).post("/sign-in/code", &[("half", &halves[nth]), ("code", "000000")]).status();
    let at_what_is_in_force = |_: usize| {
        let fields = [("word", word.as_str()), ("step", "remove"), ("code", "000000")];
        browser.post("/second-factor", &fields).status()
    };
    let ways: [(&str, &(dyn Fn(usize) -> u16 + Sync)); 2] =
        [("code", &at_a_code), ("what is in force", &at_what_is_in_force)];
    for (way, guess) in ways {
        place.postgres.as_superuser("DELETE FROM attempts");
        let held = place.untold();
        let statuses: Vec<u16> = std::thread::scope(|scope| {
            let all: Vec<_> = (0..MANY).map(|nth| scope.spawn(move || guess(nth))).collect();
            place.waits(MANY);
            held.let_go();
            all.into_iter().map(|one| one.join().expect("an answer")).collect()
        });
        let count = |wanted: u16| statuses.iter().filter(|status| **status == wanted).count();
        assert_eq!((count(403), count(429)), (5, MANY - 5), "{way}: {statuses:?}");
    }
    let denied = "SELECT COUNT(*) FROM audit_events WHERE action IN ('second-factor', 'second-factor.remove')";
    assert_eq!(place.postgres.as_superuser(denied), "10", "what came too early is told nowhere");
}
