//! Secrets that rest in a real OpenBao: the whole life of a credential by the command line, on both databases.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::openbao::{OpenBao, pass, wait_until, words};
use super::places;
use super::postgres::Postgres;
use super::served::{Served, token};
use crate::double::Double;
use crate::secure::{Authority, NAMES};
use crate::stage::Stage;
use crate::vaulted::{list, reveal, store_env};

const VALUE: &str = "LNYCANARYvalue0123456789";
const OTHER: &str = "LNYCANARYother0123456789";

/// Neither as it is nor in base 64, wherever that begins.
fn shows(text: &str, secret: &str) -> bool {
    let inside = |skip: usize| STANDARD.encode(&secret.as_bytes()[skip..secret.len() - (secret.len() - skip) % 3]);
    text.contains(secret) || (0..3).any(|skip| text.contains(&inside(skip)))
}

fn live_with(served: &Served, bao: &OpenBao) {
    let stage = served.manager();
    let id = |name: &str| {
        let all = list(&stage);
        all.iter().find(|one| one["name"] == name).unwrap()["id"].as_str().unwrap().to_owned()
    };
    store_env(&stage, "db", "A", VALUE);
    store_env(&stage, "other", "A", OTHER);
    assert_eq!(reveal(&stage, "db", "A"), VALUE);
    assert!(shows(&format!("x{}", STANDARD.encode(VALUE)), VALUE), "what is looked for would be found");
    assert!(!shows(&bao.all(), VALUE) && !shows(&bao.all(), OTHER));
    let first = bao.place_of(&id("db"));
    let replaced = ["credentials", "store", "env", "A=-", "--name", "db", "--replace"];
    stage.run_with(&replaced, OTHER.as_bytes()).ends(0);
    assert_eq!(reveal(&stage, "db", "A"), OTHER);
    assert_ne!(bao.place_of(&id("db")), first, "the version before is gone, with all that was known of it");
    stage.run(&["credentials", "rename", "db", "base"]).ends(0);
    stage.run(&["credentials", "test"]).ends(0);
    stage.run(&["projects", "create", "shop"]).ends(0);
    let moved = json!({ "project": "shop" });
    let moved = served.api("PATCH", &format!("/credential-configs/{}", id("base")), &token(&stage), &moved.to_string());
    assert_eq!(moved.status(), 200, "{}", moved.text());
    stage.run(&["projects", "rename", "shop", "store"]).ends(0);
    assert_eq!(reveal(&stage, "store/base", "A"), OTHER);
    let place = bao.place_of(&id("base"));
    stage.run(&["credentials", "delete", "store/base", "--yes"]).ends(0);
    assert!(!bao.places().contains(&place) && bao.content(&place).is_null(), "no version is left");
    assert_eq!(bao.places().len(), 1);
    stage.run(&["credentials", "delete", "other", "--yes"]).ends(0);
    stage.run(&["projects", "delete", "store", "--yes"]).ends(0);
    assert!(bao.places().is_empty());
    stage.run(&["audit", "verify"]).ends(0);
    served.stage.run(&served.words(&["--check", "--listen", "127.0.0.1:0"])).ends(0);
    assert!(bao.places().is_empty(), "a check leaves nothing");
}

#[test]
fn a_credential_lives_in_openbao_by_a_token() {
    let bao = OpenBao::start();
    let flags = bao.by_token(&["--secrets-engine", "vault"]);
    let served = Served::new(&words(&flags));
    live_with(&served, &bao);
    assert_eq!(served.sql("SELECT COUNT(*) FROM secrets").trim(), "0");
    assert_eq!(served.sql("SELECT COUNT(*) FROM kept_leftovers").trim(), "0");
    places::work_with_a_project(&served);
    places::work_with_a_workspace(&served);
}

#[test]
fn a_credential_lives_in_openbao_by_a_role_on_postgresql() {
    let (bao, postgres) = (OpenBao::start(), Postgres::start());
    let flags = bao.by_role(&["--secrets-engine", "vault", "--database", &postgres.url()]);
    let served = Served::new(&words(&flags));
    live_with(&served, &bao);
    places::delete_what_is_taken_into_use(&served);
}

#[test]
fn what_is_long_lives_there_as_well() {
    let bao = OpenBao::start();
    let served = Served::new(&words(&bao.by_token(&["--secrets-engine", "vault"])));
    let stage = served.client();
    let long = "LNYCANARY".repeat(200_000);
    let body = json!({ "name": "long", "kind": "generic_env", "data": { "A": long } }).to_string();
    let made = served.api("POST", "/credential-configs", &token(&stage), &body);
    assert_eq!(made.status(), 201, "{}", made.text());
    assert!(bao.places().len() > 1);
    let path = format!("/credential-configs/{}", made.json()["id"].as_str().unwrap());
    let opened = served.api("GET", &format!("{path}/secrets"), &token(&stage), "");
    assert!(opened.json()["data"]["A"] == long.as_str(), "{}", opened.status());
    assert_eq!(served.api("DELETE", &path, &token(&stage), "").status(), 204);
    assert!(bao.places().is_empty());
}

/// Its certificate is checked, and an authority of one's own counts alone.
#[test]
fn it_is_reached_by_tls_and_by_nothing_less() {
    let authority = Authority::new();
    let certificate = authority.issue("openbao", NAMES, None);
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(certificate.pem(), folder.path().join("tls.pem")).unwrap();
    std::fs::copy(certificate.key(), folder.path().join("tls.key")).unwrap();
    let bao = OpenBao::in_folder(folder, &[]);
    assert!(bao.url().starts_with("https://"));
    let stage = Stage::new();
    let check = |more: &[&str]| {
        let flags = bao.by_token(&["--secrets-engine", "vault", "--check", "--listen", "127.0.0.1:0"]);
        let words = [&["serve", "--data", "d", "--master-key-file", "d/k"], &words(&flags)[..], more].concat();
        stage.run(&words)
    };
    let unknown = check(&[]).ends(6);
    assert!(unknown.stderr().contains("cannot be made safe"), "{unknown}");
    let pem = authority.pem();
    check(&["--vault-ca-file", pem.to_str().unwrap()]).ends(0);
    let other = Authority::new();
    check(&["--vault-ca-file", other.pem().to_str().unwrap()]).ends(6);
    let none = check(&["--vault-ca-file", bao.file("role-id").to_str().unwrap()]).ends(3);
    assert!(none.stderr().contains("holds no certificate"), "{none}");
}

#[test]
fn what_cannot_work_is_said_before_anybody_is_served() {
    let bao = OpenBao::start();
    let mut stage = Stage::new();
    let check = |stage: &Stage, more: &[&str]| {
        let base = ["serve", "--check", "--listen", "127.0.0.1:0", "--data", "d", "--master-key-file", "d/k"];
        stage.run(&[&base[..], more].concat())
    };
    let engine = ["--secrets-engine", "vault"];
    assert!(check(&stage, &engine).ends(3).stderr().contains("--vault-address"));
    let lacks = check(&stage, &["--vault-address", &bao.url()]).ends(3);
    assert!(lacks.stderr().contains("nothing lets the server in"), "{lacks}");
    let readable = check(&stage, &["--vault-address", "http://vault.example:8200"]).ends(3);
    assert!(readable.stderr().contains("--vault-address cannot be used"), "{readable}");
    check(&stage, &["--vault-token", "s.x"]).ends(2);
    assert!(check(&stage, &["--secrets-engine", "paper"]).ends(3).stderr().contains("neither"));
    let half = check(&stage, &["--vault-address", &bao.url(), "--vault-role-id", "r"]).ends(3);
    assert!(half.stderr().contains("--vault-secret-id-file"), "{half}");
    let with = |more: &[&str]| bao.by_token(&[&engine[..], more].concat());
    // A mount that is none, a token that may nothing, a file that others may read.
    check(&stage, &words(&with(&["--vault-mount", "nowhere"]))).ends(7);
    let flags = bao.by_token(&engine);
    check(&stage, &words(&flags)).ends(0);
    let file = bao.file("policy.token");
    std::fs::write(&file, "s.LNYCANARYnotatoken").unwrap();
    let refused = check(&stage, &words(&flags)).ends(7);
    assert!(refused.stderr().contains("does not permit") && !refused.stderr().contains("LNYCANARY"), "{refused}");
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    assert!(check(&stage, &words(&flags)).ends(3).stderr().contains("is not safe to use"));
    // The token may also come by a variable, which no list of processes shows to others.
    stage.set("LANYARD_SERVE_VAULT_TOKEN", bao.text("root.token"));
    check(&stage, &[&engine[..], &["--vault-address", &bao.url()]].concat()).ends(0);
    let both = check(&stage, &words(&flags)).ends(3);
    assert!(both.stderr().contains("one of them alone"), "{both}");
}

/// What is in use is known by its place alone: whoever reads the list of what there is learns names and dates.
#[test]
fn the_engine_is_part_of_what_is_ready() {
    let bao = OpenBao::start();
    let served = Served::new(&words(&bao.by_token(&["--secrets-engine", "vault"])));
    let ready = || crate::wire::get(&format!("{}/readyz", served.url)).unwrap();
    assert_eq!(ready().status(), 200);
    bao.does(&["seal"]);
    // What it answered a moment ago counts for a moment.
    wait_until("it is not ready", || ready().status() != 200);
    let told = ready();
    assert_eq!((told.status(), &told.json()["type"]), (503, &json!("urn:lanyard:problem:secrets-unavailable")));
    assert_eq!(crate::wire::get(&format!("{}/healthz", served.url)).unwrap().status(), 200);
    served.stage.run(&served.words(&["--check", "--listen", "127.0.0.1:0"])).ends(7);
    bao.does(&["unseal"]);
    wait_until("it is ready again", || ready().status() == 200);
}

/// However many ask whether it is ready, and whoever they are: the OpenBao is asked once a second.
#[test]
fn who_asks_whether_it_is_ready_does_not_have_the_openbao_asked_each_time() {
    let bao = OpenBao::start();
    let url = bao.url();
    let door = Double::start(move |seen| {
        if seen.target.contains("/check/none") {
            std::thread::sleep(std::time::Duration::from_millis(200));
        }
        pass(seen, &url)
    });
    let mut flags = bao.by_token(&["--secrets-engine", "vault"]);
    flags[1] = door.url();
    let served = Served::new(&words(&flags));
    let (url, began) = (&format!("{}/readyz", served.url), std::time::Instant::now());
    let all: Vec<u16> = std::thread::scope(|scope| {
        let ask = move || (0..25).map(move |_| crate::wire::get(url).unwrap().status());
        let askers: Vec<_> = (0..8).map(|_| scope.spawn(move || ask().collect::<Vec<_>>())).collect();
        askers.into_iter().flat_map(|one| one.join().unwrap()).collect()
    });
    assert!(all.len() == 200 && all.iter().all(|status| *status == 200), "{all:?}");
    let asked = door.requests().iter().filter(|seen| seen.target.contains("/check/none")).count();
    let most = usize::try_from(began.elapsed().as_secs()).unwrap() + 1;
    assert!((1..=most).contains(&asked), "{asked} times within {:?}", began.elapsed());
}
