//! An entry of the inventory, `status.resources[]`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{recorded::Recorded, texts::Texts};
use crate::key::{Gvk, ObjectKey};

/// ResourceReference is an object that a ManagedResource holds.
// Few fields: with a thousand entries, each field costs the API server milliseconds in every status write.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-map-type" = "atomic"))]
pub struct ResourceReference {
    /// API version of the object.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub api_version: String,
    /// Kind of the object.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// Namespace of the object, absent for cluster-scoped ones.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// Name of the object.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Labels as applied.
    #[serde(default, skip_serializing_if = "Texts::is_empty")]
    pub labels: Texts,
    /// Annotations as written in the manifest.
    #[serde(default, skip_serializing_if = "Texts::is_empty")]
    pub annotations: Texts,
    /// Plural of the kind, as in the URL. Holdfast only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<Box<str>>,
    /// Source is the Secret that declares the object, and the key in it: secret/key. Holdfast only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Box<str>>,
    /// Preserved names what is left to others beyond what the kind implies: replicas, resources, token. Holdfast only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preserved: Option<Box<str>>,
    /// State records the last apply, in one word each: uid, generation (g) or resource version (r), keyed digest of the manifest, keyed digest of our managedFields entry. Holdfast only.
    #[serde(default, deserialize_with = "super::recorded::lenient", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub state: Option<Recorded>,
    /// Dropped names the change of the manifests that removed the object from them. Holdfast only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dropped: Option<Box<str>>,
    /// The object is about to be created and is listed in `status.pending`.
    #[serde(skip)]
    pub pending: bool,
}

impl ResourceReference {
    /// Returns the object's identity.
    pub fn object_key(&self) -> ObjectKey {
        let (group, _) = Gvk::split(&self.api_version);
        ObjectKey::new(group, &self.kind, &self.namespace, &self.name)
    }

    /// Group, version and kind.
    pub fn gvk(&self) -> Gvk {
        Gvk::new(&self.api_version, &self.kind)
    }

    /// Name of the Secret that declares the object.
    pub fn secret(&self) -> Option<&str> {
        self.source.as_deref().and_then(|source| source.split('/').next())
    }

    /// Whether both mean the same in the API, apart from observations. Of a pending object only the identity counts.
    pub fn says_the_same_as(&self, other: &Self) -> bool {
        let Self {
            api_version, kind, namespace, name, labels, annotations, resource, source, preserved, dropped, ..
        } = self;
        let is_same_object = *api_version == other.api_version
            && *kind == other.kind
            && *namespace == other.namespace
            && *name == other.name;
        let is_same_content = *labels == other.labels
            && *annotations == other.annotations
            && *resource == other.resource
            && *source == other.source
            && *preserved == other.preserved
            && *dropped == other.dropped;
        is_same_object && self.pending == other.pending && (self.pending || is_same_content)
    }

    /// Formats the entry for `status.pending`: `apiVersion/kind/namespace/name`, with an empty namespace for
    /// cluster-scoped objects.
    pub(super) fn to_pending(&self) -> String {
        format!("{}/{}/{}/{}", self.api_version, self.kind, self.namespace, self.name)
    }

    /// Parses the output of [`Self::to_pending`]; returns `None` for anything else.
    pub(super) fn from_pending(text: &str) -> Option<Self> {
        // Split from the end, since an API version may contain a slash.
        let mut parts = text.rsplitn(4, '/');
        let mut part = || parts.next().map(str::to_owned);
        let (name, namespace, kind, api_version) = (part()?, part()?, part()?, part()?);
        let is_complete = ![&name, &kind, &api_version].into_iter().any(String::is_empty);
        is_complete.then(|| Self { api_version, kind, namespace, name, pending: true, ..Self::default() })
    }
}

/// Sorts references in the order of the original: by `group/kind/namespace/name`. No namespace counts as `default`,
/// except for Namespaces.
pub(crate) fn sort_inventory(references: &mut [ResourceReference]) {
    references.sort_by_cached_key(|reference| {
        let key = reference.object_key();
        let namespace =
            if key.namespace().is_empty() && key.kind() != "Namespace" { "default" } else { key.namespace() };
        format!("{}/{}/{namespace}/{}", key.group(), key.kind(), key.name())
    });
}

/// Upper bound of the stored size of an inventory entry in bytes, with everything that the controller observes of an
/// object.
pub(crate) fn entry_size(reference: &ResourceReference) -> usize {
    // `,"state":"…"` with a uid, a version and two digests, and a comma.
    const OBSERVED: usize = 11 + 36 + 22 + 33 + 33 + 1;
    let is_observed = reference.state.is_some();
    let size = serde_json::to_string(reference).map_or(0, |text| text.len() + 1);
    if is_observed { size } else { size + OBSERVED }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pending_objects_are_read_as_written() {
        for text in ["v1/ConfigMap/ns/name", "apps/v1/Deployment/ns/name", "v1/Namespace//name"] {
            let reference = ResourceReference::from_pending(text).unwrap();
            assert_eq!(reference.to_pending(), text);
        }
        for text in ["", "a", "v1/ConfigMap/name", "v1/ConfigMap/ns/", "//ns/name"] {
            assert_eq!(ResourceReference::from_pending(text), None, "{text}");
        }
    }

    #[test]
    fn what_the_original_wrote_is_read() {
        let text = r#"{"apiVersion":"v1","kind":"ConfigMap","namespace":"n","name":"a","uid":"u","resourceVersion":"1",
            "fieldPath":"x","labels":{"b":"1","a":"2"}}"#;
        let reference: ResourceReference = serde_json::from_str(text).unwrap();
        assert_eq!(reference.labels.get("a"), Some("2"));
        let written = serde_json::to_string(&reference).unwrap();
        assert_eq!(
            written,
            r#"{"apiVersion":"v1","kind":"ConfigMap","namespace":"n","name":"a","labels":{"a":"2","b":"1"}}"#
        );
    }
}
