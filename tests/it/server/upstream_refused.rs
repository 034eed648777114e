//! What an issuer, or somebody in its name, tries and does not get.

use std::sync::Arc;

use serde_json::{Value, json};

use super::issuer::{Errand, Issuer, Plan, Scene, go_to, session};
use super::served::{LOGIN, Served, api};
use crate::idp::keys::Signing;
use crate::wire::Message;

fn bob() -> Value {
    json!({ "sub": "bob", "email": "bob@corp.example", "email_verified": true })
}

fn scene() -> Scene {
    Scene::new(&json!({ "domains": ["corp.example"] }))
}

fn denied(scene: &Scene) -> Vec<Value> {
    let entries = scene.served.entries().into_iter();
    let mut denied: Vec<Value> =
        entries.filter(|entry| entry["action"] == "sign-in" && entry["outcome"] == "denied").collect();
    denied.sort_by_key(|entry| entry["at"].as_str().unwrap().to_owned());
    denied
}

/// Refused, told, and nobody is in.
fn is_refused(scene: &Scene, answer: &Message, why: &str) {
    assert_eq!((answer.status(), session(answer)), (403, None), "{why}: {}", answer.text());
    let told = denied(scene);
    let last = told.last().unwrap_or_else(|| panic!("{why} is told"));
    assert!(last["detail"].as_str().unwrap().contains(why), "{why}: {last}");
    assert_eq!(scene.role("bob@corp.example"), None, "{why}");
}

#[test]
fn a_token_that_is_not_good_is_refused() {
    let scene = scene();
    let now = chrono::Utc::now().timestamp();
    let cases: Vec<(Value, Signing, &str)> = vec![
        (json!({ "nonce": "another" }), Signing::Rs256, "nonce"),
        (json!({ "nonce": null }), Signing::Rs256, "nonce"),
        (json!({ "aud": "another" }), Signing::Rs256, "aud"),
        (json!({ "aud": ["web", "another"] }), Signing::Rs256, "azp"),
        (json!({ "aud": null }), Signing::Rs256, "aud"),
        (json!({ "iss": "http://127.0.0.1:9" }), Signing::Rs256, "iss"),
        (json!({ "exp": now - 120 }), Signing::Rs256, "exp"),
        (json!({ "exp": null }), Signing::Rs256, "exp"),
        (json!({ "iat": now + 600 }), Signing::Rs256, "iat"),
        (json!({ "nbf": now + 600 }), Signing::Rs256, "nbf"),
        (json!({ "sub": "" }), Signing::Rs256, "sub"),
        (json!({ "sub": null }), Signing::Rs256, "sub"),
        (json!({ "at_hash": "another" }), Signing::Rs256, "at_hash"),
        (json!({}), Signing::None("none"), "not signed"),
        (json!({}), Signing::None("NonE"), "not signed"),
        (json!({}), Signing::HmacWithPublicKey, "not signed"),
        (json!({}), Signing::HmacWithOctetKey, "not signed"),
        (json!({}), Signing::Stranger, "signature"),
        (json!({}), Signing::Zeros, "signature"),
        (json!({}), Signing::Rotated, "does not list"),
    ];
    for (changes, signing, why) in cases {
        scene.served.sql("DELETE FROM attempts");
        let browser = scene.browser();
        let errand = scene.go(&browser, &[]);
        scene.answer(&errand, &bob());
        scene.issuer.will(|plan| {
            for (name, value) in changes.as_object().unwrap() {
                plan.claims[name] = value.clone();
            }
            plan.signing = signing.clone();
        });
        is_refused(&scene, &errand.back(&browser, &[]), why);
        scene.issuer.will(|plan| plan.signing = Signing::Rs256);
    }
    scene.home(&scene.come(&bob(), &[]));
}

#[test]
fn an_answer_counts_once_in_the_browser_that_went() {
    const UNKNOWN: &str = "was not begun here";
    let scene = scene();
    let (browser, other) = (scene.browser(), scene.browser());
    let (errand, others) = (scene.go(&browser, &[]), scene.go(&other, &[]));
    scene.answer(&errand, &bob());
    // Another browser's answer, or one that was put into this browser, or none.
    let mixed = Errand { cookie: others.cookie.clone(), ..scene_errand(&errand) };
    is_refused(&scene, &mixed.back(&other, &[]), UNKNOWN);
    let none = Errand { cookie: "x=1".into(), ..scene_errand(&errand) };
    is_refused(&scene, &none.back(&browser, &[]), UNKNOWN);
    for state in ["", "x", others.field("state")] {
        is_refused(&scene, &errand.back(&browser, &[("state", state)]), UNKNOWN);
    }
    // One that is too old.
    scene.served.sql("UPDATE upstream_attempts SET expires = 1");
    is_refused(&scene, &errand.back(&browser, &[]), UNKNOWN);
    let errand = scene.go(&browser, &[]);
    scene.answer(&errand, &bob());
    // Twice the same name is no answer.
    let twice = format!("{}?state={}&code=a&code=b", errand.field("redirect_uri"), errand.field("state"));
    assert_eq!(errand.deliver(&browser, &twice).status(), 400);
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let tries: Vec<_> = (0..6).map(|_| scope.spawn(|| errand.back(&browser, &[]).status())).collect();
        tries.into_iter().map(|tried| tried.join().unwrap()).collect()
    });
    assert_eq!(statuses.iter().filter(|status| **status == 303).count(), 1, "{statuses:?}");
    scene.served.sql("DELETE FROM attempts");
    assert_eq!(errand.back(&browser, &[]).status(), 403, "a replay");
    // A page of another site sends nobody off.
    let path = format!("/sign-in/with/{}", scene.id);
    for headers in [vec![], vec!["Origin: https://evil.example"]] {
        assert_eq!(browser.post_with(&path, &[], &headers).status(), 403);
    }
    assert_eq!(browser.get(&path).status(), 405, "nor does an address");
}

fn scene_errand(errand: &Errand) -> Errand {
    Errand { cookie: errand.cookie.clone(), address: errand.address.clone(), fields: errand.fields.clone() }
}

#[test]
fn an_answer_of_one_issuer_is_not_taken_for_anothers() {
    let scene = scene();
    let second = Issuer::start();
    let made = scene.make("Second", &second.url(), &json!({ "domains": ["corp.example"] }));
    let other = made.json()["id"].as_str().unwrap().to_owned();
    let browser = scene.browser();
    // The person chose the second, which sent them on to the first: its answer comes to the first's address.
    let errand = go_to(&other, &browser, &[]);
    scene.answer(&errand, &bob());
    let at_first = format!("{}/sign-in/back/{}?code=a&state={}", scene.served.url, scene.id, errand.field("state"));
    is_refused(&scene, &errand.deliver(&browser, &at_first), "was not begun here");
    assert!(second.double.requests().iter().all(|seen| seen.path() != "/token"), "the code went to nobody");
    // What an answer says of its issuer has to be so.
    for (announced, named, why) in [
        (false, second.url(), "another issuer"),
        (true, String::new(), "does not name"),
        (true, second.url(), "another"),
    ] {
        let changed = scene.make("Third", &scene.issuer.url(), &json!({ "domains": ["corp.example"] }));
        let id = changed.json()["id"].as_str().unwrap().to_owned();
        scene.served.sql("DELETE FROM attempts");
        let fresh = Issuer::start();
        fresh
            .will(|plan: &mut Plan| plan.document["authorization_response_iss_parameter_supported"] = json!(announced));
        let moved = json!({ "issuer": fresh.url() }).to_string();
        assert_eq!(scene.served.api("PATCH", &format!("/upstreams/{id}"), &scene.admin, &moved).status(), 200);
        let errand = go_to(&id, &browser, &[]);
        is_refused(&scene, &errand.back(&browser, &[("iss", &named)]), why);
        let errand = go_to(&id, &browser, &[]);
        fresh.will(|plan| plan.claims = json!({ "nonce": errand.field("nonce"), "sub": "x" }));
        let own = errand.back(&browser, &[("iss", &fresh.url())]);
        assert!(own.text().contains("without an invitation"), "its own name is right: {}", own.text());
        assert_eq!(scene.served.api("DELETE", &format!("/upstreams/{id}"), &scene.admin, "").status(), 204);
    }
}

#[test]
fn an_issuer_that_does_not_play_along_lets_nobody_in() {
    let scene = scene();
    let browser = scene.browser();
    let answer = |changes: &[(&str, &str)], plan: &dyn Fn(&mut Plan)| {
        scene.served.sql("DELETE FROM attempts");
        let errand = scene.go(&browser, &[]);
        scene.answer(&errand, &bob());
        scene.issuer.will(|it| plan(it));
        let answer = errand.back(&browser, changes);
        scene.issuer.will(|it| it.tokens = json!({}));
        answer
    };
    let nothing = |_: &mut Plan| ();
    is_refused(&scene, &answer(&[("error", "access_denied"), ("code", "")], &nothing), "did not let you in");
    is_refused(&scene, &answer(&[("error", "<b>x</b>")], &nothing), "did not let you in");
    is_refused(&scene, &answer(&[("code", "")], &nothing), "no code");
    is_refused(&scene, &answer(&[], &|plan| plan.tokens = json!({ "id_token": null })), "no ID token");
    let error = json!({ "error": "invalid_grant", "error_description": "LNYCANARYwords" });
    let refused = answer(&[], &|plan| plan.tokens = error.clone());
    is_refused(&scene, &refused, "no tokens");
    assert!(!refused.text().contains("LNYCANARY"), "its words are not repeated");
    // The server asks at no address that an administrator did not allow.
    let closed = Scene::on(Served::new(&[]), &json!({}));
    let gone = closed.browser().post(&format!("/sign-in/with/{}", closed.id), &[]);
    assert!(gone.status() == 502 && gone.text().contains("may not ask it"), "{}", gone.text());
    assert!(closed.issuer.double.requests().is_empty());
}

#[test]
fn whoever_stands_for_a_rule_must_still_stand() {
    let scene = scene();
    let invitation = scene.owner.run(&["members", "invite", "second", "--role", "owner"]).ends(0).stdout();
    let second = super::team::join(&scene.served, invitation.trim(), "second");
    let owner = scene.served.client_of(&second, None);
    owner.run(&["members", "role", LOGIN, "admin"]).ends(0);
    let refused = scene.come(&bob(), &[]);
    assert!(refused.status() == 403 && refused.text().contains("invitation"), "{}", refused.text());
}

/// What an issuer may do is decided when it has answered, not when it was asked.
#[test]
fn what_is_changed_while_an_issuer_answers_counts() {
    for (method, body) in
        [("PATCH", json!({ "domains": [] })), ("PATCH", json!({ "name": "Other" })), ("DELETE", json!({}))]
    {
        let scene = scene();
        let (url, admin, path) = (scene.served.url.clone(), scene.admin.clone(), format!("/upstreams/{}", scene.id));
        let body = body.to_string();
        scene.issuer.will(|plan| {
            plan.meanwhile = Arc::new(move || {
                let done = api(&url, method, &path, &admin, &body);
                assert!(done.status() < 300, "{}", done.text());
            });
        });
        is_refused(&scene, &scene.come(&bob(), &[]), "meanwhile; begin again");
        assert_eq!(scene.role("bob@corp.example"), None, "{method}");
    }
}
