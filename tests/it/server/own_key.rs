//! The server's own key: replaced while people sign in by what rests under it, whatever happens on the way.

use serde_json::{Value, json};

use super::identity::{app, set_up};
use super::issuer::Scene;
use super::load::{beside, until};
use super::postgres::Postgres;
use super::served::{Browser, LOGIN, PASSPHRASE, Served, hidden, token};
use crate::crash::{Blow, at_every};
use crate::stage::{Outcome, Stage};
use crate::wire;

fn rotate(served: &Served, more: &[&str]) -> Outcome {
    let words = ["server", "rotate-key", "--data", "server", "--master-key-file", "server/master.key", "--secrets"];
    served.stage.run(&[&words[..], more].concat())
}

/// One line that a statement gives.
fn told(served: &Served, sql: &str) -> String {
    served.sql(sql).trim().to_owned()
}

/// The sealed bytes of a table, in hex.
fn sealed(served: &Served, table: &str) -> String {
    let hex = if served.data().join("server.db").exists() { "hex(sealed)" } else { "encode(sealed, 'hex')" };
    told(served, &format!("SELECT {hex} FROM {table}")).to_uppercase()
}

/// Whether bytes in hex stand in a file of the data.
fn stands_in_files(served: &Served, hex: &str) -> bool {
    let bytes: Vec<u8> =
        (0..hex.len() / 2).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap()).collect();
    ["server.db", "server.db-wal"].iter().any(|file| {
        let held = std::fs::read(served.data().join(file)).unwrap_or_default();
        held.windows(bytes.len()).any(|part| part == bytes)
    })
}

/// Signs the owner in with the code of their app, at this address.
fn signs_in(served: &Served, url: &str, app_key: &str) {
    served.sql("UPDATE second_factors SET step = 0; DELETE FROM attempts");
    let mut browser = Browser::new(url);
    let asked = browser.sign_in(LOGIN, PASSPHRASE).text();
    let half = hidden(&asked).into_iter().find(|(name, _)| name == "half").unwrap_or_else(|| panic!("{asked}")).1;
    browser.enter(&half, &app(app_key, 0));
    assert!(browser.get("/").text().contains(LOGIN));
}

fn bob() -> Value {
    json!({ "sub": "bob", "email": "bob@corp.example", "email_verified": true })
}

fn key_ids(served: &Served) -> Vec<String> {
    let set = wire::get(&format!("{}/.well-known/jwks.json", served.url)).unwrap().json();
    set["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

fn audit_holds(scene: &Scene) {
    scene.owner.run(&["audit", "verify"]).ends(0);
    // The chain of the server as well.
    scene.served.stage.run(&scene.served.words(&["--check", "--listen", "127.0.0.1:0"])).ends(0);
}

#[test]
fn what_rests_under_it_is_sealed_anew_and_all_goes_on() {
    let mut scene = Scene::new(&json!({ "domains": ["corp.example"] }));
    let served = &scene.served;
    let (app_key, _) = set_up(&served.browser());
    let before = [sealed(served, "second_factors"), sealed(served, "upstream_secrets"), sealed(served, "signing_keys")];
    let first_keys = key_ids(served);
    let audit_key = || scene.owner.run(&["audit", "key", "--json"]).ends(0).json();
    let (first_audit_key, first_export) = (audit_key(), scene.owner.run(&["audit", "export"]).ends(0).stdout());
    assert_eq!(first_audit_key["former"], json!([]));
    // On their way while it happens: somebody at the issuer, and a request that is sent again.
    let browser = scene.browser();
    let errand = scene.go(&browser, &[]);
    let once = |scene: &Scene| {
        let body = json!({ "name": "once", "kind": "generic_env", "data": { "A": "1" } }).to_string();
        let bearer = token(&scene.owner);
        let made =
            scene.served.api_with("POST", "/credential-configs", &bearer, &body, &["Idempotency-Key: the first"]);
        assert_eq!(made.status(), 201, "{}", made.text());
        made.json()["id"].clone()
    };
    let made = once(&scene);

    let done = rotate(served, &["--json"]).ends(0).json();
    assert_eq!(done["server_key"], json!({ "version": 1, "sealed": 2, "closed": 0 }), "{done}");
    assert_eq!(told(served, "SELECT version FROM server_keys"), "1");
    let rests = "SELECT key_version FROM second_factors UNION ALL SELECT key_version FROM upstream_secrets UNION ALL \
                 SELECT key_version FROM signing_keys WHERE retired IS NULL";
    assert_eq!(told(served, rests).lines().map(str::trim).collect::<Vec<_>>(), ["1", "1", "1"]);
    assert_eq!(told(served, "SELECT COUNT(*) FROM signing_keys WHERE LENGTH(sealed) > 0"), "1");
    assert_eq!(told(served, "SELECT COUNT(*) FROM settings WHERE name = 'server-key-rotation'"), "0");
    assert_ne!([sealed(served, "second_factors"), sealed(served, "upstream_secrets")], before[..2]);
    if served.data().join("server.db").exists() {
        assert!(before.iter().all(|old| !stands_in_files(served, old)), "what was sealed before is in no file");
        assert!(stands_in_files(served, &sealed(served, "second_factors")), "what is looked for is found");
    }
    signs_in(served, &served.url, &app_key);
    scene.answer(&errand, &bob());
    assert!(scene.home(&errand.back(&browser, &[])).contains("bob@corp.example"));
    assert!(scene.home(&scene.come(&bob(), &[])).contains("bob@corp.example"));
    assert_eq!(once(&scene), made, "it is known what the request made");
    let keys = key_ids(served);
    assert!(keys.len() == 2 && keys.contains(&first_keys[0]), "what the old one signed is believed: {keys:?}");
    audit_holds(&scene);
    // What was exported before is checked with the key of before, what is exported now with the one of now.
    let new_audit_key = audit_key();
    assert_eq!(new_audit_key["former"], json!([first_audit_key["key"]]));
    let [first_key, new_key] = [&first_audit_key, &new_audit_key].map(|one| one["key"].as_str().unwrap());
    let export = scene.owner.run(&["audit", "export"]).ends(0).stdout();
    let elsewhere = Stage::new();
    let verify = |text: &str, keys: &[&str]| {
        std::fs::write(elsewhere.home().join("audit.jsonl"), text).unwrap();
        let keys = keys.iter().flat_map(|key| ["--public-key", key]);
        elsewhere.run(&["audit", "verify", "audit.jsonl"].into_iter().chain(keys).collect::<Vec<_>>())
    };
    verify(&first_export, &[first_key]).ends(0);
    verify(&first_export, &[new_key]).ends(8);
    verify(&first_export, &[new_key, first_key]).ends(0);
    verify(&export, &[new_key]).ends(0);
    verify(&export, &[first_key]).ends(8);

    // Once more, and after a start.
    assert_eq!(rotate(served, &["--json"]).ends(0).json()["server_key"]["version"], 2);
    scene.served.end("TERM");
    scene.served.again();
    let served = &scene.served;
    assert_eq!(told(served, "SELECT version FROM server_keys"), "2");
    signs_in(served, &served.url, &app_key);
    assert!(scene.home(&scene.come(&bob(), &[])).contains("bob@corp.example"));
    assert_eq!(audit_key()["former"].as_array().unwrap().len(), 2);
    audit_holds(&scene);
}

#[test]
fn what_the_server_signed_before_is_believed_where_its_key_was_replaced() {
    let mut served = Served::new(&["--audit-checkpoints", "checkpoints.jsonl", "--audit-checkpoint-every", "1"]);
    let file = served.stage.home().join("checkpoints.jsonl");
    let lines = || std::fs::read_to_string(&file).unwrap_or_default().lines().count();
    let grows = |served: &Served, from: usize| {
        drop(served.browser());
        until("a statement", std::time::Duration::from_secs(20), || lines() > from);
    };
    grows(&served, 0);
    rotate(&served, &[]).ends(0);
    grows(&served, lines() + 1);
    assert_eq!(served.end("TERM"), Some(0));
    let words = served.words(&["--check", "--listen", "127.0.0.1:0"]);
    served.stage.run(&words).ends(0);
    // Nobody has put a key of their own among those of before.
    served.sql(
        "UPDATE server_key_remains SET wrapped = (SELECT wrapped FROM server_key_remains WHERE purpose = 'connect') \
                WHERE purpose = 'audit-statements'",
    );
    served.stage.run(&words).ends(8);
}

#[test]
fn whoever_dies_while_it_is_replaced_leaves_people_who_sign_in() {
    let scene = Scene::new(&json!({ "domains": ["corp.example"] }));
    let served = &scene.served;
    let (app_key, _) = set_up(&served.browser());
    let words = ["server", "rotate-key", "--data", "server", "--master-key-file", "server/master.key", "--secrets"];
    let on_file = served.data().join("server.db").exists();
    let mut blows = 0;
    for call in if on_file { ["pwrite64", "fsync", "renameat"] } else { ["sendto", "fsync", "renameat"] } {
        blows += at_every(
            call,
            Blow::Kill,
            || served.stage.command(&words),
            |time| {
                signs_in(served, &served.url, &app_key);
                assert!(scene.home(&scene.come(&bob(), &[])).contains("bob@corp.example"), "{call} {time}");
                assert_eq!(told(served, "SELECT COUNT(*) FROM signing_keys WHERE retired IS NULL"), "1");
            },
        );
    }
    assert!(blows >= 8, "{blows}");
    rotate(served, &[]).ends(0);
    let counts = "SELECT (SELECT COUNT(*) FROM server_keys), (SELECT COUNT(*) FROM settings WHERE name = \
                  'server-key-rotation'), (SELECT COUNT(*) FROM organization_keys)";
    assert_eq!(told(served, counts).replace(['|', ' '], ","), "1,0,1");
    signs_in(served, &served.url, &app_key);
    audit_holds(&scene);
}

#[test]
fn a_second_server_takes_the_new_one_over() {
    let postgres = Postgres::start();
    let url = postgres.url();
    let scene = Scene::on(
        Served::new(&["--allow-host", "127.0.0.1", "--database", &url]),
        &json!({ "domains": ["corp.example"] }),
    );
    let second = beside(&scene.served, &url);
    let (app_key, _) = set_up(&scene.served.browser());
    let sql = |statement: &str| postgres.as_superuser(statement).trim().to_owned();
    let enters = || {
        sql("UPDATE second_factors SET step = 0");
        let mut browser = Browser::new(&second.url);
        let asked = browser.sign_in(LOGIN, PASSPHRASE).text();
        let half = hidden(&asked).into_iter().find(|(name, _)| name == "half").unwrap().1;
        browser.enter(&half, &app(&app_key, 0));
    };
    enters();
    let bearer = scene.admin.as_str();
    let words = ["server", "rotate-key", "--keep-master", "--secrets", "--data", "server", "--master-key-file"];
    scene.served.stage.run(&[&words[..], &["server/master.key", "--database", &url]].concat()).ends(0);
    // At once, by what rests in the database.
    enters();
    let new = json!({ "name": "New", "issuer": scene.issuer.url(), "client_id": "web", "client_secret": "s" });
    let made = second.api("POST", "/upstreams", bearer, &new.to_string());
    assert_eq!(made.status(), 201, "{}", made.text());
    assert_eq!(sql("SELECT DISTINCT key_version FROM upstream_secrets"), "1");
    assert_eq!(sql("SELECT version FROM server_keys"), "1");
    // And soon by what it holds itself: what one gives to be sent back, the other takes.
    until("both hold the new one", std::time::Duration::from_secs(20), || {
        let next = second.api("GET", "/audit?limit=1", bearer, "").json()["next"].as_str().unwrap().to_owned();
        let wrong = scene.served.api("GET", "/audit?limit=1&cursor=x", bearer, "");
        assert_eq!(wrong.status(), 400);
        scene.served.api("GET", &format!("/audit?limit=1&cursor={next}"), bearer, "").status() == 200
    });
}
