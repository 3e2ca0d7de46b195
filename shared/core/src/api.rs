//! The ManagedResource type, `resources.gardener.cloud/v1alpha1`.
//!
//! It has every field of the Go original, plus Holdfast's own fields. Those are all optional, so objects written for
//! the original stay valid. The doc comments of the fields become the descriptions in the CRD.

mod crd;
mod recorded;
mod reference;
mod stored;
mod texts;

use std::{borrow::Cow, collections::BTreeMap};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use crd::custom_resource_definition;
pub use recorded::{Recorded, Version};
pub use reference::ResourceReference;
pub(crate) use reference::{entry_size, sort_inventory};
pub use texts::Texts;

use crate::{key::NamespacedName, names};

/// ManagedResource describes a list of managed resources.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ManagedResource {
    /// Standard object metadata.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// The desired state. Absent counts as empty.
    #[serde(default)]
    pub spec: Spec,
    /// The observed state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
}

/// Specification of the managed resource.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Spec {
    /// Class holds the resource class used to control the responsibility for multiple resource manager instances. Absent means the default class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// SecretRefs is a list of Secrets in the same namespace whose values are manifests (YAML, JSON, or Brotli in keys that end with .br).
    #[serde(default)]
    pub secret_refs: Vec<SecretReference>,
    /// InjectLabels injects the provided labels into every resource, and into the pod templates and volume claim templates of workloads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inject_labels: Option<BTreeMap<String, String>>,
    /// ForceOverwriteLabels specifies that labels that others add to the resources are removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub force_overwrite_labels: Option<bool>,
    /// ForceOverwriteAnnotations specifies that annotations that others add to the resources are removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub force_overwrite_annotations: Option<bool>,
    /// KeepObjects specifies whether the objects stay when the ManagedResource is deleted or handed over to another class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_objects: Option<bool>,
    /// Equivalences specifies possible group/kind equivalences for objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub equivalences: Option<Vec<Vec<MetaGroupKind>>>,
    /// DeletePersistentVolumeClaims specifies if PersistentVolumeClaims created by StatefulSets, which are managed by this resource, should also be deleted when the corresponding StatefulSet is deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delete_persistent_volume_claims: Option<bool>,
    /// Protection says what happens to edits by others. Holdfast only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protection: Option<Protection>,
    /// Adopt says what to do with an object that exists already and that Holdfast does not manage. Holdfast only. Default: Always.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adopt: Option<Adopt>,
}

/// SecretReference names a Secret in the namespace of the ManagedResource.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SecretReference {
    /// Name of the Secret.
    #[serde(default)]
    pub name: String,
}

/// MetaGroupKind is a group and a kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MetaGroupKind {
    /// API group; empty for the core group.
    pub group: String,
    /// Kind.
    pub kind: String,
}

/// Protection says how edits by others are treated.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Protection {
    /// Mode says what the admission webhook does with edits of managed objects: Deny refuses them, Revert undoes them before they are stored, Warn lets them pass with a warning, Off in silence. Default: the cluster's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// Scope says what counts as an edit. Exact: every change outside labels, annotations, status and finalizers. Declared: only changes of fields that the manifest sets. Default: Exact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<Scope>,
    /// Repair says when edits that passed are undone. Watch: at once. Resync: at the next sync. Default: Watch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repair: Option<Repair>,
    /// IgnorePaths are fields that others may change. They are set at creation, and again only when the manifest changes and they are missing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ignore_paths: Vec<IgnorePath>,
    /// Pauses suspend protection and repair until a time, for all objects or for some.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pauses: Vec<Pause>,
}

/// Mode of protection by the admission webhook.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Mode {
    /// Refuses edits.
    #[default]
    Deny,
    /// Undoes edits before they are stored.
    Revert,
    /// Lets edits pass with a warning.
    Warn,
    /// Lets edits pass.
    Off,
}

impl Mode {
    /// The mode's value in [`names::LABEL_PROTECTION`].
    pub fn label(self) -> &'static str {
        match self {
            Self::Deny => "deny",
            Self::Revert => "revert",
            Self::Warn => "warn",
            Self::Off => "off",
        }
    }

    /// Parses the annotation, in any case; returns `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Deny, Self::Revert, Self::Warn, Self::Off]
            .into_iter()
            .find(|mode| text.eq_ignore_ascii_case(mode.label()))
    }
}

/// What counts as an edit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Scope {
    /// Everything outside labels, annotations, status and finalizers.
    #[default]
    Exact,
    /// Only fields that the manifest sets.
    Declared,
}

/// When the controller repairs drift.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Repair {
    /// At once, from a watch.
    #[default]
    Watch,
    /// At the next sync.
    Resync,
}

/// What to do with an existing object that Holdfast does not manage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Adopt {
    /// Take it over.
    #[default]
    Always,
    /// Take it over unless another owner is recorded on it.
    IfUnowned,
    /// Leave it alone and report an error.
    Never,
}

/// IgnorePath is a field that others may change, of all objects or of those that match.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct IgnorePath {
    /// JSON pointer of the field, such as `/spec/replicas`; `*` stands for any field or element, `containers[name=app]` for an element of a list by its key.
    pub path: String,
    /// API group of the objects; absent matches any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Kind of the objects; absent matches any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Name of the object; absent matches any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// Pause suspends protection and repair.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Pause {
    /// API group of the objects; absent matches any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Kind of the objects; absent matches any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Namespace of the objects; absent matches any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Name of the object; absent matches any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// End of the pause, RFC 3339.
    #[schemars(extend("format" = "date-time"))]
    pub until: String,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Status of the managed resource. [`stored`] defines its form in the API.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(from = "stored::Stored")]
pub struct Status {
    /// The latest observations.
    pub conditions: Vec<Condition>,
    /// The most recent generation that the controller carried out.
    pub observed_generation: Option<i64>,
    /// The inventory: every object that this ManagedResource owns or is about to create.
    pub resources: Vec<ResourceReference>,
    /// Checksum of the referenced Secrets' data.
    pub secrets_data_checksum: Option<String>,
    /// Why the objects are not reconciled; absent if they are.
    pub phase: Option<StatusPhase>,
    /// The objects of each pause that was active when the controller wrote the status.
    pub active_pauses: Vec<String>,
}

/// Why the objects of a ManagedResource are not reconciled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum StatusPhase {
    /// The annotation `ignore` is set.
    Ignored,
    /// The ManagedResource is being deleted, or belongs to another class by now.
    Deleting,
}

impl Status {
    /// Copies everything but the inventory, which may be large.
    #[must_use]
    pub fn without_inventory(&self) -> Self {
        let Self { conditions, observed_generation, resources: _, secrets_data_checksum, phase, active_pauses } = self;
        Self {
            conditions: conditions.clone(),
            observed_generation: *observed_generation,
            resources: Vec::new(),
            secrets_data_checksum: secrets_data_checksum.clone(),
            phase: *phase,
            active_pauses: active_pauses.clone(),
        }
    }
}

/// Condition is an observation (Gardener's type, not the one of metav1).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// Type of the condition.
    #[serde(rename = "type")]
    pub type_: String,
    /// Status: True, False, Unknown or Progressing.
    pub status: String,
    /// Last time the condition's status changed.
    #[schemars(extend("format" = "date-time"))]
    pub last_transition_time: String,
    /// Last time the condition's reason or message changed.
    #[schemars(extend("format" = "date-time"))]
    pub last_update_time: String,
    /// The reason of the last change.
    pub reason: String,
    /// A text for people.
    pub message: String,
    /// Well-defined error codes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub codes: Vec<String>,
}

impl ManagedResource {
    /// Namespace and name.
    pub fn key(&self) -> NamespacedName {
        NamespacedName::new(
            self.metadata.namespace.clone().unwrap_or_default(),
            self.metadata.name.clone().unwrap_or_default(),
        )
    }

    /// Returns the value of an annotation.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.metadata.annotations.as_ref()?.get(key).map(String::as_str)
    }

    /// Whether the annotation `ignore` is set.
    pub fn is_ignored(&self) -> bool {
        self.annotation(names::ANNOTATION_IGNORE).is_some_and(names::is_truthy)
    }

    /// `spec.protection.pauses`; empty if absent.
    pub fn pauses(&self) -> &[Pause] {
        self.spec.protection.as_ref().map_or(&[], |protection| &protection.pauses)
    }

    /// Whether deletion has begun.
    pub fn is_deleting(&self) -> bool {
        self.metadata.deletion_timestamp.is_some()
    }

    /// `spec.class`; empty if absent.
    pub fn class(&self) -> &str {
        self.spec.class.as_deref().unwrap_or_default()
    }

    /// `spec.protection.ignorePaths`; empty if absent.
    pub fn ignore_paths(&self) -> &[IgnorePath] {
        self.spec.protection.as_ref().map_or(&[], |protection| &protection.ignore_paths)
    }

    /// When to repair drift; `default` if the ManagedResource does not say.
    pub fn repair(&self, default: Repair) -> Repair {
        self.spec.protection.as_ref().and_then(|protection| protection.repair).unwrap_or(default)
    }

    /// Protection mode. The annotation overrides the spec; an invalid annotation counts as `default`.
    pub fn mode(&self, default: Mode) -> Mode {
        match self.annotation(names::ANNOTATION_PROTECTION) {
            Some(text) => Mode::parse(text).unwrap_or(default),
            None => self.spec.protection.as_ref().and_then(|protection| protection.mode).unwrap_or(default),
        }
    }

    /// Names of the referenced Secrets in order, without duplicates.
    pub fn secret_names(&self) -> Vec<&str> {
        let mut seen = std::collections::BTreeSet::new();
        self.spec.secret_refs.iter().map(|secret| secret.name.as_str()).filter(|name| seen.insert(*name)).collect()
    }

    /// All objects of `status.resources` and `status.pending`; empty if absent.
    pub fn inventory(&self) -> &[ResourceReference] {
        self.status.as_ref().map_or(&[], |status| &status.resources)
    }
}

impl kube_core::Resource for ManagedResource {
    type DynamicType = ();
    type Scope = kube_core::NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        "ManagedResource".into()
    }
    fn group((): &()) -> Cow<'_, str> {
        names::GROUP.into()
    }
    fn version((): &()) -> Cow<'_, str> {
        names::VERSION.into()
    }
    fn plural((): &()) -> Cow<'_, str> {
        names::PLURAL.into()
    }
    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }
    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}
