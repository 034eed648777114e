//! The stage itself, seen with the simplest commands.

use std::time::Duration;

use crate::keyring::Keyring;
use crate::stage::Stage;
use crate::terminal::Terminal;

#[test]
fn an_outcome_is_seen_as_a_whole() {
    let stage = Stage::new();
    stage.run(&["--version"]).shows(0, "lanyard [..]\n", "");
    stage.run(&["auth", "lgoin"]).ends(2);
    assert!(stage.files().is_empty(), "neither command writes anything");
}

#[test]
#[should_panic(expected = "did something else")]
fn another_outcome_fails() {
    Stage::new().run(&["--version"]).shows(0, "lanyard [..]\n", "warning\n");
}

#[test]
#[should_panic(expected = "did not end within")]
fn a_command_that_hangs_fails() {
    let mut stage = Stage::new();
    stage.wrap(&["sh", "-c", "exec sleep 60"]).limit(Duration::from_millis(100));
    stage.run(&[]);
}

#[test]
fn nothing_of_the_surroundings_gets_in_and_time_can_be_moved() {
    let mut stage = Stage::new();
    stage.wrap(&["sh", "-c", "env | cut -d= -f1 | sort | tr '\\n' ' '; date +%Y"]).at("@2040-01-02 00:00:00");
    let seen = stage.run(&[]).ends(0).stdout();
    assert!(seen.ends_with(" 2040\n"), "{seen}");
    for own in ["CARGO", "DISPLAY", "SSH_", "http", "SSL", "XDG", "DBUS"] {
        assert!(!seen.contains(own), "{seen}");
    }
}

#[test]
fn the_session_has_the_keychain_that_it_is_given() {
    let keyring = Keyring::start();
    let mut stage = Stage::with_keyring(&keyring);
    stage.wrap(&["sh", "-c", "printf kept | secret-tool store --label=l service lanyard username x"]);
    stage.run(&[]).ends(0);
    assert!(keyring.items().contains("secret = kept"), "{}", keyring.items());
}

#[test]
fn a_terminal_shows_takes_keys_and_tells_the_end() {
    let mut stage = Stage::new();
    let script = "stty -echo; echo 'Password:'; read word; stty echo; echo \"got $word\"; read line; exit 3";
    stage.wrap(&["bash", "-c", script]);
    let mut terminal = Terminal::start(&stage, &[]);
    terminal.sees("Password:");
    terminal.types("hidden").sees("got hidden");
    terminal.types("shown");
    let ending = terminal.ends();
    assert_eq!((ending.code, ending.echoes), (Some(3), true));
    assert!(ending.screen.contains("shown"), "{ending:?}");

    stage.wrap(&["bash", "-c", "stty -echo; echo ready; sleep 60"]);
    let mut terminal = Terminal::start(&stage, &[]);
    terminal.sees("ready");
    terminal.presses("\x03");
    let ending = terminal.ends();
    assert_eq!((ending.code, ending.echoes), (Some(130), false), "{ending:?}");
}
