//! What changes the rows of credentials: each change is one transaction.

use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, params};

use super::credentials::columns;
use super::hosts::put_hosts;
use super::keys::KeyRow;
use super::{BUSY, CredentialRow, RowError, SealedRows, Store};

/// How long to wait for another process that writes, where what is to be written is worth no more.
const BRIEF: Duration = Duration::from_millis(250);

/// The key that opened a vault, as its row stood then. What was sealed since counts only while that row stands.
#[derive(Debug, Clone, Copy)]
pub struct Opened<'k> {
    /// The vault.
    pub vault: &'k str,
    /// The row of the key.
    pub key: &'k KeyRow,
}

/// What became of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Written {
    /// It is on the disk.
    Done,
    /// Nothing was written: the credential is not of the expected version any more.
    Changed,
    /// Nothing was written: the vault has another key now, under which what was sealed would never open.
    Rekeyed,
}

/// What a provider said of a credential.
#[derive(Debug, Clone, Copy)]
pub struct Checked<'c> {
    /// The word for it.
    pub word: &'c str,
    /// When it was said.
    pub at: i64,
    /// When it expires; `None` leaves what is known.
    pub expires: Option<i64>,
    /// What it may do, as JSON.
    pub scopes: &'c str,
}

/// A change of what is no field; `None` leaves it.
#[derive(Debug, Default)]
pub struct Amendment<'a> {
    /// The credential.
    pub id: &'a str,
    /// Its new project; empty for the organization.
    pub project: Option<&'a str>,
    /// Its new name.
    pub name: Option<&'a str>,
    /// Its tags as they were read and as they shall be, as JSON.
    pub tags: Option<(&'a str, &'a str)>,
    /// Its new note.
    pub note: Option<&'a str>,
    /// Others whose fields follow: identifier, the fields as they were read, the fields as they shall be.
    pub followers: Vec<(String, String, String)>,
}

impl Store {
    /// Inserts a credential with its secrets and the hosts that it may be sent to, all at once.
    pub fn insert(
        &self,
        opened: Opened<'_>,
        row: &CredentialRow,
        hosts: &[String],
        sealed: &SealedRows,
    ) -> Result<Written, RowError> {
        self.sealed(opened, |transaction| {
            transaction.execute(
                concat!(
                    "INSERT INTO credentials (vault, ",
                    columns!(),
                    ", scopes) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, \
                     COALESCE(?19, '[]'))"
                ),
                params![
                    opened.vault,
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
                    row.scopes,
                ],
            )?;
            put_hosts(transaction, &row.id, hosts)?;
            put_secrets(transaction, &row.id, sealed)?;
            Ok(Written::Done)
        })
    }

    /// Replaces fields, secrets and hosts of a credential of the version `expected`, all at once; tags and note only where
    /// `words` says so. What is still to be revoked of an earlier rotation stays noted.
    pub fn replace(
        &self,
        opened: Opened<'_>,
        row: &CredentialRow,
        expected: i64,
        words: (bool, bool),
        hosts: &[String],
        sealed: &SealedRows,
    ) -> Result<Written, RowError> {
        self.sealed(opened, |transaction| {
            let changed = transaction.execute(
                "UPDATE credentials SET kind = ?3, fields = ?4, secret_names = ?5, tags = COALESCE(?6, tags), \
                 note = COALESCE(?7, note), updated = ?8, verified = ?9, expires = ?10, checked = ?11, version = ?12, rotating = ?13, \
                 retiring = COALESCE(?14, retiring), scopes = COALESCE(?15, '[]') WHERE id = ?1 AND version = ?2",
                params![
                    row.id,
                    expected,
                    row.kind,
                    row.fields,
                    row.secret_names,
                    words.0.then_some(&row.tags),
                    words.1.then_some(&row.note),
                    row.updated,
                    row.verified,
                    row.expires,
                    row.checked,
                    row.version,
                    row.rotating,
                    row.retiring,
                    row.scopes,
                ],
            )?;
            if changed > 0 {
                put_hosts(transaction, &row.id, hosts)?;
            }
            replace_secrets(transaction, changed, &row.id, sealed)
        })
    }

    /// Replaces the secrets of a credential of the version `expected`, and with them nothing but its version, its
    /// expiry and the list of its secrets: what others noted about it meanwhile stays.
    pub fn renew(
        &self,
        opened: Opened<'_>,
        row: &CredentialRow,
        expected: i64,
        sealed: &SealedRows,
    ) -> Result<Written, RowError> {
        self.sealed(opened, |transaction| {
            let changed = transaction.execute(
                "UPDATE credentials SET version = ?3, expires = ?4, secret_names = ?5 WHERE id = ?1 AND version = ?2",
                params![row.id, expected, row.version, row.expires, row.secret_names],
            )?;
            replace_secrets(transaction, changed, &row.id, sealed)
        })
    }

    /// Runs a write of something sealed, unless the vault has another key by now.
    fn sealed(
        &self,
        opened: Opened<'_>,
        work: impl FnOnce(&Connection) -> rusqlite::Result<Written>,
    ) -> Result<Written, RowError> {
        self.atomically(
            |transaction| if stands(transaction, opened)? { work(transaction) } else { Ok(Written::Rekeyed) },
        )
    }

    /// Changes what is no field of a credential, and the fields of others that follow; `false` where one of them is
    /// gone or is not as it was read, and then nothing is changed.
    pub fn amend(&self, change: &Amendment<'_>) -> Result<bool, RowError> {
        let Amendment { id, project, name, tags, note, followers } = change;
        self.atomically_if(|transaction| {
            let (old_tags, new_tags) = tags.unzip();
            let mut found = transaction.execute(
                "UPDATE credentials SET project = COALESCE(?2, project), name = COALESCE(?3, name), \
                 tags = COALESCE(?5, tags), note = COALESCE(?6, note) WHERE id = ?1 AND tags = COALESCE(?4, tags)",
                params![id, project, name, old_tags, new_tags, note],
            )?;
            for (id, old, new) in followers {
                let follow = "UPDATE credentials SET fields = ?3, hosts_by = '' WHERE id = ?1 AND fields = ?2";
                found += transaction.execute(follow, [id, old, new])?;
            }
            let all = found == 1 + followers.len();
            Ok((all, all))
        })
    }

    /// Notes what a provider said of a credential, if its values are still those of that time; a session that was
    /// renewed meanwhile is still the same.
    pub fn note_check(&self, id: &str, updated: i64, checked: Checked<'_>) -> Result<(), RowError> {
        let Checked { word, at, expires, scopes } = checked;
        self.change(
            "UPDATE credentials SET checked = ?3, verified = ?4, expires = COALESCE(?5, expires), scopes = ?6 \
             WHERE id = ?1 AND updated = ?2",
            params![id, updated, word, at, expires, scopes],
        )
    }

    /// Notes when a credential was last handed out; an older time changes nothing.
    ///
    /// Somebody waits for this process to end. A time that a power cut takes back is worth no wait for the disk, another
    /// process that writes is not waited for long, and the log is tidied once in a while only. It is kept short, since
    /// whoever opens the database first reads it.
    pub fn note_use(&self, id: &str, at: i64) -> Result<(), RowError> {
        self.with(|connection| {
            connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
            connection.busy_timeout(BRIEF)?;
            connection.execute_batch("PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = 50")
        })?;
        let noted = self
            .change("UPDATE credentials SET used = ?2 WHERE id = ?1 AND (used IS NULL OR used < ?2)", params![id, at]);
        self.with(|connection| {
            connection.busy_timeout(BUSY)?;
            connection.execute_batch("PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 1000")
        })?;
        noted
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
        self.empty_log();
        Ok(removed > 0)
    }
}

/// Whether the key that opened the vault still opens it.
pub(super) fn stands(connection: &Connection, opened: Opened<'_>) -> rusqlite::Result<bool> {
    let key = "SELECT EXISTS (SELECT 1 FROM vault_keys WHERE vault = ?1 AND id = ?2 AND wrapped = ?3)";
    connection.query_row(key, params![opened.vault, opened.key.id, opened.key.wrapped], |row| row.get(0))
}

fn replace_secrets(
    connection: &Connection,
    changed: usize,
    credential: &str,
    sealed: &SealedRows,
) -> rusqlite::Result<Written> {
    if changed == 0 {
        return Ok(Written::Changed);
    }
    forget_secrets(connection, credential)?;
    put_secrets(connection, credential, sealed)?;
    Ok(Written::Done)
}

/// The key goes first: without it the rest is noise.
fn forget_secrets(connection: &Connection, credential: &str) -> rusqlite::Result<()> {
    connection.execute("DELETE FROM data_keys WHERE credential = ?1", [credential])?;
    connection.execute("DELETE FROM issued WHERE credential = ?1", [credential])?;
    connection.execute("DELETE FROM secrets WHERE credential = ?1", [credential])?;
    Ok(())
}

fn put_secrets(connection: &Connection, credential: &str, sealed: &SealedRows) -> rusqlite::Result<()> {
    connection.execute(
        "INSERT INTO data_keys (credential, version, wrapped) VALUES (?1, ?2, ?3)",
        params![credential, sealed.version, sealed.wrapped],
    )?;
    for secret in &sealed.secrets {
        connection.execute(
            "INSERT INTO secrets (credential, field, version, sealed) VALUES (?1, ?2, ?3, ?4)",
            params![credential, secret.field, secret.version, secret.sealed],
        )?;
    }
    Ok(())
}
