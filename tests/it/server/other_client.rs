//! A client that is not ours goes through every grant of the server: Authlib, as `tests/peers/authlib` has it.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use super::served::{LOGIN, Served, hidden, token};

#[test]
fn a_client_that_is_not_ours_goes_through_every_grant() {
    every_grant(&Served::new(&[]), "lanyard");
}

#[test]
fn a_client_that_is_not_ours_goes_through_every_grant_under_a_name_of_its_own() {
    let served = Served::new(&[]);
    let body = r#"{"name":"Authlib","redirect_uris":["http://127.0.0.1/callback"]}"#;
    let made = served.api("POST", "/oauth-clients", &token(&served.manager()), body);
    assert_eq!(made.status(), 201, "{}", made.text());
    every_grant(&served, made.json()["id"].as_str().expect("an id"));
}

fn every_grant(served: &Served, client: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = root.join("target/test-peers/authlib/bin/python");
    assert!(python.exists(), "Authlib is missing; tests/run installs it");
    let mut child = Command::new(python)
        .arg(root.join("tests/peers/authlib/client.py"))
        .args([served.url.as_str(), client])
        // The server is on loopback.
        .env("AUTHLIB_INSECURE_TRANSPORT", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python runs");
    let mut stdin = child.stdin.take().expect("stdin is a pipe");
    let lines = BufReader::new(child.stdout.take().expect("stdout is a pipe")).lines();
    let browser = served.browser();
    let mut told = None;
    for line in lines.map_while(Result::ok) {
        let (what, value) = line.split_once(' ').expect("a word and a value");
        let answer = match what {
            "visit" => browser.allow(value),
            "enter" => {
                let word = browser.form("/device").into_iter().find(|(name, _)| name == "word").unwrap().1;
                let page = browser.post("/device", &[("word", &word), ("user_code", value)]);
                let mut fields = hidden(&page.text());
                fields.push(("decision".into(), "allow".into()));
                let fields: Vec<(&str, &str)> =
                    fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
                assert_eq!(browser.post("/device", &fields).status(), 200);
                "entered".into()
            }
            _ => {
                told = serde_json::from_str::<serde_json::Value>(value).ok();
                continue;
            }
        };
        writeln!(stdin, "{answer}").expect("it reads");
    }
    assert!(child.wait().expect("it ends").success(), "what it found is above");
    assert_eq!(told.expect("what was found out")["name"], LOGIN);
}
