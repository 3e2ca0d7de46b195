//! Tells whose finalizers a deletion waits for.

/// Finalizers that Kubernetes itself removes once nothing uses the object, or once its dependents are gone. A user of
/// such an object must never wait for it.
const OF_THE_CONTROL_PLANE: [&str; 8] = [
    "batch.kubernetes.io/job-tracking",
    "customresourcecleanup.apiextensions.k8s.io",
    "foregroundDeletion",
    "kubernetes.io/pv-protection",
    "kubernetes.io/pvc-protection",
    "kubernetes.io/vac-protection",
    "networking.k8s.io/service-cidr-finalizer",
    "orphan",
];

/// The same for finalizers in this group, whatever follows the slash: `resource.kubernetes.io/delete-protection`.
const GROUP_OF_THE_CONTROL_PLANE: &str = "resource.kubernetes.io/";

/// Whether an object with these finalizers needs somebody else to finish its deletion: an operator, or a provider of
/// load balancers.
pub fn any_external<'a>(finalizers: impl IntoIterator<Item = &'a String>) -> bool {
    finalizers.into_iter().any(|finalizer| {
        !OF_THE_CONTROL_PLANE.contains(&finalizer.as_str()) && !finalizer.starts_with(GROUP_OF_THE_CONTROL_PLANE)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operators_are_told_from_the_control_plane() {
        for (finalizers, expected) in [
            (&[][..], false),
            (&["kubernetes.io/pvc-protection"], false),
            (&["foregroundDeletion", "orphan"], false),
            (&["resource.kubernetes.io/delete-protection"], false),
            (&["example.com/hold"], true),
            (&["kubernetes.io/pvc-protection", "example.com/hold"], true),
            (&["service.kubernetes.io/load-balancer-cleanup"], true),
        ] {
            let finalizers: Vec<String> = finalizers.iter().map(|text| (*text).to_owned()).collect();
            assert_eq!(any_external(&finalizers), expected, "{finalizers:?}");
        }
    }
}
