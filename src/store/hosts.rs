//! Which hosts a credential may be sent to: an index that finds the credentials for a host.
//!
//! The hosts follow from kind and fields by rules that a newer program may know better. A row whose hosts were named by
//! another program, or by none, is handed out beside those that were found, and noted anew.

use std::time::Duration;

use rusqlite::{Connection, params};

use super::credentials::{columns, credential};
use super::{BUSY, CredentialRow, RowError, Store};

/// Who names the hosts that are noted now.
const BY: &str = env!("CARGO_PKG_VERSION");

/// One statement sees one instant. Two ranges, since an index does not serve "is another one than".
pub(super) const BY_HOST: &str = concat!(
    "SELECT ",
    columns!(),
    ", 1 FROM hosts JOIN credentials ON credentials.id = hosts.credential \
     WHERE hosts.host = ?2 AND credentials.vault = ?1 AND credentials.hosts_by = ?3 UNION ALL SELECT ",
    columns!(),
    ", 0 FROM credentials WHERE vault = ?1 AND hosts_by < ?3 UNION ALL SELECT ",
    columns!(),
    ", 0 FROM credentials WHERE vault = ?1 AND hosts_by > ?3",
);

/// What the database knows of a host, as it was at one instant.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ByHost {
    /// The credentials that may be sent to it.
    pub noted: Vec<CredentialRow>,
    /// Those whose hosts this program has not named yet.
    pub unnamed: Vec<CredentialRow>,
}

impl Store {
    /// The credentials of a vault that may be sent to a host.
    pub fn by_host(&self, vault: &str, host: &str) -> Result<ByHost, RowError> {
        self.with(|connection| {
            let mut statement = connection.prepare_cached(BY_HOST)?;
            let mut rows = statement.query([vault, host, BY])?;
            let mut found = ByHost::default();
            while let Some(row) = rows.next()? {
                let list = if row.get(17)? { &mut found.noted } else { &mut found.unnamed };
                list.push(credential(row)?);
            }
            Ok(found)
        })
    }

    /// Notes the hosts of credentials, each as it was read; one that has changed since is left as it is. Does not wait
    /// for another process that writes, since whoever asks has the answer already.
    pub fn note_hosts<'r>(
        &self,
        named: impl Iterator<Item = (&'r CredentialRow, Vec<String>)>,
    ) -> Result<(), RowError> {
        self.with(|connection| connection.busy_timeout(Duration::ZERO))?;
        let noted = self.atomically(|transaction| {
            let stands = "SELECT EXISTS (SELECT 1 FROM credentials WHERE id = ?1 AND kind = ?2 AND fields = ?3)";
            let mut stands = transaction.prepare(stands)?;
            for (row, hosts) in named {
                if stands.query_row([&row.id, &row.kind, &row.fields], |row| row.get(0))? {
                    put_hosts(transaction, &row.id, &hosts)?;
                }
            }
            Ok(())
        });
        self.with(|connection| connection.busy_timeout(BUSY))?;
        noted
    }
}

/// Notes the hosts of a credential in the place of others.
pub(super) fn put_hosts(connection: &Connection, id: &str, hosts: &[String]) -> rusqlite::Result<()> {
    connection.prepare_cached("UPDATE credentials SET hosts_by = ?2 WHERE id = ?1")?.execute([id, BY])?;
    connection.prepare_cached("DELETE FROM hosts WHERE credential = ?1")?.execute([id])?;
    let mut insert = connection.prepare_cached(
        "INSERT INTO hosts (credential, host) VALUES (?1, ?2) ON CONFLICT (host, credential) DO NOTHING",
    )?;
    for host in hosts {
        insert.execute(params![id, host])?;
    }
    Ok(())
}
