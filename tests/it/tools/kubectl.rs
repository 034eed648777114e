//! kubectl, which gets tokens and certificates from `lanyard helper kubectl NAME`, against an API over TLS.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use crate::double::{Answer, Double};
use crate::providers::aws::venv;
use crate::providers::clouds::secret;
use crate::providers::k8s::{Api, certified, clients, kubeconfig, stage, store, trusting};
use crate::secure::{Authority, NAMES};
use crate::stage::{LANYARD, Outcome, Stage};
use crate::vaulted;

const V1: &str = "client.authentication.k8s.io/v1";

/// A user who is proved by lanyard.
fn user(name: &str, version: &str, tells: bool) -> String {
    format!(
        "{{exec: {{apiVersion: {version}, command: \"{LANYARD}\", args: [helper, kubectl, {name}], \
         interactiveMode: IfAvailable, provideClusterInfo: {tells}}}}}"
    )
}

/// A kubeconfig that somebody wrote, in a file of its own.
fn written(stage: &Stage, text: &str) -> PathBuf {
    let file = stage.root().join("written.yaml");
    std::fs::write(&file, text).unwrap();
    file
}

/// kubectl, with nothing but this file.
fn kubectl(stage: &Stage, config: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new("kubectl");
    command.args(arguments).env_clear().env("PATH", clients()).env("HOME", stage.home()).env("KUBECONFIG", config);
    command.output().expect("kubectl is installed; tests/run does that")
}

fn said(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn failed(output: &Output) -> String {
    assert!(!output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

const WHO: [&str; 4] = ["auth", "whoami", "-o", "jsonpath={.status.userInfo.username}"];
const NAMESPACES: [&str; 4] = ["get", "namespaces", "-o", "name"];

/// Runs the helper as kubectl would, with this question.
fn asked(stage: &mut Stage, name: &str, question: &serde_json::Value) -> Outcome {
    stage.set("KUBERNETES_EXEC_INFO", question.to_string());
    stage.run(&["helper", "kubectl", name])
}

fn question(version: &str, cluster: &serde_json::Value) -> serde_json::Value {
    let spec = serde_json::json!({ "interactive": false, "cluster": cluster });
    serde_json::json!({ "kind": "ExecCredential", "apiVersion": version, "spec": spec })
}

#[test]
fn kubectl_is_let_in_with_a_token_and_with_a_certificate() {
    let (authority, token) = (Authority::new(), secret("", 64));
    let api = Api::start(&authority.issue("server", NAMES, None), &authority, &[(&token, "bob")], &[]);
    let cluster = trusting(&authority);
    let stage = stage(&kubeconfig(&api.url(), &cluster, &format!("{{token: {token}}}")));
    store(&stage, &["--name", "bob"]).ends(0);
    let alice = authority.issue_client("alice", None);
    crate::providers::k8s::write_kubeconfig(&stage, &kubeconfig(&api.url(), &cluster, &certified(&alice)));
    store(&stage, &["--name", "alice"]).ends(0);
    std::fs::remove_dir_all(stage.home().join(".kube")).unwrap();
    for version in [V1, "client.authentication.k8s.io/v1beta1"] {
        for name in ["bob", "alice"] {
            let config = written(&stage, &kubeconfig(&api.url(), &cluster, &user(name, version, true)));
            assert_eq!(said(&kubectl(&stage, &config, &WHO)), name);
            assert_eq!(said(&kubectl(&stage, &config, &NAMESPACES)), "namespace/shop\n");
        }
    }
    // Both keep working where the authorities stand in the file itself.
    let inline = STANDARD.encode(std::fs::read(authority.pem()).unwrap());
    let inline = format!(", certificate-authority-data: {inline}");
    let config = written(&stage, &kubeconfig(&api.url(), &inline, &user("bob", V1, true)));
    assert_eq!(said(&kubectl(&stage, &config, &WHO)), "bob");
}

#[test]
fn another_server_gets_nothing() {
    let (authority, hostile, token) = (Authority::new(), Authority::new(), secret("", 64));
    let api = Api::start(&authority.issue("server", NAMES, None), &authority, &[(&token, "bob")], &[]);
    let stage = stage(&kubeconfig(&api.url(), &trusting(&authority), &format!("{{token: {token}}}")));
    store(&stage, &["--name", "bob"]).ends(0);
    // It would know the token if it were sent.
    let evil = Api::start(&hostile.issue("server", NAMES, None), &hostile, &[(&token, "caught")], &[]);
    let good = trusting(&authority);
    for (server, cluster, tells) in [
        (evil.url(), ", insecure-skip-tls-verify: true".to_owned(), true),
        (evil.url(), ", insecure-skip-tls-verify: true".to_owned(), false),
        (evil.url(), trusting(&hostile), true),
        (evil.url(), trusting(&hostile), false),
        (evil.url(), good.clone(), true),
        // The right address with somebody else in between.
        (api.url(), ", insecure-skip-tls-verify: true".to_owned(), true),
        (api.url(), trusting(&hostile), true),
        (api.url(), format!("{good}, tls-server-name: localhost"), true),
        (api.url(), format!("{good}, proxy-url: \"http://127.0.0.1:1\""), true),
        (format!("{}/", api.url()), good.clone(), true),
        (format!("{}/path", api.url()), good.clone(), true),
        (api.url().replace("127.0.0.1", "localhost"), good.clone(), true),
        (api.url(), good.clone(), false),
    ] {
        let config = written(&stage, &kubeconfig(&server, &cluster, &user("bob", V1, tells)));
        let told = failed(&kubectl(&stage, &config, &NAMESPACES));
        assert!(told.contains("exit code 1"), "{server} {cluster} {tells}: {told}");
        assert!(!told.contains(&token), "{told}");
    }
    assert!(evil.seen().iter().all(|line| line.ends_with(" None")), "{:?}", evil.seen());
    let right = written(&stage, &kubeconfig(&api.url(), &good, &user("bob", V1, true)));
    assert_eq!(said(&kubectl(&stage, &right, &WHO)), "bob");
    for name in ["alice", "--help"] {
        let config = written(&stage, &kubeconfig(&api.url(), &good, &user(name, V1, true)));
        failed(&kubectl(&stage, &config, &NAMESPACES));
    }
}

#[test]
fn a_token_that_is_refused_is_asked_for_again_and_an_end_is_always_told() {
    let (authority, token) = (Authority::new(), secret("", 64));
    let api = Api::start(&authority.issue("server", NAMES, None), &authority, &[], &[]);
    let mut stage = stage(&kubeconfig(&api.url(), &trusting(&authority), &format!("{{token: {token}}}")));
    store(&stage, &["--name", "bob", "--no-verify"]).ends(0);
    let config = written(&stage, &kubeconfig(&api.url(), &trusting(&authority), &user("bob", V1, true)));
    let told = failed(&kubectl(&stage, &config, &NAMESPACES));
    assert!(told.contains("You must be logged in to the server"), "{told}");

    let pem = STANDARD.encode(std::fs::read(authority.pem()).unwrap());
    let cluster = serde_json::json!({ "server": api.url(), "certificate-authority-data": pem, "config": null });
    let told = asked(&mut stage, "bob", &question(V1, &cluster)).ends(0).json();
    assert_eq!((&told["apiVersion"], &told["status"]["token"]), (&V1.into(), &token.as_str().into()));
    let end: chrono::DateTime<chrono::Utc> = told["status"]["expirationTimestamp"].as_str().unwrap().parse().unwrap();
    let left = (end - chrono::Utc::now()).num_minutes();
    assert!((8..=10).contains(&left), "{told}");
    for version in ["client.authentication.k8s.io/v1alpha1", "client.authentication.k8s.io/v2", ""] {
        let told = asked(&mut stage, "bob", &question(version, &cluster)).ends(1);
        assert!(told.stdout().is_empty() && told.stderr().contains("a version other than"), "{told}");
    }
    stage.unset("KUBERNETES_EXEC_INFO");
    let told = stage.run(&["helper", "kubectl", "bob"]).ends(1);
    assert!(told.stdout().is_empty() && told.stderr().contains("KUBERNETES_EXEC_INFO is not set"), "{told}");
    // Without a vault there is nothing, and nothing is made.
    let mut empty = vaulted::stage();
    let told = asked(&mut empty, "bob", &question(V1, &cluster)).ends(1);
    assert!(told.stdout().is_empty(), "{told}");
    assert!(!vaulted::data_dir(&empty).exists());
    // kubectl itself refuses a version that it does not know.
    let config =
        kubeconfig(&api.url(), &trusting(&authority), &user("bob", "client.authentication.k8s.io/v1alpha1", true));
    failed(&kubectl(&stage, &written(&stage, &config), &NAMESPACES));
}

#[test]
fn a_password_is_no_token() {
    let mut stage = stage(&kubeconfig("https://127.0.0.1:1", "", "{username: bob, password: LNYPASSWORD}"));
    store(&stage, &["--name", "bob", "--no-verify"]).ends(0);
    let told = asked(&mut stage, "bob", &question(V1, &serde_json::json!({ "server": "https://127.0.0.1:1" }))).ends(1);
    assert!(told.stdout().is_empty() && !told.stderr().contains("LNYPASSWORD"), "{told}");
}

/// A secret access key of nobody's.
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

/// A program of a cloud in a kubeconfig, which must not be run.
fn program(command: &str, arguments: &str) -> String {
    format!("{{exec: {{apiVersion: {V1}, command: {command}, args: [{arguments}]}}}}")
}

#[test]
fn a_cluster_of_amazon_is_shown_a_request_that_aws_would_take() {
    let authority = Authority::new();
    let api = Api::start(&authority.issue("server", NAMES, None), &authority, &[], &["eks"]);
    let exec = program("aws", "--region, eu-west-1, eks, get-token, --cluster-name, shop, --output, json");
    let cluster = trusting(&authority);
    let stage = stage(&kubeconfig(&api.url(), &cluster, &exec));
    let told = store(&stage, &["--name", "eks"]).ends(1);
    assert!(told.stderr().contains("`--source NAME`"), "{told}");
    let keys = ["credentials", "store", "aws", "--access-key-id", "AKIAIOSFODNN7EXAMPLE", "--secret-access-key", "-"];
    stage.run_with(&[&keys[..], &["--no-verify", "--name", "keys"]].concat(), SECRET.as_bytes()).ends(0);
    let stored = store(&stage, &["--source", "keys", "--name", "eks"]).ends(0);
    assert!(stored.stderr().contains("Stored eks (EKS kubeconfig"), "{stored}");
    assert!(stored.stderr().contains("active: shop AKIAIOSFODNN7EXAMPLE"), "{stored}");
    let config = written(&stage, &kubeconfig(&api.url(), &cluster, &user("eks", V1, true)));
    assert_eq!(said(&kubectl(&stage, &config, &WHO)), "shop AKIAIOSFODNN7EXAMPLE");
    assert_aws_would_take(&stage, "");
    // Temporary keys have their token in it.
    let session = "IQoJb3JpZ2luX2VjEXAMPLE//////////wEaCXVzLWVhc3QtMSJHMEUCIQ==";
    let update = ["credentials", "update", "keys", "--no-verify", "--field"];
    stage.run(&[&update[..], &[&format!("session_token={session}")]].concat()).ends(0);
    assert_aws_would_take(&stage, session);
}

/// Asserts that AWS's own library signs the same request as is in a token, at the same time.
#[track_caller]
fn assert_aws_would_take(stage: &Stage, session: &str) {
    let exported = stage.run(&["credentials", "export", "eks", "--format", "json"]).ends(0).json();
    let token = exported["KUBE_TOKEN"].as_str().unwrap();
    let url = String::from_utf8(URL_SAFE_NO_PAD.decode(token.strip_prefix("k8s-aws-v1.").unwrap()).unwrap()).unwrap();
    assert!(
        url.starts_with("https://sts.eu-west-1.amazonaws.com/?Action=GetCallerIdentity&Version=2011-06-15&"),
        "{url}"
    );
    let script = "import sys, datetime, urllib.parse as u\n\
        import botocore.auth as a, botocore.credentials as c, botocore.awsrequest as r\n\
        url, secret, token = sys.argv[1:]\n\
        query = dict(u.parse_qsl(u.urlsplit(url).query))\n\
        a.get_current_datetime = lambda: datetime.datetime.strptime(query['X-Amz-Date'], '%Y%m%dT%H%M%SZ')\n\
        plain = 'https://sts.eu-west-1.amazonaws.com/?Action=GetCallerIdentity&Version=2011-06-15'\n\
        request = r.AWSRequest('GET', plain, headers={'x-k8s-aws-id': 'shop'})\n\
        keys = c.Credentials('AKIAIOSFODNN7EXAMPLE', secret, token or None)\n\
        a.SigV4QueryAuth(keys, 'sts', 'eu-west-1', expires=60).add_auth(request)\n\
        theirs = dict(u.parse_qsl(u.urlsplit(request.url).query))\n\
        print(theirs == query or (theirs, query))\n";
    let python = Command::new(venv().join("bin/python")).args(["-c", script, &url, SECRET, session]).output().unwrap();
    let told = format!("{}{}", String::from_utf8_lossy(&python.stdout), String::from_utf8_lossy(&python.stderr));
    assert_eq!(told, "True\n");
}

#[test]
fn a_cluster_of_google_gets_the_access_token() {
    let (authority, token) = (Authority::new(), secret("ya29.", 64));
    let api = Api::start(&authority.issue("server", NAMES, None), &authority, &[(&token, "deploy@example.com")], &[]);
    let google = Double::start({
        let token = token.clone();
        move |seen| match seen.path() {
            "/token" => Answer::json(200, &serde_json::json!({ "access_token": token, "expires_in": 3599 })),
            _ => Answer::json(404, "{}"),
        }
    });
    let cluster = trusting(&authority);
    let stage = stage(&kubeconfig(&api.url(), &cluster, &program("gke-gcloud-auth-plugin", "")));
    let words = ["credentials", "store", "gcp", "--client-id", "id", "--client-secret", "-", "--name", "google"];
    let more = ["--refresh-token", "refresh", "--endpoint", &google.url(), "--no-verify"];
    stage.run_with(&[&words[..], &more].concat(), b"secret").ends(0);
    let stored = store(&stage, &["--source", "google", "--name", "gke"]).ends(0);
    assert!(stored.stderr().contains("Stored gke (GKE kubeconfig"), "{stored}");
    assert!(stored.stderr().contains("active: deploy@example.com"), "{stored}");
    let config = written(&stage, &kubeconfig(&api.url(), &cluster, &user("gke", V1, true)));
    let before = google.requests().len();
    for _ in 0..2 {
        assert_eq!(said(&kubectl(&stage, &config, &WHO)), "deploy@example.com");
    }
    assert_eq!(google.requests().len(), before + 1, "one token for all commands of an hour");
}
