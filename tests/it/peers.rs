//! Identity servers that we did not write, and the people and browsers who sign in at them. See `tests/peers`.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

fn peers() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers")
}

/// `oidc-provider`, a certified server: PKCE, device flow, rotation with reuse detection, revocation, introspection.
pub struct OidcProvider {
    child: Child,
    issuer: String,
}

impl OidcProvider {
    /// Starts it with settings such as `("ACCESS_TTL", "5")`; `server.mjs` lists them.
    pub fn start(settings: &[(&str, &str)]) -> Self {
        let folder = peers().join("oidc-provider");
        assert!(folder.join("node_modules").exists(), "the npm packages are missing; tests/run installs them");
        let mut child = Command::new("node")
            .arg("server.mjs")
            .current_dir(folder)
            .envs(settings.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("node is installed; tests/run does that");
        let mut lines = BufReader::new(child.stdout.take().expect("stdout is a pipe")).lines().map_while(Result::ok);
        let issuer = lines.find_map(|line| line.strip_prefix("ready ").map(str::to_owned));
        // Read to the end: the server dies of a closed pipe when it has something to say.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, issuer: issuer.expect("the server starts") }
    }

    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// How many requests a path has had.
    pub fn count(&self, path: &str) -> u64 {
        let counts = crate::wire::get(&format!("{}/__counts", self.issuer)).expect("the counts");
        counts.json()[path].as_u64().unwrap_or(0)
    }
}

impl Drop for OidcProvider {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `canaille`, a server in Python. Its callback port is fixed, as some servers demand.
pub struct Canaille {
    folder: TempDir,
    issuer: String,
    /// The only port that redirects may go to.
    pub callback_port: u16,
}

impl Canaille {
    pub fn start() -> Self {
        let venv = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/test-peers/canaille");
        assert!(venv.join("bin/canaille").exists(), "canaille is missing; tests/run installs it");
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (port, callback_port) = (free_port(), free_port());
        let output = Command::new("bash")
            .arg(peers().join("canaille/up.sh"))
            .arg(venv)
            .arg(folder.path())
            .args([port.to_string(), callback_port.to_string()])
            .stdin(Stdio::null())
            .output()
            .expect("bash is there");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Self { folder, issuer: format!("http://127.0.0.1:{port}"), callback_port }
    }

    pub fn issuer(&self) -> &str {
        &self.issuer
    }
}

impl Drop for Canaille {
    fn drop(&mut self) {
        let pid = std::fs::read_to_string(self.folder.path().join("pid")).unwrap_or_default();
        let pid = pid.trim().parse().ok().and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid {
            // The server has workers; `setsid` made it the leader of their group.
            let _ = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
        }
    }
}

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port").port()
}

/// A person with a browser, by `browse.py`: signs in as alice and consents. Options: `--code`, `--deny`, `--user`, …
pub fn person(url: &str, options: &[&str]) -> Value {
    let output = Command::new("python3")
        .arg(peers().join("browser/browse.py"))
        .arg(url)
        .args(options)
        .stdin(Stdio::null())
        .output()
        .expect("python3 is there");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)))
}

/// Headless Chromium signs in at [`OidcProvider`]. Tells the address, the title, the text and the hosts in the end.
pub fn chromium(url: &str, picture: Option<&Path>) -> Value {
    let output = Command::new("node")
        .arg(peers().join("browser/chromium-login.mjs"))
        .arg(url)
        .args(picture)
        .stdin(Stdio::null())
        .output()
        .expect("node is there");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)))
}
