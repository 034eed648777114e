use proptest::prelude::*;

use super::*;
use crate::helper::tests::{Bench, CANARY};
use crate::helper::{by_name, by_program};

const INDEX_URL: &str = "sparse+https://good.example/index";

fn line(index: &str, rest: &str) -> String {
    format!(r#"{{"v":1,"registry":{{"index-url":"{index}","name":"corp","headers":["WWW-Authenticate: Cargo"]}},{rest}}}"#)
}

fn get(index: &str, operation: &str) -> String {
    line(index, &format!(r#""kind":"get","operation":"{operation}","args":["--profile","prod","--index","{INDEX_URL}"]"#))
}

fn stored(tags: &[&str]) -> Bench {
    let bench = Bench::new();
    bench.put("corp", "api_key", &[("service", "cargo"), ("index", INDEX_URL), ("api_key", CANARY)], tags);
    bench
}

fn token(token: &str) -> String {
    let rest = r#""cache":"never","operation_independent":false}}"#;
    format!("{{\"Ok\":{{\"kind\":\"get\",\"token\":\"{token}\",{rest}\n")
}

const NOT_FOUND: &str = "{\"Err\":{\"kind\":\"not-found\"}}\n";
const NOT_SUPPORTED: &str = "{\"Err\":{\"kind\":\"url-not-supported\"}}\n";

#[test]
fn it_says_its_version_first_and_is_known_by_its_name() {
    let helper = by_program("cargo-credential-lanyard").unwrap();
    assert_eq!((helper.name(), helper.greeting()), ("cargo", &b"{\"v\":[1]}\n"[..]));
    assert_eq!(by_name("cargo").unwrap().framing(&["--cargo-plugin".into()]), Framing::Lines);
}

#[test]
fn only_the_very_index_is_answered() {
    let bench = stored(&[]);
    bench.answers("cargo", &["--cargo-plugin"], &get(INDEX_URL, "read"), 0, &token(CANARY));
    for alike in [
        "sparse+https://good.example/index.git",
        "sparse+https://good.example/Index",
        "sparse+https://good.example/index/",
        "sparse+https://good.example/index//",
        "sparse+https://GOOD.example/index",
        "https://good.example/index",
    ] {
        for request in [get(alike, "read"), get(alike, "publish"), line(alike, r#""kind":"logout""#)] {
            bench.answers("cargo", &[], &request, 0, NOT_SUPPORTED);
        }
    }
    for other in [
        "sparse+https://good.example.evil.example/index",
        "sparse+https://good.example:8443/index",
        "sparse+https://good.example:443/index",
        "sparse+https://good.example./index",
        "sparse+https://evil.example/?good.example/index",
        "sparse+https://evil.example@good.example/index",
        "sparse+http://good.example/index",
        "sparse+https://good.example/inde",
        "sparse+https://good.example/index/x",
        "sparse+https://good.example/%69ndex",
        "sparse+",
        "",
    ] {
        bench.answers("cargo", &[], &get(other, "read"), 0, NOT_FOUND);
        bench.answers("cargo", &[], &get(other, "publish"), 0, NOT_FOUND);
    }
}

#[test]
fn crates_io_has_two_names_and_no_other_index_has() {
    let bench = Bench::new();
    bench.put("io", "api_key", &[("service", "cargo"), ("index", CRATES_IO.1), ("api_key", CANARY)], &[]);
    for index in [CRATES_IO.0, CRATES_IO.1] {
        bench.answers("cargo", &[], &get(index, "read"), 0, &token(CANARY));
    }
    for other in ["https://github.com/rust-lang/crates.io-index/", "https://github.com/rust-lang/crates.io-index.git"] {
        let (_, told, _) = bench.ask("cargo", &[], &get(other, "read"));
        assert!(told.starts_with("{\"Err\""), "{told}");
    }
}

#[test]
fn who_publishes_needs_leave_and_who_reads_gets_the_lesser_token() {
    let bench = stored(&[]);
    for operation in ["publish", "yank", "unyank", "owners", "an-operation-to-come"] {
        let (code, told, _) = bench.ask("cargo", &[], &get(INDEX_URL, operation));
        assert!(code == 0 && told.starts_with("{\"Err\":{\"kind\":\"other\",\"message\":\""), "{told}");
        assert!(told.contains("lanyard credentials update corp --tag publish") && !told.contains(CANARY), "{told}");
    }
    let values = [("service", "cargo"), ("index", INDEX_URL), ("api_key", "LNYCANARY-publisher")];
    bench.put("publisher", "api_key", &values, &["publish"]);
    bench.answers("cargo", &[], &get(INDEX_URL, "read"), 0, &token(CANARY));
    bench.answers("cargo", &[], &get(INDEX_URL, "publish"), 0, &token("LNYCANARY-publisher"));

    let alone = stored(&["publish"]);
    for operation in ["read", "publish"] {
        alone.answers("cargo", &[], &get(INDEX_URL, operation), 0, &token(CANARY));
    }
}

#[test]
fn what_cargo_signs_in_with_it_may_publish_with_and_forget() {
    let bench = Bench::new();
    let login = |token: &str| line(INDEX_URL, &format!(r#""kind":"login","token":"{token}","login-url":"https://x""#));
    let logout = line(INDEX_URL, r#""kind":"logout""#);
    bench.answers("cargo", &[], &logout, 0, NOT_FOUND);
    for secret in [CANARY, "LNYCANARY-second"] {
        bench.answers("cargo", &[], &login(secret), 0, "{\"Ok\":{\"kind\":\"login\"}}\n");
        bench.answers("cargo", &[], &get(INDEX_URL, "publish"), 0, &token(secret));
    }
    assert_eq!(bench.stored(), [("cargo".to_owned(), ["stored-by-cargo".to_owned()].into())]);
    bench.answers("cargo", &[], &logout, 0, "{\"Ok\":{\"kind\":\"logout\"}}\n");
    assert!(bench.stored().is_empty());
    // Nobody is asked for a token that did not come.
    for rest in [r#""kind":"login""#, r#""kind":"login","token":"""#, r#""kind":"login","token":null"#] {
        let (code, told, _) = bench.ask("cargo", &[], &line(INDEX_URL, rest));
        assert!(code == 0 && told.starts_with("{\"Err\":{\"kind\":\"other\""), "{told}");
    }
}

#[test]
fn what_the_user_stored_is_neither_replaced_nor_forgotten() {
    let bench = stored(&[]);
    let same = line(INDEX_URL, &format!(r#""kind":"login","token":"{CANARY}""#));
    bench.answers("cargo", &[], &same, 0, "{\"Ok\":{\"kind\":\"login\"}}\n");
    for rest in [r#""kind":"login","token":"another""#, r#""kind":"logout""#] {
        let (_, told, _) = bench.ask("cargo", &[], &line(INDEX_URL, rest));
        assert!(told.starts_with("{\"Err\":{\"kind\":\"other\""), "{told}");
    }
    bench.answers("cargo", &[], &get(INDEX_URL, "read"), 0, &token(CANARY));
}

#[test]
fn a_request_that_is_none_has_no_answer() {
    let bench = stored(&[]);
    let deep = format!(r#"{{"v":1,"args":{}{}}}"#, "[".repeat(40), "]".repeat(40));
    for text in ["", "{}", "[]", "null", r#"{"v":1}"#, r#"{"v":1,"registry":{},"kind":"get"}"#, "{\"v\":1", &deep] {
        bench.answers("cargo", &[], text, 1, "");
    }
    let unknown = "{\"Err\":{\"kind\":\"operation-not-supported\"}}\n";
    bench.answers("cargo", &[], &line(INDEX_URL, r#""kind":"rotate""#), 0, unknown);
    let later = get(INDEX_URL, "read").replace("\"v\":1", "\"v\":2");
    let (code, told, _) = bench.ask("cargo", &[], &later);
    assert!(code == 0 && told.contains("\"kind\":\"other\"") && !told.contains(CANARY), "{told}");
}

proptest! {
    #[test]
    fn any_line_is_a_request_or_not(text in "(\\PC|\"|\\{|\\}|\"v\":1|\"kind\":\"get\"|\"registry\":){0,30}") {
        let env = crate::os::Env::empty();
        let _ = HELPER.ask(&Call { arguments: &[], text: &text, env: &env });
    }

    #[test]
    fn any_index_is_taken_as_it_is(index in "[!#-\\[\\]-~]{1,60}") {
        let env = crate::os::Env::empty();
        let text = get(&index, "read");
        let ask = HELPER.ask(&Call { arguments: &[], text: &text, env: &env });
        let Ok(Ask::Get(want)) = ask else { panic!("a question") };
        let expected = if index == CRATES_IO.0 { CRATES_IO.1.to_owned() } else { index };
        prop_assert_eq!(want.fields, vec![(INDEX, Some(expected))]);
    }
}
