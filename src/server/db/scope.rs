//! The organization that a statement works in, and how far a transaction reaches.

/// The organization that a caller was let into. Every statement on what belongs to an organization takes it, and only
/// who a caller is makes one: no path, no body and no header can name another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OrgScope(String);

impl OrgScope {
    /// The scope of an organization that a token, a session or the set-up belongs to.
    pub(in crate::server) fn of(org: impl Into<String>) -> Self {
        Self(org.into())
    }

    /// The organization's identifier.
    pub(crate) fn id(&self) -> &str {
        &self.0
    }
}

/// How far a transaction reaches. PostgreSQL holds it to that: rows of other organizations are not there for it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Reach<'r> {
    /// One organization.
    Of(&'r OrgScope),
    /// One organization, with its sealed secrets from the first statement on.
    Secrets(&'r OrgScope),
    /// All of them: what is done before anybody knows whose it is, such as a sign-in, and the server's own work.
    Server,
}

/// What a transaction does not reach until it says so, be it the server's own. PostgreSQL holds it to that as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Closed {
    /// Sealed secrets and their keys.
    Secrets,
    /// Those, and what is in the audit already: it is changed by nothing but a backup that is brought back.
    History,
}

impl<'r> From<&'r OrgScope> for Reach<'r> {
    fn from(scope: &'r OrgScope) -> Self {
        Self::Of(scope)
    }
}
