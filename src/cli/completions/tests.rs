use std::ffi::OsString;

use clap_complete::engine::complete;

use super::*;

/// The folder of the repository that holds the generated files.
fn committed() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("completions")
}

/// Runs with `UPDATE_GENERATED=1` to bring the files up to date. They are of the whole program, with its server.
#[test]
fn generated_files_are_current() {
    if Env::of_process(None).var("UPDATE_GENERATED").is_some() {
        generate(&committed()).unwrap();
    }
    let expected = generated().unwrap();
    for (path, content) in &expected {
        let found = std::fs::read(committed().join(path)).unwrap_or_default();
        let shown = path.display();
        assert!(
            found == *content,
            "completions/{shown} is not current; run: UPDATE_GENERATED=1 cargo test --lib generated"
        );
    }
    for entry in std::fs::read_dir(committed().join("man")).unwrap() {
        let path = Path::new("man").join(entry.unwrap().file_name());
        assert!(expected.contains_key(&path), "{} belongs to no command", path.display());
    }
}

/// Whoever builds the program without the server has nothing of it.
#[test]
fn the_commands_of_the_server_come_with_it() {
    let mut known = Vec::new();
    every_command(&mut |path, _| known.push(path.to_owned()));
    let is_there = |path: &str| known.iter().any(|known| known == path);
    assert!(is_there("lanyard credentials list"));
    for of_the_server in ["lanyard serve", "lanyard server backup"] {
        assert_eq!(is_there(of_the_server), cfg!(feature = "server"), "{of_the_server}");
    }
}

/// Calls `check` for every command at every level, with its path.
fn every_command(check: &mut dyn FnMut(&str, &clap::Command)) {
    fn walk(path: &str, command: &clap::Command, check: &mut dyn FnMut(&str, &clap::Command)) {
        check(path, command);
        for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set()) {
            walk(&format!("{path} {}", inner.get_name()), inner, check);
        }
    }
    let mut command = Cli::command();
    command.build();
    walk("lanyard", &command, check);
}

#[test]
fn every_command_says_what_it_does_and_shows_an_example() {
    every_command(&mut |path, command| {
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        assert!(!about.is_empty(), "{path} has no line about it");
        assert!(!about.ends_with('.'), "{path}: a line about a command has no full stop");
        let example = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        assert!(example.contains("Example"), "{path} shows no example");
        assert!(example.contains(path), "{path}: the example does not use it:\n{example}");
    });
}

#[test]
fn every_argument_has_a_help_text() {
    every_command(&mut |path, command| {
        for argument in command.get_arguments().filter(|argument| !argument.is_hide_set()) {
            assert!(argument.get_help().is_some(), "{path} {} has no help text", argument.get_id());
        }
    });
}

#[test]
fn scripts_call_lanyard_from_the_path() {
    for shell in &SHELLS {
        let script = String::from_utf8(script(shell).unwrap()).unwrap();
        assert!(script.contains("lanyard") && script.contains(ASKED_BY), "{script}");
        assert!(!script.contains("target/") && !script.contains("/lanyard"), "{script}");
    }
}

fn completed(words: &[&str]) -> Vec<String> {
    let words: Vec<OsString> = words.iter().map(OsString::from).collect();
    let index = words.len() - 1;
    let mut command = Cli::command();
    let found = complete(&mut command, words, index, None).unwrap();
    found.iter().map(|candidate| candidate.get_value().to_string_lossy().into_owned()).collect()
}

#[test]
fn commands_and_shells_complete() {
    assert!(completed(&["lanyard", "auth", "log"]).contains(&"login".into()));
    assert_eq!(completed(&["lanyard", "completions", "nu"]), ["nushell"]);
}

#[test]
fn nushell_gets_records() {
    let mut answer = Vec::new();
    let words = ["lanyard", "completions", "el"].map(OsString::from).to_vec();
    Nushell.write_complete(&mut Cli::command(), words, None, &mut answer).unwrap();
    let records: serde_json::Value = serde_json::from_slice(&answer).unwrap();
    assert_eq!(records[0]["value"], "elvish");
    assert!(records[0]["description"].is_string());
}

#[test]
fn names_that_a_shell_could_act_on_are_left_out() {
    let hostile = ["good", "a b", "$(id)", "`id`", "a;b", "x\x1b[2J", "a\u{202e}b", "", "-x\n"];
    let kept = candidates(hostile.into_iter().map(|name| (name.to_owned(), String::new())));
    let kept: Vec<_> = kept.iter().map(|candidate| candidate.get_value().to_str().unwrap()).collect();
    assert_eq!(kept, ["good"]);
}

#[test]
fn the_folder_on_the_half_typed_line_counts() {
    let typed = |words: &[&str]| typed_config_dir(words.iter().map(ToString::to_string));
    assert_eq!(typed(&["lanyard", "--", "lanyard", "--config-dir", "/x", "--profile", ""]), Some("/x".into()));
    assert_eq!(typed(&["lanyard", "--", "lanyard", "--config-dir=/y"]), Some("/y".into()));
    assert_eq!(typed(&["lanyard", "--", "lanyard", "auth"]), None);
}
