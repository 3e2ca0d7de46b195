//! From a decoded manifest to what is applied: cleaned, labelled, annotated, with a namespace.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::Arc,
};

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::discovery::{ApiInfo, Discovery};
use super::{annotations::ManagementMode, body::Body};
use crate::{
    api::{Mode, ResourceReference, entry_size},
    decode::{Manifest, Source},
    digest::{Digest, Key},
    field_ownership::{
        ManagedScope, adoption_policy,
        preserve::{self, Preserve, Rule},
        steps_aside,
        unmanaged::UnmanagedFields,
    },
    key::{Gvk, NamespacedName, ObjectKey},
    names,
};

/// What of its ManagedResource ends up on an object.
#[derive(Clone, Debug)]
pub struct Context<'a> {
    /// The ManagedResource.
    pub mr: &'a NamespacedName,
    /// Prefix of the origin annotation, empty for none.
    pub cluster_id: &'a str,
    /// `spec.injectLabels`.
    pub inject_labels: Option<&'a BTreeMap<String, String>>,
    /// Value of [`names::LABEL_MANAGED_BY`].
    pub managed_by: &'a str,
    /// Mode of protection that the label announces.
    pub mode: Mode,
    /// What of the objects is held.
    pub managed_scope: &'a ManagedScope,
    /// An admission policy has to be told of it.
    pub guard: bool,
}

/// An object as it is to be applied.
#[derive(Clone, Debug, PartialEq)]
pub struct Desired {
    /// Identity.
    pub key: ObjectKey,
    /// Group, version and kind as written.
    pub gvk: Arc<Gvk>,
    /// Body of the apply request.
    pub body: Body,
    /// Where it is declared.
    pub source: Source,
    /// How it is handled.
    pub management_mode: ManagementMode,
    /// Plural of the kind, if it is served.
    resource: Option<Box<str>>,
    /// Of the entry in the inventory: the entry itself is made when it is needed.
    fingerprint: u64,
    /// Bytes of that entry.
    size: u32,
    /// Which of its fields are left to others.
    pub preserve: Preserve,
    is_autoscaled: bool,
}

impl Desired {
    /// An object as it is to be applied; `plural` of its kind, if that is served.
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

    /// Whether it matters if an autoscaler scales it: otherwise its replicas are left alone in any case.
    pub fn heeds_autoscalers(&self) -> bool {
        let is_scaled = self.management_mode.is_managed() && preserve::is_scaled(&self.key);
        self.is_autoscaled || is_scaled && !self.preserve.contains(Rule::Replicas)
    }

    /// Whether it was made for being scaled by an autoscaler.
    pub fn is_autoscaled(&self) -> bool {
        self.is_autoscaled
    }

    /// The same, scaled by an autoscaler or not. Only for those that heed them.
    #[must_use]
    pub fn autoscaled(&self, is_autoscaled: bool) -> Self {
        let object = self.body.value();
        let mut desired = Self { is_autoscaled, ..self.clone() };
        desired.preserve = desired.preserve_of(&object);
        desired.fingerprint = fingerprint(&desired.reference_with(&object["metadata"]));
        desired
    }

    /// What is not held is left to others as a whole.
    fn preserve_of(&self, object: &Value) -> Preserve {
        if self.management_mode.is_managed() {
            Preserve::of(&self.key, object, self.is_autoscaled)
        } else {
            Preserve::default()
        }
    }

    /// Digest of what is applied: what is left to others does not count. Where the hold grows or shrinks, the objects have to
    /// be looked at. `reach` is that of the object.
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
        // What is ignored counts, too: where its manifest changes it is set if it is not there.
        all.extend((!ignored.is_none()).then(|| json!(ignored.texts())));
        key.digest(&Value::Array(all))
    }

    /// What is left to others, given the value of its body.
    pub fn unmanaged_fields<'a>(&'a self, body: &'a Value) -> UnmanagedFields<'a> {
        UnmanagedFields::new(self.key.kind(), self.preserve).of(body)
    }

    /// Its entry in the inventory, without observations.
    pub fn reference(&self) -> ResourceReference {
        /// The rest, which may be large, is passed over.
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
        let marks = [
            names::ANNOTATION_DESCRIPTION,
            names::ANNOTATION_FORCED,
            names::ANNOTATION_GUARD,
            names::ANNOTATION_ORIGIN,
        ];
        annotations.retain(|name, _| !marks.contains(&name.as_str()));
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

    /// Bytes of its entry in the inventory as it is stored, at most.
    pub fn reference_size(&self) -> usize {
        usize::try_from(self.size).unwrap_or(usize::MAX)
    }

    /// Whether an entry of the inventory is what [`Self::reference`] makes, observations aside.
    pub fn is_described_by(&self, reference: &ResourceReference) -> bool {
        fingerprint(reference) == self.fingerprint
    }
}

/// Of what the manifest says; not of what was observed, nor of the plural, which an unknown kind keeps from before.
fn fingerprint(reference: &ResourceReference) -> u64 {
    let ResourceReference {
        api_version, kind, namespace, name, labels, annotations, source, resource, preserved, ..
    } = reference;
    let mut hasher = DefaultHasher::new();
    (api_version, kind, namespace, name, labels, annotations, source, resource, preserved).hash(&mut hasher);
    hasher.finish()
}

/// Fields of metadata that the server writes; an apply with `managedFields` is refused (measured, design §3).
const SERVER_METADATA: [&str; 8] = [
    "managedFields",
    "resourceVersion",
    "uid",
    "selfLink",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
];

/// Prepares a manifest. An object that is only to be created gets nothing of ours (grm-behaviour §2.2). The error is the identity of an object that says of itself that it is not to be managed (annotation
/// mode: Ignore): if it was, it is released, and never deleted.
pub fn prepare(manifest: Manifest, context: &Context<'_>, discovery: &Discovery) -> Result<Desired, ObjectKey> {
    let Manifest { mut object, source } = manifest;
    let text = |field: &str| object.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (api_version, kind) = (text("apiVersion"), text("kind"));
    let gvk = Gvk::new(&api_version, &kind);
    let info = discovery.get(&gvk);
    let scope = Scope::of(&gvk, discovery);

    clean(&mut object, &gvk, info);
    let annotations = string_map(&object, "annotations");
    let management_mode = ManagementMode::of(|name| annotations.get(name).map(String::as_str));
    let injected = injected_labels(context);
    if management_mode != Some(ManagementMode::CreateOnly) {
        inject_into_templates(&mut object, &injected);
    }
    let metadata = metadata(&mut object);
    let name = metadata.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
    let namespace = namespace(metadata, scope);
    let key = ObjectKey::new(&gvk.group, &gvk.kind, &namespace, &name);
    let Some(management_mode) = management_mode else { return Err(key) };
    if management_mode != ManagementMode::CreateOnly {
        insert_all(metadata, "labels", &injected);
        // What others may change is not protected, but watched.
        let mode = if management_mode.is_managed() { context.mode } else { Mode::Off };
        insert(metadata, "labels", names::LABEL_PROTECTION, mode.label());
        insert(
            metadata,
            "annotations",
            names::ANNOTATION_ORIGIN,
            &adoption_policy::origin(context.cluster_id, context.mr),
        );
    }
    if management_mode.is_managed() {
        insert(metadata, "annotations", names::ANNOTATION_DESCRIPTION, names::DESCRIPTION);
        let forced = context.managed_scope.forced();
        if !forced.is_empty() {
            insert(metadata, "annotations", names::ANNOTATION_FORCED, &forced.join(","));
        }
        if context.guard && steps_aside(&context.managed_scope.of_object(&key)) {
            insert(metadata, "annotations", names::ANNOTATION_GUARD, names::GUARD_METADATA);
        }
    }

    Ok(Desired::new(key, gvk, &Value::Object(object), source, info.map(|info| info.plural.as_str())))
}

/// Removes what the server owns and folds what it would fold, so that our apply entry lists what we hold and nothing else.
fn clean(object: &mut Map<String, Value>, gvk: &Gvk, info: Option<&ApiInfo>) {
    let metadata = metadata(object);
    for field in SERVER_METADATA {
        metadata.remove(field);
    }
    for map in ["labels", "annotations"] {
        if metadata.get(map).is_some_and(Value::is_null) {
            metadata.remove(map);
        }
    }
    if info.is_none_or(|info| info.status_subresource) {
        object.remove("status");
    }
    match (gvk.group.as_str(), gvk.kind.as_str()) {
        ("", "Secret") => {
            fold_string_data(object);
            // Nothing is declared by it, and the control plane may fill it (the token of a ServiceAccount).
            if object.get("data").and_then(Value::as_object).is_some_and(Map::is_empty) {
                object.remove("data");
            }
        }
        // The aggregation controller writes them; declared rules would fight with it.
        ("rbac.authorization.k8s.io", "ClusterRole")
            if object.get("aggregationRule").is_some_and(|rule| !rule.is_null()) =>
        {
            object.remove("rules");
        }
        _ => {}
    }
}

/// The server folds `stringData` into `data` and owns `f:stringData` all the same: drift of `data` would be invisible.
fn fold_string_data(object: &mut Map<String, Value>) {
    let Some(Value::Object(strings)) = object.remove("stringData") else { return };
    if !object.get("data").is_some_and(Value::is_object) {
        object.insert("data".to_owned(), Value::Object(Map::new()));
    }
    let Some(Value::Object(data)) = object.get_mut("data") else { return };
    for (key, value) in strings {
        let value = value.as_str().map_or(value.clone(), |text| Value::String(BASE64.encode(text)));
        data.insert(key, value);
    }
}

fn metadata(object: &mut Map<String, Value>) -> &mut Map<String, Value> {
    map_in(object, "metadata")
}

/// The map at `field`, made if it is absent or something else.
#[allow(clippy::expect_used, reason = "the line before makes it a map")]
fn map_in<'a>(object: &'a mut Map<String, Value>, field: &str) -> &'a mut Map<String, Value> {
    if !object.get(field).is_some_and(Value::is_object) {
        object.insert(field.to_owned(), Value::Object(Map::new()));
    }
    object.get_mut(field).and_then(Value::as_object_mut).expect("made a map of it just now")
}

fn string_map(object: &Map<String, Value>, field: &str) -> BTreeMap<String, String> {
    strings(object.get("metadata").and_then(|metadata| metadata.get(field)))
}

fn strings(value: Option<&Value>) -> BTreeMap<String, String> {
    let entries = value.and_then(Value::as_object).into_iter().flatten();
    entries.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

/// Whether objects of a kind are in a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    Cluster,
    Namespaced,
    /// No version of the kind is served. The scope is not guessed: a wrong one would be another object's identity, and what the
    /// inventory has would count as not declared any more.
    Unknown,
}

impl Scope {
    fn of(gvk: &Gvk, discovery: &Discovery) -> Self {
        match discovery.served(gvk) {
            Some((_, info)) if info.namespaced => Self::Namespaced,
            Some(_) => Self::Cluster,
            None => Self::Unknown,
        }
    }
}

/// The namespace of an object, written back: `default` where none is written (grm-behaviour §5.4). Of an unknown kind it is as
/// written.
fn namespace(metadata: &mut Map<String, Value>, scope: Scope) -> String {
    let written = metadata.get("namespace").and_then(Value::as_str).unwrap_or_default().to_owned();
    let namespace = match scope {
        Scope::Cluster => String::new(),
        Scope::Namespaced if written.is_empty() => names::DEFAULT_NAMESPACE.to_owned(),
        Scope::Namespaced | Scope::Unknown => written,
    };
    if namespace.is_empty() {
        metadata.remove("namespace");
    } else {
        metadata.insert("namespace".to_owned(), Value::String(namespace.clone()));
    }
    namespace
}

/// `injectLabels` and the managed-by label, which wins (grm-behaviour §2.2).
fn injected_labels(context: &Context<'_>) -> BTreeMap<String, String> {
    let mut labels = context.inject_labels.cloned().unwrap_or_default();
    labels.insert(names::LABEL_MANAGED_BY.to_owned(), context.managed_by.to_owned());
    labels
}

/// Labels go into the pod template and the claim templates too (grm-behaviour §7.2). Unlike the original, a `template`
/// that is not one (a string in a custom resource, a map without metadata and spec) is left alone.
fn inject_into_templates(object: &mut Map<String, Value>, labels: &BTreeMap<String, String>) {
    let Some(Value::Object(spec)) = object.get_mut("spec") else { return };
    if let Some(Value::Object(template)) = spec.get_mut("template")
        && ["metadata", "spec"].iter().any(|field| template.get(*field).is_some_and(Value::is_object))
    {
        insert_all(map_in(template, "metadata"), "labels", labels);
    }
    if let Some(Value::Array(claims)) = spec.get_mut("volumeClaimTemplates") {
        for claim in claims.iter_mut().filter_map(Value::as_object_mut) {
            insert_all(map_in(claim, "metadata"), "labels", labels);
        }
    }
}

fn insert_all(metadata: &mut Map<String, Value>, map: &str, entries: &BTreeMap<String, String>) {
    for (key, value) in entries {
        insert(metadata, map, key, value);
    }
}

fn insert(metadata: &mut Map<String, Value>, map: &str, key: &str, value: &str) {
    map_in(metadata, map).insert(key.to_owned(), Value::String(value.to_owned()));
}

#[cfg(test)]
mod tests;
