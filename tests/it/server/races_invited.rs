//! Sessions on PostgreSQL that end while somebody accepts an invitation in them: nothing of them lives on, and whoever was
//! refused is no member.

use serde_json::json;

use super::api_keys::Held;
use super::races::Place;
use super::served::{Browser, PASSPHRASE, api, token};
use super::team::{invite, join};
use crate::stage::Stage;
use crate::wire::Message;

const BOB: &str = "bob@example.com";
const NEW: &str = "LNYCANARYanother horse battery";

/// A member of one organization whom others invite.
struct Invited {
    place: Place,
    acme: Stage,
    bob: Browser,
}

fn word(browser: &Browser, path: &str) -> String {
    browser.form(path).into_iter().find(|(name, _)| name == "word").expect("a word").1
}

impl Invited {
    fn new() -> Self {
        let place = Place::new();
        let acme = place.served.manager();
        let bob = join(&place.served, &invite(&acme, "member"), BOB);
        Self { place, acme, bob }
    }

    /// Another organization that invites them: its identifier, and the link.
    fn invited(&self, name: &str) -> (String, String) {
        let served = &self.place.served;
        let made = served.api("POST", "/organizations", &token(&self.acme), &json!({ "name": name }).to_string());
        assert_eq!(made.status(), 201, "{}", made.text());
        let id = made.json()["id"].as_str().expect("an id").to_owned();
        let link = invite(&served.client_of(&served.browser(), Some(&id)), "member");
        (id, link.split("token=").nth(1).expect("a token").to_owned())
    }

    fn number(&self, select: &str) -> String {
        self.place.postgres.as_superuser(select)
    }

    /// How many sessions they have, whether they are in an organization, and how many of its invitations are open.
    fn stands(&self, org: &str) -> [String; 3] {
        let person = format!("(SELECT id FROM people WHERE login = '{BOB}')");
        [
            format!("sessions WHERE person = {person}"),
            format!("members WHERE org = '{org}' AND person = {person}"),
            format!("member_invitations WHERE org = '{org}' AND spent IS NULL"),
        ]
        .map(|what| self.number(&format!("SELECT COUNT(*) FROM {what}")))
    }

    /// A new session of theirs.
    fn signed_in(&self, passphrase: &str) -> Browser {
        let mut browser = Browser::new(&self.place.served.url);
        assert_eq!(browser.sign_in(BOB, passphrase).status(), 303);
        browser
    }
}

/// The form that accepts, as this browser has it.
fn form(browser: &Browser, token: &str) -> [(&'static str, String); 2] {
    [("token", token.to_owned()), ("word", word(browser, &format!("/invite?token={token}")))]
}

fn send(browser: &Browser, path: &str, fields: &[(&str, String)]) -> Message {
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    browser.post(path, &fields)
}

/// What ends a session: signing out in it, another passphrase from another browser, or that browser ending it.
fn ends(way: &str, own: &Browser, other: &Browser, (old, new): (&str, &str)) -> (String, Vec<(&'static str, String)>) {
    match way {
        "signed out" => ("/sign-out".to_owned(), vec![("word", word(own, "/account"))]),
        "changed" => {
            let passphrases = [("old", old), ("new", new), ("again", new)].map(|(name, text)| (name, text.to_owned()));
            ("/account/passphrase".to_owned(), [vec![("word", word(other, "/account"))], passphrases.to_vec()].concat())
        }
        _ => {
            let id = own.cookie().and_then(|cookie| cookie.split('_').nth(2)).expect("a session");
            (format!("/account/sessions/{id}/end"), vec![("word", word(other, "/account"))])
        }
    }
}

/// Whoever accepts waits for the organization, and finds their session ended.
#[test]
fn whose_session_ends_before_they_have_joined_has_not() {
    let invited = Invited::new();
    let (org, link) = invited.invited("Other");
    let passphrases = [(PASSPHRASE, NEW), (PASSPHRASE, NEW), (NEW, PASSPHRASE)];
    for (way, passphrases) in ["signed out", "changed", "ended"].into_iter().zip(passphrases) {
        let now = if way == "ended" { NEW } else { PASSPHRASE };
        invited.number("DELETE FROM sessions");
        let (own, other) = (invited.signed_in(now), invited.signed_in(now));
        let (accepts, (path, fields)) = (form(&own, &link), ends(way, &own, &other, passphrases));
        let held = Held::changed(&invited.place.postgres, &format!("SELECT id FROM organizations WHERE id = '{org}'"));
        let (accepted, ended) = std::thread::scope(|scope| {
            let (own, accepts) = (&own, &accepts);
            let accepted = scope.spawn(move || send(own, "/invite", accepts));
            invited.place.waits(1);
            let ended = send(if way == "signed out" { own } else { &other }, &path, &fields);
            held.let_go();
            (accepted.join().expect("an answer"), ended)
        });
        assert_eq!((accepted.status(), ended.status()), (401, 303), "{way}: {}", accepted.text());
        assert_eq!(accepted.header("set-cookie"), None, "{way}");
        assert_eq!(invited.stands(&org), ["1", "0", "1"], "{way}: the other browser is in, and the link is good");
        assert_eq!(own.get("/account").status(), 303, "{way}");
    }
}

/// Whoever accepts has joined, and is in with another session, which nobody sees yet: it ends with the one of before.
#[test]
fn whose_session_ends_while_another_carries_it_on_is_out() {
    let invited = Invited::new();
    for way in ["signed out", "ended", "changed"] {
        let (org, link) = invited.invited(way);
        invited.number("DELETE FROM sessions");
        let (own, other) = (invited.signed_in(PASSPHRASE), invited.signed_in(PASSPHRASE));
        let (accepts, (path, fields)) = (form(&own, &link), ends(way, &own, &other, (PASSPHRASE, NEW)));
        let held = Held::by(&invited.place.postgres, "SELECT org FROM audit_heads");
        let (accepted, ended) = std::thread::scope(|scope| {
            let (own, accepts) = (&own, &accepts);
            let accepted = scope.spawn(move || send(own, "/invite", accepts));
            invited.place.waits(1);
            let browser = if way == "signed out" { own } else { &other };
            let ended = scope.spawn(move || send(browser, &path, &fields));
            invited.place.waits(2);
            held.let_go();
            (accepted.join().expect("an answer"), ended.join().expect("an answer"))
        });
        assert_eq!((accepted.status(), ended.status()), (303, 303), "{way}: {} {}", accepted.text(), ended.text());
        assert_eq!(invited.stands(&org), ["1", "1", "0"], "{way}");
        let mut carried = Browser::new(&invited.place.served.url);
        carried.keep(accepted.header("set-cookie").expect("a session").split(';').next().expect("a cookie"));
        assert_eq!(carried.get("/account").status(), 303, "{way}: nobody is in with it");
    }
}

/// The same where somebody has found the session's token, and reports it.
#[test]
fn whose_session_is_reported_while_another_carries_it_on_is_out() {
    let invited = Invited::new();
    let (org, link) = invited.invited("Other");
    invited.number("DELETE FROM sessions");
    let (own, url) = (&invited.signed_in(PASSPHRASE), &invited.place.served.url);
    let found = own.cookie().and_then(|cookie| cookie.split_once('=')).expect("a session").1;
    let (accepts, report) = (form(own, &link), json!([{ "token": found }]).to_string());
    let held = Held::by(&invited.place.postgres, "SELECT org FROM audit_heads");
    let (accepted, reported) = std::thread::scope(|scope| {
        let accepted = scope.spawn(|| send(own, "/invite", &accepts));
        invited.place.waits(1);
        let reported = scope.spawn(|| api(url, "POST", "/leaked-tokens", "", &report));
        invited.place.waits(2);
        held.let_go();
        (accepted.join().expect("an answer"), reported.join().expect("an answer"))
    });
    assert_eq!((accepted.status(), reported.status()), (303, 202), "{} {}", accepted.text(), reported.text());
    assert_eq!(invited.stands(&org), ["0", "1", "0"], "what carries it on has ended with it");
}

/// Whoever shows who they are once more has a session of its own by that. A sign-out from the one of before is told what
/// is: it has ended nothing.
#[test]
fn a_sign_out_that_ends_nothing_takes_nothing_back() {
    let invited = Invited::new();
    let own = &invited.bob;
    let shown = [("word", word(own, "/account")), ("passphrase", PASSPHRASE.to_owned())];
    let out = [("word", word(own, "/account"))];
    let held = Held::by(&invited.place.postgres, "SELECT org FROM audit_heads");
    let (proved, out) = std::thread::scope(|scope| {
        let proved = scope.spawn(|| send(own, "/account/prove", &shown));
        invited.place.waits(1);
        let out = scope.spawn(|| send(own, "/sign-out", &out));
        invited.place.waits(2);
        held.let_go();
        (proved.join().expect("an answer"), out.join().expect("an answer"))
    });
    assert_eq!((proved.status(), out.status(), out.header("location")), (303, 303, Some("/")), "{}", proved.text());
    assert_eq!(out.header("set-cookie"), None);
    let mut fresh = Browser::new(&invited.place.served.url);
    fresh.keep(proved.header("set-cookie").expect("a session").split(';').next().expect("a cookie"));
    assert_eq!((fresh.get("/account").status(), own.get("/account").status()), (200, 303));
    let told = "SELECT COUNT(*) FROM audit_events WHERE action = 'sign-out'";
    assert_eq!(invited.number(told), "0");
    let word = word(&fresh, "/account");
    assert_eq!(send(&fresh, "/sign-out", &[("word", word)]).header("location"), Some("/sign-in"));
    assert_eq!(invited.number(told), "1");
}
