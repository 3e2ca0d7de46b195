//! Ownership in an object after part of an edit was reverted.

use std::cmp::Ordering;

use serde_json::{Map, Value};

use super::{child, entries};

/// Returns the `managedFields` of `after`, a state between `old` and `new`. The server wrote those of `new` when it
/// accepted the edit.
///
/// A field with its old value keeps its old owners; a changed field has the owners that the server recorded. So an edit
/// that is reverted as a whole leaves nothing behind, not even a time.
pub(crate) fn settled(old: &Value, new: &Value, after: &Value) -> Vec<Value> {
    let (before, now) = (entries(old), entries(new));
    let retained = before.iter().filter_map(|entry| {
        let edited = now.iter().find(|other| is_same(entry, other));
        settle(Some(entry), edited, old, after)
    });
    let come = now.iter().filter(|entry| !before.iter().any(|other| is_same(entry, other)));
    let mut settled: Vec<Value> =
        retained.chain(come.filter_map(|entry| settle(None, Some(entry), old, after))).collect();
    if settled != before {
        settled.sort_by(in_order);
    }
    settled
}

/// The order in which the server writes entries. In any other order, the next apply without changes would still write
/// the object, only to sort them. Source: `sortEncodedManagedFields` of
/// `k8s.io/apimachinery/pkg/util/managedfields/internal`.
fn in_order(one: &Value, other: &Value) -> Ordering {
    let text = |entry: &Value, field: &str| entry[field].as_str().unwrap_or_default().to_owned();
    // Times are RFC 3339 in UTC and whole seconds, so they sort as strings.
    let by = |field: &str| text(one, field).cmp(&text(other, field));
    ["operation", "time", "manager", "apiVersion", "subresource"]
        .iter()
        .map(|field| by(field))
        .fold(Ordering::Equal, Ordering::then)
}

/// Whether two entries have the same manager, operation, version and subresource.
fn is_same(one: &Value, other: &Value) -> bool {
    ["manager", "operation", "apiVersion", "subresource"].iter().all(|field| one.get(field) == other.get(field))
}

fn settle(old: Option<&Value>, new: Option<&Value>, before: &Value, after: &Value) -> Option<Value> {
    let set = |entry: Option<&Value>| entry.and_then(|entry| entry.get("fieldsV1")).and_then(Value::as_object).cloned();
    let (was, is) = (set(old).unwrap_or_default(), set(new).unwrap_or_default());
    let fields = of_fields(&was, &is, Some(before), Some(after));
    if fields.is_empty() && !was.is_empty() || fields.is_empty() && old.is_none() {
        return None;
    }
    if fields == was {
        return old.cloned();
    }
    let mut entry = new.or(old)?.clone();
    entry["fieldsV1"] = Value::Object(fields);
    Some(entry)
}

fn of_fields(
    was: &Map<String, Value>,
    is: &Map<String, Value>,
    before: Option<&Value>,
    after: Option<&Value>,
) -> Map<String, Value> {
    let empty = Map::new();
    let mut fields = Map::new();
    for name in was.keys().chain(is.keys().filter(|name| !was.contains_key(*name))) {
        let (old, new) = (was.get(name), is.get(name));
        let is_unchanged =
            if name == "." { before.is_some() == after.is_some() } else { child(before, name) == child(after, name) };
        let owned = if is_unchanged {
            old.cloned()
        } else if is_leaf(new) || is_leaf(old) && new.is_none() {
            new.cloned()
        } else {
            let [old, new] = [old, new].map(|set| set.and_then(Value::as_object).unwrap_or(&empty));
            let below = of_fields(old, new, child(before, name), child(after, name));
            (!below.is_empty()).then_some(Value::Object(below))
        };
        fields.extend(owned.map(|owned| (name.clone(), owned)));
    }
    fields
}

/// Whether a field is owned as a whole.
fn is_leaf(set: Option<&Value>) -> bool {
    set.is_some_and(|set| set.as_object().is_none_or(Map::is_empty))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn entry(manager: &str, operation: &str, time: &str, fields: &Value) -> Value {
        json!({"manager": manager, "operation": operation, "apiVersion": "v1", "time": time, "fieldsV1": fields})
    }

    fn object(data: &Value, labels: &Value, managed: &[Value]) -> Value {
        json!({"metadata": {"labels": labels, "managedFields": managed}, "data": data})
    }

    #[test]
    fn values_that_are_as_before_are_owned_as_before() {
        let ours =
            entry("holdfast", "Apply", "1", &json!({"f:data": {"f:k": {}}, "f:metadata": {"f:labels": {"f:a": {}}}}));
        let other = entry("x", "Update", "1", &json!({"f:metadata": {"f:labels": {"f:team": {}}}}));
        let old = object(&json!({"k": "one"}), &json!({"a": "1", "team": "red"}), &[ours.clone(), other.clone()]);
        // An edit of our field and of x's label, which also adds a label.
        let shrunk = entry("holdfast", "Apply", "1", &json!({"f:metadata": {"f:labels": {"f:a": {}}}}));
        let alice = json!({"f:data": {"f:k": {}}, "f:metadata": {"f:labels": {"f:team": {}, "f:new": {}}}});
        let alice = entry("alice", "Update", "2", &alice);
        let new = object(&json!({"k": "two"}), &json!({"a": "1", "team": "blue", "new": "1"}), &[shrunk, alice]);
        let after = object(&old["data"], &new["metadata"]["labels"], &[]);
        let rest = entry("alice", "Update", "2", &json!({"f:metadata": {"f:labels": {"f:team": {}, "f:new": {}}}}));
        assert_eq!(settled(&old, &new, &after), [ours.clone(), rest]);
        assert_eq!(settled(&old, &new, &old), [ours, other], "nothing is left of an edit that was put back");
    }

    #[test]
    fn entries_are_in_the_order_of_the_server() {
        let label = |manager: &str| json!({"f:metadata": {"f:labels": {format!("f:{manager}"): {}}}});
        let ours = entry("holdfast", "Apply", "2", &json!({"f:data": {"f:k": {}}}));
        let early = entry("z", "Update", "1", &label("z"));
        let old = object(&json!({"k": "one"}), &json!({"z": "1"}), &[ours.clone(), early.clone()]);
        let edit = |manager: &str, operation: &str| {
            let edit = entry(manager, operation, "2", &label(manager));
            let new = object(&json!({"k": "two"}), &json!({"z": "1", manager: "1"}), &[early.clone(), edit.clone()]);
            let after = object(&json!({"k": "one"}), &new["metadata"]["labels"], &[]);
            (settled(&old, &new, &after), edit)
        };
        let (settled, flux) = edit("flux", "Apply");
        assert_eq!(settled, [flux, ours.clone(), early.clone()]);
        let (settled, alice) = edit("alice", "Update");
        assert_eq!(settled, [ours, early, alice]);
    }

    #[test]
    fn an_apply_by_others_owns_what_it_changed() {
        let ours = entry("holdfast", "Apply", "1", &json!({"f:data": {"f:k": {}}}));
        let old = object(&json!({"k": "one"}), &json!({}), std::slice::from_ref(&ours));
        let theirs =
            entry("kubectl", "Apply", "2", &json!({"f:data": {"f:k": {}}, "f:metadata": {"f:labels": {"f:t": {}}}}));
        let new = object(&json!({"k": "two"}), &json!({"t": "1"}), &[theirs]);
        let after = object(&json!({"k": "one"}), &json!({"t": "1"}), &[]);
        let rest = entry("kubectl", "Apply", "2", &json!({"f:metadata": {"f:labels": {"f:t": {}}}}));
        assert_eq!(settled(&old, &new, &after), [ours.clone(), rest]);
        let cleared = object(&json!({"k": "one"}), &json!({}), &[]);
        assert_eq!(settled(&old, &cleared, &cleared), [ours], "clearing of managedFields is put back");
    }
}
