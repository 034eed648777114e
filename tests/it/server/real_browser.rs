//! Chromium, with the keyboard alone and no script: sets the server up, signs in, lets a command line in, signs out.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::grants::asked;
use super::served::{LOGIN, PASSPHRASE, Served, token};
use crate::stage::Stage;

/// Has Chromium go through steps; what it saw.
pub fn browse(steps: &Value) -> Value {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), steps.to_string()).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/browser/chromium-server.mjs");
    let output =
        Command::new("node").arg(script).arg(file.path()).stdin(Stdio::null()).output().expect("node is there");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)))
}

#[test]
fn a_person_with_a_keyboard_sets_it_up_and_lets_a_command_line_in() {
    let served = Served::fresh(&[]);
    let stage = Stage::new();
    stage.write_config("[defaults]\nstorage = \"plain\"\n");
    let mut login = stage.start(&["auth", "login", "--service", &served.url, "--no-browser"]);
    let address = login.url();
    let port: u16 = served.url.rsplit(':').next().unwrap().parse().unwrap();
    let owner = json!({ "organization": "Acme", "login": LOGIN, "passphrase": PASSPHRASE, "again": PASSPHRASE });
    let told = browse(&json!([
        { "go": served.link() },
        { "fill": owner, "press": "Set up" },
        { "press": "Sign out" },
        { "go": address },
        { "fill": { "login": LOGIN, "passphrase": "not the passphrase" }, "press": "Sign in" },
        { "fill": { "login": LOGIN, "passphrase": PASSPHRASE }, "press": "Sign in" },
        { "press": "Allow", "leave": port },
    ]));
    login.finish().ends(0);
    let seen = told["seen"].as_array().unwrap();
    let titles: Vec<&str> = seen.iter().map(|page| page["title"].as_str().unwrap()).collect();
    assert_eq!(
        titles[..6],
        [
            "Set up this server · Lanyard",
            "Your organizations · Lanyard",
            "Sign in · Lanyard",
            "Sign in · Lanyard",
            "Sign in · Lanyard",
            "Let a program in? · Lanyard",
        ],
        "{told}"
    );
    assert!(seen[6]["text"].as_str().unwrap().contains("You are signed in"), "{told}");
    assert!(seen[5]["text"].as_str().unwrap().contains("Read secrets"), "{told}");
    assert_eq!(told["hosts"], json!(["127.0.0.1"]), "{told}");
    let blocked: Vec<&str> = told["blocked"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    // A refused sign-in is an answer with a status of its own, which the browser notes.
    assert!(blocked.iter().all(|line| line.contains("403")), "{blocked:?}");
    assert_eq!(served.api("GET", "/credential-configs", &token(&stage), "").status(), 200);
}

/// A policy of a page has no word for such an address, and the browser holds the form to it.
#[test]
fn an_answer_goes_to_a_program_that_listens_on_ipv6() {
    let served = Served::new(&[]);
    // Where there is no IPv6, it is as with every other program.
    let listener = TcpListener::bind("[::1]:0").or_else(|_| TcpListener::bind("127.0.0.1:0")).unwrap();
    let at = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut request = [0; 4096];
            let _ = stream.read(&mut request);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\nConnection: close\r\n\r\narrived");
        }
    });
    let redirect = format!("http://{at}/callback");
    let port: u16 = served.url.rsplit(':').next().unwrap().parse().unwrap();
    let told = browse(&json!([
        { "go": format!("{}{}", served.url, asked(&[("redirect_uri", &redirect)])) },
        { "fill": { "login": LOGIN, "passphrase": PASSPHRASE }, "press": "Sign in" },
        { "press": "Allow", "leave": port },
    ]));
    let end = &told["seen"][2];
    assert_eq!(end["text"], "arrived", "{told}");
    assert!(end["address"].as_str().unwrap().starts_with(&format!("{redirect}?code=")), "{told}");
    assert_eq!(told["blocked"], json!([]), "{told}");
}
