//! Where a secret may be seen: on the stdout of `auth token`, in the keychain, on the way to its service. Nowhere else.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::json;

use crate::canary::{self, Canary, Sweep, Watch};
use crate::idp::{Fault, Idp};
use crate::keyring::Keyring;
use crate::scene::{self, eventually};
use crate::stage::Stage;
use crate::wire;

/// A program that writes its arguments and its environment down below the stage's own folder, where the sweep looks.
fn dump(stage: &Stage, name: &str) -> PathBuf {
    let program = stage.root().join(format!("{name}-program"));
    let script = format!(
        "#!/bin/sh\n(printf '%s\\n' \"$@\"; env; cat /proc/self/environ) > '{}/{name}.dump'\n",
        stage.root().display()
    );
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
    program
}

/// As talkative as it gets, with every helper program watching.
fn talkative(stage: &mut Stage) {
    let key_log = stage.root().join("tls-keys");
    stage
        .set("RUST_LOG", "trace")
        .set("LANYARD_LOG", "trace")
        .set("RUST_BACKTRACE", "full")
        .set("SSLKEYLOGFILE", key_log);
    for name in ["BROWSER", "EDITOR", "PAGER"] {
        let program = dump(stage, name);
        stage.set(name, program);
    }
}

/// Every secret of a sign-in: what the provider handed out, and the verifiers that only lanyard knew.
fn secrets(idp: &Idp) -> Vec<Canary> {
    let verifiers = idp.requests_to("/token").into_iter().filter_map(|seen| seen.field("code_verifier"));
    idp.secrets().into_iter().chain(verifiers).map(|secret| Canary::of(&secret)).collect()
}

/// Runs `auth token` past the record of outputs; its stderr is swept, its stdout is the one place for a token.
fn hand_out(stage: &Stage, flags: &[&str], sweep_later: &mut Vec<u8>) -> String {
    let output = stage.command(&[&["auth", "token"], flags].concat()).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    sweep_later.extend(&output.stderr);
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_whole_life_at_the_highest_verbosity_leaves_the_secrets_in_the_keychain_only() {
    let (keyring, idp) = (Keyring::start(), Idp::honest());
    let mut stage = scene::stage_with_keyring(&idp, &keyring);
    talkative(&mut stage);
    let capture = stage.root().join("bus.capture");
    let mut monitor = Command::new("dbus-monitor")
        .args(["--address", keyring.address(), "--binary"])
        .stdin(Stdio::null())
        .stdout(fs::File::create(&capture).unwrap())
        .stderr(Stdio::null())
        .spawn()
        .expect("dbus-monitor is installed; tests/run does that");
    let watch = Watch::start();
    let mut talk = Vec::new();

    let mut login = stage.start(&["auth", "login", "-vvv", "--timeout", "60"]);
    let url = login.url();
    eventually("the browser is started", Duration::from_secs(10), || stage.root().join("BROWSER.dump").exists());
    wire::browse(&url);
    login.finish().ends(0);
    let token = hand_out(&stage, &["-vvv"], &mut talk);
    assert!(idp.accepts(token.trim_end()));
    for command in [
        &["auth", "status"][..],
        &["auth", "status", "--json", "--all"],
        &["auth", "whoami"],
        &["auth", "token-info"],
        &["auth", "token-info", "--json"],
        &["auth", "refresh"],
        &["auth", "status"],
        &["api", "GET", "/v1/me"],
        &["api", "POST", "/v1/things", "-f", "name=value"],
        &["project", "list"],
        &["config", "list"],
        &["config", "edit"],
        &["which", "--json"],
        &["doctor"],
    ] {
        let outcome = stage.run(&[command, &["-vvv"]].concat());
        assert!(command[0] == "doctor" || outcome.code == Some(0), "{outcome}");
    }
    assert_ne!(hand_out(&stage, &["-vvv", "--header"], &mut talk), format!("Authorization: Bearer {token}"));
    // An unhappy path for each: a refused refresh, a rejected token, a failed sign-in.
    idp.expire_access_tokens();
    for command in [&["auth", "status"][..], &["api", "GET", "/v1/me"], &["auth", "token-info"], &["project", "list"]] {
        stage.run(&[command, &["-vvv"]].concat());
    }
    idp.change(|behaviour| {
        behaviour
            .fault_once("/token", Fault::Answer(400, "application/json", "{\"error\":\"invalid_request\"}".into()));
    });
    stage.run(&["auth", "refresh", "-vvv"]);
    stage.run(&["auth", "revoke", "-vvv"]);
    scene::attempt(&stage, &["-vvv"]).ends(0);
    stage.run(&["auth", "logout", "-vvv"]).ends(0);

    let seen = watch.stop();
    monitor.kill().unwrap();
    monitor.wait().unwrap();
    let bus = fs::read(&capture).unwrap();
    assert!(canary::contains(&bus, b"CreateItem"), "the bus was listened to");

    let mut sweep = Sweep::for_canaries(&secrets(&idp));
    stage.sweep(&mut sweep);
    sweep.bytes("the talk of auth token", &talk).processes(&seen).tree(&keyring.data_dir());
    sweep.assert_clean();
    assert!(!stage.root().join("tls-keys").exists());
    for name in ["BROWSER", "EDITOR"] {
        let dump = fs::read(stage.root().join(format!("{name}.dump")));
        assert!(dump.is_ok_and(|dump| canary::contains(&dump, b"HOME=")), "{name} was called");
    }
    for request in idp.requests() {
        let place = format!("the address of {}", request.path);
        let mut sweep = Sweep::for_canaries(&secrets(&idp));
        sweep.bytes(&place, format!("{}?{}", request.path, request.query).as_bytes());
        sweep.assert_clean();
    }
}

/// Every command that `--help` knows of, as its words.
fn commands(stage: &Stage, above: &[String]) -> Vec<Vec<String>> {
    let words: Vec<&str> = above.iter().map(String::as_str).chain(["--help"]).collect();
    let help = stage.run(&words).ends(0).stdout();
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| line.starts_with("  "));
    let names: Vec<&str> =
        listed.filter(|line| !line.starts_with("   ")).filter_map(|line| line.split_whitespace().next()).collect();
    if names.is_empty() {
        return vec![above.to_vec()];
    }
    names.iter().flat_map(|name| commands(stage, &[above, &[(*name).to_owned()]].concat())).collect()
}

/// Arguments that let a command do its work.
fn arguments(command: &str) -> &'static [&'static str] {
    match command {
        "auth login" => &["--token", "x", "--profile", "other", "--no-verify"],
        "auth switch" | "config set-profile" => &["work"],
        "config get" => &["services.corp.client_id"],
        "config set" => &["profiles.work.project", "web-shop"],
        "config unset" => &["profiles.work.project"],
        "profile rename" => &["work", "work"],
        "profile remove" => &["other"],
        "project use" => &["web-shop"],
        "api" => &["GET", "/v1/me"],
        "completions" => &["bash"],
        _ => &[],
    }
}

#[test]
fn only_auth_token_prints_a_token() {
    let idp = Idp::honest();
    let in_variable = Canary::new();
    idp.change(|behaviour| behaviour.api_tokens = vec![in_variable.text().to_owned()]);
    let mut stage = scene::stage_for(&idp);
    talkative(&mut stage);
    let secret_of_client = Canary::new();
    let line = format!("client_secret = \"{}\"\nclient_id =", secret_of_client.text());
    stage.write_config(&stage.config().replace("client_id =", &line));
    let mut found = commands(&stage, &[]);
    assert!(found.len() > 25, "{found:?}");
    let destroys = |command: &[String]| matches!(command.last().map(String::as_str), Some("logout" | "revoke"));
    found.sort_by_key(|command| destroys(command));

    for with_variable in [false, true] {
        if with_variable {
            stage.set("LANYARD_TOKEN", in_variable.text());
        }
        for formats in [&[][..], &["--json"], &["--output", "table", "-vvv"]] {
            stage.unset("LANYARD_TOKEN");
            scene::attempt(&stage, &["--switch-account"]).ends(0);
            if with_variable {
                stage.set("LANYARD_TOKEN", in_variable.text());
            }
            for command in &found {
                let name = command.join(" ");
                let words: Vec<&str> =
                    command.iter().map(String::as_str).chain(arguments(&name).iter().copied()).collect();
                let words = [&words[..], formats].concat();
                if name == "auth token" {
                    let printed = hand_out(&stage, formats, &mut Vec::new());
                    assert_eq!(printed.trim_end() == in_variable.text(), with_variable, "{words:?}");
                    continue;
                }
                let outcome = stage.run(&words);
                assert!(!matches!(outcome.code, Some(101) | None), "{outcome}");
                let mut sweep = Sweep::for_canaries(
                    &[&secrets(&idp)[..], &[in_variable.clone(), secret_of_client.clone()]].concat(),
                );
                sweep.bytes("stdout", &outcome.stdout).bytes("stderr", &outcome.stderr);
                assert!(sweep.traces().is_empty(), "{outcome}");
            }
        }
    }
}

#[test]
fn masks_show_no_part_of_a_token() {
    let idp = Idp::honest();
    let stage = scene::stage_for(&idp);
    for kind in ["github_pat_", "ghs_", "glpat-", "sk-ant-", "eyJhbGciOiJub25lIn0.", ""] {
        let canary = Canary::new();
        let token = format!("{kind}{}", canary.text());
        idp.change(|behaviour| behaviour.api_tokens = vec![token.clone()]);
        stage.run_with(&["auth", "login", "--with-token"], token.as_bytes()).ends(0);
        for command in [&["auth", "status"][..], &["auth", "token-info"], &["doctor"], &["profile", "list"], &["which"]]
        {
            let outcome = stage.run(command);
            let mut sweep = Sweep::for_canaries(std::slice::from_ref(&canary));
            sweep.bytes("stdout", &outcome.stdout).bytes("stderr", &outcome.stderr);
            assert!(sweep.traces().is_empty(), "{outcome}");
            // The kind alone would tell a thief where the token works.
            assert!(kind.is_empty() || !outcome.stdout().contains(kind), "{outcome}");
        }
    }
}

fn write_sessions(stage: &Stage, item: &str) {
    write_private(
        &stage.config_dir().join("sessions.plain.json"),
        json!({ "version": 1, "secrets": { "work": item } }).to_string().as_bytes(),
    );
}

fn write_private(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).unwrap();
    fs::set_permissions(path, PermissionsExt::from_mode(0o600)).unwrap();
}

#[test]
fn what_cannot_be_read_is_not_quoted() {
    let idp = Idp::honest();
    let stage = scene::stage_for(&idp);
    let canary = Canary::new();
    let secret = canary.text();
    scene::sign_in(&stage);
    let config = stage.config();
    let read = |what: &str, code: i32| {
        for command in
            [&["auth", "status", "--offline"][..], &["auth", "token", "-vvv"], &["auth", "whoami"], &["doctor", "-vvv"]]
        {
            let outcome = stage.run(command);
            assert_ne!(outcome.code, Some(101), "{what}: {outcome}");
            if command[1] == "token" {
                assert_eq!(outcome.code, Some(code), "{what}: {outcome}");
                assert!(outcome.stderr().contains("next: "), "{what}: {outcome}");
            }
        }
    };

    for item in [
        format!("{{\"version\":1,\"access_token\":{{\"a\":\"{secret}\"}}}}"),
        format!("{{\"version\":1,\"service\":\"corp\",\"grant\":\"{secret}\",\"access_token\":\"x\"}}"),
        format!("{{\"version\":1,\"access_token\":\"{secret}\",\"expires_at\":\"{secret}\""),
        format!("{{\"version\":\"{secret}\"}}"),
        secret.to_owned(),
        format!("[\"{secret}\"]"),
    ] {
        write_sessions(&stage, &item);
        read(&item, 7);
    }
    for file in [
        secret.to_owned(),
        format!("{{\"version\":1,\"secrets\":{{\"work\":[\"{secret}\"]}}}}"),
        format!("{{\"version\":\"{secret}\"}}"),
    ] {
        write_private(&stage.config_dir().join("sessions.plain.json"), file.as_bytes());
        read(&file, 7);
    }

    for line in [
        format!("token = {secret}"),
        format!("token = \"{secret}\""),
        format!("[services.corp.api]\nwhoami = [\"{secret}\"]"),
        format!("[services.x]\nclient_secret = [\"{secret}\"]"),
        format!("[services.x]\nclient_secret = \"{secret}"),
        format!("[services.x]\nissuer = \"https://user:{secret}@id.example\""),
        format!("[services.x]\ntoken_env = \"{secret}\""),
    ] {
        stage.write_config(&format!("{config}\n{line}\n"));
        read(&line, 3);
        assert!(stage.run(&["auth", "token"]).stderr().contains("config.toml:"), "{line}");
    }
    stage.write_config(&config);
    fs::remove_file(stage.config_dir().join("sessions.plain.json")).unwrap();

    scene::sign_in(&stage);
    for body in
        [format!("{{\"value\":[\"{secret}\"]}}"), format!("[\"{secret}\""), format!("\"{secret}\""), secret.to_owned()]
    {
        for path in ["/v1/me", "/introspect", "/v1/projects", "/token", "/userinfo"] {
            idp.change(|behaviour| {
                behaviour.fault(path, Fault::Answer(200, "application/json", body.clone()));
            });
        }
        for command in [&["auth", "status"][..], &["auth", "token-info"], &["project", "list"], &["auth", "refresh"]] {
            let outcome = stage.run(&[command, &["-vvv"]].concat());
            assert_ne!(outcome.code, Some(101), "{outcome}");
        }
    }
    let mut sweep = Sweep::for_canaries(&[canary]);
    stage.sweep(&mut sweep);
    sweep.assert_clean();
}

#[test]
fn a_broken_encrypted_file_is_a_clean_error() {
    let idp = Idp::honest();
    let mut stage = scene::stage_for(&idp);
    stage.write_config(&scene::config(&idp, "file"));
    let passphrase = Canary::new();
    stage.set("LANYARD_PASSPHRASE", passphrase.text());
    scene::sign_in(&stage);
    let file = fs::read_dir(stage.config_dir()).unwrap().flatten().map(|entry| entry.path());
    let file =
        file.into_iter().find(|path| path.extension().is_some_and(|end| end == "age")).expect("the encrypted file");
    let good = fs::read(&file).unwrap();
    let mut damaged: Vec<Vec<u8>> = vec![Vec::new(), b"LNYCANARY".to_vec(), good[..good.len() / 2].to_vec()];
    for at in [0, 30, 60, good.len() / 2, good.len() - 1] {
        let mut flipped = good.clone();
        flipped[at] ^= 1;
        damaged.push(flipped);
    }
    for bytes in damaged {
        write_private(&file, &bytes);
        let outcome = stage.run(&["auth", "token"]).ends(7);
        assert!(outcome.stdout.is_empty() && outcome.stderr().contains("next: "), "{outcome}");
    }
    write_private(&file, &good);
    stage.set("LANYARD_PASSPHRASE", "another");
    stage.run(&["auth", "token"]).ends(7);
    stage.set("LANYARD_PASSPHRASE", passphrase.text());
    assert!(idp.accepts(&scene::token(&stage)));
    let mut sweep = Sweep::for_canaries(&[passphrase]);
    stage.sweep(&mut sweep);
    sweep.assert_clean();
}
