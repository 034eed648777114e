//! What all commands have in common: help with an example, a suggestion for a slip, and an end without a panic when
//! nobody can take the answer.

use std::fs::OpenOptions;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::corp::{self, TOKEN, paste};
use crate::idp::Idp;
use crate::keyring::Keyring;
use crate::stage::Stage;

/// The names of all commands, read from the help of each level.
fn commands(stage: &Stage, path: &[String]) -> Vec<Vec<String>> {
    let arguments: Vec<&str> = path.iter().map(String::as_str).chain(["--help"]).collect();
    let help = stage.run(&arguments).ends(0).stdout();
    let Some((_, list)) = help.split_once("Commands:\n") else { return vec![path.to_vec()] };
    let names = list.lines().take_while(|line| !line.is_empty());
    let names = names.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let below = names.filter_map(|line| line.split_whitespace().next()).map(|name| [path, &[name.to_owned()]].concat());
    std::iter::once(path.to_vec()).chain(below.flat_map(|path| commands(stage, &path))).collect()
}

#[test]
fn help_is_complete_at_every_level_with_an_example() {
    let stage = Stage::new();
    let all = commands(&stage, &[]);
    assert!(all.len() >= 35, "{all:?}");
    for path in &all {
        let arguments: Vec<&str> = path.iter().map(String::as_str).collect();
        let help = stage.run(&[&arguments[..], &["--help"]].concat()).ends(0);
        let text = help.stdout();
        assert!(help.stderr.is_empty() && text.contains("Usage: lanyard"), "{text}");
        let (_, example) = text.split_once("\nExample").unwrap_or_else(|| panic!("{path:?} has no example:\n{text}"));
        assert!(example.contains(&path.join(" ")), "{path:?}: the example shows another command:\n{text}");
        let first = text.lines().next().unwrap_or_default();
        assert!(first.len() > 10 && first.starts_with(char::is_uppercase), "{path:?}: {first}");
        for option in ["--profile", "--project", "--output", "--json", "--verbose", "--no-color", "--config-dir"] {
            assert!(text.contains(option), "{path:?} does not tell of {option}");
        }
        assert_eq!(stage.run(&[&arguments[..], &["-h"]].concat()).ends(0).stderr, b"");
    }
    assert!(stage.files().is_empty());
}

#[test]
fn a_misspelt_command_suggests_the_right_one() {
    let stage = Stage::new();
    for (slip, meant) in [
        (&["atuh"][..], "auth"),
        (&["auth", "lgoin"], "login"),
        (&["auth", "log-out"], "logout"),
        (&["auth", "stauts"], "status"),
        (&["auth", "tokeninfo"], "token-info"),
        (&["auth", "whomai"], "whoami"),
        (&["config", "lst"], "list"),
        (&["config", "set-profil"], "set-profile"),
        (&["profile", "renam"], "rename"),
        (&["project", "lits"], "list"),
        (&["wich"], "which"),
        (&["docter"], "doctor"),
        (&["auth", "login", "--servic", "corp"], "--service"),
        (&["auth", "status", "--ofline"], "--offline"),
    ] {
        let outcome = stage.run(slip).ends(2);
        assert!(outcome.stdout.is_empty() && outcome.stderr().contains(&format!("'{meant}'")), "{outcome}");
    }
    assert!(stage.files().is_empty());
}

/// Signed in, so that every command has something to say.
fn scene() -> (Keyring, Stage, Idp) {
    let (keyring, idp) = (Keyring::start(), corp::idp());
    let stage = Stage::with_keyring(&keyring);
    stage.write_config(&corp::service(&idp));
    paste(&stage, TOKEN, &["--endpoint", idp.issuer()]).ends(0);
    stage.run(&["project", "use", "web-shop"]).ends(0);
    (keyring, stage, idp)
}

/// A call of every command that answers on stdout.
const ANSWERS: &[&[&str]] = &[
    &["--help"],
    &["--version"],
    &["auth", "status"],
    &["auth", "status", "--json"],
    &["auth", "status", "--all"],
    &["auth", "whoami"],
    &["auth", "token"],
    &["auth", "token", "--header"],
    &["auth", "token-info"],
    &["auth", "token-info", "--json"],
    &["config", "get", "profile"],
    &["config", "list"],
    &["config", "list", "--json"],
    &["config", "path"],
    &["profile", "list"],
    &["profile", "show"],
    &["project", "list"],
    &["project", "current"],
    &["api", "GET", "/v1/me"],
    &["api", "GET", "/v1/me", "--include"],
    &["which"],
    &["which", "--json"],
    &["doctor"],
    &["doctor", "--json"],
    &["completions", "bash"],
    &["completions", "nushell"],
    &["auth", "login", "--help"],
];

/// How a command with this stdout ends, and what it says on stderr.
fn end_with(stage: &Stage, arguments: &[&str], stdout: Stdio) -> (Option<i32>, String) {
    let child = stage.command(arguments).stdin(Stdio::null()).stdout(stdout).stderr(Stdio::piped()).spawn();
    let mut child = child.expect("the binary starts");
    let limit = Instant::now() + Duration::from_mins(1);
    while child.try_wait().expect("the child is ours").is_none() {
        assert!(Instant::now() < limit, "{arguments:?} does not end");
        std::thread::sleep(Duration::from_millis(5));
    }
    let output = child.wait_with_output().expect("the child is ours");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn assert_orderly(arguments: &[&str], (code, said): &(Option<i32>, String)) {
    assert!(code.is_some_and(|code| code < 100), "{arguments:?} ended with {code:?}: {said}");
    assert!(!said.contains("panicked") && !said.contains("RUST_BACKTRACE"), "{arguments:?}: {said}");
}

#[test]
fn a_reader_that_goes_away_is_no_error_worth_a_word() {
    let (_keyring, stage, _idp) = scene();
    for arguments in ANSWERS {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let end = end_with(&stage, arguments, writer.into());
        assert_orderly(arguments, &end);
        assert!(!end.1.contains("pipe") && !end.1.contains("error:"), "{arguments:?}: {end:?}");
    }
}

#[test]
fn a_full_disk_is_told_and_fails() {
    let (_keyring, stage, _idp) = scene();
    for arguments in ANSWERS {
        let full = OpenOptions::new().write(true).open("/dev/full").expect("/dev/full");
        let end = end_with(&stage, arguments, full.into());
        assert_orderly(arguments, &end);
        assert_ne!(end.0, Some(0), "{arguments:?} says that it answered: {end:?}");
    }
}

#[test]
fn a_closed_stdout_is_survived() {
    let (_keyring, mut stage, _idp) = scene();
    stage.wrap(&["sh", "-c", "exec \"$0\" \"$@\" >&-"]);
    for arguments in ANSWERS {
        let outcome = stage.run(arguments);
        assert_orderly(arguments, &(outcome.code, outcome.stderr()));
    }
    stage.wrap(&["sh", "-c", "exec \"$0\" \"$@\" >&- 2>&- <&-"]);
    for arguments in ANSWERS {
        let outcome = stage.run(arguments);
        assert!(outcome.code.is_some_and(|code| code < 100), "{outcome}");
    }
    // A file that is opened while a standard stream is closed must not take the stream's place.
    let config = stage.config();
    stage.run(&["config", "set", "defaults.output", "json"]);
    assert!(!stage.config().contains("✓") && stage.config().starts_with(config.lines().next().unwrap_or_default()));
}

#[test]
fn a_login_ends_when_the_program_that_carries_it_out_went_away() {
    let idp = corp::idp();
    let keyring = Keyring::start();
    let stage = Stage::with_keyring(&keyring);
    stage.write_config(&corp::service(&idp));
    for way in ["--web", "--device"] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let login = ["auth", "login", "--service", "corp", way, "--json", "--no-browser"];
        let end = end_with(&stage, &login, writer.into());
        assert_orderly(&login, &(end.0.filter(|code| *code != 130).or(Some(1)), end.1.clone()));
        assert_ne!(end.0, Some(0), "{end:?}");
    }
    assert!(!keyring.items().contains("label = "));
}

#[test]
fn the_binary_needs_no_home_and_no_path() {
    for arguments in
        [&["--version"][..], &["--help"], &["auth", "status"], &["which"], &["doctor"], &["config", "list"]]
    {
        let folder = tempfile::tempdir().expect("a folder");
        let output = Command::new(crate::stage::LANYARD)
            .args(arguments)
            .env_clear()
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .output()
            .expect("the binary starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code().is_some_and(|code| code < 100) && !said.contains("panicked"), "{said}");
    }
}
