use std::sync::LazyLock;

use holdfast_testing::edits::{content, pointers};
use proptest::prelude::*;

use super::*;
use crate::{
    api::ManagedResource,
    decode::{self, Limits},
    protect::judge,
};

/// The examples of the demo, and further kinds with all sorts of lists.
const MANIFESTS: [&str; 3] = [
    include_str!("../../../../../hack/examples/1.yaml"),
    include_str!("../../../../../hack/examples/2.yaml"),
    holdfast_testing::KINDS,
];

/// Applies one of our patches.
pub(in crate::protect) fn patched(mut object: Value, patch: &Value) -> Value {
    for operation in patch.as_array().unwrap() {
        let place = operation["path"].as_str().unwrap();
        let (parent, field) = place.rsplit_once('/').unwrap();
        let field = field.replace("~1", "/").replace("~0", "~");
        let fields = object.pointer_mut(parent).unwrap().as_object_mut().unwrap();
        match operation["op"].as_str().unwrap() {
            "add" => drop(fields.insert(field, operation["value"].clone())),
            "remove" => assert!(fields.remove(&field).is_some(), "{place} is not there"),
            other => panic!("{other}"),
        }
    }
    object
}

/// The objects as live objects, with our marks and our entry.
pub(in crate::protect) static OBJECTS: LazyLock<Vec<Value>> = LazyLock::new(|| {
    let documents = MANIFESTS.iter().flat_map(|text| decode::documents(text.as_bytes(), &Limits::default()));
    let objects =
        documents.filter_map(Result::ok).map(|document| document.value).filter(|object| object["kind"].is_string());
    objects
        .map(|mut object| {
            object["metadata"]["labels"]["resources.gardener.cloud/protection"] = json!("revert");
            object["metadata"]["labels"]["team"] = json!("red");
            object["metadata"]["annotations"]["resources.gardener.cloud/origin"] = json!("n/mr");
            let mut declared = object.clone();
            declared["metadata"]["labels"].as_object_mut().unwrap().remove("team");
            object["metadata"]["managedFields"] = json!([
                {"manager": "holdfast", "operation": "Apply", "apiVersion": object["apiVersion"], "time": "1", "fieldsV1": owned(&declared, true)},
                {"manager": "x", "operation": "Update", "apiVersion": object["apiVersion"], "time": "1",
                    "fieldsV1": {"f:metadata": {"f:labels": {"f:team": {}}}}},
            ]);
            object
        })
        .collect()
});

/// Returns what the server would record as applied.
pub(in crate::protect) fn owned(value: &Value, is_root: bool) -> Value {
    let Value::Object(fields) = value else { return json!({}) };
    let identity = |name: &String| is_root && matches!(name.as_str(), "apiVersion" | "kind" | "status");
    let entries =
        fields.iter().filter(|(name, _)| !identity(name)).map(|(name, child)| (format!("f:{name}"), list(child)));
    let mut set: serde_json::Map<String, Value> = entries.collect();
    if is_root {
        let metadata = set.get_mut("f:metadata").and_then(Value::as_object_mut).unwrap();
        metadata.retain(|name, _| matches!(name.as_str(), "f:labels" | "f:annotations"));
    }
    Value::Object(set)
}

fn list(value: &Value) -> Value {
    let Value::Array(items) = value else { return owned(value, false) };
    let named =
        items.iter().map(|item| Some((item.get("name")?.clone(), owned(item, false)))).collect::<Option<Vec<_>>>();
    let Some(named) = named.filter(|named| !named.is_empty()) else { return json!({}) };
    named.into_iter().map(|(name, set)| (format!("k:{}", json!({"name": name})), set)).collect()
}

/// Returns pointers to everything that an edit can change: values outside metadata and status.
fn editable(object: &Value) -> Vec<String> {
    let mut all = pointers(&content(object));
    // Claim templates are left to others.
    all.retain(|pointer| pointer.split('/').all(|field| field != "volumeClaimTemplates"));
    all
}

#[derive(Clone, Debug)]
enum Edit {
    Remove,
    Replace(Value),
    Add,
    Reverse,
    Double,
}

fn edits() -> impl Strategy<Value = Vec<(prop::sample::Index, Edit)>> {
    let value = prop_oneof![
        Just(json!(7)),
        Just(json!("x")),
        Just(json!(true)),
        Just(json!({"a": 1})),
        Just(json!([1])),
        Just(Value::Null)
    ];
    let edit = prop_oneof![
        Just(Edit::Remove),
        value.prop_map(Edit::Replace),
        Just(Edit::Add),
        Just(Edit::Reverse),
        Just(Edit::Double)
    ];
    prop::collection::vec((any::<prop::sample::Index>(), edit), 1..6)
}

fn edit(object: &mut Value, at: prop::sample::Index, edit: &Edit) {
    let all = editable(object);
    if all.is_empty() {
        return;
    }
    let pointer = at.get(&all);
    match edit {
        Edit::Remove => {
            let (parent, field) = pointer.rsplit_once('/').unwrap();
            match object.pointer_mut(parent).unwrap() {
                Value::Object(fields) => drop(fields.remove(&field.replace("~1", "/").replace("~0", "~"))),
                Value::Array(items) => drop(items.remove(field.parse().unwrap())),
                _ => unreachable!(),
            }
        }
        Edit::Replace(value) => *object.pointer_mut(pointer).unwrap() = value.clone(),
        Edit::Add => match object.pointer_mut(pointer).unwrap() {
            Value::Object(fields) => drop(fields.insert("added".to_owned(), json!({"name": "added"}))),
            Value::Array(items) => items.push(json!({"name": "added"})),
            other => *other = json!("added"),
        },
        Edit::Reverse => {
            if let Value::Array(items) = object.pointer_mut(pointer).unwrap() {
                items.reverse();
            }
        }
        Edit::Double => {
            if let Value::Array(items) = object.pointer_mut(pointer).unwrap()
                && let Some(last) = items.last().cloned()
            {
                items.push(last);
            }
        }
    }
}

/// Returns the edit as stored, with the ownership that the server writes, as far as the test needs it.
fn stored(old: &Value, mut new: Value) -> Value {
    let mut entry = json!({"manager": "alice", "operation": "Update", "apiVersion": old["apiVersion"], "time": "2", "fieldsV1": {}});
    let own = &mut new["metadata"]["managedFields"][0]["fieldsV1"];
    let own = own.as_object_mut().unwrap();
    for field in ["spec", "data", "rules"].map(|name| format!("f:{name}")) {
        entry["fieldsV1"][&field] = own.remove(&field).unwrap_or(json!({}));
    }
    new["metadata"]["managedFields"].as_array_mut().unwrap().push(entry);
    new
}

fn decide(old: &Value, new: &Value, scope: &str, by: fn(&Request<'_>, Option<&Index>, &Rules) -> Verdict) -> Verdict {
    let kind = old["kind"].as_str().unwrap();
    let (group, version) = old["apiVersion"].as_str().unwrap().split_once('/').unwrap_or(("", "v1"));
    let text = |pointer: &str| old.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let mr: ManagedResource = serde_json::from_value(json!({
        "metadata": {"namespace": "n", "name": "mr"},
        "spec": {"secretRefs": [{"name": "s"}], "protection": {"mode": "Revert", "scope": scope}},
        "status": {"resources": [{"apiVersion": old["apiVersion"], "kind": kind, "namespace": text("/metadata/namespace"),
            "name": text("/metadata/name"), "resource": "things", "source": "s/k"}]}
    }))
    .unwrap();
    let mut index = Index::default();
    index.upsert(&mr);
    let request = Request {
        operation: Operation::Update,
        group,
        version,
        resource: "things",
        kind,
        subresource: "",
        namespace: text("/metadata/namespace"),
        name: text("/metadata/name"),
        username: "alice",
        groups: &[],
        object: Some(new),
        old_object: Some(old),
        now: jiff::Timestamp::UNIX_EPOCH,
    };
    by(&request, Some(&index), &Rules::default())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// In exact scope, nothing remains of an edit of content, and all remains of an edit of labels.
    #[test]
    fn an_edit_leaves_the_object_identical(
        which in any::<prop::sample::Index>(), edits in edits(), labels in prop::option::of("[a-z]{1,5}"),
    ) {
        let old = which.get(&OBJECTS);
        let mut new = old.clone();
        for (at, change) in &edits {
            edit(&mut new, *at, change);
        }
        // The server refuses to remove claim templates, and they are left to others.
        let claims = "/spec/volumeClaimTemplates";
        prop_assume!(old.pointer(claims) == new.pointer(claims));
        let mut new = stored(old, new);
        let mut expected = old.clone();
        if let Some(label) = &labels {
            new["metadata"]["labels"]["team"] = json!(label);
            new["metadata"]["managedFields"].as_array_mut().unwrap().remove(1);
            new["metadata"]["managedFields"][1]["fieldsV1"]["f:metadata"] = json!({"f:labels": {"f:team": {}}});
            expected["metadata"]["labels"]["team"] = json!(label);
            if label != "red" {
                expected["metadata"]["managedFields"][1]["manager"] = json!("alice");
                expected["metadata"]["managedFields"][1]["time"] = json!("2");
            }
        }
        match decide(old, &new, "Exact", revert) {
            Verdict::Revert { patch, .. } => {
                let after = patched(new, &patch);
                prop_assert_eq!(&after, &expected);
                prop_assert!(decide(old, &after, "Exact", judge).is_allowed());
            }
            _ => prop_assert!(decide(old, &new, "Exact", judge).is_allowed(), "{:?}", field_set::differences(old, &new)),
        }
    }

    /// In declared scope, undeclared fields stay, and `/protect` refuses nothing of the result.
    #[test]
    fn what_is_put_back_is_complete(which in any::<prop::sample::Index>(), edits in edits()) {
        let old = which.get(&OBJECTS);
        let mut new = old.clone();
        for (at, change) in &edits {
            edit(&mut new, *at, change);
        }
        let new = stored(old, new);
        let before = decide(old, &new, "Declared", judge);
        match decide(old, &new, "Declared", revert) {
            Verdict::Revert { patch, .. } => {
                prop_assert!(!before.is_allowed());
                let after = patched(new, &patch);
                let verdict = decide(old, &after, "Declared", judge);
                prop_assert!(verdict.is_allowed(), "{verdict:?}");
            }
            Verdict::Allow { .. } => prop_assert!(before.is_allowed(), "{before:?}"),
            Verdict::Deny { .. } => prop_assert!(false, "it never refuses"),
        }
    }
}
