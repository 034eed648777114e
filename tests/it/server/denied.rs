//! Who tries to come in as somebody else: it is told where that person is, and the answer tells nothing of it.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::identity::set_up;
use super::organizations::organization;
use super::served::{Browser, LOGIN, PASSPHRASE, Served, hidden, token};
use super::team::{invite, join};
use crate::canary::{Canary, Sweep};
use crate::stage::Stage;
use crate::wire::Message;

const BOB: &str = "bob@example.com";
const NOBODY: &str = "carol@example.com";
const WRONG: &str = "LNYCANARYwrong wrong wrong";
/// Answers about what was wrong are so far from the stretching of the passphrase at least.
const BEAT: Duration = Duration::from_millis(250);

fn tried(url: &str, login: &str) -> Message {
    let begun = Instant::now();
    let answer = Browser::new(url).post("/sign-in", &[("login", login), ("passphrase", WRONG)]);
    assert!(answer.status() != 403 || begun.elapsed() >= BEAT, "{:?}", begun.elapsed());
    answer
}

/// What was refused of this, as somebody sees it who may read the audit.
fn refused(stage: &Stage, filters: &[&str]) -> Vec<Value> {
    let all = stage.run(&[&["audit", "list", "--json"], filters].concat()).ends(0).json();
    all.as_array().unwrap().iter().filter(|entry| entry["outcome"] == "denied").cloned().collect()
}

fn person(served: &Served, login: &str) -> String {
    served.sql(&format!("SELECT id FROM people WHERE login = '{login}'")).trim().to_owned()
}

#[test]
fn what_is_tried_at_an_account_is_told_where_its_owner_is() {
    let served = Served::new(&[]);
    let acme = served.manager();
    join(&served, &invite(&acme, "reader"), BOB);
    let made = served.api("POST", "/organizations", &token(&acme), "{\"name\":\"Other\"}");
    assert_eq!(made.status(), 201, "{}", made.text());
    let other = served.client_of(&served.browser(), made.json()["id"].as_str());
    let (alice, bob) = (person(&served, LOGIN), person(&served, BOB));
    let answers = [LOGIN, NOBODY, BOB, LOGIN].map(|login| {
        let answer = tried(&served.url, login);
        assert_eq!(answer.status(), 403, "{}", answer.text());
        let names: Vec<String> = answer.headers.iter().map(|(name, _)| name.clone()).collect();
        (names, answer.text().replace(login, "LOGIN"))
    });
    assert!(answers.iter().all(|answer| *answer == answers[0]), "nobody sees whose login there is: {answers:#?}");
    let seen = |stage: &Stage| -> Vec<String> {
        let refused = refused(stage, &["--action", "sign-in"]);
        for entry in &refused {
            assert_eq!((&entry["address"], &entry["detail"]), (&json!("127.0.0.1"), &json!("passphrase")), "{entry}");
            assert!(entry.get("actor").is_none() && entry.get("token").is_none() && entry["request"].is_string());
        }
        refused.iter().map(|entry| entry["object"].as_str().unwrap_or_default().to_owned()).collect()
    };
    assert_eq!(seen(&acme), [&alice, &bob, &alice].map(String::as_str), "the newest first");
    assert_eq!(seen(&other), [&alice, &alice].map(String::as_str), "bob is not in it");
    assert_eq!(refused(&acme, &["--object", &bob]).len(), 1, "it is found by whose account it is");
    let table = acme.run(&["audit", "list", "--object", &bob]).ends(0).stdout();
    assert!(table.contains("denied") && table.contains("127.0.0.1"), "{table}");
    let of_the_server: Vec<Value> = served
        .entries()
        .into_iter()
        .filter(|entry| entry["organization"] == "server" && entry["action"] == "sign-in")
        .collect();
    assert_eq!(of_the_server.len(), 4);
    assert!(of_the_server.iter().all(|entry| entry.get("object").is_none()), "a login may be a passphrase");
    let all = format!("{:?}", served.entries());
    assert!(!all.contains(NOBODY) && !all.contains("LNYCANARY"), "{all}");
    Sweep::for_canaries(&[Canary::of(WRONG)]).tree(&served.data()).assert_clean();
    for stage in [&acme, &other] {
        stage.run(&["audit", "verify"]).ends(0);
    }
    assert_ne!(organization(&served, &token(&acme)), organization(&served, &token(&other)));
}

#[test]
fn whoever_goes_on_fills_no_audit() {
    let served = Served::new(&[]);
    let stage = served.manager();
    let statuses: Vec<u16> = (0..12).map(|_| tried(&served.url, LOGIN).status()).collect();
    let looked_at = statuses.iter().filter(|status| **status == 403).count();
    assert!(looked_at >= 5 && statuses.contains(&429), "{statuses:?}");
    // What came too early is told nowhere.
    assert_eq!(refused(&stage, &["--action", "sign-in"]).len(), looked_at, "{statuses:?}");
    // Of many at once, those that come after the first few are not told whether they were right.
    let served = Served::new(&[]);
    let url = &served.url;
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let all: Vec<_> = (0..24).map(|_| scope.spawn(|| tried(url, LOGIN).status())).collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let looked_at = statuses.iter().filter(|status| **status == 403).count();
    assert!((5..12).contains(&looked_at), "{statuses:?}");
    let told =
        served.entries().into_iter().filter(|entry| entry["action"] == "sign-in" && entry["outcome"] == "denied");
    assert_eq!(told.count(), 2 * looked_at, "once for the server and once for the organization");
}

#[test]
fn a_wrong_code_is_told_where_its_owner_is() {
    let served = Served::new(&[]);
    let stage = served.manager();
    let (_, codes) = set_up(&served.browser());
    let half = || {
        let asked = Browser::new(&served.url).sign_in(LOGIN, PASSPHRASE);
        hidden(&asked.text()).into_iter().find(|(name, _)| name == "half").unwrap().1
    };
    let send = |code: &str| {
        let half = half();
        Browser::new(&served.url).post("/sign-in/code", &[("half", &half), ("code", code)]).status()
    };
    assert_eq!((send("000000"), send("AAAA-BBBB"), send(&codes[0]), send(&codes[0])), (403, 403, 303, 403));
    let alice = person(&served, LOGIN);
    let refused = refused(&stage, &["--action", "second-factor"]);
    assert_eq!(refused.len(), 3, "{refused:#?}");
    for entry in refused {
        assert_eq!((&entry["object"], &entry["actor"]), (&json!(alice), &json!(alice)), "{entry}");
        assert_eq!(entry["address"], "127.0.0.1");
    }
}
