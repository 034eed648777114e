//! Refresh tokens: what whoever lost an answer gets, what a thief gets, and how long a sign-in is renewed.

use serde_json::Value;

use super::grants::{code, exchange, refresh, text};
use super::served::Served;
use crate::canary::{Canary, Sweep};
use crate::wire::{self, Message};

/// The tokens of a sign-in.
fn sign_in(served: &Served) -> Value {
    exchange(served, &code(&served.browser()), &[]).json()
}

/// Both tokens of an answer.
fn pair(answer: &Message) -> [String; 2] {
    assert_eq!(answer.status(), 200, "{}", answer.text());
    let told = answer.json();
    ["access_token", "refresh_token"].map(|name| text(&told, name).to_owned())
}

fn is_refused(answer: &Message) {
    assert_eq!((answer.status(), text(&answer.json(), "error")), (400, "invalid_grant"), "{}", answer.text());
}

fn status(served: &Served, access: &str) -> u16 {
    served.api("GET", "/userinfo", access, "").status()
}

/// How often this came of renewing.
fn told(served: &Served, action: &str, outcome: &str, detail: &str) -> usize {
    let entries = served.entries();
    let is =
        |entry: &&Value| entry["action"] == action && entry["outcome"] == outcome && text(entry, "detail") == detail;
    entries.iter().filter(is).count()
}

#[test]
fn who_lost_the_answer_gets_the_same_once_more() {
    let served = Served::new(&[]);
    let first = sign_in(&served);
    let spent = text(&first, "refresh_token");
    let answer = refresh(&served, spent);
    let next = pair(&answer);
    let again = refresh(&served, spent);
    assert_eq!(pair(&again), next);
    let life = again.json()["expires_in"].as_i64().unwrap();
    assert!((600..=900).contains(&life), "{life}");
    assert_eq!(text(&again.json(), "scope"), text(&answer.json(), "scope"));
    assert_eq!((status(&served, &next[0]), told(&served, "token.reuse", "denied", "")), (200, 0));
    assert_eq!(told(&served, "token.renew", "done", "once more"), 1);
    // Of what was given for it, nothing is in the database that opens anything.
    let rows = served.sql("SELECT org, token, length(sealed) FROM successors");
    let kept: Vec<&str> = rows.trim().split('|').collect();
    assert!(kept[1] == spent.split('_').nth(2).unwrap() && kept[2].parse::<usize>().unwrap() > 150, "{rows}");
    let secret = |token: &str| Canary::from_its_first(token.rsplit('_').nth(1).unwrap());
    let canaries = [secret(spent), secret(&next[0]), secret(&next[1])];
    let mut sweep = Sweep::for_canaries(&canaries);
    for file in ["server.db", "server.db-wal"] {
        // Where it is PostgreSQL, there is none.
        sweep.bytes(file, &std::fs::read(served.data().join(file)).unwrap_or_default());
    }
    sweep.assert_clean();
    // Once it was renewed from there, whoever shows the first one has it from somewhere.
    let third = pair(&refresh(&served, &next[1]));
    is_refused(&refresh(&served, spent));
    is_refused(&refresh(&served, &third[1]));
    assert_eq!((status(&served, &third[0]), told(&served, "token.reuse", "denied", "")), (401, 1));
}

#[test]
fn what_comes_back_late_ends_the_sign_in() {
    let served = Served::new(&[]);
    let first = sign_in(&served);
    let next = pair(&refresh(&served, text(&first, "refresh_token")));
    served.sql("UPDATE successors SET expires = expires - 29000");
    assert_eq!(pair(&refresh(&served, text(&first, "refresh_token"))), next);
    served.sql("UPDATE successors SET expires = expires - 31000");
    is_refused(&refresh(&served, text(&first, "refresh_token")));
    is_refused(&refresh(&served, &next[1]));
    for access in [&next[0], text(&first, "access_token")] {
        assert_eq!(status(&served, access), 401);
    }
    assert!(told(&served, "token.reuse", "denied", "") >= 1);
    // What was kept goes with the next that is.
    let other = sign_in(&served);
    pair(&refresh(&served, text(&other, "refresh_token")));
    assert_eq!(served.sql("SELECT COUNT(*) FROM successors").trim(), "1");
    // A sign-in that was ended is not renewed by what was kept of it.
    let ended =
        wire::post_form(&format!("{}/revoke", served.url), &[("token", text(&other, "refresh_token"))]).unwrap();
    assert_eq!(ended.status(), 200);
    let third = sign_in(&served);
    let next = pair(&refresh(&served, text(&third, "refresh_token")));
    let ended = wire::post_form(&format!("{}/revoke", served.url), &[("token", next[1].as_str())]).unwrap();
    assert_eq!(ended.status(), 200);
    is_refused(&refresh(&served, text(&third, "refresh_token")));
}

#[test]
fn of_many_who_renew_at_once_all_get_the_same() {
    let served = Served::new(&[]);
    let first = sign_in(&served);
    let count =
        |kind: &str| served.sql(&format!("SELECT COUNT(*) FROM tokens WHERE kind = '{kind}'")).trim().to_owned();
    let url = format!("{}/token", served.url);
    let fields =
        [("grant_type", "refresh_token"), ("client_id", "lanyard"), ("refresh_token", text(&first, "refresh_token"))];
    let got: Vec<[String; 2]> = std::thread::scope(|scope| {
        let renew = || pair(&wire::post_form(&url, &fields).unwrap());
        let all: Vec<_> = (0..12).map(|_| scope.spawn(renew)).collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert!(got.iter().all(|one| *one == got[0]));
    assert_eq!((count("ref").as_str(), count("acc").as_str()), ("2", "2"));
    assert_eq!(status(&served, &got[0][0]), 200);
    assert_eq!(told(&served, "token.renew", "done", "once more"), 11);
    pair(&refresh(&served, &got[0][1]));
}

#[test]
fn another_program_that_shows_a_spent_token_has_it_from_somewhere() {
    let served = Served::new(&[]);
    let by = |token: &str, client: &str| {
        let fields = [("grant_type", "refresh_token"), ("client_id", client), ("refresh_token", token)];
        wire::post_form(&format!("{}/token", served.url), &fields).unwrap()
    };
    // What is not spent yet is refused, and stays what it is.
    let first = sign_in(&served);
    let spent = text(&first, "refresh_token");
    let refused = by(spent, "other");
    assert_eq!((refused.status(), text(&refused.json(), "error")), (401, "invalid_client"));
    let next = pair(&refresh(&served, spent));
    assert_eq!(by(spent, "other").status(), 401);
    is_refused(&refresh(&served, &next[1]));
    assert_eq!((status(&served, &next[0]), told(&served, "token.reuse", "denied", "") >= 1), (401, true));
    // The same where the other program is one that is known here.
    let first = sign_in(&served);
    let spent = text(&first, "refresh_token");
    let next = pair(&refresh(&served, spent));
    served.sql("UPDATE tokens SET client = 'another' WHERE revoked IS NULL OR used IS NOT NULL");
    let before = told(&served, "token.reuse", "denied", "");
    is_refused(&by(spent, "lanyard"));
    assert_eq!(status(&served, &next[0]), 401);
    assert_eq!(told(&served, "token.reuse", "denied", ""), before + 1);
}

#[test]
fn a_sign_in_ends_however_often_it_is_renewed() {
    const HALF_A_YEAR: i64 = 180 * 24 * 3600 * 1000;
    let served = Served::new(&[]);
    let first = sign_in(&served);
    served.sql(&format!("UPDATE tokens SET created = created - {}", HALF_A_YEAR - 300_000));
    let answer = refresh(&served, text(&first, "refresh_token"));
    let next = pair(&answer);
    let life = answer.json()["expires_in"].as_i64().unwrap();
    assert!((200..=300).contains(&life), "the access token ends with the sign-in: {life}");
    let answer = refresh(&served, &next[1]);
    let third = pair(&answer);
    assert!((200..=300).contains(&answer.json()["expires_in"].as_i64().unwrap()));
    let ends = served.sql("SELECT MIN(expires), MAX(expires) FROM tokens WHERE family_began IS NOT NULL");
    let ends: Vec<&str> = ends.trim().split('|').collect();
    assert_eq!(ends[0], ends[1], "all of them at one moment");
    served.sql("UPDATE tokens SET expires = expires - 301000 WHERE family_began IS NOT NULL");
    is_refused(&refresh(&served, &third[1]));
    assert_eq!(status(&served, &third[0]), 401);
    // One that is young is renewed for as long as nobody uses it.
    let other = sign_in(&served);
    pair(&refresh(&served, text(&other, "refresh_token")));
    let lives = served.sql("SELECT MAX(expires - created) FROM tokens WHERE kind = 'ref' AND family_began IS NOT NULL");
    assert_eq!(lives.trim(), (30_i64 * 24 * 3600 * 1000).to_string());
}
