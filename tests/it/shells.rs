//! Completion scripts as the shells themselves take them, and the doctor.

use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use crate::idp::Idp;
use crate::keyring::{DeafBus, Keyring};
use crate::scene;
use crate::stage::{LANYARD, Stage};

const SHELLS: [&str; 6] = ["bash", "zsh", "fish", "powershell", "elvish", "nushell"];

/// A stage with profiles, and a folder whose `lanyard` is the binary under test, which heads the search path.
fn named() -> (Stage, String) {
    let mut stage = Stage::new();
    stage.write_config(
        "[profiles.work]\nservice = \"corp\"\naccount = \"me@work.example\"\nproject = \"web-shop\"\n\n\
         [profiles.workshop]\nservice = \"github\"\n\n[services.corp]\nissuer = \"https://id.work.example\"\n",
    );
    let folder = stage.root().join("bin");
    std::fs::create_dir(&folder).expect("a folder");
    std::os::unix::fs::symlink(LANYARD, folder.join("lanyard")).expect("a link");
    let path = format!("{}:/usr/local/bin:/usr/bin:/bin", folder.display());
    stage.set("PATH", &path);
    (stage, path)
}

fn script(stage: &Stage, shell: &str) -> String {
    let outcome = stage.run(&["completions", shell]).ends(0);
    assert!(outcome.stderr.is_empty() && outcome.stdout().contains("lanyard"), "{outcome}");
    outcome.stdout()
}

/// Runs a text with a shell in the stage's home and returns its stdout.
#[track_caller]
fn shell(stage: &Stage, path: &str, command: &[&str]) -> String {
    let output = Command::new(command[0])
        .args(&command[1..])
        .env_clear()
        .env("PATH", path)
        .env("HOME", stage.home())
        .env("TERM", "dumb")
        .env("LANYARD_CONFIG_DIR", stage.config_dir())
        .stdin(Stdio::null())
        .output()
        .expect("the shell is installed");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && err.is_empty(), "{command:?}: {out}\n{err}");
    out.into_owned()
}

#[test]
fn every_shell_gets_a_script_that_it_parses() {
    let (stage, path) = named();
    for name in SHELLS {
        let file = stage.home().join(format!("script.{name}"));
        std::fs::write(&file, script(&stage, name)).expect("a file");
        let file = file.display().to_string();
        let check: &[&str] = match name {
            "bash" | "zsh" => &[name, "-n", &file],
            "fish" => &["fish", "--no-execute", &file],
            // Nothing to check these with on a usual Linux machine.
            _ => continue,
        };
        shell(&stage, &path, check);
    }
    let unknown = stage.run(&["completions", "tcsh"]).ends(2);
    for name in SHELLS {
        assert!(unknown.stderr().contains(name), "{unknown}");
    }
}

#[test]
fn bash_completes_commands_profiles_services_and_projects() {
    let (stage, path) = named();
    std::fs::write(stage.home().join("script"), script(&stage, "bash")).expect("a file");
    let complete = |words: &[&str]| -> Vec<String> {
        let list = words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" ");
        // What bash does at TAB: it sets COMP_WORDS and COMP_CWORD, and calls the function that is registered.
        let text = format!(
            ". ~/script; COMP_WORDS=({list}); COMP_CWORD={}; COMP_TYPE=9; \
             function=$(complete -p lanyard | sed 's/.*-F \\([^ ]*\\).*/\\1/'); \
             $function lanyard \"${{COMP_WORDS[COMP_CWORD]}}\" \"${{COMP_WORDS[COMP_CWORD-1]}}\" >/dev/null; \
             printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            words.len() - 1
        );
        let out = shell(&stage, &path, &["bash", "--norc", "-O", "progcomp", "-c", &text]);
        out.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect()
    };
    assert_eq!(complete(&["lanyard", "auth", "logi"]), ["login"]);
    assert_eq!(complete(&["lanyard", "--profile", "work"]), ["work", "workshop"]);
    assert_eq!(complete(&["lanyard", "auth", "login", "--service", "cor"]), ["corp"]);
    assert_eq!(complete(&["lanyard", "project", "use", "web"]), ["web-shop"]);
    // A configuration that is wrong completes to nothing and says nothing.
    stage.write_config("[profiles.work\n");
    assert!(complete(&["lanyard", "--profile", "work"]).is_empty());
    assert_eq!(complete(&["lanyard", "auth", "logi"]), ["login"]);
}

#[test]
fn fish_completes_profiles_with_their_accounts() {
    let (stage, path) = named();
    std::fs::write(stage.home().join("script"), script(&stage, "fish")).expect("a file");
    let text = "source ~/script; complete --do-complete 'lanyard --profile work'";
    let found = shell(&stage, &path, &["fish", "--no-config", "-c", text]);
    assert!(found.contains("work\tme@work.example") && found.contains("workshop"), "{found}");
}

#[test]
fn elvish_completes_profiles() {
    let (stage, path) = named();
    // The table of completers is there at a prompt only, so this one stands in for it.
    let text = format!(
        "var edit: = (ns [&completion:=(ns [&arg-completer=[&]])])\n{}\n\
         $edit:completion:arg-completer[lanyard] lanyard --profile work",
        script(&stage, "elvish")
    );
    let found = shell(&stage, &path, &["elvish", "-norc", "-c", &text]);
    assert!(found.contains("work") && found.contains("workshop"), "{found}");
}

#[test]
fn a_shell_that_asks_gets_names_and_no_side_effects() {
    let (mut stage, _) = named();
    let before = stage.files();
    for name in ["bash", "zsh", "fish", "elvish", "powershell"] {
        stage.set("LANYARD_COMPLETE", name).set("_CLAP_COMPLETE_INDEX", "2").set("_CLAP_IFS", "\n");
        let answer = stage.run(&["--", "lanyard", "--profile", "work"]).ends(0);
        assert!(answer.stdout().contains("workshop") && answer.stderr.is_empty(), "{name}: {answer}");
    }
    assert_eq!(stage.files(), before);
}

/// The status of one check of the doctor.
fn status(report: &serde_json::Value, check: &str) -> Vec<String> {
    let all = report["checks"].as_array().expect("checks").iter();
    let of_check = all.filter(|one| one["check"] == check);
    of_check.map(|one| one["status"].as_str().unwrap_or_default().to_owned()).collect()
}

#[test]
fn the_doctor_finds_a_healthy_machine_healthy() {
    let (keyring, idp) = (Keyring::start(), Idp::honest());
    let stage = scene::stage_with_keyring(&idp, &keyring);
    let doctor = stage.run(&["doctor", "--json"]).ends(0);
    let report = doctor.json();
    assert_eq!(report["healthy"], true, "{report:#}");
    for check in ["configuration", "keychain", "network", "clock"] {
        assert!(status(&report, check).iter().all(|status| status == "ok"), "{check}: {report:#}");
    }
    assert!(!keyring.items().contains("label = "), "the probe is gone: {}", keyring.items());
    let text = stage.run(&["doctor"]).ends(0).stdout();
    for check in ["configuration", "keychain", "browser", "network", "clock"] {
        assert!(text.contains(check), "{text}");
    }
    assert!(!text.contains(&stage.home().display().to_string()), "{text}");
}

#[test]
fn the_doctor_ends_with_the_code_of_what_is_wrong() {
    // No keychain at all, one that is deaf, one without the service.
    let (deaf, bus) = (DeafBus::start(), Keyring::without_service());
    for address in [None, Some(deaf.address()), Some(bus.address().to_owned())] {
        let mut stage = Stage::new();
        if let Some(address) = address {
            stage.set("DBUS_SESSION_BUS_ADDRESS", address);
        }
        let doctor = stage.run(&["doctor", "--json"]).ends(7);
        let report = doctor.json();
        assert_eq!((&report["healthy"], status(&report, "keychain")), (&false.into(), vec!["failed".to_owned()]));
        assert!(report["checks"][1]["mend"].as_str().is_some_and(|mend| !mend.is_empty()), "{report:#}");
        assert!(doctor.stderr().contains("checks failed"), "{doctor}");
    }
    // A configuration that is wrong.
    let stage = Stage::new();
    stage.write_config("[profiles\n");
    let report = stage.run(&["doctor", "--json"]).ends(3).json();
    assert_eq!(status(&report, "configuration"), ["failed"]);
    // A service that is not there.
    let stage = Stage::new();
    let port = crate::peers::free_port();
    stage.write_config(&format!(
        "profile = \"p\"\n[profiles.p]\nservice = \"s\"\nstorage = \"plain\"\n\
         [services.s]\nissuer = \"http://127.0.0.1:{port}\"\n"
    ));
    let report = stage.run(&["doctor", "--json"]).ends(6).json();
    assert_eq!(
        (status(&report, "network"), status(&report, "clock")),
        (vec!["ok".into(), "failed".into()], vec!["skipped".into()])
    );
    // A configuration folder that nobody can write to.
    let stage = Stage::new();
    std::fs::create_dir_all(stage.config_dir()).expect("a folder");
    std::fs::set_permissions(stage.config_dir(), PermissionsExt::from_mode(0o777)).expect("a mode");
    let doctor = stage.run(&["doctor"]).ends(3);
    assert!(doctor.stdout().contains("others can reach") && doctor.stdout().contains("chmod 700"), "{doctor}");
}

#[test]
fn the_doctor_sees_a_clock_that_is_off() {
    let idp = Idp::honest();
    let stage = scene::stage_for(&idp);
    for (ahead, word) in [(3600, "behind"), (-3600, "ahead of")] {
        idp.change(|behaviour| behaviour.clock_ahead = ahead);
        let doctor = stage.run(&["doctor"]).ends(1);
        assert!(
            doctor.stdout().contains(&format!("this clock is 59 min {word}"))
                || doctor.stdout().contains(&format!("this clock is 60 min {word}")),
            "{doctor}"
        );
    }
}

#[test]
fn the_doctor_sends_no_token() {
    let idp = Idp::honest();
    let stage = scene::stage_for(&idp);
    scene::sign_in(&stage);
    idp.forget();
    stage.run(&["doctor", "--full"]).ends(0);
    let requests = idp.requests();
    assert!(!requests.is_empty() && requests.iter().all(|seen| seen.header("authorization").is_none()), "{requests:?}");
    scene::assert_no_leaks(&stage, &idp, &[&stage.home().display().to_string()]);
}
