//! Fields that others may write in managed objects.

use std::sync::LazyLock;

use serde_json::{Map, Value};

use crate::{
    field_ownership::{preserve::Rule, unmanaged::UnmanagedFields},
    field_set::{Path, Pattern, take},
};

/// Exceptions from exact scope: rows of (manager, kind, path) that others may write. An empty manager or kind matches
/// any. No row trusts a name alone, because anybody may use any name.
const ALLOWED: [(&str, &str, &[&str]); 22] = [
    // `kubectl rollout restart`, for every kind with a pod template.
    ("", "", &["spec", "template", "metadata", "annotations", "kubectl.kubernetes.io/restartedAt"]),
    // A HorizontalPodAutoscaler. Declared replicas stay ours.
    ("kube-controller-manager", "", &["spec", "replicas"]),
    // A workload adopts a declared Pod or ReplicaSet that matches its selector.
    ("kube-controller-manager", "Pod", &["metadata", "ownerReferences"]),
    ("kube-controller-manager", "ReplicaSet", &["metadata", "ownerReferences"]),
    // The binding of claims and volumes.
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
    // CA bundles from an injector. Declared ones stay ours.
    ("", "CustomResourceDefinition", &["spec", "conversion", "webhook", "clientConfig", "caBundle"]),
    ("", "APIService", &["spec", "caBundle"]),
    ("", "ValidatingWebhookConfiguration", &["webhooks", "*", "clientConfig", "caBundle"]),
    ("", "MutatingWebhookConfiguration", &["webhooks", "*", "clientConfig", "caBundle"]),
    // The service controllers of clouds write these.
    ("", "Service", &["spec", "loadBalancerIP"]),
    ("", "Service", &["spec", "healthCheckNodePort"]),
    // A ManagedResource can declare another one, which users may still pause. The webhook checks who may.
    ("", "ManagedResource", &["spec", "protection", "pauses"]),
];

/// Further exceptions, for objects whose manifest turns on a rule. The type of a Secret is not in what the watches
/// deliver.
const ALLOWED_BY_RULE: [(Rule, &str, &str, &[&str]); 3] = [
    // The token of a ServiceAccount, with the fields beside it. Declared ones stay ours.
    (Rule::Token, "kube-controller-manager", "Secret", &["data", "token"]),
    (Rule::Token, "kube-controller-manager", "Secret", &["data", "ca.crt"]),
    (Rule::Token, "kube-controller-manager", "Secret", &["data", "namespace"]),
];

/// The patterns of [`ALLOWED`].
static PATTERNS: LazyLock<Vec<Pattern>> = LazyLock::new(|| ALLOWED.iter().map(|row| Pattern::of(row.2)).collect());

/// Removes from a set the fields that this manager may write in objects of this kind.
pub(super) fn remove_allowed(set: &mut Map<String, Value>, manager: &str, kind: &str) {
    for ((allowed_manager, allowed_kind, _), pattern) in ALLOWED.iter().zip(PATTERNS.iter()) {
        let applies = |allowed: &str, actual: &str| allowed.is_empty() || allowed == actual;
        if applies(allowed_manager, manager) && applies(allowed_kind, kind) {
            take(set, pattern, None);
        }
    }
}

/// Removes from a set the fields that a rule lets this manager write in objects of this kind.
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

/// Whether anybody may change this field in objects of this kind. This uses only rows without a manager, because an
/// admission request does not name one.
pub(crate) fn is_allowed(path: &Path, kind: &str) -> bool {
    let mut rows = ALLOWED.iter().zip(PATTERNS.iter());
    rows.any(|((manager, allowed_kind, _), pattern)| {
        manager.is_empty() && (allowed_kind.is_empty() || *allowed_kind == kind) && pattern.contains(path)
    })
}

/// Returns the rows without a manager, as (kind, path).
pub(crate) fn allowed_to_anybody() -> impl Iterator<Item = (&'static str, &'static [&'static str])> {
    ALLOWED.iter().filter(|(manager, ..)| manager.is_empty()).map(|(_, kind, path)| (*kind, *path))
}
