//! The rows of vaults and of the keys that open them.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{RowError, Store};

/// A vault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VaultRow {
    /// The identifier.
    pub id: String,
    /// When it was made, in milliseconds since 1970.
    pub created: i64,
    /// In which secret store its root key rests.
    pub storage: String,
}

/// The vault key under one of the keys that open it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRow {
    /// The identifier of the key that opens it.
    pub id: String,
    /// `root` or `recovery`.
    pub purpose: String,
    /// When it was made, in milliseconds since 1970.
    pub created: i64,
    /// The vault key, sealed.
    pub wrapped: Vec<u8>,
}

fn key(row: &Row<'_>) -> rusqlite::Result<KeyRow> {
    Ok(KeyRow { id: row.get(0)?, purpose: row.get(1)?, created: row.get(2)?, wrapped: row.get(3)? })
}

impl Store {
    /// The vault of this database; `None` in a new one. A local database has one vault.
    pub fn vault(&self) -> Result<Option<VaultRow>, RowError> {
        self.with(|connection| {
            let statement = "SELECT id, created, storage FROM vaults ORDER BY created LIMIT 1";
            let vault = |row: &Row<'_>| Ok(VaultRow { id: row.get(0)?, created: row.get(1)?, storage: row.get(2)? });
            connection.query_row(statement, [], vault).optional()
        })
    }

    /// Makes the vault with its root key; `false` where another process has just made one.
    pub fn create_vault(&self, vault: &VaultRow, root: &KeyRow) -> Result<bool, RowError> {
        self.atomically(|transaction| {
            let made = transaction.execute(
                "INSERT INTO vaults (id, created, storage) SELECT ?1, ?2, ?3 WHERE NOT EXISTS (SELECT 1 FROM vaults)",
                params![vault.id, vault.created, vault.storage],
            )?;
            if made == 0 {
                return Ok(false);
            }
            insert_key(transaction, &vault.id, root)?;
            Ok(true)
        })
    }

    /// The keys that open a vault, the newest first.
    pub fn keys(&self, vault: &str) -> Result<Vec<KeyRow>, RowError> {
        self.with(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT id, purpose, created, wrapped FROM vault_keys WHERE vault = ?1 ORDER BY created DESC, id DESC",
            )?;
            statement.query_map([vault], key)?.collect()
        })
    }

    /// Puts a key in the place of all others of its purpose.
    pub fn replace_key(&self, vault: &str, key: &KeyRow, storage: Option<&str>) -> Result<(), RowError> {
        self.atomically(|transaction| {
            transaction
                .execute("DELETE FROM vault_keys WHERE vault = ?1 AND purpose = ?2", params![vault, key.purpose])?;
            insert_key(transaction, vault, key)?;
            if let Some(storage) = storage {
                transaction.execute("UPDATE vaults SET storage = ?2 WHERE id = ?1", [vault, storage])?;
            }
            Ok(())
        })
    }

    /// Replaces every key of a vault and every data key in it, all at once: a new vault key under a new root key.
    ///
    /// `rewrap` turns the old wrapped data key of a credential's version into the new one; `None` stops everything.
    pub fn rekey(
        &self,
        vault: &str,
        root: &KeyRow,
        storage: &str,
        mut rewrap: impl FnMut(&str, i64, &[u8]) -> Option<Vec<u8>>,
    ) -> Result<(), RowError> {
        self.atomically(|transaction| {
            let mut statement = transaction.prepare(
                "SELECT data_keys.credential, data_keys.version, data_keys.wrapped FROM data_keys \
                 JOIN credentials ON credentials.id = data_keys.credential WHERE credentials.vault = ?1",
            )?;
            let rows: Vec<(String, i64, Vec<u8>)> = statement
                .query_map([vault], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
                .collect::<Result<_, _>>()?;
            for (credential, version, wrapped) in rows {
                // An error rolls back what was rewrapped so far.
                let wrapped = rewrap(&credential, version, &wrapped).ok_or(rusqlite::Error::QueryReturnedNoRows)?;
                transaction
                    .execute("UPDATE data_keys SET wrapped = ?2 WHERE credential = ?1", params![credential, wrapped])?;
            }
            transaction.execute("DELETE FROM vault_keys WHERE vault = ?1", [vault])?;
            insert_key(transaction, vault, root)?;
            transaction.execute("UPDATE vaults SET storage = ?2 WHERE id = ?1", [vault, storage])?;
            Ok(())
        })
    }
}

fn insert_key(connection: &Connection, vault: &str, key: &KeyRow) -> rusqlite::Result<()> {
    connection.execute(
        "INSERT INTO vault_keys (id, vault, purpose, created, wrapped) VALUES (?1, ?2, ?3, ?4, ?5)",
        params![key.id, vault, key.purpose, key.created, key.wrapped],
    )?;
    Ok(())
}
