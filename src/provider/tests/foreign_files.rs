//! Every file of another tool that a provider reads, held against damage of every kind: the reader never falls over, ends
//! soon, and quotes nothing of what it read.
//!
//! Each reader has properties of its own beside it; this table is there so that none is left out.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};

use super::*;

/// A file of another tool: who reads it, where it lies below the home, and what is in it. <X> stands for a secret, <B> for a
/// user and the secret in base64.
const FILES: [(&str, &str, &str); 42] = [
    ("aws", ".aws/credentials", "[default]\naws_access_key_id = AKIAIOSFODNN7ABCDEFG\naws_secret_access_key = <X>\n"),
    (
        "aws",
        ".aws/config",
        "[profile a]\nregion = eu-west-1\ncredential_process = sh -c <X>\n[default]\ns3 =\n  a = <X>\n",
    ),
    ("aws", ".aws/sso/cache/a.json", r#"{"accessToken": "<X>", "expiresAt": "2026-01-01T00:00:00Z"}"#),
    (
        "aws",
        ".aws/cli/cache/a.json",
        r#"{"Credentials": {"AccessKeyId": "ASIAIOSFODNN7ABCDEFG", "SecretAccessKey": "<X>", "SessionToken": "<X>",
            "Expiration": "2999-01-01T00:00:00Z"}, "AssumedRoleUser": {"Arn": "arn:aws:sts::1:assumed-role/a/b"}}"#,
    ),
    (
        "aws",
        SIGN_IN,
        r#"{"accessToken": {"accessKeyId": "ASIAIOSFODNN7ABCDEFG", "secretAccessKey": "<X>",
        "sessionToken": "<X>", "expiresAt": "2999-01-01T00:00:00Z"}, "refreshToken": "<X>"}"#,
    ),
    ("gcp", ".config/gcloud/application_default_credentials.json", SERVICE_ACCOUNT),
    ("gcp", ".config/gcloud/legacy_credentials/a@b.example/adc.json", AUTHORIZED_USER),
    ("gcp", ".config/gcloud/configurations/config_default", "[core]\nproject = a\naccount = b\n[auth]\ntoken = <X>\n"),
    ("gcp", ".config/gcloud/active_config", "<X>"),
    (
        "cloudflare",
        ".config/.wrangler/config/default.toml",
        "oauth_token = \"<X>\"\nexpiration_time = \"2026-01-01T00:00:00Z\"\n",
    ),
    ("hetzner", ".config/hcloud/cli.toml", "active_context = \"a\"\n[[contexts]]\nname = \"a\"\ntoken = \"<X>\"\n"),
    ("vercel", ".local/share/com.vercel.cli/auth.json", r#"{"token": "<X>", "refreshToken": "<X>"}"#),
    ("vercel", ".local/share/com.vercel.cli/config.json", r#"{"currentTeam": "a", "secret": "<X>"}"#),
    ("vercel", ".now/auth.json", r#"{"token": "<X>"}"#),
    ("verda", ".verda/credentials", "[default]\nverda_client_id = a\nverda_client_secret = <X>\n"),
    ("verda", ".verda/config.yaml", "auth:\n  profile: default\n  secret: <X>\n"),
    (
        "ovh",
        ".ovh.conf",
        "[default]\nendpoint=ovh-eu\n[ovh-eu]\napplication_key=a\napplication_secret=<X>\nconsumer_key=<X>\n",
    ),
    ("k8s", ".kube/config", KUBECONFIG),
    (
        "registry",
        ".docker/config.json",
        r#"{"auths": {"r.example": {"auth": "<B>"}, "s.example": {"identitytoken": "<X>"}}}"#,
    ),
    ("registry", ".config/containers/auth.json", r#"{"auths": {"r.example/team": {"auth": "<B>"}}}"#),
    ("registry", ".config/helm/registry/config.json", r#"{"auths": {"r.example": {"auth": "<B>"}}}"#),
    (
        "registry",
        ".config/helm/repositories.yaml",
        "repositories:\n- name: a\n  url: https://c.example\n  username: u\n  password: <X>\n",
    ),
    ("git", ".netrc", "machine g.example login alice password <X>\nmacdef init\n<X>\n\n"),
    ("git", ".git-credentials", "https://alice:<X>@g.example\n"),
    ("git", ".config/git/credentials", "https://alice:<X>@g.example\n"),
    ("git", ".config/gh/hosts.yml", "github.com:\n    user: alice\n    oauth_token: <X>\n"),
    ("git", ".config/glab-cli/config.yml", "hosts:\n  gitlab.com:\n    token: <X>\n    user: alice\n"),
    ("git", ".config/tea/config.yml", "logins:\n- name: a\n  url: https://g.example\n  token: <X>\n  user: alice\n"),
    ("ssh-key", ".ssh/id_ed25519", "-----BEGIN OPENSSH PRIVATE KEY-----\n<X>\n-----END OPENSSH PRIVATE KEY-----\n"),
    (
        "ssh-key",
        ".ssh/id_rsa",
        "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: <X>\n\n<X>\n-----END RSA PRIVATE KEY-----\n",
    ),
    ("ssh-key", ".ssh/config", "Host a\n  HostName h.example\n  User git\n  IdentityFile ~/.ssh/id_ed25519\n"),
    ("api-key", ".npmrc", "registry=https://registry.npmjs.org/\n//registry.npmjs.org/:_authToken=<X>\n"),
    ("api-key", ".pypirc", "[distutils]\nindex-servers = pypi\n[pypi]\nusername = __token__\npassword = <X>\n"),
    ("api-key", ".config/doctl/config.yaml", "access-token: <X>\nauth-contexts:\n  b: <X>\ncontext: default\n"),
    ("api-key", ".config/stripe/config.toml", "[default]\ntest_mode_api_key = '<X>'\nlive_mode_api_key = '<X>'\n"),
    ("api-key", ".cache/huggingface/token", "<X>\n"),
    ("api-key", ".cache/huggingface/stored_tokens", "[a]\nhf_token = <X>\n"),
    ("api-key", ".slack/credentials.json", r#"{"T0": {"token": "<X>", "refresh_token": "<X>", "team_id": "T0"}}"#),
    ("api-key", ".cargo/credentials.toml", "[registry]\ntoken = \"<X>\"\n[registries.corp]\ntoken = \"<X>\"\n"),
    (
        "api-key",
        ".cargo/config.toml",
        "[registries.corp]\nindex = \"sparse+https://c.example/index/\"\ntoken = \"<X>\"\n",
    ),
    ("password", ".msmtprc", "account a\nhost h.example\nuser u\npassword <X>\n"),
    ("password", ".config/msmtp/config", "defaults\ntls on\naccount a\nhost h.example\nuser u\npassword \"<X>\"\n"),
];

/// The cache of `aws login` for the session that the configuration below names.
const SIGN_IN: &str = ".aws/login/cache/b7d71d383b9557a9bad4c3346c50365819226484c6824a0fdef66637be339db0.json";
/// Files that are read only because of another one, which lies beside them whole.
const BESIDE: [(&str, &str, &str); 3] = [
    (SIGN_IN, ".aws/config", "[default]\nlogin_session = arn:aws:iam::123456789012:user/alice\n"),
    (".cargo/config.toml", ".cargo/credentials.toml", "[registries.corp]\ntoken = \"t\"\n"),
    (".local/share/com.vercel.cli/config.json", ".local/share/com.vercel.cli/auth.json", "{\"token\": \"t\"}"),
];

const SERVICE_ACCOUNT: &str = r#"{"type": "service_account", "project_id": "p", "private_key_id": "k", "private_key":
    "-----BEGIN PRIVATE KEY-----\n<X>\n-----END PRIVATE KEY-----\n", "client_email": "a@p.iam.gserviceaccount.com"}"#;
const AUTHORIZED_USER: &str =
    r#"{"type": "authorized_user", "client_id": "c", "client_secret": "<X>", "refresh_token": "<X>"}"#;
const KUBECONFIG: &str = "apiVersion: v1\nkind: Config\ncurrent-context: d\n\
    clusters:\n- name: d\n  cluster:\n    server: https://k.example\n    certificate-authority-data: <X>\n\
    contexts:\n- name: d\n  context: {cluster: d, user: d}\n\
    users:\n- name: d\n  user:\n    token: <X>\n    client-key-data: <X>\n";

/// What structure is made of, in the formats above.
const PIECES: [&str; 30] = [
    "\n",
    "\r\n",
    "\t",
    " ",
    "  ",
    "[",
    "]",
    "{",
    "}",
    ":",
    ": ",
    "=",
    " = ",
    "\"",
    "'",
    "`",
    "\\",
    ",",
    "#",
    ";",
    "- ",
    "&a ",
    "*a ",
    "!!binary ",
    "|\n",
    "\u{feff}",
    "\u{0}",
    "é",
    "${a}",
    "<<: ",
];

/// One way to damage a text, at a place that is a share of its length.
#[derive(Debug, Clone)]
enum Damage {
    Cut(f64),
    Without(f64, usize),
    With(f64, usize),
    Many(f64, usize, usize),
}

fn damages() -> impl Strategy<Value = Vec<Damage>> {
    let place = || 0.0..1.0_f64;
    let one = prop_oneof![
        1 => place().prop_map(Damage::Cut),
        3 => (place(), 1_usize..12).prop_map(|(at, length)| Damage::Without(at, length)),
        4 => (place(), 0..PIECES.len()).prop_map(|(at, piece)| Damage::With(at, piece)),
        1 => (place(), 0..PIECES.len(), 100_usize..3000).prop_map(|(at, piece, times)| Damage::Many(at, piece, times)),
    ];
    prop::collection::vec(one, 1..4)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a place in a text"
)]
fn damaged(text: &str, damages: &[Damage]) -> String {
    let mut characters: Vec<char> = text.chars().collect();
    for damage in damages {
        let place = |share: f64| (share * characters.len() as f64) as usize;
        match damage {
            Damage::Cut(at) => characters.truncate(place(*at)),
            Damage::Without(at, length) => {
                let at = place(*at);
                characters.drain(at..(at + length).min(characters.len()));
            }
            Damage::With(at, piece) => {
                let at = place(*at);
                characters.splice(at..at, PIECES[*piece].chars());
            }
            Damage::Many(at, piece, times) => {
                let at = place(*at);
                characters.splice(at..at, PIECES[*piece].repeat(*times).chars());
            }
        }
    }
    characters.into_iter().collect()
}

/// A home, of which one file after the other is written, read, and taken away.
struct Home {
    _folder: tempfile::TempDir,
    env: Env,
    path: std::path::PathBuf,
}

impl Home {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let env = Env::invented(&folder.path().join(".lanyard"), &folder.path().join("work"), &[]);
        let path = folder.path().to_owned();
        Self { _folder: folder, env, path }
    }

    fn write(&self, path: &str, text: &str) -> std::path::PathBuf {
        let file = self.path.join(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        file
    }

    /// What the provider finds when this is in the file. Fails where that takes long, or tells of the secret.
    fn read(&self, provider: &str, path: &str, text: &str) -> usize {
        let beside = BESIDE.iter().filter(|(of, ..)| *of == path).map(|(_, path, text)| (*path, *text));
        let files: Vec<_> = beside.chain([(path, text)]).map(|(path, text)| self.write(path, text)).collect();
        let given = BTreeMap::new();
        let here = Here { env: &self.env, given: &given };
        let started = Instant::now();
        let found = by_name(provider).unwrap().discover(&here);
        // Generous: what does not end early takes hours, and this machine may be busy.
        assert!(started.elapsed() < Duration::from_secs(20), "{path} took {:?}: {text:?}", started.elapsed());
        for file in files {
            std::fs::remove_file(&file).unwrap();
            // An empty folder of a tool makes it look elsewhere no more; one that holds others stays.
            let _ = std::fs::remove_dir(file.parent().unwrap());
        }
        let shown: Vec<String> = found.found.iter().map(|found| format!("{:?}{:?}", found.raw, found.kind)).collect();
        assert!(!shown.concat().contains(&CANARY[..17]), "{path}: {shown:?}");
        for broken in &found.broken {
            let failure = &broken.failure;
            let shown = format!("{failure:?} {} {}", with_causes(failure), failure.mend().unwrap_or_default());
            assert!(!shown.contains(&CANARY[..17]), "{path} {text:?}: {shown}");
        }
        found.found.len()
    }
}

/// The text with its secrets put in.
fn filled(text: &str) -> String {
    use base64::Engine;
    let pair = base64::engine::general_purpose::STANDARD.encode(format!("alice:{}", secret()));
    text.replace("<X>", &secret()).replace("<B>", &pair)
}

/// A secret of 40 letters and digits that begins as canaries do.
fn secret() -> String {
    format!("{CANARY}0123456789abcdef")[..40].to_owned()
}

#[test]
fn no_damage_to_a_file_makes_its_reader_fall_over_or_quote_it() {
    let home = Home::new();
    for (provider, path, text) in FILES {
        let whole = filled(text);
        home.read(provider, path, &whole);
        // Always the same damage: what is found once is found again.
        let config = ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() };
        let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
        runner
            .run(&damages(), |damages| {
                home.read(provider, path, &damaged(&whole, &damages));
                Ok(())
            })
            .unwrap();
    }
}

#[test]
fn what_is_small_and_would_grow_is_left() {
    let home = Home::new();
    let line = |line: usize| format!("a{line}: &a{line} [{}]\n", format!("*a{},", line - 1).repeat(10));
    let laughs = format!("a0: &a0 {}\n{}", secret(), (1..12).map(line).collect::<String>());
    let deep = |open: &str, close: &str| format!("a: {}1{}", open.repeat(50_000), close.repeat(50_000));
    let texts = [
        laughs.clone(),
        laughs + "auth: *a11\nusers: *a11\nhosts: *a11\naccess-token: *a11\nrepositories: *a11\nlogins: *a11\n",
        format!("a: &a [*a, {}]\nusers: *a\nhosts: *a\nlogins: *a\nrepositories: *a\n", secret()),
        deep("[", "]"),
        deep("{a: ", "}"),
        "- ".repeat(50_000),
        "? ".repeat(50_000),
        deep("{\"a\":", "}").trim_start_matches("a: ").to_owned(),
        format!("{}{}", "[".repeat(50_000), secret()),
        format!("{}\n", "[a]\nb=c\n".repeat(5_000)),
        "a".repeat(1 << 20),
    ];
    for (provider, path, _) in FILES {
        for text in &texts {
            home.read(provider, path, text);
        }
    }
}

#[test]
fn the_files_are_where_they_are_looked_for() {
    // Whole, most of them hold a credential; those that only add to others, or whose secret has a form, hold none.
    let home = Home::new();
    let empty: Vec<&str> = FILES
        .iter()
        .filter(|(provider, path, text)| home.read(provider, path, &filled(text)) == 0)
        .map(|(_, path, _)| *path)
        .collect();
    let expected = [
        ".aws/config",
        ".aws/sso/cache/a.json",
        ".config/gcloud/configurations/config_default",
        ".config/gcloud/active_config",
        ".verda/config.yaml",
        ".ssh/id_ed25519",
        ".ssh/config",
        ".pypirc",
    ];
    assert_eq!(empty, expected);
}
