//! A private session bus with a gnome-keyring of its own: the keychain of one test.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

const COLLECTION: &str = "/org/freedesktop/secrets/collection/login";

/// A running keychain, empty and unlocked. Ends when dropped.
pub struct Keyring {
    folder: TempDir,
    address: String,
    bus: Child,
    daemon: Option<Child>,
}

impl Keyring {
    pub fn start() -> Self {
        let mut keyring = Self::without_service();
        keyring.start_service();
        keyring
    }

    /// A session bus on which nobody keeps secrets.
    pub fn without_service() -> Self {
        let folder = tempfile::Builder::new().prefix("lanyard-keyring-").tempdir().expect("a temporary folder");
        // Without service folders the bus starts nothing by itself, so a keychain that was killed stays dead.
        let settings = folder.path().join("bus.conf");
        let socket = folder.path().join("bus");
        std::fs::write(
            &settings,
            format!(
                "<busconfig><type>session</type><listen>unix:path={}</listen><auth>EXTERNAL</auth>\
                 <policy context=\"default\"><allow send_destination=\"*\" eavesdrop=\"true\"/>\
                 <allow eavesdrop=\"true\"/><allow own=\"*\"/></policy></busconfig>",
                socket.display()
            ),
        )
        .expect("the bus settings");
        let mut bus = Command::new("dbus-daemon")
            .args(["--nofork", "--nopidfile", "--print-address", "--config-file"])
            .arg(&settings)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("dbus-daemon is installed; tests/run does that");
        let mut address = String::new();
        BufReader::new(bus.stdout.take().expect("stdout is a pipe")).read_line(&mut address).expect("the bus address");
        Self { folder, address: address.trim().to_owned(), bus, daemon: None }
    }

    /// Starts the daemon, also again after [`Keyring::kill`]; what it kept is still there.
    pub fn start_service(&mut self) {
        let data = self.folder.path().join("data");
        std::fs::create_dir_all(data.join("keyrings")).expect("a data folder");
        let mut daemon = self
            .client("gnome-keyring-daemon")
            .args(["--foreground", "--unlock", "--components=secrets"])
            .env("XDG_DATA_HOME", data)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("gnome-keyring is installed; tests/run does that");
        // The password of the collection; an empty input would leave the daemon without one.
        daemon.stdin.take().expect("stdin is a pipe").write_all(b"test").expect("the daemon reads");
        self.daemon = Some(daemon);
        let ready = Instant::now() + Duration::from_secs(20);
        while !self.has_collection() {
            assert!(Instant::now() < ready, "the keyring did not start");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn has_collection(&self) -> bool {
        let answer = self.call(&[
            "/org/freedesktop/secrets",
            "org.freedesktop.DBus.Properties.Get",
            "string:org.freedesktop.Secret.Service",
            "string:Collections",
        ]);
        String::from_utf8_lossy(&answer.stdout).contains(COLLECTION)
    }

    /// The value for `DBUS_SESSION_BUS_ADDRESS`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The value for `XDG_RUNTIME_DIR`.
    pub fn runtime_dir(&self) -> &Path {
        self.folder.path()
    }

    /// Where the daemon keeps its files: the only place on the disk where a secret may be, encrypted.
    pub fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Runs `secret-tool`, the other client: the witness of what is in the keychain.
    pub fn secret_tool(&self, arguments: &[&str]) -> Output {
        self.client("secret-tool").args(arguments).stdin(Stdio::null()).output().expect("secret-tool is installed")
    }

    /// Puts an item there as another program would.
    pub fn put(&self, label: &str, attributes: &[&str], secret: &str) {
        let mut child = self
            .client("secret-tool")
            .args(["store", "--label", label])
            .args(attributes)
            .stdin(Stdio::piped())
            .spawn()
            .expect("secret-tool is installed");
        child.stdin.take().expect("stdin is a pipe").write_all(secret.as_bytes()).expect("secret-tool reads");
        assert!(child.wait().expect("secret-tool ends").success());
    }

    /// Every item that belongs to lanyard, as `secret-tool search` prints them: labels, attributes and secrets.
    pub fn items(&self) -> String {
        let found = self.secret_tool(&["search", "--all", "service", "lanyard"]);
        // The attributes are printed on stderr, the rest on stdout.
        String::from_utf8_lossy(&[found.stdout, found.stderr].concat()).into_owned()
    }

    /// The name of the item that holds a profile's session; the tag of the configuration folder may follow the profile.
    pub fn name_of(&self, profile: &str) -> String {
        let items = self.items();
        let names = items.lines().filter_map(|line| line.strip_prefix("attribute.username = "));
        let mut own = names.filter(|name| name.split('@').next() == Some(profile));
        own.next().unwrap_or_else(|| panic!("no item of {profile}: {items}")).to_owned()
    }

    /// The session of a profile as another client sees it.
    pub fn session(&self, profile: &str) -> serde_json::Value {
        let item = self.secret_tool(&["lookup", "service", "lanyard", "username", &self.name_of(profile)]);
        serde_json::from_slice(&item.stdout).expect("the item is JSON")
    }

    /// Locks the collection. Nobody can answer the question that would unlock it.
    pub fn lock(&self) {
        let answer = self.call(&[
            "/org/freedesktop/secrets",
            "org.freedesktop.Secret.Service.Lock",
            &format!("array:objpath:{COLLECTION}"),
        ]);
        assert!(answer.status.success(), "{}", String::from_utf8_lossy(&answer.stderr));
    }

    /// Kills the daemon as a crash would. The bus stays.
    pub fn kill(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            daemon.kill().expect("the daemon is ours");
            daemon.wait().expect("the daemon is ours");
        }
    }

    /// Makes the daemon deaf: it is there, and answers nothing until [`Keyring::wake`].
    pub fn freeze(&self) {
        self.signal(rustix::process::Signal::STOP);
    }

    /// Ends [`Keyring::freeze`].
    pub fn wake(&self) {
        self.signal(rustix::process::Signal::CONT);
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let pid = self.daemon.as_ref().and_then(|daemon| i32::try_from(daemon.id()).ok());
        let pid = pid.and_then(rustix::process::Pid::from_raw).expect("a running daemon");
        rustix::process::kill_process(pid, signal).expect("the daemon is there");
    }

    fn call(&self, arguments: &[&str]) -> Output {
        self.client("dbus-send")
            .args(["--session", "--print-reply", "--dest=org.freedesktop.secrets"])
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .expect("dbus-send is installed")
    }

    fn client(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", self.folder.path())
            .env("LANG", "C.UTF-8")
            .env("XDG_RUNTIME_DIR", self.folder.path())
            .env("DBUS_SESSION_BUS_ADDRESS", &self.address);
        command
    }
}

impl Drop for Keyring {
    fn drop(&mut self) {
        for child in self.daemon.iter_mut().chain([&mut self.bus]) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A bus that takes connections and never says a word. The address is good until the value is dropped.
pub struct DeafBus {
    folder: TempDir,
    _listener: UnixListener,
}

impl DeafBus {
    pub fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let listener = UnixListener::bind(folder.path().join("bus")).expect("a socket");
        Self { folder, _listener: listener }
    }

    pub fn address(&self) -> String {
        format!("unix:path={}", self.folder.path().join("bus").display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_items_locks_dies_and_comes_back() {
        let mut keyring = Keyring::start();
        keyring.put("lanyard: work", &["service", "lanyard", "username", "work"], "kept");
        let lookup = |keyring: &Keyring| keyring.secret_tool(&["lookup", "service", "lanyard", "username", "work"]);
        assert_eq!(lookup(&keyring).stdout, b"kept");
        assert!(keyring.items().contains("label = lanyard: work"), "{}", keyring.items());

        keyring.kill();
        assert!(!lookup(&keyring).status.success());
        keyring.start_service();
        assert_eq!(lookup(&keyring).stdout, b"kept");

        keyring.lock();
        assert!(!lookup(&keyring).status.success());
    }
}
