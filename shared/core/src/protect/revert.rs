//! Mode Revert: puts back managed fields before an edit is stored, and keeps the rest of the edit.
//!
//! Guarantee: an edit is put back completely or not at all. [`super::judge`] sees the result, and refuses an edit that
//! was not put back.

use serde_json::{Value, json};

use super::case::{Case, Offence};
use super::message::{self, Tone};
use super::mode::{self, Decision};
use super::request::{Operation, Request};
use super::{changes::Changes, rules::Rules, verdict::Verdict};
use crate::{
    api::Mode,
    field_set::{self, Path},
    inventory::index::Index,
};

/// Metadata that the server writes at every update, whatever the request contains.
const SERVERS: [&str; 6] = ["creationTimestamp", "generation", "managedFields", "resourceVersion", "selfLink", "uid"];

/// Returns what to put back of one request. Everything else passes in silence, since [`super::judge`] decides about it
/// afterwards.
pub fn revert(request: &Request<'_>, index: Option<&Index>, rules: &Rules) -> Verdict {
    let can_be_put_back = request.operation == Operation::Update && request.subresource.is_empty();
    if !can_be_put_back || index.is_none() || rules.audit_only {
        return Verdict::pass();
    }
    let case = super::case(request, index, rules).ok().filter(|case| case.mode == Mode::Revert);
    case.and_then(|case| put_back(&case)).unwrap_or_else(Verdict::pass)
}

fn put_back(case: &Case<'_>) -> Option<Verdict> {
    let (Offence::Change(changes), Some(old), Some(new)) =
        (&case.offence, case.request.old_object, case.request.object)
    else {
        return None;
    };
    let mut object = without(case, changes, old, new)?;
    forget_nulls(&mut object, old);
    let managed_fields = field_set::settled(old, new, &object);
    object.get_mut("metadata")?.as_object_mut()?.insert("managedFields".to_owned(), managed_fields.into());
    let keeps_some = !is_same(old, &object);
    Some(Verdict::Revert {
        patch: patch(new, &object),
        warnings: vec![message::text(case, Tone::PutBack { keeps_some })],
        audit: mode::audit(case, Decision::Revert),
    })
}

/// Returns the new state without the changes. Restores field by field. If that is not enough (list elements in another
/// order), restores the whole top-level field.
fn without(case: &Case<'_>, changes: &Changes, old: &Value, new: &Value) -> Option<Value> {
    let mut object = changes.all().fold(new.clone(), |object, path| field_set::restored(object, old, path));
    let Some(rest) = remaining_changes(case, &object) else { return Some(object) };
    object = rest.all().map(Path::top).fold(object, |object, path| field_set::restored(object, old, &path));
    remaining_changes(case, &object).is_none().then_some(object)
}

/// Restores fields that differ only in `null` and absent, so that they do not count as a change.
fn forget_nulls(object: &mut Value, old: &Value) {
    for name in top_differences(object, old) {
        let [was, is] = [old.get(&name), object.get(&name)].map(|value| value.cloned().unwrap_or_default());
        if field_set::differences(&was, &is).is_empty()
            && let Some(fields) = object.as_object_mut()
        {
            fields.remove(&name);
            fields.extend(old.get(&name).map(|value| (name, value.clone())));
        }
    }
}

fn remaining_changes(case: &Case<'_>, object: &Value) -> Option<Changes> {
    let request = Request { object: Some(object), ..*case.request };
    match super::offence(&request, &case.owner.managed_scope.of_object(&case.object), case.owner.preserve(&case.object))
    {
        Some(Offence::Change(changes)) => Some(changes),
        _ => None,
    }
}

/// Whether nothing remains of an edit, as far as a request can tell.
fn is_same(old: &Value, new: &Value) -> bool {
    let differences = field_set::differences(old, new);
    differences
        .iter()
        .all(|path| path.starts_with(&["status"]) || SERVERS.iter().any(|field| path.starts_with(&["metadata", field])))
}

/// Returns the JSON patch from `from` to `to`. It replaces whole fields of the object and of its metadata.
fn patch(from: &Value, to: &Value) -> Value {
    let mut operations = Vec::new();
    let metadata = |object: &Value| object.get("metadata").cloned().unwrap_or_default();
    let whole = |object: &Value| {
        let mut object = object.clone();
        object.as_object_mut().map(|fields| fields.remove("metadata"));
        object
    };
    for (prefix, from, to) in [("", whole(from), whole(to)), ("/metadata", metadata(from), metadata(to))] {
        for path in top_differences(&from, &to) {
            let pointer = format!("{prefix}/{}", path.replace('~', "~0").replace('/', "~1"));
            operations.push(match to.get(&path) {
                Some(value) => json!({"op": "add", "path": pointer, "value": value}),
                None => json!({"op": "remove", "path": pointer}),
            });
        }
    }
    Value::Array(operations)
}

fn top_differences(from: &Value, to: &Value) -> Vec<String> {
    let names = [from, to].into_iter().filter_map(Value::as_object).flat_map(serde_json::Map::keys);
    let names: std::collections::BTreeSet<&String> = names.collect();
    names.into_iter().filter(|name| from.get(*name) != to.get(*name)).cloned().collect()
}

#[cfg(test)]
pub(super) mod tests;
