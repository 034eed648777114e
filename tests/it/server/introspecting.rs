//! What a token is, and who is told of it.

use serde_json::{Value, json};

use super::grants::{code, exchange, refresh, text};
use super::organizations::organization;
use super::served::{LOGIN, Served, token};
use super::team::{invite, join};
use crate::wire::{self, Message};

const INACTIVE: &str = "{\"active\":false}";

/// Asks of a token, with that of a member or without.
fn ask(served: &Served, by: Option<&str>, token: &str, more: &[(&str, &str)]) -> Message {
    let bearer = by.map(|by| format!("Authorization: Bearer {by}"));
    let mut headers = vec!["Content-Type: application/x-www-form-urlencoded"];
    headers.extend(bearer.as_deref());
    let mut fields = vec![("token", token)];
    fields.extend(more);
    wire::send("POST", &format!("{}/introspect", served.url), &headers, &wire::form(&fields)).unwrap()
}

fn key(served: &Served, by: &str, permissions: &str) -> Value {
    let body = json!({ "name": "k", "permissions": [permissions] }).to_string();
    let made = served.api("POST", "/api-keys", by, &body);
    assert_eq!(made.status(), 201, "{}", made.text());
    made.json()
}

#[test]
fn a_member_is_told_of_the_tokens_of_their_own_organization() {
    let served = Served::new(&[]);
    let alice = served.manager();
    let bearer = token(&alice);
    let bob = join(&served, &invite(&alice, "reader"), "bob@example.com");
    let reader = token(&served.client_of(&bob, None));
    let made = key(&served, &bearer, "secrets.read");
    let api_key = text(&made, "key");
    let given = exchange(&served, &code(&served.browser()), &[]).json();
    let (access, renewal) = (text(&given, "access_token"), text(&given, "refresh_token"));
    for by in [bearer.as_str(), &reader, api_key, access] {
        let told = ask(&served, Some(by), api_key, &[]);
        assert_eq!(told.status(), 200, "{}", told.text());
        let told = told.json();
        assert_eq!((&told["active"], text(&told, "scope")), (&json!(true), "secrets.read"));
        assert_eq!((text(&told, "username"), &told["client_id"]), (LOGIN, &Value::Null));
        assert_eq!(text(&told, "organization"), organization(&served, &bearer));
        assert!(told["exp"].as_i64().unwrap() > told["iat"].as_i64().unwrap());
        for token in [bearer.as_str(), &reader, access, renewal] {
            let told = ask(&served, Some(by), token, &[("client_id", "other")]).json();
            assert_eq!((&told["active"], text(&told, "client_id")), (&json!(true), "lanyard"));
        }
    }
    // Without, a program is told of what was given to it, and of nothing else.
    assert_eq!(ask(&served, None, access, &[("client_id", "lanyard")]).json()["active"], true);
    assert_eq!(ask(&served, None, api_key, &[("client_id", "lanyard")]).text(), INACTIVE);
    for more in [&[][..], &[("client_id", "other")]] {
        let refused = ask(&served, None, access, more);
        assert_eq!((refused.status(), text(&refused.json(), "error")), (401, "invalid_client"));
    }
    // What is shown to ask with has to count, whatever stands beside it.
    let id = text(&made, "id").to_owned();
    assert_eq!(served.api("DELETE", &format!("/api-keys/{id}"), &bearer, "").status(), 204);
    for by in [api_key, renewal, "nonsense", "lny_acc_x"] {
        let refused = ask(&served, Some(by), access, &[("client_id", "lanyard")]);
        assert_eq!((refused.status(), refused.header("www-authenticate")), (401, Some("Bearer")), "{by}");
        assert_eq!(text(&refused.json(), "code"), "unauthenticated");
    }
    // By another way than a form, none is asked of.
    let url = format!("{}/introspect", served.url);
    let bearer_header = format!("Authorization: Bearer {bearer}");
    assert_eq!(wire::send("GET", &url, &[&bearer_header], "").unwrap().status(), 405);
    // Each question of a member is told, with the token that it was about.
    let public = |token: &str| token.split('_').nth(2).unwrap().to_owned();
    let entries = served.entries();
    let asked = |object: &str| {
        entries.iter().filter(|entry| entry["action"] == "token.introspect" && entry["object"] == object).count()
    };
    assert_eq!((asked(&public(api_key)), asked(&public(access))), (4, 4));
}

#[test]
fn of_what_does_not_count_nobody_learns_why() {
    let served = Served::new(&[]);
    let alice = served.manager();
    let bearer = token(&alice);
    let sign_in = exchange(&served, &code(&served.browser()), &[]).json();
    assert_eq!(refresh(&served, text(&sign_in, "refresh_token")).status(), 200);
    // Another organization, with its own owner.
    let made = served.api("POST", "/organizations", &bearer, "{\"name\":\"Zenith\"}");
    assert_eq!(made.status(), 201, "{}", made.text());
    let other = made.json()["id"].as_str().unwrap().to_owned();
    let there = token(&served.client_of(&served.browser(), Some(&other)));
    let foreign = text(&key(&served, &there, "credentials.read"), "key").to_owned();
    let revoked = key(&served, &bearer, "credentials.read");
    let path = format!("/api-keys/{}", text(&revoked, "id"));
    assert_eq!(served.api("DELETE", &path, &bearer, "").status(), 204);
    let expired = key(&served, &bearer, "credentials.read");
    served.sql(&format!("UPDATE tokens SET expires = 1 WHERE id = '{}'", text(&expired, "id")));
    let session = served.browser().cookie().unwrap().split('=').nth(1).unwrap().to_owned();
    // One that looks as if it was made here, of somebody who is not here any more, and one with a slip.
    let gone = join(&served, &invite(&alice, "member"), "bob@example.com");
    let gone = token(&served.client_of(&gone, None));
    alice.run(&["members", "remove", "bob@example.com", "--yes"]).ends(0);
    let unknown = "lny_acc_0123456789abcdef_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG_";
    let unknown = format!("{unknown}{}", checksum(unknown.trim_end_matches('_')));
    let mut slip = bearer.clone();
    slip.replace_range(30..31, if &slip[30..31] == "a" { "b" } else { "a" });
    let kinds = [
        ("malformed", "nonsense"),
        ("empty", ""),
        ("of another service", "ghp_0123456789abcdef0123456789abcdef0123"),
        ("unknown", unknown.as_str()),
        ("with a slip", &slip),
        ("revoked", text(&revoked, "key")),
        ("expired", text(&expired, "key")),
        ("spent", text(&sign_in, "refresh_token")),
        ("a session", &session),
        ("of somebody who is gone", &gone),
    ];
    let mut answers = std::collections::BTreeSet::new();
    let mut hold = |why: &str, answer: &Message| {
        assert_eq!((answer.status(), answer.text().as_str()), (200, INACTIVE), "{why}");
        let mut headers = answer.headers.clone();
        headers.retain(|(name, _)| !["date", "x-request-id"].contains(&name.as_str()));
        answers.insert(format!("{headers:?}"));
    };
    for (why, token) in kinds.into_iter().chain([("foreign", foreign.as_str()), ("foreign", &there)]) {
        hold(why, &ask(&served, Some(&bearer), token, &[]));
    }
    for (why, token) in kinds {
        hold(why, &ask(&served, None, token, &[("client_id", "lanyard")]));
    }
    // And the other way round.
    hold("foreign", &ask(&served, Some(&foreign), &bearer, &[]));
    assert_eq!(ask(&served, Some(&foreign), &there, &[]).json()["active"], true);
    assert_eq!(answers.len(), 1, "{answers:?}");
}

/// The last part of a token, as it is published.
fn checksum(body: &str) -> String {
    const LETTERS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut rest = crc32fast::hash(body.as_bytes());
    let mut letters = [b'0'; 6];
    for letter in letters.iter_mut().rev() {
        *letter = LETTERS[(rest % 62) as usize];
        rest /= 62;
    }
    letters.iter().copied().map(char::from).collect()
}
