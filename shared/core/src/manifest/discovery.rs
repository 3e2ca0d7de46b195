//! What the target cluster serves, as plain data that the controller refreshes. Also decides whether a kind exists at
//! all.

mod absence;

use std::collections::{BTreeMap, BTreeSet};

use crate::key::{GroupKind, Gvk};

pub use absence::{ApiService, absence};

/// Verbs that Holdfast needs to manage an object.
const NEEDED: [&str; 2] = ["get", "delete"];
/// Verbs that Holdfast needs to learn of changes.
const FOR_WATCHES: [&str; 2] = ["list", "watch"];

/// How a kind is served.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApiInfo {
    /// Plural, as in the URL.
    pub plural: String,
    /// False for cluster-scoped kinds.
    pub namespaced: bool,
    /// Whether `status` is a subresource. If so, writes of the main resource do not change it.
    pub status_subresource: bool,
    /// Which of the verbs get, delete, list and watch the kind does not support.
    pub missing_verbs: Vec<&'static str>,
}

impl ApiInfo {
    /// Returns which of get, delete, list and watch are missing from the `verbs` of a kind.
    pub fn missing_verbs<'a>(verbs: impl Iterator<Item = &'a str>) -> Vec<&'static str> {
        let offered: BTreeSet<&str> = verbs.collect();
        NEEDED.into_iter().chain(FOR_WATCHES).filter(|verb| !offered.contains(verb)).collect()
    }

    /// Whether Holdfast can read and delete objects of this kind. If not (SubjectAccessReview, Binding), the server
    /// stores no objects of it.
    pub fn is_manageable(&self) -> bool {
        !NEEDED.iter().any(|verb| self.missing_verbs.contains(verb))
    }

    /// Whether a watch can report changes.
    pub fn is_watchable(&self) -> bool {
        !FOR_WATCHES.iter().any(|verb| self.missing_verbs.contains(verb))
    }
}

/// Where to look for an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place<'a> {
    /// As its kind is served.
    At(Gvk, &'a ApiInfo),
    /// The object cannot exist: it has a namespace but its kind is cluster-scoped, or the other way round, or the
    /// server stores no objects of its kind.
    Nowhere,
    /// The kind is not served. See [`absence`].
    Unknown,
}

/// A snapshot of what the target serves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Discovery {
    kinds: BTreeMap<Gvk, ApiInfo>,
    preferred: BTreeMap<GroupKind, String>,
    /// Group and version of each API whose server does not answer.
    stale: BTreeSet<(String, String)>,
    /// Group and version of each API whose server answers.
    current: BTreeSet<(String, String)>,
}

impl Discovery {
    /// Adds a kind. The first version added of a kind becomes the preferred one. If two resources have the same kind,
    /// the one with more verbs wins.
    pub fn insert(&mut self, gvk: Gvk, info: ApiInfo) {
        self.preferred.entry(gvk.group_kind()).or_insert_with(|| gvk.version.clone());
        let is_better = |current: &ApiInfo| info.missing_verbs.len() < current.missing_verbs.len();
        if self.kinds.get(&gvk).is_none_or(is_better) {
            self.kinds.insert(gvk, info);
        }
    }

    /// Adds a version of a group. For a stale version the snapshot may be outdated or empty.
    pub fn insert_version(&mut self, group: &str, version: &str, is_stale: bool) {
        let versions = if is_stale { &mut self.stale } else { &mut self.current };
        versions.insert((group.to_owned(), version.to_owned()));
    }

    /// Returns how this very version of the kind is served; `None` if it is not.
    pub fn get(&self, gvk: &Gvk) -> Option<&ApiInfo> {
        self.kinds.get(gvk)
    }

    /// Returns the preferred version of a kind, which is the one to watch.
    pub fn preferred(&self, kind: &GroupKind) -> Option<Gvk> {
        let version = self.preferred.get(kind)?;
        Some(Gvk { group: kind.group.clone(), version: version.clone(), kind: kind.kind.clone() })
    }

    /// Returns how a kind is served, in this version or else in the preferred one. All versions of a kind have the same
    /// scope and plural.
    pub fn served(&self, gvk: &Gvk) -> Option<(Gvk, &ApiInfo)> {
        let in_version = |gvk: Gvk| self.get(&gvk).map(|info| (gvk.clone(), info));
        in_version(gvk.clone()).or_else(|| in_version(self.preferred(&gvk.group_kind())?))
    }

    /// Returns where to look for an object that had this kind and this namespace.
    pub fn look_up(&self, gvk: &Gvk, namespace: &str) -> Place<'_> {
        let Some((gvk, info)) = self.served(gvk) else { return Place::Unknown };
        let is_possible = info.is_manageable() && info.namespaced != namespace.is_empty();
        // An API whose server does not answer may have changed since.
        if is_possible || !self.is_current(&gvk.group, &gvk.version) { Place::At(gvk, info) } else { Place::Nowhere }
    }

    /// Whether a server that answers serves this version of a group.
    fn is_current(&self, group: &str, version: &str) -> bool {
        self.current.contains(&(group.to_owned(), version.to_owned()))
    }

    /// Returns the versions of a group whose server does not answer.
    fn stale_versions<'a>(&'a self, group: &'a str) -> impl Iterator<Item = &'a str> {
        self.stale.iter().filter(move |(stale, _)| stale == group).map(|(_, version)| version.as_str())
    }

    /// Whether the snapshot is still empty.
    pub fn is_empty(&self) -> bool {
        self.kinds.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_without_verbs_are_told_apart() {
        for (verbs, manageable, watchable) in [
            ("create", false, false),
            ("create get list", false, false),
            ("create delete get patch update", true, false),
            ("create delete deletecollection get list patch update watch", true, true),
        ] {
            let info = ApiInfo { missing_verbs: ApiInfo::missing_verbs(verbs.split(' ')), ..ApiInfo::default() };
            assert_eq!((info.is_manageable(), info.is_watchable()), (manageable, watchable), "{verbs}");
        }
    }

    #[test]
    fn a_kind_is_served_in_its_version_or_else_in_the_preferred_one() {
        let mut served = Discovery::default();
        let gvk = |version: &str| Gvk::new(&format!("example.com/{version}"), "Zone");
        for (version, plural) in [("v2", "zones"), ("v1", "zones")] {
            served.insert(gvk(version), ApiInfo { plural: plural.into(), ..ApiInfo::default() });
        }
        for (requested, found) in [("v1", Some("v1")), ("v2", Some("v2")), ("v1alpha1", Some("v2"))] {
            let version = served.served(&gvk(requested)).map(|(gvk, _)| gvk.version);
            assert_eq!(version.as_deref(), found, "{requested}");
        }
        assert!(served.served(&Gvk::new("example.com/v1", "Area")).is_none());
    }

    #[test]
    fn an_object_can_be_where_its_kind_says() {
        let mut served = Discovery::default();
        for (kind, namespaced, missing_verbs) in
            [("Zone", false, vec![]), ("Part", true, vec![]), ("Review", true, vec!["get", "delete"])]
        {
            served.insert(Gvk::new("v1", kind), ApiInfo { namespaced, missing_verbs, ..ApiInfo::default() });
            served.insert(Gvk::new("dead/v1", kind), ApiInfo { namespaced, ..ApiInfo::default() });
        }
        served.insert_version("", "v1", false);
        served.insert_version("dead", "v1", true);
        for (api_version, kind, namespace, expected) in [
            ("v1", "Zone", "", Some(true)),
            ("v2", "Zone", "", Some(true)),
            ("v1", "Zone", "default", Some(false)),
            ("v1", "Part", "default", Some(true)),
            ("v1", "Part", "", Some(false)),
            ("v1", "Review", "default", Some(false)),
            ("dead/v1", "Zone", "default", Some(true)),
            ("v1", "Other", "", None),
        ] {
            let found = match served.look_up(&Gvk::new(api_version, kind), namespace) {
                Place::At(..) => Some(true),
                Place::Nowhere => Some(false),
                Place::Unknown => None,
            };
            assert_eq!(found, expected, "{api_version}/{kind} {namespace:?}");
        }
    }

    #[test]
    fn of_two_resources_of_one_kind_the_one_with_more_verbs_counts() {
        let info = |plural: &str, missing_verbs| ApiInfo { plural: plural.into(), missing_verbs, ..ApiInfo::default() };
        let (whole, part) = (info("whole", vec![]), info("part", vec!["delete"]));
        for order in [[whole.clone(), part.clone()], [part, whole]] {
            let mut served = Discovery::default();
            let gvk = Gvk::new("v1", "Thing");
            for info in order {
                served.insert(gvk.clone(), info);
            }
            assert_eq!(served.get(&gvk).unwrap().plural, "whole");
        }
    }
}
