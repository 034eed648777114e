//! The rows of vaults and of the keys that open them.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::change::stands;
use super::{Opened, RowError, Store, Written};

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

    /// Makes the vault, without a key yet, where there is none.
    pub fn create_vault(&self, vault: &VaultRow) -> Result<(), RowError> {
        let make =
            "INSERT INTO vaults (id, created, storage) SELECT ?1, ?2, ?3 WHERE NOT EXISTS (SELECT 1 FROM vaults)";
        self.with(|connection| connection.execute(make, params![vault.id, vault.created, vault.storage])).map(|_| ())
    }

    /// Gives a vault its first key; `false` where it has one.
    pub fn first_key(&self, vault: &str, root: &KeyRow, storage: &str) -> Result<bool, RowError> {
        self.atomically(|transaction| {
            let exists = "SELECT EXISTS (SELECT 1 FROM vault_keys WHERE vault = ?1)";
            if transaction.query_row(exists, [vault], |row| row.get(0))? {
                return Ok(false);
            }
            put_root(transaction, vault, root, storage)?;
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

    /// Puts a recovery key in the place of any other.
    pub fn replace_recovery(&self, opened: Opened<'_>, key: &KeyRow) -> Result<Written, RowError> {
        let written = self.atomically(|transaction| {
            if !stands(transaction, opened)? {
                return Ok(Written::Rekeyed);
            }
            forget_keys(transaction, opened.vault, &key.purpose)?;
            insert_key(transaction, opened.vault, key)?;
            Ok(Written::Done)
        })?;
        self.empty_log();
        Ok(written)
    }

    /// Puts a root key that rests in `storage` in the place of the present one.
    pub fn replace_root(&self, opened: Opened<'_>, root: &KeyRow, storage: &str) -> Result<Written, RowError> {
        let written = self.atomically(|transaction| {
            if !stands(transaction, opened)? {
                return Ok(Written::Rekeyed);
            }
            put_root(transaction, opened.vault, root, storage)?;
            Ok(Written::Done)
        })?;
        self.empty_log();
        Ok(written)
    }

    /// Replaces every key of a vault and every data key in it, all at once: a new vault key under a new root key.
    ///
    /// `rewrap` turns the old wrapped data key of a credential's version into the new one; where it gives `None`,
    /// nothing is changed.
    pub fn rekey(
        &self,
        opened: Opened<'_>,
        root: &KeyRow,
        storage: &str,
        mut rewrap: impl FnMut(&str, i64, &[u8]) -> Option<Vec<u8>>,
    ) -> Result<Rekeyed, RowError> {
        let vault = opened.vault;
        let rekeyed = self.atomically_if(|transaction| {
            if !stands(transaction, opened)? {
                return Ok((Rekeyed::BySomebodyElse, false));
            }
            let mut statement = transaction.prepare(
                "SELECT data_keys.credential, credentials.name, data_keys.version, data_keys.wrapped FROM data_keys \
                 JOIN credentials ON credentials.id = data_keys.credential WHERE credentials.vault = ?1",
            )?;
            let mut rows = statement.query([vault])?;
            let mut rewrapped = Vec::new();
            while let Some(row) = rows.next()? {
                let (id, wrapped): (String, Vec<u8>) = (row.get(0)?, row.get(3)?);
                let Some(wrapped) = rewrap(&id, row.get(2)?, &wrapped) else {
                    return Ok((Rekeyed::DoesNotOpen(row.get(1)?), false));
                };
                rewrapped.push((id, wrapped));
            }
            for (id, wrapped) in rewrapped {
                transaction.execute("UPDATE data_keys SET wrapped = ?2 WHERE credential = ?1", params![id, wrapped])?;
            }
            transaction.execute("DELETE FROM vault_keys WHERE vault = ?1", [vault])?;
            put_root(transaction, vault, root, storage)?;
            Ok((Rekeyed::Done, true))
        })?;
        self.empty_log();
        Ok(rekeyed)
    }
}

/// What became of a change of all keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rekeyed {
    /// Every key is new.
    Done,
    /// Nothing was changed: the key that opened the vault is not its key any more.
    BySomebodyElse,
    /// Nothing was changed: the data key of the credential of that name does not open.
    DoesNotOpen(String),
}

fn put_root(connection: &Connection, vault: &str, root: &KeyRow, storage: &str) -> rusqlite::Result<()> {
    forget_keys(connection, vault, &root.purpose)?;
    insert_key(connection, vault, root)?;
    connection.execute("UPDATE vaults SET storage = ?2 WHERE id = ?1", [vault, storage])?;
    Ok(())
}

fn forget_keys(connection: &Connection, vault: &str, purpose: &str) -> rusqlite::Result<()> {
    connection.execute("DELETE FROM vault_keys WHERE vault = ?1 AND purpose = ?2", [vault, purpose])?;
    Ok(())
}

fn insert_key(connection: &Connection, vault: &str, key: &KeyRow) -> rusqlite::Result<()> {
    connection.execute(
        "INSERT INTO vault_keys (id, vault, purpose, created, wrapped) VALUES (?1, ?2, ?3, ?4, ?5)",
        params![key.id, vault, key.purpose, key.created, key.wrapped],
    )?;
    Ok(())
}
