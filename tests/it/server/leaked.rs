//! Tokens that were found where they should not be, and a key that signs no more.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::served::{Browser, PASSPHRASE, Served, token};
use super::team::{invite, join};
use crate::wire::{self, Message};

fn report(served: &Served, tokens: &[&str]) -> (Message, Duration) {
    let found: Vec<Value> = tokens
        .iter()
        .map(|token| json!({ "token": token, "type": "lanyard", "url": "https://example.com/x" }))
        .collect();
    let begun = Instant::now();
    let body = Value::from(found).to_string();
    let answer =
        wire::send("POST", &format!("{}/leaked-tokens", served.url), &["Content-Type: application/json"], &body);
    (answer.expect("an answer"), begun.elapsed())
}

fn plain(mut answer: Message) -> String {
    answer.headers.retain(|(name, _)| !["x-request-id", "date", "ratelimit"].contains(&name.as_str()));
    format!("{} {:?} {}", answer.first_line, answer.headers, answer.text())
}

#[test]
fn whoever_finds_a_token_ends_it_and_learns_nothing() {
    let served = Served::new(&[]);
    let stage = served.manager();
    let bearer = token(&stage);
    let made = served.api("POST", "/api-keys", &bearer, "{\"name\":\"ci\",\"permissions\":[\"credentials.read\"]}");
    assert_eq!(made.status(), 201, "{}", made.text());
    let key = made.json()["key"].as_str().unwrap().to_owned();
    let asks = |token: &str| served.api("GET", "/credential-configs", token, "").status();
    assert_eq!((asks(&key), asks(&bearer)), (200, 200));
    let never = "lny_pat_0000000000000000_0000000000000000000000000000000000000000000_000000";
    let (live, took) = report(&served, &[&key]);
    let (dead, took_dead) = report(&served, &[&key]);
    let (random, took_random) = report(&served, &[never]);
    let (none, _) = report(&served, &["ghp_0123456789"]);
    assert_eq!(live.status(), 202, "{}", live.text());
    assert_eq!((plain(live.clone()), plain(live.clone())), (plain(dead), plain(random)));
    assert_eq!(plain(live), plain(none));
    assert!([took, took_dead, took_random].iter().all(|took| *took >= Duration::from_millis(250)));
    assert_eq!((asks(&key), asks(&bearer)), (401, 200));
    let leaked = |served: &Served| {
        let entries = served.entries().into_iter().filter(|entry| entry["action"] == "token.leaked");
        entries.map(|entry| entry["detail"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(leaked(&served), ["pat"]);

    // Everything that came of the same sign-in ends, and so do a session and an invitation.
    let browser = served.browser();
    let session = browser.cookie().unwrap().split('=').nth(1).unwrap().to_owned();
    let invited = served.api("POST", "/invitations", &bearer, "{\"role\":\"reader\",\"for\":\"bob\"}").json();
    let invitation = invited["link"].as_str().unwrap().split("token=").nth(1).unwrap().to_owned();
    assert_eq!(browser.get("/account").status(), 200);
    let accept = |token: &str| Browser::new(&served.url).get(&format!("/invite?token={token}")).status();
    assert_eq!(accept(&invitation), 200);
    assert_eq!(report(&served, &[&session, &invitation, &bearer]).0.status(), 202);
    assert_eq!((browser.get("/account").status(), asks(&bearer)), (303, 401));
    assert_ne!(accept(&invitation), 200);
    stage.run(&["auth", "refresh"]).ends(4);
    let mut kinds = leaked(&served);
    kinds.sort();
    assert_eq!(kinds, ["acc", "inv", "pat", "sess"]);
    for (body, status) in [("[]", 422), ("{}", 422), ("[{}]", 422), ("[", 400)] {
        let headers = ["Content-Type: application/json"];
        let answer = wire::send("POST", &format!("{}/leaked-tokens", served.url), &headers, body).unwrap();
        assert_eq!(answer.status(), status, "{body}");
    }
    assert_eq!(report(&served, &vec![never; 101]).0.status(), 422);
}

#[test]
fn a_link_that_was_found_makes_no_owner_and_one_that_was_used_is_none() {
    let mut served = Served::fresh(&[]);
    let link = served.link();
    let token = link.split("token=").nth(1).unwrap();
    let page = |link: &str| wire::get(link).unwrap().status();
    assert_eq!(page(&link), 200);
    assert_eq!(report(&served, &[token]).0.status(), 202);
    assert_ne!(page(&link), 200);
    assert_ne!(served.set_up(PASSPHRASE).status(), 303);
    served.end("TERM");
    served.again();
    assert_eq!(served.set_up(PASSPHRASE).status(), 303, "the next start makes another one");
    let leaked = |served: &Served| {
        let entries = served.entries().into_iter().filter(|entry| entry["action"] == "token.leaked");
        entries.map(|entry| entry["organization"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(leaked(&served), ["server"]);
    // An invitation that somebody has accepted.
    let invited = invite(&served.manager(), "reader");
    join(&served, &invited, "bob@example.com");
    assert_eq!(report(&served, &[invited.split("token=").nth(1).unwrap()]).0.status(), 202);
    assert_eq!(leaked(&served).len(), 1);
    assert_eq!(served.sql("SELECT COUNT(*) FROM member_invitations").trim(), "1", "what became of it is still known");
}

#[test]
fn who_runs_the_server_ends_a_token_by_hand() {
    let served = Served::new(&[]);
    let client = served.client();
    let bearer = token(&client);
    let words = ["server", "revoke-token", "-", "--data", "server", "--master-key-file", "server/master.key"];
    let ended = served.stage.run_with(&words, format!("{bearer}\n").as_bytes()).ends(0);
    assert!(ended.stderr().contains("It counts no more"), "{ended}");
    assert_eq!(served.api("GET", "/credential-configs", &bearer, "").status(), 401);
    let again = served.stage.run_with(&[&words[..], &["--json"]].concat(), bearer.as_bytes()).ends(0);
    assert_eq!(again.json()["revoked"], false);
    let slip = served.stage.run_with(&words, b"ghp_0123456789").ends(0);
    assert!(slip.stderr().contains("It did not count"), "{slip}");
}

#[test]
fn a_key_is_replaced_and_what_it_signed_counts_as_long_as_it_lasts() {
    let served = Served::new(&[]);
    let keys = || {
        let set = wire::get(&format!("{}/.well-known/jwks.json", served.url)).unwrap().json();
        let ids = set["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned());
        ids.collect::<Vec<_>>()
    };
    let before = keys();
    assert_eq!(before.len(), 1);
    let words =
        ["server", "rotate-signing-key", "--data", "server", "--master-key-file", "server/master.key", "--json"];
    let new = served.stage.run(&words).ends(0).json()["key"].as_str().unwrap().to_owned();
    assert_eq!(keys(), [before[0].clone(), new.clone()], "the old one is published for what it signed");
    // A sign-in checks its ID token by the new key.
    served.client().run(&["auth", "whoami"]).ends(0);
    let told = served.entries().into_iter().find(|entry| entry["action"] == "signing-key.replace").expect("an entry");
    assert_eq!((&told["object"], &told["organization"]), (&json!(new), &json!("server")));
    // Two hours later the old one is gone.
    served.sql("UPDATE signing_keys SET retired = retired - 7200001 WHERE retired IS NOT NULL");
    assert_eq!(keys(), [new]);
}
