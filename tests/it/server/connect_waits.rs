//! Services that are in trouble, and sign-ins at others meanwhile.

use std::time::{Duration, Instant};

use serde_json::json;

use super::connect::serve;
use super::served::{Served, api, token};
use crate::double::{Answer, Double};

/// Stores a sign-in whose token has ended, with what renews it.
fn signed_in(served: &Served, bearer: &str, service: &Double, name: &str, refresh: &str) -> String {
    let endpoint = format!("{}/token", service.url());
    let session = json!({
        "version": 1,
        "service": "corp",
        "grant": "web",
        "client_id": "lanyard",
        "client_auth": "none",
        "token_endpoint": endpoint,
        "access_token": "LNYCANARYspent0123456789",
        "refresh_token": refresh,
        "issued_at": "2026-01-01T00:00:00Z",
        "expires_at": "2026-01-01T01:00:00Z",
    });
    let fields = json!({
        "service": "corp",
        "authorization_endpoint": format!("{}/authorize", service.url()),
        "token_endpoint": endpoint,
        "client_id": "lanyard",
    });
    let data = json!({ "session": session.to_string() });
    let body = json!({ "name": name, "kind": "oauth", "fields": fields, "data": data }).to_string();
    let made = served.api("POST", "/credential-configs", bearer, &body);
    assert_eq!(made.status(), 201, "{}", made.text());
    format!("/credential-configs/{}/secrets", made.json()["id"].as_str().unwrap())
}

/// A service that asks to be left alone for a moment keeps nobody from another one.
#[test]
fn while_services_are_left_alone_others_are_asked() {
    let service = Double::start(|seen| {
        if seen.message.text().contains("refresh_token=good") {
            let token =
                json!({ "access_token": "LNYCANARYfresh0123456789", "token_type": "Bearer", "expires_in": 3600 });
            return Answer::json(200, &token);
        }
        Answer::json(503, "{}").header("Retry-After: 3")
    });
    let served = serve(&[]);
    let bearer = token(&served.client());
    let slow: Vec<String> = (0..20)
        .map(|number| signed_in(&served, &bearer, &service, &format!("slow{number}"), &format!("slow{number}")))
        .collect();
    let good = signed_in(&served, &bearer, &service, "good", "good");
    std::thread::scope(|scope| {
        let (url, bearer) = (&served.url, &bearer);
        for path in &slow {
            scope.spawn(move || {
                let began = Instant::now();
                assert_eq!(api(url, "GET", path, bearer, "").status(), 503);
                assert!(began.elapsed() >= Duration::from_secs(3), "it was left alone: {:?}", began.elapsed());
            });
        }
        let are_asked = || service.requests().len() >= 16;
        super::openbao::wait_until("as many are asked as may be at a time", are_asked);
        let read = api(url, "GET", &good, bearer, "");
        assert_eq!(read.status(), 200, "{}", read.text());
    });
    // Its turn was not that of one whose pause was over: none had been asked twice by then.
    let mut asked: Vec<String> = service.requests().iter().map(|seen| seen.message.text()).collect();
    asked.truncate(asked.iter().position(|form| form.contains("refresh_token=good")).expect("it was asked"));
    let count = asked.len();
    asked.sort();
    asked.dedup();
    assert!(asked.len() == count && count >= 16, "{} of {count}", asked.len());
    // Each of them was asked once more after its pause.
    assert_eq!(service.requests().len(), 2 * slow.len() + 1);
}

/// A session that is over before it begins would be renewed without end; one of a year that no clock shows, reckoned with.
#[test]
fn a_session_that_nobody_can_reckon_with_is_not_taken() {
    let service = Double::start(|_| Answer::json(200, r#"{"access_token":"LNYCANARYnew01234","token_type":"Bearer"}"#));
    let served = serve(&[]);
    let bearer = token(&served.client());
    let endpoint = format!("{}/token", service.url());
    let ask = |issued: &str, expires: &str| {
        let session = json!({
            "version": 1, "service": "corp", "grant": "web", "client_id": "lanyard", "client_auth": "none",
            "token_endpoint": endpoint, "access_token": "LNYCANARYspent0123456789", "refresh_token": "good",
            "issued_at": issued, "expires_at": expires,
        });
        let fields = json!({
            "service": "corp", "authorization_endpoint": format!("{}/authorize", service.url()),
            "token_endpoint": endpoint, "client_id": "lanyard",
        });
        let name = format!("at{}", issued.trim_start_matches(['-', '+']).replace([':', '-'], ""));
        let data = json!({ "session": session.to_string() });
        let body = json!({ "name": name, "kind": "oauth", "fields": fields, "data": data }).to_string();
        served.api("POST", "/credential-configs", &bearer, &body)
    };
    for (issued, expires) in [
        ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z"),
        ("-262143-01-01T00:00:00Z", "2026-01-01T01:00:00Z"),
        ("2026-01-01T00:00:00Z", "+262142-12-31T23:59:59Z"),
    ] {
        let refused = ask(issued, expires);
        assert_eq!(refused.status(), 422, "{issued} {expires} {}", refused.text());
        assert!(!refused.text().contains("LNYCANARY"), "{}", refused.text());
    }
    // The shortest life there is: whoever reads it has its service asked once or, amid a second, twice, and no more.
    let made = ask("2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z");
    assert_eq!(made.status(), 201, "{}", made.text());
    let path = format!("/credential-configs/{}/secrets", made.json()["id"].as_str().unwrap());
    assert_eq!(served.api("GET", &path, &bearer, "").status(), 200);
    assert_eq!(service.requests().len(), 1, "asked once");
}
