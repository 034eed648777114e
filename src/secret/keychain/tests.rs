//! Against a real gnome-keyring on a private bus, and against buses that misbehave.
//!
//! The library opens the keychain once per process, so each test runs itself again in a process of its own, with the
//! bus that it wants in the environment.

use std::io::Read;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::super::contract::secret_store_contract;
use super::*;
use crate::error::Failure;
use crate::os::Env;

/// Set in the process that runs a test's body.
const INSIDE: &str = "LANYARD_TEST_INSIDE";

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/keyring/with-keyring.sh");

fn is_inside() -> bool {
    Env::of_process(None).var(INSIDE).is_some()
}

/// Runs `body` in a process of its own under a private keyring. `setting` is a variable of the script.
fn with_keyring(test: &str, setting: Option<&str>, body: impl FnOnce()) {
    if is_inside() {
        return body();
    }
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new("timeout");
    command.args(["--kill-after=5", "90", "bash", SCRIPT]).arg(home.path()).arg(std::env::current_exe().unwrap());
    command.envs(setting.map(|name| (name, "1")));
    run_again(command, test);
}

/// Runs `body` in a process of its own whose session bus is at `address`.
fn with_bus(test: &str, address: &str, body: impl FnOnce()) {
    if is_inside() {
        return body();
    }
    let mut command = Command::new("timeout");
    command.args(["--kill-after=5", "90"]).arg(std::env::current_exe().unwrap());
    command.env("DBUS_SESSION_BUS_ADDRESS", address).env("XDG_RUNTIME_DIR", "/nonexistent").env_remove("DISPLAY");
    run_again(command, test);
}

fn run_again(mut command: Command, test: &str) {
    let outcome = command
        .args(["--exact", &format!("secret::keychain::tests::{test}"), "--nocapture"])
        .env(INSIDE, "1")
        .stdin(Stdio::null())
        .output()
        .expect("`timeout` and `bash` run");
    let said = [outcome.stdout, outcome.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(outcome.status.success(), "{test} failed in its own process ({}):\n{said}", outcome.status);
    assert!(said.contains("1 passed"), "{test} did not run in its own process:\n{said}");
}

fn slot(name: &str) -> Slot {
    Slot { name: name.into(), label: format!("lanyard: {name} (user@example.com)") }
}

fn secret(value: &str) -> Secret {
    Secret::new(value.into())
}

/// What a command prints, and whether it succeeded.
fn run(command: &[&str]) -> (String, bool) {
    let outcome = Command::new(command[0]).args(&command[1..]).output().unwrap();
    (String::from_utf8_lossy(&outcome.stdout).into_owned(), outcome.status.success())
}

fn secret_tool(arguments: &[&str]) -> (String, bool) {
    run(&[&["secret-tool"], arguments].concat())
}

/// Makes an item as another program would, with an extra attribute so that it stands beside ours.
fn store_by_secret_tool(name: &str, value: &str, extra: &[&str]) {
    let mut command = Command::new("secret-tool");
    command.args(["store", "--label=someone's", "service", "lanyard", "username", name]).args(extra);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), value.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
}

fn keyring_pid() -> String {
    Env::of_process(None).var("KEYRING_PID").unwrap().to_owned()
}

#[test]
fn keeps_the_contract() {
    with_keyring("keeps_the_contract", None, || secret_store_contract(|| Box::new(Keychain::new(false))));
}

#[test]
fn secret_tool_sees_our_item_and_its_deletion_is_seen() {
    with_keyring("secret_tool_sees_our_item_and_its_deletion_is_seen", None, || {
        let (keychain, work) = (Keychain::new(false), slot("work"));
        keychain.set(&work, &secret("canary")).unwrap();
        let lookup = ["lookup", "service", "lanyard", "username", "work"];
        assert_eq!(secret_tool(&lookup), ("canary".into(), true));
        let renamed = Slot { label: "lanyard: work (other@example.com)".into(), ..work.clone() };
        keychain.set(&renamed, &secret("second")).unwrap();
        let (shown, _) = secret_tool(&["search", "--all", "service", "lanyard", "username", "work"]);
        assert!(shown.contains("label = lanyard: work (other@example.com)"), "{shown}");
        assert_eq!(shown.matches("label = ").count(), 1, "one item:\n{shown}");
        assert!(secret_tool(&["clear", "service", "lanyard", "username", "work"]).1);
        assert!(keychain.get(&work).unwrap().is_none());
        assert!(!keychain.remove(&work).unwrap());
        keychain.set(&work, &secret("third")).unwrap();
        assert_eq!(secret_tool(&lookup), ("third".into(), true));
    });
}

#[test]
fn an_item_made_or_changed_by_another_program_is_read() {
    with_keyring("an_item_made_or_changed_by_another_program_is_read", None, || {
        let (keychain, work) = (Keychain::new(false), slot("work"));
        store_by_secret_tool("work", "theirs", &[]);
        assert_eq!(keychain.get(&work).unwrap().unwrap().expose(), "theirs");
        store_by_secret_tool("work", "twin", &["extra", "1"]);
        let found = keychain.get(&work).unwrap().unwrap();
        assert!(["theirs", "twin"].contains(&found.expose()));
        keychain.set(&work, &secret("ours")).unwrap();
        let (shown, _) = secret_tool(&["search", "--all", "service", "lanyard", "username", "work"]);
        assert_eq!(shown.matches("label = ").count(), 1, "the twins became one:\n{shown}");
        assert_eq!(keychain.get(&work).unwrap().unwrap().expose(), "ours");
        store_by_secret_tool("work", "twin", &["extra", "1"]);
        assert!(keychain.remove(&work).unwrap());
        assert!(keychain.get(&work).unwrap().is_none(), "all twins are gone");
    });
}

#[test]
fn a_long_value_comes_back_whole() {
    with_keyring("a_long_value_comes_back_whole", None, || {
        let keychain = Keychain::new(false);
        let long = secret(&"0123456789abcdef".repeat(5000));
        keychain.set(&slot("work"), &long).unwrap();
        assert!(keychain.get(&slot("work")).unwrap().unwrap() == long);
    });
}

#[test]
fn bytes_that_are_no_text_are_damage() {
    with_keyring("bytes_that_are_no_text_are_damage", None, || {
        let keychain = Keychain::new(false);
        keychain.set(&slot("work"), &secret("x")).unwrap();
        let entry = keyring_core::Entry::new("lanyard", "work").unwrap();
        entry.set_secret(b"canary\xff\xfe").unwrap();
        let error = keychain.get(&slot("work")).unwrap_err();
        assert!(matches!(error, StoreError::Damaged { .. }), "{error:?}");
        assert!(!format!("{error}{error:?}").contains("canary"));
        keychain.set(&slot("work"), &secret("again")).unwrap();
        assert_eq!(keychain.get(&slot("work")).unwrap().unwrap().expose(), "again");
    });
}

#[test]
fn the_bus_shows_no_secret() {
    with_keyring("the_bus_shows_no_secret", None, || {
        let mut monitor = Monitor::start();
        let keychain = Keychain::new(false);
        keychain.set(&slot("work"), &secret("canary-in-the-mine")).unwrap();
        assert!(keychain.get(&slot("work")).unwrap().is_some());
        let seen = monitor.stop();
        assert!(seen.contains("SearchItems") && seen.contains("GetSecret"), "the monitor saw the calls:\n{seen}");
        assert!(!seen.contains("canary"), "{seen}");
        let packed: String = seen.split_whitespace().collect();
        assert!(!packed.contains("63616e617279"), "{seen}");
    });
}

#[test]
fn a_read_asks_the_keychain_for_nothing_more_than_it_needs() {
    with_keyring("a_read_asks_the_keychain_for_nothing_more_than_it_needs", None, || {
        let (keychain, work) = (Keychain::new(false), slot("work"));
        keychain.set(&work, &secret("x")).unwrap();
        let mut monitor = Monitor::start();
        assert!(keychain.get(&work).unwrap().is_some());
        let seen = monitor.stop();
        let calls: Vec<&str> = seen
            .lines()
            .filter(|line| line.starts_with("method call") && line.contains("/org/freedesktop/secrets"))
            .filter_map(|line| line.rsplit_once("member=").map(|(_, member)| member))
            .collect();
        assert_eq!(calls, ["SearchItems", "GetSecret"]);
    });
}

/// Has another program store what this process has never touched.
fn store_elsewhere(value: &str) {
    let script = format!("printf %s '{value}' | secret-tool store --label=x service lanyard username work");
    assert!(run(&["sh", "-c", &script]).1);
}

#[test]
fn a_first_read_opens_a_session_and_no_more() {
    with_keyring("a_first_read_opens_a_session_and_no_more", None, || {
        store_elsewhere("canary-in-the-mine");
        let mut monitor = Monitor::start();
        let (keychain, work) = (Keychain::new(false), slot("work"));
        assert_eq!(keychain.get(&work).unwrap(), Some(secret("canary-in-the-mine")));
        assert_eq!(keychain.get(&work).unwrap(), Some(secret("canary-in-the-mine")));
        let seen = monitor.stop();
        let calls: Vec<&str> = seen
            .lines()
            .filter(|line| line.starts_with("method call") && line.contains("/org/freedesktop/secrets"))
            .filter_map(|line| line.rsplit_once("member=").map(|(_, member)| member))
            .collect();
        assert_eq!(calls, ["OpenSession", "SearchItems", "GetSecret", "SearchItems", "GetSecret"]);
        assert!(!seen.contains("canary"), "{seen}");
        // What is not there, and what was made since by the library, is told all the same.
        assert_eq!(keychain.get(&slot("other")).unwrap(), None);
        keychain.set(&work, &secret("another")).unwrap();
        assert_eq!(keychain.get(&work).unwrap(), Some(secret("another")));
    });
}

#[test]
fn a_keychain_that_dies_in_the_middle_of_a_first_read_is_told() {
    with_keyring("a_keychain_that_dies_in_the_middle_of_a_first_read_is_told", None, || {
        store_elsewhere("x");
        assert!(run(&["kill", "-STOP", &keyring_pid()]).1);
        let killer = std::thread::spawn(|| {
            std::thread::sleep(Duration::from_millis(300));
            run(&["kill", "-KILL", &keyring_pid()]);
        });
        let start = Instant::now();
        // The bus may start another one, which nobody unlocks.
        let error = Keychain::new(false).get(&slot("work")).unwrap_err();
        killer.join().unwrap();
        assert!(matches!(error, StoreError::Absent { .. } | StoreError::Locked { .. }), "{error:?}");
        assert!(start.elapsed() < QUICK);
    });
}

/// `dbus-monitor`, for as long as a test wants to listen.
struct Monitor {
    child: Child,
    heard: tempfile::NamedTempFile,
}

impl Monitor {
    fn start() -> Self {
        let heard = tempfile::NamedTempFile::new().unwrap();
        let mut command = Command::new("dbus-monitor");
        command.arg("--session").stdout(heard.reopen().unwrap()).stderr(Stdio::null());
        let monitor = Self { child: command.spawn().unwrap(), heard };
        monitor.wait_for("Ping", "Peer.Ping");
        monitor
    }

    /// Calls a method of the bus until the monitor has heard it.
    fn wait_for(&self, member: &str, method: &str) {
        let method = format!("org.freedesktop.DBus.{method}");
        for _ in 0..200 {
            run(&["dbus-send", "--session", "--print-reply", "--dest=org.freedesktop.DBus", "/", &method]);
            if self.text().contains(&format!("member={member}")) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("the monitor does not hear the bus");
    }

    fn text(&self) -> String {
        std::fs::read_to_string(self.heard.path()).unwrap()
    }

    fn stop(&mut self) -> String {
        self.wait_for("GetId", "GetId");
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.text()
    }
}

#[test]
fn a_locked_keychain_is_told_and_not_waited_for() {
    with_keyring("a_locked_keychain_is_told_and_not_waited_for", Some("KEYRING_LOCKED"), || {
        let start = Instant::now();
        let error = Keychain::new(true).probe(1000).unwrap_err();
        assert!(matches!(error, StoreError::Locked { .. }), "{error:?}");
        assert!(error.mend().unwrap().contains("unlock"));
        assert!(start.elapsed() < QUICK);
    });
}

#[test]
fn an_item_that_got_locked_away_is_told() {
    with_keyring("an_item_that_got_locked_away_is_told", None, || {
        let keychain = Keychain::new(false);
        keychain.set(&slot("work"), &secret("x")).unwrap();
        let lock = "gdbus call --session --dest org.freedesktop.secrets --object-path /org/freedesktop/secrets \
                    --method org.freedesktop.Secret.Service.Lock \"['/org/freedesktop/secrets/collection/login']\"";
        assert!(run(&["bash", "-c", lock]).1);
        for outcome in [
            keychain.get(&slot("work")).map(|_| ()),
            keychain.set(&slot("work"), &secret("y")),
            keychain.set(&slot("home"), &secret("y")),
            keychain.remove(&slot("work")).map(|_| ()),
        ] {
            assert!(matches!(outcome, Err(StoreError::Locked { .. })), "{outcome:?}");
        }
    });
}

#[test]
fn a_bus_without_a_keychain_is_told() {
    with_keyring("a_bus_without_a_keychain_is_told", Some("KEYRING_NONE"), || {
        let start = Instant::now();
        let error = Keychain::new(false).get(&slot("work")).unwrap_err();
        assert!(matches!(error, StoreError::Absent { cause: Some(_), .. }), "{error:?}");
        assert!(start.elapsed() < Duration::from_secs(2));
    });
}

#[test]
fn a_keychain_without_a_place_for_items_is_told() {
    with_keyring("a_keychain_without_a_place_for_items_is_told", Some("KEYRING_EMPTY"), || {
        let error = Keychain::new(false).set(&slot("work"), &secret("x")).unwrap_err();
        assert!(
            matches!(&error, StoreError::Absent { cause: Some(Reason(why)), .. } if why.contains("collection")),
            "{error:?}"
        );
    });
}

#[test]
fn no_bus_is_told() {
    with_bus("no_bus_is_told", "unix:path=/nonexistent/bus", || {
        let start = Instant::now();
        let error = Keychain::new(true).probe(100).unwrap_err();
        assert!(matches!(error, StoreError::Absent { cause: Some(_), .. }), "{error:?}");
        assert!(error.mend().unwrap().contains("--storage file"));
        assert!(start.elapsed() < Duration::from_secs(2));
    });
}

/// A socket that accepts and never answers.
fn silent_socket(dir: &Path) -> (UnixListener, String) {
    let path = dir.join("bus");
    (UnixListener::bind(&path).unwrap(), format!("unix:path={}", path.display()))
}

#[test]
fn a_bus_that_never_answers_is_given_up_and_not_asked_again() {
    let home = tempfile::tempdir().unwrap();
    let (_listener, address) = silent_socket(home.path());
    with_bus("a_bus_that_never_answers_is_given_up_and_not_asked_again", &address, || {
        let start = Instant::now();
        let error = Keychain::new(true).get(&slot("work")).unwrap_err();
        assert!(matches!(error, StoreError::Slow { after: QUICK, .. }), "{error:?}");
        assert!(start.elapsed() < QUICK + Duration::from_secs(1));
        let again = Instant::now();
        assert!(matches!(Keychain::new(true).probe(10), Err(StoreError::Slow { .. })));
        assert!(again.elapsed() < Duration::from_millis(100));
    });
}

#[test]
fn a_bus_that_hangs_up_is_told() {
    let home = tempfile::tempdir().unwrap();
    let (listener, address) = silent_socket(home.path());
    // Says what a bus says first, then dies.
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut stream = stream;
            let _ = stream.read(&mut [0; 64]);
            let _ = std::io::Write::write_all(&mut stream, b"OK 0123456789abcdef0123456789abcdef\r\n");
        }
    });
    with_bus("a_bus_that_hangs_up_is_told", &address, || {
        let error = Keychain::new(false).get(&slot("work")).unwrap_err();
        assert!(matches!(error, StoreError::Absent { cause: Some(_), .. }), "{error:?}");
    });
}

#[test]
fn a_keychain_that_stops_answering_is_given_up() {
    with_keyring("a_keychain_that_stops_answering_is_given_up", None, || {
        let keychain = Keychain::new(false);
        keychain.set(&slot("work"), &secret("x")).unwrap();
        assert!(run(&["kill", "-STOP", &keyring_pid()]).1);
        let start = Instant::now();
        let error = keychain.get(&slot("work")).unwrap_err();
        assert!(run(&["kill", "-CONT", &keyring_pid()]).1);
        assert!(matches!(error, StoreError::Slow { .. }), "{error:?}");
        assert!(start.elapsed() < QUICK + Duration::from_secs(1));
    });
}

#[test]
fn a_keychain_that_dies_in_the_middle_of_a_call_is_told() {
    with_keyring("a_keychain_that_dies_in_the_middle_of_a_call_is_told", None, || {
        let keychain = Keychain::new(false);
        keychain.set(&slot("work"), &secret("x")).unwrap();
        assert!(run(&["kill", "-STOP", &keyring_pid()]).1);
        let killer = std::thread::spawn(|| {
            std::thread::sleep(Duration::from_millis(300));
            run(&["kill", "-KILL", &keyring_pid()]);
        });
        let start = Instant::now();
        let error = keychain.get(&slot("work")).unwrap_err();
        killer.join().unwrap();
        assert!(matches!(error, StoreError::Absent { cause: Some(_), .. }), "{error:?}");
        assert!(start.elapsed() < QUICK);
    });
}
