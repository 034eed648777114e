//! From the database into a real OpenBao and back, backups of both, and other keys.

use serde_json::json;

use super::openbao::{OpenBao, words};
use super::postgres::Postgres;
use super::served::{Served, token};
use crate::canary::{Canary, Sweep};
use crate::stage::Stage;
use crate::vaulted::{list, reveal, store_env};

const VALUE: &str = "LNYCANARYvalue0123456789";

/// `lanyard server …` with these flags.
fn at(what: &[&str], flags: &[String]) -> Vec<String> {
    let place = ["--data", "server", "--master-key-file", "server/master.key"];
    let words = ["server"].iter().chain(what).chain(&place).map(|word| (*word).to_owned());
    words.chain(flags.iter().cloned()).collect()
}

fn run(stage: &Stage, what: &[&str], flags: &[String]) -> crate::stage::Outcome {
    stage.run(&words(&at(what, flags)))
}

#[test]
fn secrets_move_while_the_server_goes_on() {
    move_on(&[]);
    let postgres = Postgres::start();
    move_on(&["--database", &postgres.url()]);
}

fn move_on(more: &[&str]) {
    let bao = OpenBao::start();
    let flags = bao.by_token(more);
    // It knows where the OpenBao is, and keeps new secrets in the database.
    let mut served = Served::new(&words(&flags));
    let stage = served.client();
    for number in 0..60 {
        store_env(&stage, &format!("n{number}"), "A", &format!("{VALUE}{number}"));
    }
    let all_open = || {
        for number in [0, 7, 59] {
            assert_eq!(reveal(&stage, &format!("n{number}"), "A"), format!("{VALUE}{number}"));
        }
    };
    assert!(bao.places().is_empty());
    let moved = run(&served.stage, &["move-secrets", "--to", "vault", "--json"], &flags).ends(0).json();
    assert_eq!(moved, json!({ "to": "vault", "moved": 60, "closed": 0 }));
    assert_eq!(bao.places().len(), 60);
    all_open();
    let again = run(&served.stage, &["move-secrets", "--to", "vault", "--json"], &flags).ends(0).json();
    assert_eq!(again["moved"], 0);
    // Other keys, with secrets in two places.
    store_env(&stage, "here", "A", VALUE);
    let told = run(&served.stage, &["rotate-key", "--json"], &flags).ends(0).json();
    assert_eq!((&told["rewrapped"], &told["closed"]), (&json!(61), &json!(0)), "{told}");
    all_open();
    let places = bao.places();
    let engine = [&flags[..], &["--secrets-engine".into(), "vault".into()]].concat();
    run(&served.stage, &["rotate-key", "--secrets"], &engine).ends(0);
    assert!(bao.places().len() == 61 && bao.places().iter().all(|place| !places.contains(place)));
    all_open();
    // Without the OpenBao, such a database is not served.
    served.end("TERM");
    let database = more.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let check = [&["serve", "--check", "--listen", "127.0.0.1:0"][..]].concat();
    let place = ["--data", "server", "--master-key-file", "server/master.key"];
    let lacks = served.stage.run(&[&["serve", "--listen", "127.0.0.1:0"], &place[..], &words(&database)].concat());
    assert!(lacks.ends(3).stderr().contains("lanyard server move-secrets"));
    let lacks = served.stage.run(&[&check[..], &place[..], &words(&database)].concat());
    assert!(lacks.ends(3).stderr().contains("lanyard server move-secrets"));
    served.stage.run(&[&check[..], &place[..], &words(&flags)].concat()).ends(0);
    served.again();
    let moved = run(&served.stage, &["move-secrets", "--to", "envelope"], &flags).ends(0);
    assert!(moved.stderr().contains("61 credentials rest now in the database"), "{moved}");
    assert!(bao.places().is_empty());
    all_open();
    served.stage.run(&[&check[..], &place[..], &words(&database)].concat()).ends(0);
    stage.run(&["audit", "verify"]).ends(0);
}

#[test]
fn a_backup_has_the_secrets_wherever_they_rest() {
    let bao = OpenBao::start();
    let engine = ["--secrets-engine", "vault"];
    let served = Served::new(&words(&bao.by_token(&engine)));
    let stage = served.client();
    store_env(&stage, "db", "A", VALUE);
    store_env(&stage, "gone", "A", VALUE);
    run(&served.stage, &["backup", "backup.1"], &bao.by_token(&engine)).ends(0);
    Sweep::for_canaries(&[Canary::of(VALUE)]).tree(&served.stage.home()).assert_clean();
    // Into a database, on a machine without any OpenBao.
    let other = Stage::new();
    other.write_config("[defaults]\nstorage = \"plain\"\n");
    let data = other.home().join("server");
    std::fs::create_dir(&data).unwrap();
    std::fs::set_permissions(&data, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    std::fs::copy(served.data().join("master.key"), data.join("master.key")).unwrap();
    std::fs::copy(served.stage.home().join("backup.1"), other.home().join("backup.1")).unwrap();
    run(&other, &["restore", "backup.1"], &[]).ends(0);
    let moved = Served::on(other, &[]);
    assert_eq!(reveal(&moved.client(), "db", "A"), VALUE);
    // Back into the place where it was: what is there by then is destroyed, and what was there is laid down anew.
    stage.run(&["credentials", "delete", "gone", "--yes"]).ends(0);
    store_env(&stage, "since", "A", VALUE);
    let before = bao.places();
    run(&served.stage, &["restore", "backup.1", "--replace"], &bao.by_token(&engine)).ends(0);
    let again = served.client();
    let names: Vec<String> = list(&again).iter().map(|one| one["name"].as_str().unwrap().to_owned()).collect();
    assert_eq!(names, ["db", "gone"]);
    assert_eq!(bao.places().len(), 2);
    assert!(bao.places().iter().all(|place| !before.contains(place)), "{before:?}");
    for name in ["db", "gone"] {
        assert_eq!(reveal(&again, name, "A"), VALUE);
    }
    // Where the OpenBao is sealed, nothing is written that would be half a backup.
    bao.does(&["seal"]);
    run(&served.stage, &["backup", "backup.2"], &bao.by_token(&engine)).ends(7);
    assert!(!served.stage.home().join("backup.2").exists());
    run(&served.stage, &["restore", "backup.1", "--replace"], &bao.by_token(&engine)).ends(7);
    bao.does(&["unseal"]);
    assert_eq!(served.api("GET", "/credential-configs", &token(&again), "").status(), 200, "nothing was brought back");
}
