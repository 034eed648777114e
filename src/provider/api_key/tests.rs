//! Every service held against every class of answer; how keys are carried, handed over and replaced.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;

use proptest::prelude::*;

use super::*;
use crate::provider::Outcome;
use crate::http::{HeaderMap, HeaderName, Unreachable};
use crate::os::Env;
use crate::secret::Reason;

mod places;
mod registries;

/// The names of all services.
pub(in crate::provider) fn services() -> impl Iterator<Item = &'static str> {
    services::SERVICES.iter().map(|service| service.name)
}

fn credential(service: &str, key: &str, more: &[(&str, &str)]) -> Credential {
    let mut raw = Raw::new();
    raw.plain("service", service).plain("api_key", key);
    for (name, value) in more {
        raw.plain(name, value);
    }
    crate::credential::tests::credential(service, Fields::parse(&KINDS[0], raw).unwrap())
}

fn answer(status: u16, headers: &[(&'static str, &str)], body: &str) -> Response {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.insert(HeaderName::from_static(name), value.parse().unwrap());
    }
    Response { status, headers: map, body: body.as_bytes().to_vec().into() }
}

fn env(variables: &[(&str, &str)]) -> Env {
    Env::invented(Path::new("/nowhere/config"), Path::new("/nowhere"), variables)
}

fn at() -> DateTime<Utc> {
    DateTime::from_timestamp(1_750_000_000, 0).unwrap()
}

/// What is said when the service answers so.
fn said(service: &str, key: &str, status: u16, body: &str) -> Verdict {
    let credential = credential(service, key, &[]);
    let http = |_: Request| Ok(answer(status, &[], body));
    PROVIDER.verify(&credential, None, &Net { http: &http, env: &env(&[]), now: at() })
}

/// A key of each service that can be asked, and what it answers to a good one.
const GOOD: [(&str, &str, &str, Option<&str>); 13] = [
    ("openai", "sk-proj-x", r#"{"object":"list","data":[]}"#, None),
    ("openai", "sk-admin-x", r#"{"object":"list","data":[{"id":"proj_1"}]}"#, None),
    ("anthropic", "sk-ant-api03-x", r#"{"data":[],"has_more":false}"#, None),
    ("anthropic", "sk-ant-admin01-x", r#"{"id":"o","type":"organization","name":"Acme"}"#, Some("Organization Acme")),
    ("stripe", "sk_test_x", r#"{"id":"acct_1","email":"a@b.example"}"#, Some("a@b.example (acct_1), test mode")),
    ("stripe", "rk_live_x", r#"{"id":"acct_1","settings":{"dashboard":{"display_name":"Shop"}}}"#, Some("Shop (acct_1)")),
    (
        "linear",
        "lin_api_x",
        r#"{"data":{"viewer":{"id":"1","email":"a@b.example"},"organization":{"name":"Acme"}}}"#,
        Some("a@b.example in Acme"),
    ),
    ("slack", "xoxb-x", r#"{"ok":true,"user":"bot","team":"Acme"}"#, Some("bot in Acme")),
    ("digitalocean", "dop_v1_x", r#"{"account":{"email":"a@b.example","status":"active"}}"#, Some("a@b.example")),
    ("npm", "npm_x", r#"{"username":"alice"}"#, Some("alice")),
    ("huggingface", "hf_x", r#"{"name":"alice","auth":{"accessToken":{"role":"read"}}}"#, Some("alice")),
    ("sendgrid", "SG.a.b", r#"{"scopes":["mail.send"]}"#, None),
    ("discord", "a.b.c", r#"{"id":"1","username":"helper","bot":true}"#, Some("helper")),
];

/// What each service says to a key that it does not accept.
const REFUSED: [(&str, &str, u16, &str, &str); 10] = [
    (
        "openai",
        "sk-proj-x",
        401,
        r#"{"error":{"message":"Incorrect API key provided: sk-p*x","code":"invalid_api_key"}}"#,
        "invalid_api_key",
    ),
    ("anthropic", "sk-ant-x", 401, r#"{"type":"error","error":{"type":"authentication_error"}}"#, "authentication_error"),
    ("stripe", "sk_test_x", 401, r#"{"error":{"type":"invalid_request_error"}}"#, "invalid_request_error"),
    ("linear", "lin_api_x", 400, r#"{"errors":[{"extensions":{"code":"AUTHENTICATION_ERROR"}}]}"#, "AUTHENTICATION_ERROR"),
    ("slack", "xoxb-x", 200, r#"{"ok":false,"error":"invalid_auth"}"#, "invalid_auth"),
    ("digitalocean", "dop_v1_x", 401, r#"{"id":"Unauthorized","message":"Unable to authenticate you"}"#, "Unauthorized"),
    ("npm", "npm_x", 401, r#"{"error":"no"}"#, ""),
    ("huggingface", "hf_x", 401, r#"{"error":"Invalid credentials in Authorization header"}"#, "Invalid credentials in Authorization header"),
    ("sendgrid", "SG.a.b", 401, r#"{"errors":[{"message":"authorization required"}]}"#, "authorization required"),
    ("discord", "a.b.c", 401, r#"{"message":"401: Unauthorized","code":0}"#, "0"),
];

#[test]
fn a_good_key_is_valid_and_has_an_owner() {
    for (service, key, body, identity) in GOOD {
        let verdict = said(service, key, 200, body);
        assert_eq!((verdict.outcome, verdict.identity.as_deref()), (Outcome::Valid, identity), "{service} {key}");
    }
    assert_eq!(said("sendgrid", "SG.a.b", 200, r#"{"scopes":["mail.send"]}"#).scopes, ["mail.send"]);
    assert_eq!(said("huggingface", "hf_x", 200, GOOD[10].2).scopes, ["read"]);
}

#[test]
fn a_refused_key_is_invalid_and_its_owner_knows_where_to_make_another() {
    for (service, key, status, body, word) in REFUSED {
        let verdict = said(service, key, status, body);
        assert_eq!(verdict.outcome, Outcome::Invalid, "{service}");
        assert_eq!(verdict.error.as_deref().unwrap_or_default(), word, "{service}");
        let console = Service::of(service).unwrap().console;
        assert!(verdict.next.unwrap().contains(console), "{service}");
    }
}

#[test]
fn an_answer_that_is_not_the_services_own_says_nothing() {
    for (service, key, _, _) in GOOD {
        for (status, body) in [(200, "<html>Sign in to the Wi-Fi</html>"), (200, "{"), (200, "[]"), (403, "<html>")] {
            assert_eq!(said(service, key, status, body).outcome, Outcome::Unexpected, "{service} {status} {body}");
        }
        for (status, outcome) in [
            (401, Outcome::Unexpected),
            (404, Outcome::Unexpected),
            (407, Outcome::Unexpected),
            (500, Outcome::Unreachable),
            (503, Outcome::Unreachable),
            (529, Outcome::Unreachable),
            (429, Outcome::RateLimited),
        ] {
            assert_eq!(said(service, key, status, "a proxy's page").outcome, outcome, "{service} {status}");
        }
    }
}

#[test]
fn a_key_that_is_alive_is_never_called_dead() {
    let missing = r#"{"error":{"message":"You have insufficient permissions for this operation. Missing scopes: api.model.read.","code":null,"type":"invalid_request_error"}}"#;
    for (service, key, status, body, outcome) in [
        ("openai", "sk-x", 403, missing, Outcome::Insufficient),
        ("openai", "sk-x", 401, missing, Outcome::Insufficient),
        ("openai", "sk-x", 429, r#"{"error":{"code":"insufficient_quota"}}"#, Outcome::Insufficient),
        ("openai", "sk-x", 429, r#"{"error":{"code":"rate_limit_exceeded"}}"#, Outcome::RateLimited),
        ("anthropic", "sk-ant-x", 403, r#"{"type":"error","error":{"type":"permission_error"}}"#, Outcome::Insufficient),
        ("anthropic", "sk-ant-x", 400, r#"{"type":"error","error":{"type":"invalid_request_error"}}"#, Outcome::Unexpected),
        ("stripe", "rk_live_x", 403, r#"{"error":{"code":"more_permissions_required_for_application"}}"#, Outcome::Insufficient),
        ("stripe", "rk_live_x", 401, r#"{"error":{"code":"api_key_expired"}}"#, Outcome::Expired),
        ("linear", "lin_api_x", 400, r#"{"errors":[{"extensions":{"code":"RATELIMITED"}}]}"#, Outcome::RateLimited),
        ("linear", "lin_api_x", 200, r#"{"errors":[{"extensions":{"code":"AUTHENTICATION_ERROR"}}]}"#, Outcome::Invalid),
        ("linear", "lin_api_x", 200, r#"{"errors":[{"extensions":{"code":"FORBIDDEN"}}]}"#, Outcome::Insufficient),
        ("linear", "lin_api_x", 400, r#"{"errors":[{"extensions":{"code":"GRAPHQL_PARSE_FAILED"}}]}"#, Outcome::Unexpected),
        ("slack", "xoxb-x", 200, r#"{"ok":false,"error":"missing_scope"}"#, Outcome::Insufficient),
        ("slack", "xoxb-x", 200, r#"{"ok":false,"error":"token_expired"}"#, Outcome::Expired),
        ("slack", "xoxb-x", 200, r#"{"ok":false,"error":"ratelimited"}"#, Outcome::RateLimited),
        ("slack", "xoxb-x", 200, r#"{"ok":false,"error":"fatal_error"}"#, Outcome::Unexpected),
        ("digitalocean", "dop_v1_x", 403, r#"{"id":"Forbidden"}"#, Outcome::Insufficient),
        ("sendgrid", "SG.a.b", 403, r#"{"errors":[{"message":"access forbidden"}]}"#, Outcome::Insufficient),
        ("npm", "npm_x", 403, "{}", Outcome::Insufficient),
    ] {
        assert_eq!(said(service, key, status, body).outcome, outcome, "{service} {status} {body}");
    }
}

#[test]
fn a_service_that_quotes_the_key_is_not_quoted() {
    let key = "hf_Secret0123456789abcdef";
    for quoted in [key.to_owned(), format!("bad {key}"), "Secret0123456789".into(), "x".repeat(60)] {
        let verdict = said("huggingface", key, 401, &format!(r#"{{"error":"{quoted}"}}"#));
        assert_eq!((verdict.outcome, verdict.error), (Outcome::Invalid, None), "{quoted}");
    }
}

#[test]
fn nobody_that_answers_is_no_refusal() {
    let origin = || "https://api.openai.com".to_owned();
    let credential = credential("openai", "sk-x", &[]);
    for (failure, outcome) in [
        (Unreachable::Slow { origin: origin(), after: crate::http::TIMEOUT }, Outcome::Unreachable),
        (Unreachable::Connect { origin: origin(), cause: Reason("refused".into()) }, Outcome::Unreachable),
        (Unreachable::Tls { origin: origin(), cause: Reason("expired".into()) }, Outcome::Tls),
        (Unreachable::TooLarge { origin: origin(), limit: 1 }, Outcome::Unreachable),
    ] {
        let failure = Mutex::new(Some(failure));
        let http = |_: Request| Err(failure.lock().unwrap().take().unwrap());
        let verdict = PROVIDER.verify(&credential, None, &Net { http: &http, env: &env(&[]), now: at() });
        assert_eq!(verdict.outcome, outcome);
    }
}

#[test]
fn each_key_is_carried_as_its_service_wants_it_and_to_its_service_alone() {
    for (service, key, url, header, value) in [
        ("openai", "sk-proj-x", "https://api.openai.com/v1/models", "authorization", "Bearer sk-proj-x"),
        (
            "openai",
            "sk-admin-x",
            "https://api.openai.com/v1/organization/projects?limit=1",
            "authorization",
            "Bearer sk-admin-x",
        ),
        ("anthropic", "sk-ant-api03-x", "https://api.anthropic.com/v1/models?limit=1", "x-api-key", "sk-ant-api03-x"),
        ("anthropic", "sk-ant-admin01-x", "https://api.anthropic.com/v1/organizations/me", "x-api-key", "sk-ant-admin01-x"),
        ("stripe", "sk_live_x", "https://api.stripe.com/v1/account", "authorization", "Bearer sk_live_x"),
        ("linear", "lin_api_x", "https://api.linear.app/graphql", "authorization", "lin_api_x"),
        ("linear", "lin_oauth_x", "https://api.linear.app/graphql", "authorization", "Bearer lin_oauth_x"),
        ("slack", "xoxb-x", "https://slack.com/api/auth.test", "authorization", "Bearer xoxb-x"),
        ("digitalocean", "dop_v1_x", "https://api.digitalocean.com/v2/account", "authorization", "Bearer dop_v1_x"),
        ("npm", "npm_x", "https://registry.npmjs.org/-/whoami", "authorization", "Bearer npm_x"),
        ("huggingface", "hf_x", "https://huggingface.co/api/whoami-v2", "authorization", "Bearer hf_x"),
        ("sendgrid", "SG.a.b", "https://api.sendgrid.com/v3/scopes", "authorization", "Bearer SG.a.b"),
        ("discord", "a.b.c", "https://discord.com/api/v10/users/@me", "authorization", "Bot a.b.c"),
    ] {
        let seen = Mutex::new(Vec::new());
        let http = |request: Request| {
            seen.lock().unwrap().push((request.url.to_string(), request.headers.clone()));
            Ok(answer(500, &[], ""))
        };
        let credential = credential(service, key, &[]);
        PROVIDER.verify(&credential, None, &Net { http: &http, env: &env(&[]), now: at() });
        let seen = seen.into_inner().unwrap();
        assert_eq!(seen.len(), 1, "{service}");
        assert_eq!((seen[0].0.as_str(), seen[0].1[header].to_str().unwrap()), (url, value));
        let host = seen[0].0.split('/').nth(2).unwrap().to_owned();
        assert_eq!(PROVIDER.hosts(&credential.metadata), [host]);
    }
}

#[test]
fn tokens_about_which_nobody_can_be_asked_are_not_sent() {
    let http = |_: Request| -> Result<Response, Unreachable> { panic!("nothing is sent") };
    let own = pypi::tests::token(&[r#"[1, ["lanyard"]]"#]);
    let net = Net { http: &http, env: &env(&[]), now: at() };
    for (service, key) in [("slack", "xapp-1-A-1-x"), ("anthropic", "sk-ant-oat01-x"), ("other", "x"), ("pypi", &own)] {
        let verdict = PROVIDER.verify(&credential(service, key, &[]), None, &net);
        assert_eq!(verdict.outcome, Outcome::CannotBeAsked, "{service}");
    }
    let verdict = PROVIDER.verify(&credential("pypi", &own, &[]), None, &net);
    assert_eq!(verdict.reason.unwrap(), "it is well-formed, for lanyard; pypi.org can only be asked by an upload");
    let slip = PROVIDER.verify(&credential("opnai", "sk-x", &[]), None, &net);
    assert!(slip.reason.unwrap().contains("did you mean openai?"));
    let over = credential("pypi", &pypi::tests::token(&["[0, 1700000000, 1]"]), &[]);
    let verdict = PROVIDER.verify(&over, None, &net);
    assert_eq!((verdict.outcome, verdict.expires.unwrap().timestamp()), (Outcome::Expired, 1_700_000_000));
}

#[test]
fn an_unknown_service_is_asked_at_its_endpoint_unless_that_answers_everybody() {
    let endpoint = ("endpoint", "https://api.corp.example/me");
    for (open, with_key, header, expected) in [
        (answer(401, &[], "{}"), answer(200, &[], ""), "x-api-key", Outcome::Valid),
        (answer(401, &[], "{}"), answer(401, &[], "{}"), "authorization", Outcome::Invalid),
        (answer(401, &[], "{}"), answer(401, &[], "<html>"), "authorization", Outcome::Unexpected),
        (answer(401, &[], ""), answer(401, &[("www-authenticate", "Bearer")], ""), "authorization", Outcome::Invalid),
        (answer(404, &[], ""), answer(403, &[], "{}"), "x-api-key", Outcome::Insufficient),
        (answer(404, &[], ""), answer(404, &[], ""), "x-api-key", Outcome::Unexpected),
        (answer(200, &[], ""), answer(200, &[], ""), "x-api-key", Outcome::CannotBeAsked),
    ] {
        let answers = Mutex::new(vec![with_key, open]);
        let carried = Mutex::new(Vec::new());
        let http = |request: Request| {
            carried.lock().unwrap().push(request.headers.get(header).map(|value| value.to_str().unwrap().to_owned()));
            Ok(answers.lock().unwrap().pop().unwrap())
        };
        let credential = credential("corp", "key-of-corp", &[endpoint, ("header", header)]);
        let verdict = PROVIDER.verify(&credential, None, &Net { http: &http, env: &env(&[]), now: at() });
        assert_eq!(verdict.outcome, expected);
        let carried = carried.into_inner().unwrap();
        assert_eq!(carried[0], None, "first without the key");
        assert!(carried.get(1).is_none_or(|value| value.as_deref() == Some("key-of-corp")));
        assert_eq!(PROVIDER.hosts(&credential.metadata), ["api.corp.example"]);
    }
}

fn completed(service: &str, key: &str, variables: &[(&str, &str)]) -> Result<Raw, ProviderError> {
    let given = BTreeMap::from([("service".to_owned(), vec![service.to_owned()])]);
    let env = env(variables);
    let mut raw = Raw::new();
    raw.plain("api_key", key);
    PROVIDER.complete(&mut raw, &Here { env: &env, given: &given }).map(|_| raw)
}

#[test]
fn what_is_plainly_something_else_is_refused_without_quoting_it() {
    for (service, key, what) in [
        ("stripe", "pk_live_abcdef", "publishable"),
        ("stripe", "whsec_abcdef", "webhook"),
        ("slack", "xoxe-1-abcdef", "refresh token"),
        ("slack", "https://hooks.slack.com/services/T/B/abcdef", "webhook"),
        ("digitalocean", "dor_v1_abcdef", "refresh token"),
        ("anthropic", "sk-proj-abcdef", "OpenAI"),
        ("openai", "sk-ant-abcdef", "Anthropic"),
        ("pypi", "pypi-abcdef", "no token of PyPI"),
    ] {
        let told = completed(service, key, &[]).unwrap_err().to_string();
        assert!(told.contains(what) && !told.contains("abcdef"), "{told}");
    }
    assert_eq!(completed("OpenAI", "sk-x", &[]).unwrap().get("service").unwrap().expose(), "openai");
}

#[test]
fn the_address_in_the_official_variable_becomes_the_keys_own() {
    let raw = completed("openai", "sk-x", &[("OPENAI_BASE_URL", "https://llm.corp.example/v1")]).unwrap();
    assert_eq!(raw.get("endpoint").unwrap().expose(), "https://llm.corp.example/v1");
    assert!(completed("openai", "sk-x", &[("OPENAI_BASE_URL", "http://llm.corp.example/v1")]).is_err());
}

fn exported(service: &str, key: &str, more: &[(&str, &str)]) -> Vec<String> {
    let credential = credential(service, key, more);
    let http = |_: Request| -> Result<Response, Unreachable> { panic!("nothing is sent") };
    let issued = PROVIDER.material(&credential, None, &Net { http: &http, env: &env(&[]), now: at() }).unwrap();
    let told = |variable: Variable| match variable {
        Variable::Value { name, value, .. } => format!("{name}={}", value.expose()),
        Variable::Unset { name } => format!("-{name}"),
        Variable::File { name, .. } => name,
    };
    PROVIDER.export(&credential, &issued).into_iter().map(told).collect()
}

#[test]
fn the_official_tools_get_their_variables() {
    for (service, key, expected) in [
        ("openai", "sk-x", vec!["OPENAI_API_KEY=sk-x"]),
        ("openai", "sk-admin-x", vec!["OPENAI_ADMIN_KEY=sk-admin-x"]),
        ("anthropic", "sk-ant-x", vec!["ANTHROPIC_API_KEY=sk-ant-x", "-ANTHROPIC_AUTH_TOKEN"]),
        ("anthropic", "sk-ant-oat01-x", vec!["ANTHROPIC_AUTH_TOKEN=sk-ant-oat01-x", "-ANTHROPIC_API_KEY"]),
        ("slack", "xapp-x", vec!["SLACK_APP_TOKEN=xapp-x"]),
        ("slack", "xoxp-x", vec!["SLACK_USER_TOKEN=xoxp-x"]),
        ("digitalocean", "dop_v1_x", vec!["DIGITALOCEAN_ACCESS_TOKEN=dop_v1_x", "DIGITALOCEAN_TOKEN=dop_v1_x"]),
        ("npm", "npm_x", vec!["NPM_TOKEN=npm_x", "NODE_AUTH_TOKEN=npm_x"]),
        ("huggingface", "hf_x", vec!["HF_TOKEN=hf_x"]),
        ("7-corp.x", "k", vec!["_7_CORP_X_API_KEY=k"]),
    ] {
        assert_eq!(exported(service, key, &[]), expected, "{service}");
    }
    let own = exported("openai", "sk-x", &[("endpoint", "https://llm.corp.example/v1")]);
    assert_eq!(own, ["OPENAI_API_KEY=sk-x", "OPENAI_BASE_URL=https://llm.corp.example/v1"]);
    assert!(exported("pypi", "pypi-x", &[]).contains(&"TWINE_USERNAME=__token__".to_owned()));
}

#[test]
fn the_official_tools_get_their_files() {
    let file = |format: &str, service: &str, more: &[(&str, &str)]| {
        let issued = Issued::lasting(Material::Variables(Vec::new()));
        PROVIDER.file(format, &credential(service, "npm_x", more), &issued).map(|text| text.expose().to_owned())
    };
    assert_eq!(file("npmrc", "npm", &[]).unwrap(), "//registry.npmjs.org/:_authToken=npm_x\n");
    let own = file("npmrc", "npm", &[("endpoint", "https://npm.corp.example:8443/team")]).unwrap();
    assert_eq!(own, "//npm.corp.example:8443/team/:_authToken=npm_x\n");
    assert_eq!(file("pypirc", "pypi", &[]).unwrap(), "[pypi]\nusername = __token__\npassword = npm_x\n");
    assert_eq!(file("npmrc", "openai", &[]), None);
    assert_eq!(file("other", "npm", &[]), None);
}

/// SendGrid as a rotation sees it: every request in order, and an answer for each.
fn rotated(answers: Vec<Response>, since: bool) -> (Result<Raw, ProviderError>, Vec<String>) {
    let answers = Mutex::new(answers.into_iter().rev().collect::<Vec<_>>());
    let seen = Mutex::new(Vec::new());
    let http = |request: Request| {
        let body = request.body.as_ref().map_or(String::new(), |body| String::from_utf8(body.to_vec()).unwrap());
        seen.lock().unwrap().push(format!("{} {} {body}", request.method, request.url.path()).trim_end().to_owned());
        Ok(answers.lock().unwrap().pop().expect("one more answer"))
    };
    let old = credential("sendgrid", "SG.old-id.secret", &[]);
    let net = Net { http: &http, env: &env(&[]), now: at() };
    let minted = sendgrid::Rotate.mint(&old, since.then(at), &net);
    (minted, seen.into_inner().unwrap())
}

#[test]
fn a_key_of_sendgrid_is_replaced_by_one_with_the_same_permissions() {
    let own = answer(200, &[], r#"{"api_key_id":"old-id","name":"mailer","scopes":["mail.send"]}"#);
    let made = answer(201, &[], r#"{"api_key":"SG.new-id.new","api_key_id":"new-id"}"#);
    let (minted, seen) = rotated(vec![own, made], false);
    assert_eq!(minted.unwrap().get("api_key").unwrap().expose(), "SG.new-id.new");
    assert_eq!(seen[0], "GET /v3/api_keys/old-id");
    assert_eq!(
        seen[1],
        r#"POST /v3/api_keys {"name":"mailer (lanyard 2025-06-15T15:06:40Z)","scopes":["mail.send"]}"#
    );
    assert_eq!(sendgrid::Rotate.handle(&credential("sendgrid", "SG.new-id.new", &[])).as_deref(), Some("new-id"));
}

#[test]
fn what_an_interrupted_rotation_made_is_removed_first() {
    let own = answer(403, &[], r#"{"errors":[{"message":"access forbidden"}]}"#);
    let name = r#""name":"sendgrid (lanyard 2025-06-15T15:06:40Z)""#;
    let list = answer(200, &[], &format!(r#"{{"result":[{{"name":"x","api_key_id":"a"}},{{{name},"api_key_id":"lost"}}]}}"#));
    let scopes = answer(200, &[], r#"{"scopes":["mail.send"]}"#);
    let made = answer(201, &[], r#"{"api_key":"SG.new-id.new"}"#);
    let (minted, seen) = rotated(vec![own, list, answer(204, &[], ""), scopes, made], true);
    assert!(minted.is_ok());
    assert_eq!(seen[1..4], ["GET /v3/api_keys", "DELETE /v3/api_keys/lost", "GET /v3/scopes"]);
}

#[test]
fn a_key_that_may_not_manage_keys_is_told_so() {
    let forbidden = || answer(403, &[], r#"{"errors":[{"message":"access forbidden"}]}"#);
    let scopes = answer(200, &[], r#"{"scopes":["mail.send"]}"#);
    let (minted, _) = rotated(vec![forbidden(), scopes, forbidden()], false);
    let ProviderError::Refused(verdict) = minted.unwrap_err() else { panic!("a refusal") };
    assert!(verdict.outcome == Outcome::Insufficient && verdict.next.unwrap().contains("api_keys.create"));
    let scopes = answer(200, &[], r#"{"scopes":["mail.send"]}"#);
    let (minted, _) = rotated(vec![forbidden(), scopes, answer(201, &[], "{")], false);
    assert!(matches!(minted.unwrap_err(), ProviderError::Unreachable(_)), "it may have been made");
}

#[test]
fn other_services_say_how_their_keys_are_replaced() {
    for (service, words) in [("openai", "https://platform.openai.com/api-keys"), ("corp", "make a new one there")] {
        use crate::error::Failure;
        let failure = PROVIDER.rotation().unwrap().can(&credential(service, "k", &[]).metadata).unwrap_err();
        assert!(failure.mend().unwrap().contains(words), "{failure}");
    }
    assert!(PROVIDER.rotation().unwrap().can(&credential("sendgrid", "SG.a.b", &[]).metadata).is_ok());
}

proptest! {
    #[test]
    fn no_answer_makes_it_panic(status in 100u16..600, body in "\\PC{0,80}", service in 0usize..SERVICES.len()) {
        let _ = said(SERVICES[service].name, "k", status, &body);
    }
}
