use proptest::prelude::*;

use super::*;
use crate::helper::tests::{Bench, CANARY, OTHERS};

fn bench() -> Bench {
    Bench::with("api_key", &[("service", "terraform"), ("endpoint", "https://good.example"), ("api_key", CANARY)])
}

#[test]
fn the_token_of_the_very_host_is_handed_over() {
    let bench = bench();
    let told = format!("{{\"token\":\"{CANARY}\"}}\n");
    for words in [&["get", "good.example"][..], &["get", "GOOD.example"], &["--profile", "prod", "get", "good.example"]] {
        bench.answers("terraform", words, "", 0, &told);
    }
    for other in OTHERS {
        let host = other.split_once("://").map_or(other, |(_, host)| host);
        if host != "good.example" {
            let (code, told, talk) = bench.ask("terraform", &["get", host], "");
            assert!((code, &*told) == (0, "{}\n") || (code, &*told) == (1, ""), "{host}: {code} {told}");
            assert!(code == 0 || !talk.is_empty(), "a failure is told");
        }
    }
    // A name outside ASCII comes in Punycode, which is another name than the one with the same looks.
    bench.answers("terraform", &["get", "xn--god-fqa.example"], "", 0, "{}\n");
    let with_port = Bench::with("api_key", &[("service", "t"), ("endpoint", "https://good.example:8443"), ("api_key", CANARY)]);
    with_port.answers("terraform", &["get", "good.example:8443"], "", 0, &told);
    with_port.answers("terraform", &["get", "good.example"], "", 0, "{}\n");
    let official = Bench::with("api_key", &[("service", "terraform"), ("api_key", CANARY)]);
    official.answers("terraform", &["get", "app.terraform.io"], "", 0, &told);
    // What is carried in another way than as a bearer token is none.
    let basic = Bench::with("api_key", &[("service", "x"), ("header", "x-api-key"), ("endpoint", "https://good.example"), ("api_key", CANARY)]);
    basic.answers("terraform", &["get", "good.example"], "", 0, "{}\n");
}

#[test]
fn what_terraform_gives_is_kept_and_forgotten() {
    let bench = Bench::new();
    for (number, host) in ["good.example", "other.example:8443", "third.example"].into_iter().enumerate() {
        bench.answers("terraform", &["forget", host], "", 0, "");
        bench.answers("terraform", &["store", host], &format!("{{\"token\":\"{CANARY}\"}}"), 0, "");
        bench.answers("terraform", &["get", host], "", 0, &format!("{{\"token\":\"{CANARY}\"}}\n"));
        bench.answers("terraform", &["store", host], "{\"token\":\"LNYCANARY-second\"}\n", 0, "");
        bench.answers("terraform", &["get", host], "", 0, "{\"token\":\"LNYCANARY-second\"}\n");
        assert_eq!(bench.stored().len(), number + 1);
    }
    for host in ["good.example", "other.example:8443", "third.example"] {
        bench.answers("terraform", &["forget", host], "", 0, "");
        bench.answers("terraform", &["get", host], "", 0, "{}\n");
    }
    assert!(bench.stored().is_empty());
}

#[test]
fn what_cannot_be_kept_whole_is_refused_with_a_sentence() {
    let bench = Bench::new();
    let deep = format!("{{\"token\":\"x\",\"a\":{}{}}}", "[".repeat(40), "]".repeat(40));
    for text in ["", "{}", "{\"token\":1}", "{\"token\":\"x\",\"more\":1}", "[]", "{\"token\":\"x\"", &deep, "{\"token\":\"\"}"] {
        let (code, told, talk) = bench.ask("terraform", &["store", "good.example"], text);
        assert!(code != 0 && told.is_empty() && !talk.is_empty(), "{text}");
    }
    for words in [&[][..], &["get"], &["list", "good.example"], &["get", "a b"], &["get", ""]] {
        let (code, told, talk) = bench.ask("terraform", words, "");
        assert!(code != 0 && told.is_empty() && !talk.is_empty(), "{words:?}");
    }
    assert!(bench.stored().is_empty());
}

#[test]
fn what_the_user_stored_is_neither_replaced_nor_forgotten() {
    let bench = bench();
    bench.answers("terraform", &["store", "good.example"], &format!("{{\"token\":\"{CANARY}\"}}"), 0, "");
    for (words, text) in [(["store", "good.example"], "{\"token\":\"another\"}"), (["forget", "good.example"], "")] {
        let (code, _, talk) = bench.ask("terraform", &words, text);
        assert!(code == 1 && talk.contains("mine"), "{talk}");
    }
    bench.answers("terraform", &["get", "good.example"], "", 0, &format!("{{\"token\":\"{CANARY}\"}}\n"));
}

proptest! {
    #[test]
    fn any_call_is_understood_or_not(words in prop::collection::vec("(get|store|forget|\\PC{0,10})", 0..4), text in "\\PC{0,40}") {
        let env = crate::os::Env::empty();
        let _ = HELPER.ask(&Call { arguments: &words, text: &text, env: &env });
    }
}
