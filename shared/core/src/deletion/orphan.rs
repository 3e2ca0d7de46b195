//! Orphaned objects (annotation `mode: Ignore`): they stay, but lose our labels, annotations and field ownership.

use serde_json::{Value, json};

use crate::{
    api::Mode, field_ownership::adoption_policy, field_set, key::NamespacedName, manifest::annotations::ManagementMode,
    names,
};

/// Marks that Holdfast removes, with the map that has them.
const OWNERSHIP_METADATA: [(&str, &str); 3] = [
    ("annotations", names::ANNOTATION_ORIGIN),
    ("annotations", names::ANNOTATION_DESCRIPTION),
    ("labels", names::LABEL_PROTECTION),
];

/// Returns the JSON patch that removes our marks and our field ownership from a live object, guarded by its resource
/// version. Returns `None` if the object does not belong to this ManagedResource, is being deleted, or has no marks
/// left.
pub fn patch(live: &Value, mr: &NamespacedName, cluster_id: &str) -> Option<Value> {
    let metadata = &live["metadata"];
    if !adoption_policy::is_ours(live, mr, cluster_id) || !metadata["deletionTimestamp"].is_null() {
        return None;
    }
    let entries = field_set::entries(live);
    let mut external: Vec<Value> =
        entries.iter().filter(|entry| !adoption_policy::is_of_ours(entry)).cloned().collect();
    let mut patch = removals(metadata, &OWNERSHIP_METADATA);
    if external.len() < entries.len() {
        if external.is_empty() {
            // The server treats an empty list as not given.
            external.push(json!({}));
        }
        patch.push(json!({ "op": "replace", "path": "/metadata/managedFields", "value": external }));
    }
    guarded(patch, metadata)
}

/// Returns the JSON patch for an object that is left to a garbage collector. It removes the protection and the
/// description. Our origin and our fields stay, so the object is ours when a manifest declares it again. Returns `None`
/// like [`patch`].
pub fn patch_collectable(live: &Value, mr: &NamespacedName, cluster_id: &str) -> Option<Value> {
    let is_ours = adoption_policy::is_ours(live, mr, cluster_id);
    is_ours.then(|| patch_unheld(live, ManagementMode::CreateOnly)).flatten()
}

/// Returns the JSON patch for an object that is no longer managed, so that it does not claim to be. Returns `None` if
/// it claims nothing.
pub fn patch_unheld(live: &Value, management_mode: ManagementMode) -> Option<Value> {
    let metadata = &live["metadata"];
    if management_mode.is_managed() || !metadata["deletionTimestamp"].is_null() {
        return None;
    }
    let mut patch = removals(metadata, &[("annotations", names::ANNOTATION_DESCRIPTION)]);
    let label = ("labels", names::LABEL_PROTECTION);
    let off = Mode::Off.label();
    if management_mode == ManagementMode::CreateOnly {
        patch.extend(removals(metadata, &[label]));
    } else if metadata["labels"].get(label.1).is_some_and(|mode| mode != off) {
        // Others may change the object, but a watch must report its deletion.
        patch.push(json!({ "op": "replace", "path": path(label), "value": off }));
    }
    guarded(patch, metadata)
}

fn removals(metadata: &Value, entries: &[(&str, &str)]) -> Vec<Value> {
    let present = entries.iter().filter(|(map, name)| metadata[map].get(name).is_some());
    present.map(|mark| json!({ "op": "remove", "path": path(*mark) })).collect()
}

fn path((map, name): (&str, &str)) -> String {
    format!("/metadata/{map}/{}", name.replace('/', "~1"))
}

/// Makes the server answer 409 if the object has changed since.
fn guarded(mut patch: Vec<Value>, metadata: &Value) -> Option<Value> {
    if patch.is_empty() {
        return None;
    }
    let version = &metadata["resourceVersion"];
    patch.push(json!({ "op": "replace", "path": "/metadata/resourceVersion", "value": version }));
    Some(Value::Array(patch))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(origin: Option<&str>, managers: &[&str]) -> Value {
        let entries: Vec<_> = managers.iter().map(|manager| json!({ "manager": manager })).collect();
        json!({"metadata": {
            "resourceVersion": "7",
            "labels": {names::LABEL_PROTECTION: "deny", names::LABEL_MANAGED_BY: "gardener"},
            "annotations": {names::ANNOTATION_ORIGIN: origin, names::ANNOTATION_DESCRIPTION: "x", "own": "y"},
            "managedFields": entries,
        }})
    }

    fn paths(patch: &Value) -> Vec<&str> {
        patch.as_array().unwrap().iter().map(|op| op["path"].as_str().unwrap()).collect()
    }

    #[test]
    fn only_what_is_ours_comes_off_and_only_from_what_is_ours() {
        let mr = NamespacedName::new("n", "a");
        let ownership = [
            "/metadata/annotations/resources.gardener.cloud~1origin",
            "/metadata/annotations/resources.gardener.cloud~1description",
            "/metadata/labels/resources.gardener.cloud~1protection",
        ];
        let (fields, version) = ("/metadata/managedFields", "/metadata/resourceVersion");
        let both = patch(&object(Some("n/a"), &["holdfast", "kubectl", "holdfast-released"]), &mr, "").unwrap();
        assert_eq!(paths(&both), [&ownership[..], &[fields, version]].concat());
        assert_eq!(both[3]["value"], json!([{"manager": "kubectl"}]));
        let alone = patch(&object(Some("n/a"), &["holdfast"]), &mr, "").unwrap();
        assert_eq!(alone[3]["value"], json!([{}]));
        let original = patch(&object(Some("n/a"), &["gardener-resource-manager"]), &mr, "").unwrap();
        assert_eq!(paths(&original), [&ownership[..], &[version]].concat());

        assert_eq!(patch(&object(Some("n/b"), &["holdfast"]), &mr, ""), None, "another ManagedResource's");
        assert_eq!(patch(&object(Some("c:n/a"), &["holdfast"]), &mr, ""), None, "another cluster's");
        let mut terminating = object(Some("n/a"), &["holdfast"]);
        terminating["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        assert_eq!(patch(&terminating, &mr, ""), None);
        assert_eq!(patch_unheld(&terminating, ManagementMode::CreateOnly), None);
        assert_eq!(patch(&json!({"metadata": {"annotations": {"own": "y"}}}), &mr, ""), None);
    }

    #[test]
    fn what_is_left_to_a_garbage_collector_is_not_protected_and_is_ours_when_it_comes_back() {
        let mr = NamespacedName::new("n", "a");
        let live = object(Some("n/a"), &["holdfast"]);
        let patch = patch_collectable(&live, &mr, "").unwrap();
        let expected = [
            "/metadata/annotations/resources.gardener.cloud~1description",
            "/metadata/labels/resources.gardener.cloud~1protection",
            "/metadata/resourceVersion",
        ];
        assert_eq!(paths(&patch), expected);
        assert_eq!(patch_collectable(&object(Some("n/b"), &["holdfast"]), &mr, ""), None, "another ManagedResource's");
        let bare = json!({"metadata": {"annotations": {names::ANNOTATION_ORIGIN: "n/a"}}});
        assert_eq!(patch_collectable(&bare, &mr, ""), None, "done");
    }

    #[test]
    fn an_object_that_is_not_held_any_more_does_not_say_so() {
        let (description, label, version) = (
            "/metadata/annotations/resources.gardener.cloud~1description",
            "/metadata/labels/resources.gardener.cloud~1protection",
            "/metadata/resourceVersion",
        );
        let object = object(Some("n/a"), &["holdfast"]);
        let ignored = patch_unheld(&object, ManagementMode::CreateOnly).unwrap();
        assert_eq!((paths(&ignored), &ignored[1]["op"]), (vec![description, label, version], &json!("remove")));
        let ensured = patch_unheld(&object, ManagementMode::EnsureExists).unwrap();
        assert_eq!((paths(&ensured), &ensured[1]["value"]), (vec![description, label, version], &json!("off")));
        assert_eq!(patch_unheld(&object, ManagementMode::Reconcile), None);
        for management_mode in [ManagementMode::CreateOnly, ManagementMode::EnsureExists] {
            assert_eq!(
                patch_unheld(&json!({"metadata": {"labels": {"a": "b"}}}), management_mode),
                None,
                "somebody else's"
            );
        }
    }
}
