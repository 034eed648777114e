use proptest::prelude::*;

use super::*;
use crate::helper::tests::{Bench, CANARY, OTHERS};

fn bench() -> Bench {
    let values = [("service", "x"), ("username", "alice"), ("password", CANARY), ("endpoint", "https://good.example/simple/")];
    Bench::with("username_password", &values)
}

const URL: &str = "https://good.example/simple/";

#[test]
fn every_client_is_answered_as_it_asks() {
    let bench = bench();
    let (password, pair) = (format!("{CANARY}\n"), format!("alice\n{CANARY}\n"));
    let object = format!("{{\"username\":\"alice\",\"password\":\"{CANARY}\"}}\n");
    // pip since 26.2, with a user and without; pip before; uv with a user and without.
    bench.answers("keyring", &["--mode=creds", "--output=json", "get", URL], "", 0, &object);
    bench.answers("keyring", &["--mode=creds", "--output=json", "get", URL, "alice"], "", 0, &object);
    bench.answers("keyring", &["get", URL, "alice"], "", 0, &password);
    bench.answers("keyring", &["get", URL, "--mode", "creds"], "", 0, &pair);
    // The rest of what keyring's own command line knows.
    let alone = format!("{{\"password\":\"{CANARY}\"}}\n");
    bench.answers("keyring", &["--output", "json", "get", URL], "", 0, &alone);
    bench.answers("keyring", &["get", "--mode=password", "--", URL], "", 0, &password);
    // A file below the index belongs to it.
    bench.answers("keyring", &["get", "https://good.example/simple/peer/"], "", 0, &password);
    for user in ["bob", "", "Alice"] {
        bench.answers("keyring", &["get", URL, user], "", 1, "");
    }
}

#[test]
fn another_index_and_a_bare_host_are_answered_with_nothing() {
    let bench = bench();
    let others = OTHERS.iter().map(|host| format!("{host}/simple/"));
    let near = ["https://good.example", "https://good.example/simpler/", "https://good.example/?/simple/", "good.example", "system"];
    for url in others.chain(near.map(str::to_owned)) {
        for words in [&["get", &url][..], &["get", &url, "alice"], &["--mode=creds", "--output=json", "get", &url]] {
            bench.answers("keyring", words, "", 1, "");
        }
    }
    // A host that a password is stored for, but not whether it is asked in the clear.
    let whole = Bench::with("username_password", &[("service", "x"), ("username", "a"), ("password", CANARY), ("endpoint", "https://good.example")]);
    whole.answers("keyring", &["get", "good.example", "a"], "", 1, "");
    whole.answers("keyring", &["get", "http://good.example/simple/", "a"], "", 1, "");
    whole.answers("keyring", &["get", URL, "a"], "", 0, &format!("{CANARY}\n"));
}

#[test]
fn pypis_tokens_have_its_own_user() {
    let pypi = Bench::with("api_key", &[("service", "pypi"), ("api_key", CANARY)]);
    let pair = format!("__token__\n{CANARY}\n");
    for url in ["https://upload.pypi.org/legacy/", "https://pypi.org/simple/"] {
        pypi.answers("keyring", &["get", url, "--mode", "creds"], "", 0, &pair);
        pypi.answers("keyring", &["get", url, "__token__"], "", 0, &format!("{CANARY}\n"));
    }
    for url in ["https://pypi.org/", "https://test.pypi.org/legacy/", "https://upload.pypi.org/"] {
        pypi.answers("keyring", &["get", url], "", 1, "");
    }
    let own = Bench::with("api_key", &[("service", "own"), ("endpoint", "https://good.example/simple/"), ("api_key", CANARY)]);
    own.answers("keyring", &["get", URL, "--mode", "creds"], "", 0, &pair);
}

#[test]
fn what_pip_gives_is_kept_and_what_pip_kept_is_forgotten() {
    let bench = Bench::new();
    for (service, url) in [("https://good.example/simple/", URL), ("other.example", "https://other.example/simple/"), ("127.0.0.1:8080", "http://127.0.0.1:8080/simple/")] {
        bench.answers("keyring", &["set", service, "alice"], &format!("{CANARY}\n"), 0, "");
        bench.answers("keyring", &["get", url, "alice"], "", 0, &format!("{CANARY}\n"));
        bench.answers("keyring", &["set", service, "alice"], "LNYCANARY-second\r\n", 0, "");
        bench.answers("keyring", &["get", url, "alice"], "", 0, "LNYCANARY-second\n");
    }
    assert_eq!(bench.stored().len(), 3);
    for service in ["https://good.example/simple/", "other.example", "127.0.0.1:8080"] {
        bench.answers("keyring", &["del", service, "bob"], "", 1, "");
        bench.answers("keyring", &["del", service, "alice"], "", 0, "");
        bench.answers("keyring", &["del", service, "alice"], "", 1, "");
    }
    assert!(bench.stored().is_empty());
    for service in ["http://good.example/simple/", "a system", "https://u:p@good.example/"] {
        bench.answers("keyring", &["set", service, "alice"], CANARY, 1, "");
    }
    bench.answers("keyring", &["set", URL, "alice"], "two\nlines\n", 1, "");
    assert!(bench.stored().is_empty());
}

#[test]
fn what_the_user_stored_is_neither_replaced_nor_forgotten() {
    let bench = bench();
    bench.answers("keyring", &["set", URL, "alice"], CANARY, 0, "");
    bench.answers("keyring", &["set", URL, "alice"], "another", 1, "");
    bench.answers("keyring", &["del", URL, "alice"], "", 1, "");
    bench.answers("keyring", &["get", URL, "alice"], "", 0, &format!("{CANARY}\n"));
}

#[test]
fn a_line_that_keyring_does_not_know_ends_with_2() {
    let bench = bench();
    for words in [
        &[][..],
        &["get"],
        &["get", ""],
        &["set", URL],
        &["del", URL],
        &["diagnose"],
        &["get", URL, "alice", "more"],
        &["get", URL, "--mode", "all"],
        &["get", URL, "--mode"],
        &["--output=xml", "get", URL],
        &["--keyring-backend", "x", "get", URL],
        &["--list-backends"],
    ] {
        let (code, told, talk) = bench.ask("keyring", words, "");
        assert_eq!((code, &*told), (2, ""), "{words:?}");
        assert!(talk.starts_with("usage: keyring ") && !talk.contains("good.example"), "{talk}");
    }
}

proptest! {
    #[test]
    fn any_line_is_a_call_or_not(words in prop::collection::vec("(get|set|del|--|--mode=?|--output=?|creds|json|\\PC{0,8})", 0..6)) {
        if let Ok(line) = Line::parse(&words) {
            prop_assert!(!line.service.is_empty());
        }
    }

    #[test]
    fn options_stand_anywhere(at in 0_usize..4) {
        let mut words = vec!["get", URL, "alice"];
        words.insert(at, "--mode=creds");
        let words: Vec<String> = words.into_iter().map(str::to_owned).collect();
        let expected = Line { verb: Verb::Get, service: URL, user: Some("alice"), is_pair: true, is_json: false };
        prop_assert_eq!(Line::parse(&words), Ok(expected));
    }
}
