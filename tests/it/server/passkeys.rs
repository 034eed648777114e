//! Passkeys, in Chromium with an authenticator of its own.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::served::{Browser, LOGIN, PASSPHRASE, Served, hidden};
use crate::peers::free_port;
use crate::stage::Stage;
use crate::wire;

/// A server that has a name, as passkeys need one.
fn named() -> Served {
    let port = free_port();
    let url = format!("http://localhost:{port}");
    let served = Served::listening(Stage::new(), &["--public-url", &url], port);
    assert_eq!(served.set_up(PASSPHRASE).status(), 303);
    served
}

#[test]
fn a_passkey_signs_in_and_nothing_that_only_looks_like_one() {
    let served = named();
    let output = Command::new("node")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/browser/passkey.mjs"))
        .args([&served.url, LOGIN, PASSPHRASE])
        .arg(served.database())
        .stdin(Stdio::null())
        .output()
        .expect("node is there");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    let seen: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{told}"));
    assert_eq!((&seen["violations"], &seen["scripts"]["signIn"]), (&json!([]), &json!(0)), "{seen}");
    let step = |what: &str| {
        let steps = seen["steps"].as_array().unwrap();
        steps.iter().find(|step| step["what"] == what).unwrap_or_else(|| panic!("{what}: {seen}")).clone()
    };
    let text = |what: &str| step(what)["text"].as_str().unwrap().to_owned();
    let codes = seen["codes"].as_array().unwrap();
    assert_eq!(codes.len(), 10);
    assert!(text("listed").contains("<laptop>") && text("twice").contains("already"), "{seen}");
    assert!(text("alone").contains(LOGIN) && text("beside").contains(LOGIN));
    assert!(text("asked").contains("recovery code"), "{}", text("asked"));
    assert_eq!(step("stale")["path"], "/account/prove");
    assert!(text("passphrase alone").contains(LOGIN), "no second factor is left");
    assert!(seen["without"].as_str().unwrap().contains("needs a script"), "{seen}");
    for (name, why) in [
        ("origin", "another site"),
        ("port", "another site"),
        ("frame", "another site"),
        ("kind", "another question"),
        ("challenge", "another challenge"),
        ("site", "one of another site"),
        ("absent", "nobody was there"),
        ("unverified", "did not verify"),
        ("handle", "somebody else"),
        ("nobody", "somebody else"),
        ("unknown", "somebody else"),
        ("signature", "signature"),
        ("nothing", "malformed"),
        ("copy", "counter"),
        ("spent", "used already"),
        ("late", "used already"),
        ("removed", "somebody else"),
    ] {
        let answer = &seen["answers"][name];
        assert_eq!((&answer["status"], &answer["cookie"]), (&json!(403), &json!(false)), "{name}: {answer}");
        assert!(answer["told"].as_str().unwrap().to_lowercase().contains(why), "{name}: {answer}");
    }
    for name in ["good", "good again"] {
        assert_eq!(seen["answers"][name]["status"], 303, "{name}: {}", seen["answers"][name]);
    }
    // What the browser sent once is good for nobody.
    let headers = [&format!("Origin: {}", served.url), "Content-Type: application/x-www-form-urlencoded"];
    let path = format!("{}/sign-in/passkey/answer", served.url);
    let replayed = wire::send("POST", &path, &headers, seen["replay"].as_str().unwrap()).unwrap();
    assert_eq!((replayed.status(), replayed.header("set-cookie")), (403, None));
    let entries = served.entries();
    let told = |action: &str, outcome: &str, detail: &str| {
        let is = |entry: &&Value| {
            entry["action"] == action
                && entry["outcome"] == outcome
                && entry["detail"].as_str().unwrap_or_default().contains(detail)
        };
        entries.iter().filter(is).count()
    };
    assert_eq!((told("passkey.add", "done", ""), told("passkey.remove", "done", "")), (1, 1));
    assert_eq!(told("session.prove", "done", "passkey"), 1);
    assert!(told("sign-in", "done", "passkey") >= 4);
    // What was tried with somebody's passkey stands where they are, as far as they are not told of too many.
    let is_refused = |entry: &&Value| entry["action"] == "sign-in" && entry["outcome"] == "denied";
    let (of_the_server, theirs): (Vec<_>, Vec<_>) =
        entries.iter().filter(is_refused).partition(|entry| entry["organization"] == "server");
    let counter = of_the_server.iter().filter(|entry| entry["detail"].as_str().unwrap().contains("counter"));
    assert_eq!((counter.count(), of_the_server.len()), (1, 19), "{of_the_server:#?}");
    let person = served.sql("SELECT id FROM people");
    assert!((5..12).contains(&theirs.len()), "{theirs:#?}");
    for entry in theirs {
        assert_eq!((entry["object"].as_str(), entry.get("actor")), (Some(person.trim()), None), "{entry}");
        assert!(entry["detail"].as_str().unwrap().starts_with("passkey: "), "{entry}");
    }
}

#[test]
fn a_passkey_is_asked_for_where_there_can_be_one() {
    let numbered = Served::new(&[]);
    let browser = numbered.browser();
    assert!(!Browser::new(&numbered.url).get("/sign-in").text().contains("passkey"));
    let page = browser.get("/account/sign-in").text();
    assert!(page.contains("an address in numbers"), "{page}");
    let word = hidden(&page).into_iter().find(|(name, _)| name == "word");
    let word = word.map_or_else(|| browser.form("/").into_iter().find(|(name, _)| name == "word").unwrap().1, |w| w.1);
    let refused = browser.post("/account/passkeys/new", &[("word", &word), ("name", "x")]);
    assert_eq!(refused.status(), 422, "{}", refused.text());
    let script = browser.get("/passkey.js");
    assert_eq!((script.status(), script.header("content-type")), (200, Some("text/javascript; charset=utf-8")));
    let named = named();
    let page = Browser::new(&named.url).post("/sign-in/passkey", &[]);
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.contains("script-src 'self';") && !policy.contains("unsafe"), "{policy}");
    assert!(!page.text().contains("<script>") && !page.text().contains("onclick"));
    for headers in [vec![], vec!["Origin: https://evil.example"]] {
        let sent = Browser::new(&named.url).post_with("/sign-in/passkey", &[], &headers);
        assert_eq!(sent.status(), 403);
    }
    let browser = named.browser();
    let word = browser.form("/account/sign-in").into_iter().find(|(name, _)| name == "word").unwrap().1;
    for name in ["", &"x".repeat(65), "a\u{202e}b"] {
        let refused = browser.post("/account/passkeys/new", &[("word", &word), ("name", name)]);
        assert_eq!(refused.status(), 422, "{name}");
    }
    let given = [("word", word.as_str()), ("name", "x"), ("question", "lny_ask_x"), ("answer", "{}")];
    assert_eq!(browser.post("/account/passkeys", &given).status(), 403);
    assert_eq!(browser.post("/account/passkeys/none/remove", &[("word", &word)]).status(), 404);
}
