//! What a caller may do: roles of members, and the permissions that a token was given out of them.

use std::collections::BTreeSet;

use serde_json::{Value, json};

/// One thing that a caller may do. Its word is an OAuth scope, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Permission {
    /// See credentials, without their secrets, and the projects, workspaces and registries that they are in.
    CredentialsRead,
    /// Store, change and delete credentials.
    CredentialsWrite,
    /// Ask providers whether credentials are good.
    CredentialsVerify,
    /// Read secrets.
    SecretsRead,
    /// Make, see and revoke API keys of one's own, and see and end the programs that are signed in as oneself.
    KeysManage,
    /// See who is in the organization.
    MembersRead,
    /// Invite, change and remove members, and see and revoke their API keys.
    MembersManage,
    /// Make, rename and delete projects, and say who works in them.
    ProjectsManage,
    /// Make, change and delete workspaces.
    WorkspacesWrite,
    /// Make, change and delete registries, and ask them for their charts.
    RegistriesWrite,
    /// Make further organizations on this server.
    OrganizationsCreate,
    /// Decide which jobs of outside services are let in, and register programs.
    TrustManage,
    /// See what happened in the organization.
    AuditRead,
    /// Decide by which outside issuers people sign in to the organization.
    UpstreamsManage,
    /// Rename and delete the organization.
    OrganizationsManage,
}

impl Permission {
    /// Every permission.
    pub(crate) const ALL: [Self; 15] = [
        Self::CredentialsRead,
        Self::CredentialsWrite,
        Self::CredentialsVerify,
        Self::SecretsRead,
        Self::KeysManage,
        Self::MembersRead,
        Self::MembersManage,
        Self::ProjectsManage,
        Self::WorkspacesWrite,
        Self::RegistriesWrite,
        Self::OrganizationsCreate,
        Self::TrustManage,
        Self::AuditRead,
        Self::UpstreamsManage,
        Self::OrganizationsManage,
    ];

    /// The word.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::CredentialsRead => "credentials.read",
            Self::CredentialsWrite => "credentials.write",
            Self::CredentialsVerify => "credentials.verify",
            Self::SecretsRead => "secrets.read",
            Self::KeysManage => "keys.manage",
            Self::MembersRead => "members.read",
            Self::MembersManage => "members.manage",
            Self::ProjectsManage => "projects.manage",
            Self::WorkspacesWrite => "workspaces.write",
            Self::RegistriesWrite => "registries.write",
            Self::OrganizationsCreate => "organizations.create",
            Self::TrustManage => "trust.manage",
            Self::AuditRead => "audit.read",
            Self::UpstreamsManage => "upstreams.manage",
            Self::OrganizationsManage => "organizations.manage",
        }
    }

    /// What a person is told who is asked to grant it.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::CredentialsRead => "See credentials, projects, workspaces and registries, without any secret",
            Self::CredentialsWrite => "Store, change and delete credentials",
            Self::CredentialsVerify => "Ask providers whether credentials are good",
            Self::SecretsRead => "Read secrets",
            Self::KeysManage => "Make and revoke your API keys, and end programs that are signed in as you",
            Self::MembersRead => "See who is in the organization",
            Self::MembersManage => "Invite members, change what they may do, remove them, and revoke their API keys",
            Self::ProjectsManage => "Make, rename and delete projects, and say who works in them",
            Self::WorkspacesWrite => "Make, change and delete workspaces",
            Self::RegistriesWrite => "Make, change and delete registries, and ask them for their charts",
            Self::OrganizationsCreate => "Make further organizations",
            Self::TrustManage => "Decide which jobs of outside services are let in, and register programs",
            Self::AuditRead => "See what happened in the organization, and who did it",
            Self::UpstreamsManage => "Decide by which outside issuers people sign in",
            Self::OrganizationsManage => "Rename and delete the organization",
        }
    }

    /// The least role that has it.
    fn least(self) -> Role {
        match self {
            Self::CredentialsRead | Self::KeysManage | Self::MembersRead => Role::Reader,
            Self::CredentialsWrite
            | Self::CredentialsVerify
            | Self::SecretsRead
            | Self::WorkspacesWrite
            | Self::RegistriesWrite => Role::Member,
            Self::MembersManage | Self::ProjectsManage | Self::TrustManage | Self::AuditRead => Role::Admin,
            Self::OrganizationsCreate | Self::UpstreamsManage | Self::OrganizationsManage => Role::Owner,
        }
    }
}

/// What one of these is in a document: its word.
pub(crate) fn schema(some: &[Permission]) -> Value {
    json!({ "type": "string", "enum": some.iter().map(|permission| permission.word()).collect::<Vec<_>>() })
}

/// A set of permissions.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Permissions(BTreeSet<Permission>);

impl FromIterator<Permission> for Permissions {
    fn from_iter<I: IntoIterator<Item = Permission>>(all: I) -> Self {
        Self(all.into_iter().collect())
    }
}

impl Permissions {
    /// The permissions named in a list with blanks between; `None` where one is unknown.
    pub(crate) fn parse(words: &str) -> Option<Self> {
        let one = |word: &str| Permission::ALL.into_iter().find(|known| known.word() == word);
        words.split_ascii_whitespace().map(one).collect::<Option<_>>().map(Self)
    }

    /// Every permission.
    pub(crate) fn all() -> Self {
        Self(Permission::ALL.into_iter().collect())
    }

    /// The words, with blanks between.
    pub(crate) fn words(&self) -> String {
        self.0.iter().map(|permission| permission.word()).collect::<Vec<_>>().join(" ")
    }

    /// Each of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Permission> + '_ {
        self.0.iter().copied()
    }

    /// Whether it is among them.
    pub(crate) fn has(&self, permission: Permission) -> bool {
        self.0.contains(&permission)
    }

    /// What is in both.
    pub(crate) fn and(&self, other: &Self) -> Self {
        Self(self.0.intersection(&other.0).copied().collect())
    }

    /// What is in one of them at least.
    pub(crate) fn or(&self, other: &Self) -> Self {
        Self(self.0.union(&other.0).copied().collect())
    }

    /// Whether all of these are in `other`.
    pub(crate) fn within(&self, other: &Self) -> bool {
        self.0.is_subset(&other.0)
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// What a member is in an organization, the one with the most rights first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    /// Whoever set it up, and whoever they name.
    Owner,
    /// Runs it.
    Admin,
    /// Works with it.
    Member,
    /// Looks at it.
    Reader,
}

impl Role {
    /// Every role.
    pub(crate) const ALL: [Self; 4] = [Self::Owner, Self::Admin, Self::Member, Self::Reader];

    /// The word in the database and in JSON.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Admin => "admin",
            Self::Member => "member",
            Self::Reader => "reader",
        }
    }

    /// The role of that word. An unknown word is no role, so that a newer program's role lets nobody in.
    pub(crate) fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.word() == word)
    }

    /// What it may do.
    pub(crate) fn permissions(self) -> Permissions {
        Permissions(Permission::ALL.into_iter().filter(|permission| self.covers(permission.least())).collect())
    }

    /// Whether it is no less than another.
    pub(crate) fn covers(self, other: Self) -> bool {
        self <= other
    }
}
