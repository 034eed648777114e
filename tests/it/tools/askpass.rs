//! git and ssh-add, which ask a program where they would ask a person.

use tempfile::TempDir;

use super::program::{Bench, Told, finish};
use crate::peers::free_port;
use crate::providers::foreground::Foreground;

const PASSPHRASE: &str = "LNYCANARY 0123456789 abcdef";

struct GitServer {
    url: String,
    _folder: TempDir,
    _server: Foreground,
}

impl GitServer {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let port = free_port();
        let server = Foreground::start("git-http/up.sh", port, &[folder.path().to_str().unwrap(), &port.to_string()]);
        Self { url: format!("http://127.0.0.1:{port}"), _folder: folder, _server: server }
    }
}

fn ls_remote(bench: &Bench, url: &str) -> Told {
    bench.run("git", &["-c", "credential.helper=", "ls-remote", url])
}

#[test]
fn git_is_told_user_and_password_of_the_very_host() {
    let (server, stranger) = (GitServer::start(), GitServer::start());
    let mut bench = Bench::new(&["lanyard-askpass"]);
    bench.set("GIT_ASKPASS", "lanyard-askpass").set("GIT_TERMINAL_PROMPT", "0");
    let private = format!("{}/private/demo.git", server.url);
    ls_remote(&bench, &private).fails();
    let words = ["credentials", "store", "git", &server.url, "--username", "alice", "--token", "-", "--no-verify"];
    bench.stage.run_with(&words, b"alice-password").ends(0);
    ls_remote(&bench, &private).succeeds();
    let named = private.replace("://", "://alice@");
    ls_remote(&bench, &named).succeeds();
    ls_remote(&bench, &private.replace("://", "://bob@")).fails();
    // The same server on another port is another host.
    let told = ls_remote(&bench, &format!("{}/private/demo.git", stranger.url)).fails();
    assert!(!told.all().contains("alice-password"), "{}", told.all());
}

/// A key in a file, closed by a passphrase that lanyard has; the path of the file.
fn closed_key(bench: &Bench) -> String {
    let path = bench.stage.home().join("id").display().to_string();
    bench.run("ssh-keygen", &["-q", "-t", "ed25519", "-N", PASSPHRASE, "-C", "me", "-f", &path]).succeeds();
    path
}

#[test]
fn ssh_add_is_told_the_passphrase_of_the_very_key() {
    let mut bench = Bench::new(&["lanyard-askpass"]);
    bench.set("SSH_ASKPASS", bench.bin().join("lanyard-askpass")).set("SSH_ASKPASS_REQUIRE", "force");
    let key = closed_key(&bench);
    // The agent lives as long as the command that it is started for.
    let add = |bench: &Bench, words: &[&str]| bench.run("ssh-agent", &[&["ssh-add"], words].concat());
    add(&bench, &[&key]).fails();
    let public = format!("{key}.pub");
    let words = ["credentials", "store", "ssh-key", "--public-key", &public, "--passphrase", "-", "--name", "own"];
    bench.stage.run_with(&words, PASSPHRASE.as_bytes()).ends(0);
    let added = add(&bench, &[&key]).succeeds();
    assert!(added.all().contains("Identity added"), "{}", added.all());
    add(&bench, &["-c", &key]).succeeds();
    // A path as the user types it.
    let mut relative = bench.command("ssh-agent", "");
    relative.args(["ssh-add", "id"]);
    finish(relative, b"").succeeds();
    // Another key in a file of that name.
    std::fs::remove_file(&key).unwrap();
    bench.run("ssh-keygen", &["-q", "-t", "ed25519", "-N", "another one", "-f", &key]).succeeds();
    add(&bench, &[&key]).fails();
}

#[test]
fn the_use_of_a_key_is_not_confirmed_in_a_persons_stead() {
    let mut bench = Bench::new(&["lanyard-askpass"]);
    bench.set("SSH_ASKPASS", bench.bin().join("lanyard-askpass")).set("SSH_ASKPASS_REQUIRE", "force");
    let key = closed_key(&bench);
    let words = ["credentials", "store", "ssh-key", "--private-key", &key, "--passphrase", "-", "--name", "own"];
    bench.stage.run_with(&words, PASSPHRASE.as_bytes()).ends(0);
    let script = format!("ssh-add {{}} {key} && echo text > t && ssh-keygen -q -Y sign -n test -f {key}.pub t");
    let free = bench.run("ssh-agent", &["sh", "-c", &script.replace("{}", "")]).succeeds();
    assert!(bench.stage.home().join("t.sig").exists(), "{}", free.all());
    std::fs::remove_file(bench.stage.home().join("t.sig")).unwrap();
    bench.run("ssh-agent", &["sh", "-c", &script.replace("{}", "-c")]).fails();
    assert!(!bench.stage.home().join("t.sig").exists());
}
