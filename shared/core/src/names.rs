//! Every name that users can see: labels, annotations, finalizers, field managers, conditions.
//!
//! Names from the Go original keep its exact spelling. All other names are Holdfast's own.

/// API group of ManagedResources.
pub const GROUP: &str = "resources.gardener.cloud";
/// The only version of [`GROUP`].
pub const VERSION: &str = "v1alpha1";
/// Plural of ManagedResource.
pub const PLURAL: &str = "managedresources";

/// Prefix of all labels and annotations that Holdfast reserves on managed objects.
pub const RESERVED_PREFIX: &str = "resources.gardener.cloud/";

/// Prefix of the annotations that tell a garbage collector what is in use. The manifest decides them on every object.
pub const REFERENCE_PREFIX: &str = "reference.resources.gardener.cloud/";

/// Field manager of the Go original. Holdfast may have taken an object over from it.
pub const ORIGINAL_MANAGER: &str = "gardener-resource-manager";
/// Field manager of every apply.
pub const FIELD_MANAGER: &str = "holdfast";
/// Field manager of fields that Holdfast sets once and then releases to other managers.
pub const RELEASED_MANAGER: &str = "holdfast-released";

/// Field manager of the protection label on paused objects. It shows that the label is `off` because of a pause.
pub const PAUSE_MANAGER: &str = "holdfast-pause";

/// Field manager that owns foreign fields of another apiVersion for a moment, while Holdfast removes them.
pub const REMOVAL_MANAGER: &str = "holdfast-removal";

/// Label that selects managed objects for webhooks and watches. Its value is the protection mode in lower case.
pub const LABEL_PROTECTION: &str = "resources.gardener.cloud/protection";
/// Label of the original, also injected into templates. Holdfast selects nothing by it.
pub const LABEL_MANAGED_BY: &str = "resources.gardener.cloud/managed-by";
/// Default value of [`LABEL_MANAGED_BY`] (`managedByLabelValue` of the original's configuration file).
pub const MANAGED_BY_DEFAULT: &str = "gardener";
/// Label of Secrets whose manifests the webhook always checks, even if no ManagedResource references them.
pub const LABEL_MANIFESTS: &str = "resources.gardener.cloud/manifests";

/// Label of ConfigMaps and Secrets that a garbage collector deletes once nothing refers to them.
pub const LABEL_COLLECTABLE: &str = "resources.gardener.cloud/garbage-collectable-reference";

/// Annotation that names the owning ManagedResource: `[<clusterID>:]<namespace>/<name>`.
pub const ANNOTATION_ORIGIN: &str = "resources.gardener.cloud/origin";
/// Annotation with a note for people who look at the object.
pub const ANNOTATION_DESCRIPTION: &str = "resources.gardener.cloud/description";
/// Value of [`ANNOTATION_DESCRIPTION`], as the original writes it.
pub const DESCRIPTION: &str = "DO NOT EDIT - This resource is managed by gardener-resource-manager.\nAny modifications are discarded and the resource is returned to the original state.";
/// Annotation that opts out. On a ManagedResource it stops all reconciling; on a desired object it means "create only".
pub const ANNOTATION_IGNORE: &str = "resources.gardener.cloud/ignore";
/// Annotation on desired objects: `Reconcile` (the default), `EnsureExists` (create, never change) or `Ignore` (neither
/// apply nor track).
pub const ANNOTATION_MODE: &str = "resources.gardener.cloud/mode";
/// Annotation that keeps Holdfast from deleting the object.
pub const ANNOTATION_KEEP_OBJECT: &str = "resources.gardener.cloud/keep-object";
/// Annotation on desired objects. The value `true` keeps the replicas of the live object.
pub const ANNOTATION_PRESERVE_REPLICAS: &str = "resources.gardener.cloud/preserve-replicas";
/// Annotation on desired objects. The value `true` keeps the resource requests and limits of the live object.
pub const ANNOTATION_PRESERVE_RESOURCES: &str = "resources.gardener.cloud/preserve-resources";
/// Annotation that `kubectl rollout restart` sets in pod templates.
pub const ANNOTATION_RESTARTED_AT: &str = "kubectl.kubernetes.io/restartedAt";
/// Annotation that makes Holdfast delete and recreate an object whose update is invalid.
pub const ANNOTATION_DELETE_ON_INVALID: &str = "resources.gardener.cloud/delete-on-invalid-update";
/// Annotation with the propagation policy (what happens to dependents) of a deletion by
/// [`ANNOTATION_DELETE_ON_INVALID`].
pub const ANNOTATION_PROPAGATION: &str = "resources.gardener.cloud/deletion-propagation-on-invalid-update";
/// Annotation with a Go duration: how long a deletion may wait for finalizers before Holdfast removes them.
pub const ANNOTATION_FINALIZE_AFTER: &str = "resources.gardener.cloud/finalize-deletion-after";
/// Annotation on a ManagedResource that sets the protection mode. It overrides `spec.protection.mode`.
pub const ANNOTATION_PROTECTION: &str = "resources.gardener.cloud/protection";
/// Annotation on objects for which the admission policy ([`crate::protect::admission_policy`]) cannot tell what others
/// may change. Holdfast sets it only if there is such a policy.
pub const ANNOTATION_GUARD: &str = "resources.gardener.cloud/guard";
/// Value of [`ANNOTATION_GUARD`]: the policy checks only metadata and deletions.
pub const GUARD_METADATA: &str = "metadata";
/// Annotation on objects from which Holdfast removes foreign labels or annotations (`spec.forceOverwriteLabels`,
/// `spec.forceOverwriteAnnotations`). Its value lists which of the two. For objects without it, the API server sees by
/// itself that edits of foreign labels and annotations are allowed, and does not call the webhook.
pub const ANNOTATION_FORCED: &str = "resources.gardener.cloud/force-overwrite";
/// Annotation on a ManagedResource: the contact for users whose edits of its objects are refused.
pub const ANNOTATION_OWNER_CONTACT: &str = "resources.gardener.cloud/owner-contact";
/// Annotation that requests an operation, or puts reconciling off.
pub const ANNOTATION_OPERATION: &str = "gardener.cloud/operation";
/// Verb on a ManagedResource. A user needs it to begin or prolong a pause.
pub const VERB_OVERRIDE: &str = "override";
/// Value of [`ANNOTATION_OPERATION`]: the controller applies everything again and removes the annotation.
pub const OPERATION_RECONCILE: &str = "reconcile";
/// Value of [`ANNOTATION_OPERATION`]: the controller does nothing as long as the annotation is there.
pub const OPERATION_WAIT_FOR_STATE: &str = "wait-for-state";

/// Base of the finalizer on ManagedResources. The default class uses it unchanged.
pub const FINALIZER: &str = "resources.gardener.cloud/gardener-resource-manager";
/// The class of ManagedResources without a class.
pub const DEFAULT_CLASS: &str = "resources";

/// Namespace of objects whose manifest has no namespace, as in the original.
pub const DEFAULT_NAMESPACE: &str = "default";

/// Returns true if Go's `strconv.ParseBool` reads `value` as true. The original reads annotations this way.
pub fn is_truthy(value: &str) -> bool {
    matches!(value, "1" | "t" | "T" | "TRUE" | "true" | "True")
}

/// Returns true if Go's `strconv.ParseBool` accepts `value`.
pub fn is_truth(value: &str) -> bool {
    is_truthy(value) || matches!(value, "0" | "f" | "F" | "FALSE" | "false" | "False")
}

/// Returns the finalizer of a controller that is responsible for `class`.
pub fn finalizer_for(class: &str) -> String {
    match class {
        "" | "*" | DEFAULT_CLASS => FINALIZER.to_owned(),
        other => format!("{FINALIZER}-{other}"),
    }
}

/// Returns true if a controller of class `own` is responsible for a ManagedResource of class `class`. The rule, `*`
/// included, is the original's.
pub fn is_responsible(own: &str, class: &str) -> bool {
    own == "*" || own == class || (class.is_empty() && own == DEFAULT_CLASS)
}

/// Namespace and name of the ConfigMap that identifies its cluster. The key in it has the same name as the ConfigMap.
pub const CLUSTER_IDENTITY: (&str, &str) = ("kube-system", "cluster-identity");

/// Meaning of the cluster identity setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClusterId<'a> {
    /// Use this identity.
    Given(&'a str),
    /// Read [`CLUSTER_IDENTITY`], which must exist.
    Required,
    /// Read [`CLUSTER_IDENTITY`] if it exists.
    Optional,
}

/// Parses the cluster identity setting.
pub fn cluster_id(setting: &str) -> ClusterId<'_> {
    match setting {
        "<cluster>" => ClusterId::Required,
        "<default>" => ClusterId::Optional,
        given => ClusterId::Given(given),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_decide_finalizer_and_responsibility() {
        for (own, class, responsible, finalizer) in [
            ("resources", "", true, FINALIZER),
            ("resources", "resources", true, FINALIZER),
            ("resources", "seed", false, FINALIZER),
            ("*", "seed", true, FINALIZER),
            ("seed", "seed", true, "resources.gardener.cloud/gardener-resource-manager-seed"),
            ("seed", "", false, "resources.gardener.cloud/gardener-resource-manager-seed"),
        ] {
            assert_eq!(is_responsible(own, class), responsible, "{own} for {class:?}");
            assert_eq!(finalizer_for(own), finalizer, "{own}");
        }
    }

    #[test]
    fn only_what_go_reads_as_true_is_truthy() {
        for yes in ["1", "t", "T", "TRUE", "true", "True"] {
            assert!(is_truthy(yes), "{yes}");
        }
        for no in ["", "yes", "on", "0", "false", "tRUE", " true"] {
            assert!(!is_truthy(no), "{no}");
        }
    }

    #[test]
    fn cluster_ids_are_given_or_asked_for() {
        for (setting, expected) in [
            ("", ClusterId::Given("")),
            ("seed-1", ClusterId::Given("seed-1")),
            ("<cluster>", ClusterId::Required),
            ("<default>", ClusterId::Optional),
        ] {
            assert_eq!(cluster_id(setting), expected);
        }
    }
}
