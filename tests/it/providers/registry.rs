//! Registries: Debian's docker-registry with a password and with tokens, Helm repositories under nginx, and skopeo as
//! the second client.

use std::path::Path;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tempfile::TempDir;

use super::foreground::Foreground;
use crate::canary::{Canary, Sweep, Watch};
use crate::double::{Answer, Double};
use crate::peers::free_port;
use crate::stage::{Outcome, Stage};
use crate::vaulted::{self, list, reveal};

/// A docker-registry, with its token server where it has one.
pub struct DockerRegistry {
    folder: TempDir,
    pub host: String,
    servers: Vec<Foreground>,
}

impl DockerRegistry {
    pub fn with_password() -> Self {
        Self::start(None)
    }

    /// With a token server; `open` lets in whoever comes without a password.
    pub fn with_tokens(open: &str) -> Self {
        Self::start(Some(open))
    }

    fn start(open: Option<&str>) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().to_str().unwrap();
        let port = free_port();
        let mut words = vec![path.to_owned(), port.to_string()];
        let mut servers = Vec::new();
        if let Some(open) = open {
            let token_port = free_port();
            words.push(token_port.to_string());
            servers.push(Foreground::start(
                "docker-registry/token_server.py",
                token_port,
                &[path, &token_port.to_string(), open],
            ));
        }
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        servers.push(Foreground::start("docker-registry/up.sh", port, &words));
        Self { folder, host: format!("127.0.0.1:{port}"), servers }
    }
}

pub fn store(stage: &Stage, url: &str, password: &str, more: &[&str]) -> Outcome {
    let words = ["credentials", "store", "registry", url, "--username", "alice", "--password", "-"];
    stage.run_with(&[&words[..], more].concat(), format!("{password}\n").as_bytes())
}

fn skopeo(home: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new("skopeo");
    command.args(arguments).env_clear().env("PATH", "/usr/bin:/bin").env("HOME", home);
    command.output().expect("skopeo is installed; tests/run does that")
}

#[test]
fn a_password_is_stored_tested_handed_to_skopeo_and_deleted() {
    let mut registry = DockerRegistry::with_password();
    let stage = vaulted::stage();
    let refused = store(&stage, &registry.host, "wrong", &[]).ends(8);
    assert!(refused.stderr().contains("does not accept this user name and password"), "{refused}");
    assert!(list(&stage).is_empty());

    let stored = store(&stage, &registry.host, "alice-password", &[]).ends(0);
    let name = registry.host.as_str();
    assert_eq!(stored.stderr(), format!("✓ Stored {name} (registry login), active: alice\n"));
    assert_eq!(reveal(&stage, name, "password"), "alice-password");
    let shown = list(&stage).remove(0);
    assert_eq!(shown["fields"]["url"], format!("http://{name}"));
    assert_eq!(shown["fields"]["flavour"], "oci");
    assert_eq!(stage.run(&["credentials", "test", name]).ends(0).stdout(), format!("{name}  PASSED: alice\n"));

    let file = stage.home().join("auth.json");
    stage.run(&["credentials", "export", name, "--format", "docker-config", "--to", "auth.json"]).ends(0);
    let login = ["login", "--tls-verify=false", "--authfile", file.to_str().unwrap(), name];
    let output = skopeo(&stage.home(), &login);
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("Existing credentials are valid"), "{output:?}");

    let rotated = stage.run(&["credentials", "rotate", name]).ends(1);
    assert!(rotated.stderr().contains(&format!("make a new password or token at {name}")), "{rotated}");
    registry.servers.clear();
    let tested = stage.run(&["credentials", "test", name, "--json"]).ends(8).json();
    assert_eq!(tested[0]["outcome"], "unreachable");
    assert_eq!(list(&stage)[0]["status"], "active", "silence says nothing about it");
    stage.run(&["credentials", "delete", name, "--yes"]).ends(0);
}

#[test]
fn tokens_are_fetched_where_the_registry_says() {
    for open in ["", "open"] {
        let registry = DockerRegistry::with_tokens(open);
        let stage = vaulted::stage();
        store(&stage, &registry.host, "wrong", &[]).ends(8);
        let stored = store(&stage, &registry.host, "alice-password", &[]).ends(0);
        assert!(stored.stderr().ends_with("active: alice\n"), "{stored}");
        let identity = |token: &str, name: &str| {
            let url = registry.host.as_str();
            let words = ["credentials", "store", "registry", url, "--username", "<token>", "--name", name];
            stage.run_with(&[&words[..], &["--password", "-"]].concat(), token.as_bytes())
        };
        identity("of-alice", "identity").ends(0);
        let refused = identity("of-nobody", "other").ends(8);
        assert!(refused.stderr().contains("does not accept"), "{refused}");
        stage.run(&["credentials", "export", "identity", "--format", "docker-config", "--to", "auth.json"]).ends(0);
        let file = stage.home().join("auth.json");
        // Whoever is let in is told that there is no such repository; the others are told nothing.
        let nothing = format!("docker://{}/nothing", registry.host);
        let told = |more: &[&str]| {
            let words = [&["list-tags", "--tls-verify=false"], more, &[&nothing]].concat();
            String::from_utf8(skopeo(&stage.home(), &words).stderr).unwrap()
        };
        let (with, without) = (told(&["--authfile", file.to_str().unwrap()]), told(&["--no-creds"]));
        assert!(with.contains("404 (Not Found)") && !without.contains("404"), "{with} {without}");
        assert_eq!(registry.servers.len(), 2);
        assert!(registry.folder.path().join("token.crt").exists());
    }
}

#[test]
fn what_skopeo_has_logged_in_to_is_found() {
    let registry = DockerRegistry::with_password();
    let stage = vaulted::stage();
    let file = stage.home().join(".docker/config.json");
    std::fs::create_dir(stage.home().join(".docker")).unwrap();
    let login =
        ["login", "--tls-verify=false", "--authfile", file.to_str().unwrap(), "-u", "alice", "-p", "alice-password"];
    let output = skopeo(&stage.home(), &[&login[..], &[&registry.host]].concat());
    assert!(output.status.success(), "{output:?}");
    let stored = stage.run(&["credentials", "store", "registry", &registry.host, "--name", "reg"]).ends(0);
    let place = format!("~/.docker/config.json [{}]", registry.host);
    let told = stored.stderr();
    assert!(told.contains(&format!("Stored reg (registry login, from {place}), active: alice")), "{told}");
    assert!(told.contains(&format!("it still lies in plain text in {place}")), "{told}");
    std::fs::write(&file, "{\"auths\":\n{\"h\":{\"auth\":\"LNYCANARY\"}}}").unwrap();
    let broken = stage.run(&["credentials", "store", "registry", &registry.host]).ends(1);
    assert!(broken.stderr().contains("an auth is no base64 at line 2"), "{broken}");
    assert!(!broken.stderr().contains("LNYCANARY"), "{broken}");
}

#[test]
fn a_helm_repository_is_asked_for_its_index() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let port = free_port();
    let _nginx = Foreground::start("helm/up.sh", port, &[folder.path().to_str().unwrap(), &port.to_string()]);
    let stage = vaulted::stage();
    let url = format!("http://127.0.0.1:{port}/charts");
    store(&stage, &url, "wrong", &["--name", "charts"]).ends(8);
    let stored = store(&stage, &url, "alice-password", &["--name", "charts"]).ends(0);
    assert!(stored.stderr().ends_with("Stored charts (registry login), active: alice\n"), "{stored}");
    let open = store(&stage, &format!("http://127.0.0.1:{port}/open"), "any", &["--name", "open"]).ends(0);
    assert!(open.stderr().ends_with("Stored open (registry login), unverified\n"), "{open}");
    let missing = store(&stage, &format!("http://127.0.0.1:{port}/none"), "any", &["--name", "none"]).ends(0);
    assert!(missing.stderr().contains("has no index of charts there"), "{missing}");
    let exported = stage.run(&["credentials", "export", "charts", "--format", "helm-repositories"]).ends(0);
    assert!(exported.stdout().contains(&format!("  url: \"{url}\"\n  username: \"alice\"\n")), "{exported}");

    // What was handed over is found again where helm looks.
    std::fs::create_dir_all(stage.home().join(".config/helm")).unwrap();
    std::fs::write(stage.home().join(".config/helm/repositories.yaml"), exported.stdout()).unwrap();
    let found = stage.run(&["credentials", "store", "registry", &url, "--name", "again"]).ends(0);
    assert!(found.stderr().contains("from ~/.config/helm/repositories.yaml [charts]), active: alice"), "{found}");
}

#[test]
fn docker_hub_is_asked_at_the_endpoint_and_nothing_leaks() {
    let canary = Canary::new();
    let secret = canary.text().to_owned();
    let hub = Double::start(move |seen| {
        let known = String::from_utf8_lossy(&seen.message.body).contains(&secret);
        match (seen.target.as_str(), known) {
            ("/v2/auth/token", true) => Answer::json(200, r#"{"access_token":"x"}"#),
            _ => Answer::json(401, r#"{"detail":"Incorrect authentication credentials"}"#),
        }
    });
    let stage = vaulted::stage();
    let watch = Watch::start();
    let endpoint = hub.url();
    let stored = store(&stage, "docker.io", canary.text(), &["--endpoint", &endpoint]).ends(0);
    assert_eq!(stored.stderr(), "✓ Stored docker.io (registry login), active: alice\n");
    store(&stage, "docker.io", "wrong", &["--endpoint", &endpoint, "--name", "wrong"]).ends(8);
    stage.run(&["credentials", "show", "docker.io"]).ends(0);
    stage.run(&["credentials", "test", "-vvv"]).ends(0);
    let mut sweep = Sweep::for_canaries(&[canary]);
    stage.sweep(&mut sweep);
    sweep.processes(&watch.stop()).assert_clean();
}

#[test]
fn odd_servers_never_make_a_password_invalid() {
    for (answer, outcome) in [
        (Answer::Close, "unreachable"),
        (Answer::text(200, "text/html", "<html>Welcome</html>"), "unexpected"),
        (Answer::json(429, "{}"), "rate_limited"),
        (Answer::json(500, "{}"), "unreachable"),
        (Answer::json(404, "{}"), "unexpected"),
        (Answer::json(302, "").header("Location: https://evil.example/"), "unreachable"),
        (Answer::json(401, "{}").header("WWW-Authenticate: Bearer realm=\"https://evil.example/token\""), "unexpected"),
    ] {
        let server = Double::always(answer);
        let stage = vaulted::stage();
        store(&stage, &server.url(), "any", &["--name", "reg"]).ends(0);
        let tested = stage.run(&["credentials", "test", "reg", "--json"]).ends(8).json();
        assert_eq!(tested[0]["outcome"], outcome);
        assert!(tested[0]["next"].as_str().is_some_and(|next| !next.is_empty()), "{tested}");
        assert!(server.requests().iter().all(|seen| seen.header("authorization").is_none()), "nothing was sent");
    }
}

#[test]
fn an_ecr_password_is_made_from_a_stored_key_whenever_it_is_used() {
    let made = |number: usize| format!("AWS:made-{number}");
    let aws = Double::start({
        let count = AtomicUsize::new(0);
        move |seen| {
            assert!(seen.header("authorization").is_some_and(|given| given.starts_with("AWS4-HMAC-SHA256 ")));
            let token = STANDARD.encode(made(count.fetch_add(1, Ordering::SeqCst)));
            let data = serde_json::json!({"authorizationToken": token, "expiresAt": 4_102_444_800.0});
            Answer::json(200, &serde_json::json!({"authorizationData": [data]}))
        }
    });
    let registry = Double::start(|seen| match seen.header("authorization") {
        Some(given) if given.starts_with("Basic QVdTOm1hZGUt") => Answer::json(200, "{}"),
        _ => Answer::json(401, "").header("WWW-Authenticate: Basic realm=\"ecr\""),
    });
    let mut stage = vaulted::stage();
    stage.set("AWS_ENDPOINT_URL_ECR", aws.url());
    let canary = Canary::new();
    let keys = ["credentials", "store", "aws", "--access-key-id", "AKIAIOSFODNN7EXAMPLE", "--secret-access-key", "-"];
    let more = ["--no-verify", "--name", "keys"];
    stage.run_with(&[&keys[..], &more].concat(), canary.text().as_bytes()).ends(0);
    let (url, ecr) = (registry.url(), ["--flavour", "ecr", "--region", "eu-west-1", "--name", "ecr"]);
    let words = ["credentials", "store", "registry", &url, "--source", "keys"];
    let stored = stage.run(&[&words[..], &ecr].concat()).ends(0);
    assert!(stored.stderr().contains("Stored ecr (ECR registry), active"), "{stored}");
    let file = || stage.run(&["credentials", "export", "ecr", "--format", "docker-config"]).ends(0).json();
    let auth = |json: &serde_json::Value| json["auths"][url.trim_start_matches("http://")]["auth"].clone();
    let (first, second) = (auth(&file()), auth(&file()));
    assert!(first.is_string() && first != second, "each is made afresh: {first} {second}");
    let rotated = stage.run(&["credentials", "rotate", "ecr"]).ends(1);
    assert!(rotated.stderr().contains("`lanyard credentials rotate keys`"), "{rotated}");
    let missing = stage.run(&[&words[..5], &["other"], &ecr].concat());
    assert_ne!(missing.code, Some(0));
    assert!(missing.stderr().contains("other"), "{missing}");
    let mut sweep = Sweep::for_canaries(&[canary]);
    stage.sweep(&mut sweep);
    sweep.assert_clean();
}
