//! The rows of credentials, and of their secrets, which no query joins to them.

use sqlx::AnyConnection;
use sqlx::any::AnyRow;

use super::{RowError, Store, column};

/// What a list may show of a credential. Times are milliseconds since 1970; lists and maps are JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the columns of the table, which its migration explains")]
pub struct CredentialRow {
    pub id: String,
    pub project: String,
    pub name: String,
    pub kind: String,
    pub fields: String,
    pub secret_names: String,
    pub tags: String,
    pub note: String,
    pub created: i64,
    pub updated: i64,
    pub used: Option<i64>,
    pub verified: Option<i64>,
    pub expires: Option<i64>,
    pub checked: String,
    pub version: i64,
    pub rotating: Option<i64>,
    pub retiring: Option<String>,
}

/// A sealed secret of a credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretRow {
    /// The field's name.
    pub field: String,
    /// The version of the credential that it is sealed for.
    pub version: i64,
    /// Nonce, ciphertext and tag.
    pub sealed: Vec<u8>,
}

/// The secrets of one version of a credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedRows {
    /// The version that they are sealed for.
    pub version: i64,
    /// The data key, sealed.
    pub wrapped: Vec<u8>,
    /// The secrets, by field.
    pub secrets: Vec<SecretRow>,
}

/// Which part of a long list: at most `limit` rows whose project and name come after `after`.
#[derive(Debug, Clone)]
pub struct Page {
    /// Project and name of the last row seen.
    pub after: Option<(String, String)>,
    /// How many rows at most.
    pub limit: i64,
}

macro_rules! columns {
    () => {
        "id, project, name, kind, fields, secret_names, tags, note, created, updated, used, verified, expires, \
         checked, version, rotating, retiring"
    };
}

fn credential(row: &AnyRow) -> Result<CredentialRow, sqlx::Error> {
    Ok(CredentialRow {
        id: column(row, 0)?,
        project: column(row, 1)?,
        name: column(row, 2)?,
        kind: column(row, 3)?,
        fields: column(row, 4)?,
        secret_names: column(row, 5)?,
        tags: column(row, 6)?,
        note: column(row, 7)?,
        created: column(row, 8)?,
        updated: column(row, 9)?,
        used: column(row, 10)?,
        verified: column(row, 11)?,
        expires: column(row, 12)?,
        checked: column(row, 13)?,
        version: column(row, 14)?,
        rotating: column(row, 15)?,
        retiring: column(row, 16)?,
    })
}

impl Store {
    /// Every credential of a vault, by project and name; or one page of them.
    pub fn credentials(&self, vault: &str, page: Option<&Page>) -> Result<Vec<CredentialRow>, RowError> {
        self.with(async |connection| {
            let rows = match page {
                None => {
                    sqlx::query(concat!(
                        "SELECT ",
                        columns!(),
                        " FROM credentials WHERE vault = $1 ORDER BY project, name"
                    ))
                    .bind(vault)
                    .fetch_all(connection)
                    .await?
                }
                Some(page) => {
                    let (project, name) = page.after.clone().unwrap_or_default();
                    sqlx::query(concat!(
                        "SELECT ",
                        columns!(),
                        " FROM credentials WHERE vault = $1 AND \
                         (project > $2 OR (project = $2 AND name > $3)) ORDER BY project, name LIMIT $4"
                    ))
                    .bind(vault)
                    .bind(project)
                    .bind(name)
                    .bind(page.limit)
                    .fetch_all(connection)
                    .await?
                }
            };
            rows.iter().map(credential).collect()
        })
    }

    /// The credential of that name in a project, or in the organization where `project` is empty.
    pub fn credential(&self, vault: &str, project: &str, name: &str) -> Result<Option<CredentialRow>, RowError> {
        self.with(async |connection| {
            let row = sqlx::query(concat!(
                "SELECT ",
                columns!(),
                " FROM credentials WHERE vault = $1 AND project = $2 AND name = $3"
            ))
            .bind(vault)
            .bind(project)
            .bind(name)
            .fetch_optional(connection)
            .await?;
            row.as_ref().map(credential).transpose()
        })
    }

    /// The wrapped data key of a credential and its sealed secrets, as they were at one instant.
    pub fn secrets(&self, credential: &str) -> Result<Option<SealedRows>, RowError> {
        self.with(async |connection| {
            // One statement sees one instant; two could see another process's change between them.
            let rows = sqlx::query(
                "SELECT data_keys.version, data_keys.wrapped, secrets.field, secrets.version, secrets.sealed \
                 FROM data_keys LEFT JOIN secrets ON secrets.credential = data_keys.credential \
                 WHERE data_keys.credential = $1 ORDER BY secrets.field",
            )
            .bind(credential)
            .fetch_all(connection)
            .await?;
            let Some(first) = rows.first() else { return Ok(None) };
            let mut secrets = Vec::new();
            for row in &rows {
                // A credential without a secret has its key alone.
                if let Some(field) = column::<Option<String>>(row, 2)? {
                    secrets.push(SecretRow { field, version: column(row, 3)?, sealed: column(row, 4)? });
                }
            }
            Ok(Some(SealedRows { version: column(first, 0)?, wrapped: column(first, 1)?, secrets }))
        })
    }

    /// Inserts a credential with its secrets, all at once.
    pub fn insert(
        &self,
        vault: &str,
        row: &CredentialRow,
        wrapped: &[u8],
        secrets: &[SecretRow],
    ) -> Result<(), RowError> {
        self.atomically(async |connection| {
            sqlx::query(concat!(
                "INSERT INTO credentials (vault, ",
                columns!(),
                ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, \
                 $11, $12, $13, $14, $15, $16, $17, $18)"
            ))
            .bind(vault)
            .bind(&row.id)
            .bind(&row.project)
            .bind(&row.name)
            .bind(&row.kind)
            .bind(&row.fields)
            .bind(&row.secret_names)
            .bind(&row.tags)
            .bind(&row.note)
            .bind(row.created)
            .bind(row.updated)
            .bind(row.used)
            .bind(row.verified)
            .bind(row.expires)
            .bind(&row.checked)
            .bind(row.version)
            .bind(row.rotating)
            .bind(row.retiring.as_deref())
            .execute(&mut *connection)
            .await?;
            put_secrets(connection, row, wrapped, secrets).await
        })
    }

    /// Replaces the fields and secrets of a credential, all at once; `false` where its version is not `expected` any
    /// more, so that somebody else's change is not lost.
    pub fn replace(
        &self,
        row: &CredentialRow,
        expected: i64,
        wrapped: &[u8],
        secrets: &[SecretRow],
    ) -> Result<bool, RowError> {
        self.atomically(async |connection| {
            let changed = sqlx::query(
                "UPDATE credentials SET kind = $3, fields = $4, secret_names = $5, tags = $6, note = $7, \
                 updated = $8, verified = $9, expires = $10, checked = $11, version = $12, rotating = $13, \
                 retiring = $14 WHERE id = $1 AND version = $2",
            )
            .bind(&row.id)
            .bind(expected)
            .bind(&row.kind)
            .bind(&row.fields)
            .bind(&row.secret_names)
            .bind(&row.tags)
            .bind(&row.note)
            .bind(row.updated)
            .bind(row.verified)
            .bind(row.expires)
            .bind(&row.checked)
            .bind(row.version)
            .bind(row.rotating)
            .bind(row.retiring.as_deref())
            .execute(&mut *connection)
            .await?;
            if changed.rows_affected() == 0 {
                return Ok(false);
            }
            for table in ["DELETE FROM secrets WHERE credential = $1", "DELETE FROM data_keys WHERE credential = $1"] {
                sqlx::query(table).bind(&row.id).execute(&mut *connection).await?;
            }
            put_secrets(connection, row, wrapped, secrets).await?;
            Ok(true)
        })
    }

    /// Changes what is no field of a credential: name, project, tags, note, dates, what was said of it, and the fields
    /// where a name in them follows another credential's new one.
    pub fn amend(&self, rows: &[CredentialRow]) -> Result<(), RowError> {
        self.atomically(async |connection| {
            for row in rows {
                sqlx::query(
                    "UPDATE credentials SET project = $2, name = $3, fields = $4, tags = $5, note = $6, used = $7, \
                     verified = $8, expires = $9, checked = $10, rotating = $11, retiring = $12 WHERE id = $1",
                )
                .bind(&row.id)
                .bind(&row.project)
                .bind(&row.name)
                .bind(&row.fields)
                .bind(&row.tags)
                .bind(&row.note)
                .bind(row.used)
                .bind(row.verified)
                .bind(row.expires)
                .bind(&row.checked)
                .bind(row.rotating)
                .bind(row.retiring.as_deref())
                .execute(&mut *connection)
                .await?;
            }
            Ok(())
        })
    }

    /// Notes what a provider said of a credential, if its values are still those of that time; a session that was
    /// renewed meanwhile is still the same.
    pub fn note_check(
        &self,
        id: &str,
        updated: i64,
        checked: &str,
        at: i64,
        expires: Option<i64>,
    ) -> Result<(), RowError> {
        self.with(async |connection| {
            sqlx::query(
                "UPDATE credentials SET checked = $3, verified = $4, expires = COALESCE($5, expires) \
                 WHERE id = $1 AND updated = $2",
            )
            .bind(id)
            .bind(updated)
            .bind(checked)
            .bind(at)
            .bind(expires)
            .execute(connection)
            .await
        })?;
        Ok(())
    }

    /// Notes when a credential was last handed out; an older time changes nothing.
    pub fn note_use(&self, id: &str, at: i64) -> Result<(), RowError> {
        self.with(async |connection| {
            sqlx::query("UPDATE credentials SET used = $2 WHERE id = $1 AND (used IS NULL OR used < $2)")
                .bind(id)
                .bind(at)
                .execute(connection)
                .await
        })?;
        Ok(())
    }

    /// Notes that a rotation began, or what is left to do of one.
    pub fn note_rotation(&self, id: &str, rotating: Option<i64>, retiring: Option<&str>) -> Result<(), RowError> {
        self.with(async |connection| {
            sqlx::query("UPDATE credentials SET rotating = $2, retiring = $3 WHERE id = $1")
                .bind(id)
                .bind(rotating)
                .bind(retiring)
                .execute(connection)
                .await
        })?;
        Ok(())
    }

    /// Deletes a credential with its data key and its secrets; `false` where there was none. What stood in the log of
    /// recent writes is overwritten as well.
    pub fn delete(&self, id: &str) -> Result<bool, RowError> {
        let removed = self.atomically(async |connection| {
            // The key goes first: without it the rest is noise.
            for statement in
                ["DELETE FROM data_keys WHERE credential = $1", "DELETE FROM secrets WHERE credential = $1"]
            {
                sqlx::query(statement).bind(id).execute(&mut *connection).await?;
            }
            sqlx::query("DELETE FROM credentials WHERE id = $1").bind(id).execute(&mut *connection).await
        })?;
        // Others may be reading; then the next one to delete empties the log.
        let _ =
            self.with(async |connection| sqlx::raw_sql("PRAGMA wal_checkpoint(TRUNCATE)").execute(connection).await);
        Ok(removed.rows_affected() > 0)
    }
}

async fn put_secrets(
    connection: &mut AnyConnection,
    row: &CredentialRow,
    wrapped: &[u8],
    secrets: &[SecretRow],
) -> Result<(), sqlx::Error> {
    sqlx::query("INSERT INTO data_keys (credential, version, wrapped) VALUES ($1, $2, $3)")
        .bind(&row.id)
        .bind(row.version)
        .bind(wrapped)
        .execute(&mut *connection)
        .await?;
    for secret in secrets {
        sqlx::query("INSERT INTO secrets (credential, field, version, sealed) VALUES ($1, $2, $3, $4)")
            .bind(&row.id)
            .bind(&secret.field)
            .bind(secret.version)
            .bind(secret.sealed.as_slice())
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}
