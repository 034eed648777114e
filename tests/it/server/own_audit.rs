//! The server's own audit, and that of organizations that are gone, for whoever runs the server.

use serde_json::{Value, json};

use super::organizations::organization;
use super::served::{Browser, LOGIN, PASSPHRASE, Served, token};
use crate::stage::{Outcome, Stage};

const AUDIT: &[&str] = &["server", "audit", "--data", "server", "--master-key-file", "server/master.key"];
const TOKENS: &[&str] = &["server", "rotate-signing-key", "--data", "server", "--master-key-file", "server/master.key"];

/// What whoever runs the server asks of the audit.
fn ask(served: &Served, more: &[&str]) -> Outcome {
    served.stage.run(&[AUDIT, more].concat())
}

fn listed(served: &Served, more: &[&str]) -> Vec<Value> {
    ask(served, &[more, &["--json"]].concat()).ends(0).json().as_array().expect("an array").clone()
}

fn actions(entries: &[Value]) -> Vec<&str> {
    entries.iter().map(|entry| entry["action"].as_str().unwrap()).collect()
}

/// Holds that an export is whole, and that every change to it is found, on a machine that has nothing else.
fn is_checked_elsewhere(exported: &str, key: &str) {
    let elsewhere = Stage::new();
    let verify = |text: &str| {
        std::fs::write(elsewhere.home().join("audit.jsonl"), text).unwrap();
        elsewhere.run(&["audit", "verify", "audit.jsonl", "--public-key", key, "--json"])
    };
    assert_eq!(verify(exported).ends(0).json()["valid"], true);
    let lines: Vec<&str> = exported.lines().collect();
    let changed = exported.replacen("\"outcome\":\"d", "\"outcome\":\"x", 1);
    let cut = format!("{}\n", lines[..lines.len() - 1].join("\n"));
    for other in [changed, cut] {
        assert_eq!(verify(&other).ends(8).json()["valid"], false, "{other}");
    }
}

#[test]
fn what_happened_on_the_server_is_listed_and_exported() {
    let mut served = Served::new(&[]);
    let alice = served.manager();
    let wrong = [("login", "nobody@example.com"), ("passphrase", "LNYCANARYwrong wrong")];
    assert_eq!(Browser::new(&served.url).post("/sign-in", &wrong).status(), 403);
    let late = [
        ("token", "lny_inv_none"),
        ("organization", "Late"),
        ("login", "late@example.com"),
        ("passphrase", PASSPHRASE),
        ("again", PASSPHRASE),
    ];
    assert_eq!(Browser::new(&served.url).post("/setup", &late).status(), 409);
    served.stage.run(TOKENS).ends(0);
    let own = listed(&served, &[]);
    // Whoever looks is in it, the newest first.
    assert_eq!(actions(&own)[..2], ["audit.list", "signing-key.replace"], "{own:#?}");
    assert_eq!((&own[0]["agent"], own[0].get("actor")), (&json!("lanyard server"), None));
    for action in ["sign-in", "organization.create"] {
        let denied = own.iter().find(|entry| entry["action"] == action).expect("it was tried");
        assert_eq!((&denied["outcome"], &denied["address"]), (&json!("denied"), &json!("127.0.0.1")), "{denied}");
    }
    assert!(own.iter().all(|entry| entry["organization"] == "server"));
    assert_eq!(listed(&served, &["--limit", "2"]).len(), 2);
    let table = ask(&served, &[]).ends(0).stdout();
    assert!(table.contains("signing-key.replace") && table.contains("ACTION"), "{table}");

    // That of an organization: its own members see that somebody looked.
    let acme = organization(&served, &token(&alice));
    let theirs = listed(&served, &["--organization", &acme]);
    assert!(theirs.iter().any(|entry| entry["login"] == LOGIN && entry["organization"] == *acme), "{theirs:#?}");
    let seen = alice.run(&["audit", "list", "--action", "audit.list", "--json"]).ends(0).json();
    let seen = seen.as_array().unwrap().iter().filter(|entry| entry["agent"] == "lanyard server");
    assert_eq!(seen.count(), 1);
    for unknown in ["org_none", "*", "", "' OR ''='"] {
        let refused = ask(&served, &["--organization", unknown]).ends(2);
        let told = refused.stderr();
        assert!(told.contains("this server has no audit of") && told.contains(&acme), "{refused}");
        assert!(told.contains("server") && refused.stdout().is_empty(), "{refused}");
    }

    // Out of the server, signed as the exports of members are.
    let key = ask(&served, &["--key"]).ends(0).stdout().trim().to_owned();
    assert_eq!(alice.run(&["audit", "key"]).ends(0).stdout().trim(), key);
    assert_eq!(ask(&served, &["--key", "--json"]).ends(0).json(), json!({ "algorithm": "Ed25519", "key": key }));
    let exported = ask(&served, &["--export"]).ends(0).stdout();
    assert!(exported.contains("\"audit.export\"") && !exported.contains("LNYCANARY"), "{exported}");
    is_checked_elsewhere(&exported, &key);
    is_checked_elsewhere(&ask(&served, &["--export", "--from", "3"]).ends(0).stdout(), &key);
    is_checked_elsewhere(&ask(&served, &["--export", "--organization", &acme]).ends(0).stdout(), &key);
    let beyond = ask(&served, &["--export", "--from", "9999"]).ends(2);
    assert!(beyond.stderr().contains("has no entry 9999") && beyond.stdout().is_empty(), "{beyond}");
    for wrong in [&["--from", "2"][..], &["--export", "--limit", "3"], &["--key", "--export"], &["--limit", "0"]] {
        ask(&served, wrong).ends(2);
    }
    alice.run(&["audit", "verify"]).ends(0);

    // It needs no server that runs, and shows nothing that it cannot tell.
    assert_eq!(served.end("TERM"), Some(0));
    assert_eq!(actions(&listed(&served, &["--limit", "1"])), ["audit.list"]);
    served.sql("ALTER TABLE audit_heads RENAME TO away");
    for more in [&[][..], &["--export"], &["--key"], &["--organization", &acme]] {
        let refused = ask(&served, more);
        assert!(refused.code != Some(0) && refused.stdout().is_empty(), "{refused}");
    }
    served.sql("ALTER TABLE away RENAME TO audit_heads");
    served.stage.run(&served.words(&["--check", "--listen", "127.0.0.1:0"])).ends(0);
    let nowhere = Stage::new().run(AUDIT).ends(3);
    assert!(nowhere.stderr().contains("no server is kept in"), "{nowhere}");
}

#[test]
fn the_audit_of_a_deleted_organization_is_read_and_told_of_elsewhere() {
    let served = Served::new(&[]);
    let alice = served.manager();
    let made = served.api("POST", "/organizations", &token(&alice), "{\"name\":\"Zenith\"}");
    assert_eq!(made.status(), 201, "{}", made.text());
    let id = made.json()["id"].as_str().unwrap().to_owned();
    let owner = served.client_of(&served.browser(), Some(&id));
    let gone = served.api_with(
        "DELETE",
        &format!("/organizations/{id}?name=Zenith"),
        &token(&owner),
        "",
        &["If-Match: \"1\""],
    );
    assert_eq!(gone.status(), 204, "{}", gone.text());
    let length = || served.sql(&format!("SELECT sequence FROM audit_heads WHERE org = '{id}'"));
    let before = length();
    let entries = listed(&served, &["--organization", &id]);
    assert_eq!(entries[0]["action"], "organization.delete", "{entries:#?}");
    assert!(entries.iter().any(|entry| entry["action"] == "organization.create" || entry["login"] == LOGIN));
    let key = ask(&served, &["--key"]).ends(0).stdout().trim().to_owned();
    let exported = ask(&served, &["--organization", &id, "--export"]).ends(0).stdout();
    assert_eq!(exported.lines().count(), 1 + before.trim().parse::<usize>().unwrap());
    is_checked_elsewhere(&exported, &key);
    // Nobody adds to it any more: the server's own audit tells who looked.
    assert_eq!(length(), before);
    let own = listed(&served, &[]);
    for action in ["audit.list", "audit.export"] {
        let told = own.iter().filter(|entry| entry["action"] == action && entry["object"] == *id);
        assert_eq!(told.count(), 1, "{action}: {own:#?}");
    }
    served.stage.run(&served.words(&["--check", "--listen", "127.0.0.1:0"])).ends(0);
}
