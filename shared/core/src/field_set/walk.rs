//! Walks to the fields that a pattern matches: in a set of owned fields ([`take`]), and in an object or a manifest
//! ([`Walk`]).

use serde_json::{Map, Value, json};

use super::child;
use super::element::position_in_manifest;
use super::pattern::{Pattern, Segment, key_of};
use super::union::is_bare;

/// Removes the fields that a pattern matches from a set, and containers that become empty. Returns the removed fields
/// as a set.
///
/// Fields in list elements that the `manifest` does not have stay: the apply removes such an element with everything in
/// it.
pub(crate) fn take(set: &mut Map<String, Value>, pattern: &Pattern, manifest: Option<&Value>) -> Map<String, Value> {
    take_within(set, pattern.segments(), manifest, &Map::new())
}

/// `key` belongs to the list element whose fields are in `set`.
fn take_within(
    set: &mut Map<String, Value>,
    segments: &[Segment],
    manifest: Option<&Value>,
    key: &Map<String, Value>,
) -> Map<String, Value> {
    let mut taken = Map::new();
    let Some((first, rest)) = segments.split_first() else { return taken };
    for name in first.of_set(set, key) {
        if rest.is_empty() {
            taken.extend(set.remove_entry(&name));
            continue;
        }
        let below = manifest.map(|value| child_in_manifest(value, &name).unwrap_or(&Value::Null));
        if !name.starts_with("f:") && below == Some(&Value::Null) {
            continue;
        }
        let Some(Value::Object(inner)) = set.get_mut(&name) else { continue };
        let part = take_within(inner, rest, below, &key_of(&name));
        if part.is_empty() {
            continue;
        }
        if is_bare(inner) {
            set.remove(&name);
        }
        taken.insert(name, Value::Object(part));
    }
    taken
}

/// Returns the part of a manifest that a name in `fieldsV1` refers to.
fn child_in_manifest<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    match value {
        Value::Array(items) => items.get(position_in_manifest(items, name)?),
        other => child(Some(other), name),
    }
}

/// Ownership of a value.
#[derive(Clone, Copy)]
pub(crate) enum Owners<'a> {
    /// Unknown. List elements are identified by their `name` alone.
    Unknown,
    /// The union of all managers' fields in the value. `None` if nobody owns it, or somebody owns it only as part of a
    /// larger value.
    Listed(Option<&'a Value>),
}

impl<'a> Owners<'a> {
    fn of_child(self, name: &str) -> Self {
        match self {
            Self::Unknown => Self::Unknown,
            Self::Listed(set) => Self::Listed(set.and_then(|set| set.get(name))),
        }
    }

    /// Whether anyone owns the value; `None` if unknown.
    pub(crate) fn is_owned(self) -> Option<bool> {
        match self {
            Self::Unknown => None,
            Self::Listed(set) => Some(set.is_some()),
        }
    }

    /// Returns the owned parts. A value that is owned as a whole has none.
    fn parts(self) -> Option<&'a Map<String, Value>> {
        match self {
            Self::Listed(Some(Value::Object(set))) if set.keys().any(|name| name != ".") => Some(set),
            _ => None,
        }
    }

    fn is_whole(self) -> bool {
        self.is_owned() == Some(true) && self.parts().is_none()
    }

    /// Returns the elements of a list as names in `fieldsV1`. If the names are derived from the list itself, adds
    /// positions, from the last to the first.
    fn elements(self, items: &[Value]) -> Vec<(String, Option<usize>)> {
        if let Self::Unknown = self {
            let by_name = |(position, item): (usize, &Value)| {
                let name = item.get("name")?.as_str()?;
                Some((format!("k:{}", json!({ "name": name })), Some(position)))
            };
            return items.iter().enumerate().rev().filter_map(by_name).collect();
        }
        self.parts().into_iter().flat_map(Map::keys).map(|name| (name.clone(), None)).collect()
    }
}

/// What to do with a field.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Treatment {
    Keep,
    Remove,
    Null,
}

/// A field that a pattern matches.
pub(crate) struct Found<'a> {
    pub(crate) value: &'a Value,
    pub(crate) owners: Owners<'a>,
    /// Whether the field is a list element, or inside one.
    pub(crate) is_in_list: bool,
}

/// A walk to the fields of an object that patterns match. `treat` decides what to do with each field. The walk removes
/// maps on its way that become empty.
pub(crate) struct Walk<F> {
    is_live: bool,
    treat: F,
}

impl<F: FnMut(&Found<'_>) -> Treatment> Walk<F> {
    /// Creates a walk through a manifest. Maps that the manifest declares as empty stay.
    pub(crate) fn of_manifest(treat: F) -> Self {
        Self { is_live: false, treat }
    }

    /// Creates a walk through a live object. It does not enter fields that are owned as a whole, and also removes maps
    /// that were already empty.
    pub(crate) fn of_live(treat: F) -> Self {
        Self { is_live: true, treat }
    }

    /// Treats every field that the pattern matches.
    pub(crate) fn to(&mut self, pattern: &Pattern, object: &mut Value, owners: Owners<'_>) {
        let place = Place { owners, key: &Map::new(), is_in_list: false };
        self.within(object, pattern.segments(), &place);
    }

    fn within(&mut self, value: &mut Value, segments: &[Segment], place: &Place<'_>) {
        let Some((first, rest)) = segments.split_first() else { return };
        match value {
            Value::Object(map) => self.within_map(map, first, rest, place),
            Value::Array(items) => self.within_list(items, first, rest, place),
            _ => {}
        }
    }

    fn within_map(&mut self, map: &mut Map<String, Value>, first: &Segment, rest: &[Segment], place: &Place<'_>) {
        for name in first.of_map(map, place.key) {
            let Some(field) = name.strip_prefix("f:") else { continue };
            let Some(inner) = map.get_mut(field) else { continue };
            let owners = place.owners.of_child(&name);
            let is_in_list = place.is_in_list;
            if rest.is_empty() {
                match (self.treat)(&Found { value: inner, owners, is_in_list }) {
                    Treatment::Keep => {}
                    Treatment::Null => *inner = Value::Null,
                    Treatment::Remove => drop(map.remove(field)),
                }
                continue;
            }
            if self.is_live && owners.is_whole() {
                continue;
            }
            let was_empty = is_empty(inner);
            self.within(inner, rest, &Place { owners, key: &Map::new(), is_in_list });
            if is_empty(inner) && (self.is_live || !was_empty) {
                map.remove(field);
            }
        }
    }

    fn within_list(&mut self, items: &mut Vec<Value>, first: &Segment, rest: &[Segment], place: &Place<'_>) {
        for (name, position) in place.owners.elements(items) {
            if !first.means(&name, place.key) {
                continue;
            }
            let Some(position) = position.or_else(|| position_in_manifest(items, &name)) else { continue };
            let Some(item) = items.get_mut(position) else { continue };
            let owners = place.owners.of_child(&name);
            if !rest.is_empty() {
                self.within(item, rest, &Place { owners, key: &key_of(&name), is_in_list: true });
            } else if (self.treat)(&Found { value: item, owners, is_in_list: true }) == Treatment::Remove {
                items.remove(position);
            }
        }
    }
}

struct Place<'a> {
    owners: Owners<'a>,
    /// The key of the list element at this place; empty for anything else.
    key: &'a Map<String, Value>,
    is_in_list: bool,
}

fn is_empty(value: &Value) -> bool {
    value.as_object().is_some_and(Map::is_empty)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::field_set::merge;

    #[test]
    fn what_is_taken_is_gone_with_what_it_leaves_empty() {
        let container = |name: &str| format!("k:{{\"name\":\"{name}\"}}");
        let set = json!({"f:spec": {"f:replicas": {}, "f:containers": {
            (container("a")): {".": {}, "f:name": {}, "f:resources": {".": {}, "f:limits": {".": {}, "f:cpu": {}}}},
            (container("b")): {"f:resources": {"f:limits": {"f:cpu": {}, "f:memory": {}}}}
        }}});
        let path = &Pattern::of(&["spec", "containers", "*", "resources", "limits", "cpu"]);
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
