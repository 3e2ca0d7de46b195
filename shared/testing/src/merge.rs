//! Merging of JSON.

use serde_json::{Map, Value};

/// Merges objects field by field; anything else in `from` takes the place of what `into` has.
pub fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key.clone()).or_insert_with(|| Map::new().into()), value);
            }
        }
        (into, from) => *into = from.clone(),
    }
}
