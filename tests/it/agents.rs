//! An agent of lanyard for one stage, which ends with the test.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use crate::stage::Stage;
use crate::vaulted;

/// A home with a vault, and a folder for the sockets of its session.
pub fn stage() -> Stage {
    in_a_session(vaulted::stage())
}

/// Gives a stage a folder for the sockets of its session.
pub fn in_a_session(mut stage: Stage) -> Stage {
    let folder = stage.root().join("run");
    std::fs::create_dir_all(&folder).expect("the session's folder");
    std::fs::set_permissions(&folder, PermissionsExt::from_mode(0o700)).expect("its mode");
    stage.set("XDG_RUNTIME_DIR", &folder);
    stage
}

/// A running agent. Killed when dropped.
pub struct Agent {
    pid: Pid,
    /// Where ssh asks.
    pub ssh_socket: PathBuf,
}

impl Agent {
    /// Starts it with these flags, as a person does.
    #[track_caller]
    pub fn start(stage: &Stage, flags: &[&str]) -> Self {
        let started = stage.run(&[&["agent", "start"], flags].concat()).ends(0);
        assert!(started.stdout.is_empty(), "{started}");
        Self::running(stage).unwrap_or_else(|| panic!("none runs: {started}"))
    }

    /// The one that runs.
    pub fn running(stage: &Stage) -> Option<Self> {
        let status = status(stage);
        let pid = status["pid"].as_i64().and_then(|pid| Pid::from_raw(pid.try_into().ok()?))?;
        Some(Self { pid, ssh_socket: status["ssh_socket"].as_str()?.into() })
    }

    pub fn pid(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid, signal).expect("it runs");
    }

    pub fn is_alive(&self) -> bool {
        // Nobody waits for it but init, so that a dead one may still be there as a name.
        let status = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap_or_default();
        test_kill_process(self.pid).is_ok() && !status.contains(") Z ")
    }

    /// Waits for its end.
    #[track_caller]
    pub fn ends_within(&self, limit: Duration) {
        let deadline = Instant::now() + limit;
        while self.is_alive() {
            assert!(Instant::now() < deadline, "it goes on");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// A line of `/proc/PID/status`.
    pub fn told(&self, name: &str) -> String {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.unwrap_or_else(|| panic!("no {name}: {status}")).trim().to_owned()
    }

    /// Its own socket, where helpers ask.
    pub fn socket(&self) -> PathBuf {
        let name = self.ssh_socket.file_name().unwrap().to_str().unwrap();
        self.ssh_socket.with_file_name(name.replacen("ssh", "agent", 1))
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if self.is_alive() {
            let _ = kill_process(self.pid, Signal::KILL);
        }
        // The next one may be started at once.
        let deadline = Instant::now() + Duration::from_secs(5);
        while self.is_alive() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// How it stands, as `agent status --json` tells.
pub fn status(stage: &Stage) -> serde_json::Value {
    stage.run(&["agent", "status", "--json"]).ends(0).json()
}
