//! Backups that earlier versions have made are brought back by the program of today; those of a later one are refused.
//!
//! Their files are written here, by another hand than the program's: the form of the file is what it was.

use std::collections::HashSet;
use std::path::Path;

use age::x25519;
use age_core::format::{FileKey, Stanza};
use aws_lc_rs::{digest, hkdf, hmac};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rusqlite::Connection;
use rusqlite::types::ValueRef;
use serde_json::{Value as Json, json};

use super::backup::{at, with_key_of};
use super::load::key;
use super::migrations::{Kept, migrations};
use super::postgres::Postgres;
use super::served::Served;
use crate::stage::Stage;

const VALUE: &str = "LNYCANARYvalue0123456789";

/// The key that a master key has for backups.
struct Sealer {
    key: [u8; 32],
    instance: String,
    /// The version of the head.
    version: &'static str,
}

impl Sealer {
    fn of(served: &Served, version: &'static str) -> Self {
        let master = std::fs::read_to_string(served.data().join("master.key")).unwrap();
        let master = STANDARD.decode(master.trim()).unwrap();
        let mut key = [0; 32];
        let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, b"lanyard-vault-1");
        let purpose: [&[u8]; 1] = [b"server-backup"];
        salt.extract(&master).expand(&purpose, hkdf::HKDF_SHA256).unwrap().fill(&mut key).unwrap();
        let instance = served.sql("SELECT value FROM settings WHERE name = 'instance'").trim().to_owned();
        Self { key, instance, version }
    }

    fn code(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &self.key));
        for part in parts {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        context.sign().as_ref().try_into().unwrap()
    }

    fn head_code(&self) -> String {
        let rest = format!("{{\"instance\":\"{}\",\"code\":\"\"}}", self.instance);
        STANDARD.encode(self.code(&[b"head", rest.as_bytes()]))
    }

    /// A backup that holds these lines.
    fn sealed(&self, lines: &[Json]) -> Vec<u8> {
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        let digest = digest::digest(&digest::SHA256, text.as_bytes());
        let code = STANDARD.encode(self.code(&[b"content", self.head_code().as_bytes(), digest.as_ref()]));
        let sealed = age::Encryptor::with_recipients(std::iter::once(self as _)).unwrap();
        let mut file = Vec::new();
        let mut writer = sealed.wrap_output(&mut file).unwrap();
        std::io::Write::write_all(&mut writer, format!("{text}{}\n", json!({ "code": code })).as_bytes()).unwrap();
        writer.finish().unwrap();
        file
    }
}

impl age::Recipient for Sealer {
    fn wrap_file_key(&self, key: &FileKey) -> Result<(Vec<Stanza>, HashSet<String>), age::EncryptError> {
        let identity = self.code(&[b"identity", self.instance.as_bytes()]);
        let prefix = bech32::Hrp::parse("age-secret-key-").unwrap();
        let identity = bech32::encode_upper::<bech32::Bech32>(prefix, &identity).unwrap();
        let (mut stanzas, labels) = identity.parse::<x25519::Identity>().unwrap().to_public().wrap_file_key(key)?;
        let head = format!("{{\"instance\":\"{}\",\"code\":\"{}\"}}", self.instance, self.head_code());
        let (tag, args) = ("lanyard-server-backup".to_owned(), vec![self.version.to_owned()]);
        stanzas.push(Stanza { tag, args, body: head.into_bytes() });
        Ok((stanzas, labels))
    }
}

/// The names that a statement gives.
fn names(db: &Connection, sql: &str, column: usize) -> Vec<String> {
    let mut statement = db.prepare(sql).unwrap();
    let rows = statement.query_map([], |row| row.get(column)).unwrap();
    rows.map(Result::unwrap).collect()
}

/// What a version of the program wrote of the tables that are at that version: each as it had made it.
fn lines(file: &Path, version: usize) -> Vec<Json> {
    let made = Connection::open_in_memory().unwrap();
    made.execute_batch("CREATE TABLE schema_versions (program TEXT PRIMARY KEY, version BIGINT NOT NULL)").unwrap();
    for text in &migrations()[..version] {
        made.execute_batch(text).unwrap();
    }
    let mut left = names(&made, "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name", 0);
    let refers = |table: &str| names(&made, &format!("PRAGMA foreign_key_list(\"{table}\")"), 2);
    let db = Connection::open(file).unwrap();
    let mut lines = vec![json!({ "schema": version, "made": "2026-01-31T12:00:00.000Z" })];
    while !left.is_empty() {
        let is_free = |table: &String| refers(table).iter().all(|other| other == table || !left.contains(other));
        let table = left.remove(left.iter().position(is_free).unwrap());
        let columns = names(&made, &format!("PRAGMA table_info(\"{table}\")"), 1);
        lines.push(json!({ "table": table, "columns": columns }));
        let mut statement = db.prepare(&format!("SELECT {} FROM {table}", columns.join(", "))).unwrap();
        let mut rows = statement.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let cell = |at: usize| match row.get_ref(at).unwrap() {
                ValueRef::Null => Json::Null,
                ValueRef::Integer(number) => number.into(),
                ValueRef::Text(text) => String::from_utf8(text.to_vec()).unwrap().into(),
                ValueRef::Blob(bytes) => json!([STANDARD.encode(bytes)]),
                ValueRef::Real(_) => panic!("{table} has a number that is none of ours"),
            };
            lines.push((0..columns.len()).map(cell).collect());
        }
    }
    lines
}

fn every_version_comes_back(postgres: Option<&Postgres>) {
    let newest = migrations().len();
    let mut kept = Kept::on(None);
    let bearer = key(&kept.served);
    assert_eq!(kept.served.api("POST", "/projects", &bearer, "{\"name\":\"web\"}").status(), 201);
    for project in ["", "web"] {
        let body = json!({ "name": "db", "kind": "generic_env", "project": project, "data": { "A": VALUE } });
        let made = kept.served.api("POST", "/credential-configs", &bearer, &body.to_string());
        assert_eq!(made.status(), 201, "{}", made.text());
    }
    assert_eq!(kept.served.end("TERM"), Some(0));
    let sealer = Sealer::of(&kept.served, "1");
    let (database, saved) = (kept.served.data().join("server.db"), kept.served.stage.home().join("saved.db"));
    std::fs::copy(&database, &saved).unwrap();
    let url = postgres.map(Postgres::url);
    let flags: Vec<&str> = url.iter().flat_map(|url| ["--database", url]).collect();
    let restore = |stage: &Stage, version: usize, more: &[&str]| {
        let _ = ["server.db-wal", "server.db-shm"].map(|beside| std::fs::remove_file(kept.served.data().join(beside)));
        std::fs::copy(&saved, &database).unwrap();
        kept.back_to(version);
        std::fs::write(stage.home().join("b"), sealer.sealed(&lines(&database, version))).unwrap();
        stage.run(&at(&["restore", "b"], &[more, &flags[..]].concat()))
    };
    // The first one comes where nothing is yet, the others under the server that goes on from it.
    let stage = with_key_of(&kept.served);
    restore(&stage, newest, &[]).ends(0);
    let target = Served::on(stage, &flags);
    for version in 1..=newest {
        // Going back beyond the third version takes away what the audit is listed by.
        if version >= 3 {
            assert_eq!(
                restore(&target.stage, version, &["--drill", "--json"]).ends(0).json()["opened"],
                2,
                "of {version}"
            );
        }
        let told = restore(&target.stage, version, &["--replace", "--json"]).ends(0).json();
        assert_eq!(told["made"], "2026-01-31T12:00:00.000Z", "of {version}");
        let listed = target.api("GET", "/credential-configs", &bearer, "");
        assert_eq!(listed.status(), 200, "of {version}: {}", listed.text());
        let listed = listed.json()["items"].as_array().unwrap().clone();
        assert_eq!(listed.len(), 2, "of {version}");
        for one in &listed {
            let path = format!("/credential-configs/{}/secrets", one["id"].as_str().unwrap());
            let opened = target.api("GET", &path, &bearer, "");
            assert_eq!((opened.status(), &opened.json()["data"]["A"]), (200, &json!(VALUE)), "of {version}");
        }
        let body = json!({ "name": "later", "kind": "generic_env", "data": { "A": "1" } }).to_string();
        let later = target.api("POST", "/credential-configs", &bearer, &body);
        assert_eq!(later.status(), 201, "of {version}: {}", later.text());
        if version >= 3 {
            let whole = target.api("GET", "/audit/verify", &bearer, "").json();
            assert_eq!(whole["valid"], true, "of {version}: {whole}");
        }
    }
}

#[test]
fn a_backup_of_every_earlier_version_comes_back_under_a_server_that_runs() {
    every_version_comes_back(None);
}

#[test]
fn a_backup_of_every_earlier_version_comes_back_into_postgresql_as_well() {
    every_version_comes_back(Some(&Postgres::start()));
}

#[test]
fn a_backup_of_a_newer_version_is_refused_and_changes_nothing() {
    let mut served = Served::new(&[]);
    assert_eq!(served.end("TERM"), Some(0));
    let newest = migrations().len();
    let all = lines(&served.data().join("server.db"), newest);
    let newer = [&[json!({ "schema": newest + 1, "made": "2026-01-31T12:00:00.000Z" })], &all[1..]].concat();
    let other = with_key_of(&served);
    let (file, database) = (other.home().join("b"), other.home().join("server/server.db"));
    for (version, lines) in [("1", &newer), ("2", &all)] {
        std::fs::write(&file, Sealer::of(&served, version).sealed(lines)).unwrap();
        for more in [&[][..], &["--drill"], &["--replace"]] {
            let told = other.run(&at(&["restore", "b"], more)).ends(3);
            assert!(told.stderr().contains("made by a newer lanyard"), "{told}");
            assert!(told.stderr().contains("install the newer lanyard") && !database.exists(), "{told}");
        }
    }
    // A line of another kind than this version writes, and a table that its version did not have, are no backup's.
    let strange = [&all[..1], &[json!({ "table": "strangers", "columns": ["a"] })], &all[1..]].concat();
    std::fs::write(&file, Sealer::of(&served, "1").sealed(&strange)).unwrap();
    let told = other.run(&at(&["restore", "b"], &[])).ends(8);
    assert!(told.stderr().contains("its version of lanyard did not have"), "{told}");
    std::fs::write(&file, Sealer::of(&served, "1").sealed(&all)).unwrap();
    other.run(&at(&["restore", "b"], &["--replace"])).ends(0);
}
