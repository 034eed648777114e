//! Registries of every sort, as closures, and the files of docker, podman and helm on a made-up machine.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Mutex;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use super::*;
use crate::credential::{Check, Scope};
use crate::http::{HeaderMap, HeaderName, HeaderValue, Request, Response, Unreachable};
use crate::os::Env;
use crate::provider::Outcome;
use crate::secret::Reason;

mod finding;
mod own;
mod protocol;

/// The words of all sorts.
pub(in crate::provider) fn flavours() -> impl Iterator<Item = &'static str> {
    Flavour::ALL.into_iter().map(Flavour::word)
}

/// A credential of these values, through the same door as the user's.
fn credential(values: &[(&str, &str)]) -> Credential {
    let env = Env::invented(Path::new("/none"), Path::new("/"), &[]);
    let given = BTreeMap::new();
    let mut raw = Raw::new();
    for (name, value) in values {
        raw.plain(name, value);
    }
    let kind = PROVIDER.complete(&mut raw, &Here { env: &env, given: &given }).expect("complete");
    let Fields { plain, secrets, .. } = Fields::parse(kind, raw).expect("well-formed");
    let now = DateTime::UNIX_EPOCH;
    let metadata = Metadata {
        id: "cred_1".into(),
        name: "reg".into(),
        kind,
        scope: Scope::Organization,
        fields: plain,
        secret_names: BTreeSet::new(),
        created: now,
        updated: now,
        used: None,
        verified: None,
        expires: None,
        check: Check::Never,
        tags: BTreeSet::new(),
        note: String::new(),
        version: 1,
    };
    Credential { metadata, secrets }
}

fn alice(url: &str, password: &str) -> Credential {
    credential(&[("url", url), ("username", "alice"), ("password", password)])
}

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(seconds, 0).unwrap()
}

type Answer = Result<Response, Unreachable>;

#[expect(clippy::unnecessary_wraps, reason = "a route may also give no answer")]
fn answer(status: u16, headers: &[(&'static str, &str)], body: &str) -> Answer {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
    }
    Ok(Response { status, headers: map, body: body.as_bytes().to_vec().into() })
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

fn authorization(request: &Request) -> &str {
    request.headers.get("authorization").map_or("", |value| value.to_str().unwrap())
}

/// A JWT with these claims and a made-up signature.
fn jwt(claims: &str) -> String {
    format!("{}.{}.c2ln", URL_SAFE_NO_PAD.encode("{}"), URL_SAFE_NO_PAD.encode(claims))
}

/// Verifies against `routes` at second 1000, and gives the verdict in short with the requests that were sent.
fn verify(credential: &Credential, routes: impl Fn(&Request) -> Answer + Sync) -> (Verdict, Vec<String>) {
    verify_through(None, credential, routes)
}

/// As [`verify`], with the usable form of another credential.
fn verify_through(
    source: Option<&Issued>,
    credential: &Credential,
    routes: impl Fn(&Request) -> Answer + Sync,
) -> (Verdict, Vec<String>) {
    let env = Env::invented(Path::new("/none"), Path::new("/"), &[]);
    let sent = Mutex::new(Vec::new());
    let http = |request: Request| {
        let secret = if authorization(&request).is_empty() && request.body.is_none() { "" } else { " +secret" };
        sent.lock().unwrap().push(format!("{} {}{secret}", request.method, request.url));
        routes(&request)
    };
    let verdict = PROVIDER.verify(credential, source, &Net { http: &http, env: &env, now: at(1000) });
    (verdict, sent.into_inner().unwrap())
}

fn outcome(credential: &Credential, routes: impl Fn(&Request) -> Answer + Sync) -> Outcome {
    verify(credential, routes).0.outcome
}

#[test]
fn the_examples_of_the_fields_pass_their_checks() {
    for field in KINDS.iter().flat_map(|kind| kind.fields) {
        assert_eq!((field.check)(field.example), Ok(()), "{}", field.name);
    }
}

#[test]
fn marks_match_what_they_are_for_and_hold_their_keyword() {
    for (text, secret) in [
        ("x dckr_pat_abcdefghijklmnopqrstuvwxyz0 y", "dckr_pat_abcdefghijklmnopqrstuvwxyz0"),
        ("dckr_oat_abcdefghijklmnopqrstuvwxyz012345", "dckr_oat_abcdefghijklmnopqrstuvwxyz012345"),
        (r#"{"auth": "YWxpY2U6cGFzc3dvcmQ="}"#, "YWxpY2U6cGFzc3dvcmQ="),
        (&format!("p={}+ACRabcdef", "a".repeat(42)), &format!("{}+ACRabcdef", "a".repeat(42))),
    ] {
        let found = MARKS.iter().filter(|mark| text.contains(mark.keyword)).find_map(|mark| {
            let expression = regex::Regex::new(mark.pattern).unwrap();
            Some(expression.captures(text)?.get(1)?.as_str().to_owned())
        });
        assert_eq!(found.as_deref(), Some(secret), "{text}");
    }
    for mark in &MARKS {
        assert!(KINDS.iter().any(|kind| kind.id == mark.kind && kind.field(mark.field).is_some()));
    }
}

#[test]
fn what_is_known_of_a_password_is_derived() {
    let key = r#"{"type":"service_account","client_email":"ci@p.iam.gserviceaccount.com"}"#;
    for (url, password, username) in [
        ("europe-docker.pkg.dev", key, "_json_key"),
        ("eu.gcr.io", "ya29.token", "oauth2accesstoken"),
        ("corp.azurecr.io", &jwt(r#"{"exp":5}"#), NOBODY),
        ("123456789012.dkr.ecr.eu-west-1.amazonaws.com", "made-elsewhere", "AWS"),
    ] {
        let credential = credential(&[("url", url), ("password", password)]);
        assert_eq!(credential.field("username"), Some(username), "{url}");
    }
}

#[test]
fn an_ecr_registry_takes_its_region_from_its_address_and_its_password_from_keys() {
    let url = "123456789012.dkr.ecr.eu-west-1.amazonaws.com";
    let found = credential(&[("url", url), ("source", "aws-prod"), ("username", "AWS"), ("password", "old")]);
    assert_eq!(found.metadata.kind.id, "registry_ecr");
    assert_eq!(found.field("region"), Some("eu-west-1"));
    assert!(found.secrets.is_empty());
    assert_eq!(PROVIDER.source(&found.metadata), Some("aws-prod"));
    let env = Env::invented(Path::new("/none"), Path::new("/"), &[]);
    let mut raw = Raw::new();
    raw.plain("url", url);
    let kind = PROVIDER.complete(&mut raw, &Here { env: &env, given: &BTreeMap::new() }).unwrap();
    assert_eq!(raw.missing(kind), ["source"], "nothing else is to be asked for");
    let refused = Fields::parse(kind, raw).unwrap_err();
    assert_eq!(refused.to_string(), "the ECR registry lacks source");
    // Without its keys it fails as that, and not as an invalid credential.
    let (verdict, sent) = verify(&found, |_| panic!("nothing is sent"));
    assert_eq!((verdict.outcome, sent.len()), (Outcome::Unexpected, 0));
}

#[test]
fn values_that_no_registry_has_are_refused() {
    let env = Env::invented(Path::new("/none"), Path::new("/"), &[]);
    let parsed = |values: &[(&str, &str)]| {
        let mut raw = Raw::new();
        for (name, value) in values {
            raw.plain(name, value);
        }
        match PROVIDER.complete(&mut raw, &Here { env: &env, given: &BTreeMap::new() }) {
            Ok(kind) => Fields::parse(kind, raw).unwrap_err().to_string(),
            Err(failure) => failure.to_string(),
        }
    };
    let rest = [("username", "alice"), ("password", "p")];
    let with = |more: &[(&'static str, &'static str)]| parsed(&[&rest[..], more].concat());
    assert_eq!(with(&[]), "the registry login lacks url");
    assert!(with(&[("url", "http://registry.example.com")]).starts_with("url of the registry login is malformed"));
    assert!(with(&[("url", "ghcr.io"), ("flavour", "quay")]).starts_with("flavour of the registry login"));
    assert!(with(&[("url", "ghcr.io"), ("username", "a:b")]).starts_with("username of the registry login"));
}

#[test]
fn hosts_are_those_that_the_password_goes_to() {
    let hosts = |values: &[(&str, &str)]| {
        let rest = [("username", "alice"), ("password", "p")];
        PROVIDER.hosts(&credential(&[&rest[..], values].concat()).metadata).join(" ")
    };
    assert_eq!(hosts(&[("url", "Registry.Example.com:5000")]), "registry.example.com:5000");
    assert_eq!(hosts(&[("url", "http://localhost")]), "localhost:80");
    assert_eq!(hosts(&[("url", "docker.io")]), "registry-1.docker.io docker.io auth.docker.io index.docker.io hub.docker.com");
    assert_eq!(
        hosts(&[("url", "docker.io"), ("endpoint", "http://127.0.0.1:9")]),
        "registry-1.docker.io docker.io auth.docker.io index.docker.io 127.0.0.1:9"
    );
    assert_eq!(hosts(&[("url", "ghcr.io")]), "ghcr.io api.github.com");
    assert_eq!(
        hosts(&[("url", "r.example.com"), ("token_server", "https://sso.example.net/auth")]),
        "r.example.com sso.example.net"
    );
}

#[test]
fn what_is_handed_over_is_what_the_tools_read() {
    let exported = |credential: &Credential| {
        let password = credential.secret("password").unwrap().duplicate();
        let username = credential.field("username").unwrap().to_owned();
        let issued = Issued::lasting(Material::Basic { username, password });
        PROVIDER
            .export(credential, &issued)
            .into_iter()
            .map(|variable| match variable {
                Variable::Value { name, value, .. } => format!("{name}={}", value.expose()),
                Variable::File { name, file, content: Content::Text(text) } => {
                    format!("{name}:{file}={}", text.expose().trim_end())
                }
                other => panic!("{other:?}"),
            })
            .collect::<Vec<_>>()
    };
    let file = r#"{"auths":{"https://index.docker.io/v1/":{"auth":"YWxpY2U6cA=="}}}"#;
    assert_eq!(
        exported(&alice("docker.io", "p")),
        [
            format!("DOCKER_AUTH_CONFIG={file}"),
            format!("REGISTRY_AUTH_FILE:auth.json={file}"),
            format!("HELM_REGISTRY_CONFIG:config.json={file}")
        ]
    );
    let token = credential(&[("url", "r.example"), ("username", IDENTITY_TOKEN), ("password", "t")]);
    let file = r#"{"auths":{"r.example":{"auth":"PHRva2VuPjo=","identitytoken":"t"}}}"#;
    assert_eq!(
        exported(&token),
        [format!("REGISTRY_AUTH_FILE:auth.json={file}"), format!("HELM_REGISTRY_CONFIG:config.json={file}")]
    );
    let helm = exported(&alice("https://charts.example.com/stable", "p"));
    assert_eq!(helm.len(), 1);
    assert!(helm[0].starts_with("HELM_REPOSITORY_CONFIG:repositories.yaml=apiVersion: v1\n"), "{helm:?}");
}

#[test]
fn replacing_says_what_to_do_instead() {
    use crate::error::Failure;
    let rotation = PROVIDER.rotation().unwrap();
    let refused = rotation.can(&alice("ghcr.io", "p").metadata).unwrap_err();
    assert_eq!(refused.to_string(), "ghcr.io has no way to replace the password of reg by itself");
    assert!(refused.mend().unwrap().ends_with("`lanyard credentials update reg --field password=-`"));
    let ecr = credential(&[("url", "public.ecr.aws"), ("source", "aws-prod")]);
    assert!(rotation.can(&ecr.metadata).unwrap_err().mend().unwrap().ends_with("`lanyard credentials rotate aws-prod`"));
}

#[test]
fn a_token_tells_when_it_expires() {
    let token = alice("corp.jfrog.io", &jwt(r#"{"exp":2000}"#));
    let fields = Fields { kind: &KINDS[0], plain: BTreeMap::new(), secrets: token.secrets };
    assert_eq!(PROVIDER.expires(&fields), Some(at(2000)));
    for password in ["plain", "a.b.c", "a..", &jwt("[]"), &jwt(r#"{"exp":"soon"}"#), &jwt(r#"{"exp":1e300}"#)] {
        let fields = Fields {
            kind: &KINDS[0],
            plain: BTreeMap::new(),
            secrets: alice("r.example", password).secrets,
        };
        assert_eq!(PROVIDER.expires(&fields), None, "{password}");
    }
}

/// Nobody answers, in each way in which nobody answers.
#[test]
fn silence_says_nothing_about_a_credential() {
    let origin = || "https://h".to_owned();
    for url in ["r.example.com", "docker.io", "ghcr.io", "corp.jfrog.io", "https://charts.example.com/a"] {
        let credential = alice(url, "p");
        let slow = |_: &Request| Err(Unreachable::Slow { origin: origin(), after: crate::http::TIMEOUT });
        assert_eq!(outcome(&credential, slow), Outcome::Unreachable, "{url}");
        let tls = |_: &Request| Err(Unreachable::Tls { origin: origin(), cause: Reason("no".into()) });
        assert_eq!(outcome(&credential, tls), Outcome::Tls, "{url}");
        for (status, meant) in [(429, Outcome::RateLimited), (500, Outcome::Unreachable), (503, Outcome::Unreachable)] {
            assert_eq!(outcome(&credential, |_| answer(status, &[], "")), meant, "{url} {status}");
        }
        for (status, body) in [(200, "<html>Sign in</html>"), (302, ""), (404, ""), (418, "{}")] {
            assert_eq!(outcome(&credential, |_| answer(status, &[], body)), Outcome::Unexpected, "{url} {status}");
        }
    }
}
