//! Sudden death and full disks while lanyard writes: a file is the old one or the new one, whole.

use std::path::PathBuf;

use crate::crash::{self, Blow};
use crate::idp::Idp;
use crate::scene::{self, settled};
use crate::stage::{Outcome, Running, Stage};
use crate::wire;

/// The calls at which a file could be half done, as strace selects them.
const CALLS: [&str; 5] = ["write", "fsync", "/^rename", "/^unlink", "/^mkdir"];

/// Files that a finished command has no business leaving: half-written ones and copies.
fn leftovers(stage: &Stage) -> Vec<PathBuf> {
    let known = ["toml", "json", "age", "lock"];
    let ends = |path: &PathBuf| path.extension().is_some_and(|end| known.contains(&end.to_string_lossy().as_ref()));
    settled(stage).into_keys().filter(|path| !ends(path)).collect()
}

fn sessions(stage: &Stage) -> Option<serde_json::Value> {
    let bytes = std::fs::read(stage.config_dir().join("sessions.plain.json")).ok()?;
    Some(serde_json::from_slice(&bytes).expect("the file of sessions is whole"))
}

/// Kills `command` at every call; `look` is told whether all is well after each, and puts the scene back.
fn kill_everywhere(stage: &Stage, command: &[&str], mut look: impl FnMut(&str)) {
    let mut struck = 0;
    for call in CALLS {
        struck += crash::at_every(
            call,
            Blow::Kill,
            || stage.command(command),
            |time| look(&format!("killed at {call} {time}")),
        );
    }
    assert!(struck >= 4, "only {struck} blows were struck");
}

#[test]
fn a_kill_during_config_set_leaves_the_old_file_or_the_new_one() {
    let idp = Idp::honest();
    let stage = scene::stage_for(&idp);
    let old = format!("# mine\n{}", stage.config());
    stage.write_config(&old);
    stage.run(&["config", "set", "profiles.work.project", "p2"]).ends(0);
    let new = stage.config();
    assert_ne!(new, old);
    stage.write_config(&old);
    kill_everywhere(&stage, &["config", "set", "profiles.work.project", "p2"], |when| {
        let found = stage.config();
        assert!(found == old || found == new, "{when}: {found}");
        stage.run(&["config", "set", "profiles.work.project", "p3"]).ends(0);
        assert!(leftovers(&stage).is_empty(), "{when} left {:?}", leftovers(&stage));
        stage.write_config(&old);
    });
}

#[test]
fn a_kill_during_a_token_sign_in_leaves_no_half_profile() {
    let idp = Idp::honest();
    idp.change(|behaviour| behaviour.api_tokens = vec!["LNYCANARYtoken0123456789".into()]);
    let stage = scene::stage_for(&idp);
    let old = stage.config();
    let login = ["auth", "login", "--token", "LNYCANARYtoken0123456789"];
    stage.run(&login).ends(0);
    let new = stage.config();
    let clear = || {
        stage.write_config(&old);
        let _ = std::fs::remove_file(stage.config_dir().join("sessions.plain.json"));
    };
    clear();
    kill_everywhere(&stage, &login, |when| {
        let found = stage.config();
        assert!(found == old || found == new, "{when}: {found}");
        let stored = sessions(&stage).is_some_and(|file| file["secrets"]["work"].is_string());
        assert!(stored || found == old, "{when}: a profile says who signed in, and the session is missing");
        stage.run(&login).ends(0);
        assert_eq!(scene::token(&stage), "LNYCANARYtoken0123456789");
        assert!(leftovers(&stage).is_empty(), "{when} left {:?}", leftovers(&stage));
        clear();
    });
}

/// Signs in through the browser while the process is killed at its `time`th call of a kind. Whether it was killed.
fn killed_sign_in(stage: &mut Stage, call: &str, time: usize) -> bool {
    let (trace, inject) = (format!("trace={call}"), format!("inject={call}:signal=KILL:when={time}"));
    stage.wrap(&["strace", "-f", "-qq", "-o", "/dev/null", "-e", &trace, "-e", &inject, "--"]);
    let mut running = scene::begin(stage, &[]);
    if let Some(url) = running.url_unless_it_ends() {
        // The listener may die while the browser talks to it.
        let _ = wire::browse(&url);
    }
    let outcome = running.finish();
    stage.wrap(&[]);
    outcome.code != Some(0)
}

#[test]
fn a_kill_during_a_browser_sign_in_leaves_no_half_profile() {
    let idp = Idp::honest();
    let mut stage = scene::stage_for(&idp);
    let old = stage.config();
    let mut struck = 0;
    for call in ["fsync", "/^rename", "/^unlink", "accept4"] {
        for time in 1.. {
            if !killed_sign_in(&mut stage, call, time) {
                break;
            }
            struck += 1;
            let when = format!("killed at {call} {time}");
            let signed_in = stage.config() != old;
            assert!(!signed_in || stage.config().contains("account_id"), "{when}: {}", stage.config());
            let stored = sessions(&stage).is_some_and(|file| file["secrets"]["work"].is_string());
            assert!(stored || !signed_in, "{when}: a profile says who signed in, and the session is missing");
            scene::sign_in(&stage);
            assert!(idp.accepts(&scene::token(&stage)), "{when}");
            assert!(leftovers(&stage).is_empty(), "{when} left {:?}", leftovers(&stage));
            stage.write_config(&old);
            let _ = std::fs::remove_file(stage.config_dir().join("sessions.plain.json"));
        }
    }
    assert!(struck >= 4, "only {struck} blows were struck");
}

#[test]
fn a_kill_during_logout_leaves_the_session_or_nothing() {
    let idp = Idp::honest();
    idp.change(|behaviour| behaviour.api_tokens = vec!["LNYCANARYtoken0123456789".into()]);
    let stage = scene::stage_for(&idp);
    let login = ["auth", "login", "--token", "LNYCANARYtoken0123456789"];
    stage.run(&login).ends(0);
    kill_everywhere(&stage, &["auth", "logout"], |when| {
        let signed_in = sessions(&stage).is_some_and(|file| file["secrets"]["work"].is_string());
        assert_eq!(stage.run(&["auth", "status", "--offline"]).code, Some(if signed_in { 0 } else { 4 }), "{when}");
        stage.run(&["auth", "logout"]).ends(0);
        assert_eq!(sessions(&stage), None, "{when}");
        assert!(leftovers(&stage).is_empty(), "{when} left {:?}", leftovers(&stage));
        let left = std::fs::read_dir(stage.config_dir()).unwrap().flatten().map(|entry| entry.path());
        let holding =
            left.filter(|path| std::fs::read(path).is_ok_and(|bytes| crate::canary::contains(&bytes, b"LNYCANARY")));
        assert_eq!(holding.count(), 0, "{when}");
        stage.run(&login).ends(0);
    });
}

/// Runs a command while one kind of call fails.
fn failing(stage: &mut Stage, call: &str, error: &str, command: &[&str]) -> Outcome {
    let (trace, inject) = (format!("trace={call}"), format!("inject={call}:error={error}"));
    stage.wrap(&["strace", "-f", "-qq", "-o", "/dev/null", "-e", &trace, "-e", &inject, "--"]);
    let outcome = stage.run(command);
    stage.wrap(&[]);
    outcome
}

#[test]
fn a_disk_that_takes_no_more_changes_nothing_and_is_named() {
    let idp = Idp::honest();
    idp.change(|behaviour| behaviour.api_tokens = vec!["LNYCANARYtoken0123456789".into()]);
    let mut stage = scene::stage_for(&idp);
    scene::sign_in(&stage);
    for (call, error, words) in [
        ("fsync", "ENOSPC", "No space left"),
        ("fsync", "EIO", "Input/output error"),
        ("fsync", "EDQUOT", "quota"),
        ("/^rename", "ENOSPC", "No space left"),
        ("/^rename", "EROFS", "Read-only"),
    ] {
        let before = settled(&stage);
        for command in [
            &["config", "set", "profiles.work.project", "p2"][..],
            &["auth", "login", "--token", "LNYCANARYtoken0123456789"],
            &["auth", "refresh"],
        ] {
            let outcome = failing(&mut stage, call, error, command);
            let said = outcome.stderr();
            assert!(!matches!(outcome.code, Some(0 | 101) | None), "{call} {error}: {outcome}");
            assert!(said.to_lowercase().contains(&words.to_lowercase()), "{call} {error}: {said}");
            assert!(said.contains("next: "), "{call} {error}: {said}");
            assert_eq!(settled(&stage), before, "{call} {error} {command:?}");
        }
        // Signing out on such a disk may fail; what is left is whole all the same.
        let outcome = failing(&mut stage, call, error, &["auth", "logout", "--offline"]);
        assert_ne!(outcome.code, Some(101), "{outcome}");
        sessions(&stage);
        // The service has rotated, and the answer could not be kept.
        scene::sign_in(&stage);
    }
}

#[test]
fn fifty_writers_at_once_lose_nothing() {
    let idp = Idp::honest();
    let stage = scene::stage_for(&idp);
    let keys: Vec<String> = (0..50).map(|number| format!("profiles.p{number}.project")).collect();
    let writers: Vec<Running> = keys.iter().map(|key| stage.start(&["config", "set", key, "mine"])).collect();
    for writer in writers {
        writer.finish().ends(0);
    }
    for key in &keys {
        assert_eq!(stage.run(&["config", "get", key]).ends(0).stdout(), "mine\n", "{key}");
    }
    assert!(leftovers(&stage).is_empty());
}
