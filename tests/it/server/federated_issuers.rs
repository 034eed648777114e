//! The issuers whose tokens the jobs have: which are asked, when, and who waits for them.

use std::sync::{Arc, Mutex};

use serde_json::json;

use super::federated::{Scene, claims, exchange, issuer, issuer_that};
use super::served::{Served, api};
use crate::idp::keys::{self, Signing};

/// Anybody can say that they are a job of an organization, and have its issuer asked.
#[test]
fn a_slow_issuer_keeps_nobody_else_waiting() {
    let mut scene = Scene::new();
    let open = Arc::new((Mutex::new(false), std::sync::Condvar::new()));
    let held = Arc::clone(&open);
    scene.issuer = issuer_that(move || {
        let (open, opened) = &*held;
        let wait = std::time::Duration::from_secs(9);
        drop(opened.wait_timeout_while(open.lock().unwrap(), wait, |open| !*open).unwrap());
    });
    assert_eq!(scene.rule(&json!({})).status(), 201);
    let good = issuer();
    let other = json!({ "name": "other", "issuer": good.url().trim_end_matches('/') });
    assert_eq!(scene.rule(&other).status(), 201);
    let token = scene.token(&json!({}));
    let claims = claims(good.url().trim_end_matches('/'), &scene.served.url, &json!({}));
    let quick = keys::sign(&json!({}), &claims, &Signing::Rs256);
    let (told, statuses) = std::sync::mpsc::channel();
    let token = &token;
    let (url, organization) = (scene.served.url.clone(), scene.organization.clone());
    let exchange = |token: &str| exchange(&url, &organization, token, &[]).status();
    let exchange = &exchange;
    std::thread::scope(|scope| {
        for _ in 0..12 {
            let told = told.clone();
            scope.spawn(move || told.send(exchange(token)));
        }
        while scene.issuer.requests().iter().all(|seen| seen.path() != "/jwks") {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        assert_eq!(scene.exchange(&quick, &[]).status(), 200);
        // Those who wait for somebody else's question are sent away before it is answered.
        let early: Vec<u16> = (0..8).map(|_| statuses.recv().unwrap()).collect();
        assert_eq!(early, [503; 8]);
        *open.0.lock().unwrap() = true;
        open.1.notify_all();
    });
    assert_eq!(scene.exchange(token, &[]).status(), 200, "its keys are known by now");
}

#[test]
fn only_issuers_of_rules_are_asked_and_no_private_ones() {
    let scene = Scene::on(Served::new(&[]));
    assert_eq!(scene.exchange(&scene.token(&json!({})), &[]).status(), 400, "no rule names it");
    let made = scene.rule(&json!({ "permissions": ["credentials.read"] }));
    assert_eq!(made.status(), 201, "{}", made.text());
    assert_eq!(scene.exchange(&scene.token(&json!({})), &[]).status(), 400, "it stands at a private address");
    assert!(scene.issuer.requests().is_empty());
}

/// Whom a rule lets in is decided when the issuer has answered, not when it was asked.
#[test]
fn what_is_said_of_a_rule_while_its_issuer_answers_counts() {
    let mut scene = Scene::new();
    for (method, body) in [("PATCH", "{\"mode\":\"audit\"}"), ("PATCH", "{\"lifetime\":60}"), ("DELETE", "")] {
        let rule = Arc::new(Mutex::new(String::new()));
        let (path, url, admin) = (Arc::clone(&rule), scene.served.url.clone(), scene.admin.clone());
        scene.issuer = issuer_that(move || {
            let done = api(&url, method, &path.lock().unwrap(), &admin, body);
            assert!(done.status() < 300, "{}", done.text());
        });
        let made = scene.rule(&json!({ "name": format!("{method} {body}") }));
        assert_eq!(made.status(), 201, "{}", made.text());
        *rule.lock().unwrap() = format!("/trust-rules/{}", made.json()["id"].as_str().unwrap());
        let refused = scene.exchange(&scene.token(&json!({})), &[]);
        assert_eq!(refused.status(), 400, "{method} {body}: {}", refused.text());
    }
    let told = scene.served.entries().into_iter().filter(|entry| entry["action"] == "job.would-sign-in");
    assert_eq!(told.count(), 0, "it was in force, and is of another kind by now");
    assert_eq!(scene.served.sql("SELECT COUNT(*) FROM tokens WHERE kind = 'job'").trim(), "0");
}

/// Whoever makes keys up has the server ask no issuer more often for that.
#[test]
fn keys_that_nobody_lists_are_looked_for_once() {
    let scene = Scene::new();
    assert_eq!(scene.rule(&json!({})).status(), 201);
    let fetched = || scene.issuer.requests().iter().filter(|seen| seen.path() == "/jwks").count();
    let own = scene.issuer.url();
    let of_key = |kid: &str| {
        let claims = claims(own.trim_end_matches('/'), &scene.served.url, &json!({}));
        keys::sign(&json!({ "kid": kid }), &claims, &Signing::Rs256)
    };
    let mut count = 0;
    for round in 0..4 {
        scene.forget_failures();
        let tokens: Vec<String> = (0..12).map(|number| of_key(&format!("{round}-{number}"))).collect();
        let (url, organization) = (scene.served.url.as_str(), scene.organization.as_str());
        let exchange = |token: &str| exchange(url, organization, token, &[]).status();
        let statuses: Vec<u16> = std::thread::scope(|scope| {
            let all: Vec<_> = tokens.iter().map(|token| scope.spawn(|| exchange(token))).collect();
            all.into_iter().map(|one| one.join().unwrap()).collect()
        });
        assert!(statuses.iter().all(|status| [400, 429].contains(status)), "{statuses:?}");
        count += statuses.iter().filter(|status| **status == 400).count();
        assert_eq!(fetched(), 2, "once for its keys, and once more for one that it does not list");
    }
    assert!(count > 12, "{count}");
    scene.forget_failures();
    assert_eq!(scene.exchange(&scene.token(&json!({})), &[]).status(), 200, "a key that it lists counts meanwhile");
    assert_eq!(fetched(), 2);
}
