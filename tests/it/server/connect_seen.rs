//! Chromium connects a credential: from the portal to `oidc-provider`, back again, with the keyboard and no script.

use serde_json::{Value, json};

use super::connect::{CLIENT_SECRET, Pages, serve};
use super::real_browser::browse;
use super::served::{LOGIN, PASSPHRASE};
use crate::peers::OidcProvider;

#[test]
fn a_person_with_a_browser_goes_to_the_service_and_comes_back() {
    let idp = OidcProvider::start(&[("ACCESS_TTL", "3000")]);
    let served = serve(&[]);
    let base = Pages::of(served.browser()).base;
    let port: u16 = served.url.rsplit(':').next().unwrap().parse().unwrap();
    let fields = json!({
        "other": "corp",
        "issuer": idp.issuer(),
        "client_id": "server-confidential",
        "client_secret": CLIENT_SECRET,
        "name": "corp",
    });
    let told = browse(&json!([
        { "go": format!("{}{base}/connect", served.url) },
        { "fill": { "login": LOGIN, "passphrase": PASSPHRASE }, "press": "Sign in" },
        { "fill": fields, "press": "Go on" },
        { "press": "Connect", "leave": port },
        { "fill": { "login": "alice", "password": "x" }, "press": "Sign-in" },
        { "press": "Continue" },
        { "press": "Disconnect" },
    ]));
    let seen = told["seen"].as_array().unwrap();
    let titles: Vec<&str> = seen.iter().map(|page| page["title"].as_str().unwrap()).collect();
    assert_eq!(titles[1..3], ["Connect a service · Lanyard", "Connect corp · Lanyard"], "{told}");
    assert!(seen[3]["address"].as_str().unwrap().starts_with(idp.issuer()), "{told}");
    assert_eq!(titles[5..], ["corp · Lanyard", "corp · Lanyard"], "{told}");
    let text = |at: usize| seen[at]["text"].as_str().unwrap();
    assert!(text(5).contains("It is connected.") && text(5).contains("alice@example.test"), "{told}");
    assert!(text(6).contains("the sign-in was ended at its service"), "{told}");
    let blocked: Vec<&str> = told["blocked"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(!blocked.iter().any(|line| line.contains("Content Security Policy")), "{blocked:?}");
}
