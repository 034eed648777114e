//! Where credentials are: the project that each is of, and the workspaces and registries that use it.

use std::collections::BTreeSet;

use super::place::Place;
use super::sealed::Parcels;
use super::{OrgVault, in_words, metadata as written};
use crate::credential::{Metadata, Scope};
use crate::server::db::{Rows, Value, values};
use crate::server::engine;
use crate::vault::VaultError;

impl OrgVault<'_> {
    /// Holds a project until the transaction ends: it stays what it is while something is put into it.
    pub(super) fn hold_project(&self, rows: &mut dyn Rows, scope: &Scope) -> Result<(), VaultError> {
        let Some(project) = scope.project() else { return Ok(()) };
        let hold = "UPDATE projects SET created = created WHERE org = $1 AND name = $2";
        if rows.execute(hold, values![self.scope.id(), project])? == 0 {
            return Err(VaultError::NoProject);
        }
        Ok(())
    }

    /// Holds a credential until the transaction ends, so that nobody puts it into a workspace meanwhile.
    pub(super) fn hold(&self, rows: &mut dyn Rows, id: &str) -> Result<(), VaultError> {
        let hold = "UPDATE credentials SET revision = revision WHERE org = $1 AND id = $2";
        rows.execute(hold, values![self.scope.id(), id])?;
        Ok(())
    }

    /// The same for several, in the order that all keep who hold several.
    pub(crate) fn hold_all<'i>(
        &self,
        rows: &mut dyn Rows,
        ids: impl Iterator<Item = &'i str>,
    ) -> Result<(), VaultError> {
        ids.collect::<BTreeSet<_>>().into_iter().try_for_each(|id| self.hold(rows, id))
    }

    /// Who uses a credential, in words: others that are used through it, workspaces and
    /// registries.
    pub(super) fn users_in(&self, rows: &mut dyn Rows, metadata: &Metadata) -> Result<Vec<String>, VaultError> {
        let mut users: Vec<String> = self.followers(rows, metadata)?.iter().map(in_words).collect();
        users.extend(self.workspaces_of(rows, &metadata.id)?.into_iter().map(|(name, _)| name));
        users.extend(self.registries_of(rows, &metadata.id)?.into_iter().map(|(name, _)| name));
        Ok(users)
    }

    /// The workspaces with a credential, in words, and the name of the project of each, which may be empty.
    fn workspaces_of(&self, rows: &mut dyn Rows, id: &str) -> Result<Vec<(String, String)>, VaultError> {
        let with = "SELECT workspaces.name, COALESCE(projects.name, '') FROM workspace_credentials \
                    JOIN workspaces ON workspaces.org = workspace_credentials.org \
                    AND workspaces.id = workspace_credentials.workspace \
                    LEFT JOIN projects ON projects.org = workspaces.org AND projects.id = workspaces.project \
                    WHERE workspace_credentials.org = $1 AND workspace_credentials.credential = $2 \
                    ORDER BY workspaces.name, workspaces.id";
        let mut found = Vec::new();
        for mut row in rows.query(with, values![self.scope.id(), id])? {
            found.push((format!("workspace {}", row.text(0)?), row.text(1)?));
        }
        Ok(found)
    }

    /// The registries that are asked with a credential, in the same way.
    fn registries_of(&self, rows: &mut dyn Rows, id: &str) -> Result<Vec<(String, String)>, VaultError> {
        let with = "SELECT registries.name, COALESCE(projects.name, '') FROM registries \
                    LEFT JOIN projects ON projects.org = registries.org AND projects.id = registries.project \
                    WHERE registries.org = $1 AND registries.credential = $2 ORDER BY registries.name, registries.id";
        let mut found = Vec::new();
        for mut row in rows.query(with, values![self.scope.id(), id])? {
            found.push((format!("registry {}", row.text(0)?), row.text(1)?));
        }
        Ok(found)
    }

    /// A credential that is about to be taken into use: nobody deletes or moves it until the transaction ends.
    pub(crate) fn taken_into_use(&self, rows: &mut dyn Rows, id: &str) -> Result<Option<Metadata>, VaultError> {
        self.hold(rows, id)?;
        Ok(self.row(rows, id)?.map(|stored| stored.metadata))
    }

    /// Refuses to move a credential, which is held, out of the project of a workspace or a registry that uses it.
    pub(super) fn refuse_stranding(&self, rows: &mut dyn Rows, moved: &Metadata) -> Result<(), VaultError> {
        let Some(project) = moved.scope.project() else { return Ok(()) };
        let places = self.workspaces_of(rows, &moved.id)?.into_iter().chain(self.registries_of(rows, &moved.id)?);
        let users: Vec<String> = places.filter(|(_, of)| of != project).map(|(name, _)| name).collect();
        if users.is_empty() { Ok(()) } else { Err(VaultError::InUse { name: moved.name.clone(), users }) }
    }

    /// Takes a credential out of every workspace.
    pub(super) fn leave_workspaces(&self, rows: &mut dyn Rows, id: &str) -> Result<(), VaultError> {
        let whose = values![self.scope.id(), id];
        // One after the other: whoever takes another credential out of the same ones does it in the same order.
        let with = "SELECT workspace FROM workspace_credentials WHERE org = $1 AND credential = $2 ORDER BY workspace";
        for mut row in rows.query(with, whose)? {
            let change = "UPDATE workspaces SET revision = revision + 1 WHERE org = $1 AND id = $2";
            rows.execute(change, values![self.scope.id(), &row.text(0)?])?;
        }
        rows.execute("DELETE FROM workspace_credentials WHERE org = $1 AND credential = $2", whose)?;
        Ok(())
    }

    /// Takes a credential away from every registry: those are asked without one from then on.
    pub(super) fn leave_registries(&self, rows: &mut dyn Rows, id: &str) -> Result<(), VaultError> {
        rows.execute(
            "UPDATE registries SET credential = NULL, revision = revision + 1 WHERE org = $1 AND credential = $2",
            values![self.scope.id(), id],
        )?;
        Ok(())
    }

    /// Seals what is in a project for its new name, which it does not have yet: what is sealed is bound to the name.
    pub(crate) fn about_to_rename(&self, from: &str, to: &str) -> Result<Renamed, VaultError> {
        let mut renamed = Renamed { from: from.to_owned(), to: to.to_owned(), parcels: Parcels::new(self) };
        self.go_on_renaming(&mut renamed)?;
        Ok(renamed)
    }

    /// Seals what has come into the project since, and what is of another version by now. The rest stays sealed as it is.
    pub(crate) fn go_on_renaming(&self, renamed: &mut Renamed) -> Result<(), VaultError> {
        let all = concat!("SELECT ", columns!(), " FROM credentials WHERE org = $1 AND project = $2 ORDER BY id");
        let found = self.db.read(&self.scope, |rows| self.some(rows, all, Value::Text(&renamed.from)))?;
        for metadata in found {
            let moved = Metadata { scope: Scope::Project(renamed.to.clone()), ..metadata.clone() };
            let place = Place::of(&self.scope, &moved);
            if renamed.parcels.made.get(&moved.id).is_some_and(|parcel| parcel.is_for(&place)) {
                continue;
            }
            let opened = match self.unsealed(&metadata) {
                // Somebody has replaced it since it was listed: its turn comes with the next look.
                Err(VaultError::Changed { .. }) => continue,
                opened => opened?,
            };
            let parcel = self.sealed(&moved, &opened.secrets)?;
            renamed.parcels.add(self, &moved.id, parcel)?;
        }
        Ok(())
    }

    /// Gives the credentials of a project to its new name, within the transaction that renames it. Gives which ones;
    /// `None` where something in it is not sealed for that name, and then nothing of it may count.
    pub(crate) fn rename_project(
        &self,
        rows: &mut dyn Rows,
        renamed: &mut Renamed,
    ) -> Result<Option<Vec<String>>, VaultError> {
        let all = "SELECT id FROM credentials WHERE org = $1 AND project = $2 ORDER BY id";
        let mut moving = Vec::new();
        for mut row in rows.query(all, values![self.scope.id(), &renamed.from])? {
            let id = row.text(0)?;
            self.hold(rows, &id)?;
            let Some(stored) = self.row(rows, &id)? else { continue };
            let moved = Metadata { scope: Scope::Project(renamed.to.clone()), ..stored.metadata };
            let place = Place::of(&self.scope, &moved);
            let parcels = &mut renamed.parcels.made;
            let Some(parcel) = parcels.get(&id).filter(|parcel| parcel.is_for(&place)) else { return Ok(None) };
            if let Some(address) = parcel.address()
                && !engine::hold(rows, address)?
            {
                parcels.remove(&id);
                return Ok(None);
            }
            moving.push(moved);
        }
        for moved in &moving {
            let parcel = renamed.parcels.made.remove(&moved.id);
            let parcel = parcel.ok_or_else(|| VaultError::Changed { name: moved.name.clone() })?;
            let written = written::write(moved);
            rows.execute(
                "UPDATE credentials SET project = $3, revision = revision + 1 WHERE org = $1 AND id = $2",
                values![self.scope.id(), &moved.id, &written.project],
            )?;
            self.put_in(rows, moved, parcel)?;
        }
        Ok(Some(moving.into_iter().map(|moved| moved.id).collect()))
    }

    /// Destroys what counts no more of credentials that were sealed anew.
    pub(crate) fn clear_all(&self, ids: &[String]) {
        for id in ids {
            self.clear(id);
        }
    }
}

/// What is in a project, sealed for another name of it.
pub(crate) struct Renamed {
    from: String,
    to: String,
    parcels: Parcels,
}

impl Renamed {
    /// Whether it is of the project that has this name.
    pub(crate) fn is_of(&self, name: &str) -> bool {
        self.from == name
    }
}
