//! Masked output of real commands: when it is masked, as it flows, byte for byte what it is otherwise.

use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::run::stage;
use crate::canary::{Canary, Sweep};

const SHOW: [&str; 7] = ["run", "--credential", "app", "--", "sh", "-c", "echo out $API_KEY; echo err $API_KEY >&2"];

#[test]
fn output_is_masked_in_ci_and_where_one_asks_for_it() {
    let mut stage = stage("s3cr3t-value");
    let with = |flag: &'static str| [&SHOW[..3], &[flag], &SHOW[3..]].concat();
    let clear = ("out s3cr3t-value\n".to_owned(), "err s3cr3t-value\n".to_owned());
    let masked = ("out ***\n".to_owned(), "err ***\n".to_owned());
    let said = |stage: &crate::stage::Stage, words: &[&str]| {
        let outcome = stage.run(words).ends(0);
        (outcome.stdout(), outcome.stderr())
    };
    assert_eq!(said(&stage, &SHOW), clear);
    assert_eq!(said(&stage, &with("--mask")), masked);
    for (name, value) in [("CI", "true"), ("GITLAB_CI", "true"), ("JENKINS_URL", "http://127.0.0.1/")] {
        stage.set(name, value);
        assert_eq!(said(&stage, &SHOW), masked, "{name}");
        assert_eq!(said(&stage, &with("--no-mask")), clear, "{name}");
        stage.unset(name);
    }
    stage.set("CI", "false");
    assert_eq!(said(&stage, &SHOW), clear);
}

#[test]
fn no_form_of_a_secret_comes_through() {
    let canary = Canary::new();
    let stage = stage(canary.text());
    let script = "printf '%s' \"$API_KEY\" | base64 -w0; printf 'x%s' \"$API_KEY\" | base64 -w0; \
                  printf 'user:%s' \"$API_KEY\" | base64 -w0; echo \"{\\\"k\\\":\\\"$API_KEY\\\"}\"; set -x; : \"$API_KEY\"; env";
    let outcome = stage.run(&["run", "--credential", "app", "--mask", "--", "sh", "-c", script]).ends(0);
    let mut sweep = Sweep::for_canaries(&[canary]);
    sweep.bytes("stdout", &outcome.stdout).bytes("stderr", &outcome.stderr);
    sweep.assert_clean();
    assert!(outcome.stdout().matches("***").count() >= 4 && outcome.stderr().contains("***"), "{outcome}");
}

#[test]
fn github_is_told_before_anything_is_printed() {
    let mut stage = stage("s3cr3t+value%x");
    stage.set("GITHUB_ACTIONS", "true").set("CI", "true");
    let outcome = stage.run(&SHOW).ends(0);
    assert_eq!(outcome.stdout(), "out ***\n");
    let said = outcome.stderr();
    let (masks, rest) =
        said.split_at(said.rfind("::add-mask::").map_or(0, |at| at + said[at..].find('\n').unwrap() + 1));
    assert_eq!(rest, "err ***\n");
    let base64 = STANDARD.encode("s3cr3t+value%x");
    for form in ["s3cr3t+value%25x", &base64, "s3cr3t%252Bvalue%2525x"] {
        assert!(masks.contains(&format!("::add-mask::{form}\n")), "{form}: {masks}");
    }
    assert!(masks.lines().all(|line| line.starts_with("::add-mask::")), "{masks}");
}

#[test]
fn base64_in_lines_is_masked_and_github_is_told_of_them() {
    let secret: String = (0..40).map(|number| format!("{number:03}-")).collect();
    let mut stage = stage(&secret);
    let script = "printf '%s' \"$API_KEY\" | base64; printf 'user:%s' \"$API_KEY\" | base64; printf '%s' \"$API_KEY\" | openssl base64";
    let masked = stage.run(&["run", "--credential", "app", "--mask", "--", "sh", "-c", script]).ends(0);
    assert_eq!(masked.stdout(), "***\ndXNlcjo***\n***\n");
    stage.set("GITHUB_ACTIONS", "true");
    let told = stage.run(&["run", "--credential", "app", "--no-mask", "--", "sh", "-c", script]).ends(0);
    let lines: Vec<String> = told.stdout().lines().map(str::to_owned).collect();
    for line in lines[..3].iter().chain(&lines[6..]) {
        assert!(told.stderr().contains(&format!("::add-mask::{line}\n")), "{line}: {told}");
    }
}

#[test]
fn a_prompt_is_not_held_back() {
    let stage = stage("s3cr3t-value");
    let script =
        "printf 'Name? '; read name; printf 'Hello %s, %s. More? ' \"$name\" \"$API_KEY\"; read more; echo done";
    let mut command = stage.command(&["run", "--credential", "app", "--mask", "--", "sh", "-c", script]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    for (prompt, line) in [("Name? ", "Ann\n"), ("Hello Ann, ***. More? ", "no\n")] {
        let mut seen = vec![0; prompt.len()];
        stdout.read_exact(&mut seen).unwrap();
        assert_eq!(String::from_utf8(seen).unwrap(), prompt);
        stdin.write_all(line.as_bytes()).unwrap();
    }
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "done\n");
    assert!(child.wait().unwrap().success());
}

#[test]
fn bytes_pass_as_they_are() {
    let stage = stage("s3cr3t-value");
    let mut bytes = vec![0; 3 << 20];
    getrandom::fill(&mut bytes).unwrap();
    let outcome = stage.run_with(&["run", "--credential", "app", "--mask", "--", "cat"], &bytes).ends(0);
    assert!(outcome.stdout == bytes, "{} bytes came", outcome.stdout.len());
}

#[test]
fn one_place_for_both_streams_keeps_their_order() {
    let stage = stage("s3cr3t-value");
    let script = "i=0; while [ $i -lt 500 ]; do echo out $i; echo err $API_KEY >&2; i=$((i+1)); done";
    let (mut reader, writer) = std::io::pipe().unwrap();
    let mut command = stage.command(&["run", "--credential", "app", "--mask", "--", "sh", "-c", script]);
    let mut child = command.stdin(Stdio::null()).stdout(writer.try_clone().unwrap()).stderr(writer).spawn().unwrap();
    drop(command);
    let mut said = String::new();
    reader.read_to_string(&mut said).unwrap();
    assert!(child.wait().unwrap().success());
    let expected: Vec<String> = (0..500).map(|number| format!("out {number}\nerr ***\n")).collect();
    assert_eq!(said, expected.concat());
}

#[test]
fn what_the_command_leaves_running_is_not_waited_for() {
    let stage = stage("s3cr3t-value");
    let started = Instant::now();
    let script = "sleep 60 & echo $!; echo $API_KEY";
    let outcome = stage.run(&["run", "--credential", "app", "--mask", "--", "sh", "-c", script]).ends(0);
    assert!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());
    let said = outcome.stdout();
    let (id, rest) = said.split_once('\n').unwrap();
    assert_eq!(rest, "***\n");
    let pid = id.parse().ok().and_then(rustix::process::Pid::from_raw).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

#[test]
fn a_reader_that_leaves_ends_the_command() {
    let stage = stage("s3cr3t-value");
    let mut command = stage.command(&["run", "--credential", "app", "--mask", "--", "yes", "s3cr3t-value"]);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let head = Command::new("head").arg("-n1").stdin(child.stdout.take().unwrap()).output().unwrap();
    assert_eq!(head.stdout, b"***\n");
    assert_eq!(child.wait().unwrap().code(), Some(141), "the command died of SIGPIPE, as shells tell it");
}
