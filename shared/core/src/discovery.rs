//! What the target cluster serves, as plain data that the controller refreshes.

use std::collections::BTreeMap;

use crate::key::{GroupKind, Gvk};

/// How a kind is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiInfo {
    /// Plural, as in the URL.
    pub plural: String,
    /// False for cluster-scoped kinds.
    pub namespaced: bool,
    /// Whether `status` is a subresource, so that the main resource does not write it.
    pub status_subresource: bool,
}

/// A snapshot of what the target serves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Discovery {
    kinds: BTreeMap<Gvk, ApiInfo>,
    preferred: BTreeMap<GroupKind, String>,
}

impl Discovery {
    /// Adds a kind. The first version that is added of a kind counts as the preferred one.
    pub fn insert(&mut self, gvk: Gvk, info: ApiInfo) {
        self.preferred.entry(gvk.group_kind()).or_insert_with(|| gvk.version.clone());
        self.kinds.insert(gvk, info);
    }

    /// How exactly this version of the kind is served; `None` when it is not.
    pub fn get(&self, gvk: &Gvk) -> Option<&ApiInfo> {
        self.kinds.get(gvk)
    }

    /// The version in which to watch a kind: the preferred one.
    pub fn preferred(&self, kind: &GroupKind) -> Option<Gvk> {
        let version = self.preferred.get(kind)?;
        Some(Gvk { group: kind.group.clone(), version: version.clone(), kind: kind.kind.clone() })
    }

    /// Whether nothing is known yet.
    pub fn is_empty(&self) -> bool {
        self.kinds.is_empty()
    }
}
