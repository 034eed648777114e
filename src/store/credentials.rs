//! The rows of credentials, and of their secrets, which no query joins to them.

use std::ops::ControlFlow;

use rusqlite::{OptionalExtension, Row, params};

use super::{RowError, Store};

/// What a list may show of a credential. Times are milliseconds since 1970; lists and maps are JSON.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
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
    /// Written together with `verified`, and read by [`Store::scopes`] alone: no list shows it.
    pub scopes: Option<String>,
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

/// The secrets of one version of a credential, as they rest.
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
pub(super) use columns;

/// Reads a row in the place of another, whose room is used again.
fn read(row: &Row<'_>, into: &mut CredentialRow) -> rusqlite::Result<()> {
    let texts = [
        &mut into.id,
        &mut into.project,
        &mut into.name,
        &mut into.kind,
        &mut into.fields,
        &mut into.secret_names,
        &mut into.tags,
        &mut into.note,
    ];
    for (column, text) in texts.into_iter().enumerate() {
        text.clear();
        text.push_str(row.get_ref(column)?.as_str()?);
    }
    into.created = row.get(8)?;
    into.updated = row.get(9)?;
    into.used = row.get(10)?;
    into.verified = row.get(11)?;
    into.expires = row.get(12)?;
    into.checked.clear();
    into.checked.push_str(row.get_ref(13)?.as_str()?);
    into.version = row.get(14)?;
    into.rotating = row.get(15)?;
    into.retiring = row.get(16)?;
    Ok(())
}

pub(super) fn credential(row: &Row<'_>) -> rusqlite::Result<CredentialRow> {
    let mut read_row = CredentialRow::default();
    read(row, &mut read_row)?;
    Ok(read_row)
}

impl Store {
    /// Shows every credential of a vault, by project and name, until `see` has seen enough.
    pub fn each_credential(
        &self,
        vault: &str,
        mut see: impl FnMut(&CredentialRow) -> ControlFlow<()>,
    ) -> Result<(), RowError> {
        self.with(|connection| {
            let all = concat!("SELECT ", columns!(), " FROM credentials WHERE vault = ?1 ORDER BY project, name");
            let mut statement = connection.prepare_cached(all)?;
            let mut rows = statement.query([vault])?;
            let mut seen = CredentialRow::default();
            while let Some(row) = rows.next()? {
                read(row, &mut seen)?;
                if see(&seen).is_break() {
                    break;
                }
            }
            Ok(())
        })
    }

    /// One page of the credentials of a vault, by project and name.
    pub fn credentials(&self, vault: &str, page: &Page) -> Result<Vec<CredentialRow>, RowError> {
        self.with(|connection| {
            let Page { after, limit } = page;
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

    /// The credentials of a vault whose fields, as JSON, are like a pattern of SQL, by project and name. Whether case
    /// counts is the database's choice.
    pub fn with_field_like(&self, vault: &str, pattern: &str) -> Result<Vec<CredentialRow>, RowError> {
        self.with(|connection| {
            let some = concat!(
                "SELECT ",
                columns!(),
                " FROM credentials WHERE vault = ?1 AND fields LIKE ?2 ORDER BY project, name"
            );
            connection.prepare_cached(some)?.query_map([vault, pattern], credential)?.collect()
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

    /// What a credential may do, as JSON; `None` where it is gone.
    pub fn scopes(&self, credential: &str) -> Result<Option<String>, RowError> {
        let scopes = "SELECT scopes FROM credentials WHERE id = ?1";
        self.with(|connection| connection.query_row(scopes, [credential], |row| row.get(0)).optional())
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
}
