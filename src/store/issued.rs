//! The rows of what was made from credentials for a while.

use rusqlite::{OptionalExtension, params};

use super::{RowError, Store};

/// Something that was made from a credential, sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuedRow {
    /// The version of the credential that it was made from.
    pub version: i64,
    /// When it was made, in milliseconds since 1970.
    pub made: i64,
    /// When it ends, in milliseconds since 1970.
    pub expires: i64,
    /// Nonce, ciphertext and tag.
    pub sealed: Vec<u8>,
}

impl Store {
    /// What was made from a credential to be handed out in this form, with the wrapped data key of its version, as both
    /// stood at one instant.
    pub fn issued(&self, credential: &str, form: &str) -> Result<Option<(Vec<u8>, IssuedRow)>, RowError> {
        self.with(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT data_keys.wrapped, issued.version, issued.made, issued.expires, issued.sealed FROM issued \
                 JOIN data_keys ON data_keys.credential = issued.credential AND data_keys.version = issued.version \
                 WHERE issued.credential = ?1 AND issued.form = ?2",
            )?;
            let read = statement.query_row([credential, form], |row| {
                let issued =
                    IssuedRow { version: row.get(1)?, made: row.get(2)?, expires: row.get(3)?, sealed: row.get(4)? };
                Ok((row.get(0)?, issued))
            });
            read.optional()
        })
    }

    /// The wrapped data key of a credential of this version.
    pub fn data_key(&self, credential: &str, version: i64) -> Result<Option<Vec<u8>>, RowError> {
        let key = "SELECT wrapped FROM data_keys WHERE credential = ?1 AND version = ?2";
        self.with(|connection| connection.query_row(key, params![credential, version], |row| row.get(0)).optional())
    }

    /// Keeps what was made from a credential, in the place of what was made before; nothing where the credential is of
    /// another version by now.
    pub fn keep_issued(&self, credential: &str, form: &str, row: &IssuedRow) -> Result<(), RowError> {
        let keep = "INSERT INTO issued (credential, form, version, made, expires, sealed) \
                    SELECT credential, ?2, version, ?4, ?5, ?6 FROM data_keys WHERE credential = ?1 AND version = ?3 \
                    ON CONFLICT (credential, form) DO UPDATE SET version = excluded.version, made = excluded.made, \
                    expires = excluded.expires, sealed = excluded.sealed";
        let IssuedRow { version, made, expires, sealed } = row;
        self.with(|connection| connection.execute(keep, params![credential, form, version, made, expires, sealed]))
            .map(|_| ())
    }

    /// Forgets what was made from a credential.
    pub fn forget_issued(&self, credential: &str) -> Result<(), RowError> {
        self.with(|connection| connection.execute("DELETE FROM issued WHERE credential = ?1", [credential])).map(|_| ())
    }
}
