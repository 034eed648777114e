//! Kubernetes: contexts with tokens and certificates, against an API over TLS, and read again by the real kubectl.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::clouds::{assert_unseen, secret, tested};
use crate::secure::{Authority, Certificate, NAMES};
use crate::stage::{Outcome, Stage};
use crate::vaulted::{self, list};

/// An API server. Ends when dropped.
pub struct Api {
    child: Child,
    port: u16,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Api {
    /// One that knows these tokens, and the users of an authority.
    pub fn start(certificate: &Certificate, clients: &Authority, tokens: &[(&str, &str)], options: &[&str]) -> Self {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/k8s/api.py");
        let mut child = Command::new("python3")
            .arg(program)
            .args([certificate.pem(), certificate.key(), &clients.pem()])
            .args(options)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("python3 is installed; tests/run does that");
        let mut stdin = child.stdin.take().expect("stdin is a pipe");
        for (token, user) in tokens {
            writeln!(stdin, "{token} {user}").expect("the server reads");
        }
        drop(stdin);
        let mut lines = BufReader::new(child.stdout.take().expect("stdout is a pipe")).lines().map_while(Result::ok);
        let port = lines.next().and_then(|line| line.strip_prefix("ready ")?.parse().ok()).expect("the server starts");
        let seen = Arc::<Mutex<Vec<String>>>::default();
        let log = Arc::clone(&seen);
        std::thread::spawn(move || {
            lines.for_each(|line| log.lock().unwrap_or_else(PoisonError::into_inner).push(line));
        });
        Self { child, port, seen }
    }

    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    pub fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A kubeconfig of one context, `dev`.
pub fn kubeconfig(server: &str, cluster: &str, user: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: dev\n\
         clusters: [{{name: c, cluster: {{server: \"{server}\"{cluster}}}}}]\n\
         contexts: [{{name: dev, context: {{cluster: c, user: u, namespace: shop}}}}]\n\
         users: [{{name: u, user: {user}}}]\n"
    )
}

pub fn trusting(authority: &Authority) -> String {
    format!(", certificate-authority: \"{}\"", authority.pem().display())
}

pub fn certified(certificate: &Certificate) -> String {
    let (pem, key) = (certificate.pem().display(), certificate.key().display());
    format!("{{client-certificate: \"{pem}\", client-key: \"{key}\"}}")
}

/// A stage with a vault, and this as `~/.kube/config`.
pub fn stage(kubeconfig: &str) -> Stage {
    let stage = vaulted::stage();
    write_kubeconfig(&stage, kubeconfig);
    stage
}

pub fn write_kubeconfig(stage: &Stage, kubeconfig: &str) {
    std::fs::create_dir_all(stage.home().join(".kube")).unwrap();
    std::fs::write(stage.home().join(".kube/config"), kubeconfig).unwrap();
}

pub fn store(stage: &Stage, flags: &[&str]) -> Outcome {
    stage.run(&[&["credentials", "store", "k8s"], flags].concat())
}

/// Where kubectl and helm are.
pub fn clients() -> String {
    let brought = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/test-peers/k8s");
    format!("{}:/usr/local/bin:/usr/bin:/bin", brought.display())
}

/// kubectl, with nothing but this file.
fn kubectl(stage: &Stage, config: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new("kubectl");
    command.args(arguments).env_clear().env("PATH", clients()).env("HOME", stage.root().join("elsewhere"));
    let output = command.env("KUBECONFIG", config).output().expect("kubectl is installed; tests/run does that");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "kubectl {arguments:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

/// What kubectl reads out of the exported file.
fn exported(stage: &Stage, name: &str) -> PathBuf {
    let file = stage.root().join("exported.yaml");
    let path = file.to_str().unwrap();
    stage.run(&["credentials", "export", name, "--format", "kubeconfig", "--to", path]).ends(0);
    file
}

#[test]
fn a_context_is_taken_whole_and_kubectl_goes_on_with_it() {
    let (authority, token) = (Authority::new(), secret("", 64));
    let api = Api::start(&authority.issue("server", NAMES, None), &authority, &[(&token, "bob")], &[]);
    let stage = stage(&kubeconfig(&api.url(), &trusting(&authority), "{tokenFile: token}"));
    std::fs::write(stage.home().join(".kube/token"), format!("{token}\n")).unwrap();
    let stored = store(&stage, &[]).ends(0);
    assert!(
        stored.stderr().contains("Stored dev (kubeconfig, from ~/.kube/config context dev), active: bob"),
        "{stored}"
    );
    assert_eq!(list(&stage)[0]["status"], "active");
    std::fs::remove_dir_all(stage.home().join(".kube")).unwrap();
    assert_eq!(tested(&stage)["identity"], "bob");
    assert_unseen(&stage, &[&token]);

    let config = exported(&stage, "dev");
    assert_eq!(kubectl(&stage, &config, &["auth", "whoami", "-o", "jsonpath={.status.userInfo.username}"]), "bob");
    assert_eq!(kubectl(&stage, &config, &["get", "namespaces", "-o", "name"]), "namespace/shop\n");
    assert_eq!(kubectl(&stage, &config, &["config", "view", "--minify", "-o", "jsonpath={..namespace}"]), "shop");
    // Already flat: kubectl itself has nothing more to take in.
    let again = kubectl(&stage, &config, &["config", "view", "--flatten", "--minify", "--raw"]);
    assert!(again.contains(&token) && again.contains(&STANDARD.encode(std::fs::read(authority.pem()).unwrap())));
    assert!(api.seen().iter().all(|line| line.ends_with(" bob")), "{:?}", api.seen());

    let json = stage.run(&["credentials", "export", "dev", "--format", "json"]).ends(0).json();
    assert_eq!((&json["KUBE_TOKEN"], &json["KUBE_HOST"]), (&token.as_str().into(), &api.url().into()));
    let shown = stage.run(&["credentials", "show", "dev", "--json"]).ends(0);
    assert!(!shown.stdout().contains(&token), "{shown}");
}

#[test]
fn a_client_certificate_is_shown_to_the_server() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let server = authority.issue("server", NAMES, None);
    let api = Api::start(&server, &clients, &[], &["required"]);
    let (good, stranger) = (clients.issue_client("alice", None), authority.issue_client("mallory", None));
    let ended = clients.issue_client("carol", Some("2024-01-01 00:00:00"));
    let config = |certificate: &Certificate| kubeconfig(&api.url(), &trusting(&authority), &certified(certificate));
    let stage = stage(&config(&good));
    let stored = store(&stage, &[]).ends(0);
    assert!(stored.stderr().contains("expires soon: alice") || stored.stderr().contains("active: alice"), "{stored}");
    assert!(list(&stage)[0]["expires_at"].is_string(), "the certificate says when it ends");
    let who =
        kubectl(&stage, &exported(&stage, "dev"), &["auth", "whoami", "-o", "jsonpath={.status.userInfo.username}"]);
    assert_eq!(who, "alice");
    let env = stage.run(&["credentials", "export", "dev", "--format", "json"]).ends(0).json();
    assert_eq!(env["KUBE_CLIENT_KEY_DATA"], std::fs::read_to_string(good.key()).unwrap());

    for (certificate, reason) in
        [(&stranger, "the server does not accept the client certificate"), (&ended, "has expired")]
    {
        write_kubeconfig(&stage, &config(certificate));
        let refused = store(&stage, &["--name", "other"]).ends(8);
        assert!(refused.stderr().contains("error: not stored: ") && refused.stderr().contains(reason), "{refused}");
    }
    // Without a certificate the connection fails, which says nothing about a token.
    write_kubeconfig(&stage, &kubeconfig(&api.url(), &trusting(&authority), "{token: abc}"));
    let unknown = store(&stage, &["--name", "other"]).ends(0);
    assert!(unknown.stderr().contains("warning: not verified with Kubernetes"), "{unknown}");
    assert_eq!(api.seen().iter().filter(|line| !line.ends_with(" alice")).count(), 0, "{:?}", api.seen());
}

#[test]
fn a_server_is_believed_by_the_clusters_authority_alone() {
    let (authority, other, token) = (Authority::new(), Authority::new(), secret("", 64));
    let api = Api::start(&authority.issue("server", NAMES, None), &authority, &[(&token, "bob")], &[]);
    let user = format!("{{token: {token}}}");
    let tls = |stage: &Stage| {
        let told = tested(stage);
        assert_eq!(told["outcome"], "tls", "{told}");
    };
    // The system's authorities do not count where the cluster has its own.
    let mut own = stage(&kubeconfig(&api.url(), &trusting(&other), &user));
    own.set("SSL_CERT_FILE", authority.pem());
    store(&own, &["--no-verify"]).ends(0);
    tls(&own);
    // They do where it has none.
    let mut system = stage(&kubeconfig(&api.url(), "", &user));
    store(&system, &["--no-verify"]).ends(0);
    tls(&system);
    system.set("SSL_CERT_FILE", authority.pem());
    assert_eq!(tested(&system)["identity"], "bob");
    // Not checking at all is refused.
    let careless = stage(&kubeconfig(&api.url(), ", insecure-skip-tls-verify: true", &user));
    let refused = store(&careless, &[]).ends(1);
    assert!(refused.stderr().contains("would send the secret to anybody"), "{refused}");
    assert!(vaulted::list(&careless).is_empty());
    assert_eq!(api.seen().len(), 1, "nothing came through but from the one that trusts: {:?}", api.seen());
}

#[test]
fn a_server_may_be_known_by_another_name() {
    let (authority, token) = (Authority::new(), secret("", 64));
    let server = authority.issue("server", "DNS:kubernetes.default", None);
    let api = Api::start(&server, &authority, &[(&token, "bob")], &[]);
    let user = format!("{{token: {token}}}");
    let named = format!("{}, tls-server-name: kubernetes.default", trusting(&authority));
    let stage = stage(&kubeconfig(&api.url(), &named, &user));
    store(&stage, &[]).ends(0);
    assert_eq!(tested(&stage)["identity"], "bob");
    let who =
        kubectl(&stage, &exported(&stage, "dev"), &["auth", "whoami", "-o", "jsonpath={.status.userInfo.username}"]);
    assert_eq!(who, "bob");
    write_kubeconfig(&stage, &kubeconfig(&api.url(), &trusting(&authority), &user));
    let unknown = store(&stage, &["--name", "other"]).ends(0);
    assert!(unknown.stderr().contains("cannot be made safe"), "{unknown}");
}

#[test]
fn a_token_that_is_refused_is_not_stored() {
    let authority = Authority::new();
    let api = Api::start(&authority.issue("server", NAMES, None), &authority, &[], &[]);
    let stage = stage(&kubeconfig(&api.url(), &trusting(&authority), "{token: none}"));
    let refused = store(&stage, &[]).ends(8);
    assert!(refused.stderr().contains("error: not stored: the cluster does not accept it"), "{refused}");
    assert!(refused.stderr().contains("get a fresh kubeconfig"), "{refused}");
    assert!(list(&stage).is_empty());
}

#[test]
fn a_program_in_a_kubeconfig_is_never_run() {
    let stage = vaulted::stage();
    let trace = stage.root().join("ran");
    let exec = format!(
        "{{exec: {{apiVersion: client.authentication.k8s.io/v1, command: touch, args: [\"{}\"]}}}}",
        trace.display()
    );
    write_kubeconfig(&stage, &kubeconfig("https://127.0.0.1:1", "", &exec));
    for flags in [&[][..], &["--context", "dev"], &["--no-verify"]] {
        let refused = store(&stage, flags).ends(1);
        assert!(refused.stderr().contains("context dev cannot be stored: it signs in by running a program (touch)"));
        assert!(refused.stderr().contains("kubectl create token"), "{refused}");
    }
    assert!(!trace.exists());
}

#[test]
fn a_bomb_ends_quickly_and_nothing_of_it_is_shown() {
    let lines = (1..12).map(|line| format!("a{line}: &a{line} [{}]", format!("*a{},", line - 1).repeat(10)));
    let bomb = format!("a0: &a0 LNYCANARY\n{}\nusers: *a11\n", lines.collect::<Vec<_>>().join("\n"));
    let stage = stage(&bomb);
    let started = std::time::Instant::now();
    let refused = store(&stage, &[]).ends(1);
    assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
    assert!(refused.stderr().contains("~/.kube/config is no usable kubeconfig"), "{refused}");
    assert!(!refused.stderr().contains("CANARY"), "{refused}");
}

#[test]
fn a_new_kubeconfig_takes_its_own_values_along() {
    let stage = stage(&kubeconfig("https://old.example.com", "", "{token: old}"));
    store(&stage, &["--no-verify"]).ends(0);
    let new = stage.root().join("new.yaml");
    std::fs::write(&new, kubeconfig("https://new.example.com", "", "{token: new}")).unwrap();
    let update = ["credentials", "update", "dev", "--no-verify", "--field"];
    let field = format!("kubeconfig=@{}", new.display());
    stage.run(&[&update[..], &[&field]].concat()).ends(0);
    let shown = stage.run(&["credentials", "show", "dev", "--json"]).ends(0);
    assert!(shown.stdout().contains("https://new.example.com") && !shown.stdout().contains("old.example"), "{shown}");
    let refused = stage.run(&[&update[..], &["server=https://evil.example.com"]].concat()).ends(2);
    assert!(refused.stderr().contains("it is not what the kubeconfig says"), "{refused}");
}
