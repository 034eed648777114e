//! The rows of credentials, and of their secrets, which no query joins to them.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{RowError, Store};

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

fn credential(row: &Row<'_>) -> rusqlite::Result<CredentialRow> {
    Ok(CredentialRow {
        id: row.get(0)?,
        project: row.get(1)?,
        name: row.get(2)?,
        kind: row.get(3)?,
        fields: row.get(4)?,
        secret_names: row.get(5)?,
        tags: row.get(6)?,
        note: row.get(7)?,
        created: row.get(8)?,
        updated: row.get(9)?,
        used: row.get(10)?,
        verified: row.get(11)?,
        expires: row.get(12)?,
        checked: row.get(13)?,
        version: row.get(14)?,
        rotating: row.get(15)?,
        retiring: row.get(16)?,
    })
}

impl Store {
    /// Every credential of a vault, by project and name; or one page of them.
    pub fn credentials(&self, vault: &str, page: Option<&Page>) -> Result<Vec<CredentialRow>, RowError> {
        self.with(|connection| {
            let Some(Page { after, limit }) = page else {
                let all = concat!("SELECT ", columns!(), " FROM credentials WHERE vault = ?1 ORDER BY project, name");
                return connection.prepare_cached(all)?.query_map([vault], credential)?.collect();
            };
            let (project, name) = after.clone().unwrap_or_default();
            let part = concat!(
                "SELECT ",
                columns!(),
                " FROM credentials WHERE vault = ?1 AND (project > ?2 OR (project = ?2 AND name > ?3)) \
                 ORDER BY project, name LIMIT ?4"
            );
            connection.prepare_cached(part)?.query_map(params![vault, project, name, limit], credential)?.collect()
        })
    }

    /// How many credentials a vault holds.
    pub fn count(&self, vault: &str) -> Result<u32, RowError> {
        let count = "SELECT COUNT(*) FROM credentials WHERE vault = ?1";
        self.with(|connection| connection.query_row(count, [vault], |row| row.get(0)))
    }

    /// The credential of that name in a project, or in the organization where `project` is empty.
    pub fn credential(&self, vault: &str, project: &str, name: &str) -> Result<Option<CredentialRow>, RowError> {
        self.with(|connection| {
            let one =
                concat!("SELECT ", columns!(), " FROM credentials WHERE vault = ?1 AND project = ?2 AND name = ?3");
            connection.prepare_cached(one)?.query_row([vault, project, name], credential).optional()
        })
    }

    /// The wrapped data key of a credential and its sealed secrets, as they were at one instant.
    pub fn secrets(&self, credential: &str) -> Result<Option<SealedRows>, RowError> {
        self.with(|connection| {
            // One statement sees one instant; two could see another process's change between them.
            let mut statement = connection.prepare_cached(
                "SELECT data_keys.version, data_keys.wrapped, secrets.field, secrets.version, secrets.sealed \
                 FROM data_keys LEFT JOIN secrets ON secrets.credential = data_keys.credential \
                 WHERE data_keys.credential = ?1 ORDER BY secrets.field",
            )?;
            let mut rows = statement.query([credential])?;
            let mut found: Option<SealedRows> = None;
            while let Some(row) = rows.next()? {
                let sealed = match &mut found {
                    Some(sealed) => sealed,
                    None => {
                        found.insert(SealedRows { version: row.get(0)?, wrapped: row.get(1)?, secrets: Vec::new() })
                    }
                };
                // A credential without a secret has its key alone.
                if let Some(field) = row.get(2)? {
                    sealed.secrets.push(SecretRow { field, version: row.get(3)?, sealed: row.get(4)? });
                }
            }
            Ok(found)
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
        self.atomically(|transaction| {
            transaction.execute(
                concat!(
                    "INSERT INTO credentials (vault, ",
                    columns!(),
                    ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)"
                ),
                params![
                    vault,
                    row.id,
                    row.project,
                    row.name,
                    row.kind,
                    row.fields,
                    row.secret_names,
                    row.tags,
                    row.note,
                    row.created,
                    row.updated,
                    row.used,
                    row.verified,
                    row.expires,
                    row.checked,
                    row.version,
                    row.rotating,
                    row.retiring,
                ],
            )?;
            put_secrets(transaction, row, wrapped, secrets)
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
        self.atomically(|transaction| {
            let changed = transaction.execute(
                "UPDATE credentials SET kind = ?3, fields = ?4, secret_names = ?5, tags = ?6, note = ?7, \
                 updated = ?8, verified = ?9, expires = ?10, checked = ?11, version = ?12, rotating = ?13, \
                 retiring = ?14 WHERE id = ?1 AND version = ?2",
                params![
                    row.id,
                    expected,
                    row.kind,
                    row.fields,
                    row.secret_names,
                    row.tags,
                    row.note,
                    row.updated,
                    row.verified,
                    row.expires,
                    row.checked,
                    row.version,
                    row.rotating,
                    row.retiring,
                ],
            )?;
            if changed == 0 {
                return Ok(false);
            }
            forget_secrets(transaction, &row.id)?;
            put_secrets(transaction, row, wrapped, secrets)?;
            Ok(true)
        })
    }

    /// Changes what is no field of a credential: name, project, tags, note, dates, what was said of it, and the fields
    /// where a name in them follows another credential's new one.
    pub fn amend(&self, rows: &[CredentialRow]) -> Result<(), RowError> {
        self.atomically(|transaction| {
            for row in rows {
                transaction.execute(
                    "UPDATE credentials SET project = ?2, name = ?3, fields = ?4, tags = ?5, note = ?6, used = ?7, \
                     verified = ?8, expires = ?9, checked = ?10, rotating = ?11, retiring = ?12 WHERE id = ?1",
                    params![
                        row.id,
                        row.project,
                        row.name,
                        row.fields,
                        row.tags,
                        row.note,
                        row.used,
                        row.verified,
                        row.expires,
                        row.checked,
                        row.rotating,
                        row.retiring,
                    ],
                )?;
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
        self.change(
            "UPDATE credentials SET checked = ?3, verified = ?4, expires = COALESCE(?5, expires) \
             WHERE id = ?1 AND updated = ?2",
            params![id, updated, checked, at, expires],
        )
    }

    /// Notes when a credential was last handed out; an older time changes nothing.
    pub fn note_use(&self, id: &str, at: i64) -> Result<(), RowError> {
        self.change("UPDATE credentials SET used = ?2 WHERE id = ?1 AND (used IS NULL OR used < ?2)", params![id, at])
    }

    /// Notes that a rotation began, or what is left to do of one.
    pub fn note_rotation(&self, id: &str, rotating: Option<i64>, retiring: Option<&str>) -> Result<(), RowError> {
        self.change(
            "UPDATE credentials SET rotating = ?2, retiring = ?3 WHERE id = ?1",
            params![id, rotating, retiring],
        )
    }

    fn change(&self, statement: &str, values: impl rusqlite::Params) -> Result<(), RowError> {
        self.with(|connection| connection.execute(statement, values)).map(|_| ())
    }

    /// Deletes a credential with its data key and its secrets; `false` where there was none. What stood in the log of
    /// recent writes is overwritten as well.
    pub fn delete(&self, id: &str) -> Result<bool, RowError> {
        let removed = self.atomically(|transaction| {
            forget_secrets(transaction, id)?;
            transaction.execute("DELETE FROM credentials WHERE id = ?1", [id])
        })?;
        // Others may be reading; then the next one to delete empties the log.
        let _ = self.with(|connection| connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)"));
        Ok(removed > 0)
    }
}

/// The key goes first: without it the rest is noise.
fn forget_secrets(connection: &Connection, credential: &str) -> rusqlite::Result<()> {
    connection.execute("DELETE FROM data_keys WHERE credential = ?1", [credential])?;
    connection.execute("DELETE FROM secrets WHERE credential = ?1", [credential])?;
    Ok(())
}

fn put_secrets(
    connection: &Connection,
    row: &CredentialRow,
    wrapped: &[u8],
    secrets: &[SecretRow],
) -> rusqlite::Result<()> {
    connection.execute(
        "INSERT INTO data_keys (credential, version, wrapped) VALUES (?1, ?2, ?3)",
        params![row.id, row.version, wrapped],
    )?;
    for secret in secrets {
        connection.execute(
            "INSERT INTO secrets (credential, field, version, sealed) VALUES (?1, ?2, ?3, ?4)",
            params![row.id, secret.field, secret.version, secret.sealed],
        )?;
    }
    Ok(())
}
