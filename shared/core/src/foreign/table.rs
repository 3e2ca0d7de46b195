//! What others may write into managed objects.

use serde_json::{Map, Value};

use crate::fields::Path;

/// What counts in exact scope is written in one table: rows of (manager, kind, path) that others may write. An empty
/// manager or kind matches any. Names alone are not trusted: anybody may use them.
const ALLOWED: [(&str, &str, &[&str]); 21] = [
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
];

/// Removes from a set what this manager may write in objects of this kind.
pub(super) fn remove_allowed(set: &mut Map<String, Value>, manager: &str, kind: &str) {
    for (allowed_manager, allowed_kind, path) in ALLOWED {
        let applies = |allowed: &str, actual: &str| allowed.is_empty() || allowed == actual;
        if applies(allowed_manager, manager) && applies(allowed_kind, kind) {
            remove_path(set, path);
        }
    }
}

/// Whether anybody may change this field of objects of this kind: the rows of the table that name no manager, since an
/// admission request does not tell one.
pub(crate) fn is_allowed(path: &Path, kind: &str) -> bool {
    ALLOWED.iter().any(|(manager, allowed_kind, allowed)| {
        manager.is_empty() && (allowed_kind.is_empty() || *allowed_kind == kind) && path.matches(allowed)
    })
}

/// Removes a path, and containers that are empty because of it. `*` matches every list element.
fn remove_path(set: &mut Map<String, Value>, path: &[&str]) {
    let Some((first, rest)) = path.split_first() else { return };
    let matching: Vec<String> = match *first {
        "*" => set.keys().filter(|key| key.starts_with("k:") || key.starts_with("i:")).cloned().collect(),
        field => vec![format!("f:{field}")],
    };
    for key in matching {
        let is_empty = match set.get_mut(&key) {
            Some(_) if rest.is_empty() => true,
            Some(Value::Object(child)) if !child.is_empty() => {
                remove_path(child, rest);
                is_bare(child)
            }
            _ => false,
        };
        if is_empty {
            set.remove(&key);
        }
    }
}

/// Nothing but the container itself.
pub(super) fn is_bare(set: &Map<String, Value>) -> bool {
    set.keys().all(|key| key == ".")
}
