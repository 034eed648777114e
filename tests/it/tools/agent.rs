//! The agent: the same answers as without it, for its user alone, for as long as was said.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::agents::{self, Agent, status};
use crate::canary::{Canary, Sweep};
use crate::idp::{Behaviour, Idp};
use crate::keyring::Keyring;
use crate::stage::{Outcome, Stage};
use crate::users::{OWNER, STRANGER, are_possible};
use crate::vaulted::{data_dir, store_env};
use crate::{scene, wire};

const QUESTION: &[u8] = b"protocol=https\nhost=git.example.com\n\n";

pub fn store(stage: &Stage, token: &str) {
    let words = ["credentials", "store", "git", "git.example.com", "--username", "alice", "--token", "-"];
    let rest = ["--name", "git", "--no-verify", "--replace"];
    stage.run_with(&[&words[..], &rest].concat(), token.as_bytes()).ends(0);
}

fn ask(stage: &Stage) -> Outcome {
    stage.run_with(&["helper", "git", "get"], QUESTION)
}

#[track_caller]
pub fn gives(stage: &Stage, token: &str) {
    let told = ask(stage).ends(0);
    assert_eq!(told.stdout(), format!("username=alice\npassword={token}\n"), "{told}");
}

/// Whether the next question is answered by the agent.
#[track_caller]
pub fn by_agent(stage: &Stage, question: impl FnOnce()) -> bool {
    let before = status(stage)["answered"].as_u64().expect("a number");
    question();
    // It is counted once the caller has its answer.
    let deadline = Instant::now() + Duration::from_secs(2);
    while Instant::now() < deadline {
        if status(stage)["answered"].as_u64().expect("a number") > before {
            return true;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    false
}

#[test]
fn helpers_are_answered_the_same_with_it_and_without() {
    let stage = agents::stage();
    store(&stage, "first");
    assert_eq!(status(&stage), serde_json::json!({ "running": false }));
    let alone = ask(&stage).ends(0);
    let agent = Agent::start(&stage, &[]);
    assert!(by_agent(&stage, || gives(&stage, "first")));
    let questions: [(&[&str], &[u8]); 7] = [
        (&["helper", "git", "get"], QUESTION),
        (&["helper", "git", "get"], b"protocol=https\nhost=other.example.com\n\n"),
        (&["helper", "git", "get"], b"protocol=https\nhost=good\rhost=evil\n\n"),
        (&["helper", "git", "capability"], b""),
        (&["helper", "docker", "get"], b"git.example.com"),
        (&["helper", "docker", "list"], b""),
        (&["helper", "keyring", "get", "https://git.example.com", "alice"], b""),
    ];
    let with: Vec<Outcome> = questions.iter().map(|(words, text)| stage.run_with(words, text)).collect();
    stage.run(&["agent", "stop"]).ends(0).shows(0, "", "✓ The agent has ended\n");
    assert!(!agent.is_alive() && !agent.socket().exists() && !agent.ssh_socket.exists());
    for ((words, text), with) in questions.iter().zip(with) {
        let without = stage.run_with(words, text);
        assert_eq!((with.code, &with.stdout, &with.stderr), (without.code, &without.stdout, &without.stderr), "{with}");
    }
    assert_eq!(ask(&stage).stdout, alone.stdout);
    for command in ["stop", "lock", "env"] {
        let nobody = stage.run(&["agent", command]).ends(1);
        assert!(nobody.stdout.is_empty() && nobody.stderr().contains("no agent runs\n"), "{nobody}");
    }
}

#[test]
fn what_is_changed_is_seen_at_once() {
    let stage = agents::stage();
    store(&stage, "first");
    let _agent = Agent::start(&stage, &[]);
    gives(&stage, "first");
    for number in 0..5 {
        let token = format!("token-{number}");
        store(&stage, &token);
        assert!(by_agent(&stage, || gives(&stage, &token)));
    }
    stage.run(&["credentials", "rename", "git", "other"]).ends(0);
    assert!(by_agent(&stage, || gives(&stage, "token-4")));
    stage.run(&["credentials", "delete", "other", "--yes"]).ends(0);
    assert!(ask(&stage).ends(0).stdout.is_empty());
    store(&stage, "again");
    assert!(by_agent(&stage, || gives(&stage, "again")));

    // New keys: what the agent holds opens nothing any more, and the caller does it itself.
    stage.run(&["vault", "rekey"]).ends(0);
    assert!(!by_agent(&stage, || gives(&stage, "again")));
    assert_eq!(status(&stage)["locked"], true);
    let unlocked = stage.run(&["agent", "start"]).ends(0);
    assert!(unlocked.stderr().contains("Unlocked the agent"), "{unlocked}");
    assert!(by_agent(&stage, || gives(&stage, "again")));

    // Another file in the place of the vault's.
    let copy = stage.home().join("copy.db");
    stage.run(&["vault", "backup", copy.to_str().unwrap()]).ends(0);
    store(&stage, "newest");
    gives(&stage, "newest");
    stage.run(&["vault", "restore", copy.to_str().unwrap(), "--replace"]).ends(0);
    gives(&stage, "again");
    for end in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(data_dir(&stage).join(format!("vault.db{end}")));
    }
    assert!(ask(&stage).ends(0).stdout.is_empty());
}

#[test]
fn the_keychain_is_asked_once_and_not_again() {
    let mut keyring = Keyring::start();
    let stage = Stage::with_keyring(&keyring);
    store(&stage, "kept");
    let _agent = Agent::start(&stage, &[]);
    keyring.lock();
    assert!(by_agent(&stage, || gives(&stage, "kept")));
    keyring.kill();
    gives(&stage, "kept");
    stage.run(&["agent", "lock"]).ends(0).shows(0, "", "✓ The agent has forgotten the key\n");
    assert!(ask(&stage).ends(0).stdout.is_empty(), "the keychain is away, and nobody else has the key");
    stage.run(&["agent", "start"]).ends(7);
    keyring.start_service();
    stage.run(&["agent", "start"]).ends(0);
    gives(&stage, "kept");
}

#[test]
fn a_passphrase_is_given_once_and_stays_nowhere() {
    let mut stage = agents::stage();
    stage.write_config("[defaults]\nstorage = \"file\"\n");
    let [passphrase, token, other] = [(); 3].map(|()| Canary::new());
    stage.set("LANYARD_PASSPHRASE", passphrase.text()).set("SOME_TOKEN", other.text());
    store(&stage, token.text());
    let agent = Agent::start(&stage, &[]);
    stage.unset("LANYARD_PASSPHRASE").unset("SOME_TOKEN");
    gives(&stage, token.text());
    let mut sweep = Sweep::for_canaries(&[passphrase, token.clone(), other]);
    for file in ["environ", "cmdline"] {
        let bytes = std::fs::read(format!("/proc/{}/{file}", agent.pid())).expect("root reads it");
        assert!(!bytes.is_empty());
        sweep.bytes(file, &bytes);
    }
    // The key and the token are as little on the disk.
    sweep.tree(stage.root());
    sweep.assert_clean();
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", agent.pid())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
    agent.signal(Signal::ABORT);
    agent.ends_within(Duration::from_secs(5));
    let mut sweep = Sweep::for_canaries(&[token]);
    sweep.tree(stage.root());
    sweep.assert_clean();
}

#[test]
fn the_key_lies_in_locked_memory_until_it_is_locked() {
    let stage = agents::stage();
    store(&stage, "token");
    let agent = Agent::start(&stage, &[]);
    let locked = |agent: &Agent| agent.told("VmLck").split(' ').next().unwrap().parse::<u32>().unwrap();
    assert!(locked(&agent) >= 16, "{}", agent.told("VmLck"));
    assert_eq!(status(&stage)["memory_locked"], true);
    stage.run(&["agent", "lock"]).ends(0);
    assert_eq!(locked(&agent), 0);
    let told = status(&stage);
    assert_eq!((&told["locked"], &told["memory_locked"]), (&true.into(), &false.into()));
    let doctor = stage.run(&["doctor", "--json"]).json();
    let check = |doctor: &serde_json::Value| {
        doctor["checks"].as_array().unwrap().iter().find(|check| check["check"] == "agent").cloned().unwrap()
    };
    assert_eq!(check(&doctor)["status"], "skipped");
    stage.run(&["agent", "start"]).ends(0);
    assert_eq!(check(&stage.run(&["doctor", "--json"]).json())["message"], "it answers, with the key in locked memory");
}

#[test]
fn where_no_memory_can_be_locked_it_warns_and_works() {
    if !are_possible() {
        return;
    }
    let mut stage = agents::stage();
    store(&stage, "token");
    OWNER.own(stage.root());
    let wrapper = OWNER.wrapper();
    let words: Vec<&str> = ["prlimit", "--memlock=0"].into_iter().chain(wrapper.iter().map(String::as_str)).collect();
    stage.wrap(&words);
    let started = stage.run(&["agent", "start"]).ends(0);
    let agent = Agent::running(&stage).expect("it runs");
    assert!(started.stderr().contains("warning: the system locks no memory for the key"), "{started}");
    assert_eq!(agent.told("VmLck"), "0 kB");
    gives(&stage, "token");
}

#[test]
fn it_ends_when_its_time_is_over() {
    let stage = agents::stage();
    store(&stage, "token");
    let agent = Agent::start(&stage, &["--timeout", "3s"]);
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(2) {
        gives(&stage, "token");
    }
    agent.ends_within(Duration::from_secs(5));
    assert!(!agent.socket().exists() && !agent.ssh_socket.exists());
    gives(&stage, "token");

    // Longer than a busy machine stands still.
    let agent = Agent::start(&stage, &["--idle", "8s"]);
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(10) {
        assert!(agent.is_alive(), "it is asked all the time");
        gives(&stage, "token");
        std::thread::sleep(Duration::from_millis(200));
    }
    // To look at it is not to use it.
    let idle = status(&stage)["idle_ends_in"].as_u64().unwrap();
    std::thread::sleep(Duration::from_millis(1100));
    assert!(status(&stage)["idle_ends_in"].as_u64().unwrap() < idle.max(1));
    agent.ends_within(Duration::from_secs(13));
    stage.run(&["agent", "start", "--timeout", "0"]).ends(2);
    stage.run(&["agent", "start", "--idle", "soon"]).ends(2);
}

#[test]
fn what_a_killed_one_leaves_is_replaced_and_there_is_one_alone() {
    let stage = agents::stage();
    store(&stage, "token");
    let first = Agent::start(&stage, &[]);
    let second = stage.run(&["agent", "start"]).ends(0);
    assert!(second.stderr().contains(&format!("The agent runs already (process {})", first.pid())), "{second}");
    let second = stage.run(&["agent", "start", "--foreground"]).ends(1);
    assert!(second.stderr().contains("an agent runs already"), "{second}");

    first.signal(Signal::KILL);
    first.ends_within(Duration::from_secs(5));
    assert!(first.socket().exists(), "a kill leaves the socket");
    gives(&stage, "token");
    assert_eq!(status(&stage)["running"], false);
    let next = Agent::start(&stage, &[]);
    assert_eq!(next.socket(), first.socket());
    assert!(by_agent(&stage, || gives(&stage, "token")));
    assert_eq!(std::fs::metadata(next.socket()).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::metadata(next.socket().parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);

    next.signal(Signal::TERM);
    next.ends_within(Duration::from_secs(5));
    assert!(!next.socket().exists() && !next.ssh_socket.exists());
}

#[test]
fn it_stays_in_the_foreground_for_a_service_manager() {
    let stage = agents::stage();
    store(&stage, "token");
    let mut running = stage.start(&["agent", "start", "--foreground"]);
    running.wait_for("word that it answers", |line| line.contains("the agent answers").then_some(()));
    assert_eq!(status(&stage)["pid"], running.pid());
    assert!(by_agent(&stage, || gives(&stage, "token")));
    running.signal("TERM");
    running.finish().ends(0);
    assert_eq!(status(&stage)["running"], false);
}

#[test]
fn it_is_found_without_a_session_too() {
    let mut stage = agents::stage();
    store(&stage, "token");
    stage.unset("XDG_RUNTIME_DIR");
    let agent = Agent::start(&stage, &[]);
    assert_eq!(agent.socket(), data_dir(&stage).join("agent.sock"));
    assert!(by_agent(&stage, || gives(&stage, "token")));
    // From a session, it is found where it is.
    stage.set("XDG_RUNTIME_DIR", stage.root().join("run"));
    assert!(by_agent(&stage, || gives(&stage, "token")));
    // Another data folder has another agent.
    stage.set("LANYARD_DATA_DIR", stage.root().join("other"));
    assert_eq!(status(&stage)["running"], false);
}

#[test]
fn two_hundred_at_once_are_all_answered() {
    let stage = agents::stage();
    store(&stage, "token");
    let agent = Agent::start(&stage, &[]);
    let told: Vec<Outcome> = std::thread::scope(|scope| {
        let all: Vec<_> = (0..200).map(|_| scope.spawn(|| ask(&stage))).collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    for one in &told {
        assert_eq!(one.stdout(), "username=alice\npassword=token\n", "{one}");
    }
    assert!(agent.is_alive());
    let threads: u32 = agent.told("Threads").parse().unwrap();
    assert!(threads < 40, "{threads}");
}

#[test]
fn bad_callers_keep_nobody_from_being_answered() {
    let stage = agents::stage();
    store(&stage, "token");
    let agent = Agent::start(&stage, &[]);
    let connect = || UnixStream::connect(agent.socket()).expect("it listens");
    let mut held = Vec::new();
    for (number, noise) in
        [&b""[..], b"\0", b"\xff\xff\xff\xff", b"\0\0\0\x02\x01\x63", b"GET / HTTP/1.1\r\n\r\n", b"\0\0\0\x01\x07"]
            .iter()
            .cycle()
            .take(40)
            .enumerate()
    {
        let mut stream = connect();
        let _ = stream.write_all(noise);
        // Some stay, some leave.
        if number % 2 == 0 {
            held.push(stream);
        }
    }
    let started = Instant::now();
    gives(&stage, "token");
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    // Those that said nothing are given up.
    std::thread::sleep(Duration::from_secs(10));
    assert!(by_agent(&stage, || gives(&stage, "token")));
    let mut stream = connect();
    stream.write_all(&[0, 0, 0, 2, 1, 99]).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert_eq!(answer, [0, 0, 0, 2, 1, 2], "what is not known is not its to answer");
    assert!(agent.is_alive());
}

#[test]
fn another_user_is_refused_whatever_the_modes_say() {
    if !are_possible() {
        return;
    }
    let stage = agents::stage();
    store(&stage, "token");
    let agent = Agent::start(&stage, &[]);
    let socket = agent.socket();
    // Asks for the status, which any process of the user is told.
    let script = format!(
        "python3 -c 'import socket; s = socket.socket(socket.AF_UNIX); s.settimeout(5); s.connect(\"{}\"); \
         s.sendall(bytes([0, 0, 0, 2, 1, 2])); print(len(s.recv(999)))'",
        socket.display()
    );
    let asked = STRANGER.sh(&script);
    assert!(!asked.status.success() && asked.stdout.is_empty(), "{asked:?}");

    let open = |mode: u32| {
        for place in socket.ancestors().take_while(|place| place.starts_with(stage.root())).skip(1) {
            std::fs::set_permissions(place, PermissionsExt::from_mode(mode)).unwrap();
        }
    };
    open(0o777);
    for place in [&socket, &agent.ssh_socket] {
        std::fs::set_permissions(place, PermissionsExt::from_mode(0o777)).unwrap();
    }
    let asked = STRANGER.sh(&script);
    let told = String::from_utf8_lossy(&asked.stdout);
    let gone = String::from_utf8_lossy(&asked.stderr);
    assert!(told.trim() == "0" || gone.contains("BrokenPipe") || gone.contains("ConnectionReset"), "{asked:?}");
    let listed = STRANGER.sh(&format!("SSH_AUTH_SOCK={} ssh-add -l", agent.ssh_socket.display()));
    assert!(!listed.status.success() && listed.stdout.is_empty(), "{listed:?}");
    // The user's own callers do not trust such a folder either.
    assert_eq!(status(&stage)["running"], false);
    gives(&stage, "token");
    open(0o700);
    assert_eq!(status(&stage)["running"], true);
}

#[test]
fn who_was_there_first_is_not_talked_to() {
    if !are_possible() {
        return;
    }
    let stage = agents::stage();
    store(&stage, "token");
    let folder = stage.root().join("run/lanyard");
    let agent = Agent::start(&stage, &[]);
    let socket = agent.socket();
    drop(agent);
    std::fs::remove_dir_all(&folder).unwrap();
    std::fs::create_dir(&folder).unwrap();
    let listener = UnixListener::bind(&socket).unwrap();
    listener.set_nonblocking(true).unwrap();
    STRANGER.own(&folder);
    for mode in [0o700, 0o777] {
        std::fs::set_permissions(&folder, PermissionsExt::from_mode(mode)).unwrap();
        gives(&stage, "token");
        assert_eq!(listener.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock, "nobody has connected");
        let agent = Agent::start(&stage, &[]);
        assert_eq!(agent.socket(), data_dir(&stage).join("agent.sock"));
        assert!(by_agent(&stage, || gives(&stage, "token")));
        assert_eq!(listener.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock, "nobody has connected");
    }
}

#[test]
fn a_sign_in_is_renewed_once_for_all() {
    let idp = Idp::start(Behaviour { expires_in: 8, ..Behaviour::default() });
    let issuer = idp.issuer();
    let stage = agents::in_a_session(Stage::new());
    let config = scene::config(&idp, "plain").replace("token_env", &format!("endpoint = \"{issuer}\"\ntoken_env"));
    stage.write_config(&format!("{config}\n[services.corp.git]\naddress = \"{issuer}\"\n"));
    let mut running = stage.start(&["credentials", "store", "oauth", "corp", "--no-browser"]);
    wire::browse(&running.url());
    running.finish().ends(0);
    idp.change(|behaviour| behaviour.expires_in = 3600);
    std::thread::sleep(Duration::from_millis(8100));
    idp.forget();
    let _agent = Agent::start(&stage, &[]);
    let host = issuer.strip_prefix("http://").unwrap();
    let question = format!("protocol=http\nhost={host}\n\n");
    let ask = || stage.run_with(&["helper", "git", "get"], question.as_bytes()).ends(0).stdout();
    let told: Vec<String> = std::thread::scope(|scope| {
        let all: Vec<_> = (0..20).map(|_| scope.spawn(ask)).collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert!(told[0].contains("password="), "{told:?}");
    assert!(told.iter().all(|one| *one == told[0]), "{told:?}");
    assert_eq!(idp.grants("refresh_token").len(), 1);
    assert!(by_agent(&stage, || assert_eq!(ask(), told[0])));
}

#[test]
fn shells_are_told_where_ssh_finds_it() {
    let stage = agents::stage();
    store_env(&stage, "db", "A", "x");
    let agent = Agent::start(&stage, &[]);
    let path = agent.ssh_socket.display().to_string();
    let told = stage.run(&["agent", "env"]).ends(0).stdout();
    let script = format!("{told} printenv SSH_AUTH_SOCK");
    let output = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), path);
    let told = stage.run(&["agent", "env", "fish"]).ends(0).stdout();
    let output = std::process::Command::new("fish").args(["-c", &format!("{told} printenv SSH_AUTH_SOCK")]).output();
    assert_eq!(String::from_utf8_lossy(&output.expect("fish is installed").stdout).trim(), path);
    let status = stage.run(&["agent", "status"]).ends(0).stdout();
    assert!(status.starts_with(&format!("agent    process {}, unlocked\n", agent.pid())), "{status}");
    assert!(status.contains("ends     in 8 hours\n") && status.ends_with(&format!("ssh      {path}\n")), "{status}");
}
