//! A backup that is tried out: it is brought back into a database that is thrown away, where all of it is looked at.

use std::path::Path;

use super::{Examined, put_back};
use crate::secret::SecretStore;
use crate::server::api::Once;
use crate::server::audit::{Actor, Together};
use crate::server::check::audit_is_whole;
use crate::server::db::{Address, Database, OrgScope, Reach};
use crate::server::engine::Engine;
use crate::server::error::ServeError;
use crate::server::keys::Keys;
use crate::server::settings::Settings;
use crate::server::state::now;
use crate::server::vault::OrgVault;
use crate::vault::{Vault, VaultError};

/// What a backup that was tried out is worth.
#[derive(Debug, Clone)]
pub struct Drilled {
    /// When the backup was made.
    pub made: String,
    /// How many rows it has.
    pub rows: u64,
    /// Of so many credentials the secrets open.
    pub opened: u64,
    /// Those whose secrets do not, as `organization/project/name`.
    pub closed: Vec<String>,
}

/// Brings a backup back beside the server, opens every secret in it and goes through every chain of its audit. Nothing of
/// the server is changed, and nothing is told to its audit.
///
/// # Errors
///
/// As for bringing it back, and where the audit in it is not whole.
pub fn drill(settings: &Settings, store: &dyn SecretStore, file: &Path) -> Result<Drilled, ServeError> {
    let Examined { head, facts, master, opener, .. } = Examined::look(settings, store, file)?;
    let folder = tempfile::tempdir().map_err(ServeError::System)?;
    let db = Database::open(&Address::Sqlite(folder.path().join("drill.db")))?;
    let (rows, keys) = db.write(Reach::Server, |rows| -> Result<_, ServeError> {
        let count = put_back(rows, &facts, &opener, file)?;
        Ok((count, Keys::within(rows, master, &head.instance)?))
    })?;
    audit_is_whole(&db, &keys)?;
    let mut drilled = Drilled { made: facts.made, rows, opened: 0, closed: Vec::new() };
    let organizations =
        db.read(Reach::Server, |rows| rows.query("SELECT id, name FROM organizations ORDER BY id", &[]))?;
    for mut row in organizations {
        let (scope, name) = (OrgScope::of(row.text(0)?), row.text(1)?);
        open_all(&db, &keys, scope, &name, &mut drilled)?;
    }
    Ok(drilled)
}

fn open_all(
    db: &Database,
    keys: &Keys,
    scope: OrgScope,
    organization: &str,
    drilled: &mut Drilled,
) -> Result<(), ServeError> {
    // In a backup, all secrets are where the database has them.
    let (engine, together) = (Engine::default(), Together::default());
    let (actor, once) = (Actor::default(), Once::default());
    let vault = OrgVault { db, keys, engine: &engine, together: &together, scope, actor, once, now };
    let mut all = Vec::new();
    vault.each(&mut |metadata| all.push(metadata))?;
    for metadata in all.iter().filter(|metadata| !metadata.secret_names.is_empty()) {
        match vault.whole(metadata) {
            Ok(_) => drilled.opened += 1,
            Err(VaultError::DoesNotOpen { .. }) => {
                let project = metadata.scope.project().map(|project| format!("{project}/")).unwrap_or_default();
                drilled.closed.push(format!("{organization}/{project}{}", metadata.name));
            }
            Err(failure) => return Err(failure.into()),
        }
    }
    Ok(())
}
