//! Manifests that the server would create but refuses to apply: two entries with one name in a keyed list, or fields
//! that the schema does not know (`docs/design/writing.md`). The controller creates them with POST and updates them
//! with merge patches.

use serde_json::{Map, Value};

use crate::{
    field_ownership::{ManagedScope, external_fields::ExternalFields, unmanaged::UnmanagedFields},
    field_set,
};

/// Whether a plain write may succeed where an apply was refused. The server answers 500 without a machine-readable
/// reason (measured), so the message decides. An aggregated API server that does not know apply answers 415.
pub fn is_called_for(code: u16, message: &str) -> bool {
    code == 415 || (code == 500 && message.contains("failed to create typed patch object"))
}

/// Returns the merge patch that makes an object equal to `body`: the manifest, plus `null` for each undeclared field of
/// a map that we wrote before, or that others added in exact scope. A merge patch replaces lists as a whole.
///
/// Unmanaged fields stay, except in lists.
pub fn merge_patch(
    body: &Value,
    managed_fields: &[Value],
    kind: &str,
    managed_scope: &ManagedScope,
    unmanaged: UnmanagedFields<'_>,
) -> Value {
    let unmanaged = unmanaged.of(body);
    let mut patch = unmanaged.missing_in_maps(managed_fields);
    let foreign = ExternalFields::new(managed_fields, kind, managed_scope).without(unmanaged).before_apply();
    for entry in managed_fields {
        if field_set::is_own(entry) {
            let mut written = entry["fieldsV1"].clone();
            // Remove only labels and annotations that we wrote ourselves.
            if let Some(metadata) = written.get_mut("f:metadata").and_then(Value::as_object_mut) {
                metadata.retain(|name, _| matches!(name.as_str(), "f:labels" | "f:annotations"));
            }
            if let Some(written) = written.as_object_mut() {
                unmanaged.take(written);
            }
            add_nulls(&mut patch, &written);
        } else {
            add_nulls(&mut patch, &Value::Object(foreign.relevant(entry)));
        }
    }
    patch
}

fn add_nulls(patch: &mut Value, written: &Value) {
    let (Value::Object(patch), Value::Object(written)) = (patch, written) else { return };
    for (name, child) in written {
        let Some(field) = name.strip_prefix("f:") else { continue };
        match patch.get_mut(field) {
            Some(declared) => add_nulls(declared, child),
            None => drop(patch.insert(field.to_owned(), absent(child))),
        }
    }
}

/// Returns `null` for an undeclared field. For a map of which only parts were written, returns `null` for those parts.
fn absent(written: &Value) -> Value {
    let Some(children) = written.as_object() else { return Value::Null };
    let is_container = children.contains_key(".");
    let parts: Map<String, Value> = children
        .iter()
        .filter_map(|(name, child)| Some((name.strip_prefix("f:")?.to_owned(), absent(child))))
        .collect();
    if is_container || parts.is_empty() { Value::Null } else { Value::Object(parts) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_apply_alone_refuses_falls_back() {
        for (code, message, expected) in [
            (
                500,
                "failed to create typed patch object (default/x; apps/v1, Kind=Deployment): .spec…: duplicate entries for key",
                true,
            ),
            (500, "failed to create typed patch object (…): .spec.x: field not declared in schema", true),
            (415, "", true),
            (500, "Internal error occurred: failed calling webhook", false),
            (422, "failed to create typed patch object", false),
        ] {
            assert_eq!(is_called_for(code, message), expected, "{code} {message}");
        }
    }

    #[test]
    fn fields_that_left_the_manifest_and_foreign_ones_become_null() {
        let body = json!({"metadata": {"labels": {"a": "b"}}, "data": {"x": "1"}, "spec": {"list": [1]}});
        let ours = json!({"manager": "holdfast", "operation": "Update", "fieldsV1": {
            "f:metadata": {"f:labels": {"f:a": {}, "f:old": {}}, "f:finalizers": {"v:\"x\"": {}}},
            "f:data": {".": {}, "f:x": {}, "f:y": {}},
            "f:spec": {"f:list": {}, "f:gone": {"f:deep": {}}}
        }});
        let theirs = json!({"manager": "kubectl-edit", "operation": "Update", "fieldsV1": {
            "f:metadata": {"f:labels": {"f:team": {}}},
            "f:data": {"f:z": {}}
        }});
        assert_eq!(
            merge_patch(&body, &[ours, theirs], "ConfigMap", &ManagedScope::default(), UnmanagedFields::default()),
            json!({
                "metadata": {"labels": {"a": "b", "old": null}},
                "data": {"x": "1", "y": null, "z": null},
                "spec": {"list": [1], "gone": {"deep": null}}
            })
        );
    }
}
