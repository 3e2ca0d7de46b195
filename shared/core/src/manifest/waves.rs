//! The waves in which the controller applies objects (`docs/design/order.md`).

use crate::key::GroupKind;

/// A wave. The controller applies lower waves first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wave {
    /// CustomResourceDefinitions. The next wave waits until they are established.
    Definitions,
    /// Namespaces, and PriorityClasses.
    Namespaces,
    /// ServiceAccounts. The control plane deletes a token Secret if its account does not exist.
    Accounts,
    /// Configuration, RBAC, storage, Services.
    Foundations,
    /// Workloads that are part of Kubernetes.
    Workloads,
    /// Custom resources, and every kind that no other wave names.
    Rest,
    /// Kinds that intercept requests to the API: APIServices, webhook configurations, admission policies.
    Interceptors,
}

/// Returns the wave of a kind.
pub fn wave(kind: &GroupKind) -> Wave {
    match (kind.group.as_str(), kind.kind.as_str()) {
        ("apiextensions.k8s.io", "CustomResourceDefinition") => Wave::Definitions,
        ("", "Namespace") | ("scheduling.k8s.io", "PriorityClass") => Wave::Namespaces,
        ("", "ServiceAccount") => Wave::Accounts,
        ("", "Pod" | "ReplicationController")
        | ("apps" | "extensions" | "batch", _)
        | ("autoscaling", "HorizontalPodAutoscaler")
        | ("networking.k8s.io", "Ingress") => Wave::Workloads,
        ("" | "rbac.authorization.k8s.io" | "storage.k8s.io" | "policy" | "networking.k8s.io" | "node.k8s.io", _) => {
            Wave::Foundations
        }
        ("apiregistration.k8s.io", "APIService") | ("admissionregistration.k8s.io", _) => Wave::Interceptors,
        _ => Wave::Rest,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_fall_into_waves() {
        let mut last = Wave::Definitions;
        for (group, kind, expected) in [
            ("apiextensions.k8s.io", "CustomResourceDefinition", Wave::Definitions),
            ("", "Namespace", Wave::Namespaces),
            ("", "ServiceAccount", Wave::Accounts),
            ("", "ConfigMap", Wave::Foundations),
            ("rbac.authorization.k8s.io", "RoleBinding", Wave::Foundations),
            ("networking.k8s.io", "NetworkPolicy", Wave::Foundations),
            ("apps", "Deployment", Wave::Workloads),
            ("batch", "CronJob", Wave::Workloads),
            ("", "Pod", Wave::Workloads),
            ("example.com", "Widget", Wave::Rest),
            ("apiregistration.k8s.io", "APIService", Wave::Interceptors),
            ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration", Wave::Interceptors),
        ] {
            let wave = wave(&GroupKind { group: group.into(), kind: kind.into() });
            assert_eq!(wave, expected, "{group}/{kind}");
            assert!(wave >= last, "the table is in order");
            last = wave;
        }
    }
}
