//! Checks before storage whether manifests claim objects of somebody else.
//!
//! The webhook has no discovery and sees only what the manifest contains. So a namespace may be missing, or be there
//! for a cluster-scoped object.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::{
    api::{ManagedResource, ResourceReference, entry_size},
    decode::Manifest,
    inventory::index::{Index, Owner},
    key::{Gvk, NamespacedName, ObjectKey},
    names,
    validation::managed_resource,
};

/// Roles that the chart installs in our namespace, and in each source namespace.
const ROLES: [&str; 3] = ["holdfast-controller", "holdfast-controller-source", "holdfast-webhook"];

/// Objects of our own installation: (group, kind, namespace, names). `*` is our own namespace; an empty namespace
/// matches any.
const OURS: [(&str, &str, &str, &[&str]); 17] = [
    ("", "ConfigMap", "*", &["holdfast-controller"]),
    ("", "Secret", "*", &["holdfast-digest-key", "holdfast-webhook-tls"]),
    ("", "Service", "*", &["holdfast-webhook"]),
    ("", "ServiceAccount", "*", &["holdfast-controller", "holdfast-webhook"]),
    ("admissionregistration.k8s.io", "MutatingWebhookConfiguration", "", &["zz-holdfast"]),
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy", "", &["holdfast"]),
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding", "", &["holdfast"]),
    ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration", "", &["holdfast"]),
    ("apiextensions.k8s.io", "CustomResourceDefinition", "", &["managedresources.resources.gardener.cloud"]),
    ("apps", "Deployment", "*", &["holdfast-controller", "holdfast-webhook"]),
    ("monitoring.coreos.com", "PodMonitor", "*", &["holdfast"]),
    ("networking.k8s.io", "NetworkPolicy", "*", &["holdfast-controller", "holdfast-webhook"]),
    ("policy", "PodDisruptionBudget", "*", &["holdfast-controller", "holdfast-webhook"]),
    ("rbac.authorization.k8s.io", "ClusterRole", "", &["holdfast-controller", "holdfast-override", "holdfast-webhook"]),
    ("rbac.authorization.k8s.io", "ClusterRoleBinding", "", &["holdfast-controller", "holdfast-webhook"]),
    ("rbac.authorization.k8s.io", "Role", "", &ROLES),
    ("rbac.authorization.k8s.io", "RoleBinding", "", &ROLES),
];

/// Built-in kinds whose objects the server does not store, or lets nobody delete.
const UNMANAGEABLE: [(&str, &str); 10] = [
    ("", "Binding"),
    ("", "ComponentStatus"),
    ("authentication.k8s.io", "SelfSubjectReview"),
    ("authentication.k8s.io", "TokenRequest"),
    ("authentication.k8s.io", "TokenReview"),
    ("authorization.k8s.io", "LocalSubjectAccessReview"),
    ("authorization.k8s.io", "SelfSubjectAccessReview"),
    ("authorization.k8s.io", "SelfSubjectRulesReview"),
    ("authorization.k8s.io", "SubjectAccessReview"),
    ("policy", "Eviction"),
];

/// Built-in kinds that are cluster-scoped.
const CLUSTER_WIDE: [(&str, &str); 18] = [
    ("", "Namespace"),
    ("", "Node"),
    ("", "PersistentVolume"),
    ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"),
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy"),
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding"),
    ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"),
    ("apiextensions.k8s.io", "CustomResourceDefinition"),
    ("apiregistration.k8s.io", "APIService"),
    ("certificates.k8s.io", "CertificateSigningRequest"),
    ("networking.k8s.io", "IngressClass"),
    ("node.k8s.io", "RuntimeClass"),
    ("rbac.authorization.k8s.io", "ClusterRole"),
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"),
    ("scheduling.k8s.io", "PriorityClass"),
    ("storage.k8s.io", "CSIDriver"),
    ("storage.k8s.io", "CSINode"),
    ("storage.k8s.io", "StorageClass"),
];

/// An object that a manifest claims.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Identity, as the manifest has it.
    pub object: ObjectKey,
    /// Whether the object stays when no manifest declares it any more (annotation `keep-object`).
    pub keep_object: bool,
    /// Lower bound of the size of its inventory entry, in bytes.
    pub size: usize,
}

impl Claim {
    /// Reads the claim of a manifest.
    pub fn of(manifest: &Manifest) -> Self {
        let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
        let metadata = manifest.object.get("metadata");
        let field = |name: &str| text(metadata.and_then(|metadata| metadata.get(name)));
        let texts = |map: &str| -> BTreeMap<String, String> {
            let entries = metadata.and_then(|metadata| metadata.get(map)).and_then(Value::as_object);
            let texts = entries.into_iter().flatten();
            texts.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
        };
        let (api_version, kind) = (text(manifest.object.get("apiVersion")), text(manifest.object.get("kind")));
        let (namespace, name, annotations) = (field("namespace"), field("name"), texts("annotations"));
        let keep_object = annotations.get(names::ANNOTATION_KEEP_OBJECT).is_some_and(|value| names::is_truthy(value));
        let (group, _) = Gvk::split(&api_version);
        let object = ObjectKey::new(group, &kind, &namespace, &name);
        let reference = ResourceReference {
            resource: Some(kind.to_lowercase().into()),
            source: Some(format!("{}/{}", manifest.source.secret, manifest.source.key).into()),
            labels: texts("labels").into(),
            annotations: annotations.into(),
            api_version,
            kind,
            namespace,
            name,
            ..ResourceReference::default()
        };
        Self { object, keep_object, size: entry_size(&reference) }
    }
}

/// Returns why a ManagedResource, or its status, cannot contain all these objects. Uses the lower bound of their size.
pub fn too_many(claims: &[Claim]) -> Option<String> {
    let sizes: BTreeMap<&ObjectKey, usize> = claims.iter().map(|claim| (&claim.object, claim.size)).collect();
    managed_resource::too_many(sizes.len(), sizes.values().sum())
}

/// Describes each refused claim. `home` is our own namespace.
pub fn errors(claims: &[Claim], home: &str) -> Vec<String> {
    let refused = claims.iter().filter_map(|claim| {
        let Claim { object, keep_object, .. } = claim;
        let (group, kind, namespace, name) = (object.group(), object.kind(), object.namespace(), object.name());
        let lives_in_it = match name {
            "kube-system" => "the cluster",
            name if name == home => "Holdfast itself",
            _ => "",
        };
        if object.is_namespace() && !lives_in_it.is_empty() {
            let why = format!(
                "{object} is what {lives_in_it} lives in, and would be deleted when it is not declared any more; to manage its \
                 labels and annotations set {}: \"true\" on it",
                names::ANNOTATION_KEEP_OBJECT
            );
            return (!keep_object).then_some(why);
        }
        let is_ours = OURS.iter().any(|(ours, listed, place, names)| {
            let is_there = if *place == "*" { namespace == home } else { true };
            group == *ours && kind == *listed && is_there && names.contains(&name)
        });
        is_ours.then(|| format!("{object} belongs to Holdfast itself and is installed by its chart"))
    });
    refused.collect()
}

/// Describes objects of ManagedResources other than `by`, and namespaces that have no effect.
pub fn warnings(claims: &[Claim], by: &[NamespacedName], index: &Index) -> Vec<String> {
    let mut texts = Vec::new();
    for Claim { object, .. } in claims {
        if let Some(owner) = holder(object, index).filter(|owner| !by.is_empty() && !by.contains(&owner.key)) {
            texts.push(format!(
                "{object} is held by ManagedResource {}, and stays with it until that lets go of it",
                owner.key
            ));
        }
        if let Some(owner) = by.iter().find(|owner| is_home_of(object, owner)) {
            texts.push(format!(
                "{object} is the one that ManagedResource {owner} itself lives in: when it is not declared any more, or when \
                 {owner} is deleted, everything in it is deleted as well"
            ));
        }
        let kind = object.group_kind();
        if UNMANAGEABLE.contains(&(object.group(), object.kind())) {
            texts.push(format!("{object}: objects of kind {kind} cannot be managed, since the API server keeps none"));
        }
        let is_built_in = || CLUSTER_WIDE.contains(&(object.group(), object.kind()));
        if !object.namespace().is_empty() && index.is_cluster_wide(&kind).unwrap_or_else(is_built_in) {
            texts.push(format!("{object}: objects of kind {kind} are in no namespace (it has no effect)"));
        }
    }
    let mut seen = BTreeSet::new();
    texts.retain(|text| seen.insert(text.clone()));
    texts
}

fn is_home_of(object: &ObjectKey, owner: &NamespacedName) -> bool {
    object.is_namespace() && object.name() == owner.namespace
}

/// Returns the owner of an object, unless it is about to release it. Without discovery, the object may also be in the
/// default namespace or in none.
fn holder<'a>(object: &ObjectKey, index: &'a Index) -> Option<&'a Owner> {
    let other = if object.namespace().is_empty() { names::DEFAULT_NAMESPACE } else { "" };
    let other_owner = || index.owner_of(&ObjectKey::new(object.group(), object.kind(), other, object.name()));
    index.owner_of(object).or_else(other_owner).filter(|owner| !owner.deleting)
}

/// Describes the effect of a change of class.
pub fn class_change(old: &ManagedResource, new: &ManagedResource) -> Option<String> {
    let class = |mr: &ManagedResource| match mr.class() {
        "" => names::DEFAULT_CLASS.to_owned(),
        other => other.to_owned(),
    };
    let (before, after) = (class(old), class(new));
    if before == after {
        return None;
    }
    let count = old.inventory().len();
    let objects = if count == 1 { "1 object".to_owned() } else { format!("{count} objects") };
    let fate = if new.spec.keep_objects == Some(true) {
        format!("leaves the {objects} where they are (keepObjects)")
    } else {
        format!("deletes the {objects} (keepObjects: true would leave them)")
    };
    Some(format!(
        "the class changes from {before:?} to {after:?}: the controller of {before:?} {fate} and lets go, then that of {after:?} \
         applies everything; without one nothing is done"
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn claim(group: &str, kind: &str, namespace: &str, name: &str) -> Claim {
        Claim { object: ObjectKey::new(group, kind, namespace, name), keep_object: false, size: 0 }
    }

    #[test]
    fn what_the_cluster_and_we_live_in_is_refused() {
        let retained = Claim { keep_object: true, ..claim("", "Namespace", "", "kube-system") };
        for (claim, part) in [
            (claim("", "Namespace", "", "kube-system"), Some("keep-object: \"true\"")),
            (retained, None),
            (claim("", "Namespace", "", "other"), None),
            (claim("", "Namespace", "", "home"), Some("what Holdfast itself lives in")),
            (Claim { keep_object: true, ..claim("", "Namespace", "", "home") }, None),
            (claim("", "ConfigMap", "kube-system", "x"), None),
            (claim("apps", "Deployment", "home", "holdfast-webhook"), Some("belongs to Holdfast")),
            (claim("apps", "Deployment", "other", "holdfast-webhook"), None),
            (claim("admissionregistration.k8s.io", "ValidatingWebhookConfiguration", "", "holdfast"), Some("belongs")),
        ] {
            let refused = errors(std::slice::from_ref(&claim), "home");
            assert_eq!(
                refused.first().map(|text| part.is_some_and(|part| text.contains(part))),
                part.map(|_| true),
                "{claim:?}"
            );
        }
    }

    #[test]
    fn objects_of_others_and_useless_namespaces_are_remarked() {
        let mr = |name: &str, more: &serde_json::Value| -> ManagedResource {
            let mut mr = json!({"metadata": {"namespace": "n", "name": name}, "spec": {"secretRefs": []}, "status": {"resources": [
                {"apiVersion": "v1", "kind": "ConfigMap", "namespace": "default", "name": name},
                {"apiVersion": "example.com/v1", "kind": "Wide", "name": name},
            ]}});
            if let Some(time) = more.as_str() {
                mr["metadata"]["deletionTimestamp"] = json!(time);
            }
            serde_json::from_value(mr).unwrap()
        };
        let mut index = Index::default();
        index.upsert(&mr("a", &json!(null)));
        index.upsert(&mr("gone", &json!("2026-01-01T00:00:00Z")));
        let by = |name: &str| vec![NamespacedName::new("n", name)];
        for (claim, by, part) in [
            (claim("", "ConfigMap", "default", "a"), by("b"), Some("is held by ManagedResource n/a")),
            (claim("", "ConfigMap", "", "a"), by("b"), Some("is held by ManagedResource n/a")),
            (claim("", "ConfigMap", "default", "a"), by("a"), None),
            (claim("", "ConfigMap", "default", "a"), vec![], None),
            (claim("", "ConfigMap", "default", "gone"), by("b"), None),
            (claim("example.com", "Wide", "x", "new"), by("b"), Some("are in no namespace")),
            (claim("rbac.authorization.k8s.io", "ClusterRole", "x", "new"), by("b"), Some("are in no namespace")),
            (claim("example.com", "Unknown", "x", "new"), by("b"), None),
            (claim("", "Namespace", "", "n"), by("b"), Some("ManagedResource n/b itself lives in")),
            (claim("", "Namespace", "", "other"), by("b"), None),
            (claim("", "Binding", "x", "new"), by("b"), Some("objects of kind Binding cannot be managed")),
        ] {
            let found = warnings(std::slice::from_ref(&claim), &by, &index);
            assert_eq!(
                found.first().map(|text| part.is_some_and(|part| text.contains(part))),
                part.map(|_| true),
                "{claim:?}: {found:?}"
            );
        }
    }

    #[test]
    fn too_many_are_counted_once_each() {
        let sized = |name: &str| Claim { size: 600 * 1024, ..claim("", "ConfigMap", "n", name) };
        assert_eq!(too_many(&[sized("a"), sized("a")]), None);
        assert!(too_many(&[sized("a"), sized("b")]).unwrap().starts_with("2 objects are too many"));
    }

    #[test]
    fn a_change_of_the_class_says_what_becomes_of_the_objects() {
        let mr = |class: Option<&str>, keep: bool| -> ManagedResource {
            serde_json::from_value(json!({"spec": {"class": class, "secretRefs": [], "keepObjects": keep},
                "status": {"resources": [{"apiVersion": "v1", "kind": "ConfigMap", "namespace": "d", "name": "x"}]}}))
            .unwrap()
        };
        assert_eq!(class_change(&mr(None, false), &mr(Some("resources"), false)), None);
        let text = class_change(&mr(None, false), &mr(Some("seed"), false)).unwrap();
        assert!(text.contains("from \"resources\" to \"seed\"") && text.contains("deletes the 1 object"), "{text}");
        assert!(class_change(&mr(Some("seed"), false), &mr(None, true)).unwrap().contains("leaves the 1 object"));
    }
}
