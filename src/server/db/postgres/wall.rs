//! The wall between organizations within the database itself: row-level security.
//!
//! Every table with a column `org` shows a transaction the rows of the organization that it works in, takes no others,
//! and shows one that names no organization nothing at all. The owner of the tables is bound as well; only a superuser of
//! the database is not.

use super::Within;
use crate::server::db::{DbError, Reach, Rows, migrate};

/// What a transaction is set to that reaches all organizations. No identifier is that.
const ALL: &str = "*";

/// The statement by which a transaction says how far it reaches. It ends with the transaction.
pub(super) fn enter(reach: Reach<'_>) -> String {
    let word = match reach {
        Reach::Of(scope) => scope.id(),
        Reach::Server => ALL,
    };
    format!("SET LOCAL lanyard.org = '{}'", word.replace('\'', "''"))
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
        rows.batch(&format!(
            "DROP POLICY IF EXISTS organization ON \"{table}\"; \
             CREATE POLICY organization ON \"{table}\" USING (current_setting('lanyard.org', true) IN (org, '{ALL}')); \
             ALTER TABLE \"{table}\" ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY",
        ))?;
    }
    Ok(())
}
