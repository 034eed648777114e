//! The wall between organizations within the database itself: row-level security.
//!
//! Every table with a column `org` shows a transaction the rows of the organization that it works in, takes no others,
//! and shows one that names no organization nothing at all. Sealed secrets are there for a transaction that has opened
//! them alone, so that no statement about anything else can touch them, and entries of the audit are added and neither
//! changed nor taken away. The owner of the tables is bound as well; only a superuser of the database is not.

use super::Within;
use crate::server::db::{Closed, DbError, Reach, Rows, migrate};

/// What a transaction is set to that reaches all organizations. No identifier is that.
const ALL: &str = "*";

/// The tables with sealed secrets and their keys.
const SECRETS: [&str; 3] = ["data_keys", "secrets", "upstream_secrets"];
/// The table that is written once.
const HISTORY: &str = "audit_events";

/// The statement by which a transaction says how far it reaches. It ends with the transaction.
pub(super) fn enter(reach: Reach<'_>) -> String {
    let (word, opening) = match reach {
        Reach::Of(scope) => (scope.id(), ""),
        Reach::Secrets(scope) => (scope.id(), open(Closed::Secrets)),
        Reach::Server => (ALL, ""),
    };
    format!("SET LOCAL lanyard.org = '{}'; {opening}", word.replace('\'', "''"))
}

/// The statement by which a transaction opens what is closed else.
pub(super) fn open(closed: Closed) -> &'static str {
    match closed {
        Closed::Secrets => "SET LOCAL lanyard.open = 'secrets'",
        Closed::History => "SET LOCAL lanyard.open = 'history'",
    }
}

/// Puts the wall up around every table that has none yet, also those that another version of the program has made.
pub(super) fn put_up(rows: &mut Within<'_>) -> Result<(), DbError> {
    let open = "SELECT c.relname::text FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid \
                WHERE c.relkind = 'r' AND c.relnamespace = current_schema()::regnamespace AND a.attname = 'org' \
                AND NOT a.attisdropped AND NOT (c.relrowsecurity AND c.relforcerowsecurity) ORDER BY 1";
    for mut row in rows.query(open, &[])? {
        let table = row.text(0)?;
        if !migrate::is_ours(&table) {
            continue;
        }
        let own = format!("current_setting('lanyard.org', true) IN (org, '{ALL}')");
        let mut policies = vec![("organization", "ALL", "true")];
        if SECRETS.contains(&table.as_str()) {
            policies = vec![("opened", "ALL", "current_setting('lanyard.open', true) IN ('secrets', 'history')")];
        } else if table == HISTORY {
            let opened = "current_setting('lanyard.open', true) = 'history'";
            policies = vec![("seen", "SELECT", "true"), ("changed", "UPDATE", opened), ("removed", "DELETE", opened)];
            rows.batch(&format!(
                "DROP POLICY IF EXISTS written ON \"{table}\"; \
                 CREATE POLICY written ON \"{table}\" FOR INSERT WITH CHECK ({own})"
            ))?;
        }
        for (name, of, opened) in policies {
            rows.batch(&format!(
                "DROP POLICY IF EXISTS {name} ON \"{table}\"; \
                 CREATE POLICY {name} ON \"{table}\" FOR {of} USING ({own} AND {opened})"
            ))?;
        }
        rows.batch(&format!("ALTER TABLE \"{table}\" ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY"))?;
    }
    Ok(())
}
