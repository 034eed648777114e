//! Tests of Verda.

use std::sync::atomic::{AtomicBool, Ordering};

use proptest::prelude::*;

use super::*;
use crate::error::Failure;
use crate::provider::api::tests::{
    Home, Server, answer, assert_cases, assert_checks, assert_common_failures, assert_marks, example, exported, now,
    said, told, with_net, written,
};

const FILE: &str = ".verda/credentials";
const CONFIG: &str = ".verda/config.yaml";
const TOKEN: &str = r#"{"access_token":"AT","refresh_token":"RT","token_type":"Bearer","expires_in":3600,"scope":"fullAccess"}"#;
const BALANCE: &str = r#"{"amount":12.3,"currency":"usd"}"#;

fn refused(code: &str, message: &str) -> String {
    format!(r#"{{"code":"{code}","message":"{message}"}}"#)
}

#[test]
fn each_answer_to_the_token_call_comes_to_its_outcome() {
    let credential = example(&PROVIDER, &[]);
    assert_cases(
        &PROVIDER,
        &credential,
        &[
            (401, &refused("unauthorized_request", "Invalid client"), Outcome::Invalid, Some("unauthorized_request")),
            (401, r#"{"error":"invalid_client"}"#, Outcome::Invalid, Some("invalid_client")),
            (400, r#"{"error":"invalid_client","error_description":"no"}"#, Outcome::Invalid, Some("invalid_client")),
            (400, &refused("invalid_request", "client_id is missing"), Outcome::Unexpected, Some("invalid_request")),
            (403, &refused("forbidden", "no"), Outcome::Insufficient, Some("forbidden")),
            (404, &refused("not_found", "no"), Outcome::Unexpected, Some("not_found")),
            (429, &refused("too_many", "no"), Outcome::RateLimited, None),
            (500, &refused("internal", "no"), Outcome::Unreachable, None),
            (200, r#"{"access_token":""}"#, Outcome::Unexpected, None),
        ],
    );
    assert_common_failures(&PROVIDER, &credential);
}

#[test]
fn each_answer_to_the_probe_comes_to_its_outcome() {
    let credential = example(&PROVIDER, &[]);
    let forbidden = refused("forbidden", "no");
    let cases = [
        (200, BALANCE, Outcome::Valid, None),
        (403, &forbidden, Outcome::Insufficient, Some("forbidden")),
        // The client was accepted a moment ago, so this is no word about it.
        (401, r#"{"code":"unauthorized_request"}"#, Outcome::Unexpected, Some("unauthorized_request")),
        (403, "<html>", Outcome::Unexpected, None),
        (200, "<html>", Outcome::Unexpected, None),
        (503, "", Outcome::Unreachable, None),
        (429, "", Outcome::RateLimited, None),
    ];
    for (status, body, outcome, code) in cases {
        let server = Server::new(|line: &str, request: &Request| {
            if line == "POST /v1/oauth2/token" {
                return answer(200, TOKEN);
            }
            assert_eq!((line, &request.headers["authorization"]), ("GET /v1/balance", &"Bearer AT".parse().unwrap()));
            answer(status, body)
        });
        let verdict = said(&PROVIDER, &credential, &server);
        assert_eq!((verdict.outcome, verdict.error.as_deref()), (outcome, code), "{status} {body}");
    }
}

#[test]
fn a_good_client_tells_itself_its_scopes_and_no_end() {
    let server = Server::new(|line: &str, _: &Request| {
        if line.starts_with("POST") { answer(200, TOKEN) } else { answer(200, BALANCE) }
    });
    let verdict = said(&PROVIDER, &example(&PROVIDER, &[]), &server);
    assert_eq!(verdict.identity.as_deref(), Some("Client k3bq****q2Yc"));
    assert_eq!((verdict.scopes, verdict.expires), (vec!["fullAccess".to_owned()], None));
    let (id, secret) = (FIELDS[0].example, FIELDS[1].example);
    let sent = serde_json::json!({"grant_type": "client_credentials", "client_id": id, "client_secret": secret});
    assert_eq!(server.body("POST /v1/oauth2/token"), sent);
}

#[test]
fn a_server_that_wants_a_form_gets_one() {
    let messages = ["grant_type is not specified", "Unsupported grant type", "Body is not valid JSON"];
    for message in messages {
        let first = AtomicBool::new(true);
        let server = Server::new(|line: &str, request: &Request| {
            let form = request.headers["content-type"] == "application/x-www-form-urlencoded";
            assert_eq!((line, form), ("POST /v1/oauth2/token", !first.swap(false, Ordering::SeqCst)));
            if form { answer(200, TOKEN) } else { answer(400, &refused("invalid_request", message)) }
        });
        let credential = example(&PROVIDER, &[]);
        let issued = with_net(&server, |net| PROVIDER.material(&credential, None, net)).unwrap();
        assert!(matches!(&issued.material, Material::Bearer(token) if token.expose() == "AT"));
        assert_eq!(issued.expires, Some(now() + chrono::Duration::hours(1)));
        let form = &server.asked.lock().unwrap()[1].1;
        let expected = format!(
            "grant_type=client_credentials&client_id={}&client_secret={}",
            FIELDS[0].example, FIELDS[1].example
        );
        assert_eq!(*form, expected);
    }
}

#[test]
fn an_odd_lifetime_is_no_lifetime() {
    for seconds in ["-9223372036854775808", "9223372036854775807", "null"] {
        let token = TOKEN.replace("3600", seconds);
        let issued = with_net(&|_: Request| Ok(answer(200, &token)), |net| {
            PROVIDER.material(&example(&PROVIDER, &[]), None, net)
        });
        assert_eq!(issued.unwrap().expires, None, "{seconds}");
    }
}

fn profile(name: &str, id: &str) -> String {
    format!("[{name}]\nverda_base_url = https://{id}.test/v1\nverda_client_id = {id}\nverda_client_secret = s-{id}\n")
}

#[test]
fn each_value_comes_from_the_first_place_that_has_it() {
    let file = profile("default", "d") + &profile("prod", "p") + "[s3]\nverda_s3_secret_key = x\n";
    let found = |config: &str, variables: &[(&str, &str)], inputs: &[(&str, &str)]| {
        told(&Home::new(&[(FILE, &file), (CONFIG, config)], variables).find(&PROVIDER, inputs).unwrap())
    };
    let d = "~/.verda/credentials [default]: client_id=d client_secret=s-d endpoint=https://d.test/v1";
    let p = "~/.verda/credentials [prod] as verda-prod: client_id=p client_secret=s-p endpoint=https://p.test/v1";
    assert_eq!(found("", &[], &[]), [d, p]);
    assert_eq!(found("auth:\n  profile: prod\n", &[("VERDA_PROFILE", "default")], &[]), [p, d]);
    assert_eq!(found("", &[("VERDA_PROFILE", "prod")], &[]), [p, d]);
    let pair = [("VERDA_CLIENT_ID", "v"), ("VERDA_CLIENT_SECRET", "s-v")];
    assert!(found("", &pair, &[])[0].ends_with("client_id=v client_secret=s-v endpoint=https://d.test/v1"));
    assert_eq!(found("", &pair, &[("verda-profile", "prod")]), [p]);
    let config = "base-url: https://c.test/v1\nauth:\n  client-id: c\n  client-secret: s-c\n";
    let c = "~/.verda/config.yaml auth.client-secret: client_id=c client_secret=s-c endpoint=https://c.test/v1";
    assert_eq!(found(config, &pair, &[]), [c, p]);
    let mixed = found("", &[("VERDA_CLIENT_ID", "v")], &[]);
    assert_eq!(mixed[0], d.replace("client_id=d", "client_id=v"));
    let old = Home::new(&[], &[("DATACRUNCH_CLIENT_ID", "o"), ("DATACRUNCH_CLIENT_SECRET", "s-o")]);
    assert!(told(&old.find(&PROVIDER, &[]).unwrap())[0].ends_with("client_id=o client_secret=s-o"));
}

#[test]
fn the_files_are_where_the_variables_say() {
    let file = profile("default", "d");
    let files = [("elsewhere/credentials", file.as_str()), ("one.ini", file.as_str())];
    let found = |variables: &[(&str, &str)]| told(&Home::new(&files, variables).find(&PROVIDER, &[]).unwrap()).concat();
    assert!(found(&[("VERDA_HOME", "../elsewhere")]).starts_with("~/work/../elsewhere/credentials [default]: "));
    assert!(found(&[("VERDA_SHARED_CREDENTIALS_FILE", "~/one.ini")]).starts_with("~/one.ini [default]: "));
    assert_eq!(found(&[]), "");
}

#[test]
fn a_profile_that_is_named_and_missing_is_no_other_and_a_broken_file_is_told() {
    let file = profile("default", "d");
    let failure = |files: &[(&str, &str)], variables: &[(&str, &str)], inputs: &[(&str, &str)]| {
        Home::new(files, variables).find(&PROVIDER, inputs).unwrap_err()
    };
    let named = failure(&[(FILE, &file)], &[], &[("verda-profile", "x")]);
    assert_eq!(named.to_string(), "there is no profile x in ~/.verda/credentials");
    assert!(named.mend().unwrap().contains("--verda-profile"));
    failure(&[(FILE, &file)], &[("VERDA_PROFILE", "x")], &[]);
    let broken = failure(&[(FILE, "[default\n")], &[], &[]).to_string();
    assert_eq!(broken, "~/.verda/credentials is no usable credentials file of Verda: line 1 has a [ without its ]");
    let broken = failure(&[(CONFIG, "auth: [SECRET")], &[], &[]).to_string();
    assert!(broken.contains("is no YAML of the expected form") && !broken.contains("SECRET"), "{broken}");
}

#[test]
fn it_is_handed_over_as_the_cli_reads_it() {
    let (id, secret) = (FIELDS[0].example, FIELDS[1].example);
    let credential = example(&PROVIDER, &[("endpoint", "https://own.test:8080/v1")]);
    let expected = [format!("VERDA_CLIENT_ID={id}"), format!("VERDA_CLIENT_SECRET={secret}")];
    assert_eq!(exported(&PROVIDER, &credential), expected);
    let file = written(&PROVIDER, "verda-credentials", &credential).unwrap();
    let found = told(&Home::new(&[(FILE, file.expose())], &[]).find(&PROVIDER, &[]).unwrap());
    let values = format!("client_id={id} client_secret={secret} endpoint=https://own.test:8080/v1");
    assert_eq!(found, [format!("~/.verda/credentials [default]: {values}")]);
    assert_eq!(PROVIDER.hosts(&credential.metadata), ["own.test:8080"]);
    assert_eq!(PROVIDER.hosts(&example(&PROVIDER, &[]).metadata), ["api.verda.com"]);
}

#[test]
fn secrets_are_recognised_by_their_names() {
    let secret = FIELDS[1].example;
    let text = format!("verda_client_secret = {secret}\nexport VERDA_CLIENT_SECRET='{secret}'\nother = {secret}\n");
    assert_marks(&PROVIDER, &text, &[secret, secret]);
    assert_checks(&PROVIDER, &[("endpoint", "http://api.verda.com")]);
    let failure = PROVIDER.rotation().unwrap().can(&example(&PROVIDER, &[]).metadata).unwrap_err();
    assert!(failure.mend().unwrap().contains("lanyard credentials store verda --replace"));
}

proptest! {
    #[test]
    fn no_file_makes_the_reader_fall_over(file in "(?s).{0,120}", config in "(?s).{0,120}") {
        let _ = Home::new(&[(FILE, &file), (CONFIG, &config)], &[]).find(&PROVIDER, &[]);
    }

    #[test]
    fn what_is_written_is_read_back(id in "[!-~]{1,30}", secret in "[!-~]{1,60}") {
        let values = [("client_id", id.as_str()), ("client_secret", secret.as_str())];
        let credential = crate::provider::api::tests::credential(&PROVIDER, &values);
        if let Some(file) = written(&PROVIDER, "verda-credentials", &credential) {
            let found = Home::new(&[(FILE, file.expose())], &[]).find(&PROVIDER, &[]).unwrap();
            for (name, value) in values {
                prop_assert_eq!(found[0].raw.get(name).unwrap().expose(), value);
            }
        }
    }

    #[test]
    fn any_secret_is_sent_as_it_is(id in "[!-~]{1,30}", secret in "[!-~]{1,60}") {
        let values = [("client_id", id.as_str()), ("client_secret", secret.as_str())];
        let credential = crate::provider::api::tests::credential(&PROVIDER, &values);
        let server = Server::new(|_: &str, _: &Request| answer(200, TOKEN));
        with_net(&server, |net| PROVIDER.material(&credential, None, net)).unwrap();
        let body = server.body("POST /v1/oauth2/token");
        prop_assert_eq!((body["client_id"].as_str(), body["client_secret"].as_str()), (Some(&*id), Some(&*secret)));
    }
}
