//! What goes wrong between a server and a real OpenBao, and what is left of it: nothing that nobody knows of.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use serde_json::{Value, json};

use super::openbao::{OpenBao, pass, wait_until, words};
use super::served::{Served, token};
use crate::double::{Answer, Double, Seen};
use crate::vaulted::{list, reveal, store_env};
use crate::wire;

const VALUE: &str = "LNYCANARYvalue0123456789";
const ENGINE: [&str; 2] = ["--secrets-engine", "vault"];

fn id(stage: &crate::stage::Stage, name: &str) -> String {
    list(stage).iter().find(|one| one["name"] == name).unwrap()["id"].as_str().unwrap().to_owned()
}

fn secrets(served: &Served, bearer: &str, id: &str) -> (u16, Value) {
    let answer = served.api("GET", &format!("/credential-configs/{id}/secrets"), bearer, "");
    (answer.status(), answer.json())
}

const UNAVAILABLE: &str = "urn:lanyard:problem:secrets-unavailable";

/// Sealed, away, and back: what is no secret is answered all the time, and what is one as soon as it can be.
#[test]
fn a_sealed_openbao_is_waited_for_and_never_started_anew_for() {
    let mut bao = OpenBao::start();
    let served = Served::new(&words(&bao.by_token(&ENGINE)));
    let stage = served.client();
    let bearer = token(&stage);
    for name in ["db", "gone", "stays"] {
        store_env(&stage, name, "A", VALUE);
    }
    let (db, gone) = (id(&stage, "db"), id(&stage, "gone"));
    let of_gone = bao.place_of(&gone);
    let closed = |served: &Served| {
        let (status, problem) = secrets(served, &bearer, &db);
        assert_eq!((status, problem["type"].as_str()), (503, Some(UNAVAILABLE)), "{problem}");
        let body = json!({ "name": "late", "kind": "generic_env", "data": { "A": "1" } }).to_string();
        let refused = served.api("POST", "/credential-configs", &bearer, &body);
        assert_eq!((refused.status(), refused.header("retry-after")), (503, Some("5")));
        assert!(list(&stage).iter().all(|one| one["name"] != "late"));
        let noted = served.api("PATCH", &format!("/credential-configs/{db}"), &bearer, "{\"note\":\"seen\"}");
        assert_eq!(noted.status(), 200, "{}", noted.text());
    };
    bao.does(&["seal"]);
    closed(&served);
    // Deleting does not wait: without the key in the database, what is left opens for nobody.
    assert_eq!(served.api("DELETE", &format!("/credential-configs/{gone}"), &bearer, "").status(), 204);
    bao.does(&["unseal"]);
    assert_eq!(secrets(&served, &bearer, &db).1["data"]["A"], VALUE);
    wait_until("what was deleted meanwhile is destroyed", || !bao.places().contains(&of_gone));
    bao.kill();
    closed(&served);
    bao.again();
    closed(&served);
    bao.does(&["unseal"]);
    wait_until("it opens again", || secrets(&served, &bearer, &db).0 == 200);
    assert_eq!(reveal(&stage, "stays", "A"), VALUE);
    store_env(&stage, "new", "A", VALUE);
    let failed = served.entries().into_iter().filter(|entry| entry["action"] == "secret.read");
    assert!(failed.filter(|entry| entry["outcome"] == "failed").count() >= 3, "refused tries are told");
}

/// A door before an OpenBao that keeps somebody waiting for good: 1 after it was written to, 2 before it destroys.
pub fn door(bao: &OpenBao) -> (Double, Arc<AtomicU8>) {
    let (holds, url) = (Arc::new(AtomicU8::new(0)), bao.url());
    let held = Arc::clone(&holds);
    let pass = move |seen: &Seen| {
        let holds = held.load(Ordering::SeqCst);
        let is_write = seen.method == "POST" && seen.target.contains("/data/");
        if holds == 2 && seen.method == "DELETE" {
            held.store(3, Ordering::SeqCst);
            return Answer::Silence;
        }
        let answer = pass(seen, &url);
        if holds == 1 && is_write {
            held.store(3, Ordering::SeqCst);
            return Answer::Silence;
        }
        answer
    };
    (Double::start(pass), holds)
}

#[test]
fn a_server_that_dies_between_the_two_leaves_nothing_half_done() {
    let bao = OpenBao::start();
    let (door, holds) = door(&bao);
    let mut flags = bao.by_token(&ENGINE);
    flags[1] = door.url();
    let mut served = Served::new(&words(&flags));
    let stage = served.client();
    let bearer = token(&stage);
    store_env(&stage, "db", "A", VALUE);
    let (db, place) = (id(&stage, "db"), bao.place_of(&id(&stage, "db")));
    let dies_during = |served: &mut Served, how: u8, method: &str, path: &str, body: &str| {
        holds.store(how, Ordering::SeqCst);
        let url = format!("{}{path}", served.url);
        let bearer = format!("Authorization: Bearer {bearer}");
        std::thread::scope(|scope| {
            scope.spawn(|| wire::send(method, &url, &[&bearer, "Content-Type: application/json"], body));
            wait_until("it waits", || holds.load(Ordering::SeqCst) == 3);
            served.end("KILL");
        });
        holds.store(0, Ordering::SeqCst);
        served.again();
    };
    // Written there, and no row names it: a new one, and a new version of one that is there.
    let late = json!({ "name": "late", "kind": "generic_env", "data": { "A": "1" } }).to_string();
    dies_during(&mut served, 1, "POST", "/credential-configs", &late);
    let path = format!("/credential-configs/{db}");
    let newer = json!({ "data": { "A": "newer" } }).to_string();
    dies_during(&mut served, 1, "POST", &format!("{path}/secrets"), &newer);
    assert_eq!(bao.places().len(), 3);
    assert_eq!(list(&stage).len(), 1);
    assert_eq!(secrets(&served, &bearer, &db).1["data"]["A"], VALUE, "the version that was acknowledged counts");
    // What is on its way is not touched for a while; its time is over now.
    served.sql("UPDATE kept_leftovers SET due = 0");
    wait_until("what no row names is destroyed", || bao.places() == [place.clone()]);
    wait_until("and forgotten", || served.sql("SELECT COUNT(*) FROM kept_leftovers").trim() == "0");
    // The row is gone, and what it named is not destroyed yet.
    dies_during(&mut served, 2, "DELETE", &path, "");
    assert_eq!(secrets(&served, &bearer, &db).0, 404);
    wait_until("what was deleted is destroyed", || bao.places().is_empty());
    served.stage.run(&served.words(&["--check", "--listen", "127.0.0.1:0"])).ends(0);
}

#[test]
fn tokens_and_secret_ids_end_and_are_replaced() {
    let bao = OpenBao::with(&[("TTL", "2s"), ("MAX_TTL", "6s")]);
    let served = Served::new(&words(&bao.by_role(&ENGINE)));
    let stage = served.client();
    let bearer = token(&stage);
    store_env(&stage, "db", "A", VALUE);
    let db = id(&stage, "db");
    let opens = || assert_eq!(secrets(&served, &bearer, &db).1["data"]["A"], VALUE);
    // Beyond what a token lives, and beyond what it can be renewed for.
    for _ in 0..8 {
        std::thread::sleep(std::time::Duration::from_secs(1));
        opens();
    }
    // Every token of the role ends at once.
    bao.does(&["token", "revoke", "-mode", "path", "auth/approle"]);
    opens();
    // A secret ID that is destroyed lets nobody in; the one in its place does, and nothing is started anew.
    let before = bao.text("secret-id");
    bao.does(&["write", "-f", "auth/approle/role/lanyard/secret-id/destroy", &format!("secret_id={before}")]);
    bao.does(&["token", "revoke", "-mode", "path", "auth/approle"]);
    wait_until("nobody is let in", || secrets(&served, &bearer, &db).0 == 503);
    let made = bao.does(&["write", "-f", "-field=secret_id", "auth/approle/role/lanyard/secret-id"]);
    std::fs::write(bao.file("secret-id"), made).unwrap();
    wait_until("it is let in again", || secrets(&served, &bearer, &db).0 == 200);
    opens();
}

#[test]
fn a_token_that_was_revoked_is_replaced_in_its_file() {
    let bao = OpenBao::start();
    let served = Served::new(&words(&bao.by_token(&ENGINE)));
    let stage = served.client();
    let bearer = token(&stage);
    store_env(&stage, "db", "A", VALUE);
    let db = id(&stage, "db");
    bao.does(&["token", "revoke", &bao.text("policy.token")]);
    let (status, problem) = secrets(&served, &bearer, &db);
    assert_eq!((status, problem["type"].as_str()), (503, Some(UNAVAILABLE)));
    let made = bao.does(&["token", "create", "-policy=lanyard", "-field=token"]);
    std::fs::write(bao.file("policy.token"), made).unwrap();
    wait_until("it is let in again", || secrets(&served, &bearer, &db).0 == 200);
}

/// Whoever can write to the OpenBao gives nobody another secret than the one that was stored.
#[test]
fn what_is_changed_rolled_back_or_moved_there_is_refused_and_told() {
    let bao = OpenBao::start();
    let served = Served::new(&words(&bao.by_token(&ENGINE)));
    let stage = served.client();
    let bearer = token(&stage);
    for name in ["db", "other"] {
        store_env(&stage, name, "A", &format!("LNYCANARY{name}0123456789"));
    }
    let (db, other) = (id(&stage, "db"), id(&stage, "other"));
    let (of_db, of_other) = (bao.place_of(&db), bao.place_of(&other));
    let (kept, foreign) = (bao.content(&of_db), bao.content(&of_other));
    let refused = |what: &str| {
        let (status, problem) = secrets(&served, &bearer, &db);
        assert_eq!((status, problem["type"].as_str()), (500, Some("urn:lanyard:problem:does-not-open")), "{what}");
        let told = served.entries().into_iter().rfind(|entry| entry["action"] == "secret.read").unwrap();
        assert_eq!((&told["object"], &told["outcome"]), (&json!(db), &json!("failed")), "{what}");
    };
    let destroy = || bao.does(&["kv", "metadata", "delete", "-mount=secret", &of_db]);
    let bring_back = || {
        destroy();
        bao.write(&of_db, &kept);
        assert_eq!(secrets(&served, &bearer, &db).0, 200, "as it was, it opens");
    };
    let mut changed = kept.clone();
    changed["secrets"]["A"] = json!("AAAA");
    bao.write(&of_db, &changed);
    refused("changed");
    bao.does(&["kv", "rollback", "-mount=secret", "-version=1", &of_db]);
    refused("rolled back to what was there: somebody has written to it");
    bring_back();
    destroy();
    bao.write(&of_db, &foreign);
    refused("another credential's");
    destroy();
    refused("destroyed");
    bring_back();
    // A version from before, with the row that named it.
    let before = served.sql("SELECT address FROM kept_secrets WHERE address LIKE '%/1-%' ORDER BY address LIMIT 1");
    assert!(!before.trim().is_empty());
    let newer = json!({ "data": { "A": "newer" } }).to_string();
    let replaced = served.api("POST", &format!("/credential-configs/{db}/secrets"), &bearer, &newer);
    assert!(replaced.status() < 300, "{}", replaced.text());
    bao.write(&of_db, &kept);
    let address = of_db.strip_prefix("lanyard/").unwrap();
    served.sql(&format!("UPDATE kept_secrets SET address = '{address}' WHERE credential = '{db}'"));
    refused("a version from before");
    assert_eq!(reveal(&stage, "other", "A"), "LNYCANARYother0123456789");
}
