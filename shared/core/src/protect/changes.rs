//! Managed fields that an update changes.
//!
//! The chart keeps updates away that only change foreign labels and annotations (`holdfast.occasions` in
//! `_helpers.tpl`). Whoever adds a rule for such updates here must add it there, too.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{entry, request::Request};
use crate::{
    api::Scope,
    field_ownership::{
        ManagedScope, allowed,
        preserve::{Preserve, Rule},
    },
    field_set::{self, FieldSet, Path},
    names,
};

/// Fields that an update changes, by the reason why they are managed.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// A manifest declares them.
    pub(super) declared: Vec<Path>,
    /// No manifest declares them, and exact scope keeps others from setting them.
    pub(super) undeclared: Vec<Path>,
    /// Our labels and annotations, owner references, and our field ownership.
    pub(super) reserved: Vec<Path>,
}

impl Changes {
    /// Returns the managed fields that an update changes, without the fields that are left to others.
    pub(super) fn of(
        request: &Request<'_>,
        managed_scope: &ManagedScope,
        preserve: Preserve,
        old: &Value,
        new: &Value,
    ) -> Self {
        let mut changes = Self::default();
        match request.subresource {
            "scale" if preserve.contains(Rule::Replicas) => return changes,
            "scale" => {
                let replicas = FieldSet::parse(&serde_json::json!({"f:spec": {"f:replicas": {}}}));
                changes.declared = replicas.changed(old, new);
                return changes;
            }
            "" | "status" => {
                changes.declared = declared_changes(request, old, new);
                changes.declared.retain(|path| !preserve.allows(request.kind, path));
                changes.reserved = reserved_changes(old, new);
                changes.reserved.retain(|path| !is_judged_by_own_webhook(path, request));
            }
            // Other subresources also send the whole object, but nothing is left to others through them.
            _ => changes.declared = declared_changes(request, old, new),
        }
        if request.subresource == "status" {
            changes.declared.retain(|path| path.starts_with(&["metadata"]));
        } else if managed_scope.scope == Scope::Exact {
            let declared: BTreeSet<Path> = changes.declared.iter().cloned().collect();
            changes.undeclared = if request.subresource.is_empty() {
                let is_exempt =
                    |path: &Path| allowed::is_allowed(path, request.kind) || preserve.allows(request.kind, path);
                content_changes(old, new).into_iter().filter(|path| !is_exempt(path)).collect()
            } else {
                content_changes(old, new).into_iter().flat_map(|path| path.elements(old, new)).collect()
            };
            changes.undeclared.retain(|path| !path.is_related_to(&declared));
        }
        if matches!(request.subresource, "" | "status") {
            let additions = forced_additions(old, new, request.kind, managed_scope);
            let is_new = |path: &Path| !changes.declared.contains(path) && !changes.reserved.contains(path);
            changes.undeclared.extend(additions.into_iter().filter(is_new));
        }
        changes.reserved.sort();
        changes.reserved.dedup();
        let reserved = changes.reserved.clone();
        // Omit a container that vanished if its content is listed, and a reserved field as declared.
        changes.declared.retain(|path| !reserved.iter().any(|other| path == other || other.is_below(path)));
        changes
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Path> {
        self.declared.iter().chain(&self.undeclared).chain(&self.reserved)
    }
}

/// Returns the declared fields that differ. Nobody can tell what is declared if somebody cleared our entry, or if the
/// request has another version than the manifest. Then all content counts.
fn declared_changes(request: &Request<'_>, old: &Value, new: &Value) -> Vec<Path> {
    let changed = |entry: &Value| FieldSet::parse(&entry["fieldsV1"]).changed(old, new);
    match field_set::own_entry(old) {
        Some(entry) if entry::is_of_another_version(request, old) => {
            let mut paths = changed(entry);
            paths.retain(|path| path.starts_with(&["metadata"]));
            paths.extend(top_level_changes(old, new));
            paths
        }
        Some(entry) => changed(entry),
        None => top_level_changes(old, new),
    }
}

/// Returns all content that differs: everything but metadata and status.
fn content_changes(old: &Value, new: &Value) -> Vec<Path> {
    field_set::differences_in(old, new, is_content)
}

/// Returns the top-level fields that differ, without metadata and status.
fn top_level_changes(old: &Value, new: &Value) -> Vec<Path> {
    let (Value::Object(old), Value::Object(new)) = (old, new) else { return Vec::new() };
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).filter(|name| is_content(name)).collect();
    names.into_iter().filter(|name| old.get(*name) != new.get(*name)).map(|name| Path::of(&[name])).collect()
}

fn is_content(field: &str) -> bool {
    !matches!(field, "metadata" | "status" | "apiVersion" | "kind")
}

/// Returns labels and annotations that the update sets and the controller would remove again. Others may remove them
/// freely.
fn forced_additions(old: &Value, new: &Value, kind: &str, managed_scope: &ManagedScope) -> Vec<Path> {
    let mut paths = Vec::new();
    for map in ["labels", "annotations"] {
        let before = field_set::metadata(old, map);
        for (key, value) in field_set::metadata(new, map).and_then(Value::as_object).into_iter().flatten() {
            if before.and_then(|map| map.get(key)) != Some(value) && managed_scope.includes(map, key, kind) {
                paths.push(Path::of(&["metadata", map, key]));
            }
        }
    }
    paths
}

/// Returns changes of our labels and annotations, and of owner references: with a foreign one, the garbage collector
/// might delete the object.
fn reserved_changes(old: &Value, new: &Value) -> Vec<Path> {
    let mut paths = Vec::new();
    for map in ["labels", "annotations"] {
        let (before, after) = (field_set::metadata(old, map), field_set::metadata(new, map));
        let keys = [before, after].into_iter().flatten().filter_map(Value::as_object).flat_map(serde_json::Map::keys);
        for key in keys.filter(|key| key.starts_with(names::RESERVED_PREFIX)) {
            if before.and_then(|map| map.get(key)) != after.and_then(|map| map.get(key)) {
                paths.push(Path::of(&["metadata", map, key]));
            }
        }
    }
    if entry::is_tampered_with(old, new) {
        paths.push(Path::of(&["metadata", "managedFields"]));
    }
    let references = |object| non_empty(field_set::metadata(object, "ownerReferences"));
    if references(old) != references(new) {
        paths.push(Path::of(&["metadata", "ownerReferences"]));
    }
    paths
}

fn non_empty(value: Option<&Value>) -> Option<&Value> {
    value.filter(|value| !value.is_null() && value.as_array().is_none_or(|items| !items.is_empty()))
}

/// Whether the webhook for ManagedResources judges this field, even if another ManagedResource declares this one. Users
/// with the verb `override` may pause it.
fn is_judged_by_own_webhook(path: &Path, request: &Request<'_>) -> bool {
    request.group == names::GROUP
        && request.resource == names::PLURAL
        && (path.starts_with(&["spec", "protection", "pauses"])
            || *path == Path::of(&["metadata", "annotations", names::ANNOTATION_IGNORE]))
}
