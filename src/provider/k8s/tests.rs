//! What a cluster answers, and what lanyard makes of it.

#![allow(clippy::needless_pass_by_value, reason = "values read better in tables")]

use std::sync::Mutex;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::json;

use super::*;
use crate::credential::tests::credential;
use crate::http::{HeaderMap, Http, Request, Response, Unreachable};
use crate::os::Env;
use crate::provider::Outcome;
use crate::secret::Reason;

mod bombs;
mod flattened;
mod places;
mod round_trip;

/// Certificates for nothing, which end on 2030-04-11 and 2057-05-19.
const UNTIL_2030: &str = include_str!("tests/until-2030.pem");
const UNTIL_2057: &str = include_str!("tests/until-2057.pem");
const KEY: &str = "-----BEGIN PRIVATE KEY-----\nMIGH\n-----END PRIVATE KEY-----\n";
const SERVER: &str = "https://dev.example.com:6443";

/// A kubeconfig of one context with this user.
fn kubeconfig(user: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: dev\n\
         clusters: [{{name: c, cluster: {{server: \"{SERVER}\"}}}}]\n\
         contexts: [{{name: dev, context: {{cluster: c, user: u, namespace: shop}}}}]\n\
         users: [{{name: u, user: {user}}}]\n"
    )
}

/// A user with a certificate.
fn certified() -> String {
    let (certificate, key) = (STANDARD.encode(UNTIL_2057), STANDARD.encode(KEY));
    format!("{{client-certificate-data: {certificate}, client-key-data: {key}}}")
}

/// A token that is a JWT with these claims.
fn jwt_of(claims: serde_json::Value) -> String {
    format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims.to_string()))
}

fn stored(user: &str) -> Credential {
    let env = no_env();
    let mut raw = Raw::new();
    raw.plain("kubeconfig", &kubeconfig(user));
    let here = Here { env: &env, given: &std::collections::BTreeMap::new() };
    let kind = PROVIDER.complete(&mut raw, &here).unwrap();
    credential("dev", Fields::parse(kind, raw).unwrap())
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

fn asked(credential: &Credential, http: &dyn Http) -> Verdict {
    PROVIDER.verify(credential, None, &Net { http, env: &no_env(), now: now() })
}

fn failure(code: u16, reason: &str, message: &str) -> String {
    json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason,
        "message": message })
    .to_string()
}

fn review(username: &str) -> String {
    let info = json!({ "username": username, "groups": ["system:authenticated"] });
    json!({ "kind": "SelfSubjectReview", "status": { "userInfo": info } }).to_string()
}

fn forbidding(user: &str) -> String {
    let message = format!("selfsubjectreviews.authentication.k8s.io is forbidden: User \"{user}\" cannot create resource");
    failure(403, "Forbidden", &message)
}

#[test]
fn a_cluster_tells_who_one_is_or_why_not() {
    let unauthorized = failure(401, "Unauthorized", "Unauthorized");
    let cases = [
        (201, review("alice"), Outcome::Valid),
        (200, review("system:serviceaccount:shop:deploy"), Outcome::Valid),
        (201, review("system:anonymous"), Outcome::Invalid),
        (201, review(""), Outcome::Unexpected),
        (200, "<html>welcome".into(), Outcome::Unexpected),
        (401, unauthorized, Outcome::Invalid),
        (401, "<html>".into(), Outcome::Unexpected),
        (401, r#"{"error":"sign in at the portal"}"#.into(), Outcome::Unexpected),
        (403, forbidding("system:anonymous"), Outcome::Invalid),
        (429, failure(429, "TooManyRequests", ""), Outcome::RateLimited),
        (500, failure(500, "InternalError", ""), Outcome::Unreachable),
        (503, String::new(), Outcome::Unreachable),
        (418, String::new(), Outcome::Unexpected),
    ];
    for (status, body, outcome) in cases {
        let verdict = asked(&stored("{token: abc}"), &|_: Request| Ok(answer(status, &body)));
        assert_eq!(verdict.outcome, outcome, "{status} {body}");
        assert!(outcome == Outcome::Valid || verdict.next.is_some(), "{status} {body}");
    }
    let verdict = asked(&stored("{token: abc}"), &|_: Request| Ok(answer(201, review("alice"))));
    assert_eq!(verdict.identity.as_deref(), Some("alice"));
}

/// Asks a cluster of which only these paths are there.
fn older(user: &str, there: &[(&str, u16, String)]) -> (Verdict, Vec<String>) {
    let seen = Mutex::new(Vec::new());
    let verdict = asked(&stored(user), &|request: Request| {
        let path = request.url.path().trim_start_matches("/apis/").to_owned();
        let found = there.iter().find(|(known, ..)| *known == path);
        seen.lock().unwrap().push(path);
        Ok(found.map_or_else(|| answer(404, "404 page not found"), |(_, status, body)| answer(*status, body)))
    });
    (verdict, seen.into_inner().unwrap())
}

#[test]
fn an_older_cluster_is_asked_in_its_own_words() {
    let beta = "authentication.k8s.io/v1beta1/selfsubjectreviews";
    let (verdict, seen) = older("{token: abc}", &[(beta, 201, review("alice"))]);
    assert_eq!(verdict.identity.as_deref(), Some("alice"));
    assert_eq!(seen.len(), 2);

    let access = "authorization.k8s.io/v1/selfsubjectaccessreviews";
    let allowed = json!({ "kind": "SelfSubjectAccessReview", "status": { "allowed": false } }).to_string();
    let subject = format!("{{token: {}}}", jwt_of(json!({ "sub": "system:serviceaccount:shop:deploy" })));
    let (verdict, seen) = older(&subject, &[(access, 201, allowed.clone())]);
    assert_eq!(verdict.outcome, Outcome::Valid);
    assert_eq!(verdict.identity.as_deref(), Some("system:serviceaccount:shop:deploy"));
    assert_eq!(seen.len(), 4);

    let newest = "authentication.k8s.io/v1/selfsubjectreviews";
    let (verdict, _) = older("{token: a}", &[(newest, 403, forbidding("bob")), (access, 201, allowed)]);
    assert_eq!((verdict.outcome, verdict.identity.as_deref()), (Outcome::Valid, Some("bob")));
    let (verdict, _) = older("{token: a}", &[(newest, 403, forbidding("bob")), (access, 403, forbidding("bob"))]);
    assert_eq!((verdict.outcome, verdict.identity.as_deref()), (Outcome::Insufficient, Some("bob")));

    for (status, body, outcome) in [
        (401, failure(401, "Unauthorized", ""), Outcome::Invalid),
        (403, forbidding("system:anonymous"), Outcome::Invalid),
        (201, "{}".into(), Outcome::Unexpected),
        (404, String::new(), Outcome::Unexpected),
    ] {
        assert_eq!(older("{token: a}", &[(access, status, body)]).0.outcome, outcome, "{status}");
    }
}

#[test]
fn the_request_carries_what_the_kubeconfig_says_and_nothing_else() {
    let check = |user: &str, authorization: Option<&str>| {
        let verdict = asked(&stored(user), &|request: Request| {
            assert_eq!(request.url.as_str(), format!("{SERVER}/apis/authentication.k8s.io/v1/selfsubjectreviews"));
            let body: serde_json::Value = serde_json::from_slice(request.body.as_ref().unwrap()).unwrap();
            assert_eq!(body, json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview" }));
            let sent = request.headers.get("authorization").map(|value| value.to_str().unwrap());
            assert_eq!(sent, authorization);
            let trust = request.trust.as_ref().unwrap();
            let identity = trust.identity.as_ref().map(|identity| identity.expose().to_owned());
            assert_eq!(identity, authorization.is_none().then(|| format!("{UNTIL_2057}\n{KEY}")));
            assert!(!request.follow_same_origin);
            Ok(answer(201, review("alice")))
        });
        assert_eq!(verdict.outcome, Outcome::Valid);
    };
    check("{token: abc}", Some("Bearer abc"));
    check("{username: alice, password: 'pass word'}", Some("Basic YWxpY2U6cGFzcyB3b3Jk"));
    check(&certified(), None);
    let acting = "{token: a, as: jane, as-groups: [dev, ops], as-user-extra: {scopes: [view]}}";
    asked(&stored(acting), &|request: Request| {
        let all = |name: &str| request.headers.get_all(name).iter().cloned().collect::<Vec<_>>();
        assert_eq!(all("impersonate-user"), ["jane"]);
        assert_eq!(all("impersonate-group"), ["dev", "ops"]);
        assert_eq!(all("impersonate-extra-scopes"), ["view"]);
        Ok(answer(201, review("jane")))
    });
}

#[test]
fn a_connection_that_fails_says_nothing_but_where_it_refuses_the_certificate() {
    let tls = |user: &str, cause: &str| {
        asked(&stored(user), &|_: Request| -> Result<Response, Unreachable> {
            Err(Unreachable::Tls { origin: "o".into(), cause: Reason(cause.into()) })
        })
        .outcome
    };
    assert_eq!(tls(&certified(), "invalid peer certificate: UnknownIssuer"), Outcome::Tls);
    assert_eq!(tls(&certified(), "received fatal alert: HandshakeFailure"), Outcome::Tls);
    assert_eq!(tls(&certified(), "received fatal alert: UnknownCA"), Outcome::Invalid);
    assert_eq!(tls(&certified(), "received fatal alert: CertificateExpired"), Outcome::Expired);
    assert_eq!(tls("{token: a}", "received fatal alert: UnknownCA"), Outcome::Tls);
    let slow = |request: Request| -> Result<Response, Unreachable> {
        Err(Unreachable::Slow { origin: "o".into(), after: request.timeout })
    };
    assert_eq!(asked(&stored("{token: a}"), &slow).outcome, Outcome::Unreachable);
    let setup = |_: Request| -> Result<Response, Unreachable> { Err(Unreachable::Setup { cause: Reason("k".into()) }) };
    assert_eq!(asked(&stored(&certified()), &setup).outcome, Outcome::Unexpected);
}

#[test]
fn what_has_ended_is_told_as_an_end() {
    let refused = |_: Request| Ok(answer(401, failure(401, "Unauthorized", "")));
    let ended = format!("{{token: {}}}", jwt_of(json!({ "exp": 1_799_999_999 })));
    let verdict = asked(&stored(&ended), &refused);
    assert_eq!(verdict.outcome, Outcome::Expired);
    assert_eq!(verdict.reason.as_deref(), Some("it ended on 2027-01-15 at 07:59 UTC"));
    assert!(verdict.next.unwrap().contains("--name dev --replace"));
    let alive = format!("{{token: {}}}", jwt_of(json!({ "exp": 1_800_000_001 })));
    assert_eq!(asked(&stored(&alive), &refused).outcome, Outcome::Invalid);
    let valid = asked(&stored(&alive), &|_: Request| Ok(answer(201, review("a"))));
    assert_eq!(valid.expires, DateTime::from_timestamp(1_800_000_001, 0));
}

#[test]
fn a_socks_proxy_is_kept_and_not_gone_through() {
    let text = kubeconfig("{token: a}").replace(SERVER, &format!("{SERVER}\", proxy-url: \"socks5://h:1"));
    let mut raw = Raw::new();
    raw.plain("kubeconfig", &text);
    fill(&mut raw, &Flat::of_text(&Secret::new(text), None).unwrap()).unwrap();
    let kept = credential("dev", Fields::parse(&KINDS[0], raw).unwrap());
    let verdict = asked(&kept, &|_: Request| -> Result<Response, Unreachable> { panic!("nothing is sent") });
    assert_eq!(verdict.outcome, Outcome::CannotBeAsked);
}

#[test]
fn the_end_of_a_certificate_is_read_out_of_its_der() {
    let end = |pem: &str| certificate::end(pem).map(|at| at.to_rfc3339());
    assert_eq!(end(UNTIL_2030).as_deref(), Some("2030-04-11T00:00:00+00:00"));
    assert_eq!(end(UNTIL_2057).as_deref(), Some("2057-05-19T00:00:00+00:00"));
    assert_eq!(end("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"), None);
    let body: String = UNTIL_2030.lines().filter(|line| !line.starts_with('-')).collect();
    let der = STANDARD.decode(body).unwrap();
    for length in 0..der.len() {
        // A piece of a certificate is none, and nothing is read beyond its end.
        assert_eq!(certificate::not_after(&der[..length]), None, "{length}");
    }
}

#[test]
fn the_tools_get_a_file_and_terraforms_variables() {
    let names = |user: &str| {
        let credential = stored(user);
        let http = |_: Request| -> Result<Response, Unreachable> { panic!("nothing is sent") };
        let issued = PROVIDER.material(&credential, None, &Net { http: &http, env: &no_env(), now: now() }).unwrap();
        let file = PROVIDER.file("kubeconfig", &credential, &issued).unwrap();
        let each = PROVIDER.export(&credential, &issued).into_iter().filter_map(|variable| match variable {
            Variable::Value { name, value, .. } => Some((name, value.expose().to_owned())),
            Variable::File { name, content: Content::Text(text), .. } => {
                assert_eq!(text, file);
                Some((name, "file".to_owned()))
            }
            _ => None,
        });
        each.collect::<Vec<_>>()
    };
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let (file, host) = (pair("KUBECONFIG", "file"), pair("KUBE_HOST", SERVER));
    assert_eq!(names("{token: abc}"), [file.clone(), host.clone(), pair("KUBE_TOKEN", "abc")]);
    let certificate = [pair("KUBE_CLIENT_CERT_DATA", UNTIL_2057), pair("KUBE_CLIENT_KEY_DATA", KEY)];
    assert_eq!(names(&certified()), [&[file, host][..], &certificate].concat());
    assert_eq!(PROVIDER.hosts(&stored("{token: a}").metadata), ["dev.example.com:6443"]);
}
