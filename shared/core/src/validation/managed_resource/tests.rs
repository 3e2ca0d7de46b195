use std::sync::Arc;

use holdfast_testing::managed_resource;
use serde_json::{Value, json};

use super::*;
use crate::{
    decode::Source,
    key::{Gvk, ObjectKey},
    manifest::discovery::ApiInfo,
};

fn with(metadata: &Value, spec: &Value) -> ManagedResource {
    managed_resource("mr").secrets(&[]).metadata(metadata).spec(spec).read()
}

fn desired(name: &str) -> Arc<Desired> {
    let key = ObjectKey::new("", "ConfigMap", "d", name);
    let source = Source { secret: "s".into(), key: "k".into(), document: 3, line: 1 };
    let object = json!({"metadata": {"name": name}});
    Arc::new(Desired::new(key, Gvk::new("v1", "ConfigMap"), &object, source, Some("configmaps")))
}

#[test]
fn settings_without_effect_are_named() {
    let settings = json!({"annotations": {"resources.gardener.cloud/ignore": "yes", "gardener.cloud/operation": "dance", "resources.gardener.cloud/protection": "revrt"}});
    let secrets = json!({"secretRefs": [{"name": "a"}, {"name": "b"}, {"name": "a"}]});
    let texts = warnings(&with(&settings, &secrets));
    assert_eq!(texts.len(), 4, "{texts:?}");
    let mode =
        "annotation resources.gardener.cloud/protection is none of deny, revert, warn, off (the default mode counts)";
    assert!(texts.contains(&mode.to_owned()), "{texts:?}");
    assert_eq!(texts[3], "Secret a is named 2 times in spec.secretRefs (once counts)");
    assert!(warnings(&with(&json!({"annotations": {"gardener.cloud/operation": "migrate"}}), &json!({}))).is_empty());
}

#[test]
fn labels_that_no_object_could_have_refuse_everything() {
    for (key, value, reason) in [
        ("team", "blue", None),
        ("team", "", None),
        ("example.com/team", "A_b-c.9", None),
        ("team", "no blanks", Some("the value of team is not valid")),
        ("team", "-x", Some("the value of team is not valid")),
        ("a b", "x", Some("the name \"a b\" is not valid")),
        ("Example.com/a", "x", Some("the prefix of the name")),
        ("a/b/c", "x", Some("the prefix of the name")),
        ("/a", "x", Some("the prefix of the name")),
        ("resources.gardener.cloud/protection", "off", Some("is reserved for Holdfast")),
    ] {
        let texts = errors(&with(&json!({}), &json!({"injectLabels": {key: value}})));
        match reason {
            None => assert!(texts.is_empty(), "{key}: {texts:?}"),
            Some(reason) => assert!(texts.len() == 1 && texts[0].contains(reason), "{key}: {texts:?}"),
        }
    }
    assert!(errors(&with(&json!({}), &json!({"injectLabels": {"a": "x".repeat(64)}}))).len() == 1);
}

#[test]
fn kinds_that_are_not_served_are_named_unless_they_were_once() {
    let mut served = Discovery::default();
    let info = ApiInfo { plural: "deployments".into(), namespaced: true, ..ApiInfo::default() };
    served.insert(Gvk::new("apps/v1", "Deployment"), info);
    let kind = |group: &str, kind: &str| json!({"group": group, "kind": kind});
    let lists =
        json!({"equivalences": [[kind("apps", "Deployment"), kind("extensions", "Deployment"), kind("x", "Y")]]});
    let texts = unknown_kinds(&with(&json!({}), &lists), &served);
    assert_eq!(texts, ["spec.equivalences names Y.x, which is not served (it has no effect)"]);
}

#[test]
fn more_than_the_status_can_hold_is_refused_with_the_number() {
    let all: Vec<_> = (0..6000).map(|number| desired(&format!("c-{number:05}"))).collect();
    let entry = all[0].reference_size();
    assert!((200..400).contains(&entry), "{entry}");
    let text = too_large(&all, &[]).unwrap();
    let most = LARGEST_INVENTORY / entry;
    assert!(
        text.starts_with(&format!(
            "6000 objects are too many: their entries in the status need about {} bytes",
            6000 * entry
        )),
        "{text}"
    );
    assert!(text.contains(&format!("Declare about {most} objects")), "{text}");
    let fitting = &all[..most];
    let old: Vec<_> = fitting.iter().map(|object| object.reference()).collect();
    assert_eq!(too_large(fitting, &old), None);
    let other: Vec<_> = all[most..most + 1700].iter().map(|object| object.reference()).collect();
    assert!(too_large(fitting, &other).unwrap().contains("1700 others, which are not declared any more"));
    assert_eq!(too_large(&all[..500], &other), None);
}

#[test]
fn labels_and_annotations_are_read_as_the_server_reads_them() {
    let texts = |metadata: &Value| metadata_of(metadata);
    let fine =
        json!({"labels": {"a": "b", "example.com/x": ""}, "annotations": {"Example.com/X": "any thing", "y": ""}});
    assert_eq!(texts(&fine), Vec::<String>::new());
    for (wrong, part) in [
        (json!({"labels": {"a": "b c"}}), "label: the value of a is not valid"),
        (json!({"labels": {"a b": "c"}}), "label: the name \"a b\" is not valid"),
        (json!({"annotations": {"-": "c"}}), "annotation: the name \"-\" is not valid"),
        (json!({"annotations": {"a": "x".repeat(LARGEST_ANNOTATIONS)}}), "annotations: 262145 bytes, and 262144"),
    ] {
        let found = texts(&wrong);
        assert!(found.len() == 1 && found[0].starts_with(part), "{part}: {found:?}");
    }
}

fn metadata_of(metadata: &Value) -> Vec<String> {
    super::metadata(json!({ "metadata": metadata }).as_object().unwrap())
}

#[test]
fn kinds_without_a_watch_are_named() {
    let mut served = Discovery::default();
    for (kind, verbs) in [("Seen", "get delete list watch"), ("Unseen", "get delete"), ("Request", "create")] {
        let missing_verbs = ApiInfo::missing_verbs(verbs.split(' '));
        served.insert(Gvk::new("example.com/v1", kind), ApiInfo { missing_verbs, ..ApiInfo::default() });
    }
    let kinds = ["Seen", "Unseen", "Request", "Unknown"]
        .map(|kind| crate::key::GroupKind { group: "example.com".into(), kind: kind.into() });
    let texts = unwatchable_kinds(&kinds, &served);
    assert_eq!(texts.len(), 1);
    assert!(texts[0].starts_with("changes of Unseen.example.com by others"), "{texts:?}");
}
