//! What a migration may do, now that servers of two versions may run on one database: add, and nothing else.
//!
//! A server that is already running goes on beside the tables of the next version. So it finds every table and column
//! that it knows, and whatever it writes without knowing of what is new is taken.

use std::path::Path;

/// The migrations as far as this one made the tables that the first version which was published begins with.
const BASE: u32 = 215;

/// What is wrong with a migration that comes after those.
fn problem(text: &str) -> Option<String> {
    let code: Vec<&str> = text.lines().map(|line| line.split("--").next().unwrap_or_default()).collect();
    let statements: Vec<String> = code
        .join(" ")
        .split(';')
        .map(|statement| statement.split_whitespace().collect::<Vec<_>>().join(" ").to_ascii_uppercase())
        .filter(|statement| !statement.is_empty())
        .collect();
    let name = |rest: &str| rest.split([' ', '(']).next().unwrap_or_default().to_owned();
    let made: Vec<String> =
        statements.iter().filter_map(|statement| statement.strip_prefix("CREATE TABLE ")).map(name).collect();
    let is_new = |table: &str| made.contains(&name(table));
    let adds = |statement: &&String| {
        if statement.starts_with("CREATE TABLE ") || statement.starts_with("CREATE INDEX ") {
            return true;
        }
        if let Some(rest) = statement.strip_prefix("CREATE UNIQUE INDEX ") {
            // In a table that was there, a server of before might write the same twice.
            return rest.split_once(" ON ").is_some_and(|(_, table)| is_new(table));
        }
        if let Some(rest) = statement.strip_prefix("INSERT INTO ") {
            return is_new(rest);
        }
        let Some((_, column)) = statement.strip_prefix("ALTER TABLE ").and_then(|rest| rest.split_once(' ')) else {
            return false;
        };
        let must_be_given = column.contains(" NOT NULL") && !column.contains(" DEFAULT ");
        let is_bound = [" UNIQUE", " CHECK", " PRIMARY KEY"].iter().any(|word| column.contains(word));
        column.starts_with("ADD COLUMN ") && !column.contains(',') && !must_be_given && !is_bound
    };
    statements.iter().find(|statement| !adds(statement)).cloned()
}

#[test]
fn migrations_only_add_since_servers_of_two_versions_share_a_database() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/server/db/migrations");
    let mut looked_at = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        let number: u32 = name.split('_').next().unwrap().parse().unwrap();
        looked_at += 1;
        if number > BASE {
            assert_eq!(problem(&std::fs::read_to_string(&path).unwrap()), None, "{name} does more than add");
        }
    }
    assert_eq!(looked_at, super::newest(), "each file is a migration");
}

#[test]
fn whatever_a_server_of_before_would_stumble_over_is_no_migration() {
    for good in [
        "-- DROP TABLE a;\nCREATE TABLE b (\n    a TEXT NOT NULL, -- of a; DROP it\n    PRIMARY KEY (a)\n);",
        "CREATE INDEX b_by_a ON b (a);",
        "CREATE TABLE b (a TEXT); CREATE UNIQUE INDEX b_a ON b (a); INSERT INTO b (a) SELECT a FROM c;",
        "ALTER TABLE a ADD COLUMN b TEXT;",
        "alter table a add column b BIGINT NOT NULL DEFAULT 0;",
        "ALTER TABLE a ADD COLUMN b BIGINT REFERENCES c (d);",
    ] {
        assert_eq!(problem(good), None, "{good}");
    }
    for bad in [
        "DROP TABLE a;",
        "DROP INDEX a;",
        "ALTER TABLE a DROP COLUMN b;",
        "ALTER TABLE a RENAME TO b;",
        "ALTER TABLE a RENAME COLUMN b TO c;",
        "ALTER TABLE a ALTER COLUMN b TYPE BIGINT;",
        "ALTER TABLE a ALTER COLUMN b SET NOT NULL;",
        "ALTER TABLE a ADD CONSTRAINT b CHECK (c > 0);",
        "ALTER TABLE a ADD COLUMN b TEXT NOT NULL;",
        "ALTER TABLE a ADD COLUMN b TEXT UNIQUE;",
        "ALTER TABLE a ADD COLUMN b BIGINT CHECK (b > 0);",
        "ALTER TABLE a ADD COLUMN b TEXT, DROP COLUMN c;",
        "CREATE UNIQUE INDEX a_b ON a (b);",
        "CREATE TRIGGER a BEFORE INSERT ON b BEGIN SELECT 1; END;",
        "UPDATE a SET b = 1;",
        "DELETE FROM a;",
        "INSERT INTO a (b) VALUES (1);",
        "CREATE TABLE b (a TEXT); DROP TABLE a;",
    ] {
        assert!(problem(bad).is_some(), "{bad}");
    }
}
