use serde_json::json;

use super::*;
use crate::field_ownership::unmanaged::UnmanagedFields;

fn key(group: &str, kind: &str) -> ObjectKey {
    ObjectKey::new(group, kind, "n", "web")
}

fn names(group: &str, kind: &str, manifest: &Value, is_autoscaled: bool) -> String {
    Preserve::of(&key(group, kind), manifest, is_autoscaled).names().unwrap_or_default().into()
}

#[test]
fn kind_manifest_and_autoscaler_decide() {
    let two = json!({"spec": {"replicas": 2}});
    let annotated = |rule: &str, value: &str| json!({"metadata": {"annotations": {(format!("resources.gardener.cloud/preserve-{rule}")): value}}, "spec": {"replicas": 2}});
    let replicas = annotated("replicas", "true");
    for kind in ["Deployment", "StatefulSet"] {
        for group in ["apps", "extensions"] {
            assert_eq!(names(group, kind, &two, false), "");
            assert_eq!(names(group, kind, &two, true), "replicas");
            assert_eq!(names(group, kind, &json!({"spec": {}}), false), "replicas", "none declared");
            assert_eq!(names(group, kind, &replicas, false), "replicas");
        }
        assert_eq!(names("apps", kind, &annotated("replicas", "True"), false), "", "exactly true");
        assert_eq!(names("example.com", kind, &replicas, true), "");
    }
    assert_eq!(names("apps", "ReplicaSet", &replicas, true), "");
    for (group, kind, is_heeded) in [
        ("apps", "Deployment", true),
        ("apps", "DaemonSet", true),
        ("batch", "Job", true),
        ("batch", "CronJob", true),
        ("extensions", "DaemonSet", false),
        ("", "Pod", false),
    ] {
        let found = names(group, kind, &annotated("resources", "true"), false);
        assert_eq!(found == "resources", is_heeded, "{group} {kind}");
        assert_eq!(Preserve::of(&key(group, kind), &two, false).contains(Rule::Restart), is_heeded, "{group} {kind}");
    }
    assert!(Preserve::of(&key("apps", "StatefulSet"), &two, false).contains(Rule::Claims));
    assert!(Preserve::of(&key("", "ConfigMap"), &replicas, true).is_none());
    let typed = |text: &str| json!({ "type": text });
    for (group, kind, type_, is_token) in [
        ("", "Secret", "kubernetes.io/service-account-token", true),
        ("", "Secret", "Opaque", false),
        ("", "Secret", "kubernetes.io/service-account-tokens", false),
        ("example.com", "Secret", "kubernetes.io/service-account-token", false),
        ("", "ConfigMap", "kubernetes.io/service-account-token", false),
    ] {
        let found = Preserve::of(&key(group, kind), &typed(type_), false);
        assert_eq!(found.contains(Rule::Token), is_token, "{group} {kind} {type_}");
        assert!(found.is_none(), "all of the manifest is applied: {type_}");
        assert!(["token", "ca.crt"].iter().all(|key| !found.allows("Secret", &Path::of(&["data", key]))), "nobody");
    }
}

#[test]
fn an_inventory_remembers_what_the_kind_does_not_tell() {
    for preserved in [None, Some("replicas"), Some("replicas resources")] {
        let reference = ResourceReference {
            api_version: "apps/v1".into(),
            kind: "Deployment".into(),
            preserved: preserved.map(Into::into),
            ..Default::default()
        };
        let remembered = Preserve::remembered(&reference);
        assert_eq!(remembered.names().as_deref(), preserved);
        assert!(remembered.includes(Preserve::of_kind(&reference.object_key())));
        assert_eq!(remembered == Preserve::of_kind(&reference.object_key()), preserved.is_none());
    }
    for (kind, expected) in [("Secret", Some("token")), ("ConfigMap", None)] {
        let (api_version, preserved) = ("v1".into(), Some("token".into()));
        let reference = ResourceReference { api_version, kind: kind.into(), preserved, ..Default::default() };
        assert_eq!(Preserve::remembered(&reference).names().as_deref(), expected, "{kind}");
    }
}

fn manifest() -> Value {
    json!({
        "metadata": {"annotations": {names::ANNOTATION_PRESERVE_REPLICAS: "true", names::ANNOTATION_PRESERVE_RESOURCES: "true"}},
        "spec": {"replicas": 2, "paused": true, "template": {
            "metadata": {"annotations": {names::ANNOTATION_RESTARTED_AT: "t"}},
            "spec": {
                "containers": [
                    {"name": "a", "image": "x", "resources": {"limits": {"cpu": "1"}}},
                    {"name": "b", "resources": {"limits": {"memory": "1Mi", "ephemeral-storage": "1Mi"}, "requests": {"cpu": "1"}}}
                ],
                "initContainers": [{"name": "i", "resources": {"limits": {"cpu": "1"}}}]
            }
        }}
    })
}

fn set(container: &str, limits: &Value) -> Value {
    json!({"f:template": {"f:spec": {"f:containers": {(format!("k:{{\"name\":\"{container}\"}}")): {"f:resources": {"f:limits": limits}}}}}})
}

#[test]
fn what_is_there_is_not_applied() {
    let manifest = manifest();
    let preserve = Preserve::of(&key("apps", "Deployment"), &manifest, false);
    let unmanaged = UnmanagedFields::new("Deployment", preserve).of(&manifest);
    assert!(unmanaged.is_declared());

    let stripped = unmanaged.stripped(&[]);
    let mut expected = manifest.clone();
    expected["spec"].as_object_mut().unwrap().remove("replicas");
    expected["spec"]["template"].as_object_mut().unwrap().remove("metadata");
    let containers = &mut expected["spec"]["template"]["spec"]["containers"];
    containers[0].as_object_mut().unwrap().remove("resources");
    containers[1]["resources"] = json!({"limits": {"ephemeral-storage": "1Mi"}});
    assert_eq!(stripped, expected, "nor are maps that are empty without it");
    assert_eq!(unmanaged.missing(&[]), stripped, "nobody knows");

    // Somebody owns a limit of one container. Nobody owns the other limits, so they do not exist.
    let theirs = json!({"manager": "x", "fieldsV1": {"f:spec": set("a", &json!({"f:cpu": {}}))}});
    let mut expected = manifest.clone();
    expected["spec"].as_object_mut().unwrap().remove("replicas");
    expected["spec"]["template"]["spec"]["containers"][0].as_object_mut().unwrap().remove("resources");
    assert_eq!(unmanaged.missing(&[theirs]), expected);
}

#[test]
fn values_of_what_is_left_do_not_count_but_new_fields_do() {
    let skeleton = |manifest: &Value| {
        let preserve = Preserve::of(&key("apps", "Deployment"), manifest, false);
        UnmanagedFields::new("Deployment", preserve).of(manifest).skeleton()
    };
    let mut other = manifest();
    other["spec"]["replicas"] = json!(7);
    other["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]["cpu"] = json!("2");
    assert_eq!(skeleton(&manifest()), skeleton(&other));
    other["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]["memory"] = json!("2Mi");
    assert_ne!(skeleton(&manifest()), skeleton(&other));
}

#[test]
fn release_moves_fields_of_ours_and_nothing_else() {
    let manifest = manifest();
    let preserve = Preserve::of(&key("apps", "Deployment"), &manifest, false);
    let unmanaged = UnmanagedFields::new("Deployment", preserve).of(&manifest);
    let mut spec = set("a", &json!({"f:cpu": {}}));
    spec["f:replicas"] = json!({});
    spec["f:paused"] = json!({});
    // A container that the manifest no longer has.
    let gone = set("gone", &json!({"f:cpu": {}}));
    let gone = &gone["f:template"]["f:spec"]["f:containers"]["k:{\"name\":\"gone\"}"];
    spec["f:template"]["f:spec"]["f:containers"]["k:{\"name\":\"gone\"}"] = gone.clone();
    let own = json!({"manager": "holdfast", "operation": "Apply", "apiVersion": "apps/v1", "time": "t", "fieldsV1": {"f:spec": spec}});
    let mut taken = set("a", &json!({"f:cpu": {}}));
    taken["f:replicas"] = json!({});

    let released = unmanaged.released(std::slice::from_ref(&own)).unwrap();
    assert_eq!(released.len(), 2);
    assert_eq!(
        released[1],
        json!({"manager": "holdfast-released", "operation": "Update", "apiVersion": "apps/v1", "time": "t",
            "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": taken}})
    );
    let rest = &released[0]["fieldsV1"]["f:spec"];
    assert_eq!(rest["f:paused"], json!({}));
    assert_eq!(rest["f:replicas"], Value::Null);
    let containers = rest["f:template"]["f:spec"]["f:containers"].as_object().unwrap();
    assert_eq!(containers.keys().collect::<Vec<_>>(), ["k:{\"name\":\"gone\"}"]);
    assert_eq!(unmanaged.released(&released), None, "once");

    // A later release joins the fields that are already released.
    let entries = [own, released[1].clone()];
    assert_eq!(unmanaged.released(&entries).unwrap(), released);
}
