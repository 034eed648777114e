//! Servers that we did not write, each in the foreground of a process of its own. See `tests/peers`.

use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A running server. Killed when dropped.
pub struct Foreground(Child);

impl Foreground {
    /// Starts `tests/peers/SCRIPT ARGUMENTS` and waits until the port answers.
    pub fn start(script: &str, port: u16, arguments: &[&str]) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers").join(script);
        let is_python = path.extension().is_some_and(|ending| ending == "py");
        let mut child = Command::new(if is_python { "python3" } else { "bash" })
            .arg(path)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the script starts");
        let deadline = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "{script} does not answer; tests/run installs what it needs");
            if let Ok(Some(status)) = child.try_wait() {
                panic!("{script} ended with {status}; tests/run installs what it needs");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Self(child)
    }
}

impl Drop for Foreground {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
