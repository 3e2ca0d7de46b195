//! Whether an object still is what we last wrote, told from its metadata alone (design §5).
//!
//! Our Apply entry in `managedFields` lists the declared fields. A foreign change of one takes it out of our entry, a
//! forgery under our name moves the entry's `time`, and a forgery of `managedFields` moves the generation or, for kinds
//! without one, the resourceVersion. In sync means that none of the three moved.

use ring::digest;
use serde_json::Value;

use crate::{fields, foreign};

/// The first 128 bits of a SHA-256. Kept in memory only.
pub type Digest = [u8; 16];

/// Digest of a JSON value; object keys are sorted in `serde_json`'s default map, so equal values have equal digests.
pub fn digest(value: &Value) -> Digest {
    let hash = digest::digest(&digest::SHA256, value.to_string().as_bytes());
    let mut short = [0; 16];
    short.iter_mut().zip(hash.as_ref()).for_each(|(to, from)| *to = *from);
    short
}

/// What of an object's metadata tells drift.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    /// `metadata.uid`.
    pub uid: String,
    /// Digest of our Apply entry including its time; `None` when there is none.
    pub entry: Option<Digest>,
    /// `metadata.generation`; `None` for kinds without one.
    pub generation: Option<i64>,
    /// `metadata.resourceVersion`.
    pub resource_version: String,
    /// Deletion has begun.
    pub deleting: bool,
    /// All of `managedFields`, if others wrote fields that count in exact scope.
    pub foreign: Option<Vec<Value>>,
}

impl Observed {
    /// Reads an object of a kind, or its PartialObjectMetadata.
    pub fn of(object: &Value, kind: &str) -> Self {
        let metadata = &object["metadata"];
        let text = |field: &str| metadata[field].as_str().unwrap_or_default().to_owned();
        Self {
            uid: text("uid"),
            entry: fields::own_entry(object).map(digest),
            generation: metadata["generation"].as_i64().filter(|generation| *generation > 0),
            resource_version: text("resourceVersion"),
            deleting: !metadata["deletionTimestamp"].is_null(),
            foreign: metadata["managedFields"].as_array().filter(|all| foreign::has_foreign_fields(all, kind)).cloned(),
        }
    }

    /// Whether this state is older than `other`. Resource versions of one kind are ordered numbers; where they are not
    /// numbers nothing counts as older.
    fn is_older_than(&self, other: &Self) -> bool {
        match (self.resource_version.parse::<u64>(), other.resource_version.parse::<u64>()) {
            (Ok(own), Ok(theirs)) => own < theirs,
            _ => false,
        }
    }
}

/// What a watch has said last about an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Live {
    /// Nothing yet: no watch has listed the kind since the start.
    #[default]
    Unknown,
    /// It is not there, or no longer carries our label.
    Gone,
    /// Its metadata.
    Present(Observed),
}

/// What was recorded when we last wrote an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// Digest of the manifest that was written.
    pub manifest: Digest,
    /// The server's answer.
    pub observed: Observed,
}

/// What is to be done about an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nothing.
    InSync,
    /// It was never written by this process, or its manifest changed.
    Outdated,
    /// Somebody else changed it.
    Drifted,
    /// It is gone.
    Missing,
    /// It is being deleted; nothing is written to it.
    Terminating,
}

/// Compares what was written with what is there.
pub fn state(manifest: Digest, applied: Option<&Applied>, live: &Live) -> State {
    if matches!(live, Live::Present(observed) if observed.deleting) {
        return State::Terminating;
    }
    let Some(applied) = applied else { return State::Outdated };
    match live {
        Live::Gone => State::Missing,
        _ if applied.manifest != manifest => State::Outdated,
        // No watch has spoken yet, so our own answer is the newest there is.
        Live::Unknown => State::InSync,
        Live::Present(observed) if observed.is_older_than(&applied.observed) => State::InSync,
        Live::Present(observed) if is_same(&applied.observed, observed) => State::InSync,
        Live::Present(_) => State::Drifted,
    }
}

fn is_same(applied: &Observed, live: &Observed) -> bool {
    let unmoved = match (applied.generation, live.generation) {
        (Some(before), Some(now)) => before == now,
        _ => applied.resource_version == live.resource_version,
    };
    unmoved
        && applied.uid == live.uid
        && applied.entry == live.entry
        && live.entry.is_some()
        && applied.foreign == live.foreign
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(version: &str, generation: Option<i64>, time: &str) -> Value {
        json!({"metadata": {
            "uid": "u", "resourceVersion": version, "generation": generation,
            "managedFields": [
                {"manager": "kubectl", "operation": "Update", "fieldsV1": {}},
                {"manager": "holdfast", "operation": "Apply", "time": time, "fieldsV1": {"f:data": {"f:a": {}}}}
            ]
        }})
    }

    fn check(live: &Value, applied: &Value) -> State {
        let applied = Applied { manifest: [1; 16], observed: Observed::of(applied, "Widget") };
        state([1; 16], Some(&applied), &Live::Present(Observed::of(live, "Widget")))
    }

    #[test]
    fn each_kind_of_drift_shows() {
        let config_map = object("10", None, "t");
        let workload = object("10", Some(3), "t");
        let mut without_entry = object("11", Some(3), "t");
        without_entry["metadata"]["managedFields"].as_array_mut().unwrap().pop();
        let mut other_uid = object("11", Some(3), "t");
        other_uid["metadata"]["uid"] = json!("v");
        let mut dying = object("11", Some(3), "t");
        dying["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        let mut with_addition = object("11", Some(3), "t");
        with_addition["metadata"]["managedFields"][0]["fieldsV1"] = json!({"f:spec": {"f:extra": {}}});
        for (case, live, applied, expected) in [
            ("the same", &config_map, &config_map, State::InSync),
            ("status of a workload", &object("12", Some(3), "t"), &workload, State::InSync),
            ("spec of a workload", &object("12", Some(4), "t"), &workload, State::Drifted),
            ("anything of a config map", &object("12", None, "t"), &config_map, State::Drifted),
            ("forged under our name", &object("12", Some(3), "later"), &workload, State::Drifted),
            ("an event from before our write", &object("9", Some(2), "t"), &workload, State::InSync),
            ("our entry is gone", &without_entry, &workload, State::Drifted),
            ("deleted and created by somebody else", &other_uid, &workload, State::Drifted),
            ("a field added by somebody", &with_addition, &workload, State::Drifted),
            ("being deleted", &dying, &workload, State::Terminating),
        ] {
            assert_eq!(check(live, applied), expected, "{case}");
        }
    }

    #[test]
    fn without_a_watch_or_a_write_the_rest_decides() {
        let applied = Applied { manifest: [1; 16], observed: Observed::of(&object("1", None, "t"), "Widget") };
        for (manifest, applied, live, expected) in [
            ([1; 16], None, Live::Unknown, State::Outdated),
            ([1; 16], Some(&applied), Live::Unknown, State::InSync),
            ([2; 16], Some(&applied), Live::Unknown, State::Outdated),
            ([1; 16], Some(&applied), Live::Gone, State::Missing),
            ([1; 16], None, Live::Gone, State::Outdated),
        ] {
            assert_eq!(state(manifest, applied, &live), expected);
        }
    }
}
