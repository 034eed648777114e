//! A server without its master key: what it says, and how it comes to serve. The key is wrapped by a real OpenBao, or lies
//! in a file that is not there yet.

use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use super::openbao::{OpenBao, wait_until, words};
use super::postgres::Postgres;
use super::served::{Served, token};
use crate::canary::{Canary, Sweep};
use crate::stage::Stage;
use crate::vaulted::{reveal, store_env};
use crate::wire;

const VALUE: &str = "LNYCANARYvalue0123456789";
const WRAPPED: [&str; 2] = ["--master-key-transit", "lanyard"];

/// Asks every route of the list, and some more: each tells that the server is sealed, in the same words.
fn tells_nothing(served: &Served) {
    let lives = wire::get(&format!("{}/healthz", served.url)).unwrap();
    assert_eq!((lives.status(), lives.header("cache-control")), (200, Some("no-store")));
    let routes = served.stage.run(&["serve", "routes", "--json"]).ends(0).json();
    let routes: Vec<(String, String)> = routes
        .as_array()
        .unwrap()
        .iter()
        .map(|route| (route["method"].as_str().unwrap().to_owned(), route["path"].as_str().unwrap().to_owned()))
        .filter(|(_, path)| path != "/healthz")
        .collect();
    assert!(routes.len() > 50);
    let more = [("GET", "/nowhere"), ("DELETE", "/healthz"), ("GET", "//"), ("OPTIONS", "/credential-configs")];
    let more = more.iter().map(|(method, path)| ((*method).to_owned(), (*path).to_owned()));
    let mut bodies = std::collections::BTreeSet::new();
    for (method, path) in routes.into_iter().chain(more) {
        let url = format!("{}{}", served.url, path.replace(['{', '}'], ""));
        let answer = wire::send(&method, &url, &["Content-Type: application/json"], "{}").unwrap();
        assert_eq!(answer.status(), 503, "{method} {path}");
        assert_eq!(answer.header("retry-after"), Some("5"), "{method} {path}");
        bodies.insert(answer.text());
    }
    assert_eq!(bodies.len(), 1, "{bodies:?}");
    let body: Value = serde_json::from_str(bodies.first().unwrap()).unwrap();
    assert_eq!(body["type"], "urn:lanyard:problem:sealed");
}

fn is_ready(served: &Served) -> bool {
    wire::get(&format!("{}/readyz", served.url)).is_some_and(|answer| answer.status() == 200)
}

#[test]
fn a_server_whose_key_openbao_wraps_waits_until_it_is_unsealed() {
    let mut bao = OpenBao::start();
    let mut served = Served::new(&words(&bao.by_role(&WRAPPED)));
    let stage = served.client();
    store_env(&stage, "db", "A", VALUE);
    assert!(!served.data().join("master.key").exists());
    assert!(served.sql("SELECT value FROM settings WHERE name = 'master-key-wrapped'").starts_with("vault:v1:"));
    served.end("TERM");
    served.again();
    assert_eq!(reveal(&stage, "db", "A"), VALUE);
    // Sealed, and not there at all.
    served.end("TERM");
    bao.does(&["seal"]);
    served.again();
    tells_nothing(&served);
    assert!(!is_ready(&served));
    stage.run(&["credentials", "list"]).ends(6);
    bao.does(&["unseal"]);
    wait_until("it serves", || is_ready(&served));
    assert_eq!(reveal(&stage, "db", "A"), VALUE);
    served.end("KILL");
    bao.kill();
    served.again();
    tells_nothing(&served);
    assert_eq!(served.end("TERM"), Some(0), "a sealed one ends in order as well");
    served.again();
    bao.again();
    bao.does(&["unseal"]);
    wait_until("it serves", || is_ready(&served));
    assert_eq!(reveal(&stage, "db", "A"), VALUE);
    // Whoever wants to know at once is told at once.
    served.end("TERM");
    bao.does(&["seal"]);
    let told = served.stage.run(&served.words(&["--listen", "127.0.0.1:0", "--sealed-start", "no"])).ends(7);
    assert!(told.stderr().contains("is sealed") && told.stderr().contains("operator unseal"), "{told}");
    served.stage.run(&served.words(&["--check", "--listen", "127.0.0.1:0"])).ends(7);
}

#[test]
fn a_wrapped_master_key_is_replaced_and_backed_up_like_any_other() {
    let bao = OpenBao::start();
    let flags = bao.by_token(&WRAPPED);
    let served = Served::new(&words(&flags));
    let stage = served.client();
    store_env(&stage, "db", "A", VALUE);
    let wrapped = || served.sql("SELECT value FROM settings WHERE name LIKE 'master-key-wrapped%'").trim().to_owned();
    let before = wrapped();
    let run = |stage: &Stage, what: &[&str]| {
        stage.run(&[&["server"], what, &["--data", "server"], &words(&flags)[..]].concat())
    };
    run(&served.stage, &["backup", "backup.1"]).ends(0);
    let told = run(&served.stage, &["rotate-key"]).ends(0);
    assert!(told.stderr().contains("Replaced the master key"), "{told}");
    assert!(wrapped() != before && wrapped().lines().count() == 1);
    assert_eq!(reveal(&stage, "db", "A"), VALUE);
    store_env(&stage, "after", "A", VALUE);
    served.stage.run(&served.words(&["--check", "--listen", "127.0.0.1:0"])).ends(0);
    run(&served.stage, &["backup", "backup.2"]).ends(0);
    // On another machine, with the OpenBao alone; from before the key was replaced, and from after.
    for backup in ["backup.1", "backup.2"] {
        let other = Stage::new();
        other.write_config("[defaults]\nstorage = \"plain\"\n");
        std::fs::copy(served.stage.home().join(backup), other.home().join(backup)).unwrap();
        run(&other, &["restore", backup]).ends(0);
        let restored = Served::on(other, &words(&flags));
        assert_eq!(reveal(&restored.client(), "db", "A"), VALUE);
    }
    // Another key of the same OpenBao opens none of it.
    bao.does(&["write", "-f", "transit/keys/another"]);
    bao.does(&["delete", "auth/token/roles/none"]);
    let mut other = bao.by_token(&["--master-key-transit", "another"]);
    other[3] = bao.file("root.token").to_str().unwrap().to_owned();
    std::fs::set_permissions(bao.file("root.token"), PermissionsExt::from_mode(0o600)).unwrap();
    let check = ["serve", "--check", "--listen", "127.0.0.1:0", "--data", "server"];
    served.stage.run(&[&check[..], &words(&other)].concat()).ends(7);
}

/// Several servers need no copy of a key: each has it unwrapped.
#[test]
fn two_servers_on_one_database_share_a_wrapped_key() {
    let (bao, postgres) = (OpenBao::start(), Postgres::start());
    let flags = bao.by_role(&[&WRAPPED[..], &["--secrets-engine", "vault", "--database", &postgres.url()]].concat());
    let mut first = Served::new(&words(&flags));
    let second = Served::on(Stage::new(), &words(&flags));
    let stage = first.client();
    store_env(&stage, "db", "A", VALUE);
    let path = |served: &Served| {
        let listed = served.api("GET", "/credential-configs", &token(&stage), "").json();
        format!("/credential-configs/{}/secrets", listed["items"][0]["id"].as_str().unwrap())
    };
    let opened = |served: &Served| served.api("GET", &path(served), &token(&stage), "").json()["data"]["A"].clone();
    assert_eq!((opened(&first), opened(&second)), (json!(VALUE), json!(VALUE)));
    let rotate = ["server", "rotate-key", "--data", "server"];
    first.stage.run(&[&rotate[..], &words(&flags)].concat()).ends(0);
    assert_eq!((opened(&first), opened(&second)), (json!(VALUE), json!(VALUE)));
    Sweep::for_canaries(&[Canary::of(VALUE)]).tree(&first.data()).tree(&second.data()).assert_clean();
    first.end("TERM");
    bao.does(&["seal"]);
    first.again();
    tells_nothing(&first);
    let ended = first.ended("TERM");
    assert_eq!(ended.code, Some(0), "{ended}");
}

#[test]
fn a_key_in_a_file_is_waited_for_where_that_is_asked_for() {
    let mut served = Served::new(&["--sealed-start", "yes"]);
    let stage = served.client();
    store_env(&stage, "db", "A", VALUE);
    let (key, away) = (served.data().join("master.key"), served.data().join("away"));
    served.end("TERM");
    std::fs::rename(&key, &away).unwrap();
    served.again();
    tells_nothing(&served);
    assert!(!key.exists(), "no key is made in the place of one that is gone");
    std::fs::rename(&away, &key).unwrap();
    wait_until("it serves", || is_ready(&served));
    assert_eq!(reveal(&stage, "db", "A"), VALUE);
    // A key that others may read is none, however long one waits.
    served.end("TERM");
    std::fs::set_permissions(&key, PermissionsExt::from_mode(0o644)).unwrap();
    let open = served.stage.run(&served.words(&["--listen", "127.0.0.1:0"])).ends(3);
    assert!(open.stderr().contains("is not safe to use") && open.stderr().contains("chmod"), "{open}");
    assert!(open.stderr().contains("the master key is out of reach"), "{open}");
    std::fs::set_permissions(&key, PermissionsExt::from_mode(0o600)).unwrap();
    // Another server's key is not waited for either.
    let other = Served::fresh(&[]);
    std::fs::copy(other.data().join("master.key"), &key).unwrap();
    served.stage.run(&served.words(&["--listen", "127.0.0.1:0"])).ends(7);
}
