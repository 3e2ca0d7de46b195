//! Every name that others can see: labels, annotations, finalizers, field managers, conditions.
//!
//! Names that the Go original defines are kept to the letter; the others are Holdfast's own.

/// API group of ManagedResources.
pub const GROUP: &str = "resources.gardener.cloud";
/// The only version of [`GROUP`].
pub const VERSION: &str = "v1alpha1";
/// Plural of ManagedResource.
pub const PLURAL: &str = "managedresources";

/// Prefix of every label and annotation that is reserved on a managed object.
pub const RESERVED_PREFIX: &str = "resources.gardener.cloud/";

/// Prefix of annotations by which a garbage collector knows what is in use; they are as declared, on every object.
pub const REFERENCE_PREFIX: &str = "reference.resources.gardener.cloud/";

/// Field manager of the Go original, which we may have taken an object over from.
pub const ORIGINAL_MANAGER: &str = "gardener-resource-manager";
/// Field manager of every apply.
pub const FIELD_MANAGER: &str = "holdfast";
/// Field manager of fields that we set once and leave to others from then on.
pub const RELEASED_MANAGER: &str = "holdfast-released";

/// Field manager of the label of objects that are paused, so that it can be told that it says `off` because of that.
pub const PAUSE_MANAGER: &str = "holdfast-pause";

/// Field manager that owns, for a moment, fields that others wrote through another apiVersion and that are being removed.
pub const REMOVAL_MANAGER: &str = "holdfast-removal";

/// Label by which webhooks and watches select managed objects. Its value is the protection mode in lower case.
pub const LABEL_PROTECTION: &str = "resources.gardener.cloud/protection";
/// Label of the original, injected into templates too; selects nothing with us.
pub const LABEL_MANAGED_BY: &str = "resources.gardener.cloud/managed-by";
/// Default value of [`LABEL_MANAGED_BY`] (`managedByLabelValue` of the original's configuration file).
pub const MANAGED_BY_DEFAULT: &str = "gardener";
/// Label of Secrets whose content is checked on admission whether they are referenced or not.
pub const LABEL_MANIFESTS: &str = "resources.gardener.cloud/manifests";

/// Label of ConfigMaps and Secrets that a garbage collector deletes when nothing refers to them any more.
pub const LABEL_COLLECTABLE: &str = "resources.gardener.cloud/garbage-collectable-reference";

/// Annotation `[<clusterID>:]<namespace>/<name>` of the owning ManagedResource.
pub const ANNOTATION_ORIGIN: &str = "resources.gardener.cloud/origin";
/// Annotation with a text for people who look at the object.
pub const ANNOTATION_DESCRIPTION: &str = "resources.gardener.cloud/description";
/// Value of [`ANNOTATION_DESCRIPTION`], as the original writes it.
pub const DESCRIPTION: &str = "DO NOT EDIT - This resource is managed by gardener-resource-manager.\nAny modifications are discarded and the resource is returned to the original state.";
/// Annotation: hands off. On a ManagedResource: the whole of it; on a desired object: create only.
pub const ANNOTATION_IGNORE: &str = "resources.gardener.cloud/ignore";
/// Annotation on desired objects: `Reconcile`, the default; `EnsureExists`, create and never change; `Ignore`, neither applied
/// nor tracked.
pub const ANNOTATION_MODE: &str = "resources.gardener.cloud/mode";
/// Annotation: never deleted by us.
pub const ANNOTATION_KEEP_OBJECT: &str = "resources.gardener.cloud/keep-object";
/// Annotation on desired objects; the value `true` means that the replicas of the live object stay as they are.
pub const ANNOTATION_PRESERVE_REPLICAS: &str = "resources.gardener.cloud/preserve-replicas";
/// Annotation on desired objects; the value `true` means that requests and limits of the live object stay as they are.
pub const ANNOTATION_PRESERVE_RESOURCES: &str = "resources.gardener.cloud/preserve-resources";
/// Annotation that `kubectl rollout restart` sets in pod templates.
pub const ANNOTATION_RESTARTED_AT: &str = "kubectl.kubernetes.io/restartedAt";
/// Annotation: the object is deleted and created again when an update of it is invalid.
pub const ANNOTATION_DELETE_ON_INVALID: &str = "resources.gardener.cloud/delete-on-invalid-update";
/// Annotation: how dependents are treated by the deletion that [`ANNOTATION_DELETE_ON_INVALID`] asks for.
pub const ANNOTATION_PROPAGATION: &str = "resources.gardener.cloud/deletion-propagation-on-invalid-update";
/// Annotation: how long a deletion may hang on finalizers before we remove them, as a Go duration.
pub const ANNOTATION_FINALIZE_AFTER: &str = "resources.gardener.cloud/finalize-deletion-after";
/// Annotation on a ManagedResource that sets the protection mode and wins over `spec.protection.mode`.
pub const ANNOTATION_PROTECTION: &str = "resources.gardener.cloud/protection";
/// Annotation on objects of which the admission policy ([`crate::protect::admission_policy`]) cannot tell what others may
/// change, only where there is one.
pub const ANNOTATION_GUARD: &str = "resources.gardener.cloud/guard";
/// Value of [`ANNOTATION_GUARD`]: the policy looks at metadata and deletions only.
pub const GUARD_METADATA: &str = "metadata";
/// Annotation on objects from which labels or annotations of others are removed (`spec.forceOverwriteLabels`,
/// `spec.forceOverwriteAnnotations`), with those that are. Of the others the API server sees by itself that such an edit is
/// free, and does not ask the webhook.
pub const ANNOTATION_FORCED: &str = "resources.gardener.cloud/force-overwrite";
/// Annotation on a ManagedResource: whom people ask whose edits of its objects are refused.
pub const ANNOTATION_OWNER_CONTACT: &str = "resources.gardener.cloud/owner-contact";
/// Annotation that asks for something to be done, or not to be done yet.
pub const ANNOTATION_OPERATION: &str = "gardener.cloud/operation";
/// Verb on a ManagedResource without which nobody begins or prolongs a pause.
pub const VERB_OVERRIDE: &str = "override";
/// Value of [`ANNOTATION_OPERATION`]: everything is applied again; the annotation is taken off.
pub const OPERATION_RECONCILE: &str = "reconcile";
/// Value of [`ANNOTATION_OPERATION`]: nothing is done while it is there.
pub const OPERATION_WAIT_FOR_STATE: &str = "wait-for-state";

/// Base of the finalizer on ManagedResources; the default class uses it as it is.
pub const FINALIZER: &str = "resources.gardener.cloud/gardener-resource-manager";
/// The class of ManagedResources without a class.
pub const DEFAULT_CLASS: &str = "resources";

/// Namespace of objects whose manifest names none, as in the original.
pub const DEFAULT_NAMESPACE: &str = "default";

/// Whether a Go `strconv.ParseBool` would read `value` as true, as the original reads annotations.
pub fn is_truthy(value: &str) -> bool {
    matches!(value, "1" | "t" | "T" | "TRUE" | "true" | "True")
}

/// Whether a Go `strconv.ParseBool` would read `value` at all.
pub fn is_truth(value: &str) -> bool {
    is_truthy(value) || matches!(value, "0" | "f" | "F" | "FALSE" | "false" | "False")
}

/// Finalizer of a controller that is responsible for `class`.
pub fn finalizer_for(class: &str) -> String {
    match class {
        "" | "*" | DEFAULT_CLASS => FINALIZER.to_owned(),
        other => format!("{FINALIZER}-{other}"),
    }
}

/// Whether a controller of class `own` is responsible for a ManagedResource of class `class` (the original's rule, `*` included).
pub fn is_responsible(own: &str, class: &str) -> bool {
    own == "*" || own == class || (class.is_empty() && own == DEFAULT_CLASS)
}

/// Namespace and name of the ConfigMap that says which cluster it is in, under a key of the same name.
pub const CLUSTER_IDENTITY: (&str, &str) = ("kube-system", "cluster-identity");

/// What the setting of the cluster's identity asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClusterId<'a> {
    /// This.
    Given(&'a str),
    /// What [`CLUSTER_IDENTITY`] says, which it has to.
    Needed,
    /// What it says, if it does.
    Wanted,
}

/// Reads the setting.
pub fn cluster_id(setting: &str) -> ClusterId<'_> {
    match setting {
        "<cluster>" => ClusterId::Needed,
        "<default>" => ClusterId::Wanted,
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
            ("<cluster>", ClusterId::Needed),
            ("<default>", ClusterId::Wanted),
        ] {
            assert_eq!(cluster_id(setting), expected);
        }
    }
}
