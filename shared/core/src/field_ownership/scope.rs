//! Which fields of an object Holdfast manages, and which foreign labels and annotations it removes.

use serde_json::{Map, Value};

use crate::{
    api::{ManagedResource, Scope},
    field_ownership::ignore_paths::IgnorePaths,
    key::ObjectKey,
    names,
};

/// Which fields of an object its ManagedResource manages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ManagedScope {
    /// The scope outside labels and annotations.
    pub scope: Scope,
    /// Remove foreign labels (`spec.forceOverwriteLabels`).
    pub labels: bool,
    /// Remove foreign annotations (`spec.forceOverwriteAnnotations`).
    pub annotations: bool,
    /// Fields left to others (`spec.protection.ignorePaths`).
    pub ignored: IgnorePaths,
}

impl From<&ManagedScope> for ManagedScope {
    fn from(managed_scope: &ManagedScope) -> Self {
        managed_scope.clone()
    }
}

impl From<Scope> for ManagedScope {
    fn from(scope: Scope) -> Self {
        Self { scope, ..Self::default() }
    }
}

impl ManagedScope {
    /// Reads the scope from a ManagedResource.
    pub fn of(mr: &ManagedResource) -> Self {
        Self {
            scope: mr.spec.protection.as_ref().and_then(|protection| protection.scope).unwrap_or_default(),
            labels: mr.spec.force_overwrite_labels.unwrap_or_default(),
            annotations: mr.spec.force_overwrite_annotations.unwrap_or_default(),
            ignored: IgnorePaths::of(mr.ignore_paths()),
        }
    }

    /// Returns the scope of one object.
    #[must_use]
    pub fn of_object(&self, object: &ObjectKey) -> Self {
        Self { ignored: self.ignored.of_object(object), ..*self }
    }

    /// Whether anything differs from what [`Scope`] alone says.
    pub fn differs_from_default(&self) -> bool {
        self.is_forced() || !self.ignored.is_none()
    }

    /// Whether Holdfast manages more than [`Scope`] alone says.
    pub fn is_forced(&self) -> bool {
        self.labels || self.annotations
    }

    /// Returns `labels` and `annotations`, as far as Holdfast removes foreign ones.
    pub fn forced(&self) -> Vec<&'static str> {
        let maps = [("labels", self.labels), ("annotations", self.annotations)];
        maps.into_iter().filter_map(|(map, is_forced)| is_forced.then_some(map)).collect()
    }

    /// Whether Holdfast removes an undeclared label or annotation, whoever set it. `map` is `labels` or `annotations`.
    pub fn includes(&self, map: &str, key: &str, kind: &str) -> bool {
        if map == "annotations" && key.starts_with(names::REFERENCE_PREFIX) {
            return true;
        }
        let is_forced = match map {
            "labels" => self.labels,
            "annotations" => self.annotations,
            _ => false,
        };
        is_forced && !is_exempt(key, kind)
    }

    /// Returns the labels and annotations of a foreign entry that count.
    pub(super) fn metadata(&self, manager: &str, kind: &str, metadata: Option<&Value>) -> Map<String, Value> {
        let mut relevant = Map::new();
        for map in ["labels", "annotations"] {
            let name = format!("f:{map}");
            let Some(entries) = metadata.and_then(|metadata| metadata.get(&name)).and_then(Value::as_object) else {
                continue;
            };
            let counts = |field: &String| {
                let Some(key) = field.strip_prefix("f:") else { return false };
                // The original's fields were last applied for the same ManagedResource. If somebody has changed one
                // since, it is theirs.
                manager == names::ORIGINAL_MANAGER && !is_exempt(key, kind)
                    || self.includes(map, key, kind) && !is_control_planes(manager, key)
            };
            let retained: Map<String, Value> =
                entries.iter().filter(|(field, _)| counts(field)).map(|(k, v)| (k.clone(), v.clone())).collect();
            if !retained.is_empty() {
                relevant.insert(name, Value::Object(retained));
            }
        }
        relevant
    }
}

/// Whether the admission policy cannot tell which content of an object others may change. It then checks only metadata.
/// `managed_scope` is that of the object.
pub fn steps_aside(managed_scope: &ManagedScope) -> bool {
    managed_scope.scope == Scope::Declared || !managed_scope.ignored.is_none()
}

/// Labels and annotations that stay even if foreign ones are removed. The first keeps an object from being deleted. The
/// second pauses a ManagedResource that another one declares. By the last, a cloud finds what it has created for a
/// Service.
fn is_exempt(key: &str, kind: &str) -> bool {
    key == names::ANNOTATION_KEEP_OBJECT
        || kind == "ManagedResource" && key == names::ANNOTATION_IGNORE
        || kind == "Service" && key.starts_with("loadbalancer.openstack.org")
}

/// Whether the control plane itself wrote this key, such as the revision of a Deployment. Removing it would start a
/// fight.
fn is_control_planes(manager: &str, key: &str) -> bool {
    let domain = key.split('/').next().unwrap_or_default();
    let is_kubernetes = domain == "kubernetes.io" || domain.ends_with(".kubernetes.io");
    let managers =
        ["kube-controller-manager", "kube-scheduler", "kubelet", "cloud-controller-manager", "kube-apiserver"];
    is_kubernetes && managers.contains(&manager)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn relevant(managed_scope: &ManagedScope, manager: &str, kind: &str, metadata: &Value) -> Value {
        Value::Object(managed_scope.metadata(manager, kind, Some(metadata)))
    }

    #[test]
    fn labels_and_annotations_count_where_they_are_forced() {
        let metadata = json!({"f:labels": {".": {}, "f:a": {}}, "f:annotations": {".": {}, "f:b": {}}});
        let forced = |labels, annotations| ManagedScope { labels, annotations, ..ManagedScope::default() };
        for (managed_scope, expected) in [
            (forced(false, false), json!({})),
            (forced(true, false), json!({"f:labels": {"f:a": {}}})),
            (forced(false, true), json!({"f:annotations": {"f:b": {}}})),
            (forced(true, true), json!({"f:labels": {"f:a": {}}, "f:annotations": {"f:b": {}}})),
        ] {
            assert_eq!(
                relevant(&managed_scope, "kubectl-label", "ConfigMap", &metadata),
                expected,
                "{managed_scope:?}"
            );
        }
        let original = json!({"f:labels": {"f:a": {}}, "f:annotations": {"f:b": {}}});
        assert_eq!(relevant(&forced(false, false), names::ORIGINAL_MANAGER, "ConfigMap", &metadata), original);
    }

    #[test]
    fn some_are_never_removed_and_references_always() {
        let all = ManagedScope { labels: true, annotations: true, ..ManagedScope::default() };
        let annotation = |key: &str| json!({"f:annotations": {(format!("f:{key}")): {}}});
        for (managed_scope, manager, kind, key, counts) in [
            (all.clone(), "kubectl", "ConfigMap", "resources.gardener.cloud/keep-object", false),
            (all.clone(), "kube-controller-manager", "Deployment", "deployment.kubernetes.io/revision", false),
            (all.clone(), "kube-controller-manager", "Deployment", "example.com/x", true),
            (all.clone(), "kubectl", "Deployment", "deployment.kubernetes.io/revision", true),
            (
                all.clone(),
                "openstack-cloud-controller-manager",
                "Service",
                "loadbalancer.openstack.org/load-balancer-id",
                false,
            ),
            (all.clone(), "x", "ConfigMap", "loadbalancer.openstack.org/load-balancer-id", true),
            (ManagedScope::default(), "x", "ConfigMap", "reference.resources.gardener.cloud/secret-12345678", true),
            (ManagedScope::default(), "x", "ConfigMap", "resources.gardener.cloud/skip-health-check", false),
        ] {
            let is_counted = relevant(&managed_scope, manager, kind, &annotation(key)) != json!({});
            assert_eq!(is_counted, counts, "{manager} {kind} {key}");
        }
    }

    #[test]
    fn the_admission_policy_steps_aside_for_what_it_cannot_tell() {
        let managed_scope = |protection: Value| {
            let mr = json!({"spec": {"secretRefs": [], "protection": protection}});
            let mr: ManagedResource = serde_json::from_value(
                json!({"apiVersion": "resources.gardener.cloud/v1alpha1", "kind": "ManagedResource",
                    "metadata": {"name": "mr", "namespace": "ns"}, "spec": mr["spec"]}),
            )
            .unwrap();
            ManagedScope::of(&mr)
        };
        for (protection, expected) in [
            (json!({}), false),
            (json!({"mode": "Revert"}), false),
            (json!({"scope": "Declared"}), true),
            (json!({"ignorePaths": [{"path": "/data/x"}]}), true),
        ] {
            assert_eq!(steps_aside(&managed_scope(protection.clone())), expected, "{protection}");
        }
    }
}
