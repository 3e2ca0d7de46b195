//! Unions of sets of owned fields.

use serde_json::{Map, Value};

/// Adds one set to another.
pub(crate) fn merge(into: &mut Value, from: &Value) {
    let (Value::Object(into), Value::Object(from)) = (into, from) else { return };
    for (name, child) in from {
        merge(into.entry(name.clone()).or_insert_with(|| Value::Object(Map::new())), child);
    }
}

/// Returns the union of the fields of all managers.
pub(crate) fn union(managed_fields: &[Value]) -> Value {
    let mut all = Value::Object(Map::new());
    for entry in managed_fields {
        merge(&mut all, &entry["fieldsV1"]);
    }
    all
}

/// Whether the set contains only the container itself.
pub(crate) fn is_bare(set: &Map<String, Value>) -> bool {
    set.keys().all(|key| key == ".")
}
