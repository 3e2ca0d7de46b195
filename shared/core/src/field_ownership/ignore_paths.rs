//! Fields that a ManagedResource leaves to others: `spec.protection.ignorePaths` (design §4).
//!
//! Which fields of an object are meant is told by `managedFields`, for webhook and controller alike: there the elements of
//! lists have their keys, and what is owned as a whole (an atomic list) has no parts, so that a path into it means nothing.
//!
//! They are set at creation and not again. What others removed stays away until the manifest changes.

mod pattern;

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::{
    api::IgnorePath,
    field_set::{self, is_bare, merge},
    key::ObjectKey,
};
use pattern::{Segment, key_of};

/// The paths of a ManagedResource, or those that are meant for one object. Takes no room where there are none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ignored(Option<Arc<[Row]>>);

/// One path.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Row {
    path: Vec<Segment>,
    written: IgnorePath,
}

impl Row {
    fn is_for(&self, object: &ObjectKey) -> bool {
        let is = |wanted: &Option<String>, found: &str| wanted.as_ref().is_none_or(|wanted| wanted == found);
        let IgnorePath { group, kind, name, .. } = &self.written;
        is(group, object.group()) && is(kind, object.kind()) && is(name, object.name())
    }
}

/// What is wrong with paths, one text each. Those have no effect.
pub fn faults(paths: &[IgnorePath]) -> Vec<String> {
    let faults = paths.iter().enumerate().filter_map(|(position, written)| {
        let why = pattern::parse(&written.path).err()?;
        Some(format!("spec.protection.ignorePaths[{position}]: {:?}: {why}", written.path))
    });
    faults.collect()
}

/// Paths that most likely mean something else than what they say, one text each.
pub fn remarks(paths: &[IgnorePath]) -> Vec<String> {
    let is_number = |part: &&str| part.bytes().all(|byte| byte.is_ascii_digit());
    let remarks = paths.iter().enumerate().filter_map(|(position, written)| {
        let number = written.path.split('/').skip(1).find(is_number).filter(|part| !part.is_empty())?;
        Some(format!(
            "spec.protection.ignorePaths[{position}]: {number} is taken for the name of a field (elements of lists are named \
             by their key, such as containers[name=app], or by *)"
        ))
    });
    remarks.collect()
}

impl Ignored {
    /// Those that can be read.
    pub fn of(paths: &[IgnorePath]) -> Self {
        let rows = paths
            .iter()
            .filter_map(|written| Some(Row { path: pattern::parse(&written.path).ok()?, written: written.clone() }));
        Self::from_rows(rows.collect())
    }

    fn from_rows(rows: Vec<Row>) -> Self {
        Self((!rows.is_empty()).then(|| rows.into()))
    }

    /// Whether nothing is left to others.
    pub fn is_none(&self) -> bool {
        self.0.is_none()
    }

    /// Those that are meant for an object.
    #[must_use]
    pub fn of_object(&self, object: &ObjectKey) -> Self {
        if self.rows().iter().all(|row| row.is_for(object)) {
            return self.clone();
        }
        Self::from_rows(self.rows().iter().filter(|row| row.is_for(object)).cloned().collect())
    }

    /// The paths as they are written.
    pub fn texts(&self) -> Vec<&str> {
        self.rows().iter().map(|row| row.written.path.as_str()).collect()
    }

    fn rows(&self) -> &[Row] {
        self.0.as_deref().unwrap_or_default()
    }

    /// Removes these fields from a set, and containers that are empty because of it; returns them as a set. What lies in
    /// elements of lists that the `manifest` does not have stays: an element that it drops goes with all that is in it.
    pub(crate) fn take(&self, set: &mut Map<String, Value>, manifest: Option<&Value>) -> Map<String, Value> {
        let mut all = Value::Object(Map::new());
        for row in self.rows() {
            let taken = take(set, &row.path, manifest, &Map::new());
            merge(&mut all, &Value::Object(taken));
        }
        if let Value::Object(all) = all { all } else { Map::new() }
    }

    /// Removes from a manifest those of these fields that an object with these `managedFields` has; where the manifest was
    /// applied before as it is (`is_settled`) also those that are not there: others removed them.
    pub(crate) fn strip(&self, manifest: &mut Value, managed_fields: &[Value], is_settled: bool, is_in_lists: bool) {
        if self.is_none() {
            return;
        }
        let owned = union(managed_fields);
        let strip = Strip { is_settled, is_in_lists };
        for row in self.rows() {
            strip.at(manifest, Some(&owned), &row.path, &Map::new());
        }
    }

    /// Two states of an object without these fields.
    pub(crate) fn without(&self, old: &Value, new: &Value) -> (Value, Value) {
        let both: Vec<Value> = [old, new].into_iter().flat_map(field_set::entries).cloned().collect();
        let owned = union(&both);
        let (mut old, mut new) = (old.clone(), new.clone());
        for state in [&mut old, &mut new] {
            for row in self.rows() {
                remove(state, Some(&owned), &row.path, &Map::new());
            }
        }
        (old, new)
    }
}

/// What anybody owns.
fn union(managed_fields: &[Value]) -> Value {
    let mut all = Value::Object(Map::new());
    for entry in managed_fields {
        merge(&mut all, &entry["fieldsV1"]);
    }
    all
}

/// `key` is that of the list element of which `set` is.
fn take(
    set: &mut Map<String, Value>,
    path: &[Segment],
    manifest: Option<&Value>,
    key: &Map<String, Value>,
) -> Map<String, Value> {
    let mut taken = Map::new();
    let Some((first, rest)) = path.split_first() else { return taken };
    let names: Vec<String> = set.keys().filter(|name| first.means(name, key)).cloned().collect();
    for name in names {
        if rest.is_empty() {
            taken.extend(set.remove_entry(&name));
            continue;
        }
        let below = manifest.map(|value| child(value, &name).unwrap_or(&Value::Null));
        if !name.starts_with("f:") && below == Some(&Value::Null) {
            continue;
        }
        let Some(Value::Object(inner)) = set.get_mut(&name) else { continue };
        let part = take(inner, rest, below, &key_of(&name));
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

/// The part of a set that is owned of a list with elements; `None` for what is owned as a whole, or by nobody.
fn elements(owned: Option<&Value>) -> Option<&Map<String, Value>> {
    owned?.as_object().filter(|set| set.keys().any(|name| name != "."))
}

#[derive(Clone, Copy)]
struct Strip {
    is_settled: bool,
    is_in_lists: bool,
}

impl Strip {
    fn at(self, value: &mut Value, owned: Option<&Value>, path: &[Segment], key: &Map<String, Value>) {
        let Some((first, rest)) = path.split_first() else { return };
        match value {
            Value::Object(map) => {
                let names: Vec<String> = map.keys().map(|field| format!("f:{field}")).collect();
                for name in names.iter().filter(|name| first.means(name, key)) {
                    let Some(field) = name.strip_prefix("f:") else { continue };
                    let below = owned.and_then(|owned| owned.get(name));
                    if rest.is_empty() {
                        if below.is_some() || self.is_settled {
                            map.remove(field);
                        }
                        continue;
                    }
                    let Some(inner) = map.get_mut(field) else { continue };
                    let was_empty = is_empty(inner);
                    self.at(inner, below, rest, &Map::new());
                    if !was_empty && is_empty(inner) {
                        map.remove(field);
                    }
                }
            }
            Value::Array(items) if self.is_in_lists => {
                let Some(owned) = elements(owned) else { return };
                for (name, below) in owned.iter().filter(|(name, _)| first.means(name, key)) {
                    let Some(position) = position(items, name) else { continue };
                    if rest.is_empty() {
                        items.remove(position);
                    } else if let Some(item) = items.get_mut(position) {
                        self.at(item, Some(below), rest, &key_of(name));
                    }
                }
            }
            _ => {}
        }
    }
}

/// Removes what lies at a path of an object, and maps on the way that are empty then.
fn remove(value: &mut Value, owned: Option<&Value>, path: &[Segment], key: &Map<String, Value>) {
    let Some((first, rest)) = path.split_first() else { return };
    match value {
        Value::Object(map) => {
            let names: Vec<String> = map.keys().map(|field| format!("f:{field}")).collect();
            for name in names.iter().filter(|name| first.means(name, key)) {
                let Some(field) = name.strip_prefix("f:") else { continue };
                if rest.is_empty() {
                    map.remove(field);
                    continue;
                }
                let below = owned.and_then(|owned| owned.get(name));
                let Some(inner) = map.get_mut(field) else { continue };
                // What is owned as a whole has no parts.
                if below.is_some() && elements(below).is_none() {
                    continue;
                }
                remove(inner, below, rest, &Map::new());
                if is_empty(inner) {
                    map.remove(field);
                }
            }
        }
        Value::Array(items) => {
            let Some(owned) = elements(owned) else { return };
            for (name, below) in owned.iter().filter(|(name, _)| first.means(name, key)) {
                let Some(position) = position(items, name) else { continue };
                if rest.is_empty() {
                    items.remove(position);
                } else if let Some(item) = items.get_mut(position) {
                    remove(item, Some(below), rest, &key_of(name));
                }
            }
        }
        _ => {}
    }
}

/// The part of a manifest that a name in `fieldsV1` stands for.
fn child<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    match value {
        Value::Array(items) => items.get(position(items, name)?),
        other => field_set::child(Some(other), name),
    }
}

/// Where the element of a list is that a name in `fieldsV1` stands for. A manifest may leave out fields of the key that have
/// defaults, such as the protocol of a port.
fn position(items: &[Value], name: &str) -> Option<usize> {
    let (kind, rest) = name.split_once(':')?;
    match kind {
        "v" => {
            let member: Value = serde_json::from_str(rest).ok()?;
            items.iter().position(|item| *item == member)
        }
        "k" => {
            let key = key_of(name);
            let is = |item: &Value, count: &dyn Fn(usize) -> bool| {
                let found = key.iter().map(|(field, wanted)| item.get(field).map(|value| value == wanted));
                let found: Vec<Option<bool>> = found.collect();
                !found.contains(&Some(false)) && count(found.iter().flatten().count())
            };
            let exact = items.iter().position(|item| is(item, &|count| count == key.len()));
            exact.or_else(|| items.iter().position(|item| is(item, &|count| count > 0)))
        }
        "i" => rest.parse().ok().filter(|position| *position < items.len()),
        _ => None,
    }
}

fn is_empty(value: &Value) -> bool {
    value.as_object().is_some_and(Map::is_empty)
}

#[cfg(test)]
mod tests;
