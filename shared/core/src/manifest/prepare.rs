//! Turns a decoded manifest into the object to apply: cleans it, and adds labels, annotations and a namespace.

use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use serde_json::{Map, Value};

use super::discovery::{ApiInfo, Discovery};
use super::{
    annotations::ManagementMode,
    desired::{Desired, strings},
};
use crate::{
    api::Mode,
    decode::Manifest,
    field_ownership::{ManagedScope, adoption_policy, steps_aside},
    key::{Gvk, NamespacedName, ObjectKey},
    names,
};

/// The settings of a ManagedResource that affect its objects.
#[derive(Clone, Debug)]
pub struct Context<'a> {
    /// The ManagedResource.
    pub mr: &'a NamespacedName,
    /// Prefix of the origin annotation; empty for none.
    pub cluster_id: &'a str,
    /// `spec.injectLabels`.
    pub inject_labels: Option<&'a BTreeMap<String, String>>,
    /// Value of [`names::LABEL_MANAGED_BY`].
    pub managed_by: &'a str,
    /// Protection mode for the label.
    pub mode: Mode,
    /// Which fields of the objects are managed.
    pub managed_scope: &'a ManagedScope,
    /// Whether an admission policy exists that needs an annotation.
    pub guard: bool,
}

/// Metadata that the server writes. It refuses an apply with `managedFields` (measured).
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

/// Prepares a manifest. A create-only object gets no marks of ours, as in the original.
///
/// # Errors
/// The manifest asks not to be managed (annotation `mode: Ignore`). The error is the identity of the object. An object
/// that Holdfast has managed is then released, and never deleted.
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
        // Unmanaged objects are not protected, but watched.
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

/// Removes fields that the server owns, and folds fields that the server folds. So our Apply entry lists exactly the
/// fields that we manage.
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
            // An empty map declares nothing, and the control plane may fill it (the token of a ServiceAccount).
            if object.get("data").and_then(Value::as_object).is_some_and(Map::is_empty) {
                object.remove("data");
            }
        }
        // The aggregation controller writes the rules; declared rules would fight with it.
        ("rbac.authorization.k8s.io", "ClusterRole")
            if object.get("aggregationRule").is_some_and(|rule| !rule.is_null()) =>
        {
            object.remove("rules");
        }
        _ => {}
    }
}

/// The server folds `stringData` into `data`, but still records `f:stringData` as owned. Drift of `data` would be
/// invisible.
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

/// Returns the map at `field`. Creates it if the field is absent or no map.
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

/// Whether a kind is namespaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    Cluster,
    Namespaced,
    /// No version of the kind is served. Holdfast does not guess the scope: a wrong guess would be the identity of
    /// another object, and the inventory entry would look undeclared.
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

/// Returns the namespace of an object, and writes it back. As in the original, no namespace means `default`. An unknown
/// kind keeps the namespace that its manifest has.
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

/// Merges `injectLabels` with the managed-by label. The latter wins, as in the original.
fn injected_labels(context: &Context<'_>) -> BTreeMap<String, String> {
    let mut labels = context.inject_labels.cloned().unwrap_or_default();
    labels.insert(names::LABEL_MANAGED_BY.to_owned(), context.managed_by.to_owned());
    labels
}

/// Adds the labels to the pod template and the volume claim templates, as the original does. Unlike the original,
/// leaves alone a `template` that is no pod template (a string in a custom resource, or a map without metadata and
/// spec).
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
