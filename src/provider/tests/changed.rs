//! What follows when a value changes, and what stays.

use std::collections::BTreeMap;

use crate::credential::tests::credential;
use crate::credential::{Class, Fields, Raw};
use crate::os::Env;
use crate::provider::{Here, Provider, ProviderError, by_kind, changed};

/// Its private half is nobody's.
const KEY: &str = "-----BEGIN EC PRIVATE KEY-----
MHcCAQEEIOYfkLRCR2GwAhxRVYuuePYIstYPa4VM6/ywa+R86ECloAoGCCqGSM49
AwEHoUQDQgAEVS+QnHsWsOyauUMm3WL7QY5BfChUo8T3FFWkD+mPhxmiZ9YzCZEm
35ws8jm3znMDO8sXKintib7J4KHCpK/b1w==
-----END EC PRIVATE KEY-----
";

fn raw(values: &[(&str, &str)]) -> Raw {
    let mut raw = Raw::new();
    for (name, value) in values {
        raw.plain(name, value);
    }
    raw
}

/// The values that are no secret, of a credential that was stored with `old` and updated with `new`.
fn updated(
    kind: &str,
    old: &[(&str, &str)],
    new: &[(&str, &str)],
    unset: &[&str],
) -> Result<BTreeMap<String, String>, ProviderError> {
    let (provider, kind) = by_kind(kind).unwrap();
    let stored = completed(provider, raw(old))?;
    let stored = credential("work", Fields::parse(kind, stored).unwrap());
    let raw = changed(provider, &stored, raw(new), |name| unset.contains(&name))?;
    Ok(Fields::parse(kind, raw)?.plain)
}

fn completed(provider: &dyn Provider, mut raw: Raw) -> Result<Raw, ProviderError> {
    let (env, given) = (Env::empty(), BTreeMap::new());
    provider.complete(&mut raw, &Here { env: &env, given: &given })?;
    Ok(raw)
}

fn example(kind: &str, field: &str) -> &'static str {
    by_kind(kind).unwrap().1.field(field).unwrap().example
}

#[test]
fn the_public_half_follows_the_private_key_and_a_comment_of_ones_own_stays() {
    let private = example("ssh_key", "private_key");
    let old = updated("ssh_key", &[("private_key", private), ("host", "github.com")], &[], &[]).unwrap();
    let new = updated("ssh_key", &[("private_key", private), ("host", "github.com")], &[("private_key", KEY)], &[]);
    let new = new.unwrap();
    assert!(new["public_key"].starts_with("ecdsa-sha2-nistp256 ") && old["public_key"].starts_with("ssh-ed25519 "));
    assert_ne!(new["fingerprint"], old["fingerprint"]);
    assert!(old.contains_key("comment") && !new.contains_key("comment"), "the new key has none: {new:?}");
    assert_eq!(new["host"], "github.com");

    let own = [("private_key", private), ("comment", "mine")];
    let new = updated("ssh_key", &own, &[("private_key", KEY)], &[]).unwrap();
    assert!(new["public_key"].starts_with("ecdsa-sha2-nistp256 ") && new["public_key"].ends_with(" mine"), "{new:?}");
    assert_eq!(new["comment"], "mine");
    let renamed = updated("ssh_key", &own, &[("comment", "yours")], &[]).unwrap();
    assert!(renamed["public_key"].ends_with(" yours"), "{renamed:?}");
}

#[test]
fn what_a_host_or_a_token_tells_follows_and_where_it_goes_stays() {
    let github = [("host", "github.com"), ("token", "ghp_0123456789abcdefghij")];
    let stored = updated("git", &github, &[], &[]).unwrap();
    assert_eq!((stored["service"].as_str(), stored["username"].as_str()), ("github", "x-access-token"));
    let moved = updated("git", &github, &[("host", "gitlab.com"), ("token", "glpat-0123456789abcdef")], &[]).unwrap();
    assert_eq!((moved["service"].as_str(), moved["username"].as_str()), ("gitlab", "oauth2"));
    let token = updated("git", &github, &[("token", "0123456789abcdef0123456789abcdef01234567")], &[]).unwrap();
    assert_eq!((token["host"].as_str(), token["service"].as_str()), ("github.com", "github"));
    let own = [&github[..], &[("username", "ann")]].concat();
    let token = updated("git", &own, &[("token", "ghp_9876543210abcdefghij")], &[]).unwrap();
    assert_eq!(token["username"], "ann");

    let registry = [("url", "https://ghcr.io"), ("username", "ann"), ("password", "p")];
    let moved = updated("registry", &registry, &[("url", "https://registry.example.com")], &[]).unwrap();
    assert_eq!((moved["flavour"].as_str(), moved["username"].as_str()), ("oci", "ann"));
    let harbor = [("url", "https://r.example.com"), ("flavour", "harbor"), ("username", "ann"), ("password", "p")];
    assert_eq!(updated("registry", &harbor, &[("password", "q")], &[]).unwrap()["flavour"], "harbor");
    let ecr = [("url", "https://123456789012.dkr.ecr.eu-west-1.amazonaws.com"), ("source", "aws")];
    let moved = [("url", "https://123456789012.dkr.ecr.us-east-1.amazonaws.com")];
    assert_eq!(updated("registry_ecr", &ecr, &moved, &[]).unwrap()["region"], "us-east-1");
}

#[test]
fn what_stands_in_a_file_follows_the_file_and_what_was_given_beside_it_stays() {
    let file = example("gcp_service_account", "key_file");
    let email = completed(by_kind("gcp_service_account").unwrap().0, raw(&[("key_file", file)])).unwrap();
    let email = email.get("client_email").unwrap().expose().to_owned();
    let other = file.replace(&email, "other@other-project.iam.gserviceaccount.com");
    let new = updated("gcp_service_account", &[("key_file", file)], &[("key_file", &other)], &[]).unwrap();
    assert_eq!(new["client_email"], "other@other-project.iam.gserviceaccount.com");
    let chosen = [("key_file", file), ("project_id", "mine")];
    let new = updated("gcp_service_account", &chosen, &[("key_file", &other)], &[]).unwrap();
    assert_eq!(new["project_id"], "mine");
    let user = [("client_id", "c"), ("client_secret", "s"), ("refresh_token", "1//0a"), ("project_id", "mine")];
    let new = updated("gcp_authorized_user", &user, &[("refresh_token", "1//0b")], &[]).unwrap();
    assert_eq!(new["project_id"], "mine");

    let kubeconfig = example("kubeconfig", "kubeconfig");
    let other = kubeconfig.replace("dev", "prod");
    let new = updated("kubeconfig", &[("kubeconfig", kubeconfig)], &[("kubeconfig", &other)], &[]).unwrap();
    assert_eq!((new["context"].as_str(), new["server"].as_str()), ("prod", "https://prod.example.com:6443"));

    let new = updated("file", &[("file_name", "a"), ("content", "YWJj")], &[("content", "YWJjZA==")], &[]).unwrap();
    assert_eq!((new["file_name"].as_str(), new["size"].as_str()), ("a", "4"));
}

#[test]
fn what_is_taken_out_stays_out_and_the_surroundings_play_no_part() {
    let aws = [
        ("access_key_id", "AKIAQWERTYUIOPASDFGH"),
        ("secret_access_key", "0123456789012345678901234567890123456789"),
        ("region", "eu-west-1"),
    ];
    assert!(!updated("aws_static", &aws, &[], &["region"]).unwrap().contains_key("region"));
    assert!(!updated("aws_static", &aws[..2], &aws[..1], &[]).unwrap().contains_key("region"));
    let key = [("private_key", example("ssh_key", "private_key"))];
    assert!(!updated("ssh_key", &key, &[], &["comment"]).unwrap().contains_key("comment"));
    assert!(updated("ssh_key", &key, &[], &["private_key", "public_key"]).is_err(), "nothing is left of it");
    let temporary = updated("aws_static", &aws, &[("access_key_id", "ASIAQWERTYUIOPASDFGH")], &[]).unwrap_err();
    assert!(temporary.to_string().contains("session_token"), "what cannot be is refused as when it is stored");
}

#[test]
fn no_secret_and_no_host_follows() {
    for kind in crate::provider::PROVIDERS.iter().flat_map(|provider| provider.kinds()) {
        for field in kind.fields.iter().filter(|field| field.follows || field.derived) {
            let may = field.class != Class::Secret && !["host", "url", "endpoint"].contains(&field.name);
            assert!(may, "{} of {}", field.name, kind.id);
        }
    }
}
