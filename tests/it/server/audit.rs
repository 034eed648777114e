//! The audit: who sees it, what is told, and that nobody changes it unnoticed.

use std::path::Path;

use serde_json::{Value, json};

use super::served::{LOGIN, Served, token};
use crate::stage::Stage;
use crate::vaulted::{reveal, store_env};

const KEEP: &str =
    "CREATE TABLE kept AS SELECT * FROM audit_events; CREATE TABLE kept_heads AS SELECT * FROM audit_heads";
const BACK: &str = "DELETE FROM audit_events; INSERT INTO audit_events SELECT * FROM kept; \
                    DELETE FROM audit_heads; INSERT INTO audit_heads SELECT * FROM kept_heads";

fn entries(stage: &Stage, filters: &[&str]) -> Vec<Value> {
    let words = [&["audit", "list", "--json"], filters].concat();
    stage.run(&words).ends(0).json().as_array().expect("an array").clone()
}

#[test]
fn what_happened_is_listed_and_found() {
    let served = Served::new(&[]);
    let stage = served.client();
    store_env(&stage, "db", "A", "LNYCANARYvalue0123456789");
    store_env(&stage, "other", "A", "LNYCANARYvalue0123456789");
    reveal(&stage, "db", "A");
    let all = entries(&stage, &[]);
    assert!(!format!("{all:?}").contains("LNYCANARY"));
    let read = entries(&stage, &["--action", "secret.read"]);
    assert!(!read.is_empty());
    let (first, id) = (&read[0], read[0]["object"].as_str().unwrap());
    assert_eq!((&first["login"], &first["outcome"]), (&json!(LOGIN), &json!("done")));
    assert!(id.starts_with("cred") && first["address"] == "127.0.0.1" && first["token"].is_string());
    let of_one = entries(&stage, &["--object", id]);
    let actions: Vec<&str> = of_one.iter().map(|entry| entry["action"].as_str().unwrap()).collect();
    assert!(actions.contains(&"credential.create") && actions.contains(&"secret.read"), "{actions:?}");
    assert!(of_one.iter().all(|entry| entry["object"] == id));
    assert!(!entries(&stage, &["--actor", LOGIN, "--action", "credential.create"]).is_empty());
    assert!(entries(&stage, &["--actor", "nobody@example.com"]).is_empty());
    assert!(
        entries(&stage, &["--until", "2001-01-01"]).is_empty()
            && !entries(&stage, &["--since", "2001-01-01"]).is_empty()
    );
    // Whoever looks is told of as well.
    assert_eq!(entries(&stage, &["--limit", "1"])[0]["action"], "audit.list");
    let table = stage.run(&["audit", "list", "--action", "secret.read"]).ends(0).stdout();
    assert!(table.contains(LOGIN) && table.contains("secret.read"), "{table}");
    stage.run(&["audit", "list", "--since", "yesterday"]).ends(2);

    // Page by page, each entry comes once.
    let bearer = token(&stage);
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = served.api("GET", &format!("/audit?limit=3&action=credential.create{cursor}"), &bearer, "").json();
        seen.extend(page["items"].as_array().unwrap().iter().map(|entry| entry["sequence"].as_i64().unwrap()));
        let Some(next) = page["next"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert!(seen.len() == 2 && seen.is_sorted_by(|a, b| a > b), "{seen:?}");
    let first = served.api("GET", "/audit?limit=1", &bearer, "").json();
    let next = first["next"].as_str().unwrap();
    for bad in [
        format!("cursor={next}&action=secret.read"),
        "cursor=x".into(),
        "limit=0".into(),
        "limit=201".into(),
        "sort=actor".into(),
        "since=never".into(),
    ] {
        assert_eq!(served.api("GET", &format!("/audit?{bad}"), &bearer, "").status(), 400, "{bad}");
    }
    for bad in ["from=0", "from=999999", "limit=5001", "limit=-1"] {
        assert_eq!(served.api("GET", &format!("/audit/export?{bad}"), &bearer, "").status(), 400, "{bad}");
    }
    let narrow = Stage::new();
    narrow.write_config("[defaults]\nstorage = \"plain\"\n");
    served.sign_in_with(&narrow, "credentials.read");
    let refused = narrow.run(&["audit", "list"]).ends(5);
    assert!(refused.stderr().contains("audit.read"), "{refused}");
    let nowhere = crate::vaulted::stage();
    nowhere.run(&["audit", "list"]).ends(3);
}

#[test]
fn what_is_done_to_it_in_the_database_is_noticed_at_its_place() {
    let mut served = Served::new(&["--audit-checkpoints", "checkpoints.jsonl", "--audit-checkpoint-every", "3600"]);
    let stage = served.client();
    for name in ["a", "b", "c", "d"] {
        store_env(&stage, name, "A", "1");
    }
    stage.run(&["audit", "verify"]).ends(0);
    served.sql(KEEP);
    let changes = [
        ("UPDATE audit_events SET entry = replace(entry, 'done', 'gone') WHERE org <> 'server' AND sequence = 6", 6),
        ("UPDATE audit_events SET action = 'nothing' WHERE org <> 'server' AND sequence = 4", 4),
        ("DELETE FROM audit_events WHERE org <> 'server' AND sequence = 5", 5),
        (
            "UPDATE audit_events SET sequence = -3 WHERE org <> 'server' AND sequence = 3; \
          UPDATE audit_events SET sequence = 3 WHERE org <> 'server' AND sequence = 4; \
          UPDATE audit_events SET sequence = 4 WHERE org <> 'server' AND sequence = -3",
            3,
        ),
        ("DELETE FROM audit_events WHERE org <> 'server' AND sequence > 7", 8),
    ];
    for (change, place) in changes {
        served.sql(change);
        let told = stage.run(&["audit", "verify", "--json"]).ends(8);
        assert_eq!(told.json()["broken"]["sequence"], place, "{change}: {told}");
        assert!(told.stderr().contains(&format!("broken at entry {place}")), "{told}");
        let check = served.stage.run(&served.words(&["--check", "--listen", "127.0.0.1:0"])).ends(8);
        assert!(check.stderr().contains(&format!("broken at entry {place}")), "{check}");
        served.sql(BACK);
        stage.run(&["audit", "verify"]).ends(0);
        served.sql(BACK);
    }

    // Cut off at its end with all that tells of it: what was signed into a file does.
    assert_eq!(served.end("TERM"), Some(0));
    let file = std::fs::read_to_string(served.stage.home().join("checkpoints.jsonl")).unwrap();
    assert!(file.lines().count() >= 1, "{file}");
    let check = |more: &[&str]| {
        let words = [
            "serve",
            "--check",
            "--data",
            "server",
            "--master-key-file",
            "server/master.key",
            "--listen",
            "127.0.0.1:0",
        ];
        served.stage.run(&[&words[..], more].concat())
    };
    let held = ["--audit-checkpoints", "checkpoints.jsonl"];
    check(&held).ends(0);
    served.sql(
        "DELETE FROM audit_events WHERE org <> 'server' AND sequence > 7; DELETE FROM audit_checkpoints; \
         UPDATE audit_heads SET sequence = 7, hash = (SELECT hash FROM audit_events WHERE org <> 'server' AND sequence = 7) \
         WHERE org <> 'server'",
    );
    check(&[]).ends(0);
    let noticed = check(&held).ends(8);
    assert!(noticed.stderr().contains("it was there when it was signed"), "{noticed}");
    std::fs::write(served.stage.home().join("checkpoints.jsonl"), file.replacen("\"sequence\":", "\"sequence\":1", 1))
        .unwrap();
    assert!(check(&held).ends(8).stderr().contains("line 1 is no statement"));
}

/// Changes the lines of an export.
type Change<'c> = &'c dyn Fn(&mut Vec<String>);

#[test]
fn an_export_is_checked_where_no_server_is() {
    let served = Served::new(&["--audit-checkpoints", "checkpoints.jsonl", "--audit-checkpoint-every", "1"]);
    let stage = served.client();
    for name in ["a", "b", "c"] {
        store_env(&stage, name, "A", "LNYCANARYvalue0123456789");
    }
    let key = stage.run(&["audit", "key"]).ends(0).stdout().trim().to_owned();
    let exported = stage.run(&["audit", "export"]).ends(0).stdout();
    assert!(!exported.contains("LNYCANARY"));
    assert!(exported.contains("\"audit.export\""), "whoever exports is told of");
    // Another machine, which has the file and the key and nothing else.
    let elsewhere = Stage::new();
    let verify = |text: &str, key: &str, more: &[&str]| {
        std::fs::write(elsewhere.home().join("audit.jsonl"), text).unwrap();
        elsewhere.run(&[&["audit", "verify", "audit.jsonl", "--public-key", key, "--json"], more].concat())
    };
    assert_eq!(verify(&exported, &key, &[]).ends(0).json()["valid"], true);
    let lines: Vec<&str> = exported.lines().collect();
    let with = |change: &dyn Fn(&mut Vec<String>)| {
        let mut lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        change(&mut lines);
        lines.iter().map(|line| format!("{line}\n")).collect::<String>()
    };
    let changes: [(Change<'_>, i64); 5] = [
        (&|lines| lines[5] = lines[5].replace("\"at\":\"2", "\"at\":\"3"), 5),
        (&|lines| drop(lines.remove(3)), 3),
        (&|lines| lines.swap(4, 5), 4),
        (&|lines| lines.truncate(6), 6),
        (&|lines| lines[0] = lines[0].replace("\"end\":", "\"end\":1"), 1),
    ];
    for (change, place) in changes {
        let told = verify(&with(change), &key, &[]).ends(8);
        assert_eq!(told.json()["broken"]["sequence"], place, "{told}");
    }
    assert_eq!(verify(&exported, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", &[]).ends(8).json()["valid"], false);
    verify(&exported, "nonsense", &[]).ends(2);

    // What the server has signed before, in a file of its own.
    let file = served.stage.home().join("checkpoints.jsonl");
    let organization = serde_json::from_str::<Value>(lines[0]).unwrap()["organization"].as_str().unwrap().to_owned();
    wait_for(&file, &organization);
    std::fs::copy(&file, elsewhere.home().join("checkpoints.jsonl")).unwrap();
    let later = stage.run(&["audit", "export"]).ends(0).stdout();
    verify(&later, &key, &["--checkpoints", "checkpoints.jsonl"]).ends(0);
    // From the middle on it is an export, too.
    let part = stage.run(&["audit", "export", "--from", "4"]).ends(0).stdout();
    verify(&part, &key, &["--checkpoints", "checkpoints.jsonl"]).ends(0);
}

/// Waits until a file tells of something.
fn wait_for(file: &Path, word: &str) {
    let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while !std::fs::read_to_string(file).is_ok_and(|text| text.contains(word)) {
        assert!(std::time::Instant::now() < until, "{} does not tell of {word}", file.display());
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

#[test]
fn what_cannot_be_told_is_not_done() {
    let served = Served::new(&[]);
    let stage = served.client();
    store_env(&stage, "db", "A", "1");
    let bearer = token(&stage);
    let listed = served.api("GET", "/credential-configs", &bearer, "").json();
    let path = format!("/credential-configs/{}", listed["items"][0]["id"].as_str().unwrap());
    served.sql("ALTER TABLE audit_events RENAME TO away");
    let new = r#"{"name":"late","kind":"generic_env","data":{"A":"1"}}"#;
    for (method, path, body) in [
        ("POST", "/credential-configs".to_owned(), new),
        ("PATCH", path.clone(), r#"{"note":"late"}"#),
        ("DELETE", path.clone(), ""),
        ("POST", format!("{path}/secrets"), r#"{"data":{"A":"2"}}"#),
        ("GET", format!("{path}/secrets"), ""),
        ("GET", "/credential-configs".to_owned(), ""),
        ("POST", "/api-keys".to_owned(), r#"{"name":"late","permissions":["credentials.read"]}"#),
        ("GET", "/audit".to_owned(), ""),
        ("GET", "/audit/export".to_owned(), ""),
    ] {
        let refused = served.api(method, &path, &bearer, body);
        assert_eq!(refused.status(), 503, "{method} {path}: {}", refused.text());
        assert!(!refused.text().contains("audit_events"), "{}", refused.text());
    }
    assert_eq!(crate::wire::get(&format!("{}/healthz", served.url)).unwrap().status(), 200);
    served.sql("ALTER TABLE away RENAME TO audit_events");
    let after = served.api("GET", "/credential-configs", &bearer, "").json();
    assert_eq!(after["items"], listed["items"], "nothing was changed");
    assert_eq!(reveal(&stage, "db", "A"), "1");
    stage.run(&["audit", "verify"]).ends(0);
}
