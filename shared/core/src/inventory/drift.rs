//! Decides from its metadata alone whether an object still is what we last wrote (`docs/design/drift.md`).
//!
//! Our Apply entry in `managedFields` lists the declared fields. A foreign change of a declared field removes it from
//! our entry. A forgery under our name changes the `time` of the entry. A forgery of `managedFields` changes the
//! generation or, for kinds without one, the resourceVersion. An object is in sync if none of the three has changed.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::Value;

use crate::{
    api::{Recorded, ResourceReference, Scope, Version},
    deletion,
    digest::{Digest, Key},
    field_ownership::{ManagedScope, external_fields::ExternalFields, preserve::Preserve, unmanaged::UnmanagedFields},
    field_set,
    manifest::annotations::ManagementMode,
    names, pause,
};

/// The metadata of an object that tells drift.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    /// `metadata.uid`.
    pub uid: String,
    /// Digest of our Apply entry with its time, and of the foreign entries that count in exact scope. `None` if we have
    /// no entry.
    pub entry: Option<Digest>,
    /// `metadata.generation`; `None` for kinds without one.
    pub generation: Option<i64>,
    /// `metadata.resourceVersion`.
    pub resource_version: String,
    /// The object is being deleted.
    pub deleting: bool,
    /// Whether the object asks to be kept when it is no longer declared. `None` if unknown: an inventory does not
    /// record it, and nobody has read the object since.
    pub keep_object: Option<bool>,
    /// Foreign finalizers will delay the deletion, as far as known.
    pub finalized: bool,
    /// Others wrote fields that count in exact scope.
    pub foreign: bool,
    /// The fields that were left to others at this time.
    pub preserve: Preserve,
    /// `metadata.managedFields`, as long as someone may need to explain a change; see [`Observed::forget_fields`].
    pub managed_fields: Vec<Value>,
}

#[cfg(test)]
impl Observed {
    /// An object that nobody but us has written.
    pub(crate) fn sample(resource_version: &str) -> Self {
        Self {
            uid: "u".into(),
            entry: Digest::parse("00112233445566778899aabbccddeeff"),
            generation: None,
            resource_version: resource_version.into(),
            deleting: false,
            keep_object: Some(false),
            finalized: false,
            foreign: false,
            preserve: Preserve::default(),
            managed_fields: vec![],
        }
    }
}

impl Observed {
    /// Reads the metadata of an object of this kind. `preserve` names the fields that are left to others. Only what
    /// `managed_scope` adds to exact scope matters here. Changes that do not count in declared scope are settled by an
    /// apply that changes nothing.
    pub fn of(metadata: ObjectMeta, kind: &str, preserve: Preserve, managed_scope: &ManagedScope, key: &Key) -> Self {
        let managed_fields: Vec<Value> =
            metadata.managed_fields.unwrap_or_default().into_iter().map(field_set::entry).collect();
        let unmanaged = UnmanagedFields::new(kind, preserve).ignoring(&managed_scope.ignored);
        let managed_scope = ManagedScope { scope: Scope::Exact, ..managed_scope.clone() };
        let external = ExternalFields::new(&managed_fields, kind, managed_scope).without(unmanaged);
        // All other foreign entries change without affecting us, such as with every status update.
        let relevant: Vec<&Value> =
            managed_fields.iter().filter(|entry| !external.relevant(entry).is_empty()).collect();
        let foreign = !relevant.is_empty();
        let relevant = foreign.then_some(relevant);
        let annotations = metadata.annotations.unwrap_or_default();
        Self {
            uid: metadata.uid.unwrap_or_default(),
            entry: field_set::own_entry_of(&managed_fields).and_then(|own| key.digest_of(&(own, relevant))),
            generation: metadata.generation.filter(|generation| *generation > 0),
            resource_version: metadata.resource_version.unwrap_or_default(),
            deleting: metadata.deletion_timestamp.is_some(),
            keep_object: Some(
                annotations.get(names::ANNOTATION_KEEP_OBJECT).is_some_and(|value| names::is_truthy(value)),
            ),
            finalized: deletion::any_external(metadata.finalizers.iter().flatten()),
            foreign,
            preserve,
            managed_fields,
        }
    }

    /// Frees the memory of `managedFields` once nobody needs to explain this state.
    pub fn forget_fields(&mut self) {
        self.managed_fields = Vec::new();
    }

    /// Whether the object carries the protection label of a pause.
    pub fn has_pause_label(&self) -> bool {
        pause::has_label(&self.managed_fields)
    }

    /// Whether nothing that counts happened between two states of an object. Status updates do not count. They change
    /// the resource version even of kinds with a generation.
    pub fn is_same_as(&self, other: &Self) -> bool {
        let unmoved = match (self.generation, other.generation) {
            (Some(own), Some(theirs)) => own == theirs,
            _ => self.resource_version == other.resource_version,
        };
        // Two missing entries count as equal. After somebody cleared our entry, a plain write that changes nothing does
        // not restore it.
        unmoved && self.uid == other.uid && self.entry == other.entry
    }

    /// Whether this state is older than `other`. Resource versions of one kind are ordered numbers. If they are not
    /// numbers, no state counts as older.
    pub fn is_older_than(&self, other: &Self) -> bool {
        match (self.resource_version.parse::<u64>(), other.resource_version.parse::<u64>()) {
            (Ok(own), Ok(theirs)) => own < theirs,
            _ => false,
        }
    }
}

/// The last report of a watch about an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Live {
    /// No report yet: no watch has listed the kind since the start.
    #[default]
    Unknown,
    /// The object does not exist, or has lost our label.
    Gone,
    /// The metadata of the object.
    Present(Observed),
}

/// The record of our last write of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// Digest of the manifest that was written.
    pub manifest: Digest,
    /// The management mode at that time.
    pub management_mode: ManagementMode,
    /// The server's answer.
    pub observed: Observed,
}

impl Applied {
    /// Restores the record from an inventory. Returns `None` if the inventory has too little. So a restart applies only
    /// objects that have changed meanwhile.
    pub fn recall(reference: &ResourceReference) -> Option<Self> {
        let Recorded { uid, version, manifest, entry } = reference.state.as_ref()?;
        let (generation, resource_version) = match version {
            Version::Generation(number) => (Some(*number), String::new()),
            Version::Resource(text) => (None, text.to_string()),
        };
        let observed = Observed {
            uid: uid.to_string(),
            entry: (*entry != Digest::default()).then_some(*entry),
            generation,
            resource_version,
            deleting: false,
            keep_object: None,
            finalized: false,
            foreign: false,
            preserve: Preserve::remembered(reference),
            managed_fields: Vec::new(),
        };
        let management_mode = ManagementMode::of(|name| reference.annotations.get(name)).unwrap_or_default();
        Some(Self { manifest: *manifest, management_mode, observed })
    }

    /// Saves what [`Self::recall`] restores in an inventory. Saves nothing if that would not suffice.
    pub fn remember(&self, reference: &mut ResourceReference) {
        let Observed { uid, entry, generation, resource_version, .. } = &self.observed;
        let version =
            generation.map_or_else(|| Version::Resource(resource_version.as_str().into()), Version::Generation);
        let manifest = self.manifest;
        reference.pending = false;
        // An unmanaged object may have been created by somebody else, without an entry of ours.
        let entry = entry.or_else(|| (!self.management_mode.is_managed()).then(Digest::default));
        reference.state = entry.map(|entry| Recorded { uid: uid.as_str().into(), version, manifest, entry });
    }
}

/// Records in an inventory that the last write of an object failed, so that the next leader writes it again. Clears the
/// manifest's digest, and keeps all other values as a guard.
pub fn owe(reference: &mut ResourceReference) {
    if let Some(recorded) = &mut reference.state {
        recorded.manifest = Digest::default();
    }
}

/// The state of an object compared with its manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nothing to do.
    InSync,
    /// No write is recorded, or the manifest has changed since.
    Outdated,
    /// Somebody else changed it.
    Drifted,
    /// It is gone. Its manifest has not changed since the last write.
    Missing,
    /// It is being deleted, and must not be written.
    Terminating,
    /// Somebody else changes it again and again, and its next repair is not due yet.
    Contended,
}

/// Compares the last write with the live object.
pub fn state(manifest: Digest, applied: Option<&Applied>, live: &Live) -> State {
    if matches!(live, Live::Present(observed) if observed.deleting) {
        return State::Terminating;
    }
    let Some(applied) = applied else { return State::Outdated };
    match live {
        // This comes first, even for a deleted object: `repair: Resync` leaves a foreign deletion for the next sync, but
        // not if the manifest has changed since.
        _ if applied.manifest != manifest => State::Outdated,
        // A create-only object carries nothing of ours, so no watch reports it.
        _ if applied.management_mode == ManagementMode::CreateOnly => State::InSync,
        Live::Gone => State::Missing,
        _ if !applied.management_mode.is_managed() => State::InSync,
        // No watch has reported yet, so our own answer is the latest state.
        Live::Unknown => State::InSync,
        Live::Present(observed) if observed.is_older_than(&applied.observed) => State::InSync,
        Live::Present(observed) if observed.is_same_as(&applied.observed) => State::InSync,
        Live::Present(_) => State::Drifted,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;

    const AT: &str = "2026-01-01T00:00:00Z";
    const LATER: &str = "2026-01-01T00:00:01Z";

    fn key() -> Key {
        Key::new(&[7; 32])
    }

    fn one() -> Digest {
        key().digest(&json!(1))
    }

    fn object(version: &str, generation: Option<i64>, time: &str) -> Value {
        json!({"metadata": {
            "uid": "u", "resourceVersion": version, "generation": generation,
            "managedFields": [
                {"manager": "kubectl", "operation": "Update", "fieldsV1": {}},
                {"manager": "holdfast", "operation": "Apply", "time": time, "fieldsV1": {"f:data": {"f:a": {}}}}
            ]
        }})
    }

    fn observed(object: &Value) -> Observed {
        let metadata = serde_json::from_value(object["metadata"].clone()).unwrap();
        Observed::of(metadata, "Widget", Preserve::default(), &ManagedScope::default(), &key())
    }

    fn check(live: &Value, applied: &Value) -> State {
        let applied =
            Applied { manifest: one(), management_mode: ManagementMode::Reconcile, observed: observed(applied) };
        state(one(), Some(&applied), &Live::Present(observed(live)))
    }

    #[test]
    fn each_kind_of_drift_shows() {
        let config_map = object("10", None, AT);
        let workload = object("10", Some(3), AT);
        let mut without_entry = object("11", Some(3), AT);
        without_entry["metadata"]["managedFields"].as_array_mut().unwrap().pop();
        let cleared = json!({"metadata": {"uid": "u", "resourceVersion": "10", "managedFields": []}});
        let mut other_uid = object("11", Some(3), AT);
        other_uid["metadata"]["uid"] = json!("v");
        let mut terminating = object("11", Some(3), AT);
        terminating["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        let mut with_addition = object("11", Some(3), AT);
        with_addition["metadata"]["managedFields"][0]["fieldsV1"] = json!({"f:spec": {"f:extra": {}}});
        for (case, live, applied, expected) in [
            ("the same", &config_map, &config_map, State::InSync),
            ("status of a workload", &object("12", Some(3), AT), &workload, State::InSync),
            ("spec of a workload", &object("12", Some(4), AT), &workload, State::Drifted),
            ("anything of a config map", &object("12", None, AT), &config_map, State::Drifted),
            ("forged under our name", &object("12", Some(3), LATER), &workload, State::Drifted),
            ("an event from before our write", &object("9", Some(2), AT), &workload, State::InSync),
            ("our entry is gone", &without_entry, &workload, State::Drifted),
            ("written plainly after our entry was cleared", &cleared, &cleared, State::InSync),
            ("cleared", &cleared, &config_map, State::Drifted),
            ("deleted and created by somebody else", &other_uid, &workload, State::Drifted),
            ("a field added by somebody", &with_addition, &workload, State::Drifted),
            ("being deleted", &terminating, &workload, State::Terminating),
        ] {
            assert_eq!(check(live, applied), expected, "{case}");
        }
    }

    #[test]
    fn without_a_watch_or_a_write_the_rest_decides() {
        let applied = Applied {
            manifest: one(),
            management_mode: ManagementMode::Reconcile,
            observed: observed(&object("1", None, AT)),
        };
        for (manifest, applied, live, expected) in [
            (one(), None, Live::Unknown, State::Outdated),
            (one(), Some(&applied), Live::Unknown, State::InSync),
            (Digest::default(), Some(&applied), Live::Unknown, State::Outdated),
            (one(), Some(&applied), Live::Gone, State::Missing),
            (Digest::default(), Some(&applied), Live::Gone, State::Outdated),
            (one(), None, Live::Gone, State::Outdated),
        ] {
            assert_eq!(state(manifest, applied, &live), expected);
        }
    }

    #[test]
    fn what_others_may_change_does_not_drift() {
        let seen = |time: &str| Live::Present(observed(&object("9", None, time)));
        for (management_mode, live, manifest, expected) in [
            (ManagementMode::EnsureExists, seen(LATER), one(), State::InSync),
            (ManagementMode::EnsureExists, Live::Gone, one(), State::Missing),
            (ManagementMode::EnsureExists, seen(LATER), Digest::default(), State::Outdated),
            (ManagementMode::CreateOnly, seen(LATER), one(), State::InSync),
            (ManagementMode::CreateOnly, Live::Gone, one(), State::InSync),
            (ManagementMode::CreateOnly, Live::Gone, Digest::default(), State::Outdated),
            (ManagementMode::Reconcile, seen(LATER), one(), State::Drifted),
        ] {
            let observed = observed(&object("1", None, AT));
            let applied = Applied { manifest: one(), management_mode, observed };
            assert_eq!(state(manifest, Some(&applied), &live), expected, "{management_mode:?} {live:?}");
        }
    }

    #[test]
    fn inventories_remember_what_was_applied() {
        for generation in [None, Some(3)] {
            let applied = Applied {
                manifest: one(),
                management_mode: ManagementMode::Reconcile,
                observed: observed(&object("5", generation, AT)),
            };
            let mut reference = ResourceReference::default();
            applied.remember(&mut reference);
            let recalled = Applied::recall(&reference).unwrap();
            assert_eq!(
                (applied.observed.keep_object, recalled.observed.keep_object),
                (Some(false), None),
                "only the object tells"
            );
            assert_eq!(state(one(), Some(&recalled), &Live::Present(applied.observed.clone())), State::InSync);
            let written = serde_json::to_string(&reference).unwrap();
            assert_eq!(serde_json::from_str::<ResourceReference>(&written).unwrap(), reference);
            owe(&mut reference);
            let recalled = Applied::recall(&reference).unwrap();
            for live in [Live::Unknown, Live::Gone, Live::Present(applied.observed.clone())] {
                assert_eq!(state(one(), Some(&recalled), &live), State::Outdated, "a write of it failed: {live:?}");
            }
            assert_eq!(recalled.observed.uid, applied.observed.uid, "the guard stays");
        }
        assert_eq!(Applied::recall(&ResourceReference::default()), None);
        owe(&mut ResourceReference::default());

        // An object that somebody else created may have no entry of ours.
        let observed = observed(&json!({"metadata": {"uid": "u", "generation": 1}}));
        for (management_mode, annotation) in
            [(ManagementMode::CreateOnly, "true"), (ManagementMode::Reconcile, "false")]
        {
            let applied = Applied {
                manifest: one(),
                management_mode,
                observed: Observed { managed_fields: vec![], keep_object: None, ..observed.clone() },
            };
            let annotations = BTreeMap::from([(names::ANNOTATION_IGNORE.to_owned(), annotation.to_owned())]);
            let mut reference = ResourceReference { annotations: annotations.into(), ..ResourceReference::default() };
            applied.remember(&mut reference);
            assert_eq!(Applied::recall(&reference), (!management_mode.is_managed()).then_some(applied));
        }
    }
}
