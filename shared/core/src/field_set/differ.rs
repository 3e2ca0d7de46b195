//! Differences between two states of an object.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::{Path, Step};

/// Returns every field in which two states differ, whoever owns it. `null` counts as absent. Named list elements are
/// matched by name; an added or removed element is one path.
pub fn differences(old: &Value, new: &Value) -> Vec<Path> {
    let mut paths = Vec::new();
    differ(Some(old), Some(new), &Path::default(), &mut paths);
    paths
}

/// Like [`differences`], but only in the top-level fields that `is_meant` accepts.
pub(crate) fn differences_in(old: &Value, new: &Value, is_meant: impl Fn(&str) -> bool) -> Vec<Path> {
    let (Value::Object(old), Value::Object(new)) = (old, new) else { return differences(old, new) };
    let mut paths = Vec::new();
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).filter(|name| is_meant(name)).collect();
    for name in names {
        differ(old.get(name), new.get(name), &Path::of(&[name]), &mut paths);
    }
    paths
}

fn differ(old: Option<&Value>, new: Option<&Value>, path: &Path, paths: &mut Vec<Path>) {
    let [old, new] = [old, new].map(|value| value.filter(|value| !value.is_null()));
    if old == new {
        return;
    }
    let empty = Map::new();
    let maps = match (old, new) {
        (Some(Value::Object(old)), Some(Value::Object(new))) => Some((old, new)),
        (Some(Value::Object(old)), None) if !old.is_empty() => Some((old, &empty)),
        (None, Some(Value::Object(new))) if !new.is_empty() => Some((&empty, new)),
        _ => None,
    };
    if let Some((old, new)) = maps {
        let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
        for name in names {
            differ(old.get(name), new.get(name), &path.child(Step::Field(name.clone())), paths);
        }
        return;
    }
    let Some((old, new)) = old.and_then(named).zip(new.and_then(named)) else {
        paths.push(path.clone());
        return;
    };
    let mut is_distinct = false;
    let names: BTreeSet<&str> = old.keys().chain(new.keys()).copied().collect();
    for name in names {
        let element = path.child(by_name(name));
        let before = paths.len();
        match (old.get(name), new.get(name)) {
            (Some(old), Some(new)) => differ(Some(old), Some(new), &element, paths),
            _ => paths.push(element),
        }
        is_distinct |= paths.len() > before;
    }
    if !is_distinct {
        // The lists have the same elements in another order.
        paths.push(path.clone());
    }
}

impl Path {
    /// Expands a list of named elements that appears or vanishes as a whole into its elements. Otherwise returns the
    /// path itself.
    pub(crate) fn elements(self, old: &Value, new: &Value) -> Vec<Self> {
        let list = match (self.find(old), self.find(new)) {
            (None, Some(list)) | (Some(list), None) => named(list),
            _ => None,
        };
        match list {
            Some(elements) if !elements.is_empty() => {
                elements.into_keys().map(|name| self.child(by_name(name))).collect()
            }
            _ => vec![self],
        }
    }
}

fn by_name(name: &str) -> Step {
    Step::Key(serde_json::json!({ "name": name }).to_string())
}

/// Returns the elements of a list by name. Returns `None` unless every element has a name and all names differ.
fn named(value: &Value) -> Option<BTreeMap<&str, &Value>> {
    let items = value.as_array()?;
    let named: BTreeMap<&str, &Value> =
        items.iter().filter_map(|item| Some((item.get("name")?.as_str()?, item))).collect();
    (named.len() == items.len()).then_some(named)
}
