//! The whole server in one file, and back: while it goes on, on another machine, into the other kind of database.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use super::postgres::Postgres;
use super::served::{Browser, Served, api, token};
use super::team::{invite, join};
use crate::canary::{Canary, Sweep};
use crate::stage::Stage;
use crate::vaulted::{list, reveal, store_env};

const VALUE: &str = "LNYCANARYvalue0123456789";

/// The words of a command on a server's own machine.
pub fn at<'w>(command: &[&'w str], more: &[&'w str]) -> Vec<&'w str> {
    let place = ["--data", "server", "--master-key-file", "server/master.key"];
    [&["server"], command, &place, more].concat()
}

#[test]
fn a_place_where_no_server_is_is_named_and_nothing_is_made_there() {
    let stage = Stage::new();
    for command in [&["backup", "copy"][..], &["rotate-key"]] {
        let told = stage.run(&at(command, &[])).ends(3);
        assert!(told.stderr().contains("no server is kept in") && told.stderr().contains("`--data`"), "{told}");
        assert!(!stage.home().join("copy").exists() && !stage.home().join("server/server.db").exists());
    }
}

/// An API key of the owner's that may read.
pub fn api_key(served: &Served) -> String {
    let stage = Stage::new();
    stage.write_config("[defaults]\nstorage = \"plain\"\n");
    served.sign_in_with(&stage, "credentials.read,credentials.write,secrets.read,keys.manage");
    let wanted = json!({ "name": "ci", "permissions": ["credentials.read", "credentials.write", "secrets.read"] });
    let made = served.api("POST", "/api-keys", &token(&stage), &wanted.to_string());
    made.json()["key"].as_str().unwrap().to_owned()
}

/// Another machine that has the master key of a server, and nothing else of it.
pub fn with_key_of(served: &Served) -> Stage {
    let stage = Stage::new();
    let data = stage.home().join("server");
    std::fs::create_dir(&data).unwrap();
    std::fs::set_permissions(&data, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    std::fs::copy(served.data().join("master.key"), data.join("master.key")).unwrap();
    stage
}

#[test]
fn a_backup_under_load_comes_back_on_another_machine() {
    let served = Served::new(&[]);
    let stage = served.client();
    store_env(&stage, "db", "A", VALUE);
    let key = api_key(&served);
    let signed_in = token(&stage);
    let session = served.browser().cookie().unwrap().to_owned();
    let manager = served.manager();
    let invited = ["reader", "member"].map(|role| invite(&manager, role));
    join(&served, &invited[0], "bob@example.com");
    let (ends, acknowledged) = (AtomicBool::new(false), Mutex::new(Vec::new()));
    let before = std::thread::scope(|scope| {
        for writer in 0..3 {
            let (ends, acknowledged, key, url) = (&ends, &acknowledged, &key, &served.url);
            scope.spawn(move || {
                for number in 0.. {
                    if ends.load(Ordering::SeqCst) {
                        return;
                    }
                    let name = format!("w{writer}n{number}");
                    let body = json!({ "name": name, "kind": "generic_env", "data": { "A": name } }).to_string();
                    let answer = api(url, "POST", "/credential-configs", key, &body);
                    assert_eq!(answer.status(), 201, "{}", answer.text());
                    acknowledged.lock().unwrap().push(name);
                }
            });
        }
        std::thread::sleep(std::time::Duration::from_millis(400));
        let before = acknowledged.lock().unwrap().clone();
        served.stage.run(&at(&["backup", "backup.1"], &[])).ends(0);
        ends.store(true, Ordering::SeqCst);
        before
    });
    assert!(!before.is_empty());
    let file = served.stage.home().join("backup.1");
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&file).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    let bytes = std::fs::read(&file).unwrap();
    let canaries = [Canary::of(VALUE), Canary::of(key.rsplit('_').nth(1).unwrap())];
    Sweep::for_canaries(&canaries).bytes("the backup", &bytes).assert_clean();
    assert!(!crate::canary::contains(&bytes, b"alice@example.com"), "names do not stand in it, either");
    served.stage.run(&at(&["backup", "backup.1"], &[])).ends(8);
    // What is made after the backup is not in it: neither a credential nor a sign-in.
    store_env(&stage, "late", "A", "1");
    let late = token(&served.client());

    let other = with_key_of(&served);
    std::fs::copy(&file, other.home().join("backup.1")).unwrap();
    // It is tried first, and leaves nothing.
    let tried = other.run(&at(&["restore", "backup.1"], &["--drill", "--json"])).ends(0).json();
    assert_eq!(tried["closed"], json!([]));
    let count = usize::try_from(tried["opened"].as_u64().unwrap()).unwrap();
    assert!(count > before.len(), "{tried}");
    assert!(!other.home().join("server/server.db").exists());
    let told = other.run(&at(&["restore", "backup.1"], &["--json"])).ends(0);
    assert!(told.json()["rows"].as_i64().unwrap() > 0);
    other.run(&at(&["restore", "backup.1"], &[])).ends(1);
    let restored = Served::on(other, &[]);
    // Nor is an invitation, which may have been withdrawn since.
    let page = |link: &str| Browser::new(&restored.url).get(link.strip_prefix(&served.url).unwrap()).status();
    assert_eq!(page(&invited[1]), 409);
    for token in [&signed_in, &late] {
        assert_eq!(restored.api("GET", "/credential-configs", token, "").status(), 401);
    }
    let cookie = format!("Cookie: {session}");
    let home = crate::wire::send("GET", &format!("{}/", restored.url), &[&cookie], "").unwrap();
    assert_eq!(home.status(), 303, "the session is over");
    let (mut names, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = restored.api("GET", &format!("/credential-configs?limit=200{cursor}"), &key, "").json();
        for one in page["items"].as_array().unwrap() {
            let path = format!("/credential-configs/{}/secrets", one["id"].as_str().unwrap());
            let opened = restored.api("GET", &path, &key, "");
            assert_eq!(opened.status(), 200, "{one}: {}", opened.text());
            let name = one["name"].as_str().unwrap();
            assert_eq!(opened.json()["data"]["A"], if name == "db" { VALUE } else { name });
            names.push(name.to_owned());
        }
        let Some(next) = page["next"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    for name in &before {
        assert!(names.contains(name), "{name} was there before the backup");
    }
    assert!(!names.contains(&"late".to_owned()));
    assert_eq!(names.len(), count, "each that the drill opened, and no other");
    // The owner signs in again and goes on; the audit holds, and tells of it.
    let again = restored.client();
    store_env(&again, "new", "A", "2");
    again.run(&["audit", "verify"]).ends(0);
    let told = again.run(&["audit", "list", "--action", "server.restore", "--json"]).ends(0).json();
    assert_eq!(told.as_array().unwrap().len(), 1, "{told}");
}

#[test]
fn a_damaged_backup_or_another_key_changes_nothing() {
    let served = Served::new(&[]);
    let stage = served.client();
    store_env(&stage, "db", "A", VALUE);
    served.stage.run(&at(&["backup", "backup.1"], &[])).ends(0);
    let good = std::fs::read(served.stage.home().join("backup.1")).unwrap();
    let other = with_key_of(&served);
    let file = other.home().join("backup.1");
    let database = other.home().join("server/server.db");
    let step = (good.len() / 12).max(1);
    for place in (0..good.len()).step_by(step).chain([good.len() - 1, 30, 200]) {
        let mut damaged = good.clone();
        damaged[place] ^= 1;
        std::fs::write(&file, &damaged).unwrap();
        let refused = other.run(&at(&["restore", "backup.1"], &[]));
        assert!(matches!(refused.code, Some(7 | 8)), "byte {place}: {refused}");
        assert!(!database.exists(), "byte {place}");
    }
    for (bytes, why) in [
        (good[..good.len() - 1].to_vec(), "cut off"),
        (good[..good.len() / 2].to_vec(), "cut off in the middle"),
        ([&good[..], b"x"].concat(), "longer"),
        (Vec::new(), "empty"),
    ] {
        std::fs::write(&file, bytes).unwrap();
        let refused = other.run(&at(&["restore", "backup.1"], &[])).ends(8);
        assert!(!database.exists() && refused.stderr().contains("cannot be brought back"), "{why}: {refused}");
    }
    // A path that leads to no file is none of the backup's faults.
    std::fs::create_dir(other.home().join("folder")).unwrap();
    for (path, more) in [("nofile", &[][..]), ("nofile", &["--drill"]), ("folder", &[])] {
        let absent = other.run(&at(&["restore", path], more)).ends(1);
        let named = absent.stderr().contains(&format!("{path} cannot be read: "));
        assert!(named && absent.stderr().contains("look at the path") && !database.exists(), "{absent}");
        assert!(!absent.stderr().contains("another backup"), "{absent}");
    }
    std::fs::write(&file, &good).unwrap();
    let stranger = Stage::new();
    std::fs::copy(&file, stranger.home().join("backup.1")).unwrap();
    let none = stranger.run(&at(&["restore", "backup.1"], &[])).ends(7);
    assert!(none.stderr().contains("is not in"), "{none}");
    let wrong = Served::new(&[]);
    std::fs::copy(&file, wrong.stage.home().join("backup.1")).unwrap();
    let before = std::fs::read(wrong.data().join("server.db")).unwrap();
    let refused = wrong.stage.run(&at(&["restore", "backup.1", "--replace"], &[])).ends(7);
    assert!(refused.stderr().contains("is of another server"), "{refused}");
    assert!(before == std::fs::read(wrong.data().join("server.db")).unwrap());
    // On a server that goes on: what was there before gives way, and the owner signs in again.
    store_env(&stage, "later", "A", "1");
    served.stage.run(&at(&["restore", "backup.1"], &[])).ends(1);
    served.stage.run(&at(&["restore", "backup.1", "--replace"], &[])).ends(0);
    stage.run(&["credentials", "list"]).ends(4);
    let again = served.client();
    assert_eq!(list(&again).len(), 1);
    assert_eq!(reveal(&again, "db", "A"), VALUE);
    store_env(&again, "after", "A", "3");
    assert_eq!(reveal(&again, "after", "A"), "3");
    again.run(&["audit", "verify"]).ends(0);
}

#[test]
fn the_backup_of_another_server_is_not_brought_back_under_one_that_runs() {
    let (served, mut other) = (Served::new(&[]), Served::new(&[]));
    store_env(&served.client(), "db", "A", VALUE);
    served.stage.run(&at(&["backup", "b"], &[])).ends(0);
    std::fs::copy(served.stage.home().join("b"), other.stage.home().join("b")).unwrap();
    let (theirs, own) = (served.data().join("master.key"), other.data().join("master.key"));
    let kept = std::fs::read(&own).unwrap();
    std::fs::copy(&theirs, &own).unwrap();
    let refused = other.stage.run(&at(&["restore", "b", "--replace"], &[])).ends(1);
    assert!(refused.stderr().contains("stop it with `lanyard server stop`"), "{refused}");
    // It goes on with what it had.
    std::fs::write(&own, kept).unwrap();
    assert!(list(&other.client()).is_empty());
    assert_eq!(other.end("TERM"), Some(0));
    std::fs::copy(&theirs, &own).unwrap();
    other.stage.run(&at(&["restore", "b", "--replace"], &[])).ends(0);
    other.again();
    assert_eq!(reveal(&other.client(), "db", "A"), VALUE);
}

#[test]
fn a_drill_names_what_would_not_open() {
    let served = Served::new(&[]);
    let stage = served.client();
    store_env(&stage, "db", "A", VALUE);
    store_env(&stage, "other", "A", "1");
    served.sql("UPDATE secrets SET sealed = x'00' WHERE credential = (SELECT id FROM credentials WHERE name = 'db')");
    served.stage.run(&at(&["backup", "backup.1"], &[])).ends(0);
    let told = served.stage.run(&at(&["restore", "backup.1"], &["--drill"])).ends(8);
    assert!(told.stderr().contains("/db does not open") && !told.stderr().contains("/other"), "{told}");
    let told = served.stage.run(&at(&["restore", "backup.1"], &["--drill", "--json"])).ends(8);
    assert_eq!((&told.json()["opened"], told.json()["closed"].as_array().unwrap().len()), (&json!(1), 1), "{told}");
    assert_eq!(reveal(&stage, "other", "A"), "1");
    served.sql("UPDATE audit_events SET entry = replace(entry, 'done', 'gone') WHERE org <> 'server' AND sequence = 2");
    served.stage.run(&at(&["backup", "backup.2"], &[])).ends(0);
    let told = served.stage.run(&at(&["restore", "backup.2"], &["--drill"])).ends(8);
    assert!(told.stderr().contains("is broken at entry 2"), "{told}");
    served.stage.run(&at(&["restore", "backup.2"], &["--drill", "--replace"])).ends(2);
}

#[test]
fn a_server_moves_to_postgresql_and_back() {
    let served = Served::new(&[]);
    let stage = served.client();
    store_env(&stage, "db", "A", VALUE);
    let key = api_key(&served);
    served.stage.run(&at(&["backup", "backup.1"], &[])).ends(0);
    let postgres = Postgres::start();
    let url = postgres.url();
    let other = with_key_of(&served);
    std::fs::copy(served.stage.home().join("backup.1"), other.home().join("backup.1")).unwrap();
    other.run(&at(&["restore", "backup.1"], &["--database", &url])).ends(0);
    let moved = Served::on(other, &["--database", &url]);
    let opened = |served: &Served| {
        let listed = served.api("GET", "/credential-configs", &key, "").json();
        let path = format!("/credential-configs/{}/secrets", listed["items"][0]["id"].as_str().unwrap());
        served.api("GET", &path, &key, "").json()["data"]["A"].clone()
    };
    assert_eq!(opened(&moved), VALUE);
    // Its keys are replaced there while it goes on, as on SQLite.
    moved.stage.run(&at(&["rotate-key", "--secrets"], &["--database", &url])).ends(0);
    assert_eq!(opened(&moved), VALUE);
    moved.stage.run(&moved.words(&["--check", "--listen", "127.0.0.1:0"])).ends(0);
    moved.stage.run(&at(&["backup", "backup.2"], &["--database", &url])).ends(0);
    let back = with_key_of(&moved);
    std::fs::copy(moved.stage.home().join("backup.2"), back.home().join("backup.2")).unwrap();
    back.run(&at(&["restore", "backup.2"], &[])).ends(0);
    let back = Served::on(back, &[]);
    assert_eq!(opened(&back), VALUE);
    back.client().run(&["audit", "verify"]).ends(0);
}
