//! The stored form of a status, which has the inventory in two lists.
//!
//! The inventory names objects before they are created (`docs/design/inventory.md`). An object that is only about to be
//! created is one string in `status.pending`, not an entry in `status.resources`. For a thousand objects this costs the
//! API server 15 ms instead of 250 ms (measured, 2 cores).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};

use super::{Condition, ResourceReference, Status, StatusPhase, sort_inventory};

/// Status of the managed resource.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Stored {
    /// Conditions represent the latest observations.
    conditions: Option<Vec<Condition>>,
    /// ObservedGeneration is the most recent generation that was carried out.
    observed_generation: Option<i64>,
    /// Resources is the inventory: every object that this ManagedResource holds.
    resources: Option<Vec<ResourceReference>>,
    /// Pending names the objects that are about to be created, as apiVersion/kind/namespace/name; they belong to the inventory, too. Holdfast only.
    pending: Option<Vec<String>>,
    /// SecretsDataChecksum is the checksum of the referenced Secrets' data.
    secrets_data_checksum: Option<String>,
    /// Phase says why the objects are not reconciled: Ignored because of the annotation, Deleting because the ManagedResource is being deleted or is of another class. Absent if they are reconciled. Holdfast only.
    phase: Option<StatusPhase>,
    /// ActivePauses names the objects of each pause that was active when the status was written. Holdfast only.
    active_pauses: Option<Vec<String>>,
}

impl From<Stored> for Status {
    fn from(stored: Stored) -> Self {
        let Stored { conditions, observed_generation, resources, pending, secrets_data_checksum, phase, active_pauses } =
            stored;
        let mut resources = resources.unwrap_or_default();
        if let Some(pending) = pending {
            let keys: std::collections::BTreeSet<_> = resources.iter().map(ResourceReference::object_key).collect();
            let pending = pending.iter().filter_map(|text| ResourceReference::from_pending(text));
            resources.extend(pending.filter(|reference| !keys.contains(&reference.object_key())));
            sort_inventory(&mut resources);
        }
        Self {
            conditions: conditions.unwrap_or_default(),
            observed_generation,
            resources,
            secrets_data_checksum,
            phase,
            active_pauses: active_pauses.unwrap_or_default(),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Written<'a> {
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    conditions: &'a [Condition],
    #[serde(skip_serializing_if = "Option::is_none")]
    observed_generation: Option<i64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    resources: Vec<&'a ResourceReference>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pending: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    secrets_data_checksum: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    phase: Option<StatusPhase>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    active_pauses: &'a [String],
}

impl Serialize for Status {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (pending, resources): (Vec<_>, Vec<_>) = self.resources.iter().partition(|reference| reference.pending);
        let written = Written {
            conditions: &self.conditions,
            observed_generation: self.observed_generation,
            resources,
            pending: pending.into_iter().map(ResourceReference::to_pending).collect(),
            secrets_data_checksum: self.secrets_data_checksum.as_deref(),
            phase: self.phase,
            active_pauses: &self.active_pauses,
        };
        written.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_about_to_be_created_stands_apart_and_belongs_to_the_inventory() {
        let stored = json!({
            "resources": [{"apiVersion": "v1", "kind": "ConfigMap", "namespace": "n", "name": "b"}],
            "pending": ["v1/ConfigMap/n/a", "v1/ConfigMap/n/b", "nonsense"],
        });
        let status: Status = serde_json::from_value(stored).unwrap();
        let found: Vec<_> = status.resources.iter().map(|found| (found.name.as_str(), found.pending)).collect();
        assert_eq!(found, [("a", true), ("b", false)]);
        let written = json!(status);
        assert_eq!(written["pending"], json!(["v1/ConfigMap/n/a"]));
        assert_eq!(written["resources"].as_array().unwrap().len(), 1);
        assert_eq!(json!(Status::default()), json!({}));
        let paused = json!({"phase": "Ignored", "activePauses": ["ConfigMap n/a"]});
        assert_eq!(json!(serde_json::from_value::<Status>(paused.clone()).unwrap()), paused);
    }
}
