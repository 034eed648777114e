//! The key of an organization under which everything new is sealed.
//!
//! Whoever seals under it keeps it from being taken away until they are done: who takes it away waits, and then finds what
//! has come to rest under it.

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

/// Why an organization has no key.
fn missing(rows: &mut dyn Rows, scope: &OrgScope) -> Result<KeyError, DbError> {
    let deleted = "SELECT 1 FROM organizations WHERE id = $1 AND deleted IS NOT NULL";
    Ok(if rows.first(deleted, values![scope.id()])?.is_some() { KeyError::Gone } else { KeyError::None })
}
