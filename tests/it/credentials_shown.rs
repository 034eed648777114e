//! What a credential shows of itself, and of who uses it.

use std::fs::File;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use serde_json::json;

use crate::double::{Answer, Double};
use crate::stage::Stage;
use crate::terminal::Terminal;
use crate::vaulted::{self, list, store_env};

const ID: &str = "AKIAIOSFODNN7EXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

/// AWS keys, and a registry whose password is made of them.
fn used() -> Stage {
    let stage = vaulted::stage();
    let keys = ["credentials", "store", "aws", "--access-key-id", ID, "--secret-access-key", "-"];
    let more = ["--region", "us-east-1", "--name", "keys", "--no-verify"];
    stage.run_with(&[&keys[..], &more].concat(), SECRET.as_bytes()).ends(0);
    let url = "https://123456789012.dkr.ecr.eu-west-1.amazonaws.com";
    let ecr = ["credentials", "store", "registry", url, "--source", "keys", "--name", "images", "--no-verify"];
    stage.run(&ecr).ends(0);
    stage
}

#[test]
fn what_another_is_used_through_is_not_deleted_unless_forced() {
    let stage = used();
    stage.run(&["credentials", "delete", "keys", "--yes"]).shows(
        1,
        "",
        "error: keys is used by credential images\n  \
         next: change or delete those first, or delete it all the same with `--force`\n",
    );
    assert_eq!(list(&stage).len(), 2);
    stage.run(&["credentials", "delete", "keys", "--yes", "--force"]).shows(0, "", "✓ Deleted keys\n");
    assert_eq!(list(&stage)[0]["name"], "images");
    stage.run(&["credentials", "delete", "images", "--yes"]).ends(0);
}

#[test]
fn the_detail_tells_type_service_dates_and_who_uses_it() {
    let stage = used();
    stage.run(&["credentials", "update", "keys", "--tag", "prod", "--note", "The deploy job"]).ends(0);
    let shown = stage.run(&["credentials", "show", "keys"]).ends(0).stdout();
    for line in [
        "Name: keys",
        "Kind: aws_static (AWS access key)",
        "Service: aws",
        "Status: unverified",
        "Scope: organization",
        "Last used: never",
        "Last verified: never",
        "Expires: not known",
        "Used by: credential images",
        "access_key_id: AKIA****MPLE",
        "region: us-east-1",
        "secret_access_key: ****EKEY",
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line}:\n{shown}");
    }
    for date in ["Created: 20", "Updated: 20"] {
        assert!(shown.lines().any(|shown| shown.starts_with(date)), "{date}:\n{shown}");
    }
    assert!(shown.contains("prod") && shown.contains("The deploy job"), "{shown}");
    let told = stage.run(&["credentials", "show", "keys", "--json"]).ends(0).json();
    assert_eq!(told["used_by"], json!(["credential images"]));
    assert_eq!(told["secrets"], json!({ "secret_access_key": "****EKEY" }));
    assert_eq!((&told["kind"], &told["service"], &told["version"]), (&json!("aws_static"), &json!("aws"), &json!(1)));
    let images = stage.run(&["credentials", "show", "images", "--json"]).ends(0).json();
    assert_eq!(images["used_by"], json!([]));
}

#[test]
fn the_long_list_masks_identifiers_and_leaves_secrets_out() {
    let stage = used();
    stage.run(&["credentials", "delete", "images", "--yes"]).ends(0);
    stage.run(&["credentials", "list", "--long"]).shows(
        0,
        "Stored credentials (1):\nName: keys\nProvider: aws\nCreated: [DATE] [..]\nUpdated: [DATE] [..]\nFields:\n\
         access_key_id: AKIA****MPLE\nregion: us-east-1\n",
        "",
    );
}

#[test]
fn testing_shows_how_far_it_is_at_a_terminal_alone() {
    let double = Double::start(|_| {
        std::thread::sleep(std::time::Duration::from_millis(700));
        Answer::json(200, r#"{"locations":[]}"#)
    });
    let mut stage = vaulted::stage();
    stage.set("HCLOUD_ENDPOINT", format!("{}/v1", double.url()));
    let token = "0123456789abcdef".repeat(4);
    for name in ["one", "two"] {
        let store = ["credentials", "store", "hetzner", "--api-token", "-", "--no-verify", "--name", name];
        stage.run_with(&store, token.as_bytes()).ends(0);
    }
    let mut terminal = Terminal::start(&stage, &["credentials", "test"]);
    terminal.sees("testing (1 of 2)");
    terminal.sees("PASSED");
    assert_eq!(terminal.ends().code, Some(0));
    let elsewhere = stage.run(&["credentials", "test"]).ends(0);
    assert!(!elsewhere.stderr().contains("testing"), "{elsewhere}");
}

#[test]
fn an_export_that_lands_in_a_file_warns() {
    let stage = vaulted::stage();
    store_env(&stage, "db", "DATABASE_URL", "postgres://h/db");
    let words = ["credentials", "export", "db", "--format", "env"];
    let warned = |stdout: Stdio| {
        let output = stage.command(&words).stdin(Stdio::null()).stdout(stdout).stderr(Stdio::piped()).output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stderr).unwrap().contains("goes to a file")
    };
    let file = stage.home().join("out");
    assert!(warned(File::create(&file).unwrap().into()));
    assert!(std::fs::read_to_string(file).unwrap().contains("DATABASE_URL='postgres://h/db'"));
    assert!(!warned(Stdio::piped()));
}

#[test]
fn what_nobody_can_be_asked_about_is_skipped_and_is_no_failure() {
    let double = Double::start(|seen| {
        if seen.bears(&"0123456789abcdef".repeat(4)) {
            Answer::json(200, r#"{"locations":[]}"#)
        } else {
            Answer::json(401, r#"{"error":{"code":"unauthorized","message":"no"}}"#)
        }
    });
    let mut stage = vaulted::stage();
    stage.set("HCLOUD_ENDPOINT", format!("{}/v1", double.url()));
    store_env(&stage, "db", "DATABASE_URL", "postgres://h/db");
    std::fs::write(stage.home().join("key.p12"), [1, 2, 3]).unwrap();
    stage.run(&["credentials", "store", "file", "key.p12", "--name", "key"]).ends(0);
    let alone = stage.run(&["credentials", "test", "db"]).ends(0);
    assert_eq!(alone.stdout(), "db  SKIPPED: nobody can be asked whether it works\n");
    assert!(alone.stderr().starts_with("0 passed, 0 failed, 1 skipped, in "), "{alone}");

    let hetzner = |name: &str, token: &str| {
        let store = ["credentials", "store", "hetzner", "--api-token", "-", "--no-verify", "--name", name];
        stage.run_with(&store, token.repeat(4).as_bytes()).ends(0);
    };
    hetzner("good", "0123456789abcdef");
    let all = stage.run(&["credentials", "test"]).ends(0);
    assert!(all.stderr().starts_with("1 passed, 0 failed, 2 skipped, in "), "{all}");
    hetzner("wrong", "fedcba9876543210");
    let all = stage.run(&["credentials", "test"]).ends(8);
    assert!(all.stderr().starts_with("1 passed, 1 failed, 2 skipped, in "), "{all}");
    assert!(all.stderr().contains("error: 1 of 4 did not pass\n"), "{all}");
    let told = stage.run(&["credentials", "test", "--json"]).ends(8).json();
    let told: Vec<_> =
        told.as_array().unwrap().iter().map(|one| json!([one["name"], one["passed"], one["skipped"]])).collect();
    assert_eq!(
        told,
        [
            json!(["db", false, true]),
            json!(["good", true, false]),
            json!(["key", false, true]),
            json!(["wrong", false, false])
        ]
    );
    // Where none is skipped the line says nothing of it.
    let good = stage.run(&["credentials", "test", "good"]).ends(0);
    assert!(good.stderr().starts_with("1 passed, 0 failed, in "), "{good}");
}

#[test]
fn the_detail_tells_the_scopes_of_the_last_verification() {
    let scopes = Arc::new(Mutex::new(Some("repo, read:packages")));
    let double = Double::start({
        let scopes = Arc::clone(&scopes);
        move |_| {
            let answer = Answer::json(200, r#"{"login":"octocat"}"#);
            match *scopes.lock().unwrap() {
                Some(scopes) => answer.header(&format!("X-OAuth-Scopes: {scopes}")),
                None => answer,
            }
        }
    });
    let stage = vaulted::stage();
    let url = double.url();
    let store = |more: &[&str]| {
        let words = ["credentials", "store", "git", "git.corp.example", "--service", "github", "--endpoint", &url];
        let rest = ["--username", "octocat", "--token", "-", "--name", "gh"];
        stage.run_with(&[&words[..], &rest, more].concat(), b"ghp_0123456789abcdefghijklmnopqrstuvwxyz").ends(0);
    };
    let told = || {
        let shown = stage.run(&["credentials", "show", "gh"]).ends(0).stdout();
        let line = shown.lines().find_map(|line| line.strip_prefix("Scopes: ")).map(str::to_owned);
        (line, stage.run(&["credentials", "show", "gh", "--json"]).ends(0).json()["scopes"].clone())
    };
    store(&[]);
    assert_eq!(told(), (Some("repo, read:packages".into()), json!(["repo", "read:packages"])));
    *scopes.lock().unwrap() = Some("gist");
    stage.run(&["credentials", "test"]).ends(0);
    assert_eq!(told(), (Some("gist".into()), json!(["gist"])));
    assert!(list(&stage)[0].get("scopes").is_none(), "a list does not read them");
    let many = "repo, admin:org, admin:public_key, admin:repo_hook, admin:org_hook, gist, notifications, user, project, \
                delete_repo, write:packages, delete:packages, admin:gpg_key, codespace, copilot, write:network_configurations";
    *scopes.lock().unwrap() = Some(many);
    stage.run(&["credentials", "test"]).ends(0);
    assert_eq!(told().0.as_deref(), Some(many), "none is left out");
    *scopes.lock().unwrap() = None;
    stage.run(&["credentials", "test"]).ends(0);
    assert_eq!(told(), (None, json!([])));
    *scopes.lock().unwrap() = Some("repo");
    stage.run(&["credentials", "test"]).ends(0);
    store(&["--replace", "--no-verify"]);
    assert_eq!(told(), (None, json!([])), "nobody was asked about the new one");
}
