//! Other keys in the place of those in force, while the server goes on, and whatever happens on the way.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rusqlite::Connection;
use serde_json::json;

use super::organizations::Sql;
use super::postgres::Postgres;
use super::served::{Served, api, token};
use crate::crash::{Blow, at_every_nth};
use crate::vaulted::{reveal, store_env};

const ROTATE: [&str; 6] = ["server", "rotate-key", "--data", "server", "--master-key-file", "server/master.key"];

fn number(served: &Served, sql: &str) -> i64 {
    let connection = Connection::open(served.data().join("server.db")).unwrap();
    connection.busy_timeout(std::time::Duration::from_secs(10)).unwrap();
    connection.query_row(sql, [], |row| row.get(0)).unwrap()
}

fn bytes(served: &Served, sql: &str) -> Vec<u8> {
    let connection = Connection::open(served.data().join("server.db")).unwrap();
    connection.query_row(sql, [], |row| row.get(0)).unwrap()
}

fn store(url: &str, bearer: &str, name: &str) -> String {
    let body = json!({ "name": name, "kind": "generic_env", "data": { "A": name } }).to_string();
    let made = api(url, "POST", "/credential-configs", bearer, &body);
    assert_eq!(made.status(), 201, "{}", made.text());
    made.json()["id"].as_str().unwrap().to_owned()
}

fn opens(url: &str, bearer: &str, id: &str, name: &str) {
    let opened = api(url, "GET", &format!("/credential-configs/{id}/secrets"), bearer, "");
    assert_eq!((opened.status(), &opened.json()["data"]["A"]), (200, &json!(name)), "{}", opened.text());
}

#[test]
fn readers_and_writers_go_on_while_keys_are_replaced() {
    let mut served = Served::new(&[]);
    let stage = served.client();
    let bearer = token(&stage);
    let names: Vec<String> = (0..120).map(|number| format!("n{number}")).collect();
    let ids: Vec<String> = names.iter().map(|name| store(&served.url, &bearer, name)).collect();
    let sealed = "SELECT sealed FROM secrets ORDER BY credential LIMIT 1";
    let (first_key, first_sealed) = (std::fs::read(served.data().join("master.key")).unwrap(), bytes(&served, sealed));
    let (ends, reads) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let (ends, reads, url, bearer, ids, names) = (&ends, &reads, &served.url, &bearer, &ids, &names);
        for reader in 0..8 {
            scope.spawn(move || {
                for turn in 0.. {
                    if ends.load(Ordering::SeqCst) {
                        return;
                    }
                    let one = (turn * 7 + reader) % ids.len();
                    opens(url, bearer, &ids[one], &names[one]);
                    reads.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        for writer in 0..4 {
            scope.spawn(move || {
                for turn in 0.. {
                    if ends.load(Ordering::SeqCst) {
                        return;
                    }
                    let name = format!("w{writer}t{turn}");
                    let id = store(url, bearer, &name);
                    opens(url, bearer, &id, &name);
                }
            });
        }
        // Where somebody panics, the others end as well.
        let rotated = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let told = served.stage.run(&[&ROTATE[..], &["--json"]].concat()).ends(0).json();
            assert_eq!((&told["resumed"], &told["closed"]), (&json!(false), &json!(0)), "{told}");
            assert_eq!(
                (&told["organizations"][0]["key_version"], &told["server_key"]),
                (&json!(2), &json!(null)),
                "{told}"
            );
            served.stage.run(&[&ROTATE[..], &["--secrets"]].concat()).ends(0);
        }));
        ends.store(true, Ordering::SeqCst);
        rotated.unwrap();
    });
    assert!(reads.load(Ordering::SeqCst) > 10);
    assert_eq!(number(&served, "SELECT COUNT(*) FROM data_keys WHERE key_version <> 3"), 0);
    assert_eq!(number(&served, "SELECT MIN(version) FROM organization_keys"), 3, "the old ones are gone");
    assert_eq!(number(&served, "SELECT COUNT(*) FROM organization_keys"), 1);
    assert_eq!(number(&served, "SELECT SUM(version) * 10 + COUNT(*) FROM server_keys"), 11, "the server's own as well");
    assert_eq!(number(&served, "SELECT COUNT(*) FROM key_rotations"), 0);
    assert_ne!(bytes(&served, sealed), first_sealed, "sealed anew");
    let key = std::fs::read(served.data().join("master.key")).unwrap();
    assert!(key != first_key && !served.data().join("master.key.next").exists());
    stage.run(&["audit", "verify"]).ends(0);
    // The old key opens nothing any more; with the new one, everything opens after a start as well.
    assert_eq!(served.end("TERM"), Some(0));
    let check =
        ["serve", "--check", "--data", "server", "--master-key-file", "server/master.key", "--listen", "127.0.0.1:0"];
    std::fs::write(served.data().join("master.key"), &first_key).unwrap();
    served.stage.run(&check).ends(7);
    std::fs::write(served.data().join("master.key"), &key).unwrap();
    served.stage.run(&check).ends(0);
    served.again();
    for (id, name) in ids.iter().zip(&names) {
        opens(&served.url, &bearer, id, name);
    }
    let told = stage.run(&["audit", "list", "--action", "key.rotate", "--json"]).ends(0).json();
    assert_eq!(told.as_array().unwrap().len(), 2);
}

/// Replaces all keys again and again, and dies at one call of a kind after the other; whatever was stored opens each time, and
/// others are stored meanwhile. Tells how often it died.
fn dies_on_the_way(served: &Served, rotate: &[&str], stored: usize, blows: &[(&str, usize)], sql: Sql<'_>) -> usize {
    let stage = served.client();
    let bearer = token(&stage);
    let ids: Vec<String> = (0..stored).map(|number| store(&served.url, &bearer, &format!("n{number}"))).collect();
    let mut struck = 0;
    for (call, step) in blows {
        struck += at_every_nth(
            call,
            *step,
            Blow::Kill,
            || served.stage.command(&[rotate, &["--secrets"]].concat()),
            |time| {
                // The server that was there before, and one that starts now.
                opens(&served.url, &bearer, &ids[time % stored], &format!("n{}", time % stored));
                let id = store(&served.url, &bearer, &format!("{call}{time}"));
                opens(&served.url, &bearer, &id, &format!("{call}{time}"));
                served.stage.run(&served.words(&["--check", "--listen", "127.0.0.1:0"])).ends(0);
            },
        );
    }
    served.stage.run(rotate).ends(0);
    assert_eq!(sql("SELECT COUNT(*) FROM key_rotations").trim(), "0");
    assert_eq!(sql("SELECT COUNT(*) FROM organization_keys").trim(), "1");
    for (number, id) in ids.iter().enumerate() {
        opens(&served.url, &bearer, id, &format!("n{number}"));
    }
    stage.run(&["audit", "verify"]).ends(0);
    struck
}

#[test]
fn whoever_dies_on_the_way_leaves_a_server_that_goes_on() {
    let served = Served::new(&[]);
    let blows = ["renameat", "fsync", "unlink", "pwrite64"].map(|call| (call, 1));
    let struck = dies_on_the_way(&served, &ROTATE, 60, &blows, &|statement| served.sql(statement));
    assert!(struck >= 12, "{struck}");
}

/// On PostgreSQL, whatever is written goes through a socket.
#[test]
fn whoever_dies_on_the_way_leaves_a_server_on_postgresql_that_goes_on() {
    let postgres = Postgres::start();
    let url = postgres.url();
    let served = Served::new(&["--database", &url]);
    let rotate = [&ROTATE[..], &["--database", &url]].concat();
    let blows = [("renameat", 1), ("unlink", 1), ("sendto", 17)];
    let struck = dies_on_the_way(&served, &rotate, 6, &blows, &|statement| postgres.as_superuser(statement));
    assert!(struck >= 6, "{struck}");
}

#[test]
fn a_master_key_in_the_secret_store_is_replaced_as_well() {
    let mut served = Served::with_a_store(crate::vaulted::stage());
    assert_eq!(served.end("TERM"), Some(0));
    let stage = &served.stage;
    let check = ["serve", "--check", "--listen", "127.0.0.1:0", "--data", "server"];
    stage.run(&check).ends(0);
    let store = stage.config_dir().join("sessions.plain.json");
    let before = std::fs::read(&store).unwrap();
    stage.run(&["server", "rotate-key", "--keep-master", "--data", "server"]).ends(0);
    assert!(std::fs::read(&store).unwrap() == before);
    let told = stage.run(&["server", "rotate-key", "--data", "server"]).ends(0);
    assert!(told.stderr().contains("Replaced the master key"), "{told}");
    let after = std::fs::read_to_string(&store).unwrap();
    assert!(after.as_bytes() != before && !after.contains(":next"));
    stage.run(&check).ends(0);
}

#[test]
fn what_does_not_open_stays_and_is_told() {
    let served = Served::new(&[]);
    let stage = served.client();
    store_env(&stage, "good", "A", "1");
    store_env(&stage, "bad", "A", "2");
    let connection = Connection::open(served.data().join("server.db")).unwrap();
    let damage = "UPDATE data_keys SET wrapped = zeroblob(length(wrapped)) WHERE credential = \
                  (SELECT id FROM credentials WHERE name = 'bad')";
    connection.execute(damage, []).unwrap();
    let told = served.stage.run(&ROTATE).ends(0);
    assert!(told.stderr().contains("1 credentials do not open"), "{told}");
    assert_eq!(reveal(&stage, "good", "A"), "1");
    assert_eq!(number(&served, "SELECT COUNT(*) FROM organization_keys"), 2, "the key of what does not open is kept");
    assert_eq!(number(&served, "SELECT COUNT(*) FROM key_rotations"), 0);
}
