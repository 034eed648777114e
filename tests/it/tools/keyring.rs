//! pip of two generations, uv and twine, with a package index that wants a password. See `tests/peers/pypi`.

use std::path::PathBuf;

use tempfile::TempDir;

use super::program::{Bench, Told, peer};
use crate::double::{Answer, Double};
use crate::peers::free_port;
use crate::providers::foreground::Foreground;
use crate::vaulted::list;

const PASSWORD: &str = "alice-password";

struct Index {
    url: String,
    folder: TempDir,
    _server: Foreground,
}

impl Index {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (port, venv) = (free_port(), peer("pypi"));
        let arguments = [venv.to_str().unwrap(), folder.path().to_str().unwrap(), &port.to_string()];
        let server = Foreground::start("pypi/up.sh", port, &arguments);
        Self { url: format!("http://127.0.0.1:{port}"), folder, _server: server }
    }

    fn simple(&self, user: Option<&str>) -> String {
        let url = format!("{}/simple/", self.url);
        user.map_or(url.clone(), |user| url.replace("://", &format!("://{user}@")))
    }
}

fn store(bench: &Bench, endpoint: &str) {
    let words = [
        "credentials",
        "store",
        "password",
        "python",
        "--username",
        "alice",
        "--password",
        "-",
        "--endpoint",
        endpoint,
    ];
    bench.stage.run_with(&words, PASSWORD.as_bytes()).ends(0);
}

fn pip(bench: &Bench, pip: &str, index: &str) -> Told {
    let pip = peer(pip);
    let words = ["download", "--no-deps", "-d", "got", "--index-url", index, "--keyring-provider", "subprocess"];
    let quiet = ["--no-input", "--no-cache-dir", "--disable-pip-version-check", "peer"];
    bench.run(pip, &[&words[..], &quiet].concat())
}

fn uv(bench: &Bench, index: &str) -> Told {
    let words = ["pip", "install", "--no-cache", "--target", "got", "--index-url", index];
    bench.run(peer("pypi/bin/uv"), &[&words[..], &["--keyring-provider", "subprocess", "peer"]].concat())
}

fn got(bench: &Bench) -> bool {
    let there = std::fs::read_dir(bench.stage.home().join("got")).is_ok_and(|mut entries| entries.next().is_some());
    let _ = std::fs::remove_dir_all(bench.stage.home().join("got"));
    there
}

fn calls(log: &PathBuf) -> String {
    let calls = std::fs::read_to_string(log).unwrap_or_default();
    let _ = std::fs::remove_file(log);
    calls
}

#[test]
fn pip_and_uv_ask_for_the_password_of_an_index() {
    let index = Index::start();
    let bench = Bench::new(&["keyring"]);
    let log = bench.log_calls("keyring");
    store(&bench, &index.simple(None));

    pip(&bench, "pypi/bin/pip", &index.simple(None)).succeeds();
    assert!(got(&bench));
    assert_eq!(calls(&log), format!("--mode=creds --output=json get {}\n", index.simple(None)));
    pip(&bench, "pypi/bin/pip", &index.simple(Some("alice"))).succeeds();
    assert!(got(&bench));
    pip(&bench, "pypi/old/bin/pip", &index.simple(Some("alice"))).succeeds();
    assert!(got(&bench) && calls(&log).ends_with(&format!("\nget {} alice\n", index.simple(None))));
    uv(&bench, &index.simple(Some("alice"))).succeeds();
    assert!(got(&bench) && calls(&log).contains("get http://127.0.0.1"));

    for told in [pip(&bench, "pypi/bin/pip", &index.simple(Some("bob"))), uv(&bench, &index.simple(Some("bob")))] {
        let told = told.fails();
        assert!(!told.all().contains(PASSWORD), "{}", told.all());
    }
    let asked = calls(&log);
    assert!(asked.contains(&format!("get {} bob", index.simple(None))), "they did ask: {asked}");
}

#[test]
fn another_index_gets_no_password() {
    let index = Index::start();
    let bench = Bench::new(&["keyring"]);
    let log = bench.log_calls("keyring");
    store(&bench, &index.simple(None));
    // Another port of the same machine, which asks for a password as well.
    let stranger = Double::always(Answer::json(401, "{}").header("WWW-Authenticate: Basic realm=\"x\""));
    for user in ["", "alice@"] {
        let url = format!("{}/simple/", stranger.url().replace("://", &format!("://{user}")));
        pip(&bench, "pypi/bin/pip", &url).fails();
        uv(&bench, &url).fails();
    }
    assert!(calls(&log).lines().count() >= 2, "they did ask");
    let carried = stranger
        .requests()
        .iter()
        .filter_map(|seen| seen.header("authorization").map(str::to_owned))
        .collect::<Vec<_>>();
    assert!(!carried.is_empty(), "pip shows the user's name alone, without a password");
    let name_alone = "Basic YWxpY2U6";
    assert!(carried.iter().all(|header| header == name_alone), "{carried:?}");
}

#[test]
fn without_a_vault_they_are_told_nothing_and_go_on() {
    let index = Index::start();
    let bench = Bench::new(&["keyring"]);
    let told = pip(&bench, "pypi/bin/pip", &index.simple(None)).fails();
    assert!(told.all().contains("No matching distribution"), "{}", told.all());
    bench.run(bench.bin().join("keyring"), &["get", &index.simple(None), "alice"]).fails();
    assert!(!bench.stage.home().join(".local/share/lanyard").exists(), "nothing was made");
}

#[test]
fn twine_uploads_with_what_keyring_prints() {
    let index = Index::start();
    let mut bench = Bench::new(&["keyring"]);
    store(&bench, &index.url);
    // twine reads Python's module alone. What the program prints reaches it in a variable.
    let keyring = bench.bin().join("keyring");
    let url = format!("{}/", index.url);
    let pair = bench.run(&keyring, &["get", &url, "--mode", "creds"]).succeeds().stdout();
    let (user, password) = pair.trim_end().split_once('\n').expect("two lines");
    bench.set("TWINE_USERNAME", user).set("TWINE_PASSWORD", password);
    let wheel = index.folder.path().join("other-1.0-py3-none-any.whl");
    let words =
        ["upload", "--non-interactive", "--disable-progress-bar", "--repository-url", &url, wheel.to_str().unwrap()];
    bench.run(peer("pypi/bin/twine"), &words).succeeds();
    assert!(index.folder.path().join("packages/other-1.0-py3-none-any.whl").exists());
}

#[test]
fn pip_keeps_a_password_and_keyring_forgets_it() {
    let index = Index::start();
    let bench = Bench::new(&["keyring"]);
    let keyring = bench.bin().join("keyring");
    // As pip does after it has asked its user: for the bare host.
    let host = index.url.strip_prefix("http://").unwrap();
    let mut set = bench.command(&keyring, "");
    set.args(["set", host, "alice"]);
    super::program::finish(set, b"alice-password\n").succeeds();
    let stored = list(&bench.stage);
    assert_eq!((stored.len(), &stored[0]["fields"]["endpoint"]), (1, &serde_json::json!(index.url)));
    pip(&bench, "pypi/bin/pip", &index.simple(None)).succeeds();
    assert!(got(&bench));
    bench.run(&keyring, &["del", host, "alice"]).succeeds();
    assert!(list(&bench.stage).is_empty());
    assert_eq!(bench.run(&keyring, &["del", host, "alice"]).fails().code(), Some(1));
    assert_eq!(bench.run(&keyring, &["--what"]).fails().code(), Some(2));
}
