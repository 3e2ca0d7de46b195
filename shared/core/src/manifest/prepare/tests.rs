use serde_json::json;

use super::*;
use crate::{api::Texts, decode::Source};

fn discovery() -> Discovery {
    let mut discovery = Discovery::default();
    for (api_version, kind, plural, namespaced, status) in [
        ("v1", "ConfigMap", "configmaps", true, false),
        ("v1", "Secret", "secrets", true, false),
        ("v1", "Namespace", "namespaces", false, true),
        ("apps/v1", "Deployment", "deployments", true, true),
        ("apps/v1", "StatefulSet", "statefulsets", true, true),
        ("rbac.authorization.k8s.io/v1", "ClusterRole", "clusterroles", false, false),
    ] {
        discovery.insert(
            Gvk::new(api_version, kind),
            ApiInfo { plural: plural.into(), namespaced, status_subresource: status, ..ApiInfo::default() },
        );
    }
    discovery
}

fn prepared(object: &Value) -> Result<Desired, ObjectKey> {
    prepared_within(object, &ManagedScope::default())
}

fn prepared_within(object: &Value, managed_scope: &ManagedScope) -> Result<Desired, ObjectKey> {
    let mr = NamespacedName::new("ns", "mr");
    let labels = BTreeMap::from([("foo".to_owned(), "bar".to_owned())]);
    let context = Context {
        mr: &mr,
        cluster_id: "",
        inject_labels: Some(&labels),
        managed_by: "gardener",
        mode: Mode::Deny,
        managed_scope,
        guard: false,
    };
    let source = Source { secret: "s".into(), key: "k".into(), document: 1, line: 1 };
    prepare(Manifest { object: object.as_object().unwrap().clone(), source }, &context, &discovery())
}

fn body(object: &Value) -> Value {
    prepared(object).unwrap().body.value()
}

#[test]
fn a_config_map_gets_namespace_labels_and_annotations_and_loses_server_fields() {
    let desired = prepared(&json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "c", "uid": "u", "resourceVersion": "1", "creationTimestamp": null, "managedFields": [], "annotations": {"a": "b"}},
        "data": {"x": "y"}
    }))
    .unwrap();
    assert_eq!(
        desired.body.value(),
        json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {
                "name": "c", "namespace": "default",
                "labels": {"foo": "bar", "resources.gardener.cloud/managed-by": "gardener", "resources.gardener.cloud/protection": "deny"},
                "annotations": {"a": "b", "resources.gardener.cloud/origin": "ns/mr", "resources.gardener.cloud/description": names::DESCRIPTION}
            },
            "data": {"x": "y"}
        })
    );
    assert_eq!(desired.key.to_string(), "ConfigMap default/c");
    assert_eq!(desired.reference().annotations, BTreeMap::from([("a".to_owned(), "b".to_owned())]).into());
    assert_eq!(desired.reference().labels.get(names::LABEL_PROTECTION), None);
    assert_eq!(desired.reference().resource.as_deref(), Some("configmaps"));
}

#[test]
fn namespaces_follow_what_is_served() {
    for (api_version, kind, written, expected) in [
        ("v1", "ConfigMap", None, "default"),
        ("v1", "ConfigMap", Some("x"), "x"),
        ("rbac.authorization.k8s.io/v1", "ClusterRole", Some("x"), ""),
        ("apps/v1beta1", "Deployment", None, "default"),
        ("rbac.authorization.k8s.io/v1beta1", "ClusterRole", Some("x"), ""),
        ("example.com/v1", "Unknown", None, ""),
        ("example.com/v1", "Unknown", Some("x"), "x"),
    ] {
        let desired = prepared(
            &json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "n", "namespace": written}}),
        )
        .unwrap();
        assert_eq!(desired.key.namespace(), expected, "{kind} {written:?}");
        let metadata = &desired.body.value()["metadata"];
        let in_body = metadata["namespace"].as_str().unwrap_or_default();
        assert_eq!(in_body, expected);
    }
}

#[test]
fn labels_go_into_pod_and_claim_templates_but_the_protection_label_does_not() {
    let body = body(&json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "n"},
        "spec": {"template": {"metadata": {"labels": {"app": "x"}}, "spec": {}}, "volumeClaimTemplates": [{"metadata": {"name": "data"}}]}
    }));
    let injected = json!({"app": "x", "foo": "bar", "resources.gardener.cloud/managed-by": "gardener"});
    assert_eq!(body["spec"]["template"]["metadata"]["labels"], injected);
    assert_eq!(
        body["spec"]["volumeClaimTemplates"][0]["metadata"]["labels"],
        json!({"foo": "bar", "resources.gardener.cloud/managed-by": "gardener"})
    );
}

#[test]
fn templates_that_are_none_are_left_alone() {
    for template in [json!("text"), json!({"engine": "jinja"}), json!([1])] {
        let object = json!({"apiVersion": "example.com/v1", "kind": "Unknown", "metadata": {"name": "n"}, "spec": {"template": template}});
        assert_eq!(body(&object)["spec"]["template"], template);
    }
}

#[test]
fn what_the_server_folds_or_others_write_is_not_declared() {
    let secret = body(
        &json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "n"}, "data": {"a": "MQ==", "b": "Mg=="}, "stringData": {"b": "3"}}),
    );
    assert_eq!(secret["data"], json!({"a": "MQ==", "b": "Mw=="}));
    assert!(secret.get("stringData").is_none());
    for empty in [json!({"data": {}}), json!({"stringData": {}}), json!({"data": {}, "stringData": {}})] {
        let mut object = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "n"}});
        object.as_object_mut().unwrap().extend(empty.as_object().unwrap().clone());
        assert!(body(&object).get("data").is_none(), "nothing is declared: {empty}");
    }

    let role = |extra: Value| {
        let mut role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "n"}, "rules": [{"verbs": ["get"]}]});
        role.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        body(&role)
    };
    assert!(role(json!({"aggregationRule": {}})).get("rules").is_none());
    assert!(role(json!({})).get("rules").is_some());

    assert!(body(&json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "n"}, "status": {"replicas": 1}})).get("status").is_none());
}

#[test]
fn what_is_only_created_is_as_written_and_what_is_not_held_does_not_say_so() {
    let object = |annotation: &str, value: &str| {
        json!({"apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "n", "namespace": "x", "annotations": {annotation: value}},
            "spec": {"template": {"metadata": {"labels": {"app": "x"}}, "spec": {}}}})
    };
    let written = object(names::ANNOTATION_IGNORE, "true");
    let desired = prepared(&written).unwrap();
    assert_eq!((desired.management_mode, desired.body.value()), (ManagementMode::CreateOnly, written));

    let desired = prepared(&object(names::ANNOTATION_MODE, "EnsureExists")).unwrap();
    let metadata = &desired.body.value()["metadata"];
    assert_eq!(desired.management_mode, ManagementMode::EnsureExists);
    assert_eq!(metadata["labels"][names::LABEL_PROTECTION], "off");
    assert_eq!(metadata["annotations"][names::ANNOTATION_ORIGIN], "ns/mr");
    assert_eq!(metadata["annotations"].get(names::ANNOTATION_DESCRIPTION), None, "it would tell people not to edit");
}

#[test]
fn mode_ignore_is_not_managed() {
    let annotations = json!({"resources.gardener.cloud/mode": "Ignore"});
    let metadata = json!({"name": "n", "annotations": annotations});
    let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata});
    assert_eq!(prepared(&object).unwrap_err().to_string(), "ConfigMap default/n");
}

#[test]
fn an_object_says_what_of_others_is_removed_from_it() {
    let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}});
    for (labels, annotations, expected) in [
        (false, false, None),
        (true, false, Some("labels")),
        (false, true, Some("annotations")),
        (true, true, Some("labels,annotations")),
    ] {
        let desired =
            prepared_within(&object, &ManagedScope { labels, annotations, ..ManagedScope::default() }).unwrap();
        let body = desired.body.value();
        assert_eq!(body["metadata"]["annotations"][names::ANNOTATION_FORCED].as_str(), expected);
        assert_eq!(desired.reference().annotations, Texts::default(), "a mark is no annotation of a manifest");
    }
}
