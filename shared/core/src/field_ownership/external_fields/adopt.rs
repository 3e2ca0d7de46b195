//! Adoption of foreign fields, as a patch of `metadata.managedFields`.

use serde_json::{Map, Value, json};

use super::ExternalFields;
use crate::{
    field_set::{self, is_bare, merge},
    names,
};

/// Foreign fields that were written through another apiVersion than our manifest's.
///
/// An apply compares fields within one version. So these fields would stay if they moved into our own entry (measured).
/// Instead they move to a manager that exists only for this, and an empty apply by this manager in their version
/// removes them.
#[derive(Clone, Debug, PartialEq)]
pub struct OtherVersion {
    /// The other apiVersion.
    pub api_version: String,
    /// The `managedFields` in which [`names::REMOVAL_MANAGER`] owns these fields.
    pub managed_fields: Vec<Value>,
}

impl ExternalFields<'_> {
    /// Returns the `managedFields` after adoption, with all foreign fields that count in our own Apply entry. Returns
    /// `None` if no field counts, or if we have no Apply entry of that apiVersion yet (apply first).
    pub fn adopted(&self) -> Option<Vec<Value>> {
        let own = self.managed_fields.iter().find(|entry| field_set::is_own_apply(entry))?;
        let (mut rest, moved) = self.take(|entry| entry.get("apiVersion") == own.get("apiVersion"));
        let moved = moved?;
        let own = rest.iter_mut().find(|entry| field_set::is_own_apply(entry))?;
        merge(own.get_mut("fieldsV1")?, &moved);
        Some(rest)
    }

    /// Returns the foreign fields that count and have another apiVersion than our manifest. Returns only the first such
    /// version.
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

    /// Removes the fields that count from the entries that `meant` accepts. Returns the remaining entries, and the
    /// union of the removed fields.
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

/// Returns the patch that replaces `managedFields`, guarded by the resource version. The server would answer a failed
/// `test` operation with a vague 422.
pub fn adoption_patch(managed_fields: &[Value], resource_version: &str) -> Value {
    json!([
        { "op": "replace", "path": "/metadata/managedFields", "value": managed_fields },
        { "op": "replace", "path": "/metadata/resourceVersion", "value": resource_version },
    ])
}

/// Removes `taken` from a set, with containers that become empty.
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
