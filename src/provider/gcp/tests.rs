//! What Google's servers answer, and what lanyard makes of it.

#![allow(clippy::needless_pass_by_value, reason = "values read better in tables")]

use std::sync::{LazyLock, Mutex};

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::*;
use crate::credential::tests::credential;
use crate::http::{HeaderMap, HeaderValue, Http, Request, Response, Unreachable, header};
use crate::os::Env;
use crate::provider::Outcome;

mod files;
mod places;
mod rotating;
mod wire;

/// A key as Google writes it. Making one takes a while, so there is one for all tests.
static PEM: LazyLock<String> = LazyLock::new(|| {
    let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
    let der = AsDer::<Pkcs8V1Der<'_>>::as_der(&pair).unwrap();
    let text = STANDARD.encode(der.as_ref());
    let lines: Vec<&str> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n"))
});

const EMAIL: &str = "deploy@my-project.iam.gserviceaccount.com";

/// A key file, with some values changed.
pub(in crate::provider) fn key_file(changes: serde_json::Value) -> String {
    let mut file = json!({
        "type": "service_account", "project_id": "my-project", "private_key_id": "0a1b2c",
        "private_key": &*PEM, "client_email": EMAIL, "client_id": "1", "universe_domain": "googleapis.com",
        "token_uri": "https://oauth2.googleapis.com/token",
    });
    file.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    file.to_string()
}

/// A credential made of these values as `credentials store` makes one.
fn stored(values: &[(&str, &str)]) -> Credential {
    let env = no_env();
    let given = std::collections::BTreeMap::new();
    let here = Here { env: &env, given: &given };
    let mut raw = Raw::new();
    for (name, value) in values {
        raw.plain(name, value);
    }
    let kind = PROVIDER.complete(&mut raw, &here).unwrap();
    credential("work", Fields::parse(kind, raw).unwrap())
}

fn account() -> Credential {
    stored(&[("key_file", &key_file(json!({})))])
}

fn user() -> Credential {
    stored(&[
        ("client_id", "c.apps.googleusercontent.com"),
        ("client_secret", "the-secret"),
        ("refresh_token", "1//0refresh"),
    ])
}

fn api_key() -> Credential {
    stored(&[("api_key", "AIzaSyEXAMPLE-EXAMPLE-EXAMPLE-EXAMPLE0")])
}

fn no_env() -> Env {
    Env::invented("/nowhere/home/config".as_ref(), "/nowhere".as_ref(), &[])
}

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).unwrap()
}

fn answer(status: u16, body: impl ToString) -> Response {
    Response { status, headers: HeaderMap::new(), body: body.to_string().into_bytes().into() }
}

fn token() -> Response {
    answer(200, json!({ "access_token": "ya29.fake", "expires_in": 3599, "token_type": "Bearer" }))
}

/// An error as the APIs tell it.
fn api_error(status: u16, word: &str, reason: &str) -> Response {
    let details = json!([{ "@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason }]);
    answer(status, json!({ "error": { "code": status, "message": "m", "status": word, "details": details } }))
}

fn asked(credential: &Credential, http: &dyn Http) -> Verdict {
    PROVIDER.verify(credential, None, &Net { http, env: &no_env(), now: now() })
}

/// Asks with a token server that answers so, and APIs that know nobody.
fn answered(credential: &Credential, status: u16, body: impl ToString) -> Verdict {
    let body = body.to_string();
    asked(credential, &move |request: Request| {
        Ok(if request.url.path() == "/token" { answer(status, &body) } else { answer(404, "") })
    })
}

#[test]
fn the_token_server_tells_why_a_key_does_not_work() {
    let signature = json!({ "error": "invalid_grant", "error_description": "Invalid JWT Signature." });
    let deleted = json!({ "error": "invalid_grant", "error_description": "Invalid grant: account not found" });
    let clock = json!({
        "error": "invalid_grant",
        "error_description": "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable \
                              timeframe. Check your iat and exp values in the JWT claim.",
    });
    let cases = [
        (400, signature, Outcome::Invalid, "deleted or disabled"),
        (400, deleted, Outcome::Invalid, "any more"),
        (400, clock, Outcome::Unexpected, "the time of this machine"),
        (400, json!({ "error": "invalid_grant", "error_description": "Something new" }), Outcome::Unexpected, "400"),
        (401, json!({ "error": "deleted_client" }), Outcome::Invalid, "any more"),
        (400, json!({ "error": "internal_failure" }), Outcome::Unreachable, "in trouble"),
        (400, json!({ "error": "temporarily_unavailable" }), Outcome::Unreachable, "in trouble"),
        (503, json!({ "error": "invalid_grant" }), Outcome::Unreachable, "503"),
        (429, json!({ "error": "invalid_grant" }), Outcome::RateLimited, "429"),
        (401, json!("<html>"), Outcome::Unexpected, "401"),
        (200, json!({ "error": "?" }), Outcome::Unexpected, "200"),
        (200, json!({ "access_token": "" }), Outcome::Unexpected, "200"),
    ];
    for (status, body, outcome, reason) in cases {
        let verdict = answered(&account(), status, &body);
        assert_eq!(verdict.outcome, outcome, "{status} {body}");
        assert!(verdict.reason.as_ref().unwrap().contains(reason), "{body}: {verdict:?}");
        assert!(verdict.next.is_some(), "{body}");
    }
}

#[test]
fn the_token_server_tells_why_a_sign_in_does_not_work() {
    let cases = [
        (400, json!({ "error": "invalid_grant", "error_description": "Token has been expired or revoked." }), "revoked"),
        (400, json!({ "error": "invalid_grant", "error_description": "Bad Request" }), "revoked"),
        (401, json!({ "error": "invalid_client" }), "OAuth client"),
        (401, json!({ "error": "deleted_client" }), "OAuth client"),
    ];
    for (status, body, reason) in cases {
        let verdict = answered(&user(), status, &body);
        assert_eq!(verdict.outcome, Outcome::Invalid, "{body}");
        assert!(verdict.reason.as_ref().unwrap().contains(reason), "{body}: {verdict:?}");
    }
    let again = json!({ "error": "invalid_grant", "error_description": "reauth", "error_subtype": "invalid_rapt" });
    let verdict = answered(&user(), 400, &again);
    assert_eq!(verdict.outcome, Outcome::Expired);
    assert!(verdict.next.unwrap().contains("--replace --name work"));
    assert_eq!(answered(&user(), 400, "<html>").outcome, Outcome::Unexpected);
}

#[test]
fn nobody_there_says_nothing_about_the_credential() {
    for credential in [account(), user(), api_key()] {
        let slow = |request: Request| -> Result<Response, Unreachable> {
            Err(Unreachable::Slow { origin: request.url.origin().ascii_serialization(), after: request.timeout })
        };
        assert_eq!(asked(&credential, &slow).outcome, Outcome::Unreachable);
        let forged = |_: Request| -> Result<Response, Unreachable> {
            Err(Unreachable::Tls { origin: "o".into(), cause: crate::secret::Reason("unknown issuer".into()) })
        };
        assert_eq!(asked(&credential, &forged).outcome, Outcome::Tls);
    }
}

#[test]
fn a_token_proves_the_key_and_the_project_may_be_seen_or_not() {
    let cases = [
        (answer(200, json!({ "projectId": "my-project" })), Outcome::Valid),
        (api_error(403, "PERMISSION_DENIED", "IAM_PERMISSION_DENIED"), Outcome::Insufficient),
        (api_error(403, "PERMISSION_DENIED", "SERVICE_DISABLED"), Outcome::Valid),
        (answer(403, "<html>"), Outcome::Valid),
        (api_error(401, "UNAUTHENTICATED", ""), Outcome::Valid),
        (answer(503, ""), Outcome::Valid),
    ];
    for (projects, outcome) in cases {
        let (status, body) = (projects.status, String::from_utf8(projects.body.to_vec()).unwrap());
        let verdict = asked(&account(), &|request: Request| {
            Ok(match request.url.path() {
                "/token" => token(),
                "/v3/projects/my-project" => answer(status, &body),
                other => panic!("{other}"),
            })
        });
        assert_eq!(verdict.outcome, outcome, "{status} {body}");
        assert_eq!(verdict.identity.as_deref(), Some(EMAIL), "{status} {body}");
        assert_eq!(verdict.expires, None, "the token's end is not the key's");
    }
}

#[test]
fn a_sign_in_is_whose_it_says() {
    let with_info = |status: u16, info: serde_json::Value| {
        asked(&user(), &move |request: Request| {
            Ok(match request.url.path() {
                "/token" => token(),
                "/tokeninfo" => answer(status, &info),
                other => panic!("{other}"),
            })
        })
    };
    let told = with_info(200, json!({ "email": "user@example.com", "scope": "openid email" }));
    assert_eq!((told.outcome, told.identity.as_deref()), (Outcome::Valid, Some("user@example.com")));
    assert_eq!(told.scopes, ["openid", "email"]);
    let silent = with_info(200, json!({ "scope": "cloud-platform" }));
    assert_eq!((silent.outcome, silent.identity), (Outcome::Valid, None));
    assert_eq!(with_info(400, json!({ "error": "invalid_token" })).outcome, Outcome::Valid);
}

#[test]
fn a_clock_that_is_wrong_is_put_right_by_the_servers_own() {
    let away = now() + chrono::Duration::hours(3);
    let date = HeaderValue::from_str(&away.to_rfc2822().replace("+0000", "GMT")).unwrap();
    let seen = Mutex::new(Vec::new());
    let verdict = asked(&account(), &|request: Request| {
        if request.url.path() != "/token" {
            return Ok(answer(404, ""));
        }
        let claims = wire::claims(&request);
        let at = claims["iat"].as_i64().unwrap();
        seen.lock().unwrap().push(at);
        if at == away.timestamp() {
            return Ok(token());
        }
        let refusal = json!({ "error": "invalid_grant", "error_description": "Check your iat and exp values" });
        let mut refused = answer(400, refusal);
        refused.headers.insert(header::DATE, date.clone());
        Ok(refused)
    });
    assert_eq!(verdict.outcome, Outcome::Valid);
    assert_eq!(*seen.lock().unwrap(), [now().timestamp(), away.timestamp()]);
}

#[test]
fn an_api_key_is_known_refused_or_kept_from_an_api() {
    let cases = [
        (answer(200, json!({ "models": [] })), Outcome::Valid),
        (answer(200, "<html>welcome"), Outcome::Unexpected),
        (api_error(400, "INVALID_ARGUMENT", "API_KEY_INVALID"), Outcome::Invalid),
        (api_error(403, "PERMISSION_DENIED", "API_KEY_SERVICE_BLOCKED"), Outcome::Valid),
        (api_error(403, "PERMISSION_DENIED", "API_KEY_IP_ADDRESS_BLOCKED"), Outcome::Valid),
        (api_error(403, "PERMISSION_DENIED", "SERVICE_DISABLED"), Outcome::Valid),
        (api_error(403, "PERMISSION_DENIED", "CONSUMER_SUSPENDED"), Outcome::Unexpected),
        (answer(400, "<html>"), Outcome::Unexpected),
        (answer(429, ""), Outcome::RateLimited),
        (answer(500, ""), Outcome::Unreachable),
    ];
    for (one, outcome) in cases {
        let (status, body) = (one.status, String::from_utf8(one.body.to_vec()).unwrap());
        let verdict = asked(&api_key(), &|request: Request| {
            assert!(request.url.query() == Some("pageSize=1"), "the key is in no address");
            assert_eq!(request.headers["x-goog-api-key"], "AIzaSyEXAMPLE-EXAMPLE-EXAMPLE-EXAMPLE0");
            Ok(answer(status, &body))
        });
        assert_eq!(verdict.outcome, outcome, "{status} {body}");
    }
    let expired = json!({ "error": { "message": "API key expired. Please renew the API key.",
        "status": "INVALID_ARGUMENT", "details": [{ "reason": "API_KEY_INVALID" }] } });
    assert_eq!(asked(&api_key(), &|_: Request| Ok(answer(400, &expired))).outcome, Outcome::Expired);
}
