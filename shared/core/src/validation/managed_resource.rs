//! Errors in a ManagedResource. An error refuses the whole ManagedResource before the controller does anything. A
//! setting that merely has no effect causes a warning. (For annotations in manifests see
//! [`crate::manifest::annotations`].)

use std::collections::BTreeMap;

use crate::{
    api::{ManagedResource, Mode, ResourceReference, entry_size},
    field_ownership::ignore_paths,
    inventory::equivalence::is_built_in,
    key::GroupKind,
    manifest::{Desired, discovery::Discovery},
    names, pause,
    validation::labels::{wrong_name, wrong_value},
};

/// Largest `status.resources`, in bytes. etcd accepts objects of 1.5 MiB, and conditions, spec and metadata need space,
/// too.
pub const LARGEST_INVENTORY: usize = 1024 * 1024;
/// The same limit while `status.resources` still contains undeclared objects.
const LARGEST_UNION: usize = 1400 * 1024;

/// Largest total size of an object's annotations, names and values, that the API server accepts, in bytes.
const LARGEST_ANNOTATIONS: usize = 256 * 1024;

/// Values of [`names::ANNOTATION_OPERATION`].
const OPERATIONS: [&str; 4] = [names::OPERATION_RECONCILE, names::OPERATION_WAIT_FOR_STATE, "restore", "migrate"];

/// Describes each setting of a ManagedResource that has no effect.
pub fn warnings(mr: &ManagedResource) -> Vec<String> {
    let mut texts = Vec::new();
    let protection = names::ANNOTATION_PROTECTION;
    if mr.annotation(protection).is_some_and(|value| Mode::parse(value).is_none()) {
        texts.push(format!("annotation {protection} is none of deny, revert, warn, off (the default mode counts)"));
    }
    let mut unknown = |key: &str, allowed: &str, is_allowed: fn(&str) -> bool| {
        if mr.annotation(key).is_some_and(|value| !is_allowed(value)) {
            texts.push(format!("annotation {key} is none of {allowed} (it has no effect)"));
        }
    };
    unknown(names::ANNOTATION_IGNORE, "true, false", names::is_truth);
    unknown(names::ANNOTATION_OPERATION, &OPERATIONS.join(", "), |value| OPERATIONS.contains(&value));
    texts.extend(pause::warnings(mr));
    let mut seen = BTreeMap::new();
    for secret in &mr.spec.secret_refs {
        *seen.entry(secret.name.as_str()).or_insert(0_usize) += 1;
    }
    let twice = seen.into_iter().filter(|(_, count)| *count > 1);
    texts.extend(ignore_paths::warnings(mr.ignore_paths()));
    texts.extend(
        twice.map(|(name, count)| format!("Secret {name} is named {count} times in spec.secretRefs (once counts)")),
    );
    texts
}

/// Describes each kind in the equivalences that the target does not serve. Skips kinds that clusters used to serve.
pub fn unknown_kinds(mr: &ManagedResource, served: &Discovery) -> Vec<String> {
    let kinds = mr.spec.equivalences.iter().flatten().flatten().map(crate::api::MetaGroupKind::group_kind);
    let unknown = kinds.filter(|kind| served.preferred(kind).is_none() && !is_built_in(kind));
    unknown.map(|kind| format!("spec.equivalences names {kind}, which is not served (it has no effect)")).collect()
}

/// Describes each kind of desired objects whose changes the server does not report.
pub fn unwatchable_kinds<'a>(kinds: impl IntoIterator<Item = &'a GroupKind>, served: &Discovery) -> Vec<String> {
    let unwatchable = kinds.into_iter().filter(|kind| {
        let info = served.preferred(kind).and_then(|gvk| served.get(&gvk));
        info.is_some_and(|info| info.is_manageable() && !info.is_watchable())
    });
    let text = |kind: &GroupKind| {
        format!(
            "changes of {kind} by others are noticed at the next sync only, since the kind is served without list or watch"
        )
    };
    unwatchable.map(text).collect()
}

/// Describes each setting that prevents applying any object. If there is one, the controller does nothing at all.
pub fn errors(mr: &ManagedResource) -> Vec<String> {
    let labels = mr.spec.inject_labels.iter().flatten();
    let labels = labels.filter_map(|(key, value)| Some(format!("spec.injectLabels: {}", wrong_label(key, value)?)));
    // If an invalid path were ignored, the field that it should leave to others would be reset.
    labels.chain(ignore_paths::errors(mr.ignore_paths())).collect()
}

/// Returns why a label cannot be injected.
fn wrong_label(key: &str, value: &str) -> Option<String> {
    if key == names::LABEL_PROTECTION {
        return Some(format!("{key} is reserved for Holdfast"));
    }
    wrong_name(key).or_else(|| wrong_value(key, value))
}

/// Returns why this number of objects, with inventory entries of this size in bytes, does not fit into a status.
pub fn too_many(count: usize, size: usize) -> Option<String> {
    (size > LARGEST_INVENTORY).then(|| {
        let most = count * LARGEST_INVENTORY / size;
        format!(
            "{count} objects are too many: their entries in the status need about {size} bytes, and {LARGEST_INVENTORY} fit. \
             Declare about {most} objects of this size at most and the others in further ManagedResources. Until then \
             nothing is applied, pruned or repaired"
        )
    })
}

/// Describes each label and annotation of a manifest that the API server would refuse. (The decoder checks that values
/// are strings.)
pub fn metadata(object: &serde_json::Map<String, serde_json::Value>) -> Vec<String> {
    let entries = |map: &str| {
        let entries = object.get("metadata").and_then(|metadata| metadata.get(map)).and_then(|map| map.as_object());
        entries.into_iter().flatten()
    };
    let mut texts = Vec::new();
    for (key, value) in entries("labels") {
        let why = value.as_str().and_then(|value| wrong_name(key).or_else(|| wrong_value(key, value)));
        texts.extend(why.map(|why| format!("label: {why}")));
    }
    let mut size = 0;
    for (key, value) in entries("annotations") {
        size += key.len() + value.as_str().map_or(0, str::len);
        texts.extend(wrong_name(&key.to_lowercase()).map(|why| format!("annotation: {why}")));
    }
    if size > LARGEST_ANNOTATIONS {
        texts.push(format!("annotations: {size} bytes, and {LARGEST_ANNOTATIONS} are allowed"));
    }
    texts
}

/// Returns why a ManagedResource declares more than its status can hold. `inventory` is the current content of the
/// status.
pub fn too_large(desired: &[std::sync::Arc<Desired>], inventory: &[ResourceReference]) -> Option<String> {
    let size: usize = desired.iter().map(|object| object.reference_size()).sum();
    let count = desired.len();
    if let Some(why) = too_many(count, size) {
        return Some(why);
    }
    // The current content of the status does fit.
    if size + LARGEST_INVENTORY <= LARGEST_UNION {
        return None;
    }
    let is_declared = |reference: &&ResourceReference| {
        let key = reference.object_key();
        desired.binary_search_by(|object| object.key.cmp(&key)).is_ok()
    };
    let dropped: Vec<&ResourceReference> = inventory.iter().filter(|reference| !is_declared(reference)).collect();
    let all = size + dropped.iter().map(|reference| entry_size(reference)).sum::<usize>();
    (all > LARGEST_UNION).then(|| {
        format!(
            "{count} objects are too many as long as {} others, which are not declared any more, are still there: their \
             entries in the status need about {all} bytes, and {LARGEST_UNION} fit. Change the manifests in two steps",
            dropped.len()
        )
    })
}

#[cfg(test)]
mod tests;
