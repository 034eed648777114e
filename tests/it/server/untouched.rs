//! What whoever looks or works at the server's own machine leaves untouched: a place where no server is, and the tables of
//! an earlier version.

use serde_json::Value;

use super::backup::{at, with_key_of};
use super::load::key;
use super::migrations::{Kept, migrations};
use super::postgres::Postgres;
use super::served::Served;
use crate::stage::Stage;

/// Every command that works on a server that is there, but the one that makes a backup.
const WORK: [&[&str]; 7] = [
    &["audit"],
    &["audit", "--key"],
    &["rotate-key"],
    &["rotate-key", "--keep-master", "--secrets"],
    &["rotate-signing-key"],
    &["revoke-token", "token"],
    &["move-secrets", "--to", "envelope"],
];

#[test]
fn nothing_is_made_where_a_place_was_misspelt() {
    let stage = Stage::new();
    stage.write_config("[defaults]\nstorage = \"plain\"\n");
    std::fs::write(stage.home().join("token"), "lny_pat_x").unwrap();
    let before = stage.files();
    let check = ["serve", "--check", "--listen", "127.0.0.1:0", "--data", "typo"];
    for more in [&[][..], &["--master-key-file", "typo/master.key"]] {
        let told = stage.run(&[&check[..], more].concat()).ends(0);
        assert!(told.stderr().contains("All settings are good"), "{told}");
        let place = stage.home().join("typo/server.db");
        let said = format!("there is no server in {} yet: the first start makes it", place.display());
        assert!(told.stderr().contains(&said), "{told}");
        assert!(stage.files() == before && !stage.home().join("typo").exists());
    }
    for work in WORK.iter().chain([&["backup", "file"][..]].iter()) {
        let told = stage.run(&[&["server"], *work, &["--data", "typo"]].concat()).ends(3);
        assert!(told.stderr().contains("no server is kept in"), "{told}");
        assert!(stage.files() == before && !stage.home().join("typo").exists(), "{work:?}");
    }
}

#[test]
fn a_database_of_a_misspelt_name_gets_no_tables() {
    let (postgres, stage) = (Postgres::start(), Stage::new());
    stage.write_config("[defaults]\nstorage = \"plain\"\n");
    std::fs::write(stage.home().join("token"), "lny_pat_x").unwrap();
    let (before, url) = (stage.files(), postgres.url());
    let none = || {
        let all = "SELECT COUNT(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace";
        assert_eq!(postgres.sql(all).unwrap(), "0");
        assert!(stage.files() == before);
    };
    let check = ["serve", "--check", "--listen", "127.0.0.1:0", "--data", "server", "--database", &url];
    let told = stage.run(&check).ends(0);
    assert!(told.stderr().contains("yet: the first start makes it"), "{told}");
    none();
    for work in WORK.iter().chain([&["backup", "file"][..]].iter()) {
        let told = stage.run(&at(work, &["--database", &url])).ends(3);
        assert!(told.stderr().contains("no server is kept in"), "{told}");
        none();
    }
}

/// A later version writes a backup of the tables as they are, and leaves all else to the start.
fn only_a_backup(postgres: Option<Postgres>, versions: &[usize]) {
    let url = postgres.as_ref().map(Postgres::url);
    let more: Vec<&str> = url.iter().flat_map(|url| ["--database", url]).collect();
    let mut kept = Kept::on(postgres);
    let bearer = key(&kept.served);
    let body = r#"{"name":"db","kind":"generic_env","data":{"A":"LNYCANARYvalue0123456789"}}"#;
    assert_eq!(kept.served.api("POST", "/credential-configs", &bearer, body).status(), 201);
    std::fs::write(kept.served.stage.home().join("token"), &bearer).unwrap();
    let run = |kept: &Kept, work: &[&str]| kept.served.stage.run(&at(work, &more));
    for version in versions {
        assert_eq!(kept.served.end("TERM"), Some(0));
        kept.back_to(*version);
        for work in WORK {
            let told = run(&kept, work).ends(3);
            assert!(told.stderr().contains("are of an earlier version of lanyard"), "{told}");
            assert!(told.stderr().contains("next: do it with the version that serves them"), "{told}");
        }
        let file = format!("backup.{version}");
        let told = run(&kept, &["backup", &file]).ends(0);
        assert!(told.stderr().contains("the tables are of an earlier version, and were left so"), "{told}");
        assert_eq!(kept.version(), *version);
        // It comes back, brought up to date, and all of it opens.
        let other = with_key_of(&kept.served);
        std::fs::copy(kept.served.stage.home().join(&file), other.home().join(&file)).unwrap();
        other.run(&at(&["restore", &file], &[])).ends(0);
        let restored = Served::on(other, &[]);
        let listed = restored.api("GET", "/credential-configs", &bearer, "").json();
        let path = format!("/credential-configs/{}/secrets", listed["items"][0]["id"].as_str().unwrap());
        assert_eq!(restored.api("GET", &path, &bearer, "").json()["data"]["A"], "LNYCANARYvalue0123456789");
        // The start brings the tables up to date, and tells of the backup, once.
        for _ in 0..2 {
            kept.served.again();
            let told = run(&kept, &["audit", "--json", "--limit", "1000"]).ends(0).json();
            let is_one = |entry: &&Value| {
                let detail = entry["detail"].as_str().unwrap_or_default();
                entry["action"] == "server.backup" && detail.contains("of an earlier version: ")
            };
            let count = told.as_array().unwrap().iter().filter(is_one).count();
            // A chain of before there was one has gone with its table.
            assert!(count >= 1 && count <= versions.len(), "of {version}: {told}");
            if version == versions.first().unwrap() {
                assert_eq!(count, 1, "{told}");
            }
            assert_eq!(kept.served.end("TERM"), Some(0));
        }
        kept.served.again();
    }
}

#[test]
fn tables_of_an_earlier_version_are_backed_up_as_they_are() {
    let newest = migrations().len();
    only_a_backup(None, &[newest - 1, 7, 3]);
}

#[test]
fn tables_of_an_earlier_version_are_backed_up_as_they_are_on_postgresql_as_well() {
    let newest = migrations().len();
    only_a_backup(Some(Postgres::start()), &[newest - 1]);
}
