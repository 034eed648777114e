//! Brings the tables up to date. Runs within one transaction, which keeps every other process out.

use super::{DbError, Rows, Table, values};

/// What brings the tables from each version to the next. One that was published is never changed.
const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001_server.sql"),
    include_str!("migrations/0010_team.sql"),
    include_str!("migrations/0020_audit.sql"),
    include_str!("migrations/0030_portal.sql"),
    include_str!("migrations/0040_identity.sql"),
    include_str!("migrations/0050_once.sql"),
    include_str!("migrations/0060_engine.sql"),
    include_str!("migrations/0070_registries.sql"),
    include_str!("migrations/0080_sign_in.sql"),
    include_str!("migrations/0110_edge.sql"),
    include_str!("migrations/0120_connect.sql"),
    include_str!("migrations/0130_apart.sql"),
    include_str!("migrations/0150_people.sql"),
    include_str!("migrations/0160_scope.sql"),
    include_str!("migrations/0170_oauth.sql"),
    include_str!("migrations/0180_keys.sql"),
    include_str!("migrations/0210_people.sql"),
    include_str!("migrations/0215_levels.sql"),
    include_str!("migrations/0220_taken.sql"),
    include_str!("migrations/0230_clients.sql"),
    include_str!("migrations/0240_signing.sql"),
    include_str!("migrations/0250_reset.sql"),
];

/// The version of the tables that this program has.
pub(crate) fn newest() -> usize {
    MIGRATIONS.len()
}

/// Makes what is missing, as far as a version or all of it. A database of a newer program is refused.
pub(super) fn migrate(rows: &mut dyn Rows, to: Option<usize>) -> Result<(), DbError> {
    let to = to.unwrap_or(MIGRATIONS.len());
    rows.batch("CREATE TABLE IF NOT EXISTS schema_versions (program TEXT PRIMARY KEY, version BIGINT NOT NULL)")?;
    let known = rows.first("SELECT version FROM schema_versions WHERE program = $1", values!["lanyard-server"])?;
    let present = known.map(|mut row| row.int(0)).transpose()?;
    let present = usize::try_from(present.unwrap_or_default()).map_err(|_| DbError::Shape)?;
    let missing = MIGRATIONS.get(present..to).ok_or(DbError::Newer)?;
    if missing.is_empty() {
        return Ok(());
    }
    for migration in missing {
        rows.batch(migration)?;
    }
    let version = i64::try_from(to).map_err(|_| DbError::Shape)?;
    rows.execute(
        "INSERT INTO schema_versions (program, version) VALUES ($1, $2) \
         ON CONFLICT (program) DO UPDATE SET version = $2",
        values!["lanyard-server", version],
    )?;
    Ok(())
}

/// What the tables are, as against what this program has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    /// There are none.
    None,
    /// An earlier version of the program made them.
    Earlier,
    /// They are as they should be.
    Newest,
}

/// What the tables are. Those of a newer program are refused.
pub(super) fn version(rows: &mut dyn Rows) -> Result<Version, DbError> {
    if !rows.tables()?.iter().any(Table::is_schema) {
        return Ok(Version::None);
    }
    match rows.schema()? {
        0 => Ok(Version::None),
        known if known < MIGRATIONS.len() => Ok(Version::Earlier),
        known if known == MIGRATIONS.len() => Ok(Version::Newest),
        _ => Err(DbError::Newer),
    }
}

/// Whether a table is one that a migration makes. Others in the same database are somebody else's.
pub(super) fn is_ours(table: &str) -> bool {
    let makes = |text: &str| {
        ["CREATE TABLE ", "RENAME TO "].iter().any(|before| {
            text.split(before).skip(1).any(|rest| {
                rest.strip_prefix(table)
                    .is_some_and(|rest| !rest.starts_with(|next: char| next.is_alphanumeric() || next == '_'))
            })
        })
    };
    table == "schema_versions" || MIGRATIONS.iter().any(|text| makes(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::db::{Address, Database, Reach};

    #[test]
    fn names_that_were_two_stay_two_and_become_no_more() {
        let dir = tempfile::tempdir().unwrap();
        let db = Database::open_as_it_is(&Address::Sqlite(dir.path().join("server.db"))).unwrap();
        let before = MIGRATIONS.iter().position(|text| text.contains("trust_rules_folded")).unwrap();
        let put = |id: &str, name: &str, created: i64, folded: &str| {
            let columns =
                "org, id, name, issuer, audience, subject, claims, permissions, life, mode, person, created, revision";
            let values = format!("'org', '{id}', '{name}', '', '', '', '', '', 900, '', 'alice', {created}, 1");
            match folded {
                "" => format!("INSERT INTO trust_rules ({columns}) VALUES ({values})"),
                folded => format!("INSERT INTO trust_rules ({columns}, folded) VALUES ({values}, '{folded}')"),
            }
        };
        db.write(Reach::Server, |rows| -> Result<(), DbError> {
            rows.migrate_to(Some(before))?;
            rows.batch("INSERT INTO organizations (id, name, created) VALUES ('org', 'Test', 0)")?;
            rows.batch("INSERT INTO people (id, login, passphrase, created) VALUES ('alice', 'alice', '-', 0)")?;
            for (id, name, created) in [("c", "CI", 3), ("b", "Ci", 1), ("a", "ci", 2), ("d", "other", 0)] {
                rows.batch(&put(id, name, created, ""))?;
            }
            rows.migrate_to(None)
        })
        .unwrap();
        let kept = db
            .read(Reach::Server, |rows| rows.query("SELECT id, name, folded FROM trust_rules ORDER BY id", &[]))
            .unwrap()
            .into_iter()
            .map(|mut row| [0, 1, 2].map(|at| row.text(at).unwrap()))
            .collect::<Vec<_>>();
        let wanted = [["a", "ci", "ci\na"], ["b", "Ci", "ci"], ["c", "CI", "ci\nc"], ["d", "other", "other"]];
        assert_eq!(kept, wanted.map(|row| row.map(str::to_owned)));
        let again = db.write(Reach::Server, |rows| rows.batch(&put("e", "cI", 4, "ci")));
        assert!(matches!(again, Err(DbError::Taken)), "{again:?}");
    }
}
