//! Whoever can write to the database reads no secret by it: what was changed there does not open, and that is told. And
//! what was deleted is not in its files any more.

use std::path::Path;

use serde_json::json;

use super::identity;
use super::issuer::Scene;
use super::load::{ask, key, store};
use super::postgres::Postgres;
use super::served::{Browser, LOGIN, PASSPHRASE, Served, hidden, token};
use crate::stage::Stage;

/// Somebody with the database in their hands.
struct Behind<'b> {
    served: &'b Served,
    postgres: Option<&'b Postgres>,
}

impl Behind<'_> {
    fn sql(&self, statements: &str) -> String {
        self.postgres
            .map_or_else(|| self.served.sql(statements), |postgres| postgres.as_superuser(statements))
            .trim_end()
            .to_owned()
    }

    /// The bytes that stand somewhere.
    fn bytes(&self, place: &Place) -> Vec<u8> {
        let hex = if self.postgres.is_some() { "encode({}, 'hex')" } else { "hex({})" }.replace("{}", place.column);
        let text = self.sql(&format!("SELECT {hex} FROM {} WHERE {}", place.table, place.row));
        (0..text.len() / 2).map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap()).collect()
    }

    fn put(&self, place: &Place, bytes: &[u8]) {
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let value = if self.postgres.is_some() { format!("decode('{hex}', 'hex')") } else { format!("X'{hex}'") };
        self.sql(&format!("UPDATE {} SET {} = {value} WHERE {}", place.table, place.column, place.row));
    }
}

/// Where sealed bytes stand.
struct Place {
    table: &'static str,
    column: &'static str,
    row: String,
}

/// Each byte of the beginning and of the end with a bit turned, and what is shorter or longer.
fn damaged(bytes: &[u8]) -> Vec<Vec<u8>> {
    let turned = |at: usize| {
        let mut changed = bytes.to_vec();
        changed[at] ^= 1 << (at % 8);
        changed
    };
    let last = bytes.len() - 1;
    let mut all: Vec<Vec<u8>> =
        (0..=last).step_by(11).chain([1, 11, 12, 13, last - 16, last - 15, last]).map(turned).collect();
    all.extend([&bytes[..last], &bytes[..12], &bytes[1..], &[]].map(<[u8]>::to_vec));
    all.push([bytes, &[0]].concat());
    all
}

/// Goes through everything that can be done to what rests sealed.
fn nothing_opens_that_was_changed(served: &Served, postgres: Option<&Postgres>) {
    let behind = Behind { served, postgres };
    let manager = served.manager();
    let bearer = key(served);
    let ids = ["first", "second"].map(|name| {
        let made = store(&served.url, &bearer, name).unwrap();
        assert_eq!(made.status(), 201);
        made.json()["id"].as_str().unwrap().to_owned()
    });
    let read = |number: usize| {
        ask(&served.url, "GET", &format!("/credential-configs/{}/secrets", ids[number]), &bearer, "").unwrap()
    };
    let opens = |number: usize, name: &str| {
        let answer = read(number);
        assert_eq!((answer.status(), &answer.json()["data"]["A"]), (200, &json!(name)), "{}", answer.text());
    };
    let told = || {
        let last = format!("SELECT entry FROM audit_events WHERE object = '{}' ORDER BY sequence DESC LIMIT 1", ids[0]);
        behind.sql(&last)
    };
    let of = |table, column, number: usize| Place { table, column, row: format!("credential = '{}'", ids[number]) };
    for (table, column) in [("secrets", "sealed"), ("data_keys", "wrapped")] {
        let (place, other) = (of(table, column, 0), of(table, column, 1));
        let (good, foreign) = (behind.bytes(&place), behind.bytes(&other));
        assert!(good.len() > 28 && good != foreign);
        for bad in damaged(&good).into_iter().chain([foreign.clone()]) {
            behind.put(&place, &bad);
            let refused = read(0);
            assert_eq!((refused.status(), &refused.json()["type"]), (500, &json!("urn:lanyard:problem:does-not-open")));
            assert!(!refused.text().contains("first") && !refused.text().contains("second"), "{}", refused.text());
            let told = told();
            assert!(told.contains("secret.read") && told.contains("\"failed\""), "{told}");
        }
        // Swapped with one another.
        behind.put(&place, &foreign);
        behind.put(&other, &good);
        assert_eq!((read(0).status(), read(1).status()), (500, 500), "{table}");
        behind.put(&place, &good);
        behind.put(&other, &foreign);
        opens(0, "first");
        opens(1, "second");
    }
    // One of the same credential from before its values were replaced.
    let (sealed, wrapped) = (of("secrets", "sealed", 0), of("data_keys", "wrapped", 0));
    let old = (behind.bytes(&sealed), behind.bytes(&wrapped));
    let path = format!("/credential-configs/{}/secrets", ids[0]);
    let replaced = ask(&served.url, "POST", &path, &bearer, r#"{"data":{"A":"newer"}}"#).unwrap();
    assert_eq!(replaced.status(), 200, "{}", replaced.text());
    let new = (behind.bytes(&sealed), behind.bytes(&wrapped));
    for (seal, wrap) in [(&old.0, &new.1), (&new.0, &old.1), (&old.0, &old.1)] {
        behind.put(&sealed, seal);
        behind.put(&wrapped, wrap);
        assert_eq!(read(0).status(), 500);
    }
    behind.put(&sealed, &new.0);
    behind.put(&wrapped, &new.1);
    opens(0, "newer");
    // The key of the organization: without it nothing can be told, and nothing is given.
    let organization = Place { table: "organization_keys", column: "wrapped", row: "version = 1".into() };
    let good = behind.bytes(&organization);
    for bad in damaged(&good) {
        behind.put(&organization, &bad);
        let refused = read(0);
        assert_eq!(refused.status(), 500, "{}", refused.text());
        assert!(!refused.text().contains("newer"), "{}", refused.text());
    }
    behind.put(&organization, &good);
    opens(0, "newer");
    assert_eq!(served.api("GET", "/audit/verify", &token(&manager), "").json()["valid"], true);
    // Lines of the audit, and the codes beside them.
    let line = "SELECT MAX(sequence) - 3 FROM audit_events WHERE org <> 'server'";
    let row = format!("org <> 'server' AND sequence = {}", behind.sql(line));
    for column in ["hash", "mac"] {
        let place = Place { table: "audit_events", column, row: row.clone() };
        let good = behind.bytes(&place);
        for bad in damaged(&good) {
            behind.put(&place, &bad);
            assert_eq!(served.api("GET", "/audit/verify", &token(&manager), "").json()["valid"], false, "{column}");
        }
        behind.put(&place, &good);
    }
    let entry = |from: &str, to: &str| {
        behind.sql(&format!("UPDATE audit_events SET entry = replace(entry, '{from}', '{to}') WHERE {row}"));
        served.api("GET", "/audit/verify", &token(&manager), "").json()["valid"] == true
    };
    assert!(!entry("\"form\":1", "\"form\":2") && entry("\"form\":2", "\"form\":1"));
}

#[test]
fn what_was_changed_in_sqlite_does_not_open() {
    nothing_opens_that_was_changed(&Served::new(&[]), None);
}

#[test]
fn what_was_changed_in_postgresql_does_not_open() {
    let postgres = Postgres::start();
    nothing_opens_that_was_changed(&Served::new(&["--database", &postgres.url()]), Some(&postgres));
}

/// What the server keeps of its own: the seed of a person's codes, and its client's secret at an issuer.
fn nothing_of_the_servers_own_opens_that_was_changed(served: Served, postgres: Option<&Postgres>) {
    let scene = Scene::on(served, &json!({ "domains": ["corp.example"] }));
    let behind = Behind { served: &scene.served, postgres };
    let url = &scene.served.url;
    // The seed of the codes, and what is done with each code that comes.
    let half = |login: &str| {
        behind.sql("DELETE FROM attempts");
        let asked = Browser::new(url).sign_in(login, PASSPHRASE).text();
        hidden(&asked).into_iter().find(|(name, _)| name == "half").unwrap_or_else(|| panic!("{asked}")).1
    };
    let send = |half: &str, code: &str| {
        behind.sql("UPDATE second_factors SET step = 0");
        Browser::new(url).post("/sign-in/code", &[("half", half), ("code", code)])
    };
    let place = |number: usize| Place {
        table: ["second_factors", "upstream_secrets"][number],
        column: "sealed",
        row: if number == 0 { "step >= 0".into() } else { format!("upstream = '{}'", scene.id) },
    };
    let owner = scene.served.browser();
    let (old_key, _) = identity::set_up(&owner);
    let old = behind.bytes(&place(0));
    behind.sql("UPDATE second_factors SET step = 0");
    let gone = identity::step(&owner, "remove", &identity::app(&old_key, 0));
    assert_eq!(gone.status(), 200, "{}", gone.text());
    let (key, _) = identity::set_up(&owner);
    let good = behind.bytes(&place(0));
    let waiting = half(LOGIN);
    for bad in damaged(&good).into_iter().chain([old]) {
        behind.put(&place(0), &bad);
        for key in [&key, &old_key] {
            let refused = send(&waiting, &identity::app(key, 0));
            assert_eq!((refused.status(), refused.header("set-cookie")), (500, None), "{}", refused.text());
        }
    }
    behind.put(&place(0), &good);
    // Under another key of the server's own, or none.
    behind.sql("UPDATE second_factors SET key_version = NULL; UPDATE people SET factor_mark = ''");
    assert_eq!(send(&waiting, &identity::app(&key, 0)).status(), 500, "nor as one of an earlier version");
    behind.sql(
        "INSERT INTO people (id, login, passphrase, created) SELECT 'bob', 'bob@example.com', passphrase, 0 FROM people; \
         UPDATE second_factors SET person = 'bob'",
    );
    assert_eq!(send(&half("bob@example.com"), &identity::app(&key, 0)).status(), 500, "nor as somebody else's");

    // The client's secret, and where it is sent.
    let bob = json!({ "sub": "bob", "email": "bob@corp.example", "email_verified": true });
    let comes = || {
        let asked = scene.issuer.double.requests().iter().filter(|seen| seen.path() == "/token").count();
        let status = scene.come(&bob, &[]).status();
        let is_asked = scene.issuer.double.requests().iter().filter(|seen| seen.path() == "/token").count() > asked;
        (status, is_asked)
    };
    assert_eq!(comes(), (303, true));
    let old = behind.bytes(&place(1));
    let other = scene.make("Other", &scene.issuer.url(), &json!({ "client_secret": "of the other" }));
    assert_eq!(other.status(), 201, "{}", other.text());
    let other = Place { row: format!("upstream = '{}'", other.json()["id"].as_str().unwrap()), ..place(1) };
    scene.amend(&json!({ "client_secret": "another" }));
    let (good, foreign) = (behind.bytes(&place(1)), behind.bytes(&other));
    for bad in damaged(&good).into_iter().chain([old, foreign]) {
        behind.put(&place(1), &bad);
        assert_eq!(comes(), (403, false));
    }
    behind.put(&place(1), &good);
    assert_eq!(comes(), (303, true));
}

#[test]
fn what_the_server_keeps_of_its_own_does_not_open_once_it_was_changed() {
    nothing_of_the_servers_own_opens_that_was_changed(Served::new(&["--allow-host", "127.0.0.1"]), None);
}

#[test]
fn what_the_server_keeps_of_its_own_in_postgresql_does_not_open_once_it_was_changed() {
    let postgres = Postgres::start();
    let served = Served::new(&["--allow-host", "127.0.0.1", "--database", &postgres.url()]);
    nothing_of_the_servers_own_opens_that_was_changed(served, Some(&postgres));
}

/// The keys of the server as a whole: with one of them damaged it does not start, and says so.
#[test]
fn a_server_whose_own_keys_were_changed_does_not_start() {
    let mut served = Served::new(&[]);
    served.end("TERM");
    let check = |served: &Served| {
        let outcome = served.stage.run(&served.words(&["--check", "--listen", "127.0.0.1:0"]));
        (outcome.code, outcome.stderr())
    };
    assert_eq!(check(&served).0, Some(0));
    for (name, table, column, row) in [
        ("the proof", "settings", "value", "name = 'master-key-proof'"),
        ("its own key", "server_keys", "wrapped", "version = 0"),
    ] {
        let kept = served.sql(&format!("SELECT {column} FROM {table} WHERE {row}")).trim().to_owned();
        let put = |value: &str| drop(served.sql(&format!("UPDATE {table} SET {column} = '{value}' WHERE {row}")));
        let turned = if &kept[20..21] == "A" { "B" } else { "A" };
        for bad in [format!("{}{turned}{}", &kept[..20], &kept[21..]), kept[..40].to_owned(), String::new(), "%".into()]
        {
            put(&bad);
            let (code, said) = check(&served);
            assert!(code != Some(0) && !said.contains("panicked"), "{name}: {said}");
        }
        put(&kept);
    }
    assert_eq!(check(&served).0, Some(0));
}

/// Whether bytes stand in any file below a folder.
fn stands_in(folder: &Path, bytes: &[u8]) -> bool {
    let found = std::fs::read_dir(folder).unwrap().flatten().map(|entry| entry.path());
    found.into_iter().any(|path| {
        if path.is_dir() {
            return stands_in(&path, bytes);
        }
        // One that goes while it is looked for holds nothing.
        memchr_like(&std::fs::read(&path).unwrap_or_default(), bytes)
    })
}

fn memchr_like(held: &[u8], bytes: &[u8]) -> bool {
    let first = bytes[0];
    let starts = held.iter().enumerate().filter(|(_, byte)| **byte == first).map(|(at, _)| at);
    starts.into_iter().any(|at| held[at..].starts_with(bytes))
}

fn what_is_deleted_is_gone(served: &Served, postgres: Option<&Postgres>) {
    let behind = Behind { served, postgres };
    let bearer = key(served);
    let bearer = bearer.as_str();
    let id = store(&served.url, bearer, "gone").unwrap().json()["id"].as_str().unwrap().to_owned();
    let path = format!("/credential-configs/{id}");
    let rests = || {
        [("secrets", "sealed"), ("data_keys", "wrapped")]
            .map(|(table, column)| behind.bytes(&Place { table, column, row: format!("credential = '{id}'") }))
    };
    let mut rested = rests().to_vec();
    // Those of an earlier version as well.
    let replaced = ask(&served.url, "POST", &format!("{path}/secrets"), bearer, r#"{"data":{"A":"again"}}"#).unwrap();
    assert_eq!(replaced.status(), 200);
    rested.extend(rests());
    let folder = postgres.map_or_else(|| served.data(), |postgres| postgres.folder().join("data/base"));
    if postgres.is_some() {
        behind.sql("CHECKPOINT");
    }
    assert!(rested[2..].iter().all(|bytes| stands_in(&folder, bytes)), "what is looked for is found while it is there");
    assert_eq!(ask(&served.url, "DELETE", &path, bearer, "").unwrap().status(), 204);
    if postgres.is_some() {
        behind.sql("VACUUM FULL");
        behind.sql("CHECKPOINT");
    }
    for bytes in &rested {
        assert!(!stands_in(&folder, bytes), "what was deleted lies in {}", folder.display());
    }
}

#[test]
fn what_is_deleted_is_not_in_the_files_of_sqlite() {
    what_is_deleted_is_gone(&Served::new(&[]), None);
}

#[test]
fn what_is_deleted_is_not_in_the_tables_of_postgresql_once_they_are_written_anew() {
    let postgres = Postgres::start();
    what_is_deleted_is_gone(&Served::new(&["--database", &postgres.url()]), Some(&postgres));
}

/// What rests when two store the same looks like two different things of one length.
#[test]
fn equal_secrets_rest_as_different_bytes_of_one_length() {
    let served = Served::new(&[]);
    let bearer = key(&served);
    let stage = Stage::new();
    for (name, value) in [("a", "s3cr3t"), ("b", "s3cr3t"), ("c", "another that is longer"), ("d", "x")] {
        let body = json!({ "name": name, "kind": "generic_env", "data": { "A": value } }).to_string();
        assert_eq!(ask(&served.url, "POST", "/credential-configs", &bearer, &body).unwrap().status(), 201);
    }
    drop(stage);
    assert_eq!(served.sql("SELECT COUNT(DISTINCT sealed), COUNT(DISTINCT length(sealed)) FROM secrets").trim(), "4|1");
    assert_eq!(served.sql("SELECT COUNT(DISTINCT wrapped) FROM data_keys").trim(), "4");
}
