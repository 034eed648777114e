//! The organization that a statement works in.

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
