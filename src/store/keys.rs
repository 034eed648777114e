//! The rows of vaults and of the keys that open them.

use sqlx::any::AnyRow;

use super::{RowError, Store, column};

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

fn key(row: &AnyRow) -> Result<KeyRow, sqlx::Error> {
    Ok(KeyRow { id: column(row, 0)?, purpose: column(row, 1)?, created: column(row, 2)?, wrapped: column(row, 3)? })
}

impl Store {
    /// The vault of this database; `None` in a new one. A local database has one vault.
    pub fn vault(&self) -> Result<Option<VaultRow>, RowError> {
        self.with(async |connection| {
            let row = sqlx::query("SELECT id, created, storage FROM vaults ORDER BY created LIMIT 1")
                .fetch_optional(connection)
                .await?;
            row.map(|row| Ok(VaultRow { id: column(&row, 0)?, created: column(&row, 1)?, storage: column(&row, 2)? }))
                .transpose()
        })
    }

    /// Makes the vault with its root key; `false` where another process has just made one.
    pub fn create_vault(&self, vault: &VaultRow, root: &KeyRow) -> Result<bool, RowError> {
        self.atomically(async |connection| {
            let made = sqlx::query(
                "INSERT INTO vaults (id, created, storage) SELECT $1, $2, $3 WHERE NOT EXISTS (SELECT 1 FROM vaults)",
            )
            .bind(&vault.id)
            .bind(vault.created)
            .bind(&vault.storage)
            .execute(&mut *connection)
            .await?;
            if made.rows_affected() == 0 {
                return Ok(false);
            }
            insert_key(connection, &vault.id, root).await?;
            Ok(true)
        })
    }

    /// The keys that open a vault, the newest first.
    pub fn keys(&self, vault: &str) -> Result<Vec<KeyRow>, RowError> {
        self.with(async |connection| {
            let rows = sqlx::query(
                "SELECT id, purpose, created, wrapped FROM vault_keys WHERE vault = $1 ORDER BY created DESC, id DESC",
            )
            .bind(vault)
            .fetch_all(connection)
            .await?;
            rows.iter().map(key).collect()
        })
    }

    /// Puts a key in the place of all others of its purpose.
    pub fn replace_key(&self, vault: &str, key: &KeyRow, storage: Option<&str>) -> Result<(), RowError> {
        self.atomically(async |connection| {
            sqlx::query("DELETE FROM vault_keys WHERE vault = $1 AND purpose = $2")
                .bind(vault)
                .bind(&key.purpose)
                .execute(&mut *connection)
                .await?;
            insert_key(connection, vault, key).await?;
            if let Some(storage) = storage {
                sqlx::query("UPDATE vaults SET storage = $2 WHERE id = $1")
                    .bind(vault)
                    .bind(storage)
                    .execute(&mut *connection)
                    .await?;
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
    ) -> Result<bool, RowError> {
        self.atomically(async |connection| {
            let rows = sqlx::query(
                "SELECT data_keys.credential, data_keys.version, data_keys.wrapped FROM data_keys \
                 JOIN credentials ON credentials.id = data_keys.credential WHERE credentials.vault = $1",
            )
            .bind(vault)
            .fetch_all(&mut *connection)
            .await?;
            for row in &rows {
                let (credential, version): (String, i64) = (column(row, 0)?, column(row, 1)?);
                let Some(wrapped) = rewrap(&credential, version, &column::<Vec<u8>>(row, 2)?) else {
                    // An error rolls back what was rewrapped so far.
                    return Err(sqlx::Error::RowNotFound);
                };
                sqlx::query("UPDATE data_keys SET wrapped = $2 WHERE credential = $1")
                    .bind(&credential)
                    .bind(wrapped)
                    .execute(&mut *connection)
                    .await?;
            }
            sqlx::query("DELETE FROM vault_keys WHERE vault = $1").bind(vault).execute(&mut *connection).await?;
            insert_key(connection, vault, root).await?;
            sqlx::query("UPDATE vaults SET storage = $2 WHERE id = $1")
                .bind(vault)
                .bind(storage)
                .execute(&mut *connection)
                .await?;
            Ok(true)
        })
    }
}

async fn insert_key(connection: &mut sqlx::AnyConnection, vault: &str, key: &KeyRow) -> Result<(), sqlx::Error> {
    sqlx::query("INSERT INTO vault_keys (id, vault, purpose, created, wrapped) VALUES ($1, $2, $3, $4, $5)")
        .bind(&key.id)
        .bind(vault)
        .bind(&key.purpose)
        .bind(key.created)
        .bind(key.wrapped.as_slice())
        .execute(connection)
        .await?;
    Ok(())
}
