//! Our entry in `managedFields`, as foreign requests send it back.

use serde_json::Value;

use super::request::Request;
use crate::field_set::{self, Path};

/// Whether a request removes the entry, adds fields to it, or removes fields from it without changing them. A change of
/// a declared field also removes the field from the entry, but that is the server's doing.
pub(super) fn is_tampered_with(old: &Value, new: &Value) -> bool {
    let Some(before) = field_set::own_entry(old) else { return false };
    let Some(after) = field_set::own_entry(new) else { return true };
    if before["fieldsV1"] == after["fieldsV1"] {
        return field_set::is_own_apply(before) != field_set::is_own_apply(after);
    }
    let [lost, come] = field_set::leaves_apart(&before["fieldsV1"], &after["fieldsV1"]);
    // The schema of a kind may have changed: a field that was owned as a whole may now have parts.
    let is_lost = |path: &Path| {
        let value = path.find(old);
        value.is_some() && value == path.find(new) && !path.is_related_to(&come)
    };
    lost.iter().any(is_lost) || come.iter().any(|path| !path.is_related_to(&lost))
}

/// Whether the request has another version than the manifest. Then the paths in our entry do not fit.
pub(super) fn is_of_another_version(request: &Request<'_>, old: &Value) -> bool {
    let Some(own) = field_set::own_entry(old).and_then(|entry| entry["apiVersion"].as_str()) else { return false };
    let (group, version) = own.split_once('/').unwrap_or(("", own));
    (group, version) != (request.group, request.version)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn our_entry_is_nobody_elses() {
        let object = |operation: &str, set: Value, data: Value| json!({"metadata": {"managedFields": [{"manager": "holdfast", "operation": operation, "fieldsV1": set}]}, "data": data});
        let both = || json!({"f:data": {".": {}, "f:a": {}, "f:b": {}}});
        let data = || json!({"a": "1", "b": "2"});
        let old = object("Apply", both(), data());
        for (case, new, expected) in [
            ("the same", object("Apply", both(), data()), false),
            ("gone", json!({"data": data()}), true),
            ("made a plain one", object("Update", both(), data()), true),
            ("emptied", object("Apply", json!({}), data()), true),
            ("one field less", object("Apply", json!({"f:data": {"f:a": {}}}), data()), true),
            ("changed", object("Apply", json!({"f:data": {"f:a": {}}}), json!({"a": "1", "b": "3"})), false),
            ("removed", object("Apply", json!({"f:data": {"f:a": {}}}), json!({"a": "1"})), false),
            ("more", object("Apply", json!({"f:data": {"f:a": {}, "f:b": {}, "f:c": {}}}), data()), true),
            ("atomic now", object("Apply", json!({"f:data": {}}), data()), false),
        ] {
            assert_eq!(is_tampered_with(&old, &new), expected, "{case}");
        }
        assert!(!is_tampered_with(&json!({}), &old), "there was none");
    }
}
