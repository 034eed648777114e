//! `lanyard run` between a terminal and a command: signals, job control, what the command sees of the terminal.

use rexpect::session::PtySession;

use super::run::{memory, stage, store_file};
use crate::keyring::Keyring;
use crate::stage::{LANYARD, Stage};
use crate::terminal::Terminal;

/// The ways in which a command runs: in lanyard's place, beside it with masked output, beside it with a file.
const MODES: [&[&str]; 3] =
    [&["--credential", "app"], &["--credential", "app", "--mask"], &["--credential", "thefile"]];

fn home() -> (Stage, tempfile::TempDir) {
    let mut stage = stage("s3cr3t-value");
    let memory = memory(&mut stage);
    store_file(&stage, "s3cr3t content\n");
    (stage, memory)
}

#[test]
fn signals_reach_the_command() {
    let (stage, memory) = home();
    let script = "for s in INT HUP TERM USR1; do trap \"echo got $s\" $s; done; echo up; \
                  while :; do read line && { [ \"$line\" = end ] && exit 5; }; done";
    for mode in MODES {
        let mut running = stage.start(&[&["run"], mode, &["--", "sh", "-c", script]].concat());
        assert_eq!(running.answer_line(), "up", "{mode:?}");
        for name in ["HUP", "TERM", "INT"] {
            running.signal(name);
            // A shell looks at its traps when `read` returns.
            std::io::Write::write_all(running.stdin.as_mut().unwrap(), b"x\n").unwrap();
            assert_eq!(running.answer_line(), format!("got {name}"), "{mode:?}");
        }
        std::io::Write::write_all(running.stdin.as_mut().unwrap(), b"end\n").unwrap();
        let ended = running.finish().ends(5);
        assert_eq!(ended.stdout().matches("got").count(), 3, "{mode:?}: each came once: {ended}");
    }
    assert!(std::fs::read_dir(memory.path()).unwrap().next().is_none());
}

#[test]
fn a_signal_that_ends_the_command_ends_lanyard_likewise() {
    let (stage, memory) = home();
    for mode in MODES {
        let mut running = stage.start(&[&["run"], mode, &["--", "sh", "-c", "echo up; exec sleep 60"]].concat());
        assert_eq!(running.answer_line(), "up");
        running.signal("TERM");
        assert_eq!(running.finish().code, None, "{mode:?}: it died of the signal");
        assert!(std::fs::read_dir(memory.path()).unwrap().next().is_none(), "{mode:?}");
    }
}

/// The connection to a keychain has threads of its own, and none of them may take a signal.
#[test]
fn a_vault_in_a_keychain_makes_no_difference() {
    let keyring = Keyring::start();
    let mut stage = Stage::with_keyring(&keyring);
    crate::vaulted::store_env(&stage, "app", "API_KEY", "s3cr3t-value");
    let memory = memory(&mut stage);
    store_file(&stage, "s3cr3t content\n");
    let script = "trap 'echo got; exit 9' TERM; trap '' INT; echo up; while :; do sleep 0.1; done";
    for mode in MODES {
        let mut running = stage.start(&[&["run"], mode, &["--", "sh", "-c", script]].concat());
        assert_eq!(running.answer_line(), "up", "{mode:?}");
        running.signal("INT");
        running.signal("TERM");
        assert_eq!(running.answer_line(), "got", "{mode:?}");
        running.finish().ends(9);
    }
    assert!(std::fs::read_dir(memory.path()).unwrap().next().is_none());
}

#[test]
fn what_the_terminal_sends_comes_once() {
    let (stage, _memory) = home();
    let script = "n=0; trap 'n=$((n+1)); echo \"int $n\"' INT; echo up; \
                  while :; do sleep 0.2; [ -e stop ] && break; done; echo \"in all $n\"; exit 4";
    for mode in MODES {
        let _ = std::fs::remove_file(stage.home().join("stop"));
        let mut terminal = Terminal::start(&stage, &[&["run"], mode, &["--", "sh", "-c", script]].concat());
        terminal.sees("up");
        terminal.presses("\x03");
        terminal.sees("int 1");
        terminal.presses("\x03");
        terminal.sees("int 2");
        std::fs::write(stage.home().join("stop"), "").unwrap();
        terminal.sees("in all 2");
        let ending = terminal.ends();
        assert_eq!((ending.code, ending.echoes), (Some(4), true), "{mode:?}: {}", ending.screen);
    }
}

#[test]
fn the_command_sees_the_terminal_unless_its_output_is_masked() {
    let (stage, _memory) = home();
    let script = "[ -t 0 ] && echo in; [ -t 1 ] && echo out; [ -t 2 ] && echo err; stty size 2>/dev/null; echo end";
    for (mode, seen) in MODES.iter().zip(["in out err 40 100 end", "in 40 100 end", "in out err 40 100 end"]) {
        let mut terminal = Terminal::start(&stage, &[&["run"], *mode, &["--", "sh", "-c", script]].concat());
        terminal.sees("end");
        let screen = terminal.ends().screen;
        let said = screen.contains("the output is masked on its way, so the command sees no terminal");
        assert_eq!(said, mode.contains(&"--mask"), "{screen}");
        let words: Vec<&str> =
            screen.lines().filter(|line| !line.contains("masked")).flat_map(str::split_whitespace).collect();
        assert_eq!(words.join(" "), seen, "{mode:?}");
    }
}

/// An interactive shell, with jobs, in which lanyard is called `lanyard`.
fn shell(stage: &Stage) -> PtySession {
    let plain = stage.command(&[]);
    let mut command = std::process::Command::new("bash");
    command.args(["--norc", "--noprofile", "-i"]).env_clear().current_dir(stage.home());
    command.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?)))).env("PS1", "$ ");
    let mut session = rexpect::session::spawn_command(command, Some(30_000)).expect("a shell");
    session.send_line(&format!("lanyard() {{ {LANYARD} \"$@\"; }}; PS1=\"rea\"\"dy> \"")).unwrap();
    session.exp_string("ready> ").unwrap();
    session
}

#[test]
fn the_command_is_stopped_and_continued_like_any_job() {
    let (stage, _memory) = home();
    std::fs::write(
        stage.home().join("count"),
        "echo up; i=0; while [ ! -e stop ]; do sleep 0.1; done; echo over; exit 6\n",
    )
    .unwrap();
    for mode in MODES {
        let _ = std::fs::remove_file(stage.home().join("stop"));
        let mut shell = shell(&stage);
        shell.send_line(&format!("{LANYARD} run {} -- sh count", mode.join(" "))).unwrap();
        shell.exp_string("up").unwrap();
        shell.send_control('z').unwrap();
        shell.exp_string("Stopped").unwrap_or_else(|error| panic!("{mode:?}: {error}"));
        shell.exp_string("ready> ").unwrap();
        shell.send_line("touch stop; fg").unwrap();
        shell.exp_string("over").unwrap_or_else(|error| panic!("{mode:?}: {error}"));
        shell.exp_string("ready> ").unwrap();
        shell.send_line("echo code $?").unwrap();
        shell.exp_string("code 6").unwrap_or_else(|error| panic!("{mode:?}: {error}"));
        shell.send_line("exit").unwrap();
        shell.exp_eof().unwrap();
    }
}

#[test]
fn a_command_that_stops_itself_stops_lanyard() {
    let (stage, _memory) = home();
    for mode in MODES {
        let mut shell = shell(&stage);
        shell
            .send_line(&format!("{LANYARD} run {} -- sh -c 'kill -STOP $$; echo on; exit 6'", mode.join(" ")))
            .unwrap();
        shell.exp_string("Stopped").unwrap_or_else(|error| panic!("{mode:?}: {error}"));
        shell.exp_string("ready> ").unwrap();
        shell.send_line("fg").unwrap();
        shell.exp_string("on").unwrap();
        shell.exp_string("ready> ").unwrap();
        shell.send_line("echo code $?").unwrap();
        shell.exp_string("code 6").unwrap_or_else(|error| panic!("{mode:?}: {error}"));
        shell.send_line("exit").unwrap();
        shell.exp_eof().unwrap();
    }
}

#[test]
fn a_signal_that_is_ignored_stays_ignored() {
    let (stage, _memory) = home();
    for mode in MODES {
        let words = ["run"].iter().chain(mode).chain(&["--", "sh", "-c", "grep SigIgn /proc/$$/status"]);
        let line = words.map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" ").replace("$$", "self");
        let mut command = std::process::Command::new("sh");
        command.args(["-c", &format!("trap '' HUP; {LANYARD} {line}")]).env_clear().current_dir(stage.home());
        let plain = stage.command(&[]);
        command.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let said = String::from_utf8(command.output().unwrap().stdout).unwrap();
        let set = said.split_whitespace().nth(1).and_then(|set| u64::from_str_radix(set, 16).ok());
        assert_eq!(set.map(|set| set & 1), Some(1), "{mode:?}: SIGHUP is number 1: {said}");
        // And nothing is left blocked.
        let blocked = [&["run"], mode, &["--", "grep", "SigBlk", "/proc/self/status"]].concat();
        assert_eq!(
            stage.run(&blocked).ends(0).stdout().split_whitespace().nth(1),
            Some("0000000000000000"),
            "{mode:?}"
        );
    }
}
