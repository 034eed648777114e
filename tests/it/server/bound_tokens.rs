//! Tokens that count together with a key alone: a client that is not ours, oauth4webapi, on both databases.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use super::postgres::Postgres;
use super::served::Served;

/// Has the client go through everything, in the browser of the owner; what it found out.
fn go_through(served: &Served) -> serde_json::Value {
    let peer = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/oidc-provider");
    assert!(peer.join("node_modules/oauth4webapi").exists(), "oauth4webapi is missing; tests/run installs it");
    let mut child = Command::new("node")
        .arg(peer.join("dpop-client.mjs"))
        .args([served.url.as_str(), "lanyard"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("node runs");
    let mut stdin = child.stdin.take().expect("stdin is a pipe");
    let lines = BufReader::new(child.stdout.take().expect("stdout is a pipe")).lines();
    let browser = served.browser();
    let mut told = None;
    for line in lines.map_while(Result::ok) {
        match line.split_once(' ').expect("a word and a value") {
            ("visit", address) => writeln!(stdin, "{}", browser.allow(address)).expect("it reads"),
            (_, value) => told = serde_json::from_str(value).ok(),
        }
    }
    assert!(child.wait().expect("it ends").success(), "what it found is above");
    told.expect("what was found out")
}

#[test]
fn a_token_that_is_bound_to_a_key_is_nothing_without_it() {
    let served = Served::new(&[]);
    assert_eq!(go_through(&served)["renewed"], 2);
    let entries = served.entries();
    let stolen = |action: &str| {
        entries
            .iter()
            .filter(|entry| entry["action"] == action && entry["detail"] == "without its key")
            .inspect(|entry| assert_eq!(entry["outcome"], "denied"))
            .count()
    };
    assert!(stolen("access") >= 8 && stolen("token.renew") == 8, "{} {}", stolen("access"), stolen("token.renew"));
    let replayed = |entry: &&serde_json::Value| entry["detail"] == "a proof that was used before";
    let replayed: Vec<_> = entries.iter().filter(replayed).collect();
    assert!(!replayed.is_empty(), "who shows a proof once more is told of");
    assert!(replayed.iter().all(|entry| entry["action"] == "access" && entry["outcome"] == "denied"), "{replayed:?}");
    // The proofs are kept as hashes alone, and for no longer than they would be good.
    let kept = served.sql("SELECT count(*), min(length(hash)), max(expires) - min(expires) FROM proofs");
    assert!(kept.contains("|32|"), "{kept}");
}

#[test]
fn it_is_the_same_with_postgresql() {
    let postgres = Postgres::start();
    let served = Served::new(&["--database", &postgres.url()]);
    assert_eq!(go_through(&served)["renewed"], 2);
}
