//! Real tools with a home of their own, and lanyard in their path under the names by which they look for it.

use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::stage::{LANYARD, Stage};
use crate::vaulted;

/// A tool that takes longer is stuck.
const LIMIT: Duration = Duration::from_mins(2);

/// A home with a vault and a folder of programs.
pub struct Bench {
    pub stage: Stage,
    bin: PathBuf,
    variables: Vec<(String, std::ffi::OsString)>,
}

impl Bench {
    /// lanyard under these names, and under its own.
    pub fn new(names: &[&str]) -> Self {
        let stage = vaulted::stage();
        let bin = stage.root().join("bin");
        std::fs::create_dir(&bin).expect("a folder");
        for name in names.iter().chain(&["lanyard"]) {
            std::os::unix::fs::symlink(LANYARD, bin.join(name)).expect("a link");
        }
        Self { stage, bin, variables: Vec::new() }
    }

    /// The folder of the programs.
    pub fn bin(&self) -> &Path {
        &self.bin
    }

    /// A variable for the tools.
    pub fn set(&mut self, name: &str, value: impl AsRef<OsStr>) -> &mut Self {
        self.variables.push((name.to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Writes down each call of a program, and passes it on: the log's path.
    pub fn log_calls(&self, name: &str) -> PathBuf {
        let log = self.stage.root().join(format!("{name}.log"));
        let script =
            format!("#!/bin/sh\nprintf '%s\\n' \"$*\" >> '{}'\nexec -a '{name}' '{LANYARD}' \"$@\"\n", log.display());
        // `exec -a` is bash's.
        let script = script.replace("#!/bin/sh", "#!/bin/bash");
        std::fs::remove_file(self.bin.join(name)).expect("the link was there");
        self.script(name, &script);
        log
    }

    /// A program of the test's own.
    pub fn script(&self, name: &str, text: &str) {
        use std::os::unix::fs::PermissionsExt;
        let path = self.bin.join(name);
        std::fs::write(&path, text).expect("a script");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).expect("its mode");
    }

    /// The tool, ready to start in the home or below it.
    pub fn command(&self, program: impl AsRef<OsStr>, folder: &str) -> Command {
        let folder = self.stage.home().join(folder);
        std::fs::create_dir_all(&folder).expect("a folder");
        let path = format!("{}:/usr/local/bin:/usr/bin:/bin", self.bin.display());
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", path)
            .env("HOME", self.stage.home())
            .env("LANG", "C.UTF-8")
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .current_dir(folder);
        command
    }

    /// Runs a tool in the home.
    pub fn run(&self, program: impl AsRef<OsStr>, arguments: &[&str]) -> Told {
        let mut command = self.command(program, "");
        command.args(arguments);
        finish(command, b"")
    }
}

/// Runs a command to its end with this on stdin.
pub fn finish(mut command: Command, stdin: &[u8]) -> Told {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}; tests/run installs what is needed"));
    let mut pipe = child.stdin.take().expect("stdin is a pipe");
    let stdin = stdin.to_vec();
    std::thread::spawn(move || drop(pipe.write_all(&stdin)));
    let pid = child.id();
    let (sender, ended) = std::sync::mpsc::channel();
    std::thread::spawn(move || drop(sender.send(child.wait_with_output())));
    let start = Instant::now();
    if let Ok(output) = ended.recv_timeout(LIMIT) {
        return Told(output.expect("the tool ends"));
    }
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw).expect("a pid");
    let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    panic!("{command:?} did not end within {:?}", start.elapsed());
}

/// What a tool did.
#[derive(Debug)]
pub struct Told(Output);

impl Told {
    pub fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.0.stdout).into_owned()
    }

    /// Everything that was said, on either stream.
    pub fn all(&self) -> String {
        format!("{}\n{}", self.stdout(), String::from_utf8_lossy(&self.0.stderr))
    }

    pub fn code(&self) -> Option<i32> {
        self.0.status.code()
    }

    #[track_caller]
    pub fn succeeds(self) -> Self {
        assert!(self.0.status.success(), "{:?}\n{}", self.0.status, self.all());
        self
    }

    #[track_caller]
    pub fn fails(self) -> Self {
        assert!(!self.0.status.success(), "{}", self.all());
        self
    }
}

/// Where `tests/run` puts what it installs for the tests.
pub fn peer(path: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/test-peers").join(path);
    assert!(path.exists(), "{} is missing; tests/run installs it", path.display());
    path
}
