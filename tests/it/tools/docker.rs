//! skopeo, docker and Helm, which get passwords from `docker-credential-lanyard`, against Debian's docker-registry.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::double::{Answer, Double};
use crate::providers::k8s;
use crate::providers::registry::{DockerRegistry, store};
use crate::stage::{LANYARD, Stage};
use crate::vaulted::{self, list};

const NOT_FOUND: &str = "credentials not found in native keychain\n";

/// The program under the name that clients start.
fn program(stage: &Stage) -> PathBuf {
    let folder = stage.root().join("bin");
    std::fs::create_dir_all(&folder).unwrap();
    let program = folder.join("docker-credential-lanyard");
    if !program.exists() {
        std::os::unix::fs::symlink(LANYARD, &program).unwrap();
    }
    program
}

/// Runs the helper as a client would: exit code and stdout.
fn helper(stage: &Stage, verb: &str, input: &str) -> (Option<i32>, String) {
    let output = run(stage, &program(stage), &[verb], input, &[]);
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

fn run(stage: &Stage, program: &Path, arguments: &[&str], input: &str, variables: &[(&str, &str)]) -> Output {
    use std::io::Write;
    let mut command = Command::new(program);
    // What the tools of this test are told, and what their helper is told through them.
    let own = stage.command(&[]);
    command.env_clear().envs(own.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let path = format!("{}:{}", stage.root().join("bin").display(), k8s::clients());
    command.args(arguments).env("PATH", path).envs(variables.iter().copied()).current_dir(stage.home());
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("tests/run installs it");
    child.stdin.take().unwrap().write_all(input.as_bytes()).ok();
    child.wait_with_output().unwrap()
}

/// A configuration of docker in which this registry's passwords are ours.
fn config(stage: &Stage, host: &str) -> PathBuf {
    program(stage);
    let folder = stage.home().join(".docker");
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("config.json");
    std::fs::write(&file, json!({ "credHelpers": { host: "lanyard" } }).to_string()).unwrap();
    file
}

/// An image of nothing, as the Open Container Initiative lays images out in a folder.
fn image(stage: &Stage) -> String {
    let folder = stage.root().join("image");
    std::fs::create_dir_all(folder.join("blobs/sha256")).unwrap();
    let blob = |content: &Value, kind: &str| {
        let text = content.to_string();
        let digest = Sha256::digest(text.as_bytes()).iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
        std::fs::write(folder.join("blobs/sha256").join(&digest), &text).unwrap();
        json!({ "mediaType": kind, "digest": format!("sha256:{digest}"), "size": text.len() })
    };
    let rootfs = json!({ "type": "layers", "diff_ids": [] });
    let content = json!({ "architecture": "amd64", "os": "linux", "rootfs": rootfs, "config": {} });
    let config = blob(&content, "application/vnd.oci.image.config.v1+json");
    let kind = "application/vnd.oci.image.manifest.v1+json";
    let manifest = json!({ "schemaVersion": 2, "mediaType": kind, "config": config, "layers": [] });
    let mut manifest = blob(&manifest, kind);
    manifest["annotations"] = json!({ "org.opencontainers.image.ref.name": "demo" });
    std::fs::write(folder.join("index.json"), json!({ "schemaVersion": 2, "manifests": [manifest] }).to_string())
        .unwrap();
    std::fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    format!("oci:{}:demo", folder.display())
}

fn told(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn skopeo_signs_in_copies_and_signs_out() {
    let registry = DockerRegistry::with_password();
    let (stage, host) = (vaulted::stage(), registry.host.as_str());
    let file = config(&stage, host);
    let file = file.to_str().unwrap();
    let skopeo = |words: &[&str]| run(&stage, Path::new("/usr/bin/skopeo"), words, "", &[]);
    let login = |password: &str| {
        skopeo(&["login", "--tls-verify=false", "--authfile", file, "-u", "alice", "-p", password, host])
    };
    assert!(!login("wrong").status.success());
    assert!(list(&stage).is_empty());
    let output = login("alice-password");
    assert!(output.status.success(), "{}", told(&output));
    assert_eq!(list(&stage)[0]["tags"], json!(["stored-by-docker"]));
    let config = std::fs::read_to_string(file).unwrap();
    assert!(!config.contains(&STANDARD.encode("alice:alice-password")), "{config}");

    let remote = format!("docker://{host}/demo:1");
    let copy = skopeo(&["copy", "--dest-tls-verify=false", "--authfile", file, &image(&stage), &remote]);
    assert!(copy.status.success(), "{}", told(&copy));
    let inspect = |more: &[&str]| skopeo(&[&["inspect", "--tls-verify=false"], more, &[&remote]].concat());
    assert!(inspect(&["--authfile", file]).status.success());
    assert!(!inspect(&["--no-creds"]).status.success());

    let logout = skopeo(&["logout", "--authfile", file, host]);
    assert!(logout.status.success(), "{}", told(&logout));
    assert!(list(&stage).is_empty());
    assert!(!inspect(&["--authfile", file]).status.success());
}

#[test]
fn what_lanyards_user_stored_is_used_and_not_erased() {
    let registry = DockerRegistry::with_password();
    let (stage, host) = (vaulted::stage(), registry.host.as_str());
    store(&stage, host, "alice-password", &[]).ends(0);
    let file = config(&stage, host);
    let skopeo = |words: &[&str]| run(&stage, Path::new("/usr/bin/skopeo"), words, "", &[]);
    let remote = format!("docker://{host}/demo:1");
    let authfile = ["--authfile", file.to_str().unwrap()];
    let copy = skopeo(&[&["copy", "--dest-tls-verify=false"], &authfile[..], &[&image(&stage), &remote]].concat());
    assert!(copy.status.success(), "{}", told(&copy));
    let (code, said) = helper(&stage, "erase", host);
    assert!(code == Some(1) && said.contains("lanyard credentials delete"), "{said}");
    // Another password is not put in the place of the user's own; the same one is no change.
    let given = |password: &str| json!({ "ServerURL": host, "Username": "alice", "Secret": password }).to_string();
    assert_eq!(helper(&stage, "store", &given("alice-password")), (Some(0), String::new()));
    assert_eq!(helper(&stage, "store", &given("another")).0, Some(1));
    assert_eq!(vaulted::reveal(&stage, host, "password"), "alice-password");
}

#[test]
fn only_the_very_host_is_answered_for() {
    let stage = vaulted::stage();
    store(&stage, "r1.example", "LNYONE", &["--no-verify"]).ends(0);
    store(&stage, "docker.io", "LNYHUB", &["--no-verify"]).ends(0);
    store(&stage, "https://charts.example/stable", "LNYHELM", &["--no-verify"]).ends(0);
    vaulted::store_env(&stage, "env", "NAME", "LNYENV");
    let found = |server: &str, secret: &str| {
        let user = format!("{{\"ServerURL\":\"{server}\",\"Username\":\"alice\",\"Secret\":\"{secret}\"}}\n");
        assert_eq!(helper(&stage, "get", &format!("{server}\n")), (Some(0), user), "{server}");
    };
    for server in ["r1.example", "https://r1.example", "https://r1.example/v2/", "r1.example:443", "R1.example"] {
        found(server, "LNYONE");
    }
    for server in ["https://index.docker.io/v1/", "docker.io", "index.docker.io", "registry-1.docker.io"] {
        found(server, "LNYHUB");
    }
    for server in [
        "r1.example.evil",
        "evil/r1.example",
        "evil-r1.example",
        "example",
        "r1.example:5001",
        "r1.example:80",
        "http://r1.example",
        "r1.example.",
        "r1.example/team",
        "user@r1.example",
        "hub.docker.com",
        "auth.docker.io",
        "docker.io.evil",
        "http://index.docker.io/v1/",
        "charts.example",
        "charts.example/stable",
    ] {
        assert_eq!(helper(&stage, "get", server), (Some(1), NOT_FOUND.into()), "{server}");
    }
    let all = "{\"https://index.docker.io/v1/\":\"alice\",\"r1.example\":\"alice\"}\n";
    assert_eq!(helper(&stage, "list", "unused"), (Some(0), all.into()));
}

#[test]
fn without_a_vault_or_its_key_a_client_goes_on_without_a_password() {
    let stage = Stage::new();
    assert_eq!(helper(&stage, "get", "r1.example"), (Some(1), NOT_FOUND.into()));
    assert_eq!(helper(&stage, "list", "unused"), (Some(0), "{}\n".into()));
    assert_eq!(helper(&stage, "erase", "r1.example"), (Some(0), String::new()));
    assert!(stage.files().is_empty());
    let stage = vaulted::stage();
    store(&stage, "r1.example", "LNYONE", &["--no-verify"]).ends(0);
    for file in std::fs::read_dir(stage.config_dir()).unwrap().flatten() {
        let name = file.file_name().into_string().unwrap();
        if file.path().is_file() && name != "config.toml" {
            std::fs::remove_file(file.path()).unwrap();
        }
    }
    assert_eq!(helper(&stage, "get", "r1.example"), (Some(1), NOT_FOUND.into()));
}

#[test]
fn docker_signs_in_and_out_and_sends_a_daemon_the_passwords_of_registries_alone() {
    let registry = DockerRegistry::with_password();
    let (stage, host) = (vaulted::stage(), registry.host.as_str());
    let folder = stage.home().join(".docker");
    std::fs::create_dir_all(&folder).unwrap();
    program(&stage);
    std::fs::write(folder.join("config.json"), r#"{"credsStore":"lanyard"}"#).unwrap();
    let docker = ["/usr/local/bin/docker", "/usr/bin/docker"].map(Path::new).into_iter().find(|path| path.exists());
    let brought = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/test-peers/docker/usr/bin/docker");
    let docker = docker.unwrap_or(&brought);
    let login = |password: &str| {
        run(
            &stage,
            docker,
            &["login", "-u", "alice", "--password-stdin", host],
            password,
            &[("DOCKER_HOST", "tcp://127.0.0.1:1")],
        )
    };
    assert!(!login("wrong").status.success());
    assert!(list(&stage).is_empty());
    let output = login("alice-password");
    assert!(output.status.success(), "{}", told(&output));
    assert_eq!(list(&stage)[0]["tags"], json!(["stored-by-docker"]));

    // A build sends a daemon every password that `list` shows, whatever it uses.
    vaulted::store_env(&stage, "env", "NAME", "LNYENV");
    store(&stage, "https://charts.example/stable", "LNYHELM", &["--no-verify"]).ends(0);
    let daemon = Double::start(|seen| match seen.path() {
        "/_ping" => Answer::text(200, "text/plain", "OK").header("API-Version: 1.41").header("OSType: linux"),
        path if path.ends_with("/build") => Answer::json(200, "{\"stream\":\"done\\n\"}\n"),
        _ => Answer::json(404, r#"{"message":"no"}"#).header("API-Version: 1.41"),
    });
    std::fs::create_dir_all(stage.home().join("build")).unwrap();
    std::fs::write(stage.home().join("build/Dockerfile"), "FROM scratch\n").unwrap();
    let daemon_host = format!("tcp://{}", daemon.address());
    let variables = [("DOCKER_HOST", daemon_host.as_str()), ("DOCKER_BUILDKIT", "0")];
    let build = run(&stage, docker, &["build", "build"], "", &variables);
    let requests = daemon.requests();
    let sent = requests.iter().find_map(|seen| seen.header("x-registry-config"));
    let sent = sent.unwrap_or_else(|| panic!("{}", told(&build)));
    let sent: Value =
        serde_json::from_slice(&URL_SAFE.decode(sent).or_else(|_| STANDARD.decode(sent)).unwrap()).unwrap();
    let servers: Vec<&String> = sent.as_object().unwrap().keys().collect();
    assert_eq!(servers, [host]);

    let output = run(&stage, docker, &["logout", host], "", &[]);
    assert!(output.status.success(), "{}", told(&output));
    assert_eq!(helper(&stage, "get", host), (Some(1), NOT_FOUND.into()));
}

#[test]
fn helm_pushes_and_pulls_charts() {
    let registry = DockerRegistry::with_password();
    let (stage, host) = (vaulted::stage(), registry.host.as_str());
    store(&stage, host, "alice-password", &[]).ends(0);
    let file = config(&stage, host);
    let chart = stage.home().join("demo");
    std::fs::create_dir_all(&chart).unwrap();
    std::fs::write(chart.join("Chart.yaml"), "apiVersion: v2\nname: demo\nversion: 1.0.0\n").unwrap();
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/test-peers/k8s/helm");
    let helm = |words: &[&str]| run(&stage, &program, words, "", &[]);
    let packed = helm(&["package", "demo"]);
    assert!(packed.status.success(), "{}", told(&packed));
    let remote = format!("oci://{host}/charts");
    let with = ["--plain-http", "--registry-config", file.to_str().unwrap()];
    let push = helm(&[&["push", "demo-1.0.0.tgz", &remote], &with[..]].concat());
    assert!(push.status.success(), "{}", told(&push));
    std::fs::remove_file(stage.home().join("demo-1.0.0.tgz")).unwrap();
    let pull = helm(&[&["pull", &format!("{remote}/demo"), "--version", "1.0.0"], &with[..]].concat());
    assert!(pull.status.success(), "{}", told(&pull));
    assert!(stage.home().join("demo-1.0.0.tgz").exists());
    std::fs::write(&file, json!({ "credHelpers": { "other.example": "lanyard" } }).to_string()).unwrap();
    let refused = helm(&[&["pull", &format!("{remote}/demo"), "--version", "1.0.0"], &with[..]].concat());
    assert!(!refused.status.success(), "{}", told(&refused));
}

#[test]
fn passwords_of_clouds_are_made_and_made_again_when_they_end() {
    let made = std::sync::atomic::AtomicUsize::new(0);
    let cloud = Double::start(move |seen| {
        let number = made.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        if seen.path() == "/token" {
            return Answer::json(200, &json!({ "access_token": format!("ya29.{number}"), "expires_in": 3599 }));
        }
        let ends = (chrono::Utc::now() + chrono::TimeDelta::hours(12)).timestamp();
        let data = json!({ "authorizationToken": STANDARD.encode(format!("AWS:made-{number}")), "expiresAt": ends });
        Answer::json(200, &json!({ "authorizationData": [data] }))
    });
    let mut stage = vaulted::stage();
    stage.set("AWS_ENDPOINT_URL_ECR", cloud.url());
    let keys = ["credentials", "store", "aws", "--access-key-id", "AKIAIOSFODNN7EXAMPLE", "--secret-access-key", "-"];
    stage.run_with(&[&keys[..], &["--no-verify", "--name", "keys"]].concat(), b"SECRETACCESSKEY").ends(0);
    let words = ["credentials", "store", "gcp", "--client-id", "id", "--client-secret", "-", "--name", "google"];
    let more = ["--refresh-token", "refresh", "--endpoint", &cloud.url(), "--no-verify"];
    stage.run_with(&[&words[..], &more].concat(), b"secret").ends(0);
    let (ecr, gar) = ("123456789012.dkr.ecr.eu-west-1.amazonaws.com", "europe-docker.pkg.dev");
    for (host, source) in [(ecr, "keys"), (gar, "google")] {
        stage.run(&["credentials", "store", "registry", host, "--source", source, "--no-verify"]).ends(0);
    }
    let get = |stage: &Stage, host: &str| -> (String, String) {
        let told = helper(stage, "get", host);
        let json: Value = serde_json::from_str(&told.1).unwrap_or_else(|_| panic!("{told:?}"));
        let part = |name: &str| json[name].as_str().unwrap().to_owned();
        (part("Username"), part("Secret"))
    };
    let (first, other) = (get(&stage, ecr), get(&stage, gar));
    assert!(first.0 == "AWS" && first.1.starts_with("made-"), "{first:?}");
    assert!(other.0 == "oauth2accesstoken" && other.1.starts_with("ya29."), "{other:?}");
    assert_eq!((get(&stage, ecr), get(&stage, gar)), (first.clone(), other.clone()));
    assert_eq!(cloud.requests().len(), 2);
    let all = format!("{{\"{ecr}\":\"AWS\",\"{gar}\":\"oauth2accesstoken\"}}\n");
    assert_eq!(helper(&stage, "list", ""), (Some(0), all));
    stage.at("+50m");
    assert_eq!(get(&stage, ecr), first);
    assert_ne!(get(&stage, gar), other);
    // Nobody is signed in to a cloud that cannot be reached: that is no reason to pull without a password.
    stage.at("+13h").set("AWS_ENDPOINT_URL_ECR", "http://127.0.0.1:1");
    let (code, said) = helper(&stage, "get", ecr);
    assert!(code == Some(1) && said != NOT_FOUND && said.starts_with("lanyard: "), "{said}");
}
