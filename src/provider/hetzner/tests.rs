//! Tests of Hetzner Cloud.

use proptest::prelude::*;

use super::*;
use crate::error::Failure;
use crate::provider::Outcome;
use crate::provider::api::tests::{
    Home, assert_cases, assert_checks, assert_common_failures, assert_marks, example, exported, told, written,
};

const FILE: &str = ".config/hcloud/cli.toml";
const ONE: &str = "active_context = \"a\"\n[[contexts]]\nname = \"a\"\ntoken = \"TA\"\n";

#[test]
fn each_answer_comes_to_its_outcome() {
    let refused = |code: &str| format!(r#"{{"error":{{"code":"{code}","message":"no","details":null}}}}"#);
    let known = r#"{"locations":[{"id":1,"name":"fsn1"}],"meta":{"pagination":{"page":1}}}"#;
    let credential = example(&PROVIDER, &[]);
    assert_cases(
        &PROVIDER,
        &credential,
        &[
            (200, known, Outcome::Valid, None),
            (401, &refused("unauthorized"), Outcome::Invalid, Some("unauthorized")),
            (403, &refused("forbidden"), Outcome::Insufficient, Some("forbidden")),
            (403, &refused("token_readonly"), Outcome::Insufficient, Some("token_readonly")),
            (403, &refused("something_new"), Outcome::Unexpected, Some("something_new")),
            (409, &refused("conflict"), Outcome::Unexpected, Some("conflict")),
            (410, &refused("deprecated_api_endpoint"), Outcome::Unexpected, Some("deprecated_api_endpoint")),
            (429, &refused("rate_limit_exceeded"), Outcome::RateLimited, None),
            (503, &refused("unavailable"), Outcome::Unreachable, None),
            (200, &refused("unauthorized"), Outcome::Unexpected, Some("unauthorized")),
        ],
    );
    assert_common_failures(&PROVIDER, &credential);
}

#[test]
fn the_variable_comes_first_and_then_the_active_context() {
    let two = format!("{ONE}[[contexts]]\nname = \"b\"\ntoken = \"TB\"\n[[contexts]]\nname = \"empty\"\n");
    let home = |variables: &[(&str, &str)]| Home::new(&[(FILE, &two), ("other.toml", ONE)], variables);
    let (a, b) = (
        "~/.config/hcloud/cli.toml [a] as hetzner-a: api_token=TA",
        "~/.config/hcloud/cli.toml [b] as hetzner-b: api_token=TB",
    );
    let found = |variables: &[(&str, &str)], inputs: &[(&str, &str)]| {
        told(&home(variables).find(&PROVIDER, inputs).unwrap())
    };
    assert_eq!(found(&[], &[]), [a, b]);
    assert_eq!(found(&[("HCLOUD_CONTEXT", "b")], &[]), [b, a]);
    assert_eq!(found(&[("HCLOUD_TOKEN", "TV")], &[]), ["$HCLOUD_TOKEN: api_token=TV", a, b]);
    assert_eq!(found(&[("HCLOUD_TOKEN", "TV")], &[("hcloud-context", "b")]), [b]);
    assert_eq!(found(&[("HCLOUD_CONFIG", "../other.toml")], &[]), ["~/work/../other.toml [a]: api_token=TA"]);
    assert!(Home::new(&[], &[]).find(&PROVIDER, &[]).unwrap().is_empty());
}

#[test]
fn a_context_that_is_named_and_missing_is_no_other() {
    let home = Home::new(&[(FILE, ONE)], &[]);
    let failure = home.find(&PROVIDER, &[("hcloud-context", "b")]).unwrap_err();
    assert_eq!(failure.to_string(), "there is no context b in ~/.config/hcloud/cli.toml");
    assert_eq!(failure.mend().as_deref(), Some("`hcloud context list` shows what there is"));
    let failure = Home::new(&[(FILE, ONE)], &[("HCLOUD_CONTEXT", "b")]).find(&PROVIDER, &[]).unwrap_err();
    assert!(matches!(failure, ProviderError::NotThere { .. }));
}

#[test]
fn a_broken_file_is_told() {
    let failure = Home::new(&[(FILE, "contexts = 1\n")], &[]).find(&PROVIDER, &[]).unwrap_err();
    assert_eq!(
        failure.to_string(),
        "~/.config/hcloud/cli.toml is no usable configuration of hcloud: line 1 is no TOML of the expected form"
    );
}

#[test]
fn the_address_of_the_variable_becomes_the_credentials_own() {
    let home = Home::new(&[], &[("HCLOUD_ENDPOINT", "https://proxy.test/v1")]);
    let raw = home.complete(&PROVIDER, &[]).unwrap();
    assert_eq!(raw.get("endpoint").unwrap().expose(), "https://proxy.test/v1");
    let raw = home.complete(&PROVIDER, &[("endpoint", "https://own.test")]).unwrap();
    assert_eq!(raw.get("endpoint").unwrap().expose(), "https://own.test");
    let credential = example(&PROVIDER, &[("endpoint", "https://proxy.test/v1")]);
    assert_eq!(PROVIDER.hosts(&credential.metadata), ["proxy.test"]);
    assert_eq!(PROVIDER.hosts(&example(&PROVIDER, &[]).metadata), ["api.hetzner.cloud"]);
    let bad = Home::new(&[], &[("HCLOUD_ENDPOINT", "http://proxy.test")]).complete(&PROVIDER, &[]);
    assert!(matches!(bad, Err(ProviderError::BadEndpoint { .. })));
}

#[test]
fn it_is_handed_over_as_hcloud_reads_it() {
    let token = FIELDS[0].example;
    assert_eq!(exported(&PROVIDER, &example(&PROVIDER, &[])), [format!("HCLOUD_TOKEN={token}")]);
    let own = example(&PROVIDER, &[("endpoint", "https://own.test")]);
    assert_eq!(exported(&PROVIDER, &own)[1], "HCLOUD_ENDPOINT=https://own.test");
    let file = written(&PROVIDER, "hcloud", &own).unwrap();
    let found = Home::new(&[(FILE, file.expose())], &[]).find(&PROVIDER, &[]).unwrap();
    assert_eq!(told(&found), [format!("~/.config/hcloud/cli.toml [mine]: api_token={token}")]);
    assert!(written(&PROVIDER, "ovh-conf", &own).is_none());
}

#[test]
fn tokens_are_recognised_by_their_names_and_half_a_token_is_refused() {
    let token = FIELDS[0].example;
    let text = format!("HCLOUD_TOKEN={token}\nhcloud_token = \"{token}\"\nOTHER={token}\nHCLOUD_TOKEN={token}x\n");
    assert_marks(&PROVIDER, &text, &[token, token]);
    let long = format!("{token}x");
    let odd = format!("{}-", &token[1..]);
    assert_checks(&PROVIDER, &[("api_token", &token[1..]), ("api_token", &long), ("api_token", &odd)]);
}

#[test]
fn it_says_how_a_token_is_replaced() {
    let failure = PROVIDER.rotation().unwrap().can(&example(&PROVIDER, &[]).metadata).unwrap_err();
    assert_eq!(failure.to_string(), "Hetzner Cloud makes API tokens in its console alone");
    assert!(failure.mend().unwrap().contains("lanyard credentials update"));
}

proptest! {
    #[test]
    fn no_file_makes_the_reader_fall_over(text in "(?s).{0,200}") {
        let _ = Home::new(&[(FILE, &text)], &[]).find(&PROVIDER, &[]);
    }
}
