//! What git's helper says when a question is none, when the vault is closed, and when nobody reads the answer.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::git::{answered, helper, store};
use crate::keyring::Keyring;
use crate::stage::{LANYARD, Stage};
use crate::vaulted;

const GOOD: &str = "protocol=https\nhost=good.example\n";

#[test]
fn a_question_that_no_git_writes_is_refused() {
    let stage = vaulted::stage();
    store(&stage, "good.example", "alice", "password", &[]);
    for text in [
        "protocol=https\nhost=good.example\rhost=evil\n\n".to_owned(),
        "protocol=https\nhost=good.example\r".to_owned(),
        format!("{GOOD}host=good.example\n\n"),
        format!("{GOOD}x\0=1\n\n"),
        format!("{GOOD}path={}\n\n", "x".repeat(65_536)),
        format!("{GOOD}{}", "x=".repeat(32 << 20)),
        format!("{GOOD}{}\n", "y[]=1\n".repeat(1_000_000)),
    ] {
        let outcome = helper(&stage, "get", &text).ends(1);
        assert_eq!(outcome.stdout(), "");
        assert!(outcome.stderr().starts_with("lanyard: ") && outcome.stderr().lines().count() == 1, "{outcome}");
    }
    let bytes = [GOOD.as_bytes(), b"username=\xff\xfe\n\n"].concat();
    assert_eq!(stage.run_with(&["helper", "git", "get"], &bytes).ends(1).stdout(), "");
    let most = u64::try_from(65_535 - "path=\n".len()).unwrap();
    let longest = format!("{GOOD}path={}\n\n", "x".repeat(usize::try_from(most).unwrap()));
    assert!(answered(&stage, &longest).is_some(), "git's own limit is no attack");
}

#[test]
fn a_question_that_never_ends_is_not_waited_for() {
    let stage = vaulted::stage();
    let started = Instant::now();
    let mut waiting = stage.start(&["helper", "git", "get"]);
    let mut pipe = waiting.stdin.take().unwrap();
    std::thread::spawn(move || {
        while pipe.write_all(b"x").is_ok() {
            std::thread::sleep(Duration::from_secs(1));
        }
    });
    assert_eq!(waiting.finish().ends(1).stdout(), "");
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
}

#[test]
fn a_vault_that_is_closed_or_not_there_leaves_git_to_others() {
    let question = format!("{GOOD}\n");
    let stage = Stage::new();
    helper(&stage, "get", &question).shows(0, "", "");
    assert!(!vaulted::data_dir(&stage).exists(), "nothing is made");

    let mut keyring = Keyring::start();
    let stage = Stage::with_keyring(&keyring);
    store(&stage, "good.example", "alice", "password", &[]);
    assert!(answered(&stage, &question).is_some());
    keyring.lock();
    let started = Instant::now();
    for (verb, text) in [("get", question.clone()), ("erase", format!("{GOOD}password=x\n\n"))] {
        let outcome = helper(&stage, verb, &text).ends(0);
        assert_eq!(outcome.stdout(), "");
        assert!(outcome.stderr().starts_with("lanyard: the vault stays closed"), "{outcome}");
    }
    keyring.kill();
    assert_eq!(helper(&stage, "get", &question).ends(0).stdout(), "");
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());

    let mut stage = Stage::new();
    stage.write_config("[defaults]\nstorage = \"file\"\n");
    stage.set("LANYARD_PASSPHRASE", "a passphrase");
    store(&stage, "good.example", "alice", "password", &[]);
    stage.unset("LANYARD_PASSPHRASE");
    let outcome = helper(&stage, "get", &question).ends(0);
    assert_eq!(outcome.stdout(), "");
    assert!(outcome.stderr().contains("LANYARD_PASSPHRASE"), "{outcome}");
}

#[test]
fn an_answer_that_cannot_be_written_is_a_failure() {
    let stage = vaulted::stage();
    store(&stage, "good.example", "alice", "password", &[]);
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let asking = format!("printf 'protocol=https\\nhost=good.example\\n\\n' | {LANYARD} helper git get");
    let plain = stage.command(&[]);
    let status = Command::new("sh")
        .args(["-c", &asking])
        .env_clear()
        .envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))))
        .stdout(full)
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(1));
}
