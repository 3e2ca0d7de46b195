//! Whose work ends a deletion.

/// Finalizers that Kubernetes itself takes off, when nothing uses the object any more or its dependents are gone. Nobody may
/// wait for such an object who is the one that uses it.
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

/// Likewise, with any last part: `resource.kubernetes.io/delete-protection`.
const GROUP_OF_THE_CONTROL_PLANE: &str = "resource.kubernetes.io/";

/// Whether somebody else has to do something before an object with these finalizers can end: an operator, or whoever
/// provides load balancers.
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
