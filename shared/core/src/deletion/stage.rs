//! The role of an object among the objects that are deleted with it.

use crate::{
    key::{GroupKind, ObjectKey},
    manifest::waves::{self, Wave},
};

/// The stage of an object in a deletion. An object may need objects of later stages until it is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// Calls a Service or refuses requests: webhook configurations and admission policies.
    Interceptor,
    /// No other deleted object needs it.
    Plain,
    /// Serves custom objects: CustomResourceDefinitions and APIServices.
    Definition,
    /// A workload needs it, and others must finish it: foreign finalizers delay its deletion.
    Finalized,
    /// Runs programs that finish the deletion of other objects.
    Workload,
    /// Workloads may read it while they run.
    Configuration,
    /// Workloads need it while they run.
    Support,
    /// Takes its content along.
    Namespace,
}

impl Stage {
    /// Returns the stage of an undeclared object whose ManagedResource stays.
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

    /// Returns the stage of an object that goes with its ManagedResource. All configuration then outlives the
    /// workloads, whether or not their templates reference it.
    pub(super) fn when_deleted(object: &ObjectKey) -> Self {
        match (Self::when_pruned(object), waves::wave(&object.group_kind())) {
            (Self::Plain, Wave::Foundations | Wave::Namespaces) => Self::Configuration,
            (stage, _) => stage,
        }
    }
}

/// Whether objects of a kind run pods from a template.
pub fn has_pod_template(kind: &GroupKind) -> bool {
    matches!(
        (kind.group.as_str(), kind.kind.as_str()),
        ("", "Pod" | "ReplicationController")
            | ("apps" | "extensions", "Deployment" | "DaemonSet" | "ReplicaSet" | "StatefulSet")
            | ("batch", "Job" | "CronJob")
    )
}

/// Whether deleting objects of this group may need an operator.
pub(super) fn is_custom(group: &str) -> bool {
    !BUILT_IN_GROUPS.contains(&group)
}

/// Groups that kube-apiserver itself serves (Kubernetes 1.37), and groups of older versions that inventories may
/// contain.
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
