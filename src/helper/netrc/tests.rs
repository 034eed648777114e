use proptest::prelude::*;

use super::*;
use crate::helper::tests::{Bench, CANARY, OTHERS};
use crate::secret::Secret;

fn login(endpoint: &str, username: &str, password: &str) -> Bench {
    let values = [("service", "x"), ("endpoint", endpoint), ("username", username), ("password", password)];
    Bench::with("username_password", &values)
}

#[test]
fn a_login_is_one_line_for_its_host() {
    let bench = login("https://good.example", "alice", CANARY);
    let line = format!("machine good.example login alice password {CANARY}\n");
    for words in [&["good.example"][..], &["good.example", "alice"]] {
        bench.answers("netrc", words, "", 0, &line);
    }
    bench.answers("netrc", &["good.example", "bob"], "", 1, "");
    // The file knows no ports, the binding does.
    let ported = login("http://127.0.0.1:8080", "alice", CANARY);
    ported.answers("netrc", &["127.0.0.1:8080"], "", 0, &format!("machine 127.0.0.1 login alice password {CANARY}\n"));
    ported.answers("netrc", &["127.0.0.1"], "", 1, "");
    let pypi = Bench::with("api_key", &[("service", "pypi"), ("api_key", CANARY)]);
    pypi.answers("netrc", &["pypi.org"], "", 1, "");
}

#[test]
fn another_host_has_none() {
    let bench = login("https://good.example", "alice", CANARY);
    for other in OTHERS {
        let host = other.split_once("://").map_or(other, |(_, host)| host);
        if host != "good.example" {
            bench.answers("netrc", &[host], "", 1, "");
        }
    }
    // Such a file cannot say which path a password is for.
    login("https://good.example/private", "alice", CANARY).answers("netrc", &["good.example"], "", 1, "");
    let bearer = Bench::with("api_key", &[("service", "x"), ("endpoint", "https://good.example"), ("api_key", CANARY)]);
    bearer.answers("netrc", &["good.example"], "", 1, "");
    for words in [&[][..], &["a", "b", "c"]] {
        bench.answers("netrc", words, "", 1, "");
    }
}

#[test]
fn what_readers_differ_on_is_not_written() {
    for (username, password) in [
        ("alice smith", CANARY),
        ("alice", "LNYCANARY s3cr3t"),
        ("alice", "LNYCANARY#x"),
        ("al\"ice", CANARY),
        ("alice", "LNYCANARY\\x"),
        ("alice", "LNYCANARY'x"),
        ("alice", "LNYCANARY-\u{e9}"),
    ] {
        let bench = login("https://good.example", username, password);
        let (code, told, talk) = bench.ask("netrc", &["good.example"], "");
        assert!(code == 1 && told.is_empty() && talk.contains("do not agree") && !talk.contains("LNYCANARY"), "{talk}");
    }
}

#[test]
fn a_port_is_told_from_an_address_with_colons() {
    for (host, name) in [("a.example", "a.example"), ("a.example:8080", "a.example"), ("[::1]:80", "[::1]"), ("[::1]", "[::1]"), ("::1", "::1")] {
        assert_eq!(machine(host), name);
    }
}

proptest! {
    #[test]
    fn what_is_written_is_three_words_of_its_own(host in "\\PC{1,12}", username in "\\PC{0,12}", password in "(\\PC|\n){0,12}") {
        let material = Material::Basic { username: username.clone(), password: Secret::new(password.clone()) };
        if let Ok(reply) = found(&host, &material) {
            let text = String::from_utf8(reply.stdout.to_vec()).unwrap();
            let words: Vec<&str> = text.split_whitespace().collect();
            prop_assert_eq!(words, ["machine", &*host, "login", &*username, "password", &*password]);
            prop_assert_eq!(text.lines().count(), 1);
        }
    }
}
