//! A real OpenBao, as somebody would run it who has read its guide: on the disk, sealed after every start, with a policy
//! that allows no more than a server needs.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::double::{Answer, Seen};
use crate::peers::free_port;
use crate::wire::{self, Message};

/// A running OpenBao. Killed when dropped.
pub struct OpenBao {
    folder: tempfile::TempDir,
    port: u16,
    settings: Vec<(String, String)>,
    child: Option<Child>,
}

impl OpenBao {
    pub fn start() -> Self {
        Self::with(&[])
    }

    /// With settings such as `("TTL", "2s")`; `up.sh` lists them.
    pub fn with(settings: &[(&str, &str)]) -> Self {
        Self::in_folder(tempfile::tempdir().expect("a folder"), settings)
    }

    /// In a folder that may have a certificate already.
    pub fn in_folder(folder: tempfile::TempDir, settings: &[(&str, &str)]) -> Self {
        let settings = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let mut made = Self { folder, port: free_port(), settings, child: None };
        made.again();
        made
    }

    /// Starts it where it was: sealed, unless this is the first time.
    pub fn again(&mut self) {
        let child = Command::new("bash")
            .arg(scripts().join("up.sh"))
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("target/test-peers/openbao"))
            .arg(self.folder.path())
            .arg(self.port.to_string())
            .envs(self.settings.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("bash");
        self.child = Some(child);
        wait_until("OpenBao is there", || self.file("ready").exists());
    }

    /// Ends it at once.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = std::fs::remove_file(self.file("ready"));
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.file(name)).expect(name).trim().to_owned()
    }

    pub fn url(&self) -> String {
        self.text("address")
    }

    /// The flags of a server that is let in by a token.
    pub fn by_token(&self, more: &[&str]) -> Vec<String> {
        let token = self.file("policy.token");
        self.flags(&["--vault-token-file", token.to_str().unwrap()], more)
    }

    /// The flags of a server that is let in by a role.
    pub fn by_role(&self, more: &[&str]) -> Vec<String> {
        let (id, secret) = (self.text("role-id"), self.file("secret-id"));
        self.flags(&["--vault-role-id", &id, "--vault-secret-id-file", secret.to_str().unwrap()], more)
    }

    fn flags(&self, login: &[&str], more: &[&str]) -> Vec<String> {
        let url = self.url();
        ["--vault-address", &url].iter().chain(login).chain(more).map(|word| (*word).to_owned()).collect()
    }

    /// What its owner does with it; see `bao.sh`.
    pub fn does(&self, words: &[&str]) -> String {
        let mut command = Command::new("bash");
        command.arg(scripts().join("bao.sh"));
        match words {
            ["seal" | "unseal"] => command.arg(words[0]).arg(self.folder.path()),
            _ => command.arg(self.folder.path()).args(words),
        };
        let output = command.output().expect("bash");
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    }

    fn ask(&self, path: &str) -> Message {
        let token = format!("X-Vault-Token: {}", self.text("root.token"));
        wire::send("GET", &format!("{}/v1/secret/{path}", self.url()), &[&token], "").expect("an answer")
    }

    /// Every place in which something rests, or did and is still known of.
    pub fn places(&self) -> Vec<String> {
        let (mut folders, mut places) = (vec!["lanyard/".to_owned()], Vec::new());
        while let Some(folder) = folders.pop() {
            let listed = self.ask(&format!("metadata/{folder}?list=true"));
            let keys = listed.json()["data"]["keys"].as_array().cloned().unwrap_or_default();
            for key in keys.iter().map(|key| format!("{folder}{}", key.as_str().unwrap())) {
                if key.ends_with('/') { folders.push(key) } else { places.push(key) }
            }
        }
        places.sort();
        places
    }

    /// The only place of a credential.
    pub fn place_of(&self, credential: &str) -> String {
        let found: Vec<String> = self.places().into_iter().filter(|place| place.contains(credential)).collect();
        assert_eq!(found.len(), 1, "{found:?}");
        found.into_iter().next().unwrap()
    }

    /// What rests at a place.
    pub fn content(&self, place: &str) -> Value {
        self.ask(&format!("data/{place}")).json()["data"]["data"].clone()
    }

    /// Everything that rests in it, as its own answers tell it.
    pub fn all(&self) -> String {
        self.places().iter().map(|place| self.ask(&format!("data/{place}")).text()).collect()
    }

    /// Writes to a place, as its owner or a thief of their token would.
    pub fn write(&self, place: &str, content: &Value) {
        let token = format!("X-Vault-Token: {}", self.text("root.token"));
        let body = serde_json::json!({ "data": content }).to_string();
        let url = format!("{}/v1/secret/data/{place}", self.url());
        let done = wire::send("POST", &url, &[&token, "Content-Type: application/json"], &body).expect("an answer");
        assert_eq!(done.status(), 200, "{}", done.text());
    }
}

impl Drop for OpenBao {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What an OpenBao answers to what came to a door before it.
pub fn pass(seen: &Seen, url: &str) -> Answer {
    let token = format!("X-Vault-Token: {}", seen.header("x-vault-token").unwrap_or_default());
    let headers = [token.as_str(), "Content-Type: application/json"];
    let answer = wire::send(&seen.method, &format!("{url}{}", seen.target), &headers, &seen.message.text());
    let answer = answer.expect("an answer");
    Answer::json(answer.status(), &answer.text())
}

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/openbao")
}

/// Waits until something is so.
#[track_caller]
pub fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let until = Instant::now() + Duration::from_mins(1);
    while !is_so() {
        assert!(Instant::now() < until, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The same words as the program takes them.
pub fn words(flags: &[String]) -> Vec<&str> {
    flags.iter().map(String::as_str).collect()
}
