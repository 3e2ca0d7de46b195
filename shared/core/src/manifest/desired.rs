//! A desired object, and its inventory entry.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::Arc,
};

use serde::Deserialize;
use serde_json::{Value, json};

use super::{annotations::ManagementMode, body::Body};
use crate::{
    api::{ResourceReference, entry_size},
    decode::Source,
    digest::{Digest, Key},
    field_ownership::{
        ManagedScope,
        preserve::{self, Preserve, Rule},
        unmanaged::UnmanagedFields,
    },
    key::{Gvk, ObjectKey},
    names,
};

/// An object as the controller applies it.
#[derive(Clone, Debug, PartialEq)]
pub struct Desired {
    /// Identity.
    pub key: ObjectKey,
    /// Group, version and kind as the manifest has them.
    pub gvk: Arc<Gvk>,
    /// Body of the apply request.
    pub body: Body,
    /// The Secret, key and document that declare the object.
    pub source: Source,
    /// How Holdfast manages the object.
    pub management_mode: ManagementMode,
    /// Plural of the kind, if the kind is served.
    resource: Option<Box<str>>,
    /// Hash of the inventory entry. The entry itself is created only on demand.
    fingerprint: u64,
    /// Size of that entry in bytes.
    size: u32,
    /// Fields that are left to others.
    pub preserve: Preserve,
    is_autoscaled: bool,
}

impl Desired {
    /// Creates a desired object. `plural` is that of its kind, if the kind is served.
    pub(crate) fn new(key: ObjectKey, gvk: Gvk, object: &Value, source: Source, plural: Option<&str>) -> Self {
        let (gvk, body, resource) = (Arc::new(gvk), Body::new(object), plural.map(Into::into));
        let annotations = &object["metadata"]["annotations"];
        let management_mode = ManagementMode::of(|name| annotations.get(name)?.as_str()).unwrap_or_default();
        let mut desired = Self {
            key,
            gvk,
            body,
            source,
            management_mode,
            resource,
            fingerprint: 0,
            size: 0,
            preserve: Preserve::default(),
            is_autoscaled: false,
        };
        desired.preserve = desired.preserve_of(object);
        let reference = desired.reference_with(&object["metadata"]);
        desired.fingerprint = fingerprint(&reference);
        desired.size = u32::try_from(entry_size(&reference)).unwrap_or(u32::MAX);
        desired
    }

    /// Whether an autoscaler makes a difference. It makes none if the replicas are left alone anyway.
    pub fn heeds_autoscalers(&self) -> bool {
        let is_scaled = self.management_mode.is_managed() && preserve::is_scaled(&self.key);
        self.is_autoscaled || is_scaled && !self.preserve.contains(Rule::Replicas)
    }

    /// Whether the object was prepared as scaled by an autoscaler.
    pub fn is_autoscaled(&self) -> bool {
        self.is_autoscaled
    }

    /// Returns the object as scaled by an autoscaler, or as not scaled. Call it only for objects that heed autoscalers.
    #[must_use]
    pub fn autoscaled(&self, is_autoscaled: bool) -> Self {
        let object = self.body.value();
        let mut desired = Self { is_autoscaled, ..self.clone() };
        desired.preserve = desired.preserve_of(&object);
        desired.fingerprint = fingerprint(&desired.reference_with(&object["metadata"]));
        desired
    }

    /// Returns no rules for an object that is not managed, since all its fields are left to others.
    fn preserve_of(&self, object: &Value) -> Preserve {
        if self.management_mode.is_managed() {
            Preserve::of(&self.key, object, self.is_autoscaled)
        } else {
            Preserve::default()
        }
    }

    /// Returns the digest of what is applied. Fields that are left to others do not count. A changed scope changes the
    /// digest, because the controller must then look at the objects. `managed_scope` is that of the object.
    pub fn digest(&self, managed_scope: &ManagedScope, key: &Key) -> Digest {
        let own = if self.preserve.is_none() {
            self.body.digest(key)
        } else {
            key.digest(&self.unmanaged_fields(&self.body.value()).skeleton())
        };
        if !managed_scope.differs_from_default() {
            return own;
        }
        let (mut all, ignored) = (
            vec![json!(own.to_string()), json!(managed_scope.labels), json!(managed_scope.annotations)],
            &managed_scope.ignored,
        );
        // Ignored paths count, too: if the manifest changes, missing fields are set again.
        all.extend((!ignored.is_none()).then(|| json!(ignored.texts())));
        key.digest(&Value::Array(all))
    }

    /// Returns the unmanaged fields, given the value of the body.
    pub fn unmanaged_fields<'a>(&'a self, body: &'a Value) -> UnmanagedFields<'a> {
        UnmanagedFields::new(self.key.kind(), self.preserve).of(body)
    }

    /// Creates the inventory entry, without observations.
    pub fn reference(&self) -> ResourceReference {
        /// Skips the rest of the object, which may be large.
        #[derive(Default, Deserialize)]
        struct Head {
            #[serde(default)]
            metadata: Value,
        }
        let Head { metadata } = self.body.read();
        self.reference_with(&metadata)
    }

    fn reference_with(&self, metadata: &Value) -> ResourceReference {
        let (mut labels, mut annotations) = (strings(metadata.get("labels")), strings(metadata.get("annotations")));
        labels.remove(names::LABEL_PROTECTION);
        let ownership = [
            names::ANNOTATION_DESCRIPTION,
            names::ANNOTATION_FORCED,
            names::ANNOTATION_GUARD,
            names::ANNOTATION_ORIGIN,
        ];
        annotations.retain(|name, _| !ownership.contains(&name.as_str()));
        ResourceReference {
            api_version: self.gvk.api_version(),
            kind: self.gvk.kind.clone(),
            namespace: self.key.namespace().to_owned(),
            name: self.key.name().to_owned(),
            labels: labels.into(),
            annotations: annotations.into(),
            resource: self.resource.clone(),
            source: Some(format!("{}/{}", self.source.secret, self.source.key).into()),
            preserved: self.preserve.names(),
            ..ResourceReference::default()
        }
    }

    /// Upper bound of the stored size of the inventory entry in bytes.
    pub fn reference_size(&self) -> usize {
        usize::try_from(self.size).unwrap_or(usize::MAX)
    }

    /// Whether an inventory entry equals the result of [`Self::reference`], apart from observations.
    pub fn is_described_by(&self, reference: &ResourceReference) -> bool {
        fingerprint(reference) == self.fingerprint
    }
}

/// Hashes what the manifest and the plural contribute to an inventory entry. Observations do not count.
fn fingerprint(reference: &ResourceReference) -> u64 {
    let ResourceReference {
        api_version, kind, namespace, name, labels, annotations, source, resource, preserved, ..
    } = reference;
    let mut hasher = DefaultHasher::new();
    (api_version, kind, namespace, name, labels, annotations, source, resource, preserved).hash(&mut hasher);
    hasher.finish()
}

pub(super) fn strings(value: Option<&Value>) -> BTreeMap<String, String> {
    let entries = value.and_then(Value::as_object).into_iter().flatten();
    entries.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}
