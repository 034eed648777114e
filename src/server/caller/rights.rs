//! What roles give, as far as a token was given it: in the whole organization, and in projects.

use crate::server::people;
use crate::server::permission::{Permission, Permissions, Role};

/// What somebody may do, and where.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rights {
    /// In the whole organization.
    pub(crate) everywhere: Permissions,
    /// In projects besides, by their names.
    pub(crate) projects: Vec<(String, Permissions)>,
}

/// What a token of one project can be given: what is done to what is in a project, and seeing it.
pub(crate) fn within_a_project() -> Permissions {
    people::in_a_project(Role::Owner).or(&[Permission::CredentialsRead].into_iter().collect())
}

impl Rights {
    /// Those of a role, and of roles in projects by their names, as far as they were `granted`; with `only`, in the
    /// project of that name alone.
    pub(crate) fn of(role: Role, projects: Vec<(String, Role)>, granted: &Permissions, only: Option<&str>) -> Self {
        let there = projects.into_iter().map(|(project, role)| (project, people::in_a_project(role).and(granted)));
        let everywhere = role.permissions().and(granted);
        let Some(only) = only else { return Self { everywhere, projects: there.collect() } };
        let own = there.filter(|(project, _)| project == only).map(|(_, rights)| rights);
        let rights = own.fold(everywhere.and(&within_a_project()), |rights, own| rights.or(&own));
        Self { everywhere: Permissions::default(), projects: vec![(only.to_owned(), rights)] }
    }

    /// Whether something may be done to what is of this project, or of the organization.
    pub(crate) fn has(&self, permission: Permission, project: Option<&str>) -> bool {
        let there = |(name, rights): &(String, Permissions)| Some(name.as_str()) == project && rights.has(permission);
        self.everywhere.has(permission) || self.projects.iter().any(there)
    }

    /// What may be done somewhere.
    pub(crate) fn most(&self) -> Permissions {
        self.projects.iter().fold(self.everywhere.clone(), |most, (_, rights)| most.or(rights))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &str) -> Permissions {
        Permissions::parse(words).unwrap()
    }

    #[test]
    fn a_role_in_a_project_counts_there_alone() {
        let granted = words("credentials.read secrets.read members.read");
        let rights = Rights::of(Role::Reader, vec![("web".into(), Role::Member)], &granted, None);
        assert_eq!(rights.everywhere, words("credentials.read members.read"));
        assert!(rights.has(Permission::SecretsRead, Some("web")));
        for elsewhere in [None, Some(""), Some("shop")] {
            assert!(!rights.has(Permission::SecretsRead, elsewhere));
        }
        assert!(!rights.has(Permission::CredentialsWrite, Some("web")), "it was not granted");
        assert_eq!(rights.most(), granted);
    }

    #[test]
    fn a_token_of_one_project_counts_nowhere_else() {
        let projects = || vec![("shop".into(), Role::Admin), ("web".into(), Role::Member)];
        let of = |role, granted: &Permissions| Rights::of(role, projects(), granted, Some("web"));
        let owner = of(Role::Owner, &Permissions::all());
        assert!(owner.everywhere.is_empty());
        assert_eq!(owner.most(), within_a_project());
        for (project, may) in [(Some("web"), true), (Some("shop"), false), (Some(""), false), (None, false)] {
            assert_eq!(owner.has(Permission::SecretsRead, project), may, "{project:?}");
            assert_eq!(owner.has(Permission::CredentialsRead, project), may, "{project:?}");
        }
        for everywhere in [Permission::MembersRead, Permission::KeysManage, Permission::AuditRead] {
            assert!(!owner.has(everywhere, Some("web")));
        }
        // No more than its maker has there.
        let reader = of(Role::Reader, &words("credentials.read secrets.read projects.manage"));
        assert_eq!(reader.most(), words("credentials.read secrets.read"));
    }
}
