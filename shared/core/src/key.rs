//! Identities: of an object in the target cluster, of a kind, of a ManagedResource.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// An API group and a kind, without a version.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupKind {
    /// Empty for the core group.
    pub group: String,
    /// Kind in camel case.
    pub kind: String,
}

impl fmt::Display for GroupKind {
    /// Prints `ConfigMap` or `Deployment.apps`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.kind)?;
        if self.group.is_empty() { Ok(()) } else { write!(f, ".{}", self.group) }
    }
}

/// Group, version and kind of an object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Gvk {
    /// Empty for the core group.
    pub group: String,
    /// For example `v1`.
    pub version: String,
    /// Kind in camel case.
    pub kind: String,
}

impl Gvk {
    /// Splits `apiVersion` at the slash. Without a slash the group is empty.
    pub fn new(api_version: &str, kind: &str) -> Self {
        let (group, version) = Self::split(api_version);
        Self { group: group.to_owned(), version: version.to_owned(), kind: kind.to_owned() }
    }

    /// Splits an `apiVersion` into group and version.
    pub(crate) fn split(api_version: &str) -> (&str, &str) {
        api_version.rsplit_once('/').unwrap_or(("", api_version))
    }

    /// Returns `group/version`, or only `version` in the core group.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// Drops the version.
    pub fn group_kind(&self) -> GroupKind {
        GroupKind { group: self.group.clone(), kind: self.kind.clone() }
    }
}

impl fmt::Display for Gvk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.api_version(), self.kind)
    }
}

/// Identity of an object: group, kind, namespace and name. As in the original, the version is not part of it.
///
/// The namespace is empty for cluster-scoped objects. Keys sort in the order of `status.resources`. Clones share the
/// text.
//
// Maps hold tens of thousands of keys: one allocation and one comparison of bytes replace four of each.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    /// The four parts, joined by [`SEPARATOR`]. It is the smallest character, so keys compare like their parts.
    text: Arc<str>,
    /// Ends of the first three parts. They belong to the identity, in case a part contains the separator.
    ends: [u32; 3],
}

const SEPARATOR: char = '\0';

impl ObjectKey {
    /// Creates a key from its parts. `group` is empty for the core group, `namespace` for cluster-scoped objects.
    pub fn new(group: &str, kind: &str, namespace: &str, name: &str) -> Self {
        let mut text = String::with_capacity(group.len() + kind.len() + namespace.len() + name.len() + 3);
        let ends = [group, kind, namespace].map(|part| {
            text.push_str(part);
            // Decoded text is far shorter than 4 GiB.
            let end = u32::try_from(text.len()).unwrap_or(u32::MAX);
            text.push(SEPARATOR);
            end
        });
        text.push_str(name);
        Self { text: text.into(), ends }
    }

    /// Returns the lower bound of all keys of a kind.
    pub fn first_of(kind: &GroupKind) -> Self {
        Self::new(&kind.group, &kind.kind, "", "")
    }

    /// Returns the upper bound of all keys of a kind. It sorts before the keys of the next kind.
    pub fn after(kind: &GroupKind) -> Self {
        Self::new(&kind.group, &format!("{}\u{1}", kind.kind), "", "")
    }

    /// API group; empty for the core group.
    pub fn group(&self) -> &str {
        let [end, ..] = self.ends;
        self.part(0, end)
    }

    /// Kind in camel case.
    pub fn kind(&self) -> &str {
        let [before, end, _] = self.ends;
        self.part(before.saturating_add(1), end)
    }

    /// Namespace; empty for cluster-scoped objects.
    pub fn namespace(&self) -> &str {
        let [_, before, end] = self.ends;
        self.part(before.saturating_add(1), end)
    }

    /// `metadata.name`.
    pub fn name(&self) -> &str {
        let [.., before] = self.ends;
        self.text.get(before as usize + 1..).unwrap_or_default()
    }

    /// The object's group and kind.
    pub fn group_kind(&self) -> GroupKind {
        GroupKind { group: self.group().to_owned(), kind: self.kind().to_owned() }
    }

    /// Whether the object is a Namespace.
    pub fn is_namespace(&self) -> bool {
        self.group().is_empty() && self.kind() == "Namespace"
    }

    /// Whether the object has this group and kind.
    pub fn is_of(&self, kind: &GroupKind) -> bool {
        self.group() == kind.group && self.kind() == kind.kind
    }

    fn part(&self, start: u32, end: u32) -> &str {
        self.text.get(start as usize..end as usize).unwrap_or_default()
    }
}

impl Default for ObjectKey {
    fn default() -> Self {
        Self::new("", "", "", "")
    }
}

impl fmt::Debug for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObjectKey")
            .field("group", &self.group())
            .field("kind", &self.kind())
            .field("namespace", &self.namespace())
            .field("name", &self.name())
            .finish()
    }
}

impl fmt::Display for ObjectKey {
    /// Prints a key for people: `ConfigMap default/name`, `Deployment.apps default/name`,
    /// `ClusterRole.rbac.authorization.k8s.io name`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind())?;
        if !self.group().is_empty() {
            write!(f, ".{}", self.group())?;
        }
        f.write_str(" ")?;
        if !self.namespace().is_empty() {
            write!(f, "{}/", self.namespace())?;
        }
        f.write_str(&in_one_line(self.name()))
    }
}

/// Escapes control characters of a name for people. Names in RBAC may contain line feeds and terminal escape sequences.
pub fn in_one_line(name: &str) -> Cow<'_, str> {
    if !name.contains(char::is_control) {
        return Cow::Borrowed(name);
    }
    let shown = |character: char| {
        if character.is_control() { character.escape_default().to_string() } else { character.to_string() }
    };
    Cow::Owned(name.chars().map(shown).collect())
}

/// Namespace and name of a ManagedResource or a Secret.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NamespacedName {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl NamespacedName {
    /// Creates it from both parts.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }
}

impl fmt::Display for NamespacedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARTS: [&str; 6] = ["", "a", "a-b", "a.b", "ab", "b"];

    fn all() -> impl Iterator<Item = [&'static str; 4]> {
        PARTS.into_iter().flat_map(|group| {
            PARTS.into_iter().flat_map(move |kind| {
                PARTS.into_iter().flat_map(move |namespace| PARTS.map(|name| [group, kind, namespace, name]))
            })
        })
    }

    #[test]
    fn keys_compare_like_their_parts() {
        let keys: Vec<ObjectKey> =
            all().map(|[group, kind, place, name]| ObjectKey::new(group, kind, place, name)).collect();
        for (key, parts) in keys.iter().zip(all()) {
            assert_eq!([key.group(), key.kind(), key.namespace(), key.name()], parts);
        }
        for (one, parts) in keys.iter().zip(all()) {
            for (other, rest) in keys.iter().zip(all()) {
                assert_eq!(one.cmp(other), parts.cmp(&rest), "{one:?} and {other:?}");
            }
        }
    }

    #[test]
    fn keys_of_a_kind_lie_between_two_others() {
        for [group, kind, ..] in all() {
            let of = GroupKind { group: group.to_owned(), kind: kind.to_owned() };
            let (first, after) = (ObjectKey::first_of(&of), ObjectKey::after(&of));
            for [group, kind, place, name] in all() {
                let key = ObjectKey::new(group, kind, place, name);
                assert_eq!(first <= key && key < after, key.is_of(&of), "{key:?} and {of:?}");
            }
        }
    }

    #[test]
    fn keys_whose_parts_are_cut_otherwise_are_others() {
        assert_ne!(ObjectKey::new("a\0b", "c", "d", "e"), ObjectKey::new("a", "b\0c", "d", "e"));
        assert_eq!(ObjectKey::new("a\0b", "c", "d", "e").group(), "a\0b");
    }

    #[test]
    fn objects_are_shown_in_one_line() {
        for (name, expected) in
            [("team:a b", "Role.g n/team:a b"), ("ü's", "Role.g n/ü's"), ("a\nb\u{1b}[2J", "Role.g n/a\\nb\\u{1b}[2J")]
        {
            assert_eq!(ObjectKey::new("g", "Role", "n", name).to_string(), expected);
        }
    }

    #[test]
    fn api_versions_split_and_join() {
        for (text, group, version) in [
            ("v1", "", "v1"),
            ("apps/v1", "apps", "v1"),
            ("rbac.authorization.k8s.io/v1", "rbac.authorization.k8s.io", "v1"),
        ] {
            let gvk = Gvk::new(text, "X");
            assert_eq!((gvk.group.as_str(), gvk.version.as_str()), (group, version));
            assert_eq!(gvk.api_version(), text);
        }
    }
}
