//! Whole copies of the database, and the way back. SQLite only.

use std::path::Path;

use super::{RowError, Store};
use crate::os::files;
use crate::secret::Reason;

/// The tables, those that others refer to first.
const TABLES: [&str; 6] = ["vaults", "vault_keys", "credentials", "data_keys", "secrets", "hosts"];

impl Store {
    /// Writes a consistent copy of the whole database to a new file of its owner alone. A kill may leave half of it.
    pub fn copy_to(&self, path: &Path) -> Result<(), RowError> {
        files::ensure_private(path)?;
        let name = text_of(path)?;
        self.with(|connection| connection.execute("VACUUM INTO ?1", [name])).map(|_| ())
    }

    /// Replaces every row by those of another database of the same form, all at once.
    pub fn replace_by(&self, other: &Path) -> Result<(), RowError> {
        let name = text_of(other)?;
        self.with(|connection| connection.execute("ATTACH DATABASE ?1 AS other", [name]))?;
        let replaced = self.atomically(|transaction| {
            for table in TABLES {
                transaction.execute_batch(&format!("DELETE FROM main.{table}"))?;
            }
            for table in TABLES {
                transaction.execute_batch(&format!("INSERT INTO main.{table} SELECT * FROM other.{table}"))?;
            }
            Ok(())
        });
        self.with(|connection| connection.execute_batch("DETACH DATABASE other"))?;
        self.empty_log();
        replaced
    }

    /// Reads every page and index; an error where one is damaged.
    pub fn check_whole(&self) -> Result<(), RowError> {
        let said: String =
            self.with(|connection| connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)))?;
        if said == "ok" {
            return Ok(());
        }
        Err(RowError::Damaged { path: self.path.clone(), cause: Reason("a page does not check out".into()) })
    }
}

/// The path as the database takes it.
fn text_of(path: &Path) -> Result<&str, RowError> {
    let unfit = || RowError::Refused { path: path.to_owned(), cause: Reason("its name is no UTF-8".into()) };
    path.to_str().ok_or_else(unfit)
}
