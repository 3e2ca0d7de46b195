//! What others may write into managed objects.

use std::sync::LazyLock;

use serde_json::{Map, Value};

use crate::{
    field_ownership::{preserve::Rule, unmanaged::UnmanagedFields},
    field_set::{Path, Pattern, take},
};

/// What counts in exact scope is written in one table: rows of (manager, kind, path) that others may write. An empty
/// manager or kind matches any. Names alone are not trusted: anybody may use them.
const ALLOWED: [(&str, &str, &[&str]); 22] = [
    // `kubectl rollout restart`, of every kind that has a pod template.
    ("", "", &["spec", "template", "metadata", "annotations", "kubectl.kubernetes.io/restartedAt"]),
    // A HorizontalPodAutoscaler; declared replicas are ours all the same.
    ("kube-controller-manager", "", &["spec", "replicas"]),
    // A declared Pod or ReplicaSet that matches the selector of a workload is taken in by it.
    ("kube-controller-manager", "Pod", &["metadata", "ownerReferences"]),
    ("kube-controller-manager", "ReplicaSet", &["metadata", "ownerReferences"]),
    // Binding of claims and volumes.
    ("kube-controller-manager", "PersistentVolumeClaim", &["spec", "volumeName"]),
    ("kube-controller-manager", "PersistentVolume", &["spec", "claimRef"]),
    ("", "PersistentVolume", &["spec", "csi", "volumeAttributes"]),
    ("kube-controller-manager", "ServiceAccount", &["secrets"]),
    ("kube-controller-manager", "ServiceAccount", &["imagePullSecrets"]),
    // Aggregated roles.
    ("kube-controller-manager", "ClusterRole", &["rules"]),
    ("clusterrole-aggregation-controller", "ClusterRole", &["rules"]),
    ("kube-scheduler", "Pod", &["spec", "nodeName"]),
    ("kubelet", "Node", &["spec"]),
    ("kube-controller-manager", "Node", &["spec"]),
    ("", "Node", &["spec", "providerID"]),
    // CA bundles that an injector fills in; declared ones are ours.
    ("", "CustomResourceDefinition", &["spec", "conversion", "webhook", "clientConfig", "caBundle"]),
    ("", "APIService", &["spec", "caBundle"]),
    ("", "ValidatingWebhookConfiguration", &["webhooks", "*", "clientConfig", "caBundle"]),
    ("", "MutatingWebhookConfiguration", &["webhooks", "*", "clientConfig", "caBundle"]),
    // Written by the service controller of clouds.
    ("", "Service", &["spec", "loadBalancerIP"]),
    ("", "Service", &["spec", "healthCheckNodePort"]),
    // A ManagedResource that another one declares can be paused; its own webhook asks who may.
    ("", "ManagedResource", &["spec", "protection", "pauses"]),
];

/// The same for objects of which the manifest says that a rule is on: what a Secret is for shows in nothing that is watched.
const ALLOWED_BY_RULE: [(Rule, &str, &str, &[&str]); 3] = [
    // The token of a ServiceAccount and what goes with it. Declared ones are ours.
    (Rule::Token, "kube-controller-manager", "Secret", &["data", "token"]),
    (Rule::Token, "kube-controller-manager", "Secret", &["data", "ca.crt"]),
    (Rule::Token, "kube-controller-manager", "Secret", &["data", "namespace"]),
];

/// The patterns of [`ALLOWED`].
static PATTERNS: LazyLock<Vec<Pattern>> = LazyLock::new(|| ALLOWED.iter().map(|row| Pattern::of(row.2)).collect());

/// Removes from a set what this manager may write in objects of this kind.
pub(super) fn remove_allowed(set: &mut Map<String, Value>, manager: &str, kind: &str) {
    for ((allowed_manager, allowed_kind, _), pattern) in ALLOWED.iter().zip(PATTERNS.iter()) {
        let applies = |allowed: &str, actual: &str| allowed.is_empty() || allowed == actual;
        if applies(allowed_manager, manager) && applies(allowed_kind, kind) {
            take(set, pattern, None);
        }
    }
}

/// Removes from a set what this manager may write in objects of this kind because of a rule.
pub(super) fn remove_allowed_by_rule(
    set: &mut Map<String, Value>,
    manager: &str,
    kind: &str,
    unmanaged: &UnmanagedFields<'_>,
) {
    for (rule, allowed_manager, allowed_kind, path) in ALLOWED_BY_RULE {
        if allowed_manager == manager && allowed_kind == kind && unmanaged.has(rule) {
            take(set, &Pattern::of(path), None);
        }
    }
}

/// Whether anybody may change this field of objects of this kind: the rows of the table that name no manager, since an
/// admission request does not tell one.
pub(crate) fn is_allowed(path: &Path, kind: &str) -> bool {
    let mut rows = ALLOWED.iter().zip(PATTERNS.iter());
    rows.any(|((manager, allowed_kind, _), pattern)| {
        manager.is_empty() && (allowed_kind.is_empty() || *allowed_kind == kind) && pattern.contains(path)
    })
}

/// Those rows, as (kind, path).
pub(crate) fn allowed_to_anybody() -> impl Iterator<Item = (&'static str, &'static [&'static str])> {
    ALLOWED.iter().filter(|(manager, ..)| manager.is_empty()).map(|(_, kind, path)| (*kind, *path))
}
