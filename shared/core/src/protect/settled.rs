//! The property that `tests/e2e/property.rs` tests against a real API server, here with the same edits and a model of
//! the server: an edit of content is refused if, and only if, the object would not stay as edited.
//!
//! The model knows no schema. A list whose elements all have their own names is a keyed list; any other list is atomic.
//! The model records ownership as the server does, and applies as the controller does: it takes over foreign fields
//! that count, removes our undeclared fields, sets declared fields, and adds missing defaults.

use std::collections::BTreeSet;

use holdfast_testing::Dice;
use holdfast_testing::edits::{self, Form, content};
use holdfast_testing::managed_resource;
use proptest::prelude::*;
use serde_json::{Map, json};

use super::{
    revert::tests::{OBJECTS, owned},
    *,
};
use crate::{
    api::{ManagedResource, Scope},
    field_ownership::{external_fields::ExternalFields, unmanaged::UnmanagedFields},
    field_set::{self, merge},
};

/// A field that the server adds if it is missing.
const DEFAULT: &str = "/spec/defaulted";

/// Applies a JSON patch or a merge patch. Returns `None` if the server would refuse it.
fn edited(object: &Value, edit: &edits::Edit) -> Option<Value> {
    let mut object = object.clone();
    match edit.form {
        Form::Merge => merge_patch(&mut object, &edit.body),
        Form::Json => {
            for operation in edit.body.as_array()? {
                operate(&mut object, operation)?;
            }
        }
        Form::Strategic | Form::Apply => return None,
    }
    Some(object)
}

fn merge_patch(object: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *object = patch.clone();
        return;
    };
    if !object.is_object() {
        *object = json!({});
    }
    let fields = object.as_object_mut().unwrap();
    for (name, value) in patch {
        if value.is_null() {
            fields.remove(name);
        } else {
            merge_patch(fields.entry(name.clone()).or_insert(Value::Null), value);
        }
    }
}

fn operate(object: &mut Value, operation: &Value) -> Option<()> {
    let place = operation["path"].as_str()?;
    let (parent, field) = place.rsplit_once('/')?;
    let field = field.replace("~1", "/").replace("~0", "~");
    match (object.pointer_mut(parent)?, operation["op"].as_str()?) {
        (Value::Object(fields), "remove") => drop(fields.remove(&field)?),
        (Value::Object(fields), _) => drop(fields.insert(field, operation["value"].clone())),
        (Value::Array(items), "remove") if field.parse::<usize>().ok()? < items.len() => {
            drop(items.remove(field.parse().ok()?));
        }
        (Value::Array(items), "replace") => *items.get_mut(field.parse::<usize>().ok()?)? = operation["value"].clone(),
        _ => return None,
    }
    Some(())
}

/// Whether the server would accept the edit, as far as the model knows: no unknown fields, and no change of a
/// StatefulSet's claims.
fn is_valid(old: &Value, new: &Value) -> bool {
    let claims = "/spec/volumeClaimTemplates";
    new.as_object().unwrap().keys().all(|field| old.get(field).is_some())
        && old.pointer(claims) == new.pointer(claims)
        && is_typed_alike(old, new)
}

/// Whether the same lists have keys, and no key occurs twice. Otherwise the server would refuse the edit.
fn is_typed_alike(old: &Value, new: &Value) -> bool {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            old.iter().all(|(name, value)| new.get(name).is_none_or(|other| is_typed_alike(value, other)))
        }
        (Value::Array(old), Value::Array(new)) => {
            let (before, after) = (names_of(old), names_of(new));
            if old.is_empty() || new.is_empty() {
                return after.is_some() || new.is_empty() || before.is_none();
            }
            let Some((before, after)) = before.as_ref().zip(after.as_ref()) else {
                return before.is_none() && after.is_none();
            };
            after.len() == new.len()
                && before.iter().all(|name| match (element(old, name), element(new, name)) {
                    (Some(old), Some(new)) => is_typed_alike(old, new),
                    _ => true,
                })
        }
        (Value::Object(_) | Value::Array(_), _) | (_, Value::Object(_) | Value::Array(_)) => false,
        _ => true,
    }
}

fn names_of(items: &[Value]) -> Option<BTreeSet<String>> {
    items.iter().map(|item| item.get("name").map(Value::to_string)).collect()
}

fn element<'a>(items: &'a [Value], name: &str) -> Option<&'a Value> {
    let name: Value = serde_json::from_str(name).unwrap();
    items.iter().find(|item| item.get("name") == Some(&name))
}

/// Returns the part of a set whose leaves `retained` accepts, given their values in both states.
fn select(
    set: &Value,
    old: Option<&Value>,
    new: Option<&Value>,
    retained: fn(Option<&Value>, Option<&Value>) -> bool,
) -> Value {
    let inner = set.as_object().unwrap();
    if inner.is_empty() {
        return Value::Null;
    }
    let mut part = Map::new();
    for (name, below) in inner {
        let (was, is) = (field_set::child(old, name), field_set::child(new, name));
        if below.as_object().is_some_and(Map::is_empty) {
            if retained(was, is) {
                part.insert(name.clone(), json!({}));
            }
            continue;
        }
        let below = select(below, was, is, retained);
        if !below.is_null() {
            part.insert(name.clone(), below);
        }
    }
    if part.is_empty() { Value::Null } else { Value::Object(part) }
}

/// Returns the edit as stored: alice is the only owner of the fields that she has changed.
fn stored(old: &Value, mut new: Value) -> Value {
    let changed = select(&owned(&content(&new), false), Some(old), Some(&new), |was, is| was != is);
    let mut entries = new["metadata"]["managedFields"].as_array().unwrap().clone();
    for entry in &mut entries {
        let rest = select(&entry["fieldsV1"], Some(old), Some(&new), |was, is| is.is_some() && was == is);
        entry["fieldsV1"] = if rest.is_null() { json!({}) } else { rest };
    }
    if !changed.is_null() {
        entries.push(json!({
            "manager": "alice", "operation": "Update", "apiVersion": old["apiVersion"], "time": "2", "fieldsV1": changed,
        }));
    }
    new["metadata"]["managedFields"] = entries.into();
    new
}

/// Returns the content after the controller has reconciled an object with this `manifest`.
fn settle(manifest: &Value, stored: &Value, managed_scope: &ManagedScope) -> Value {
    let kind = manifest["kind"].as_str().unwrap();
    let entries = stored["metadata"]["managedFields"].as_array().unwrap();
    let rest = UnmanagedFields::new(kind, Preserve::default()).ignoring(&managed_scope.ignored);
    let external = ExternalFields::new(entries, kind, managed_scope).without(rest);
    let mut declared = content(manifest);
    managed_scope.ignored.strip(&mut declared, entries, true, true);
    // We take over the foreign fields that count. Declared ones stay, and so do fields with a further owner.
    let (mut ours, mut theirs) = (json!({}), owned(&declared, false));
    for entry in entries {
        let relevant = Value::Object(external.relevant(entry));
        merge(if field_set::is_own(entry) { &mut ours } else { &mut theirs }, &entry["fieldsV1"]);
        if !field_set::is_own(entry) && relevant != json!({}) {
            merge(&mut ours, &relevant);
            theirs = without(&theirs, &relevant, &owned(&declared, false));
        }
    }
    if let Some(set) = ours.as_object_mut() {
        rest.take(set);
    }
    let mut object = content(stored);
    remove(&mut object, &ours, &theirs);
    apply(&mut object, &declared);
    default(&mut object);
    object
}

/// Removes `taken` from a set, except for the fields in `retained`.
fn without(set: &Value, taken: &Value, retained: &Value) -> Value {
    let fields = set.as_object().unwrap().iter().filter_map(|(name, below)| {
        let Some(taken) = taken.get(name) else { return Some((name.clone(), below.clone())) };
        match (below.as_object().is_some_and(Map::is_empty), retained.get(name)) {
            (true, None) => None,
            (true, Some(_)) => Some((name.clone(), below.clone())),
            (false, retained) => Some((name.clone(), without(below, taken, retained.unwrap_or(&json!({}))))),
        }
    });
    Value::Object(fields.collect())
}

/// Removes the fields in `ours` that are not in `theirs`.
fn remove(value: &mut Value, ours: &Value, theirs: &Value) {
    for (name, below) in ours.as_object().into_iter().flatten() {
        let is_leaf = below.as_object().is_some_and(Map::is_empty);
        let external = theirs.get(name);
        match value {
            Value::Object(fields) => {
                let Some(field) = name.strip_prefix("f:") else { continue };
                if is_leaf && external.is_none() {
                    fields.remove(field);
                } else if let Some(child) = fields.get_mut(field) {
                    remove(child, below, external.unwrap_or(&Value::Null));
                }
            }
            Value::Array(items) => {
                let key =
                    name.strip_prefix("k:").and_then(|key| serde_json::from_str::<Value>(key).ok()).unwrap_or_default();
                let Some(at) = items.iter().position(|item| item.get("name") == key.get("name")) else { continue };
                if external.is_none() {
                    items.remove(at);
                } else {
                    remove(&mut items[at], below, external.unwrap_or(&Value::Null));
                }
            }
            _ => {}
        }
    }
}

/// Sets the declared fields. Elements of keyed lists follow the order of the manifest.
fn apply(value: &mut Value, declared: &Value) {
    match (value, declared) {
        (Value::Object(fields), Value::Object(declared)) => {
            for (name, child) in declared {
                match fields.get_mut(name) {
                    Some(found) => apply(found, child),
                    None => drop(fields.insert(name.clone(), child.clone())),
                }
            }
        }
        (Value::Array(items), Value::Array(declared)) if names_of(declared).is_some() && !declared.is_empty() => {
            let names = names_of(declared).unwrap();
            let mut all: Vec<Value> = declared.clone();
            for item in &mut all {
                if let Some(found) = element(items, &item["name"].to_string()) {
                    let declared = std::mem::replace(item, found.clone());
                    apply(item, &declared);
                }
            }
            all.extend(items.iter().filter(|item| !names.contains(&item["name"].to_string())).cloned());
            *items = all;
        }
        (value, declared) => *value = declared.clone(),
    }
}

fn default(object: &mut Value) {
    let (parent, field) = DEFAULT.rsplit_once('/').unwrap();
    if let Some(fields) = object.pointer_mut(parent).and_then(Value::as_object_mut) {
        fields.entry(field).or_insert_with(|| json!("by default"));
    }
}

/// Removes empty values, which are as good as absent. Keeps those that the manifest declares as empty (`podSelector:
/// {}` has a meaning), and lists that are owned as a whole.
fn solid(value: &Value, declared: Option<&Value>) -> Value {
    let is_solid = |value: &Value, declared: Option<&Value>| match value {
        Value::Null => false,
        Value::Object(fields) => !fields.is_empty() || declared == Some(value),
        Value::Array(items) => !items.is_empty() || declared == Some(value),
        _ => true,
    };
    match value {
        Value::Object(fields) => {
            let below = |name: &String| declared.and_then(|declared| declared.get(name));
            let fields = fields.iter().map(|(name, child)| (name.clone(), solid(child, below(name))));
            Value::Object(fields.filter(|(name, child)| is_solid(child, below(name))).collect())
        }
        Value::Array(items) => {
            let same = |item: &Value| {
                let all = declared.and_then(Value::as_array)?;
                all.iter().find(|other| other.get("name") == item.get("name"))
            };
            let part = |item: &Value| if item.get("name").is_some() { solid(item, same(item)) } else { item.clone() };
            items.iter().map(part).collect()
        }
        other => other.clone(),
    }
}

fn protecting(object: &Value, protection: &Value) -> ManagedResource {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let entry = json!({
        "apiVersion": object["apiVersion"], "kind": object["kind"], "namespace": text("/metadata/namespace"),
        "name": text("/metadata/name"), "resource": "things", "source": "s/k",
    });
    managed_resource("mr")
        .spec(&json!({"protection": protection}))
        .with(&json!({"status": {"resources": [entry]}}))
        .read()
}

fn is_refused(old: &Value, new: &Value, mr: &ManagedResource) -> bool {
    let mut index = Index::default();
    index.upsert(mr);
    let text = |pointer: &str| old.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let (group, version) = text("/apiVersion").split_once('/').unwrap_or(("", text("/apiVersion")));
    let request = Request {
        operation: Operation::Update,
        group,
        version,
        resource: "things",
        kind: text("/kind"),
        subresource: "",
        namespace: text("/metadata/namespace"),
        name: text("/metadata/name"),
        username: "alice",
        groups: &[],
        object: Some(new),
        old_object: Some(old),
        now: jiff::Timestamp::UNIX_EPOCH,
    };
    !judge(&request, Some(&index), &Rules::default()).is_allowed()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn an_edit_is_refused_if_and_only_if_it_would_be_undone(seed in any::<u64>(), which in any::<prop::sample::Index>(), way in 0_usize..3) {
        let manifest = which.get(&OBJECTS);
        let mut old = manifest.clone();
        default(&mut old);
        let ways = [
            json!({"scope": "Exact"}),
            json!({"scope": "Declared"}),
            json!({"ignorePaths": [{"path": "/data/text"}, {"path": "/spec/template/spec/containers[name=main]/image"}, {"path": "/spec/defaulted"}]}),
        ];
        let mr = protecting(manifest, &ways[way]);
        let managed_scope = ManagedScope {
            scope: if way == 1 { Scope::Declared } else { Scope::Exact },
            ignored: mr.spec.protection.clone().map(|protection| crate::field_ownership::ignore_paths::IgnorePaths::of(&protection.ignore_paths)).unwrap_or_default(),
            ..ManagedScope::default()
        };
        let more = [(DEFAULT, json!("by default")), (DEFAULT, json!("by alice")), ("/spec/more", json!({"a": "b"})), ("/data/more", json!("x"))];
        let edit = edits::edit(&old, &more, true, &mut Dice::new(seed));
        let new = edited(&old, &edit).filter(|new| is_valid(&old, new));
        let Some(mut new) = new else { return Ok(()) };
        default(&mut new);
        let new = stored(&old, new);
        let settled = settle(manifest, &new, &managed_scope);
        let undone = solid(&settled, Some(manifest)) != solid(&content(&new), Some(manifest));
        prop_assert_eq!(is_refused(&old, &new, &mr), undone, "{:?} {}\nsettled {}\nof {}", edit.form, edit.body, settled, content(&new));
    }
}
