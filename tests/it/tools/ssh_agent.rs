//! The SSH agent, with ssh-add, ssh, ssh-keygen, git and sshd as its clients and witnesses.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use crate::agents::{self, Agent, status};
use crate::canary::{Canary, Sweep};
use crate::peers::free_port;
use crate::providers::foreground::Foreground;
use crate::stage::Stage;
use crate::tools::run::eventually;
use crate::vaulted::list;

/// A client of the agent, in the surroundings of the stage.
fn client(stage: &Stage, agent: &Agent, program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).env_clear().env("PATH", "/usr/bin:/bin").env("HOME", stage.home());
    command.env("SSH_AUTH_SOCK", &agent.ssh_socket).current_dir(stage.home());
    command
}

fn run(stage: &Stage, agent: &Agent, program: &str, arguments: &[&str]) -> Output {
    client(stage, agent, program, arguments).output().expect("it is installed; tests/run does that")
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Whether `ssh-add -T` has a key sign, and finds the signature good.
fn signs(stage: &Stage, agent: &Agent, public: &Path) -> bool {
    run(stage, agent, "ssh-add", &["-T", public.to_str().unwrap()]).status.success()
}

/// A new key with a comment that is its name.
fn keygen(stage: &Stage, name: &str, kind: &[&str], form: &str, passphrase: &str) -> PathBuf {
    let path = stage.home().join(name);
    let file = path.to_str().unwrap();
    let made = |arguments: &[&str]| {
        let output = Command::new("ssh-keygen").args(arguments).output().expect("ssh-keygen is there");
        assert!(output.status.success(), "{output:?}");
    };
    made(&[&["-q", "-N", "", "-C", name, "-f", file, "-t"], kind].concat());
    made(&["-q", "-p", "-m", form, "-a", "1", "-P", "", "-N", passphrase, "-f", file]);
    path
}

fn public(path: &Path) -> PathBuf {
    path.with_extension("pub")
}

fn line(path: &Path) -> String {
    std::fs::read_to_string(public(path)).unwrap().trim_end().to_owned()
}

/// Stores a key and takes its file away, so that nobody but the agent can sign with it.
fn store(stage: &Stage, path: &Path, more: &[&str]) {
    let name = path.file_name().unwrap().to_str().unwrap();
    let words = ["credentials", "store", "ssh-key", "--private-key", path.to_str().unwrap(), "--name", name];
    stage.run(&[&words[..], more].concat()).ends(0);
    std::fs::remove_file(path).unwrap();
}

/// A program for `SSH_ASKPASS`, which notes what it was asked and does `then`.
fn asker(stage: &Stage, then: &str) -> PathBuf {
    let path = stage.home().join("askpass");
    let script = format!("#!/bin/sh\nprintf '%s %s\\n' \"$SSH_ASKPASS_PROMPT\" \"$1\" >>\"$HOME/asked\"\n{then}\n");
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o700)).unwrap();
    path
}

fn asked(stage: &Stage) -> String {
    std::fs::read_to_string(stage.home().join("asked")).unwrap_or_default()
}

#[test]
fn every_sort_of_key_is_listed_and_signs() {
    let stage = agents::stage();
    let sorts: [(&str, &[&str]); 5] = [
        ("ed25519", &["ed25519"]),
        ("rsa", &["rsa", "-b", "3072"]),
        ("p256", &["ecdsa", "-b", "256"]),
        ("p384", &["ecdsa", "-b", "384"]),
        ("p521", &["ecdsa", "-b", "521"]),
    ];
    let mut keys = Vec::new();
    for (sort, kind) in sorts {
        // Ed25519 is kept in OpenSSH's own form whatever one asks for.
        for form in if sort == "ed25519" { &["RFC4716"][..] } else { &["RFC4716", "PEM", "PKCS8"] } {
            let path = keygen(&stage, &format!("{sort}-{form}"), kind, form, "");
            store(&stage, &path, &[]);
            keys.push(path);
        }
    }
    let agent = Agent::start(&stage, &[]);
    let listed = stdout(&run(&stage, &agent, "ssh-add", &["-L"]));
    let mut lines: Vec<&str> = listed.lines().collect();
    let mut expected: Vec<String> = keys.iter().map(|key| line(key)).collect();
    lines.sort_unstable();
    expected.sort_unstable();
    assert_eq!(lines, expected);
    assert_eq!(stdout(&run(&stage, &agent, "ssh-add", &["-l"])).lines().count(), keys.len());

    std::fs::write(stage.home().join("text"), "a text").unwrap();
    for key in &keys {
        assert!(signs(&stage, &agent, &public(key)), "{}", key.display());
        let _ = std::fs::remove_file(stage.home().join("text.sig"));
        let file = public(key);
        let signed =
            run(&stage, &agent, "ssh-keygen", &["-Y", "sign", "-n", "test", "-f", file.to_str().unwrap(), "text"]);
        assert!(signed.status.success(), "{signed:?}");
        std::fs::write(stage.home().join("allowed"), format!("me {}\n", line(key))).unwrap();
        let verified = Command::new("sh")
            .args(["-c", "ssh-keygen -Y verify -f allowed -I me -n test -s text.sig <text"])
            .current_dir(stage.home())
            .output()
            .unwrap();
        assert!(verified.status.success(), "{}: {verified:?}", key.display());
    }
    let used = list(&stage).iter().filter(|key| !key["last_used_at"].is_null()).count();
    assert_eq!(used, keys.len());

    // Public keys are public; without the vault's key nothing is signed.
    stage.run(&["agent", "lock"]).ends(0);
    assert_eq!(stdout(&run(&stage, &agent, "ssh-add", &["-L"])).lines().count(), keys.len());
    assert!(!signs(&stage, &agent, &public(&keys[0])));
    stage.run(&["agent", "start"]).ends(0);
    assert!(signs(&stage, &agent, &public(&keys[0])));
    // One that is gone is gone at once.
    stage.run(&["credentials", "delete", "ed25519-RFC4716", "--yes"]).ends(0);
    assert!(!signs(&stage, &agent, &public(&keys[0])));
    assert_eq!(stdout(&run(&stage, &agent, "ssh-add", &["-L"])).lines().count(), keys.len() - 1);
}

#[test]
fn ssh_and_git_are_let_in() {
    let stage = agents::stage();
    let path = keygen(&stage, "mine", &["ed25519"], "RFC4716", "");
    let other = keygen(&stage, "other", &["rsa", "-b", "3072"], "RFC4716", "");
    let authorized = line(&path);
    store(&stage, &path, &[]);
    store(&stage, &other, &[]);
    let agent = Agent::start(&stage, &[]);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let port = free_port();
    let _sshd = Foreground::start("sshd/up.sh", port, &[folder.path().to_str().unwrap(), &port.to_string()]);
    let user = stdout(&Command::new("id").arg("-un").output().unwrap()).trim().to_owned();
    let port = port.to_string();
    let options = [
        "-F",
        "none",
        "-p",
        &port,
        "-o",
        "BatchMode=yes",
        "-o",
        "StrictHostKeyChecking=no",
        "-o",
        "UserKnownHostsFile=/dev/null",
    ];
    let ssh = |words: &[&str]| {
        let to = format!("{user}@127.0.0.1");
        run(&stage, &agent, "ssh", &[&options[..], words, &[&to, "echo inside; ssh-add -l"]].concat())
    };
    assert!(!ssh(&[]).status.success(), "nobody is let in yet");
    for key in [&authorized, &line(&other)] {
        std::fs::write(folder.path().join("authorized_keys"), format!("{key}\n")).unwrap();
        let inside = ssh(&[]);
        assert_eq!(stdout(&inside), "inside\n", "{inside:?}");
    }
    // Forwarded, it is bound to two sessions, and lists the same keys there.
    let forwarded = ssh(&["-A"]);
    assert!(stdout(&forwarded).starts_with("inside\n") && stdout(&forwarded).lines().count() == 3, "{forwarded:?}");

    let bare = stage.home().join("demo.git");
    assert!(Command::new("git").args(["init", "-q", "--bare"]).arg(&bare).status().unwrap().success());
    let mut git = client(&stage, &agent, "git", &["ls-remote"]);
    git.arg(format!("ssh://{user}@127.0.0.1:{port}{}", bare.display()));
    git.env("GIT_SSH_COMMAND", format!("ssh {}", options.join(" ")));
    let output = git.output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn a_person_is_asked_where_the_key_says_so() {
    let mut stage = agents::stage();
    let path = keygen(&stage, "careful", &["ed25519"], "RFC4716", "");
    store(&stage, &path, &["--confirm"]);
    assert_eq!(list(&stage)[0]["fields"]["confirm"], "yes");
    let key = public(&path);
    let agent = Agent::start(&stage, &[]);
    assert!(!signs(&stage, &agent, &key), "nobody can be asked");
    drop(agent);

    for (then, agrees) in [
        ("exit 0", true),
        ("echo yes", true),
        ("exit 1", false),
        ("echo no", false),
        ("echo yes; exit 1", false),
        ("kill -9 $$", false),
        // What it leaves running is not waited for.
        ("sleep 30 & echo yes", true),
    ] {
        let askpass = asker(&stage, then);
        stage.set("SSH_ASKPASS", &askpass);
        let agent = Agent::start(&stage, &[]);
        let started = Instant::now();
        assert_eq!(signs(&stage, &agent, &key), agrees, "{then}");
        assert!(started.elapsed() < Duration::from_secs(15), "{then}");
    }
    let fingerprint = list(&stage)[0]["fields"]["fingerprint"].as_str().unwrap().to_owned();
    let asked = asked(&stage);
    assert!(asked.starts_with("confirm Allow use of key careful?\nKey fingerprint "), "{asked}");
    assert!(asked.contains(&fingerprint) && asked.matches("confirm ").count() == 7, "{asked}");

    // A person who is asked while the key is taken away agrees to nothing.
    let delete = format!("{} credentials delete careful --yes >/dev/null 2>&1", crate::stage::LANYARD);
    asker(&stage, &delete);
    let agent = Agent::start(&stage, &[]);
    assert!(!signs(&stage, &agent, &key));
    assert!(list(&stage).is_empty());
    // Our own helper never agrees for a person.
    let path = keygen(&stage, "again", &["ed25519"], "RFC4716", "");
    store(&stage, &path, &["--confirm"]);
    drop(agent);
    asker(&stage, &format!("exec {} helper askpass \"$1\"", crate::stage::LANYARD));
    let agent = Agent::start(&stage, &[]);
    assert!(!signs(&stage, &agent, &public(&path)));
    stage.run(&["credentials", "update", "again", "--unset", "confirm"]).ends(0);
    assert!(signs(&stage, &agent, &public(&path)));
}

#[test]
fn what_is_taken_away_while_a_person_is_asked_does_not_sign() {
    let mut stage = agents::stage();
    let stored = keygen(&stage, "stored", &["ed25519"], "RFC4716", "");
    store(&stage, &stored, &["--confirm"]);
    let added = keygen(&stage, "added", &["ed25519"], "RFC4716", "");
    let askpass = asker(&stage, "exit 0");
    stage.set("SSH_ASKPASS", &askpass);
    let agent = Agent::start(&stage, &[]);
    let add = || {
        let told = run(&stage, &agent, "ssh-add", &["-q", "-c", added.to_str().unwrap()]);
        assert!(told.status.success(), "{told:?}");
    };
    add();
    assert!(signs(&stage, &agent, &public(&added)) && signs(&stage, &agent, &public(&stored)));
    let ssh_add = format!("SSH_AUTH_SOCK='{}' ssh-add -q", agent.ssh_socket.display());
    for then in [format!("{ssh_add} -D"), format!("{ssh_add} -d '{}'", public(&added).display())] {
        asker(&stage, &format!("{then}; exit 0"));
        assert!(!signs(&stage, &agent, &public(&added)), "{then}");
        add();
    }
    asker(&stage, &format!("{} agent lock; exit 0", crate::stage::LANYARD));
    assert!(!signs(&stage, &agent, &public(&added)));
    stage.run(&["agent", "start"]).ends(0);
    assert!(!signs(&stage, &agent, &public(&stored)));
    stage.run(&["agent", "start"]).ends(0);
    add();

    // `ssh-add -x`, while the question is open.
    asker(&stage, "touch \"$HOME/open\"; while [ -e \"$HOME/open\" ]; do sleep 0.02; done; exit 0");
    let open = stage.home().join("open");
    let tell = |kind: u8| {
        let mut stream = UnixStream::connect(&agent.ssh_socket).unwrap();
        assert_eq!(talk(&mut stream, &[&[kind], string(b"word").as_slice()].concat()), [6]);
    };
    for key in [&added, &stored] {
        std::thread::scope(|scope| {
            let signing = scope.spawn(|| signs(&stage, &agent, &public(key)));
            eventually("a person is asked", || open.exists());
            tell(22);
            std::fs::remove_file(&open).unwrap();
            assert!(!signing.join().unwrap(), "{}", key.display());
        });
        tell(23);
    }
}

#[test]
fn keys_whose_time_is_over_are_wiped_without_being_asked_for() {
    let stage = agents::stage();
    let stored = keygen(&stage, "stored", &["ed25519"], "RFC4716", "");
    store(&stage, &stored, &[]);
    let added = keygen(&stage, "added", &["ed25519"], "RFC4716", "");
    let agent = Agent::start(&stage, &[]);
    let locked = agent.told("VmLck");
    assert!(run(&stage, &agent, "ssh-add", &["-q", "-t", "2", added.to_str().unwrap()]).status.success());
    assert_ne!(agent.told("VmLck"), locked);
    eventually("its memory is given back", || agent.told("VmLck") == locked);
}

#[test]
fn ssh_add_hands_keys_over_for_as_long_as_it_says() {
    let mut stage = agents::stage();
    let stored = keygen(&stage, "stored", &["ed25519"], "RFC4716", "");
    store(&stage, &stored, &[]);
    let askpass = asker(&stage, "echo yes");
    stage.set("SSH_ASKPASS", &askpass);
    let agent = Agent::start(&stage, &[]);
    let add = |words: &[&str]| run(&stage, &agent, "ssh-add", words).status.success();
    let listed = || stdout(&run(&stage, &agent, "ssh-add", &["-L"]));
    let count = || listed().lines().filter(|line| *line != "The agent has no identities.").count();
    let sorts: [(&str, &[&str]); 3] =
        [("added-1", &["ed25519"]), ("added-2", &["rsa", "-b", "2048"]), ("added-3", &["ecdsa", "-b", "384"])];
    let added: Vec<PathBuf> = sorts.iter().map(|(name, kind)| keygen(&stage, name, kind, "RFC4716", "")).collect();
    let names: Vec<&str> = added.iter().map(|path| path.to_str().unwrap()).collect();
    for (name, path) in names.iter().zip(&added) {
        assert!(add(&["-q", name]));
        assert!(signs(&stage, &agent, &public(path)), "{name}");
    }
    assert_eq!((count(), status(&stage)["added_ssh_keys"].as_u64()), (4, Some(3)));
    assert!(add(&["-q", "-d", names[1]]));
    assert!(!signs(&stage, &agent, &public(&added[1])));
    assert!(!add(&["-q", "-d", names[1]]), "it is gone already");
    assert!(add(&["-q", "-t", "2", names[1]]) && signs(&stage, &agent, &public(&added[1])));
    std::thread::sleep(Duration::from_millis(2200));
    assert!(!signs(&stage, &agent, &public(&added[1])), "its time is over");
    assert_eq!(count(), 3);

    assert!(asked(&stage).is_empty());
    assert!(add(&["-q", "-c", names[0]]) && signs(&stage, &agent, &public(&added[0])));
    assert!(asked(&stage).contains("confirm Allow use of key added-1?"), "{}", asked(&stage));
    assert_eq!(count(), 3, "it has got a constraint, and is not there twice");

    assert!(add(&["-q", "-D"]));
    assert_eq!(count(), 1, "those of the vault stay");
    assert!(add(&["-q", names[0]]));
    stage.run(&["agent", "lock"]).ends(0);
    assert!(!signs(&stage, &agent, &public(&added[0])), "a locked agent holds nothing");
    stage.run(&["agent", "start"]).ends(0);

    // ssh-add -x and -X, with the passphrase that the program gives.
    let with = |flag: &str, passphrase: &str| {
        asker(&stage, &format!("echo {passphrase}"));
        let mut command = client(&stage, &agent, "ssh-add", &["-q", flag]);
        command.env("SSH_ASKPASS", &askpass).env("SSH_ASKPASS_REQUIRE", "force").output().unwrap().status.success()
    };
    assert!(with("-x", "word"));
    assert_eq!(count(), 0);
    assert!(!signs(&stage, &agent, &public(&stored)) && !add(&["-q", names[0]]) && !with("-x", "word"));
    let started = Instant::now();
    assert!(!with("-X", "another"));
    assert!(started.elapsed() >= Duration::from_millis(500), "guessing is slow");
    assert!(with("-X", "word"));
    assert!(signs(&stage, &agent, &public(&stored)) && !with("-X", "word"));
}

#[test]
fn a_passphrase_that_is_stored_opens_its_key() {
    let stage = agents::stage();
    let canary = Canary::new();
    let open = keygen(&stage, "open", &["ed25519"], "RFC4716", canary.text());
    let closed = keygen(&stage, "closed", &["rsa", "-b", "2048"], "PEM", "another one");
    let words = ["credentials", "store", "ssh-key", "--name", "open", "--private-key", "open", "--passphrase", "-"];
    stage.run_with(&words, canary.text().as_bytes()).ends(0);
    std::fs::remove_file(&open).unwrap();
    store(&stage, &closed, &[]);
    let agent = Agent::start(&stage, &[]);
    assert!(signs(&stage, &agent, &public(&open)));
    assert!(!signs(&stage, &agent, &public(&closed)), "its passphrase is not here");
    let mut sweep = Sweep::for_canaries(&[canary]);
    stage.sweep(&mut sweep);
    sweep.assert_clean();
}

/// A message, its length before it, and the answer's kind and fields.
fn talk(stream: &mut UnixStream, message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    stream.write_all(&[&length, message].concat()).unwrap();
    let mut length = [0; 4];
    stream.read_exact(&mut length).expect("it is answered");
    let mut answer = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut answer).unwrap();
    answer
}

fn string(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat()
}

#[test]
fn what_is_not_understood_is_answered_and_the_connection_stays() {
    let stage = agents::stage();
    let path = keygen(&stage, "mine", &["ed25519"], "RFC4716", "");
    store(&stage, &path, &[]);
    let agent = Agent::start(&stage, &[]);
    let mut stream = UnixStream::connect(&agent.ssh_socket).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let failure = [5];
    let unknown = [27].iter().copied().chain(string(b"nobody@example.com")).collect::<Vec<u8>>();
    assert_eq!(talk(&mut stream, &unknown), [28]);
    for message in [&[][..], &[0], &[1], &[11, 0], &[13], &[13, 0, 0, 0, 9, 1], &[17, 1, 2], &[20], &[26], &[255; 200]]
    {
        assert_eq!(talk(&mut stream, message), failure, "{message:?}");
    }
    assert_eq!(talk(&mut stream, &vec![11; (256 << 10) + 1]), failure);
    assert_eq!(talk(&mut stream, &vec![11; 8 << 20]), failure);
    let listed = talk(&mut stream, &[11]);
    assert_eq!(listed[..5], [12, 0, 0, 0, 1]);
    let query = [27].iter().copied().chain(string(b"query")).collect::<Vec<u8>>();
    let extensions = talk(&mut stream, &query);
    assert!(extensions[0] == 29 && String::from_utf8_lossy(&extensions).contains("session-bind@openssh.com"));

    // A key that may be used for one destination alone is not taken, since that is not kept here.
    let blob = &listed[9..9 + 51];
    let signing = |key: &[u8]| [&[13], string(key).as_slice(), &string(b"data"), &[0; 4]].concat();
    assert_eq!(talk(&mut stream, &signing(blob))[0], 14);
    assert_eq!(talk(&mut stream, &signing(b"another")), failure);
    let seed = [7; 32];
    let pair = lanyard_key(&seed);
    let constrained = |constraint: &[u8]| [&[25], pair.as_slice(), constraint].concat();
    let destination = [&[255], string(b"restrict-destination-v00@openssh.com").as_slice(), &string(b"")].concat();
    assert_eq!(talk(&mut stream, &constrained(&destination)), failure);
    assert_eq!(talk(&mut stream, &constrained(&[1, 0, 0, 0, 60])), [6]);

    // A session that its server has not signed is none.
    let bind = |signature: &[u8]| {
        let name = string(b"session-bind@openssh.com");
        [&[27], name.as_slice(), &string(blob), &string(b"session"), &string(signature), &[0]].concat()
    };
    assert_eq!(talk(&mut stream, &bind(b"nothing")), failure);
    let signed = talk(&mut stream, &[&[13], string(blob).as_slice(), &string(b"session"), &[0; 4]].concat());
    assert_eq!(talk(&mut stream, &bind(&signed[5..])), [6]);
    assert_eq!(talk(&mut stream, &bind(&signed[5..])), [6], "the same again is nothing new");
    assert_eq!(talk(&mut stream, &[11])[0], 12);
    assert!(agent.is_alive());
}

/// An Ed25519 key as `ssh-add` hands it over, and its comment.
fn lanyard_key(seed: &[u8; 32]) -> Vec<u8> {
    let pair = ssh_key::private::Ed25519Keypair::from_seed(seed);
    let public: &[u8] = pair.public.as_ref();
    let name = string(b"ssh-ed25519");
    [name, string(public), string(&[&seed[..], public].concat()), string(b"a comment")].concat()
}

#[test]
fn many_sessions_are_served_side_by_side() {
    let stage = agents::stage();
    let path = keygen(&stage, "mine", &["ed25519"], "RFC4716", "");
    store(&stage, &path, &[]);
    let agent = Agent::start(&stage, &[]);
    // Such as those of forwarded sessions, which say nothing for hours.
    let idle: Vec<UnixStream> = (0..60).map(|_| UnixStream::connect(&agent.ssh_socket).unwrap()).collect();
    let key = public(&path);
    let all = std::thread::scope(|scope| {
        let all: Vec<_> = (0..30).map(|_| scope.spawn(|| signs(&stage, &agent, &key))).collect();
        all.into_iter().all(|one| one.join().unwrap())
    });
    assert!(all);
    drop(idle);
    // Beyond what is served, one is turned away, and the others are not.
    let more: Vec<UnixStream> = (0..200).map(|_| UnixStream::connect(&agent.ssh_socket).unwrap()).collect();
    std::thread::sleep(Duration::from_millis(500));
    assert!(agent.told("Threads").parse::<u32>().unwrap() < 160);
    drop(more);
    let deadline = Instant::now() + Duration::from_secs(10);
    while !signs(&stage, &agent, &key) {
        assert!(Instant::now() < deadline, "it does not recover");
    }
}
