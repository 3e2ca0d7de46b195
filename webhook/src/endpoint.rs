//! The endpoints of the webhook: which reviews come where.

/// Where a review is posted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// Edits of managed objects, before they are stored: the webhook may put fields back.
    Revert,
    /// Edits of managed objects, as they will be stored: the webhook may refuse them.
    Protect,
    /// Secrets that may hold manifests.
    Secrets,
    /// ManagedResources.
    ManagedResources,
    /// Deletions of namespaces that are not managed.
    Namespaces,
}

impl Endpoint {
    /// The endpoint with this path.
    pub fn parse(path: &str) -> Option<Self> {
        let all = [Self::Revert, Self::Protect, Self::Secrets, Self::ManagedResources, Self::Namespaces];
        all.into_iter().find(|endpoint| endpoint.path() == path)
    }

    /// Its path, also in metrics.
    pub fn path(self) -> &'static str {
        match self {
            Self::Revert => "/revert",
            Self::Protect => "/protect",
            Self::Secrets => "/secrets",
            Self::ManagedResources => "/managedresources",
            Self::Namespaces => "/namespaces",
        }
    }
}
