//! Registries and their charts as their rows stand.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

use super::{Chart, Sort};
use crate::server::db::{DbError, OrgScope, Row, Rows, values};
use crate::server::problem::{Answer, Problem};

macro_rules! columns {
    () => {
        "SELECT registries.id, COALESCE(projects.name, ''), registries.name, registries.kind, registries.url, \
         registries.repositories, registries.credential, registries.created, registries.revision, registries.tried, \
         registries.outcome, registries.reason, registries.synced, registries.charts FROM registries \
         LEFT JOIN projects ON projects.org = registries.org AND projects.id = registries.project "
    };
}

/// A registry.
#[derive(Debug, Clone)]
pub(crate) struct Registry {
    pub(crate) id: String,
    /// The name of its project, or empty.
    pub(crate) project: String,
    pub(crate) name: String,
    pub(crate) sort: Sort,
    pub(crate) url: String,
    pub(crate) repositories: Vec<String>,
    pub(crate) credential: Option<String>,
    pub(crate) revision: i64,
    created: i64,
    /// When its charts were last asked for.
    pub(crate) tried: Option<i64>,
    /// What came of it, in a word; empty where nobody asked yet.
    pub(crate) outcome: String,
    /// Why there is no newer list, in a sentence without a full stop.
    pub(crate) reason: String,
    /// When they were last listed in whole.
    pub(crate) synced: Option<i64>,
    /// How many they were.
    pub(crate) charts: i64,
}

/// A registry as the API answers it.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Registry")]
pub(crate) struct Shown {
    id: String,
    name: String,
    kind: &'static str,
    url: String,
    repositories: Vec<String>,
    project: Option<String>,
    credential_config_id: Option<String>,
    created: Option<DateTime<Utc>>,
    /// When its charts were last asked for.
    tried: Option<DateTime<Utc>>,
    /// What came of it, in a word.
    outcome: Option<String>,
    /// Why there is no newer list.
    reason: Option<String>,
    /// When they were last listed in whole.
    synced: Option<DateTime<Utc>>,
    /// How many they were.
    charts: i64,
}

impl Registry {
    fn read(mut row: Row) -> Result<Self, DbError> {
        Ok(Self {
            id: row.text(0)?,
            project: row.text(1)?,
            name: row.text(2)?,
            sort: Sort::from_word(&row.text(3)?).ok_or(DbError::Shape)?,
            url: row.text(4)?,
            repositories: list(&row.text(5)?)?,
            credential: row.maybe_text(6)?,
            created: row.int(7)?,
            revision: row.int(8)?,
            tried: row.maybe_int(9)?,
            outcome: row.text(10)?,
            reason: row.text(11)?,
            synced: row.maybe_int(12)?,
            charts: row.int(13)?,
        })
    }

    /// The project, where it is of one.
    pub(crate) fn project(&self) -> Option<&str> {
        Some(self.project.as_str()).filter(|project| !project.is_empty())
    }

    pub(super) fn shown(self) -> Shown {
        let text = |text: String| Some(text).filter(|text| !text.is_empty());
        let time = DateTime::from_timestamp_millis;
        Shown {
            id: self.id,
            name: self.name,
            kind: self.sort.word(),
            url: self.url,
            repositories: self.repositories,
            project: text(self.project),
            credential_config_id: self.credential,
            created: time(self.created),
            tried: self.tried.and_then(time),
            outcome: text(self.outcome),
            reason: text(self.reason),
            synced: self.synced.and_then(time),
            charts: self.charts,
        }
    }
}

fn list(text: &str) -> Result<Vec<String>, DbError> {
    serde_json::from_str(text).map_err(|_| DbError::Shape)
}

/// A list as a column keeps it.
pub(super) fn kept(list: &[String]) -> String {
    json!(list).to_string()
}

/// The registry of an identifier; another organization's is not there.
pub(crate) fn find(rows: &mut dyn Rows, scope: &OrgScope, id: &str) -> Answer<Registry> {
    let one = concat!(columns!(), "WHERE registries.org = $1 AND registries.id = $2");
    Ok(Registry::read(rows.first(one, values![scope.id(), id])?.ok_or_else(Problem::not_found)?)?)
}

/// One page of them after an identifier: all, or those of the project of a name.
pub(crate) fn all(
    rows: &mut dyn Rows,
    scope: &OrgScope,
    only: Option<&str>,
    after: &str,
    limit: i64,
) -> Result<Vec<Registry>, DbError> {
    let page = concat!(
        columns!(),
        "WHERE registries.org = $1 AND registries.id > $2 AND (projects.name = $4 OR $4 IS NULL) \
         ORDER BY registries.id LIMIT $3"
    );
    rows.query(page, values![scope.id(), after, limit, only])?.into_iter().map(Registry::read).collect()
}

/// One page of the charts of a registry after a name.
pub(crate) fn charts(
    rows: &mut dyn Rows,
    scope: &OrgScope,
    registry: &str,
    after: &str,
    limit: i64,
) -> Result<Vec<Chart>, DbError> {
    let page = "SELECT name, description, newest, versions FROM registry_charts \
                WHERE org = $1 AND registry = $2 AND name > $3 ORDER BY name LIMIT $4";
    let read = |mut row: Row| {
        let (name, description, newest) = (row.text(0)?, row.text(1)?, row.text(2)?);
        Ok(Chart { name, description, newest, versions: list(&row.text(3)?)? })
    };
    rows.query(page, values![scope.id(), registry, after, limit])?.into_iter().map(read).collect()
}

/// Puts a list in the place of the one before.
pub(super) fn replace_charts(
    rows: &mut dyn Rows,
    scope: &OrgScope,
    registry: &str,
    charts: &[Chart],
) -> Result<(), DbError> {
    forget_charts(rows, scope, registry)?;
    for chart in charts {
        rows.execute(
            "INSERT INTO registry_charts (org, registry, name, description, newest, versions) \
             VALUES ($1, $2, $3, $4, $5, $6)",
            values![scope.id(), registry, &chart.name, &chart.description, &chart.newest, &kept(&chart.versions),],
        )?;
    }
    Ok(())
}

pub(super) fn forget_charts(rows: &mut dyn Rows, scope: &OrgScope, registry: &str) -> Result<(), DbError> {
    let all = "DELETE FROM registry_charts WHERE org = $1 AND registry = $2";
    rows.execute(all, values![scope.id(), registry]).map(|_| ())
}
