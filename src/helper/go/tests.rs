use proptest::prelude::*;

use super::*;
use crate::helper::tests::{Bench, CANARY, OTHERS};

fn key(endpoint: &str) -> Bench {
    Bench::with("api_key", &[("service", "proxy"), ("endpoint", endpoint), ("api_key", CANARY)])
}

#[test]
fn nothing_is_handed_out_before_an_address_is_named() {
    key("https://good.example").answers("go", &[], "", 0, "");
}

#[test]
fn a_block_names_what_the_credential_was_stored_for() {
    let block = |url: &str, prefix: &str| format!("{url}\n{prefix}\n\nAuthorization: Bearer {CANARY}\n\n");
    let refusal = "HTTP/1.1 401 Unauthorized\r\nWww-Authenticate: Basic realm=\"https://evil.example\"\r\n\r\n";
    let bench = key("https://good.example/mod");
    for url in ["https://good.example/mod", "https://good.example/mod/m/@v/list", "https://good.example/mod/m?go-get=1"] {
        bench.answers("go", &[url], refusal, 0, &block(url, "https://good.example/mod"));
    }
    key("https://good.example").answers("go", &["https://good.example/x"], "", 0, &block("https://good.example/x", "https://good.example"));
    key("https://good.example:8443").answers("go", &["https://good.example:8443/x"], "", 0, &block("https://good.example:8443/x", "https://good.example:8443"));
    let login = [("host", "good.example"), ("username", "alice"), ("token", "pw")];
    let basic = "https://good.example/org/m?go-get=1\nhttps://good.example\n\nAuthorization: Basic YWxpY2U6cHc=\n\n";
    Bench::with("git", &login).answers("go", &["https://good.example/org/m?go-get=1"], "", 0, basic);
}

#[test]
fn another_address_is_answered_with_nothing() {
    let bench = key("https://good.example/mod");
    for url in ["https://good.example/", "https://good.example/module", "https://good.example/x/mod", "http://good.example/mod"] {
        bench.answers("go", &[url], "", 0, "");
    }
    let bench = key("https://good.example");
    for host in OTHERS {
        bench.answers("go", &[&format!("{host}/m")], "", 0, "");
    }
    // go asks for no address without TLS.
    key("http://127.0.0.1:8080").answers("go", &["http://127.0.0.1:8080/m"], "", 0, "");
}

#[test]
fn more_than_an_address_is_no_call() {
    let (code, told, talk) = key("https://good.example").ask("go", &["https://good.example", "more"], "");
    assert!(code == 1 && told.is_empty() && talk.starts_with("usage: "), "{talk}");
}

proptest! {
    #[test]
    fn any_word_is_an_address_or_not(word in "(https://|http://|\\PC){0,20}") {
        let env = crate::os::Env::empty();
        let ask = HELPER.ask(&Call { arguments: std::slice::from_ref(&word), text: "", env: &env });
        if let Ok(Ask::Get(want)) = ask {
            prop_assert!(word.to_lowercase().starts_with("https:"));
            prop_assert_eq!(want.at.and_then(|at| at.scheme), Some("https".to_owned()));
        }
    }
}
