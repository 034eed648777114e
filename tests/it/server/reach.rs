//! The wall between organizations in the database itself: what a statement sees that forgot whose it is.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::postgres::Postgres;
use super::served::{Served, token};

/// A server on PostgreSQL with two organizations and a credential in each; the organizations, and a token of each.
fn two_organizations(postgres: &Postgres) -> (Served, [(String, String); 2]) {
    let served = Served::new(&["--database", &postgres.url()]);
    let browser = served.browser();
    let first = served.manager();
    let bearer = token(&first);
    let own = served.api("GET", "/userinfo", &bearer, "").json()["organization"]["id"].as_str().unwrap().to_owned();
    let made = served.api("POST", "/organizations", &bearer, r#"{"name":"Second"}"#);
    assert_eq!(made.status(), 201, "{}", made.text());
    let other = made.json()["id"].as_str().unwrap().to_owned();
    let second = served.client_of(&browser, Some(&other));
    let first = served.client_of(&browser, Some(&own));
    let both = [(own, token(&first)), (other, token(&second))];
    for (org, bearer) in &both {
        let body = json!({ "name": format!("of-{org}"), "kind": "generic_env", "data": { "A": "1" } }).to_string();
        assert_eq!(served.api("POST", "/credential-configs", bearer, &body).status(), 201);
    }
    (served, both)
}

#[test]
fn a_statement_sees_and_changes_its_own_organization_alone() {
    let postgres = Postgres::start();
    let (_served, [(own, _), (other, _)]) = two_organizations(&postgres);
    let columns = "SELECT table_name FROM information_schema.columns WHERE table_schema = current_schema() \
                   AND column_name = 'org' ORDER BY 1";
    let tables = postgres.sql(columns).unwrap();
    let tables: Vec<&str> = tables.lines().collect();
    assert!(tables.len() > 15 && tables.contains(&"secrets") && tables.contains(&"audit_events"), "{tables:?}");
    let mut with_rows = 0;
    for table in &tables {
        let state = format!("SELECT relrowsecurity, relforcerowsecurity FROM pg_class WHERE oid = '{table}'::regclass");
        assert_eq!(postgres.sql(&state).unwrap(), "t|t", "{table}");
        // Whoever says nothing sees nothing, though the rows are there, and the table is theirs.
        assert_eq!(postgres.sql(&format!("SELECT COUNT(*) FROM {table}")).unwrap(), "0", "{table}");
        let there = postgres.as_superuser(&format!("SELECT COUNT(DISTINCT org) FROM {table}"));
        with_rows += usize::from(there != "0");
        let mine = format!("BEGIN; SET LOCAL lanyard.org = '{own}'; SELECT DISTINCT org FROM {table}; COMMIT");
        let seen = postgres.sql(&mine).unwrap();
        assert!(seen.is_empty() || seen == own, "{table}: {seen}");
        // With its end, a transaction has said nothing.
        let after = format!("BEGIN; SET LOCAL lanyard.org = '{own}'; COMMIT; SELECT COUNT(*) FROM {table}");
        assert_eq!(postgres.sql(&after).unwrap(), "0", "{table}");
        let emptied = format!(
            "BEGIN; SET LOCAL lanyard.org = '{own}'; WITH gone AS (DELETE FROM {table} WHERE org <> '{own}' RETURNING 1) \
             SELECT COUNT(*) FROM gone; ROLLBACK"
        );
        assert_eq!(postgres.sql(&emptied).unwrap(), "0", "{table}");
    }
    assert!(with_rows >= 8, "{with_rows}");
    let tried = |statement: &str| postgres.sql(&format!("BEGIN; SET LOCAL lanyard.org = '{own}'; {statement}; COMMIT"));
    assert_eq!(tried("SELECT COUNT(*) FROM credentials").unwrap(), "1");
    let opened = |statement: &str| tried(&format!("SET LOCAL lanyard.open = 'secrets'; {statement}"));
    // What is sealed is there for whoever has opened it, and the other organization's for nobody.
    for table in ["secrets", "data_keys"] {
        assert_eq!(tried(&format!("SELECT COUNT(*) FROM {table}")).unwrap(), "0", "{table}");
        assert_eq!(opened(&format!("SELECT COUNT(*) FROM {table}")).unwrap(), "1", "{table}");
        assert_eq!(opened(&format!("SELECT COUNT(*) FROM {table} WHERE org = '{other}'")).unwrap(), "0", "{table}");
        tried(&format!("DELETE FROM {table}")).unwrap();
        assert_eq!(postgres.as_superuser(&format!("SELECT COUNT(*) FROM {table}")), "2", "{table}");
    }
    let sneaked = "INSERT INTO secrets (org, credential, field, version, sealed) \
                   SELECT org, id, 'B', 1, '' FROM credentials";
    assert!(tried(sneaked).unwrap_err().contains("violates row-level security policy"));
    for statement in [
        format!("UPDATE credentials SET org = '{other}'"),
        format!(
            "INSERT INTO projects (org, id, name, folded, created, revision) VALUES ('{other}', 'p', 'p', 'p', 0, 1)"
        ),
        format!("INSERT INTO members (org, person, role, created) SELECT '{other}', id, 'owner', 0 FROM people"),
    ] {
        let refused = tried(&statement).unwrap_err();
        assert!(refused.contains("violates row-level security policy"), "{statement}: {refused}");
    }
    // What is told is told, and neither changed nor taken away.
    let before = postgres.as_superuser("SELECT md5(string_agg(entry, '' ORDER BY org, sequence)) FROM audit_events");
    for statement in ["UPDATE audit_events SET entry = ''", "DELETE FROM audit_events"] {
        tried(statement).unwrap();
        opened(statement).unwrap();
        postgres.sql(&format!("BEGIN; SET LOCAL lanyard.org = '*'; {statement}; COMMIT")).unwrap();
    }
    let after = postgres.as_superuser("SELECT md5(string_agg(entry, '' ORDER BY org, sequence)) FROM audit_events");
    assert_eq!(before, after);
    opened(&format!("UPDATE secrets SET sealed = '' WHERE org = '{other}'; DELETE FROM secrets WHERE org = '{other}'"))
        .unwrap();
    let whole = format!("SELECT COUNT(*) FROM secrets WHERE org = '{other}' AND length(sealed) > 0");
    assert_eq!(postgres.as_superuser(&whole), "1");
}

/// A statement about these is of one organization, whatever is asked of the server.
const OWNED: [&str; 7] =
    ["credentials", "credential_hosts", "secrets", "data_keys", "workspaces", "workspace_credentials", "trust_rules"];

#[test]
fn every_transaction_about_credentials_says_whose_they_are() {
    let postgres = Postgres::start();
    let (served, both) = two_organizations(&postgres);
    postgres.as_superuser("ALTER SYSTEM SET log_statement = 'all'");
    postgres.as_superuser("SELECT pg_reload_conf()");
    let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while !postgres.log().contains("still nothing") {
        assert!(std::time::Instant::now() < until, "the log tells of no statement");
        postgres.sql("SELECT 'still nothing'").unwrap();
    }
    for (_, bearer) in &both {
        let new = json!({ "name": "n", "kind": "generic_env", "data": { "A": "1" } }).to_string();
        let id = served.api("POST", "/credential-configs", bearer, &new).json()["id"].as_str().unwrap().to_owned();
        let space = json!({ "name": "w", "credential_config_ids": [id] }).to_string();
        let space = served.api("POST", "/workspaces", bearer, &space).json()["id"].as_str().unwrap().to_owned();
        let one = format!("/credential-configs/{id}");
        for (method, path, body) in [
            ("GET", "/credential-configs".to_owned(), ""),
            ("GET", "/credential-configs?host=example.com".to_owned(), ""),
            ("GET", one.clone(), ""),
            ("PATCH", one.clone(), r#"{"note":"x","name":"m"}"#),
            ("POST", format!("{one}/secrets"), r#"{"data":{"A":"2"}}"#),
            ("GET", format!("{one}/secrets"), ""),
            ("POST", format!("{one}/verify"), ""),
            ("GET", "/workspaces".to_owned(), ""),
            ("PATCH", format!("/workspaces/{space}"), r#"{"credential_config_ids":[]}"#),
            ("DELETE", one.clone(), ""),
            ("DELETE", format!("/workspaces/{space}"), ""),
            ("GET", "/trust-rules".to_owned(), ""),
        ] {
            let answer = served.api(method, &path, bearer, body);
            // Nobody can be asked about this kind of credential.
            let fits = answer.status() < 400 || (path.ends_with("/verify") && answer.status() == 422);
            assert!(fits, "{method} {path}: {} {}", answer.status(), answer.text());
        }
    }
    let line = regex::Regex::new(r"\[(\d+)\] LOG:  (?:statement|execute [^:]*): (.*)").unwrap();
    let word = regex::Regex::new(r"SET LOCAL lanyard.org = '([^']*)'").unwrap();
    let about = regex::Regex::new(&format!(r"\b({})\b", OWNED.join("|"))).unwrap();
    let (mut reach, mut seen, mut count) = (BTreeMap::new(), BTreeSet::new(), 0);
    for found in line.captures_iter(&postgres.log()) {
        let (connection, statement) = (found[1].to_owned(), &found[2]);
        if let Some(set) = word.captures(statement) {
            reach.insert(connection, set[1].to_owned());
        } else if ["COMMIT", "ROLLBACK"].contains(&statement) {
            reach.remove(&connection);
        } else if about.is_match(statement) {
            let org = reach.get(&connection).cloned().unwrap_or_default();
            assert!(both.iter().any(|(known, _)| *known == org), "within {org:?}: {statement}");
            seen.insert(org);
            count += 1;
        }
    }
    assert!(seen.len() == 2 && count > 50, "{count} statements in {seen:?}");
}
