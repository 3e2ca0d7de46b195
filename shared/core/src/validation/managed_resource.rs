//! Mistakes in a ManagedResource. What cannot be obeyed refuses the whole of it before anything is done; what only has no
//! effect is said. (Annotations of its manifests: [`crate::manifest::annotations`].)

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

/// Bytes of `status.resources` that fit: etcd takes 1.5 MiB for an object, and conditions, spec and metadata need room, too.
pub const LARGEST_INVENTORY: usize = 1024 * 1024;
/// The same while objects that are not declared any more are still in it.
const LARGEST_UNION: usize = 1400 * 1024;

/// Bytes of the annotations of an object, names and values, that the API server takes.
const LARGEST_ANNOTATIONS: usize = 256 * 1024;

/// Values of [`names::ANNOTATION_OPERATION`].
const OPERATIONS: [&str; 4] = [names::OPERATION_RECONCILE, names::OPERATION_WAIT_FOR_STATE, "restore", "migrate"];

/// Settings of a ManagedResource that have no effect, one text each.
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

/// Kinds in equivalences that the target does not serve, one text each; not those that it has ceased to serve.
pub fn unknown_kinds(mr: &ManagedResource, served: &Discovery) -> Vec<String> {
    let kinds = mr.spec.equivalences.iter().flatten().flatten().map(crate::api::MetaGroupKind::group_kind);
    let unknown = kinds.filter(|kind| served.preferred(kind).is_none() && !is_built_in(kind));
    unknown.map(|kind| format!("spec.equivalences names {kind}, which is not served (it has no effect)")).collect()
}

/// Kinds of desired objects that the server shows no changes of, one text each.
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

/// Settings with which no object could be applied, one text each: then nothing is done at all.
pub fn errors(mr: &ManagedResource) -> Vec<String> {
    let labels = mr.spec.inject_labels.iter().flatten();
    let labels = labels.filter_map(|(key, value)| Some(format!("spec.injectLabels: {}", wrong_label(key, value)?)));
    // Without the path, what it was to leave to others would be reset.
    labels.chain(ignore_paths::errors(mr.ignore_paths())).collect()
}

/// Why a label cannot be injected.
fn wrong_label(key: &str, value: &str) -> Option<String> {
    if key == names::LABEL_PROTECTION {
        return Some(format!("{key} is reserved for Holdfast"));
    }
    wrong_name(key).or_else(|| wrong_value(key, value))
}

/// Why so many objects, with entries in the inventory of so many bytes, do not fit into a status.
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

/// Why the API server would refuse labels and annotations of a manifest, one text each. (That values are texts is the
/// decoder's business.)
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

/// Why a ManagedResource declares more than its status could hold. `inventory` is what the status has now.
pub fn too_large(desired: &[std::sync::Arc<Desired>], inventory: &[ResourceReference]) -> Option<String> {
    let size: usize = desired.iter().map(|object| object.reference_size()).sum();
    let count = desired.len();
    if let Some(why) = too_many(count, size) {
        return Some(why);
    }
    // What is in the status has fitted into it.
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
