//! What other processes see: the command lines and environments of all that lanyard starts, and what it says of a secret
//! that was typed into the wrong place.

use std::path::Path;

use super::commands::{assert_clean, talkative};
use super::echo::Echo;
use super::kept::{self, Given, Kept};
use crate::canary::{Canary, Sweep};
use crate::stage::Stage;
use crate::vaulted;

/// Has every later command write each start of a program, with its arguments and its environment, to a file of its own.
fn traced(stage: &mut Stage, log: &Path) {
    let log = log.display().to_string();
    stage.wrap(&["strace", "-f", "-qq", "-v", "-s", "100000", "-e", "trace=execve", "-o", &log, "--"]);
}

/// The starts of programs but the first, which is the user's own.
fn starts(log: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    text.lines().filter(|line| line.contains("execve(")).skip(1).map(str::to_owned).collect()
}

/// Programs that official tools are asked for, and that a person has chosen: all of them are there and say nothing.
fn helpers(stage: &mut Stage) {
    let folder = stage.root().join("bin");
    std::fs::create_dir(&folder).unwrap();
    for name in ["docker-credential-desktop", "git", "gcloud", "kubectl", "browser", "xdg-open"] {
        let program = folder.join(name);
        std::fs::write(&program, "#!/bin/sh\nexit 1\n").unwrap();
        std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }
    let path = format!("{}:/usr/bin:/bin", folder.display());
    stage.set("PATH", path).set("BROWSER", folder.join("browser")).set("EDITOR", folder.join("browser"));
    std::fs::create_dir(stage.home().join(".docker")).unwrap();
    let docker = r#"{"auths": {"registry.example": {}}, "credsStore": "desktop"}"#;
    std::fs::write(stage.home().join(".docker/config.json"), docker).unwrap();
    std::fs::write(stage.home().join(".gitconfig"), "[credential]\n\thelper = cache\n").unwrap();
}

#[test]
fn no_process_that_lanyard_starts_gets_a_secret() {
    let given = Given::new();
    let echo = Echo::start(&Canary::of_chance(60));
    let all = kept::all(&echo.double.url(), &given);
    let mut kinds = std::collections::BTreeSet::new();
    let all: Vec<Kept> = all.into_iter().filter(|kept| kinds.insert(kept.kind)).collect();
    let canaries: Vec<Canary> = all.iter().flat_map(|kept| kept.canaries.clone()).collect();
    let mut stage = vaulted::stage();
    talkative(&mut stage);
    helpers(&mut stage);
    stage.set("HTTPS_PROXY", echo.double.url()).set("AWS_ENDPOINT_URL", echo.double.url());
    let log = given.path().join("starts");
    let mut sweep = Sweep::for_canaries(&canaries);
    let mut started = Vec::new();
    traced(&mut stage, &log);
    let mut look = |what: &str| {
        for start in starts(&log) {
            sweep.bytes(&format!("a program started by {what}"), start.as_bytes());
            started.push(start);
        }
    };
    for kept in &all {
        // The role is used through keys that are not among these.
        let stored = kept.store(&stage, &["--no-verify"]);
        assert_eq!(stored.code, Some(0), "{stored}");
        look(&format!("storing {}", kept.name));
        for command in ["test", "rotate", "update"] {
            stage.run(&["credentials", command, &kept.name]);
            look(&format!("{command} {}", kept.name));
        }
        stage.command(&["credentials", "export", &kept.name, "--format", "json"]).output().expect("it runs");
        look(&format!("export {}", kept.name));
    }
    for command in
        [&["credentials", "scan", "--verify"][..], &["doctor"], &["credentials", "store", "registry", "x.example"]]
    {
        stage.run(command);
        look(&command.join(" "));
    }
    assert!(started.iter().any(|start| start.contains("docker-credential-desktop")), "{started:#?}");
    assert_clean(sweep, &canaries, &all);
}

#[test]
fn a_secret_on_the_command_line_is_gone_from_it_before_anything_is_done() {
    let (given, stage) = (Given::new(), vaulted::stage());
    let mut stage = stage;
    let log = given.path().join("starts");
    traced(&mut stage, &log);
    let canary = Canary::of_chance(64);
    let secret = canary.text();
    let assigned = format!("api_token={secret}");
    let (one_word, joined) = (format!("--api-token={secret}"), format!("--field={assigned}"));
    let store = ["credentials", "store", "hetzner", "--no-verify", "--replace", "--tag", "a"];
    let update = ["credentials", "update", "hetzner", "--no-verify", "--tag", "b"];
    for words in [
        [&store[..], &["--api-token", secret]].concat(),
        [&store[..], &[&one_word]].concat(),
        [&update[..], &["--field", &assigned]].concat(),
        [&update[..], &[&joined]].concat(),
    ] {
        let outcome = stage.run(&words).ends(0);
        assert!(outcome.stderr().contains("others could see a secret on the command line"), "{outcome}");
        assert_eq!(outcome.stderr().matches("others could see").count(), 1, "{outcome}");
        let starts = starts(&log);
        assert_eq!(starts.len(), 1, "it starts itself anew: {starts:#?}");
        let mut sweep = Sweep::for_canaries(std::slice::from_ref(&canary));
        sweep.bytes("the command line", starts[0].as_bytes());
        sweep.bytes("stdout", &outcome.stdout).bytes("stderr", &outcome.stderr);
        sweep.assert_clean();
        assert_eq!(vaulted::reveal(&stage, "hetzner", "api_token"), secret);
    }
}

#[test]
fn what_is_typed_into_the_wrong_place_is_not_repeated() {
    let stage = vaulted::stage();
    let canary = Canary::of_chance(40);
    let secret = &format!("{}x7", canary.text());
    vaulted::store_env(&stage, "db", "A", "x");
    let (assigned, slip) = (format!("x={secret}"), format!("--api-tokn={secret}"));
    for words in [
        &["credentials", "store", "hetzner", secret][..],
        &["credentials", "store", "hetzner", "--api-token", "-", secret],
        &["credentials", "store", "hetzner", &slip],
        &["credentials", "store", "hetzner", "--api-token", secret, "--no-verify"],
        &["credentials", "store", secret],
        &["credentials", "store", "cloudflare", "--account-id", secret, "--api-token", secret, "--endpoint", "nowhere"],
        &["credentials", "show", secret],
        &["credentials", "test", secret],
        &["credentials", "rotate", secret],
        &["credentials", "delete", secret, "--yes"],
        &["credentials", "disconnect", secret],
        &["credentials", "reconnect", secret],
        &["credentials", "rename", secret, "x"],
        &["credentials", "export", secret, "--format", "env"],
        &["credentials", "export", "db", "--format", secret],
        &["credentials", "update", secret, "--tag", "x"],
        &["credentials", "update", "db", "--field", secret],
        &["credentials", "update", "db", secret],
        &["credentials", "show", "db", "--reveal", secret],
        &["credentials", "list", "--kind", secret],
        &["credentials", "list", "--status", secret],
        &["credentials", "list", "--search", secret],
        &["credentials", "update", "db", "--unset", secret],
        &["credentials", "store", "env", &assigned, "--name", "x"],
        &["vault", "recover", "--recovery-key", secret],
        &["vault", "rekey", "--storage", secret],
        &["vault", secret],
        &["credentials", secret],
    ] {
        let outcome = stage.run(words);
        assert!(!matches!(outcome.code, Some(101) | None), "{outcome}");
        let mut sweep = Sweep::for_canaries(std::slice::from_ref(&canary));
        sweep.bytes("stdout", &outcome.stdout).bytes("stderr", &outcome.stderr);
        assert!(sweep.traces().is_empty(), "{outcome}");
    }
}
