//! Describes to people what others changed in an object: who, and which fields. It never shows values.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::ExternalFields;
use crate::{
    field_set::{self, FieldSet, Path},
    names, pause,
};

/// Most paths that a message lists for one object. It gives the number of further paths.
const MOST_PATHS: usize = 5;

/// A change by others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Names of the field managers, sorted. Empty if fields were only removed: the server records no manager for that.
    pub managers: Vec<String>,
    /// Fields that others set, and declared fields that are missing.
    pub paths: Vec<String>,
}

impl ExternalFields<'_> {
    /// Names of the managers whose fields count.
    pub fn managers(&self) -> Vec<&str> {
        let relevant = self.managed_fields.iter().filter(|entry| !self.relevant(entry).is_empty());
        let names: BTreeSet<&str> = relevant.filter_map(|entry| entry["manager"].as_str()).collect();
        names.into_iter().collect()
    }

    /// Compares the object with its manifest, and returns what others changed.
    pub fn change(&self, body: &Value) -> Change {
        let mut managers = BTreeSet::new();
        let mut paths = BTreeSet::new();
        for entry in
            self.managed_fields.iter().filter(|entry| !field_set::is_own(entry) && !pause::is_label_entry(entry))
        {
            let mut set = self.relevant(entry);
            // Declared metadata is ours, although all other metadata is theirs.
            let metadata = entry.pointer("/fieldsV1/f:metadata").map(|metadata| declared(metadata, &body["metadata"]));
            if let Some(Value::Object(metadata)) = metadata
                && !metadata.is_empty()
            {
                set.insert("f:metadata".to_owned(), Value::Object(metadata));
            }
            if set.is_empty() {
                continue;
            }
            managers.extend(entry["manager"].as_str());
            paths.extend(FieldSet::parse(&Value::Object(set)).leaves());
        }
        if let Some(own) = self.managed_fields.iter().find(|entry| field_set::is_own(entry)) {
            for field in ["spec", "data", "rules", "metadata"] {
                missing(&own["fieldsV1"][format!("f:{field}")], &body[field], &Path::of(&[field]), &mut paths);
            }
        }
        if pause::has_label(self.managed_fields) {
            // Holdfast set this label itself.
            paths.remove(&Path::of(&["metadata", "labels", names::LABEL_PROTECTION]));
        }
        Change {
            managers: managers.into_iter().map(str::to_owned).collect(),
            paths: paths.iter().map(ToString::to_string).collect(),
        }
    }
}

impl std::fmt::Display for Change {
    /// Prints, for example, `kubectl-edit: spec.replicas, spec.paused`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.managers.join(", "))?;
        if !self.managers.is_empty() && !self.paths.is_empty() {
            f.write_str(": ")?;
        }
        let shown: Vec<&str> = self.paths.iter().take(MOST_PATHS).map(String::as_str).collect();
        f.write_str(&shown.join(", "))?;
        match self.paths.len().saturating_sub(MOST_PATHS) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

/// Returns the part of a set whose fields exist in a value.
fn declared(set: &Value, value: &Value) -> Value {
    let Some(children) = set.as_object() else { return Value::Object(Map::new()) };
    let retained = children.iter().filter_map(|(name, child)| {
        let found = field_set::child(Some(value), name)?;
        let child_is_leaf = child.as_object().is_none_or(Map::is_empty);
        let retained = declared(child, found);
        let is_something = child_is_leaf || retained.as_object().is_some_and(|retained| !retained.is_empty());
        is_something.then(|| (name.clone(), retained))
    });
    Value::Object(retained.collect())
}

/// Collects declared fields of maps that left our set. Skips fields that others own by now, since those are listed as
/// theirs.
fn missing(set: &Value, value: &Value, path: &Path, paths: &mut BTreeSet<Path>) {
    let (Some(set), Some(value)) = (set.as_object(), value.as_object()) else { return };
    if set.is_empty() {
        // We own it as a whole.
        return;
    }
    for (name, child) in value {
        let child_path = path.field(name);
        match set.get(&format!("f:{name}")) {
            Some(owned) => missing(owned, child, &child_path, paths),
            // The server records no owner for the name and the namespace.
            None if ["metadata.name", "metadata.namespace"].contains(&child_path.to_string().as_str()) => {}
            None if child.is_null() || paths.iter().any(|other| other.is_below(&child_path)) => {}
            None => drop(paths.insert(child_path)),
        }
    }
}
