//! Taking fields out of a set by path.

use serde_json::{Map, Value};

use super::child;

/// Removes what lies at a path from a set, and containers that are empty because of it. Returns what was removed, as a set.
///
/// `*` stands for every list element; with a `manifest` only for those that it has, too.
pub(crate) fn take(set: &mut Map<String, Value>, path: &[&str], manifest: Option<&Value>) -> Map<String, Value> {
    let mut taken = Map::new();
    let Some((first, rest)) = path.split_first() else { return taken };
    let keys: Vec<String> = match *first {
        "*" => set.keys().filter(|key| key.starts_with("k:") || key.starts_with("i:")).cloned().collect(),
        field => vec![format!("f:{field}")],
    };
    for key in keys {
        let below = manifest.map(|value| child(Some(value), &key).unwrap_or(&Value::Null));
        if *first == "*" && below == Some(&Value::Null) {
            continue;
        }
        if rest.is_empty() {
            taken.extend(set.remove_entry(&key));
            continue;
        }
        let Some(Value::Object(inner)) = set.get_mut(&key) else { continue };
        let part = take(inner, rest, below);
        if part.is_empty() {
            continue;
        }
        if is_bare(inner) {
            set.remove(&key);
        }
        taken.insert(key, Value::Object(part));
    }
    taken
}

/// Nothing but the container itself.
pub(crate) fn is_bare(set: &Map<String, Value>) -> bool {
    set.keys().all(|key| key == ".")
}

/// Adds a set to another.
pub(crate) fn merge(into: &mut Value, from: &Value) {
    let (Value::Object(into), Value::Object(from)) = (into, from) else { return };
    for (name, child) in from {
        merge(into.entry(name.clone()).or_insert_with(|| Value::Object(Map::new())), child);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_taken_is_gone_with_what_it_leaves_empty() {
        let container = |name: &str| format!("k:{{\"name\":\"{name}\"}}");
        let set = json!({"f:spec": {"f:replicas": {}, "f:containers": {
            (container("a")): {".": {}, "f:name": {}, "f:resources": {".": {}, "f:limits": {".": {}, "f:cpu": {}}}},
            (container("b")): {"f:resources": {"f:limits": {"f:cpu": {}, "f:memory": {}}}}
        }}});
        let path = &["spec", "containers", "*", "resources", "limits", "cpu"];
        let cpu = json!({"f:resources": {"f:limits": {"f:cpu": {}}}});
        let mut rest = set.as_object().unwrap().clone();
        let taken = take(&mut rest, path, None);
        assert_eq!(
            Value::Object(taken),
            json!({"f:spec": {"f:containers": {(container("a")): cpu, (container("b")): cpu}}})
        );
        assert_eq!(
            Value::Object(rest),
            json!({"f:spec": {"f:replicas": {}, "f:containers": {
                (container("a")): {".": {}, "f:name": {}},
                (container("b")): {"f:resources": {"f:limits": {"f:memory": {}}}}
            }}})
        );
        let manifest = json!({"spec": {"containers": [{"name": "b"}]}});
        let mut rest = set.as_object().unwrap().clone();
        let taken = take(&mut rest, path, Some(&manifest));
        assert_eq!(Value::Object(taken), json!({"f:spec": {"f:containers": {(container("b")): cpu}}}));
        let mut back = Value::Object(rest);
        merge(&mut back, &json!({"f:spec": {"f:containers": {(container("b")): cpu}}}));
        assert_eq!(back, set);
        let mut rest = json!({"f:spec": {}}).as_object().unwrap().clone();
        assert!(take(&mut rest, path, None).is_empty(), "owned as a whole");
    }
}
