//! API keys that are made in the same moment in which whoever makes them loses what they had: none of them lives with more
//! than its maker has afterwards.

use std::sync::Barrier;

use serde_json::{Value, json};

use super::api_keys::Held;
use super::portal::Portal;
use super::races::Place;
use super::served::{PASSPHRASE, Served, api, hidden, token};
use super::team::{invite, invite_for, join};
use crate::wire::Message;

const BOB: &str = "bob@example.com";
/// What an admin may do and a reader may not.
const WIDE: [&str; 4] = ["credentials.read", "credentials.write", "members.manage", "keys.manage"];

/// What of that a reader may do as well.
const NARROW: [&str; 2] = ["credentials.read", "keys.manage"];

fn wanted() -> Value {
    json!({ "name": "k", "permissions": WIDE })
}

/// The identifier of a member.
fn person(url: &str, bearer: &str, login: &str) -> String {
    let members = api(url, "GET", "/members", bearer, "").json();
    let of = |one: &&Value| one["login"] == login;
    members["items"].as_array().unwrap().iter().find(of).unwrap()["id"].as_str().unwrap().to_owned()
}

/// What a key may do now, or the status that whoever has it gets.
fn may(url: &str, key: &str) -> Result<Vec<String>, u16> {
    let me = api(url, "GET", "/userinfo", key, "");
    if me.status() != 200 {
        return Err(me.status());
    }
    let words = me.json()["permissions"].as_array().unwrap().clone();
    Ok(words.iter().map(|word| word.as_str().unwrap().to_owned()).collect())
}

/// The token of Bob, an admin who is signed in with a program.
fn admin(served: &Served) -> String {
    let browser = join(served, &invite(&served.manager(), "admin"), BOB);
    token(&served.client_of(&browser, None))
}

/// Has one be asked and then the other, while both wait for the organization; what they answer.
fn one_after_the_other(place: &Place, asked: &[(&str, &str, &str, Value); 2]) -> [Message; 2] {
    let (held, url) = (place.held(&place.organization()), &place.served.url);
    std::thread::scope(|scope| {
        let mut all = Vec::new();
        for (nth, (bearer, method, path, body)) in asked.iter().enumerate() {
            all.push(scope.spawn(move || api(url, method, path, bearer, &body.to_string())));
            place.waits(nth + 1);
        }
        held.let_go();
        let all: Vec<Message> = all.into_iter().map(|one| one.join().expect("an answer")).collect();
        all.try_into().expect("two")
    })
}

#[test]
fn no_key_is_made_with_what_was_taken_away_before() {
    let place = Place::new();
    let (url, alice) = (&place.served.url, place.bearer.clone());
    let bob = admin(&place.served);
    let path = format!("/members/{}", person(url, &alice, BOB));
    let less = |role: &str| (alice.clone(), json!({ "role": role }));
    // First the role, then the key: there is none.
    let (by, role) = less("reader");
    let [shrunk, refused] =
        one_after_the_other(&place, &[(&by, "PATCH", &path, role), (&bob, "POST", "/api-keys", wanted())]);
    assert_eq!((shrunk.status(), refused.status()), (200, 403), "{}", refused.text());
    assert_eq!(place.postgres.as_superuser("SELECT COUNT(*) FROM tokens WHERE kind = 'pat'"), "0");
    // First the key, then the role: it has what a reader has.
    let (by, role) = less("admin");
    assert_eq!(api(url, "PATCH", &path, &by, &role.to_string()).status(), 200);
    let (by, role) = less("reader");
    let [made, shrunk] =
        one_after_the_other(&place, &[(&bob, "POST", "/api-keys", wanted()), (&by, "PATCH", &path, role)]);
    assert_eq!((made.status(), shrunk.status()), (201, 200), "{}", made.text());
    let key = made.json()["key"].as_str().unwrap().to_owned();
    assert_eq!(may(url, &key), Ok(NARROW.map(str::to_owned).to_vec()));
    let body = json!({ "name": "n", "kind": "generic_env", "data": { "A": "1" } }).to_string();
    assert_eq!(api(url, "POST", "/credential-configs", &key, &body).status(), 403);
}

#[test]
fn no_key_of_somebody_who_was_removed_is_good_when_they_come_again() {
    let place = Place::new();
    let (url, alice) = (&place.served.url, &place.bearer);
    let manager = place.served.manager();
    for (login, key_is_first) in [("bob@example.com", true), ("carol@example.com", false)] {
        let mut browser = join(&place.served, &invite_for(&manager, login, "admin"), login);
        let bearer = token(&place.served.client_of(&browser, None));
        let path = format!("/members/{}", person(url, alice, login));
        let (key, gone) = ((&bearer[..], "POST", "/api-keys", wanted()), (&alice[..], "DELETE", &path[..], json!({})));
        let (made, removed) = if key_is_first {
            let [made, removed] = one_after_the_other(&place, &[key, gone]);
            (made, removed)
        } else {
            let [removed, made] = one_after_the_other(&place, &[gone, key]);
            (made, removed)
        };
        assert_eq!((made.status(), removed.status()), (if key_is_first { 201 } else { 401 }, 204), "{}", made.text());
        // They come again, as more than they were: nothing of before is good.
        let link = invite_for(&manager, login, "owner");
        assert_eq!(browser.sign_in(login, PASSPHRASE).status(), 303);
        let word = browser.form("/account/sign-in").into_iter().find(|(name, _)| name == "word").expect("a word").1;
        let again = browser.post("/invite", &[("token", link.split("token=").nth(1).unwrap()), ("word", &word)]);
        assert_eq!(again.status(), 303, "{}", again.text());
        assert_eq!(browser.sign_in(login, PASSPHRASE).status(), 303);
        assert_eq!(api(url, "GET", "/userinfo", &token(&place.served.client_of(&browser, None)), "").status(), 200);
        assert_eq!(made.json()["key"].as_str().map(|key| may(url, key)), key_is_first.then_some(Err(401)));
        assert_eq!(may(url, &bearer), Err(401));
        let good = "SELECT COUNT(*) FROM tokens WHERE kind = 'pat' AND revoked IS NULL";
        assert_eq!(place.postgres.as_superuser(good), "0");
    }
}

/// A token, how a key is made with it, and what may be answered.
type Way<'a> = (&'a str, &'a (dyn Fn() -> u16 + Sync), &'a [u16]);

/// What has ended makes nothing that outlives it.
#[test]
fn what_was_revoked_makes_no_key() {
    let place = Place::new();
    let (url, alice) = (&place.served.url, &place.bearer);
    let made = place.ask("POST", "/api-keys", &wanted()).json();
    let key = made["key"].as_str().unwrap().to_owned();
    let signed_in = token(&place.served.manager());
    let portal = Portal::of(&place.served);
    let page = portal.get("/keys").text();
    let count = || place.postgres.as_superuser("SELECT COUNT(*) FROM tokens WHERE kind = 'pat' AND revoked IS NULL");
    let leaked = |token: &str| json!([{ "token": token }]).to_string();
    let session = portal.browser.cookie().unwrap().split_once('=').unwrap().1.to_owned();
    let word = hidden(page.split("<main").nth(1).unwrap());
    let word = word.into_iter().find(|(name, _)| name == "word").expect("a word").1;
    let by_browser = || {
        let fields = [("word", &word[..]), ("name", "k"), ("permission", "credentials.read"), ("days", "7")];
        portal.browser.post(&format!("{}/keys", portal.base), &fields).status()
    };
    let by = |token: &str| api(url, "POST", "/api-keys", token, &wanted().to_string()).status();
    let ways: [Way<'_>; 3] =
        [(&key, &|| by(&key), &[401]), (&signed_in, &|| by(&signed_in), &[401]), (&session, &by_browser, &[303, 401])];
    for (token, make, expected) in ways {
        let before: usize = count().parse().unwrap();
        let organization = place.organization();
        let id = organization.trim_start_matches("/organizations/");
        let held = Held::changed(&place.postgres, &format!("SELECT id FROM organizations WHERE id = '{id}'"));
        let status = std::thread::scope(|scope| {
            let made = scope.spawn(make);
            place.waits(1);
            // It is ended while somebody waits who came with it.
            assert_eq!(api(url, "POST", "/leaked-tokens", alice, &leaked(token)).status(), 202);
            held.let_go();
            made.join().expect("an answer")
        });
        assert!(expected.contains(&status), "{status}");
        assert_eq!(count(), (before - usize::from(token == key)).to_string(), "none came of it");
    }
}

/// The same on whichever database, as it comes.
#[test]
fn whichever_comes_first_no_key_has_more_than_its_maker() {
    let served = Served::new(&[]);
    let alice = token(&served.manager());
    let bob = admin(&served);
    let path = format!("/members/{}", person(&served.url, &alice, BOB));
    let role = |role: &str| served.api("PATCH", &path, &alice, &json!({ "role": role }).to_string()).status();
    let mut kept = Vec::new();
    for _ in 0..12 {
        assert_eq!(role("admin"), 200);
        let (start, url) = (Barrier::new(2), &served.url);
        let made = std::thread::scope(|scope| {
            let made = scope.spawn(|| {
                start.wait();
                api(url, "POST", "/api-keys", &bob, &wanted().to_string())
            });
            start.wait();
            assert_eq!(role("reader"), 200);
            made.join().expect("an answer")
        });
        assert!([201, 403].contains(&made.status()), "{}", made.text());
        kept.extend(made.json()["key"].as_str().map(str::to_owned));
        for key in &kept {
            assert_eq!(may(&served.url, key), Ok(NARROW.map(str::to_owned).to_vec()));
        }
    }
    assert_eq!(served.api("DELETE", &path, &alice, "").status(), 204);
    for key in &kept {
        assert_eq!(may(&served.url, key), Err(401));
    }
}
