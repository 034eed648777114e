//! Every variable by which an official tool is told of another address: the request arrives there, and nowhere else.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Mutex;

use super::*;
use crate::http::{HeaderMap, Response};
use crate::provider::gcp;

/// How a credential comes to be used.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// The provider is asked whether it is good.
    Asked,
    /// It is replaced.
    Replaced,
    /// Nobody can be asked: the hosts that it may be sent to tell.
    Told,
}

/// A variable, the kind that it is for, the values that decide where it is sent, and how it is used.
type Row = (&'static str, &'static str, &'static [(&'static str, &'static str)], Way);

const ECR: &[(&str, &str)] = &[("url", "123456789012.dkr.ecr.eu-west-1.amazonaws.com"), ("source", "keys")];
const ROWS: [Row; 23] = [
    ("AWS_ENDPOINT_URL", "aws_static", &[], Way::Asked),
    ("AWS_ENDPOINT_URL", "aws_assume_role", &[("role_arn", "arn:aws:iam::1:role/a"), ("source", "keys")], Way::Asked),
    ("AWS_ENDPOINT_URL", "registry_ecr", ECR, Way::Asked),
    ("AWS_ENDPOINT_URL_STS", "aws_static", &[], Way::Asked),
    (
        "AWS_ENDPOINT_URL_STS",
        "aws_assume_role",
        &[("role_arn", "arn:aws:iam::1:role/a"), ("source", "keys")],
        Way::Asked,
    ),
    ("AWS_ENDPOINT_URL_IAM", "aws_static", &[], Way::Replaced),
    ("AWS_ENDPOINT_URL_ECR", "registry_ecr", ECR, Way::Asked),
    ("AWS_ENDPOINT_URL_ECR_PUBLIC", "registry_ecr", &[("url", "public.ecr.aws"), ("source", "keys")], Way::Asked),
    ("CLOUDSDK_AUTH_TOKEN_HOST", "gcp_service_account", &[], Way::Asked),
    ("CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDRESOURCEMANAGER", "gcp_service_account", &[], Way::Asked),
    ("CLOUDSDK_API_ENDPOINT_OVERRIDES_IAM", "gcp_service_account", &[], Way::Replaced),
    ("CLOUDFLARE_BASE_URL", "cloudflare_api_token", &[], Way::Asked),
    ("CLOUDFLARE_API_BASE_URL", "cloudflare_api_token", &[], Way::Asked),
    ("HCLOUD_ENDPOINT", "hetzner_api_token", &[], Way::Asked),
    ("OVH_ENDPOINT", "ovh_api", &[], Way::Asked),
    ("OPENAI_BASE_URL", "api_key", &[("service", "openai")], Way::Asked),
    ("ANTHROPIC_BASE_URL", "api_key", &[("service", "anthropic")], Way::Asked),
    ("DIGITALOCEAN_API_URL", "api_key", &[("service", "digitalocean")], Way::Asked),
    ("NPM_CONFIG_REGISTRY", "api_key", &[("service", "npm")], Way::Asked),
    ("npm_config_registry", "api_key", &[("service", "npm")], Way::Asked),
    ("HF_ENDPOINT", "api_key", &[("service", "huggingface")], Way::Asked),
    ("TWINE_REPOSITORY_URL", "api_key", &[("service", "pypi")], Way::Told),
    ("UV_PUBLISH_URL", "api_key", &[("service", "pypi")], Way::Told),
];
/// What is named like one and is none: a switch, what is handed to tools alone.
const NO_PLACES: [&str; 2] = ["AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "GITEA_BASE_URL"];
/// Variables of systems that are asked in several places, of which one is elsewhere.
const ONE_OF_SEVERAL: [&str; 3] = [
    "CLOUDSDK_AUTH_TOKEN_HOST",
    "CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDRESOURCEMANAGER",
    "CLOUDSDK_API_ENDPOINT_OVERRIDES_IAM",
];
const HERE: &str = "double.example";

/// The credential that is stored where the variable is set.
fn stored(kind: &'static Kind, provider: &dyn Provider, fields: &[(&str, &str)], env: &Env) -> Credential {
    let given = BTreeMap::new();
    let mut raw = Raw::new();
    for (name, value) in fields {
        raw.plain(name, value);
    }
    if kind.field("key_file").is_some() {
        raw.plain("key_file", &gcp::tests::key_file(serde_json::json!({})));
    }
    let chosen = provider.complete(&mut raw, &Here { env, given: &given }).unwrap();
    assert_eq!(chosen.id, kind.id);
    for field in kind.fields.iter().filter(|field| field.required) {
        raw.fill(field.name, Secret::new(field.example.to_owned()));
    }
    credential("work", Fields::parse(kind, raw).unwrap())
}

#[test]
fn a_request_arrives_where_the_official_variable_says() {
    for (variable, kind, fields, way) in ROWS {
        let place = format!("{variable} of {kind}");
        let env = Env::invented(Path::new("/n"), Path::new("/n"), &[(variable, "https://double.example/base")]);
        let (provider, kind) = by_kind(kind).unwrap();
        let credential = stored(kind, provider, fields, &env);
        if way == Way::Told {
            assert_eq!(provider.hosts(&credential.metadata), [HERE], "{place}");
            continue;
        }
        let hosts = Mutex::new(Vec::new());
        let http = |request: Request| {
            hosts.lock().unwrap().push(request.url.host_str().unwrap_or_default().to_owned());
            let body = br#"{"access_token":"t","token_type":"Bearer","expires_in":3600}"#.to_vec();
            Ok(Response { status: 200, headers: HeaderMap::new(), body: body.into() })
        };
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let net = Net { http: &http, env: &env, now };
        let keys = Material::AwsKeys {
            access_key_id: "AKIAIOSFODNN7EXAMPLE".into(),
            secret_access_key: Secret::new("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".into()),
            session_token: None,
        };
        let source = kind.field("source").map(|_| Issued::lasting(keys));
        if way == Way::Asked {
            verify(provider, &credential, source.as_ref(), &net);
        } else {
            // The answer is none that makes a key; what counts is whom it was asked for.
            drop(provider.rotation().unwrap().mint(&credential, None, &net));
        }
        let hosts = hosts.into_inner().unwrap();
        let fits = |host: &String| host == HERE;
        assert!(hosts.iter().any(fits), "{place}: {hosts:?}");
        assert!(ONE_OF_SEVERAL.contains(&variable) || hosts.iter().all(fits), "{place}: {hosts:?}");
    }
}

#[test]
fn no_variable_that_names_a_place_is_left_out() {
    let named = regex::Regex::new(
        r#""([A-Z][A-Z0-9_]*(?:_ENDPOINT|_ENDPOINT_[A-Z_]+|_BASE_URL|_API_URL|_REPOSITORY_URL|_PUBLISH_URL|_CONFIG_REGISTRY|_TOKEN_HOST))""#,
    );
    let named = named.unwrap();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src/provider")];
    let mut found = BTreeSet::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.extend(Some(path).filter(|path| !path.ends_with("tests")));
            } else if path.extension().is_some_and(|ending| ending == "rs") && !path.ends_with("tests.rs") {
                let text = std::fs::read_to_string(path).unwrap();
                let program = text.split("#[cfg(test)]").next().unwrap();
                found.extend(named.captures_iter(program).map(|found| found[1].to_owned()));
            }
        }
    }
    let known = |name: &String| ROWS.iter().any(|row| row.0 == name) || NO_PLACES.contains(&name.as_str());
    let unknown: Vec<&String> = found.iter().filter(|name| !known(name)).collect();
    assert!(unknown.is_empty(), "a row is missing for {unknown:?}");
    for name in ROWS.iter().map(|row| row.0).filter(|name| *name != "npm_config_registry") {
        assert!(found.contains(name), "nobody reads {name}");
    }
}
