//! FieldsV1: which fields a manager owns, and whether an edit touches them.
//!
//! This is the format of `metadata.managedFields[].fieldsV1` (kubernetes-sigs/structured-merge-diff). `f:` names a
//! field, `k:` an element of a keyed list, `v:` a member of a set, `i:` an index, and `.` the container itself. A node
//! without children is owned as a whole.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use serde_json::{Map, Value};

use crate::names;

mod differ;
mod element;
mod pattern;
mod reassign;
mod restore;
mod union;
mod walk;

pub use differ::differences;
pub(crate) use differ::differences_in;
pub(crate) use pattern::Pattern;
pub(crate) use reassign::settled;
pub(crate) use restore::restored;
pub(crate) use union::{is_bare, merge, union};
pub(crate) use walk::{Found, Owners, Treatment, Walk, take};

use element::position;

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// A field of a map.
    Field(String),
    /// An element of a keyed list, by the JSON text of its key fields.
    Key(String),
    /// A member of a set, by its JSON text.
    Member(String),
    /// An element of a list, by its position.
    Index(usize),
}

/// A path into an object. It prints the way people write it: `spec.template.spec.containers[name=app].image`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Path(Vec<Step>);

impl Path {
    /// Creates a path of plain fields.
    pub fn of(fields: &[&str]) -> Self {
        Self(fields.iter().map(|field| Step::Field((*field).to_owned())).collect())
    }

    /// Appends a field to the path.
    #[must_use]
    pub fn field(&self, name: &str) -> Self {
        self.child(Step::Field(name.to_owned()))
    }

    /// Returns the value at this path in an object.
    pub fn find<'a>(&self, object: &'a Value) -> Option<&'a Value> {
        self.0.iter().try_fold(object, lookup)
    }

    fn child(&self, step: Step) -> Self {
        let mut steps = self.0.clone();
        steps.push(step);
        Self(steps)
    }

    /// Whether this path is strictly below `other`.
    pub fn is_below(&self, other: &Self) -> bool {
        self.0.len() > other.0.len() && self.0.starts_with(&other.0)
    }

    /// Whether `paths` contains this path, or one above or below it.
    pub(crate) fn is_related_to(&self, paths: &BTreeSet<Self>) -> bool {
        // Paths below this one directly follow it in the order.
        let next = paths.range(self..).next();
        next.is_some_and(|next| next.0.starts_with(&self.0))
            || (0..self.0.len()).any(|depth| paths.contains(&Self(self.0.iter().take(depth).cloned().collect())))
    }

    /// Returns the top-level field that contains the path. Within `metadata`, returns the field of the metadata.
    #[must_use]
    pub fn top(&self) -> Self {
        let depth = if self.starts_with(&["metadata"]) { 2 } else { 1 };
        Self(self.0.iter().take(depth).cloned().collect())
    }

    /// Whether the path starts with these fields.
    pub fn starts_with(&self, fields: &[&str]) -> bool {
        self.0.len() >= fields.len()
            && self.0.iter().zip(fields).all(|(step, field)| matches!(step, Step::Field(name) if name == field))
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, step) in self.0.iter().enumerate() {
            match step {
                Step::Field(name) if name.contains(['.', '/', ' ']) => write!(f, "[{name}]")?,
                Step::Field(name) if position == 0 => f.write_str(name)?,
                Step::Field(name) => write!(f, ".{name}")?,
                Step::Key(text) => write!(f, "[{}]", key_text(text))?,
                Step::Member(text) => write!(f, "[={}]", text.trim_matches('"'))?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

/// Prints `{"name":"app"}` as `name=app`.
fn key_text(json: &str) -> String {
    let Ok(Value::Object(key)) = serde_json::from_str(json) else { return json.to_owned() };
    let parts: Vec<String> = key
        .iter()
        .map(|(name, value)| match value {
            Value::String(text) => format!("{name}={text}"),
            other => format!("{name}={other}"),
        })
        .collect();
    parts.join(",")
}

/// A set of owned fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSet {
    children: BTreeMap<Step, FieldSet>,
}

impl FieldSet {
    /// Parses `fieldsV1`. Skips what it does not understand: the server writes it, and a newer server may know more.
    pub fn parse(fields: &Value) -> Self {
        let Value::Object(map) = fields else { return Self::default() };
        let children = map.iter().filter_map(|(name, value)| Some((step(name)?, Self::parse(value)))).collect();
        Self { children }
    }

    /// Whether the set is empty.
    pub fn is_empty(&self) -> bool {
        self.children.is_empty()
    }

    /// Returns every field that is owned as a whole, in order.
    pub fn leaves(&self) -> BTreeSet<Path> {
        let mut leaves = BTreeSet::new();
        self.collect_leaves(&Path::default(), &mut leaves);
        leaves
    }

    fn collect_leaves(&self, path: &Path, leaves: &mut BTreeSet<Path>) {
        if self.children.is_empty() {
            leaves.insert(path.clone());
        }
        for (step, set) in &self.children {
            set.collect_leaves(&path.child(step.clone()), leaves);
        }
    }

    /// Returns the owned fields whose values differ between two states of an object.
    ///
    /// A container that vanished is one path, not one for each of its fields. A list is a path of its own if the order
    /// of its owned elements differs, since an apply restores its own order. Values are compared, never printed.
    pub fn changed(&self, old: &Value, new: &Value) -> Vec<Path> {
        let mut paths = Vec::new();
        if old != new {
            self.collect(Some(old), Some(new), &Path::default(), &mut paths);
        }
        paths
    }

    /// Compares two values that differ.
    fn collect(&self, old: Option<&Value>, new: Option<&Value>, path: &Path, changed: &mut Vec<Path>) {
        if self.children.is_empty() {
            if leaf_differs(old, new) {
                changed.push(path.clone());
            }
            return;
        }
        if old.is_some() && new.is_none() {
            changed.push(path.clone());
            return;
        }
        if self.is_reordered(old, new) {
            changed.push(path.clone());
        }
        for (step, set) in &self.children {
            let [old, new] = [old, new].map(|state| state.and_then(|value| lookup(value, step)));
            if old != new {
                set.collect(old, new, &path.child(step.clone()), changed);
            }
        }
    }
}

impl FieldSet {
    /// Whether owned elements that both lists contain are in another order.
    fn is_reordered(&self, old: Option<&Value>, new: Option<&Value>) -> bool {
        let (Some(Value::Array(old)), Some(Value::Array(new))) = (old, new) else { return false };
        let places = self.children.keys().filter_map(|step| Some((position(old, step)?, position(new, step)?)));
        let mut places: Vec<(usize, usize)> = places.collect();
        places.sort_unstable();
        !places.is_sorted_by_key(|(_, after)| *after)
    }
}

/// Returns the fields that are owned as a whole in only one of two sets. Skips subtrees that are equal.
pub(crate) fn leaves_apart(one: &Value, other: &Value) -> [BTreeSet<Path>; 2] {
    let mut apart = [BTreeSet::new(), BTreeSet::new()];
    let empty = Map::new();
    let [one, other] = [one, other].map(|fields| fields.as_object().unwrap_or(&empty));
    collect_apart(one, other, &Path::default(), &mut apart);
    apart
}

fn collect_apart(one: &Map<String, Value>, other: &Map<String, Value>, path: &Path, apart: &mut [BTreeSet<Path>; 2]) {
    for name in one.keys().chain(other.keys().filter(|name| !one.contains_key(*name))) {
        let sets = [one.get(name), other.get(name)];
        let Some(path) = step(name).filter(|_| sets[0] != sets[1]).map(|step| path.child(step)) else { continue };
        if let [Some(one), Some(other)] = sets.map(|set| set.and_then(Value::as_object).filter(|set| has_fields(set))) {
            collect_apart(one, other, &path, apart);
            continue;
        }
        for (set, leaves) in sets.into_iter().zip(apart.iter_mut()) {
            if let Some(set) = set {
                FieldSet::parse(set).collect_leaves(&path, leaves);
            }
        }
    }
}

fn has_fields(set: &Map<String, Value>) -> bool {
    set.keys().any(|name| step(name).is_some())
}

/// A declared empty map (`emptyDir: {}`) is owned as a leaf, but what others add below it is theirs.
fn leaf_differs(old: Option<&Value>, new: Option<&Value>) -> bool {
    match (old, new) {
        (Some(Value::Object(before)), Some(Value::Object(_))) if before.is_empty() => false,
        (before, after) => before != after,
    }
}

fn step(name: &str) -> Option<Step> {
    let (kind, rest) = name.split_once(':')?;
    match kind {
        "f" => Some(Step::Field(rest.to_owned())),
        "k" => Some(Step::Key(rest.to_owned())),
        "v" => Some(Step::Member(rest.to_owned())),
        "i" => rest.parse().ok().map(Step::Index),
        _ => None,
    }
}

fn lookup<'a>(value: &'a Value, step: &Step) -> Option<&'a Value> {
    match step {
        Step::Field(name) => value.get(name),
        Step::Index(index) => value.get(index),
        Step::Member(_) | Step::Key(_) => {
            let items = value.as_array()?;
            items.get(position(items, step)?)
        }
    }
}

/// Returns the part of `value` that a name in `fieldsV1` refers to.
pub fn child<'a>(value: Option<&'a Value>, name: &str) -> Option<&'a Value> {
    lookup(value?, &step(name)?)
}

/// Returns a field of an object's metadata.
pub fn metadata<'a>(object: &'a Value, field: &str) -> Option<&'a Value> {
    object.get("metadata")?.get(field)
}

/// Returns the entries of an object's `managedFields`.
pub(crate) fn entries(object: &Value) -> &[Value] {
    metadata(object, "managedFields").and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// Returns Holdfast's own entry in an object's `managedFields`: the one of apply, or else the one of a plain write (the
/// fallback). Ignores entries of subresources.
pub fn own_entry(object: &Value) -> Option<&Value> {
    own_entry_of(entries(object))
}

/// Like [`own_entry`], but takes the `managedFields` themselves.
pub fn own_entry_of(entries: &[Value]) -> Option<&Value> {
    entries.iter().find(|entry| is_own_apply(entry)).or_else(|| entries.iter().find(|entry| is_own(entry)))
}

/// Converts an entry to JSON. The field set is large, so it is moved instead of serialized and parsed.
pub(crate) fn entry(entry: ManagedFieldsEntry) -> Value {
    let ManagedFieldsEntry { api_version, fields_type, fields_v1, manager, operation, subresource, time } = entry;
    let texts = [
        ("apiVersion", api_version),
        ("fieldsType", fields_type),
        ("manager", manager),
        ("operation", operation),
        ("subresource", subresource),
    ];
    let texts = texts.into_iter().filter_map(|(name, text)| Some((name.to_owned(), Value::String(text?))));
    let time = time.and_then(|time| Some(("time".to_owned(), serde_json::to_value(time).ok()?)));
    let fields = fields_v1.map(|fields| ("fieldsV1".to_owned(), fields.0));
    Value::Object(texts.chain(time).chain(fields).collect())
}

/// Whether Holdfast has written any entry.
pub fn has_own_entry(object: &Value) -> bool {
    entries(object).iter().any(|entry| entry["manager"] == names::FIELD_MANAGER)
}

/// Whether an entry of `managedFields` is Holdfast's own, of the main resource.
pub fn is_own(entry: &Value) -> bool {
    entry["manager"] == names::FIELD_MANAGER
        && entry.get("subresource").and_then(Value::as_str).is_none_or(str::is_empty)
}

/// Whether an entry of `managedFields` is Holdfast's own, of the main resource, and made by apply.
pub fn is_own_apply(entry: &Value) -> bool {
    is_own(entry) && entry["operation"] == "Apply"
}

#[cfg(test)]
mod tests;
