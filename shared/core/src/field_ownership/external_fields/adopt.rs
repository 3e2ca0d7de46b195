//! How foreign fields become ours, as a patch of `metadata.managedFields`.

use serde_json::{Map, Value, json};

use super::ExternalFields;
use crate::{
    field_set::{self, is_bare, merge},
    names,
};

/// Fields that others wrote through an apiVersion that is not the one of our manifest. Moved into our own entry they would
/// stay in place (measured), because an apply compares within one version. So they become those of a manager that exists
/// for nothing else, and an apply of nothing by that manager, through their version, removes them.
#[derive(Clone, Debug, PartialEq)]
pub struct OtherVersion {
    /// The apiVersion.
    pub api_version: String,
    /// The `managedFields` in which the fields belong to [`names::REMOVAL_MANAGER`].
    pub managed_fields: Vec<Value>,
}

impl ExternalFields<'_> {
    /// The `managedFields` after adoption: what counts is part of our own Apply entry. `None` when nothing counts, or when
    /// we have no Apply entry of that apiVersion yet (apply first).
    pub fn adopted(&self) -> Option<Vec<Value>> {
        let own = self.managed_fields.iter().find(|entry| field_set::is_own_apply(entry))?;
        let (mut rest, moved) = self.take(|entry| entry.get("apiVersion") == own.get("apiVersion"));
        let moved = moved?;
        let own = rest.iter_mut().find(|entry| field_set::is_own_apply(entry))?;
        merge(own.get_mut("fieldsV1")?, &moved);
        Some(rest)
    }

    /// What counts and was written through another apiVersion than our manifest's: the first such version.
    pub fn other_version(&self) -> Option<OtherVersion> {
        let own = self.managed_fields.iter().find(|entry| field_set::is_own_apply(entry))?;
        let other = self
            .managed_fields
            .iter()
            .find(|entry| entry.get("apiVersion") != own.get("apiVersion") && !self.relevant(entry).is_empty())?;
        let api_version = other["apiVersion"].as_str()?.to_owned();
        let (mut managed_fields, moved) = self.take(|entry| entry["apiVersion"] == *api_version);
        managed_fields.push(json!({
            "manager": names::REMOVAL_MANAGER,
            "operation": "Apply",
            "apiVersion": api_version,
            "time": other["time"],
            "fieldsType": "FieldsV1",
            "fieldsV1": moved?,
        }));
        Some(OtherVersion { api_version, managed_fields })
    }

    /// The entries less what counts in those that are `meant`, and that, merged.
    fn take(&self, meant: impl Fn(&Value) -> bool) -> (Vec<Value>, Option<Value>) {
        let mut rest = Vec::with_capacity(self.managed_fields.len());
        let mut moved = None;
        for entry in self.managed_fields {
            let taken = if meant(entry) { self.relevant(entry) } else { Map::new() };
            if taken.is_empty() {
                rest.push(entry.clone());
                continue;
            }
            let taken = Value::Object(taken);
            merge(moved.get_or_insert_with(|| json!({})), &taken);
            let mut remaining = entry["fieldsV1"].clone();
            subtract(&mut remaining, &taken);
            if remaining.as_object().is_some_and(|remaining| !remaining.is_empty()) {
                let mut entry = entry.clone();
                entry["fieldsV1"] = remaining;
                rest.push(entry);
            }
        }
        (rest, moved)
    }
}

/// The patch that puts `managed_fields` in place, guarded by the resource version (a `test` operation would be answered
/// with a vague 422).
pub fn adoption_patch(managed_fields: &[Value], resource_version: &str) -> Value {
    json!([
        { "op": "replace", "path": "/metadata/managedFields", "value": managed_fields },
        { "op": "replace", "path": "/metadata/resourceVersion", "value": resource_version },
    ])
}

/// Removes `taken` from a set; containers go when nothing is left in them.
fn subtract(set: &mut Value, taken: &Value) {
    let (Value::Object(set), Value::Object(taken)) = (set, taken) else { return };
    for (name, child) in taken {
        let is_leaf = child.as_object().is_none_or(Map::is_empty);
        let is_empty = set.get_mut(name).is_some_and(|own| {
            subtract(own, child);
            is_leaf || own.as_object().is_none_or(is_bare)
        });
        if is_empty {
            set.remove(name);
        }
    }
}
