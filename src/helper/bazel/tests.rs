use proptest::prelude::*;

use super::*;
use crate::credential::{Address, Material};
use crate::helper::tests::{Bench, CANARY, OTHERS, now};
use crate::secret::Secret;

const NOTHING: &str = "{\"headers\":{}}\n";

fn question(uri: &str) -> String {
    serde_json::json!({ "uri": uri, "more": { "to": ["come"] } }).to_string()
}

#[test]
fn headers_are_lists_for_what_a_credential_was_stored_for() {
    let key = [("service", "own"), ("endpoint", "https://good.example/cache"), ("api_key", CANARY)];
    let bench = Bench::with("api_key", &key);
    let bearer = format!("{{\"headers\":{{\"Authorization\":[\"Bearer {CANARY}\"]}}}}\n");
    for uri in ["https://good.example/cache", "https://good.example/cache/x?y=1", "https://GOOD.example:443/cache/"] {
        bench.answers("bazel", &["get"], &question(uri), 0, &bearer);
    }
    for uri in ["https://good.example/cached", "https://good.example/", "https://good.example/x/cache", "grpcs://good.example/cache", "gs://good.example/cache"] {
        bench.answers("bazel", &["get"], &question(uri), 0, NOTHING);
    }
    let named = Bench::with("api_key", &[("service", "own"), ("endpoint", "https://good.example"), ("header", "x-api-key"), ("api_key", CANARY)]);
    named.answers("bazel", &["get"], &question("https://good.example/x"), 0, &format!("{{\"headers\":{{\"x-api-key\":[\"{CANARY}\"]}}}}\n"));
    let login = Bench::with("username_password", &[("service", "own"), ("endpoint", "https://good.example"), ("username", "alice"), ("password", "pw")]);
    login.answers("bazel", &["get"], &question("https://good.example/x"), 0, "{\"headers\":{\"Authorization\":[\"Basic YWxpY2U6cHc=\"]}}\n");
}

#[test]
fn another_host_needs_nothing() {
    let bench = Bench::with("api_key", &[("service", "own"), ("endpoint", "https://good.example"), ("api_key", CANARY)]);
    for host in OTHERS {
        bench.answers("bazel", &["get"], &question(&format!("{host}/x")), 0, NOTHING);
    }
}

#[test]
fn what_ends_is_told_with_its_end() {
    let issued = Issued { material: Material::Bearer(Secret::new("t".into())), expires: Some(now()) };
    let told = String::from_utf8(found(&issued).unwrap().stdout.to_vec()).unwrap();
    assert_eq!(told, "{\"headers\":{\"Authorization\":[\"Bearer t\"]},\"expires\":\"2027-01-15T08:00:00Z\"}\n");
}

#[test]
fn what_is_no_question_fails() {
    let bench = Bench::new();
    let deep = format!("{{\"uri\":\"https://x/\",\"a\":{}{}}}", "[".repeat(40), "]".repeat(40));
    for text in ["", "{}", "[]", "{\"uri\":1}", "{\"uri\":\"https://x/\"", &deep] {
        let (code, told, talk) = bench.ask("bazel", &["get"], text);
        assert!(code == 1 && told.is_empty() && !talk.is_empty(), "{text}");
    }
    for words in [&[][..], &["set"], &["get", "more"]] {
        let (code, told, talk) = bench.ask("bazel", words, &question("https://x/"));
        assert!(code == 1 && told.is_empty() && !talk.is_empty(), "{words:?}");
    }
}

proptest! {
    #[test]
    fn any_text_is_a_question_or_not(text in "(\\PC|\"|\\{|\\}|\"uri\":|https://){0,30}") {
        let env = crate::os::Env::empty();
        let _ = HELPER.ask(&Call { arguments: &["get".into()], text: &text, env: &env });
    }

    #[test]
    fn any_address_is_asked_for_as_it_is_or_not_at_all(uri in "https://[a-z0-9.-]{1,20}(:[0-9]{1,5})?/[ -~]{0,20}") {
        let env = crate::os::Env::empty();
        let ask = HELPER.ask(&Call { arguments: &["get".into()], text: &question(&uri), env: &env });
        if let Ok(Ask::Get(want)) = ask {
            prop_assert_eq!(want.at, Address::of_text(&uri));
        }
    }
}
