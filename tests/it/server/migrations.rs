//! Tables as each earlier version left them, with what is in them, are brought up to date by the program of today; those
//! of a later one are left alone.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::levels::put_under_the_master_key;
use super::load::key;
use super::postgres::Postgres;
use super::served::Served;

/// Whoever looks binds the address as well, and several look at the same time.
const CHECK: &[&str] = &["--check", "--listen", "127.0.0.1:0"];
const VALUE: &str = "LNYCANARYvalue0123456789";

/// What brings the tables from each version to the next.
pub fn migrations() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/server/db/migrations");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| std::fs::read_to_string(file).unwrap()).collect()
}

/// A server and its database.
pub struct Kept {
    pub served: Served,
    postgres: Option<Postgres>,
}

impl Kept {
    pub fn on(postgres: Option<Postgres>) -> Self {
        let url = postgres.as_ref().map(Postgres::url);
        let flags: Vec<&str> = url.iter().flat_map(|url| ["--database", url]).collect();
        Self { served: Served::new(&flags), postgres }
    }

    pub fn sql(&self, statements: &str) -> String {
        match &self.postgres {
            Some(postgres) => postgres.sql(statements).unwrap(),
            None => self.served.sql(statements),
        }
    }

    pub fn version(&self) -> usize {
        self.sql("SELECT version FROM schema_versions WHERE program = 'lanyard-server'").trim().parse().unwrap()
    }

    /// Takes back what the later migrations have made, as far as a version.
    pub fn back_to(&self, version: usize) {
        let cascade = if self.postgres.is_some() { " CASCADE" } else { "" };
        let each = |pattern: &str, text: &str, undone: &dyn Fn(&regex::Captures<'_>) -> String| -> Vec<String> {
            let mut all: Vec<String> =
                regex::Regex::new(pattern).unwrap().captures_iter(text).map(|found| undone(&found)).collect();
            all.reverse();
            all
        };
        let mut statements = Vec::new();
        if !migrations()[..version].iter().any(|text| text.contains("CREATE TABLE server_keys")) {
            // The first of the server's own keys was a setting.
            let kept =
                "INSERT INTO settings (name, value) SELECT 'server-key', wrapped FROM server_keys WHERE version = 0";
            statements.push(kept.to_owned());
        }
        if !migrations()[..version].iter().any(|text| text.contains("organization_keys ADD COLUMN own_version")) {
            let sql = |statement: &str| match &self.postgres {
                Some(postgres) => postgres.as_superuser(statement),
                None => self.served.sql(statement),
            };
            put_under_the_master_key(&self.served.data(), self.postgres.is_none(), &sql);
        }
        for text in migrations()[version..].iter().rev() {
            statements.extend(each(r"CREATE (?:UNIQUE )?INDEX (\w+)", text, &|found| {
                format!("DROP INDEX IF EXISTS {}", &found[1])
            }));
            statements.extend(each(r"ALTER TABLE (\w+) ADD COLUMN (\w+)", text, &|found| {
                format!("ALTER TABLE {} DROP COLUMN {}", &found[1], &found[2])
            }));
            // What was taken away was sealed bytes, and comes back for rows that had none.
            statements.extend(each(r"ALTER TABLE (\w+) DROP COLUMN (\w+)", text, &|found| {
                format!("ALTER TABLE {} ADD COLUMN {} BYTEA NOT NULL DEFAULT ''", &found[1], &found[2])
            }));
            statements.extend(each(r"CREATE TABLE (\w+)", text, &|found| {
                format!("DROP TABLE IF EXISTS {}{cascade}", &found[1])
            }));
        }
        statements.push(format!("UPDATE schema_versions SET version = {version}"));
        self.sql(&format!("BEGIN; {}; COMMIT;", statements.join("; ")));
        assert_eq!(self.version(), version);
    }

    fn check(&self) -> crate::stage::Outcome {
        self.served.stage.run(&self.served.words(CHECK))
    }
}

fn every_version_is_brought_up_to_date(postgres: Option<Postgres>) {
    let newest = migrations().len();
    let mut kept = Kept::on(postgres);
    assert_eq!(kept.version(), newest);
    let bearer = key(&kept.served);
    let project = kept.served.api("POST", "/projects", &bearer, "{\"name\":\"web\"}");
    assert_eq!(project.status(), 201, "{}", project.text());
    let store = |name: &str, project: &str| {
        let body =
            json!({ "name": name, "kind": "generic_env", "project": project, "data": { "A": VALUE } }).to_string();
        let made = kept.served.api("POST", "/credential-configs", &bearer, &body);
        assert_eq!(made.status(), 201, "{}", made.text());
        format!("/credential-configs/{}", made.json()["id"].as_str().unwrap())
    };
    let stored = [store("db", ""), store("db", "web")];
    for version in (1..newest).rev() {
        assert_eq!(kept.served.end("TERM"), Some(0));
        kept.back_to(version);
        kept.served.again();
        assert_eq!(kept.version(), newest, "from {version}");
        for path in &stored {
            let opened = kept.served.api("GET", &format!("{path}/secrets"), &bearer, "");
            assert_eq!(opened.status(), 200, "from {version}: {}", opened.text());
            assert_eq!(opened.json()["data"]["A"], VALUE, "from {version}");
        }
        let members = kept.served.api("GET", "/members", &bearer, "").json();
        assert_eq!(members["items"].as_array().unwrap().len(), 1, "from {version}");
        let projects = kept.served.api("GET", "/projects", &bearer, "").json();
        assert_eq!(projects["items"][0]["name"], "web", "from {version}");
        // What the audit is listed by is of the third version; going back beyond that has taken it away.
        if version >= 3 {
            let whole = kept.served.api("GET", "/audit/verify", &bearer, "").json();
            assert_eq!(whole["valid"], true, "from {version}: {whole}");
        }
        let note = kept.served.api("PATCH", &stored[0], &bearer, &json!({ "note": version.to_string() }).to_string());
        assert_eq!(note.status(), 200, "from {version}: {}", note.text());
    }
}

#[test]
fn every_earlier_version_is_brought_up_to_date_with_what_is_in_it() {
    every_version_is_brought_up_to_date(None);
}

#[test]
fn every_earlier_version_is_brought_up_to_date_on_postgresql_as_well() {
    every_version_is_brought_up_to_date(Some(Postgres::start()));
}

/// Several that start at the same time bring the tables up to date once, and what is of a later version stays as it is.
fn once_and_never_back(postgres: Option<Postgres>) {
    let newest = migrations().len();
    let mut kept = Kept::on(postgres);
    assert_eq!(kept.served.end("TERM"), Some(0));
    for round in 0..3 {
        kept.back_to(3 + round);
        let (stage, words) = (&kept.served.stage, kept.served.words(&CHECK[1..]));
        let start = || {
            let mut running = stage.start(&words);
            running.wait_for("its address", |line| line.contains("Serving ").then_some(()));
            running.signal("TERM");
            running.finish()
        };
        let done: Vec<_> = std::thread::scope(|scope| {
            let all: Vec<_> = (0..4).map(|_| scope.spawn(start)).collect();
            all.into_iter().map(|one| one.join().unwrap()).collect()
        });
        for one in done {
            one.ends(0);
        }
        assert_eq!(kept.version(), newest);
    }
    kept.sql(&format!("UPDATE schema_versions SET version = {}", newest + 1));
    for words in [CHECK, &CHECK[1..]] {
        let refused = kept.served.stage.run(&kept.served.words(words));
        let told = refused.ends(3).stderr();
        assert!(told.contains("written by a newer lanyard") && told.contains("install the newer lanyard"), "{told}");
    }
    assert_eq!(kept.version(), newest + 1);
    kept.sql(&format!("UPDATE schema_versions SET version = {newest}"));
    kept.check().ends(0);
}

#[test]
fn tables_are_brought_up_to_date_once_and_never_back() {
    once_and_never_back(None);
}

#[test]
fn tables_are_brought_up_to_date_once_and_never_back_on_postgresql_as_well() {
    once_and_never_back(Some(Postgres::start()));
}

/// Whoever only looks brings nothing up to date, whether a server runs or not.
fn left_to_the_next_start(postgres: Option<Postgres>) {
    let mut kept = Kept::on(postgres);
    let newest = kept.version();
    let address = kept.served.url.split("://").nth(1).unwrap().to_owned();
    kept.back_to(newest - 1);
    let check = |kept: &Kept| kept.served.stage.run(&kept.served.words(&["--check", "--listen", &address]));
    let is_left = |kept: &Kept| {
        let told = check(kept).ends(0);
        assert!(told.stderr().contains("the next start brings them up to date"), "{told}");
        assert!(!told.stderr().contains("the audit is whole"), "{told}");
        assert_eq!(kept.version(), newest - 1);
    };
    is_left(&kept);
    kept.sql(&format!("UPDATE schema_versions SET version = {}", newest + 1));
    let newer = check(&kept).ends(3);
    assert!(newer.stderr().contains("written by a newer lanyard"), "{newer}");
    kept.sql(&format!("UPDATE schema_versions SET version = {}", newest - 1));
    assert_eq!(kept.served.end("TERM"), Some(0));
    is_left(&kept);
    // Its master key is looked at all the same.
    let key = kept.served.data().join("master.key");
    let (good, bad) = (std::fs::read(&key).unwrap(), STANDARD.encode([7; 32]));
    std::fs::write(&key, bad).unwrap();
    assert!(check(&kept).ends(7).stderr().contains("is of another server"));
    std::fs::write(&key, good).unwrap();
    kept.served.again();
    assert_eq!(kept.version(), newest);
    assert!(check(&kept).ends(0).stderr().contains("the audit is whole"));
}

#[test]
fn tables_of_an_earlier_version_are_left_to_the_next_start() {
    left_to_the_next_start(None);
}

#[test]
fn tables_of_an_earlier_version_are_left_to_the_next_start_on_postgresql_as_well() {
    left_to_the_next_start(Some(Postgres::start()));
}

/// A server of before goes on beside the tables of a later version, which add to those that it knows.
fn a_server_of_before_goes_on(postgres: Option<Postgres>) {
    let kept = Kept::on(postgres);
    let newest = kept.version();
    let bearer = key(&kept.served);
    let mut later = vec![
        "CREATE TABLE later (org TEXT NOT NULL, id TEXT NOT NULL, PRIMARY KEY (org, id))".to_owned(),
        "CREATE INDEX credentials_by_later ON credentials (org, later)".to_owned(),
        format!("UPDATE schema_versions SET version = {}", newest + 1),
    ];
    for table in [
        "audit_events",
        "audit_heads",
        "credentials",
        "data_keys",
        "members",
        "organizations",
        "people",
        "projects",
        "secrets",
        "sessions",
        "settings",
        "tokens",
        "workspaces",
    ] {
        later.insert(0, format!("ALTER TABLE {table} ADD COLUMN later TEXT"));
        later.insert(0, format!("ALTER TABLE {table} ADD COLUMN number BIGINT NOT NULL DEFAULT 7"));
    }
    // What it has asked before, it asks again.
    let work = |round: &str| {
        let ask = |method: &str, path: &str, body: serde_json::Value, status: u16| {
            let body = if body.is_null() { String::new() } else { body.to_string() };
            let answer = kept.served.api(method, path, &bearer, &body);
            assert_eq!(answer.status(), status, "{round}, {method} {path}: {}", answer.text());
            answer.json()
        };
        ask("POST", "/projects", json!({ "name": format!("p{round}") }), 201);
        let body =
            json!({ "name": round, "kind": "generic_env", "project": format!("p{round}"), "data": { "A": VALUE } });
        let id = ask("POST", "/credential-configs", body, 201)["id"].as_str().unwrap().to_owned();
        let path = format!("/credential-configs/{id}");
        ask("PATCH", &path, json!({ "note": "n" }), 200);
        assert_eq!(ask("GET", &format!("{path}/secrets"), json!(null), 200)["data"]["A"], VALUE);
        assert_eq!(ask("GET", "/members", json!(null), 200)["items"].as_array().unwrap().len(), 1);
        assert_eq!(ask("GET", "/audit/verify", json!(null), 200)["valid"], true);
        ask("GET", "/credential-configs", json!(null), 200);
        kept.served.browser();
    };
    work("before");
    kept.sql(&format!("BEGIN; {}; COMMIT;", later.join("; ")));
    assert_eq!(kept.version(), newest + 1);
    work("after");
    work("again");
    // It goes on, and no other one of its version begins.
    let refused = kept.served.stage.run(&kept.served.words(&CHECK[1..])).ends(3);
    assert!(refused.stderr().contains("written by a newer lanyard"), "{refused}");
    work("still");
    assert_eq!(kept.version(), newest + 1);
}

#[test]
fn a_server_that_runs_goes_on_beside_the_tables_of_a_later_version() {
    a_server_of_before_goes_on(None);
}

#[test]
fn a_server_that_runs_goes_on_beside_the_tables_of_a_later_version_on_postgresql_as_well() {
    a_server_of_before_goes_on(Some(Postgres::start()));
}
