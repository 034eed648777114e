//! The key of an organization under which everything new is sealed.
//!
//! Whoever seals under it keeps it from being taken away until they are done: who takes it away waits for them before they
//! hold the end of the audit, for which those may wait, and then finds what has come to rest under it.

use std::sync::Arc;

use super::{KeyError, Keys, Wrapped};
use crate::server::db::{DbError, OrgScope, Row, Rows, values};
use crate::vault::seal::Key;

const NEWEST: &str = "SELECT o.version, o.wrapped, o.own_version, s.wrapped FROM organization_keys o \
                      LEFT JOIN server_keys s ON s.version = o.own_version \
                      WHERE o.org = $1 ORDER BY o.version DESC LIMIT 1";

impl Keys {
    /// The key under which an organization's new secrets are sealed, and its version.
    pub(crate) fn newest(&self, rows: &mut dyn Rows, scope: &OrgScope) -> Result<(i64, Arc<Key>), KeyError> {
        let found = rows.first(NEWEST, values![scope.id()])?;
        self.newest_of(rows, scope, found)
    }

    /// The same for what is to rest under it: nobody takes it away before this transaction ends.
    pub(crate) fn newest_to_seal(&self, rows: &mut dyn Rows, scope: &OrgScope) -> Result<(i64, Arc<Key>), KeyError> {
        let newest = [NEWEST, &rows.lasting("o")].concat();
        let mut found = rows.first(&newest, values![scope.id()])?;
        if found.is_none() {
            // It may have been replaced and taken away between the look and the hold. There is another one then.
            found = rows.first(&newest, values![scope.id()])?;
        }
        self.newest_of(rows, scope, found)
    }

    fn newest_of(
        &self,
        rows: &mut dyn Rows,
        scope: &OrgScope,
        found: Option<Row>,
    ) -> Result<(i64, Arc<Key>), KeyError> {
        let Some(mut row) = found else { return Err(missing(rows, scope)?) };
        let (version, wrapped) = (row.int(0)?, Wrapped::of(&mut row, 1)?);
        Ok((version, self.opened(rows, scope, version, wrapped)?))
    }
}

/// Waits for whoever is sealing under a key of an organization that is older than a version, and lets nobody else do so
/// until this transaction ends. What they have put under it is seen from then on.
pub(crate) fn wait_for_sealing(rows: &mut dyn Rows, scope: &OrgScope, below: i64) -> Result<(), DbError> {
    let older = "SELECT o.version FROM organization_keys o WHERE o.org = $1 AND o.version < $2 ORDER BY o.version";
    let older = [older, &rows.going("o")].concat();
    rows.query(&older, values![scope.id(), below]).map(|_| ())
}

/// Why an organization has no key.
fn missing(rows: &mut dyn Rows, scope: &OrgScope) -> Result<KeyError, DbError> {
    let deleted = "SELECT 1 FROM organizations WHERE id = $1 AND deleted IS NOT NULL";
    Ok(if rows.first(deleted, values![scope.id()])?.is_some() { KeyError::Gone } else { KeyError::None })
}
