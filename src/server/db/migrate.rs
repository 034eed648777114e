//! Brings the tables up to date. Runs within one transaction, which keeps every other process out.

use super::{DbError, Rows, values};

/// What brings the tables from each version to the next. One that was published is never changed.
const MIGRATIONS: &[&str] = &[include_str!("migrations/0001_server.sql"), include_str!("migrations/0030_portal.sql")];

/// Makes what is missing. A database of a newer program is refused.
pub(super) fn migrate(rows: &mut dyn Rows) -> Result<(), DbError> {
    rows.batch("CREATE TABLE IF NOT EXISTS schema_versions (program TEXT PRIMARY KEY, version BIGINT NOT NULL)")?;
    let known = rows.first("SELECT version FROM schema_versions WHERE program = $1", values!["lanyard-server"])?;
    let present = known.map(|mut row| row.int(0)).transpose()?;
    let present = usize::try_from(present.unwrap_or_default()).map_err(|_| DbError::Shape)?;
    let missing = MIGRATIONS.get(present..).ok_or(DbError::Newer)?;
    if missing.is_empty() {
        return Ok(());
    }
    for migration in missing {
        rows.batch(migration)?;
    }
    let version = i64::try_from(MIGRATIONS.len()).map_err(|_| DbError::Shape)?;
    rows.execute(
        "INSERT INTO schema_versions (program, version) VALUES ($1, $2) \
         ON CONFLICT (program) DO UPDATE SET version = $2",
        values!["lanyard-server", version],
    )?;
    Ok(())
}
