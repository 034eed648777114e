//! Lists that a person looks through.

use chrono::{DateTime, Utc};

use super::{OrgVault, Stored, stored};
use crate::provider::PROVIDERS;
use crate::server::db::values;
use crate::vault::VaultError;

/// What a list is narrowed to; an empty text narrows nothing.
#[derive(Debug, Default)]
pub(crate) struct Narrowed<'n> {
    /// The kind.
    pub(crate) kind: &'n str,
    /// The name of the project, or an empty one for what is the organization's.
    pub(crate) project: Option<&'n str>,
    /// A part of the name. Case does not count.
    pub(crate) name: &'n str,
}

impl OrgVault<'_> {
    /// One page of those that are wanted, after a project and a name, by project and name.
    pub(crate) fn narrowed(
        &self,
        after: &(String, String),
        wanted: &Narrowed<'_>,
        limit: i64,
    ) -> Result<Vec<Stored>, VaultError> {
        let page = concat!(
            "SELECT ",
            columns!(),
            " FROM credentials WHERE org = $1 AND (project, name) > ($2, $3) \
             AND ($4 = '' OR kind = $4) AND LOWER(name) LIKE $5 ESCAPE '!' \
             AND ($7 = 'any' OR project = $8) ORDER BY project, name LIMIT $6"
        );
        let pattern = pattern(wanted.name);
        let (which, project) = wanted.project.map_or(("any", ""), |project| ("one", project));
        let bound = values![self.scope.id(), &after.0, &after.1, wanted.kind, &pattern, limit, which, project];
        let found = self.db.read(&self.scope, |rows| rows.query(page, bound))?;
        found.into_iter().map(stored).collect()
    }

    /// One page of those that are noted to go to a host, after a project and a name, by project and name; all, or those of
    /// one project.
    pub(crate) fn page_for(
        &self,
        host: &str,
        only: Option<&str>,
        after: &(String, String),
        limit: i64,
    ) -> Result<Vec<Stored>, VaultError> {
        // In this order: few go to one host, however many there are.
        let page = concat!(
            "SELECT ",
            columns!(),
            " FROM credential_hosts CROSS JOIN credentials \
             WHERE credential_hosts.org = $1 AND credential_hosts.host = $6 AND credentials.org = $1 \
             AND credentials.id = credential_hosts.credential AND (project, name) > ($2, $3) \
             AND (project = $5 OR $5 IS NULL) ORDER BY project, name LIMIT $4"
        );
        let whose = values![self.scope.id(), &after.0, &after.1, limit, only, host];
        let found = self.db.read(&self.scope, |rows| rows.query(page, whose))?;
        found.into_iter().map(stored).collect()
    }

    /// Those whose time ends before an instant, the earliest first. What is renewed by itself ends only where that did
    /// not work.
    pub(crate) fn ending(&self, before: DateTime<Utc>, limit: i64) -> Result<Vec<Stored>, VaultError> {
        let kinds = PROVIDERS.iter().flat_map(|provider| provider.kinds());
        let renewed: Vec<&str> = kinds.filter(|kind| kind.renews_itself).map(|kind| kind.id).collect();
        let soon = format!(
            concat!(
                "SELECT ",
                columns!(),
                " FROM credentials WHERE org = $1 AND expires <= $2 AND (kind NOT IN ('{}') OR checked = 'expired') \
                 ORDER BY expires, id LIMIT $3"
            ),
            renewed.join("', '")
        );
        let found = self
            .db
            .read(&self.scope, |rows| rows.query(&soon, values![self.scope.id(), before.timestamp_millis(), limit]))?;
        found.into_iter().map(stored).collect()
    }
}

/// What LIKE finds a part of a name by: each letter stands for itself.
fn pattern(part: &str) -> String {
    let mut pattern = String::from("%");
    for letter in part.to_lowercase().chars() {
        if matches!(letter, '%' | '_' | '!') {
            pattern.push('!');
        }
        pattern.push(letter);
    }
    pattern.push('%');
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_letter_of_a_part_stands_for_itself() {
        assert_eq!(pattern(""), "%%");
        assert_eq!(pattern("Pro_d%!"), "%pro!_d!%!!%");
    }
}
