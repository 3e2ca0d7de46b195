//! Deletion of inventory objects: their order, what a workload needs until its end, and Namespaces that are never
//! deleted. Also covers deletions that are stuck, objects that are orphaned instead, and objects that are deleted to be
//! recreated.

pub mod finalize;
mod finalizers;
mod home;
mod order;
pub mod orphan;
mod persistent_volume_claims;
mod pod_references;
pub mod recreate;
mod stage;

pub use finalizers::any_external;
pub use home::{Leftover, goes_with_home};
pub use order::{Deletions, Progress};
pub use persistent_volume_claims::Claims;
pub use pod_references::PodReferences;
pub use stage::has_pod_template;

use crate::key::ObjectKey;

/// Namespaces that every cluster has. The API server refuses to delete `default` and `kube-public`. Without
/// `kube-system` there is no control plane, and without `kube-node-lease` every node counts as lost.
const OF_THE_CLUSTER: [&str; 4] = ["default", "kube-node-lease", "kube-public", "kube-system"];

/// Whether an object is a Namespace of the cluster itself. Holdfast releases it, and never deletes it.
pub fn is_cluster_namespace(object: &ObjectKey) -> bool {
    object.is_namespace() && OF_THE_CLUSTER.contains(&object.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_four_namespaces_are_spared() {
        for (group, kind, name, expected) in [
            ("", "Namespace", "default", true),
            ("", "Namespace", "kube-public", true),
            ("", "Namespace", "kube-system", true),
            ("", "Namespace", "kube-node-lease", true),
            ("", "Namespace", "kube-flannel", false),
            ("", "ConfigMap", "default", false),
            ("example.com", "Namespace", "default", false),
        ] {
            assert_eq!(is_cluster_namespace(&ObjectKey::new(group, kind, "", name)), expected, "{group} {kind} {name}");
        }
    }
}
