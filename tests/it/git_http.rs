//! git itself, and servers that it talks to over HTTP: `git-http-backend` under nginx, and the same behind a gate that
//! sees every request and decides what becomes of it.

use std::io::Write;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tempfile::TempDir;

use crate::double::Seen;
use crate::peers::free_port;
use crate::providers::foreground::Foreground;
use crate::stage::{LANYARD, Stage};
use crate::wire::Message;

/// Repositories behind a password, and one for everybody.
pub struct GitServer {
    pub url: String,
    _folder: TempDir,
    _server: Foreground,
}

impl GitServer {
    pub fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let port = free_port();
        let server = Foreground::start("git-http/up.sh", port, &[folder.path().to_str().unwrap(), &port.to_string()]);
        Self { url: format!("http://127.0.0.1:{port}"), _folder: folder, _server: server }
    }

    /// The repository for which alice's password is wanted.
    pub fn private(&self) -> String {
        format!("{}/private/demo.git", self.url)
    }

    /// Host and port, as git tells them.
    pub fn host(&self) -> &str {
        self.url.strip_prefix("http://").unwrap()
    }
}

/// What becomes of a request.
pub enum Gate {
    /// git answers it.
    Open,
    /// 401, and a password is asked for.
    Unknown,
    /// Another address is named.
    Elsewhere(String),
}

/// Repositories behind a gate.
pub struct GatedGit {
    pub url: String,
    folder: TempDir,
    requests: Arc<Mutex<Vec<Seen>>>,
    stopped: Arc<AtomicBool>,
    acceptor: Option<JoinHandle<()>>,
}

impl GatedGit {
    /// An empty bare repository `demo.git` behind this gate.
    pub fn start(gate: impl Fn(&Seen) -> Gate + Send + Sync + 'static) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut init = Command::new("git");
        init.args(["init", "--quiet", "--bare", "-b", "main", "demo.git"]).current_dir(folder.path());
        assert!(init.status().expect("git is installed").success());
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("its address"));
        let (requests, stopped) = (Arc::<Mutex<Vec<Seen>>>::default(), Arc::new(AtomicBool::new(false)));
        let acceptor = std::thread::spawn({
            let (requests, stopped) = (Arc::clone(&requests), Arc::clone(&stopped));
            let (gate, root) = (Arc::new(gate), folder.path().to_owned());
            move || {
                for stream in listener.incoming().flatten() {
                    if stopped.load(Ordering::SeqCst) {
                        return;
                    }
                    let (requests, gate, root) = (Arc::clone(&requests), Arc::clone(&gate), root.clone());
                    std::thread::spawn(move || serve(&stream, &requests, &*gate, &root));
                }
            }
        });
        Self { url, folder, requests, stopped, acceptor: Some(acceptor) }
    }

    /// One that knows this user and password, or this token with any user.
    pub fn with_password(user: &'static str, password: &'static str) -> Self {
        Self::start(move |seen| match login(seen) {
            Some((given, secret)) if given == user && secret == password => Gate::Open,
            _ => Gate::Unknown,
        })
    }

    pub fn repository(&self) -> String {
        format!("{}/demo.git", self.url)
    }

    /// The folder of the repository.
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("demo.git")
    }

    pub fn host(&self) -> &str {
        self.url.strip_prefix("http://").unwrap()
    }

    pub fn requests(&self) -> Vec<Seen> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether any request brought a password or a token.
    pub fn saw_a_secret(&self) -> bool {
        self.requests().iter().any(|seen| seen.header("authorization").is_some())
    }
}

impl Drop for GatedGit {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        // Wakes the acceptor.
        let _ = TcpStream::connect(self.host());
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
    }
}

/// User and password of a request.
pub fn login(seen: &Seen) -> Option<(String, String)> {
    let pair = STANDARD.decode(seen.header("authorization")?.strip_prefix("Basic ")?).ok()?;
    let pair = String::from_utf8(pair).ok()?;
    pair.split_once(':').map(|(user, password)| (user.to_owned(), password.to_owned()))
}

fn serve(mut stream: &TcpStream, requests: &Mutex<Vec<Seen>>, gate: &dyn Fn(&Seen) -> Gate, root: &Path) {
    let _ = stream.set_read_timeout(Some(Duration::from_secs(30)));
    let Ok(message) = Message::read(stream, false) else { return };
    let mut words = message.first_line.split(' ').map(str::to_owned);
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let seen = Seen { method, target, message };
    requests.lock().unwrap_or_else(PoisonError::into_inner).push(seen.clone());
    let page = match gate(&seen) {
        Gate::Open => backend(&seen, root),
        Gate::Unknown => b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"git\"\r\nContent-Length: 0\r\n\
              Connection: close\r\n\r\n"
            .to_vec(),
        Gate::Elsewhere(address) => {
            format!("HTTP/1.1 301 Moved\r\nLocation: {address}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                .into_bytes()
        }
    };
    let _ = stream.write_all(&page);
    let _ = stream.shutdown(Shutdown::Both);
}

/// git's own answer, by CGI.
fn backend(seen: &Seen, root: &Path) -> Vec<u8> {
    let (path, query) = seen.target.split_once('?').unwrap_or((&seen.target, ""));
    let mut command = Command::new("git");
    command.arg("http-backend").env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").env("GIT_PROJECT_ROOT", root);
    command.env("GIT_HTTP_EXPORT_ALL", "1").env("PATH_INFO", path).env("QUERY_STRING", query);
    command.env("REQUEST_METHOD", &seen.method).env("REMOTE_USER", "somebody").env("REMOTE_ADDR", "127.0.0.1");
    command.env("CONTENT_LENGTH", seen.message.body.len().to_string());
    for (variable, header) in [
        ("CONTENT_TYPE", "content-type"),
        ("HTTP_CONTENT_ENCODING", "content-encoding"),
        ("HTTP_GIT_PROTOCOL", "git-protocol"),
    ] {
        if let Some(value) = seen.header(header) {
            command.env(variable, value);
        }
    }
    let answer = feed(&mut command, &seen.message.body).stdout;
    let status = answer.strip_prefix(b"Status: ").map(|rest| rest.split(|byte| *byte == b'\r').next().unwrap_or(rest));
    let status = status.map_or_else(|| "200 OK".into(), |status| String::from_utf8_lossy(status).into_owned());
    [format!("HTTP/1.1 {status}\r\nConnection: close\r\n").as_bytes(), &answer].concat()
}

fn feed(command: &mut Command, stdin: &[u8]) -> Output {
    let started = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = started.expect("git is installed");
    let (mut pipe, stdin) = (child.stdin.take().expect("stdin is a pipe"), stdin.to_vec());
    std::thread::spawn(move || drop(pipe.write_all(&stdin)));
    child.wait_with_output().expect("git ends")
}

/// The helper as `lanyard setup` tells git about it.
pub fn own_helper() -> String {
    format!("{LANYARD} helper git")
}

/// git in a stage's home, with these helpers and no others, ready to start.
pub fn git_command(stage: &Stage, helpers: &[&str]) -> Command {
    let plain = stage.command(&[]);
    let mut command = Command::new("git");
    command.env_clear().envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.env("GIT_CONFIG_NOSYSTEM", "1").args(["-c", "credential.helper="]);
    for helper in helpers {
        command.arg("-c").arg(format!("credential.helper={helper}"));
    }
    command.args(["-c", "user.name=A", "-c", "user.email=a@b.example"]).current_dir(stage.home());
    command
}

/// git in a stage's home with lanyard's helper, to its end. Nobody is asked anything.
pub fn git(stage: &Stage, arguments: &[&str], stdin: &str) -> Output {
    git_beside(stage, &[&own_helper()], arguments, stdin)
}

/// The same with these helpers.
pub fn git_beside(stage: &Stage, helpers: &[&str], arguments: &[&str], stdin: &str) -> Output {
    let mut command = git_command(stage, helpers);
    feed(command.args(arguments).env("GIT_TERMINAL_PROMPT", "0"), stdin.as_bytes())
}

/// Whether git tells helpers what it understands and keeps what is ephemeral to itself: git 2.46 and later.
pub fn knows_authtype() -> bool {
    let output = Command::new("git").arg("version").output().expect("git is installed");
    let version = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut numbers = version.split(|c: char| !c.is_ascii_digit()).filter_map(|word| word.parse::<u32>().ok());
    (numbers.next(), numbers.next()) >= (Some(2), Some(46))
}

/// Fails unless git succeeded.
#[track_caller]
pub fn succeeded(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
