//! Workspaces as their rows stand.

use std::collections::BTreeSet;

use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Serialize;

use crate::server::db::{DbError, OrgScope, Row, Rows, values};
use crate::server::problem::{Answer, Problem};

/// So many credentials a workspace has at most.
const MOST: usize = 1000;

macro_rules! columns {
    () => {
        "SELECT workspaces.id, COALESCE(projects.name, ''), workspaces.name, workspaces.created, workspaces.revision \
         FROM workspaces LEFT JOIN projects ON projects.org = workspaces.org AND projects.id = workspaces.project "
    };
}

/// A workspace as it is shown.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Workspace")]
pub(super) struct Shown {
    id: String,
    name: String,
    /// The name of its project; `null` for the organization's own.
    project: Option<String>,
    /// The credentials that the work is done with, in their order.
    credential_config_ids: Vec<String>,
    created: Option<DateTime<Utc>>,
}

/// A workspace.
pub(crate) struct Workspace {
    pub(crate) id: String,
    /// The name of its project, or empty.
    pub(crate) project: String,
    pub(crate) name: String,
    pub(crate) revision: i64,
    created: i64,
    /// The identifiers of its credentials, in their order.
    pub(crate) credentials: Vec<String>,
}

impl Workspace {
    fn read(rows: &mut dyn Rows, scope: &OrgScope, mut row: Row) -> Result<Self, DbError> {
        let (id, project, name) = (row.text(0)?, row.text(1)?, row.text(2)?);
        let (created, revision) = (row.int(3)?, row.int(4)?);
        let list = "SELECT credential FROM workspace_credentials WHERE org = $1 AND workspace = $2 ORDER BY position";
        let credentials = rows
            .query(list, values![scope.id(), &id])?
            .into_iter()
            .map(|mut row| row.text(0))
            .collect::<Result<_, _>>()?;
        Ok(Self { id, project, name, revision, created, credentials })
    }

    /// When it was made.
    pub(crate) fn created(&self) -> Option<DateTime<Utc>> {
        DateTime::from_timestamp_millis(self.created)
    }

    pub(super) fn shown(self) -> Shown {
        let created = self.created();
        Shown {
            id: self.id,
            name: self.name,
            project: Some(self.project).filter(|project| !project.is_empty()),
            credential_config_ids: self.credentials,
            created,
        }
    }
}

/// The workspace of an identifier; another organization's is not there.
pub(crate) fn find(rows: &mut dyn Rows, scope: &OrgScope, id: &str) -> Answer<Workspace> {
    let one = concat!(columns!(), "WHERE workspaces.org = $1 AND workspaces.id = $2");
    let row = rows.first(one, values![scope.id(), id])?.ok_or_else(Problem::not_found)?;
    Ok(Workspace::read(rows, scope, row)?)
}

/// The same as somebody has seen it, which is held until the transaction ends.
pub(super) fn held(rows: &mut dyn Rows, scope: &OrgScope, id: &str, seen: Option<i64>) -> Answer<Workspace> {
    let hold = "UPDATE workspaces SET revision = revision WHERE org = $1 AND id = $2";
    rows.execute(hold, values![scope.id(), id])?;
    let workspace = find(rows, scope, id)?;
    if seen.is_some_and(|revision| revision != workspace.revision) {
        return Err(Problem::changed());
    }
    Ok(workspace)
}

/// One page of them after an identifier: all, or those of the project of a name.
pub(super) fn all(
    rows: &mut dyn Rows,
    scope: &OrgScope,
    only: Option<&str>,
    after: &str,
    limit: i64,
) -> Result<Vec<Workspace>, DbError> {
    let page = concat!(
        columns!(),
        "WHERE workspaces.org = $1 AND workspaces.id > $2 AND (projects.name = $4 OR $4 IS NULL) \
         ORDER BY workspaces.id LIMIT $3"
    );
    let found = rows.query(page, values![scope.id(), after, limit, only])?;
    found.into_iter().map(|row| Workspace::read(rows, scope, row)).collect()
}

/// Holds the credentials of a list until the transaction ends, before the workspace is touched. Each is of the
/// organization, and of the workspace's project where it is of one; else nothing changes. One that is elsewhere is told as
/// one that is nowhere.
pub(super) fn hold_all(rows: &mut dyn Rows, scope: &OrgScope, project: &str, credentials: &[String]) -> Answer<()> {
    if credentials.len() > MOST {
        return Err(Problem::invalid(format!("a workspace has at most {MOST} credentials")));
    }
    // All who hold several hold them in one order.
    for id in credentials.iter().collect::<BTreeSet<_>>() {
        let hold = "UPDATE credentials SET revision = revision WHERE org = $1 AND id = $2 RETURNING project";
        let of = rows.first(hold, values![scope.id(), id])?.map(|mut row| row.text(0)).transpose()?;
        if !of.is_some_and(|of| of.is_empty() || of == project) {
            let detail = "a credential is not there, or is of another project than the workspace";
            let problem = Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "no-credential", detail);
            return Err(problem.with("credential_config_id", id.as_str()));
        }
    }
    Ok(())
}

/// Replaces the list of a workspace by one that is held.
pub(super) fn attach(rows: &mut dyn Rows, scope: &OrgScope, workspace: &str, credentials: &[String]) -> Answer<()> {
    rows.execute(
        "DELETE FROM workspace_credentials WHERE org = $1 AND workspace = $2",
        values![scope.id(), workspace],
    )?;
    for (position, id) in credentials.iter().enumerate() {
        rows.execute(
            "INSERT INTO workspace_credentials (org, workspace, credential, position) VALUES ($1, $2, $3, $4) \
             ON CONFLICT DO NOTHING",
            values![scope.id(), workspace, id, i64::try_from(position).unwrap_or_default()],
        )?;
    }
    Ok(())
}
