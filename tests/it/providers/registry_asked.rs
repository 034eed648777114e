//! What somebody is told and asked who stores a login for a registry without flags, by the sort of registry.

use crate::canary::{Canary, Sweep};
use crate::stage::Stage;
use crate::terminal::Terminal;
use crate::vaulted::{self, list, reveal};

const ECR: &str = "123456789012.dkr.ecr.eu-west-1.amazonaws.com";
const STORE: [&str; 3] = ["credentials", "store", "registry"];

/// Stores AWS keys that nobody is asked about.
fn keys(stage: &Stage, name: &str) {
    let words = ["credentials", "store", "aws", "--access-key-id", "AKIAIOSFODNN7EXAMPLE", "--no-verify"];
    let more = ["--secret-access-key", "-", "--name", name];
    stage.run_with(&[&words[..], &more].concat(), b"wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY").ends(0);
}

/// The words of each sort: its address, what the hint says, and the first question.
const SORTS: [(&[&str], &[&str], &str); 8] = [
    (&["ghcr.io"], &["GitHub user name", "read:packages", "https://github.com/settings/tokens"], "User name"),
    (&["europe-docker.pkg.dev"], &["_json_key", "--source NAME"], "Key file of the service account (JSON)"),
    (&["corp.azurecr.io"], &["a token of the registry", "service principal"], "User name"),
    (&["docker.io"], &["access token rather than the password", "https://app.docker.com/settings"], "User name"),
    (&["harbor.example.com", "--flavour", "harbor"], &["robot$NAME", "robot$PROJECT+NAME"], "User name"),
    (&["corp.jfrog.io"], &["identity token"], "User name"),
    (&["registry.example.com"], &["registry.example.com takes", "--flavour harbor"], "User name"),
    (&["https://charts.example.com/stable"], &["Helm repository at charts.example.com"], "User name"),
];

#[test]
fn each_sort_is_asked_for_with_a_hint_of_its_own() {
    let stage = vaulted::stage();
    for (words, hints, question) in SORTS {
        let words = [&STORE[..], words].concat();
        let mut terminal = Terminal::start(&stage, &words);
        let hint = terminal.sees(question);
        assert!(hints.iter().all(|words| hint.contains(words)), "{words:?}: {hint}");
        terminal.presses("\x03");
        let ending = terminal.ends();
        assert_eq!((ending.code, ending.echoes), (Some(130), true), "{ending:?}");
    }
    assert!(list(&stage).is_empty());
}

#[test]
fn without_a_terminal_the_hint_comes_with_the_flag_that_is_missing() {
    let stage = vaulted::stage();
    for (words, hints, question) in SORTS {
        let refused = stage.run(&[&STORE[..], words].concat()).ends(2);
        let told = refused.stderr();
        assert!(hints.iter().all(|words| told.contains(words)), "{words:?}: {told}");
        assert!(told.contains(&format!("nobody can answer \"{question}\"")), "{told}");
        let flag = if question == "User name" { "next: give --username VALUE" } else { "next: give --password @FILE" };
        assert!(told.contains(flag), "{told}");
    }
    // Where nothing is missing nothing is said.
    let words = [&STORE[..], &["ghcr.io", "--username", "alice", "--password", "-", "--no-verify"]].concat();
    let stored = stage.run_with(&words, b"ghp_0123456789abcdef").ends(0);
    assert_eq!(stored.stderr(), "✓ Stored ghcr.io (registry login), unverified\n");
}

#[test]
fn a_key_file_is_named_and_tells_its_user() {
    let stage = vaulted::stage();
    let key = "{\n  \"type\": \"service_account\",\n  \"client_email\": \"ci@p.iam.gserviceaccount.com\"\n}";
    std::fs::write(stage.home().join("key.json"), key).unwrap();
    let mut terminal =
        Terminal::start(&stage, &[&STORE[..], &["europe-docker.pkg.dev", "--no-verify", "--name", "gar"]].concat());
    terminal.sees("Key file of the service account (JSON)");
    terminal.types("~/key.json");
    let ending = terminal.ends();
    assert_eq!(ending.code, Some(0), "{ending:?}");
    assert!(!ending.screen.contains("User name"), "{ending:?}");
    assert_eq!(list(&stage)[0]["fields"]["username"], "_json_key");
    assert_eq!(reveal(&stage, "gar", "password"), key);

    let mut terminal = Terminal::start(&stage, &[&STORE[..], &["eu.gcr.io", "--no-verify"]].concat());
    terminal.sees("Key file of the service account (JSON)");
    terminal.types("nowhere.json");
    let ending = terminal.ends();
    assert_eq!(ending.code, Some(2), "{ending:?}");
    assert!(ending.screen.contains("cannot read the value of --password"), "{ending:?}");
    assert_eq!(list(&stage).len(), 1);
}

#[test]
fn the_only_aws_credential_is_the_source_of_an_ecr_registry() {
    let stage = vaulted::stage();
    let store = [&STORE[..], &[ECR, "--no-verify"]].concat();
    let none = stage.run(&store).ends(2);
    let told = none.stderr();
    assert!(told.contains("`aws ecr get-login-password`"), "{told}");
    assert!(told.contains("(AWS access key or AWS role), and none is stored"), "{told}");
    assert!(told.contains("next: `lanyard credentials store aws`, then this again"), "{told}");

    keys(&stage, "only");
    // One of another kind is none.
    let other = ["credentials", "store", "env", "A=-", "--name", "env"];
    stage.run_with(&other, b"value").ends(0);
    let stored = stage.run(&[&store[..], &["--name", "silent"]].concat()).ends(0);
    let told = "ECR registry is used through only\n✓ Stored silent (ECR registry), unverified\n";
    assert_eq!(stored.stderr(), told);
    let mut terminal = Terminal::start(&stage, &[&store[..], &["--name", "typed"]].concat());
    terminal.sees("ECR registry is used through only");
    assert_eq!(terminal.ends().code, Some(0));
    for name in ["silent", "typed"] {
        let shown = stage.run(&["credentials", "show", name, "--json"]).ends(0).json();
        assert_eq!(shown["fields"]["source"], "only", "{shown}");
        assert_eq!(shown["fields"]["region"], "eu-west-1", "{shown}");
    }
}

#[test]
fn of_several_aws_credentials_the_person_chooses() {
    let stage = vaulted::stage();
    keys(&stage, "first");
    keys(&stage, "second");
    // What belongs to another project is not seen from here.
    let words = ["credentials", "store", "aws", "--access-key-id", "AKIAIOSFODNN7EXAMPLE", "--no-verify"];
    let more = ["--secret-access-key", "-", "--name", "theirs", "--for-project", "theirs"];
    stage.run_with(&[&words[..], &more].concat(), b"wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY").ends(0);

    let store = [&STORE[..], &[ECR, "--no-verify", "--name", "ecr"]].concat();
    let refused = stage.run(&store).ends(2);
    assert!(refused.stderr().contains("next: give --source with one of first, second\n"), "{refused}");
    let mut terminal = Terminal::start(&stage, &store);
    let hint = terminal.sees("Name of the AWS credential");
    assert!(hint.contains("made from an AWS credential in the vault"), "{hint}");
    terminal.sees("second: AWS access key");
    terminal.presses("\x1b[B").presses("\r");
    assert_eq!(terminal.ends().code, Some(0));
    let shown = stage.run(&["credentials", "show", "ecr", "--json"]).ends(0).json();
    assert_eq!(shown["fields"]["source"], "second");

    // A password that was made elsewhere needs none of them, and its user is known.
    let words = [&STORE[..], &[ECR, "--password", "-", "--no-verify", "--name", "made"]].concat();
    stage.run_with(&words, b"made-elsewhere").ends(0);
    let shown = stage.run(&["credentials", "show", "made", "--json"]).ends(0).json();
    assert_eq!(shown["fields"]["username"], "AWS");
}

#[test]
fn a_robot_keeps_its_dollar_and_its_secret_stays_hidden() {
    let stage = vaulted::stage();
    let canary = Canary::new();
    let words = ["harbor.example.com", "--flavour", "harbor", "--no-verify", "--name", "robot"];
    let mut terminal = Terminal::start(&stage, &[&STORE[..], &words].concat());
    terminal.sees("robot$PROJECT+NAME");
    terminal.sees("User name");
    terminal.types("robot$shop+ci");
    terminal.sees("Password or token: ");
    terminal.types(canary.text());
    let ending = terminal.ends();
    assert_eq!((ending.code, ending.echoes), (Some(0), true), "{ending:?}");
    assert!(!ending.screen.contains(canary.text()), "{ending:?}");
    assert_eq!(list(&stage)[0]["fields"]["username"], "robot$shop+ci");
    let shown = stage.run(&["credentials", "show", "robot", "--json"]).ends(0).json();
    let last = &canary.text()[canary.text().len() - 4..];
    assert_eq!(shown["secrets"]["password"], format!("****{last}"));
    let mut sweep = Sweep::for_canaries(&[canary]);
    stage.sweep(&mut sweep);
    sweep.assert_clean();
}
