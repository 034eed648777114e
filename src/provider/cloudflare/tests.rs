//! Tests of Cloudflare.

use proptest::prelude::*;

use super::*;
use crate::error::Failure;
use crate::provider::api::tests::{
    Home, Server, answer, assert_cases, assert_checks, assert_common_failures, assert_marks, example, exported, now,
    said, told, with_net,
};

mod rotation;

const WRANGLER: &str = ".config/.wrangler/config/default.toml";
const ACCOUNT: &str = "023e105f4ecef8ad9ca31a8372d0c353";
/// A token of an account.
const OF_ACCOUNT: &str = "cfat_U8JZpDE0iGXlD6gNCFbaEPFjbD0kH8Oool8DklZD5a9c21f7";
/// A token from before there were prefixes.
const OLD: &str = "8M7wS6hCpXVc-DoRnPPY_UCWPgy8aea4Wy6kCe5T";

/// A credential with this token.
fn token(token: &str, more: &[(&str, &str)]) -> Credential {
    let values: Vec<(&str, &str)> = [("api_token", token)].into_iter().chain(more.iter().copied()).collect();
    crate::provider::api::tests::credential(&PROVIDER, &values)
}

fn checked(status: &str) -> String {
    format!(
        r#"{{"result":{{"id":"ed17574386854bf78a67040be0a770b0","status":"{status}","not_before":"2018-07-01T05:20:00Z",
        "expires_on":"2026-12-31T00:00:00Z"}},"success":true,"errors":[],
        "messages":[{{"code":10000,"message":"This API Token is valid and active","type":null}}]}}"#
    )
}

fn fault(code: i64) -> String {
    format!(r#"{{"success":false,"errors":[{{"code":{code},"message":"no"}}],"messages":[],"result":null}}"#)
}

#[test]
fn each_answer_comes_to_its_outcome() {
    let credential = example(&PROVIDER, &[]);
    let chained = r#"{"success":false,"errors":[{"code":6003,"message":"Invalid request headers",
        "error_chain":[{"code":6111,"message":"Invalid format for Authorization header"}]}],"messages":[],"result":null}"#;
    assert_cases(
        &PROVIDER,
        &credential,
        &[
            (200, &checked("active"), Outcome::Valid, None),
            (200, &checked("expired"), Outcome::Expired, Some("expired")),
            (200, &checked("disabled"), Outcome::Invalid, Some("disabled")),
            (200, &checked("something new"), Outcome::Unexpected, None),
            (401, &fault(1000), Outcome::Invalid, Some("1000")),
            (400, &fault(1000), Outcome::Invalid, Some("1000")),
            (400, chained, Outcome::Invalid, Some("6003")),
            (401, &fault(10000), Outcome::Invalid, Some("10000")),
            (403, &fault(10000), Outcome::Insufficient, Some("10000")),
            (403, &fault(9109), Outcome::Insufficient, Some("9109")),
            (400, &fault(1001), Outcome::Unexpected, Some("1001")),
            (403, &fault(4242), Outcome::Unexpected, Some("4242")),
            (429, &fault(10013), Outcome::RateLimited, None),
            (403, &fault(971), Outcome::RateLimited, Some("971")),
            (500, &fault(1000), Outcome::Unreachable, None),
            (200, &fault(1000), Outcome::Unexpected, Some("1000")),
        ],
    );
    for credential in [credential, token(OLD, &[]), token(OF_ACCOUNT, &[("account_id", ACCOUNT)]), token("a.b", &[])] {
        assert_common_failures(&PROVIDER, &credential);
    }
}

#[test]
fn a_good_token_tells_its_id_and_its_end() {
    let verdict = said(&PROVIDER, &example(&PROVIDER, &[]), &|_: Request| Ok(answer(200, &checked("active"))));
    assert_eq!(verdict.identity.as_deref(), Some("Token ed17574386854bf78a67040be0a770b0"));
    assert_eq!(verdict.expires.unwrap().to_rfc3339(), "2026-12-31T00:00:00+00:00");
    let endless = r#"{"result":{"id":"x","status":"active"},"success":true,"errors":[],"messages":[]}"#;
    let verdict = said(&PROVIDER, &example(&PROVIDER, &[]), &|_: Request| Ok(answer(200, endless)));
    assert_eq!((verdict.outcome, verdict.expires), (Outcome::Valid, None));
}

/// Where a token is asked about, one after the other, when no place knows it.
fn asked_about(credential: &Credential) -> Vec<String> {
    let server = Server::new(|_: &str, _: &Request| answer(401, &fault(1000)));
    assert_eq!(said(&PROVIDER, credential, &server).outcome, Outcome::Invalid);
    server.lines()
}

#[test]
fn a_token_is_asked_about_where_it_is_kept() {
    let (user, account) =
        ("GET /client/v4/user/tokens/verify", "GET /client/v4/accounts/023e105f4ecef8ad9ca31a8372d0c353/tokens/verify");
    let known = [("account_id", ACCOUNT)];
    assert_eq!(asked_about(&example(&PROVIDER, &known)), [user]);
    assert_eq!(asked_about(&token(OF_ACCOUNT, &known)), [account]);
    assert_eq!(asked_about(&token(OLD, &[])), [user]);
    assert_eq!(asked_about(&token(OLD, &known)), [user, account]);
    // An old token that the account knows is good, whatever the user's list says.
    let server = Server::new(|line: &str, request: &Request| {
        assert_eq!(request.headers["authorization"], format!("Bearer {OLD}"));
        if line == account { answer(200, &checked("active")) } else { answer(401, &fault(1000)) }
    });
    assert_eq!(said(&PROVIDER, &token(OLD, &known), &server).outcome, Outcome::Valid);
}

#[test]
fn an_accounts_token_needs_the_account() {
    let missing = said(&PROVIDER, &token(OF_ACCOUNT, &[]), &|_: Request| unreachable!());
    assert_eq!(missing.outcome, Outcome::Unexpected);
    assert!(missing.next.unwrap().contains("--field account_id=ID"));
    let complete = |variables: &[(&str, &str)]| Home::new(&[], variables).complete(&PROVIDER, &[("api_token", OF_ACCOUNT)]);
    let failure = complete(&[]).unwrap_err();
    assert_eq!(failure.to_string(), "the Cloudflare API token lacks account_id");
    assert!(failure.mend().unwrap().contains("--account-id"));
    let raw = complete(&[("CF_ACCOUNT_ID", ACCOUNT)]).unwrap();
    assert_eq!(raw.get("account_id").unwrap().expose(), ACCOUNT);
}

#[test]
fn a_session_of_wrangler_is_asked_whose_it_is() {
    let session = token("QvzTT.mQlEXhhB", &[]);
    let server = Server::new(|line: &str, _: &Request| {
        assert_eq!(line, "GET /client/v4/user");
        answer(200, r#"{"success":true,"errors":[],"messages":[],"result":{"id":"7c5d","email":"user@example.com"}}"#)
    });
    assert_eq!(said(&PROVIDER, &session, &server).identity.as_deref(), Some("user@example.com"));
    let refused = said(&PROVIDER, &session, &|_: Request| Ok(answer(401, &fault(10000))));
    assert_eq!(refused.outcome, Outcome::Invalid);
    assert!(refused.next.unwrap().starts_with("a session of wrangler lasts for a short time"));
    let mut ended = token("QvzTT.mQlEXhhB", &[]);
    ended.metadata.expires = Some(now());
    let verdict = said(&PROVIDER, &ended, &|_: Request| Ok(answer(401, &fault(10000))));
    assert_eq!(verdict.outcome, Outcome::Expired);
}

#[test]
fn variables_come_before_what_wrangler_keeps() {
    let file = "api_token = \"OLD\"\noauth_token = \"a.b\"\nrefresh_token = \"r\"\n\
                expiration_time = \"2023-11-14T23:00:00.000Z\"\nscopes = [ \"account:read\" ]\n";
    let variables = [("CLOUDFLARE_API_TOKEN", "V"), ("CF_API_TOKEN", "W"), ("CLOUDFLARE_ACCOUNT_ID", ACCOUNT)];
    let found = Home::new(&[(WRANGLER, file)], &variables).find(&PROVIDER, &[]).unwrap();
    let id = format!("account_id={ACCOUNT} api_token=");
    assert_eq!(
        told(&found),
        [
            format!("$CLOUDFLARE_API_TOKEN: {id}V"),
            format!("$CF_API_TOKEN: {id}W"),
            format!("~/.config/.wrangler/config/default.toml api_token: {id}OLD"),
            format!("~/.config/.wrangler/config/default.toml oauth_token: {id}a.b"),
        ]
    );
    assert_eq!(found[3].expires.unwrap().to_rfc3339(), "2023-11-14T23:00:00+00:00");
    let same = [("CLOUDFLARE_API_TOKEN", "V"), ("CF_API_TOKEN", "V")];
    assert_eq!(told(&Home::new(&[], &same).find(&PROVIDER, &[]).unwrap()), ["$CLOUDFLARE_API_TOKEN: api_token=V"]);
}

#[test]
fn wranglers_own_folder_wins_over_the_configuration_folder() {
    let one = "api_token = \"own\"\n";
    let home = Home::new(&[(".wrangler/config/default.toml", one), (WRANGLER, "api_token = \"xdg\"\n")], &[]);
    assert_eq!(told(&home.find(&PROVIDER, &[]).unwrap()), ["~/.wrangler/config/default.toml api_token: api_token=own"]);
    // The folder is there, and nothing in it: wrangler looks no further.
    let home = Home::new(&[(".wrangler/other", ""), (WRANGLER, one)], &[]);
    assert!(home.find(&PROVIDER, &[]).unwrap().is_empty());
    let broken = Home::new(&[(WRANGLER, "api_token = 1")], &[]).find(&PROVIDER, &[]).unwrap_err();
    assert!(broken.to_string().contains("line 1 is no TOML of the expected form"), "{broken}");
}

#[test]
fn it_is_handed_over_as_wrangler_and_terraform_read_it() {
    let credential = example(&PROVIDER, &[("account_id", ACCOUNT)]);
    assert_eq!(
        exported(&PROVIDER, &credential),
        [
            &format!("CLOUDFLARE_API_TOKEN={}", FIELDS[0].example),
            &format!("CLOUDFLARE_ACCOUNT_ID={ACCOUNT}"),
            "-CLOUDFLARE_API_KEY",
            "-CLOUDFLARE_EMAIL",
            "-CF_API_KEY",
            "-CF_EMAIL",
        ]
    );
    assert_eq!(PROVIDER.hosts(&credential.metadata), ["api.cloudflare.com"]);
}

#[test]
fn tokens_are_recognised_and_other_keys_refused() {
    let user = FIELDS[0].example;
    let text = format!("a {user} b\n\"{OF_ACCOUNT}\"\nCF_API_TOKEN='{OLD}'\nkey = {OLD}\n{user}0\n");
    assert_marks(&PROVIDER, &text, &[user, OF_ACCOUNT, OLD]);
    let global = "144c9defac04969c7bfad8efaa8ea194a6f1d";
    let origin = format!("v1.0-{}", "0".repeat(24));
    assert_checks(
        &PROVIDER,
        &[("api_token", &global[..37]), ("api_token", "cfk_abc"), ("api_token", &origin), ("account_id", "a/b")],
    );
}

proptest! {
    #[test]
    fn no_file_makes_the_reader_fall_over(text in "(?s).{0,200}") {
        let _ = Home::new(&[(WRANGLER, &text)], &[]).find(&PROVIDER, &[]);
    }

    #[test]
    fn a_token_that_wrangler_wrote_is_read(value in "[A-Za-z0-9_.-]{1,60}") {
        let file = format!("oauth_token = \"{value}\"\n");
        let found = Home::new(&[(WRANGLER, &file)], &[]).find(&PROVIDER, &[]).unwrap();
        prop_assert_eq!(found[0].raw.get("api_token").unwrap().expose(), value);
    }
}
