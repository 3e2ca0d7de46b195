//! What an object is to the others that are deleted with it.

use crate::{
    key::{GroupKind, ObjectKey},
    manifest::waves::{self, Wave},
};

/// The part of an object in a deletion. Those of a later stage may be needed for the end of those of an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// Calls a Service, or refuses requests: webhook configurations and admission policies.
    Interceptor,
    /// Nothing else that is deleted needs it.
    Plain,
    /// Serves custom objects: CustomResourceDefinitions and APIServices.
    Definition,
    /// What workloads need, and they in turn have to finish: finalizers of others hold it.
    Finalized,
    /// Runs the programs that finish the deletion of others.
    Workload,
    /// What workloads may read as long as they run.
    Configuration,
    /// What workloads need as long as they run.
    Support,
    /// Takes along what is in it.
    Namespace,
}

impl Stage {
    /// Of an object that is not declared any more while others are.
    pub(super) fn when_pruned(object: &ObjectKey) -> Self {
        match (object.group(), object.kind()) {
            ("admissionregistration.k8s.io", _) => Self::Interceptor,
            ("apiextensions.k8s.io", "CustomResourceDefinition") | ("apiregistration.k8s.io", "APIService") => {
                Self::Definition
            }
            ("", "ServiceAccount" | "Service" | "Endpoints")
            | ("discovery.k8s.io", "EndpointSlice")
            | ("rbac.authorization.k8s.io", _) => Self::Support,
            ("", "Namespace") => Self::Namespace,
            _ if has_pod_template(&object.group_kind()) => Self::Workload,
            _ => Self::Plain,
        }
    }

    /// Of an object that goes with its ManagedResource: then what workloads may read while they run stays until they have
    /// ended, whether their templates name it or not.
    pub(super) fn when_deleted(object: &ObjectKey) -> Self {
        match (Self::when_pruned(object), waves::wave(&object.group_kind())) {
            (Self::Plain, Wave::Foundations | Wave::Namespaces) => Self::Configuration,
            (stage, _) => stage,
        }
    }
}

/// Whether objects of a kind run pods as their template says.
pub fn has_pod_template(kind: &GroupKind) -> bool {
    matches!(
        (kind.group.as_str(), kind.kind.as_str()),
        ("", "Pod" | "ReplicationController")
            | ("apps" | "extensions", "Deployment" | "DaemonSet" | "ReplicaSet" | "StatefulSet")
            | ("batch", "Job" | "CronJob")
    )
}

/// Whether an operator may have to finish the deletion of objects of a group.
pub(super) fn is_custom(group: &str) -> bool {
    !BUILT_IN_GROUPS.contains(&group)
}

/// Groups that kube-apiserver serves itself (Kubernetes 1.37, and those of former versions that inventories may have).
const BUILT_IN_GROUPS: [&str; 22] = [
    "",
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "apiregistration.k8s.io",
    "apps",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "autoscaling",
    "batch",
    "certificates.k8s.io",
    "coordination.k8s.io",
    "discovery.k8s.io",
    "events.k8s.io",
    "extensions",
    "flowcontrol.apiserver.k8s.io",
    "networking.k8s.io",
    "node.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "resource.k8s.io",
    "scheduling.k8s.io",
    "storage.k8s.io",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_have_their_stage() {
        use Stage::{Configuration, Definition, Interceptor, Namespace, Plain, Support, Workload};
        for (group, kind, pruned, deleted) in [
            ("admissionregistration.k8s.io", "MutatingWebhookConfiguration", Interceptor, Interceptor),
            ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy", Interceptor, Interceptor),
            ("apiextensions.k8s.io", "CustomResourceDefinition", Definition, Definition),
            ("apiregistration.k8s.io", "APIService", Definition, Definition),
            ("example.com", "Widget", Plain, Plain),
            ("autoscaling", "HorizontalPodAutoscaler", Plain, Plain),
            ("networking.k8s.io", "Ingress", Plain, Plain),
            ("", "ConfigMap", Plain, Configuration),
            ("networking.k8s.io", "NetworkPolicy", Plain, Configuration),
            ("scheduling.k8s.io", "PriorityClass", Plain, Configuration),
            ("apps", "ControllerRevision", Plain, Plain),
            ("apps", "Deployment", Workload, Workload),
            ("batch", "CronJob", Workload, Workload),
            ("", "Pod", Workload, Workload),
            ("", "Service", Support, Support),
            ("", "ServiceAccount", Support, Support),
            ("rbac.authorization.k8s.io", "ClusterRoleBinding", Support, Support),
            ("", "Namespace", Namespace, Namespace),
        ] {
            let object = ObjectKey::new(group, kind, "", "x");
            assert_eq!(
                (Stage::when_pruned(&object), Stage::when_deleted(&object)),
                (pruned, deleted),
                "{group}/{kind}"
            );
        }
    }
}
