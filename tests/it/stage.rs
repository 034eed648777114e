//! The stage that the real binary plays on: a home of its own, a cleared environment, a time limit, and the whole
//! outcome (exit code, stdout, stderr) looked at together.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::canary::Sweep;
use crate::keyring::Keyring;
use crate::template;

/// The binary under test.
pub const LANYARD: &str = env!("CARGO_BIN_EXE_lanyard");
/// The variable with another program for all that is not the server: the slim one, so that each is tried with the other.
const CLIENT: &str = "LANYARD_TESTS_CLIENT";

/// The program that these arguments go to.
fn program(arguments: &[&str]) -> String {
    let is_server = matches!(arguments, ["serve" | "server", ..]);
    std::env::var(CLIENT).ok().filter(|_| !is_server).unwrap_or_else(|| LANYARD.to_owned())
}
/// A command that takes longer is stuck.
const LIMIT: Duration = Duration::from_secs(90);

/// A fresh home for one test.
pub struct Stage {
    root: TempDir,
    variables: BTreeMap<String, OsString>,
    /// Words before the binary: `strace …`, `setpriv …`, `faketime …`.
    wrapper: Vec<String>,
    working_dir: PathBuf,
    limit: Duration,
    outputs: Arc<Mutex<Vec<u8>>>,
}

impl Stage {
    /// A home without a keychain, a terminal, a display or a configuration.
    pub fn new() -> Self {
        let root = tempfile::Builder::new().prefix("lanyard-test-").tempdir().expect("a temporary folder");
        let home = root.path().join("home");
        let temp = root.path().join("tmp");
        std::fs::create_dir(&home).expect("a home");
        std::fs::create_dir(&temp).expect("a folder for temporary files");
        let mut stage = Self {
            working_dir: home.clone(),
            root,
            variables: BTreeMap::new(),
            wrapper: Vec::new(),
            limit: LIMIT,
            outputs: Arc::default(),
        };
        stage.set("PATH", "/usr/local/bin:/usr/bin:/bin").set("TERM", "xterm-256color").set("LANG", "C.UTF-8");
        stage.set("HOME", &home).set("TMPDIR", &temp);
        stage
    }

    /// A home whose session has this keychain.
    pub fn with_keyring(keyring: &Keyring) -> Self {
        let mut stage = Self::new();
        stage.set("DBUS_SESSION_BUS_ADDRESS", keyring.address()).set("XDG_RUNTIME_DIR", keyring.runtime_dir());
        stage
    }

    /// Everything below here belongs to this test.
    pub fn root(&self) -> &Path {
        self.root.path()
    }

    pub fn home(&self) -> PathBuf {
        self.root().join("home")
    }

    pub fn config_dir(&self) -> PathBuf {
        self.variables.get("LANYARD_CONFIG_DIR").map_or_else(|| self.home().join(".config/lanyard"), PathBuf::from)
    }

    /// The text of `config.toml`, empty where there is none.
    pub fn config(&self) -> String {
        std::fs::read_to_string(self.config_dir().join("config.toml")).unwrap_or_default()
    }

    /// Writes `config.toml` with the modes that lanyard itself would use.
    pub fn write_config(&self, text: &str) -> &Self {
        use std::os::unix::fs::PermissionsExt;
        let file = self.config_dir().join("config.toml");
        std::fs::create_dir_all(self.config_dir()).expect("the configuration folder");
        std::fs::set_permissions(self.config_dir(), PermissionsExt::from_mode(0o700)).expect("its mode");
        std::fs::write(&file, text).expect("the configuration");
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).expect("its mode");
        self
    }

    /// Sets a variable for every later command.
    pub fn set(&mut self, name: &str, value: impl Into<OsString>) -> &mut Self {
        self.variables.insert(name.to_owned(), value.into());
        self
    }

    pub fn unset(&mut self, name: &str) -> &mut Self {
        self.variables.remove(name);
        self
    }

    /// Runs later commands in this folder, which is made if need be.
    pub fn enter(&mut self, folder: impl AsRef<Path>) -> &mut Self {
        self.working_dir = self.home().join(folder);
        std::fs::create_dir_all(&self.working_dir).expect("the folder");
        self
    }

    /// Puts a wrapper before the binary, such as `["faketime", "-f", "+1h"]`.
    pub fn wrap(&mut self, wrapper: &[&str]) -> &mut Self {
        self.wrapper = wrapper.iter().map(|word| (*word).to_owned()).collect();
        self
    }

    /// Runs later commands at another time, in the words of faketime: `+1h`, `-1h`, `@2040-01-01 00:00:00`.
    ///
    /// Only the wall clock moves; time-outs run as ever.
    pub fn at(&mut self, time: &str) -> &mut Self {
        let library = ["x86_64-linux-gnu", "aarch64-linux-gnu"]
            .map(|machine| format!("/usr/lib/{machine}/faketime/libfaketime.so.1"))
            .into_iter()
            .find(|library| Path::new(library).exists())
            .expect("faketime is installed; tests/run does that");
        self.set("LD_PRELOAD", library).set("FAKETIME", time).set("FAKETIME_DONT_FAKE_MONOTONIC", "1")
    }

    /// Gives up on later commands sooner or later than usual.
    pub fn limit(&mut self, limit: Duration) -> &mut Self {
        self.limit = limit;
        self
    }

    /// The command, ready to start, for a test that needs more than [`Stage::run`].
    pub fn command(&self, arguments: &[&str]) -> Command {
        let program = program(arguments);
        let before = self.wrapper.iter().map(String::as_str).chain([program.as_str()]);
        let mut words = before.chain(arguments.iter().copied());
        let mut command = Command::new(words.next().expect("at least the binary"));
        command.args(words).env_clear().envs(&self.variables).current_dir(&self.working_dir);
        command
    }

    /// Runs the binary to its end, with an empty stdin.
    pub fn run(&self, arguments: &[&str]) -> Outcome {
        self.run_with(arguments, b"")
    }

    /// Runs the binary to its end, with this on stdin.
    pub fn run_with(&self, arguments: &[&str], stdin: &[u8]) -> Outcome {
        let mut running = self.start(arguments);
        let mut pipe = running.stdin.take().expect("stdin is a pipe");
        let stdin = stdin.to_vec();
        // On a thread of its own: the program may write before it has read everything, or never read at all.
        std::thread::spawn(move || drop(pipe.write_all(&stdin)));
        running.finish()
    }

    /// Starts the binary with an open stdin, and goes on.
    pub fn start(&self, arguments: &[&str]) -> Running {
        let mut child = self
            .command(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let stdout = Lines::of(child.stdout.take().expect("stdout is a pipe"));
        let stderr = Lines::of(child.stderr.take().expect("stderr is a pipe"));
        Running {
            command: arguments.join(" "),
            places: template::Places::new(&self.home(), &self.config_dir(), self.root()),
            stdin: child.stdin.take(),
            child,
            stdout,
            stderr,
            deadline: Instant::now() + self.limit,
            limit: self.limit,
            outputs: Arc::clone(&self.outputs),
        }
    }

    /// Looks for canaries in everything that this test's commands wrote to the disk, `stdout` and `stderr`.
    pub fn sweep(&self, sweep: &mut Sweep) {
        sweep.tree(self.root());
        sweep.bytes("stdout or stderr", &self.outputs.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// The names and sizes of all files of this test, to see that a command changed nothing.
    pub fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = BTreeMap::new();
        collect(&self.home(), &mut files);
        files
    }
}

fn collect(folder: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, files);
        } else {
            files.insert(path.clone(), std::fs::read(&path).unwrap_or_default());
        }
    }
}

/// A command that has not ended yet. Killed when dropped.
pub struct Running {
    command: String,
    places: template::Places,
    child: Child,
    pub stdin: Option<ChildStdin>,
    stdout: Lines,
    stderr: Lines,
    deadline: Instant,
    limit: Duration,
    outputs: Arc<Mutex<Vec<u8>>>,
}

impl Running {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has not ended yet.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Sends a signal by its name: `INT`, `TERM`, `HUP`, `KILL`, `STOP`, `CONT`, `ABRT`.
    pub fn signal(&self, name: &str) {
        let signal = match name {
            "INT" => rustix::process::Signal::INT,
            "TERM" => rustix::process::Signal::TERM,
            "HUP" => rustix::process::Signal::HUP,
            "KILL" => rustix::process::Signal::KILL,
            "STOP" => rustix::process::Signal::STOP,
            "CONT" => rustix::process::Signal::CONT,
            "ABRT" => rustix::process::Signal::ABORT,
            other => panic!("no signal {other}"),
        };
        let pid = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw).expect("a pid");
        rustix::process::kill_process(pid, signal).expect("the process is there");
    }

    /// Waits for a line on stderr for which `find` gives something.
    pub fn wait_for<T>(&mut self, what: &str, find: impl Fn(&str) -> Option<T>) -> T {
        loop {
            let left = self.deadline.saturating_duration_since(Instant::now());
            match self.stderr.next(left) {
                Some(line) => {
                    if let Some(found) = find(&line) {
                        return found;
                    }
                }
                None => panic!(
                    "`lanyard {}` printed no {what}:\n{}\n{}",
                    self.command,
                    String::from_utf8_lossy(&self.stderr.so_far()),
                    String::from_utf8_lossy(&self.stdout.so_far())
                ),
            }
        }
    }

    /// Waits for a URL that stands alone on a line of stderr.
    pub fn url(&mut self) -> String {
        self.wait_for("URL on a line of its own", |line| {
            let line = line.trim();
            let lonely = line.starts_with("http") && !line.contains(char::is_whitespace);
            lonely.then(|| line.to_owned())
        })
    }

    /// The URL that stands alone on a line of stderr, or `None` once the program has ended without one.
    pub fn url_unless_it_ends(&mut self) -> Option<String> {
        while let Some(line) = self.stderr.next(self.deadline.saturating_duration_since(Instant::now())) {
            let line = line.trim();
            if line.starts_with("http") && !line.contains(char::is_whitespace) {
                return Some(line.to_owned());
            }
        }
        None
    }

    /// The next line of stdout.
    pub fn answer_line(&mut self) -> String {
        let left = self.deadline.saturating_duration_since(Instant::now());
        self.stdout.next(left).unwrap_or_else(|| {
            panic!("`lanyard {}` answered nothing:\n{}", self.command, String::from_utf8_lossy(&self.stderr.so_far()))
        })
    }

    /// Waits for the end.
    pub fn finish(mut self) -> Outcome {
        drop(self.stdin.take());
        let status = loop {
            match self.child.try_wait().expect("the child is ours") {
                Some(status) => break status,
                None if Instant::now() > self.deadline => {
                    let _ = self.child.kill();
                    let said = String::from_utf8_lossy(&self.stderr.all()).into_owned();
                    panic!("`lanyard {}` did not end within {:?}:\n{said}", self.command, self.limit);
                }
                None => std::thread::sleep(Duration::from_millis(2)),
            }
        };
        let (stdout, stderr) = (self.stdout.all(), self.stderr.all());
        let mut outputs = self.outputs.lock().unwrap_or_else(PoisonError::into_inner);
        outputs.extend(&stdout);
        outputs.extend(&stderr);
        drop(outputs);
        Outcome { command: self.command.clone(), places: self.places.clone(), code: status.code(), stdout, stderr }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A pipe that is read on a thread of its own, line by line.
struct Lines {
    queue: Receiver<String>,
    bytes: Arc<Mutex<Vec<u8>>>,
    reader: JoinHandle<()>,
}

impl Lines {
    fn of(pipe: impl Read + Send + 'static) -> Self {
        let (sender, queue) = channel();
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let reader = std::thread::spawn({
            let bytes = Arc::clone(&bytes);
            move || {
                let mut pipe = BufReader::new(pipe);
                let mut line = Vec::new();
                while pipe.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
                    bytes.lock().unwrap_or_else(PoisonError::into_inner).extend(&line);
                    let _ = sender.send(String::from_utf8_lossy(&line).trim_end_matches('\n').to_owned());
                    line.clear();
                }
            }
        });
        Self { queue, bytes, reader }
    }

    fn next(&self, wait: Duration) -> Option<String> {
        self.queue.recv_timeout(wait).ok()
    }

    fn so_far(&self) -> Vec<u8> {
        self.bytes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Everything, once the writer has closed its end; what a left-over child still holds open is not waited for.
    fn all(&self) -> Vec<u8> {
        let patience = Instant::now() + Duration::from_secs(2);
        while !self.reader.is_finished() && Instant::now() < patience {
            std::thread::sleep(Duration::from_millis(1));
        }
        self.so_far()
    }
}

/// What a command did.
#[derive(Debug, Clone)]
pub struct Outcome {
    command: String,
    places: template::Places,
    /// The exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
}

impl Outcome {
    pub fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.stdout).unwrap_or_else(|_| panic!("stdout is no JSON: {self}"))
    }

    /// Fails unless the exit code is this one.
    #[track_caller]
    pub fn ends(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self}");
        self
    }

    /// Fails unless the exit code, stdout and stderr are these, as a whole.
    ///
    /// What differs from run to run stands as a placeholder: `[HOME]`, `[CONFIG]`, `[ROOT]` for folders, `[PORT]`,
    /// `[TIME]`, `[DATE]`, `[SPAN]` (`in 59 minutes`), and `[..]` for anything within a line.
    #[track_caller]
    pub fn shows(self, code: i32, stdout: &str, stderr: &str) -> Self {
        let actual = format!(
            "{}\n--- stdout\n{}--- stderr\n{}",
            self.code_word(),
            self.plain(&self.stdout),
            self.plain(&self.stderr)
        );
        let expected = format!("exit {code}\n--- stdout\n{stdout}--- stderr\n{stderr}");
        assert!(
            template::matches(&expected, &actual),
            "`lanyard {}` did something else.\nexpected:\n{expected}\n\nactual:\n{actual}",
            self.command
        );
        self
    }

    fn plain(&self, bytes: &[u8]) -> String {
        self.places.replace(&String::from_utf8_lossy(bytes))
    }

    fn code_word(&self) -> String {
        self.code.map_or_else(|| "killed".to_owned(), |code| format!("exit {code}"))
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "`lanyard {}`: {}\n{}\n{}", self.command, self.code_word(), self.stdout(), self.stderr())
    }
}
