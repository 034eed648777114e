//! One credential of every kind, each of its secrets a canary, and the ways in which they are given: through stdin,
//! through a file, through the environment.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::echo::mail_server;
use crate::canary::Canary;
use crate::stage::{Outcome, Stage};

/// A credential to be stored.
pub struct Kept {
    pub kind: &'static str,
    pub name: String,
    /// What comes after `credentials store`.
    words: Vec<String>,
    /// What comes through stdin.
    stdin: String,
    /// Its secret fields, and the values with which they are stored.
    pub secrets: Vec<(&'static str, String)>,
    /// The pieces of the secrets that are secret.
    pub canaries: Vec<Canary>,
}

impl Kept {
    fn new(kind: &'static str, name: &str, words: &[&str]) -> Self {
        let words = words.iter().map(|word| (*word).to_owned()).collect();
        Self { kind, name: name.to_owned(), words, stdin: String::new(), secrets: Vec::new(), canaries: Vec::new() }
    }

    /// A secret that comes through stdin.
    fn piped(mut self, field: &'static str, flag: &str, canary: &Canary) -> Self {
        self.words.push(format!("{flag}-"));
        canary.text().clone_into(&mut self.stdin);
        self.holds(field, canary.text(), std::slice::from_ref(canary))
    }

    /// A secret that lies in a file.
    fn in_file(mut self, given: &Given, field: &'static str, flag: &str, canary: &Canary) -> Self {
        self.words.push(format!("{flag}@{}", given.file(canary.text()).display()));
        self.holds(field, canary.text(), std::slice::from_ref(canary))
    }

    fn holds(mut self, field: &'static str, value: &str, canaries: &[Canary]) -> Self {
        self.secrets.push((field, value.to_owned()));
        self.canaries.extend_from_slice(canaries);
        self
    }

    /// Stores it, with these flags besides.
    pub fn store(&self, stage: &Stage, flags: &[&str]) -> Outcome {
        let words = ["credentials", "store"].into_iter().chain(self.words.iter().map(String::as_str));
        let words: Vec<&str> = words.chain(["--name", &self.name]).chain(flags.iter().copied()).collect();
        stage.run_with(&words, self.stdin.as_bytes())
    }
}

/// The folder in which the files with the values lie. It is not swept: this is where the user has them.
pub struct Given(tempfile::TempDir);

impl Given {
    pub fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// A new file with this text, whoever makes others at the same time.
    pub fn file(&self, text: &str) -> PathBuf {
        static MADE: AtomicUsize = AtomicUsize::new(0);
        let path = self.path().join(format!("value-{}", MADE.fetch_add(1, Ordering::Relaxed)));
        std::fs::write(&path, text).expect("a file");
        path
    }
}

/// The kind whose secret comes of a sign-in, which no flag gives, and has tests of its own.
pub const OF_A_SIGN_IN: [&str; 1] = ["oauth"];

/// Credentials of every kind that values make, all of which are asked about at `url`.
pub fn all(url: &str, given: &Given) -> Vec<Kept> {
    let mut all = clouds(url, given);
    all.extend(hosts(url, given));
    all.extend(keys_and_files(given));
    all.extend(services(url, given));
    all
}

fn clouds(url: &str, given: &Given) -> Vec<Kept> {
    let canary = Canary::of_chance;
    let google = service_account(url);
    let [aws, sts, role] = ["aws", "sts", "deploy"];
    let temporary = ["aws", "--access-key-id", "ASIAIOSFODNN7EXAMPLE", "--endpoint", url];
    vec![
        Kept::new("aws_static", aws, &["aws", "--access-key-id", "AKIAIOSFODNN7EXAMPLE", "--endpoint", url]).piped(
            "secret_access_key",
            "--secret-access-key=",
            &canary(40),
        ),
        Kept::new("aws_static", sts, &temporary)
            .in_file(given, "secret_access_key", "--secret-access-key=", &canary(40))
            .piped("session_token", "--session-token=", &canary(200)),
        Kept::new(
            "aws_assume_role",
            role,
            &["aws", "--role-arn", "arn:aws:iam::123456789012:role/deploy", "--source", sts, "--endpoint", url],
        ),
        Kept::new("gcp_service_account", "robot", &["gcp", "--endpoint", url, "--key-file"])
            .with_word(&format!("@{}", given.file(&google).display()))
            .holds("key_file", &google, &pem_lines(&google.replace("\\n", "\n"))),
        Kept::new("gcp_authorized_user", "person", &["gcp", "--client-id", "x.apps.example", "--endpoint", url])
            .in_file(given, "client_secret", "--client-secret=", &canary(24))
            .piped("refresh_token", "--refresh-token=", &canary(60)),
        Kept::new("gcp_api_key", "maps", &["gcp", "--endpoint", url]).piped("api_key", "--api-key=", &canary(39)),
        Kept::new("cloudflare_api_token", "cloudflare", &["cloudflare", "--endpoint", url]).piped(
            "api_token",
            "--api-token=",
            &canary(40),
        ),
        Kept::new("hetzner_api_token", "hetzner", &["hetzner", "--endpoint", url]).in_file(
            given,
            "api_token",
            "--api-token=",
            &canary(64),
        ),
        Kept::new("vercel_api_token", "vercel", &["vercel", "--endpoint", url]).piped(
            "api_token",
            "--api-token=",
            &canary(24),
        ),
        Kept::new("verda_oauth_client", "verda", &["verda", "--client-id", "k3bqVvXxLZ0f8tWnPq2Yc", "--endpoint", url])
            .piped("client_secret", "--client-secret=", &canary(40)),
        Kept::new("ovh_api", "ovh", &["ovh", "--application-key", "7kbG7Bk7S9Nt7ZSV", "--endpoint", url])
            .piped("application_secret", "--application-secret=", &canary(32))
            .in_file(given, "consumer_key", "--consumer-key=", &canary(32)),
    ]
}

fn hosts(url: &str, given: &Given) -> Vec<Kept> {
    let canary = Canary::of_chance;
    let mut hosts = Vec::new();
    let (token, password) = (canary(40), canary(40));
    let (certified, key) = certified(given);
    for (name, user, canaries) in [
        ("cluster", format!("{{token: {}}}", token.text()), vec![token]),
        ("old-cluster", format!("{{username: admin, password: {}}}", password.text()), vec![password]),
        ("certified", certified, key),
    ] {
        let text = kubeconfig(url, &user);
        let file = given.file(&text).display().to_string();
        hosts.push(Kept::new("kubeconfig", name, &["k8s", "--kubeconfig", &file]).holds(
            "kubeconfig",
            &text,
            &canaries,
        ));
    }
    let of_aws = ["--source", "sts", "--eks-cluster", "dev", "--region", "eu-west-1"];
    for (kind, name, words) in
        [("kubeconfig_eks", "eks", &of_aws[..]), ("kubeconfig_gke", "gke", &["--source", "robot"])]
    {
        // Proved by another credential, it takes along nothing of what the file proves its user with.
        let dropped = canary(40);
        let file = given.file(&kubeconfig(url, &format!("{{token: {}}}", dropped.text()))).display().to_string();
        let words = [&["k8s", "--kubeconfig", &file], words].concat();
        hosts.push(Kept::new(kind, name, &words).holds("kubeconfig", &without_a_user(url), &[dropped]));
    }
    for (name, flavour) in [("registry", "oci"), ("harbor", "harbor"), ("artifactory", "jfrog"), ("charts", "helm")] {
        hosts.push(Kept::new("registry", name, &["registry", url, "--username", "alice", "--flavour", flavour]).piped(
            "password",
            "--password=",
            &canary(30),
        ));
    }
    hosts.push(
        Kept::new("registry", "hub", &["registry", "docker.io", "--username", "alice", "--endpoint", url]).in_file(
            given,
            "password",
            "--password=",
            &canary(30),
        ),
    );
    let ecr = ["registry", "https://123456789012.dkr.ecr.eu-west-1.amazonaws.com", "--source", "sts"];
    hosts.push(Kept::new("registry_ecr", "ecr", &ecr));
    hosts.push(Kept::new("registry_gar", "gar", &["registry", "https://europe-docker.pkg.dev", "--source", "robot"]));
    for service in ["github", "gitlab", "gitea", "bitbucket", "other"] {
        let words = ["git", "git.example", "--username", "alice@example.com", "--service", service, "--endpoint", url];
        let more = ["--repository", "team/private.git"];
        hosts.push(Kept::new("git", &format!("at-{service}"), &[&words[..], &more].concat()).piped(
            "token",
            "--token=",
            &canary(40),
        ));
    }
    hosts
}

/// A kubeconfig of one context with this user.
fn kubeconfig(url: &str, user: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: dev\nclusters: [{{name: c, cluster: {{server: \"{url}\"}}}}]\n\
         contexts: [{{name: dev, context: {{cluster: c, user: u}}}}]\nusers: [{{name: u, user: {user}}}]\n"
    )
}

/// The same as it is stored where tokens are made of another credential.
fn without_a_user(url: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: \"dev\"\nclusters:\n- name: \"c\"\n  cluster:\n    server: \"{url}\"\n\
         contexts:\n- name: \"dev\"\n  context:\n    cluster: \"c\"\n    user: \"u\"\nusers:\n- name: \"u\"\n  user:\n"
    )
}

fn keys_and_files(given: &Given) -> Vec<Kept> {
    let canary = Canary::of_chance;
    let passphrase = canary(24);
    let (key, closed) = (ssh_key(given, ""), ssh_key(given, passphrase.text()));
    let file = canary(80);
    let path = given.file(file.text()).display().to_string();
    let content = STANDARD.encode(file.text());
    let port = mail_server().to_string();
    let mail =
        ["password", "smtp", "--username", "alice", "--host", "127.0.0.1", "--port", &port, "--security", "plain"];
    vec![
        Kept::new("ssh_key", "key", &["ssh-key", "--private-key", &key.0.display().to_string()]).holds(
            "private_key",
            &key.1,
            &pem_lines(&key.1),
        ),
        Kept::new("ssh_key", "closed-key", &["ssh-key", "--private-key", &closed.0.display().to_string()])
            .piped("passphrase", "--passphrase=", &passphrase)
            .holds("private_key", &closed.1, &pem_lines(&closed.1)),
        Kept::new("username_password", "mail", &mail).piped("password", "--password=", &canary(19)),
        Kept::new("username_password", "login", &["password", "intranet", "--username", "alice"]).in_file(
            given,
            "password",
            "--password=",
            &canary(20),
        ),
        Kept::new("file", "keystore", &["file", &path, "--variable", "KEYSTORE_FILE"]).holds(
            "content",
            &content,
            &[file, Canary::from_its_first(&content)],
        ),
        Kept::new("generic_env", "variables", &["env"]).piped("DATABASE_URL", "DATABASE_URL=", &canary(50)).in_file(
            given,
            "SHORT",
            "SHORT=",
            &canary(12),
        ),
    ]
}

fn services(url: &str, given: &Given) -> Vec<Kept> {
    let known = ["openai", "anthropic", "stripe", "linear", "slack", "digitalocean", "npm"];
    let known = known.into_iter().chain(["huggingface", "sendgrid", "discord", "intranet"]);
    let each = |service: &str| {
        Kept::new("api_key", &format!("of-{service}"), &["api-key", service, "--endpoint", url]).in_file(
            given,
            "api_key",
            "--api-key=",
            &Canary::of_chance(48),
        )
    };
    let own_header = ["api-key", "own-header", "--header", "x-api-key", "--endpoint", url];
    let own_header =
        Kept::new("api_key", "own-header", &own_header).piped("api_key", "--api-key=", &Canary::of_chance(48));
    known.map(each).chain([own_header]).collect()
}

impl Kept {
    fn with_word(mut self, word: &str) -> Self {
        self.words.push(word.to_owned());
        self
    }
}

/// The key file of a service account with a key that was just made.
fn service_account(url: &str) -> String {
    let size = ["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"];
    let made = Command::new("openssl").args(size).output().expect("openssl is installed; tests/run does that");
    let key = String::from_utf8(made.stdout).expect("a PEM block");
    json!({
        "type": "service_account", "project_id": "my-project", "private_key_id": "0123456789abcdef",
        "private_key": key, "client_email": "deploy@my-project.iam.gserviceaccount.com", "client_id": "1",
        "token_uri": format!("{url}/token"), "universe_domain": "googleapis.com",
    })
    .to_string()
}

/// The user of a kubeconfig with a certificate and a key that were just made, and what is secret of the key.
fn certified(given: &Given) -> (String, Vec<Canary>) {
    let (key, certificate) = (given.file("").with_extension("pem"), given.file("").with_extension("crt"));
    let words =
        ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=alice"];
    let mut made = Command::new("openssl");
    made.args(words).arg("-keyout").arg(&key).arg("-out").arg(&certificate);
    assert!(made.output().expect("openssl is installed; tests/run does that").status.success());
    let [key, certificate] = [key, certificate].map(|path| std::fs::read_to_string(path).expect("a PEM block"));
    let [encoded, certificate] = [&key, &certificate].map(|text| STANDARD.encode(text));
    let second_line = key.lines().nth(2).expect("a second line");
    // What comes before says that it is a key of this curve.
    let secret = vec![Canary::from_its_first(second_line), Canary::from_its_first(&encoded[104..])];
    (format!("{{client-certificate-data: {certificate}, client-key-data: {encoded}}}"), secret)
}

/// A new SSH key: its file, and its text.
fn ssh_key(given: &Given, passphrase: &str) -> (PathBuf, String) {
    let path = given.file("").with_extension("key");
    let words = ["-q", "-t", "ed25519", "-a", "1", "-N", passphrase, "-C", "canary", "-f"];
    let made = Command::new("ssh-keygen").args(words).arg(&path).status().expect("ssh-keygen is installed");
    assert!(made.success());
    let text = std::fs::read_to_string(&path).expect("the key");
    (path, text)
}

/// What is secret in a PEM block: the fourth line of its body and those after it but the last. What comes before says
/// what the key is and repeats its public half.
fn pem_lines(text: &str) -> Vec<Canary> {
    let body = text.lines().skip_while(|line| !line.contains("-----BEGIN")).skip(1);
    let body: Vec<&str> = body.take_while(|line| !line.contains("-----END")).collect();
    // Of an Ed25519 key, the seed begins five characters into the fourth line.
    body[3..body.len() - 1].iter().map(|line| Canary::from_its_first(&line[6..])).collect()
}
