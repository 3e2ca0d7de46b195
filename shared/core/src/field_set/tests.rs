use serde_json::json;

use super::*;

fn deployment_fields() -> FieldSet {
    FieldSet::parse(&json!({
        "f:metadata": {"f:labels": {"f:app": {}, "f:resources.gardener.cloud/protection": {}}},
        "f:spec": {
            "f:replicas": {},
            "f:selector": {},
            "f:template": {"f:spec": {"f:containers": {"k:{\"name\":\"app\"}": {".": {}, "f:name": {}, "f:image": {}}},
                "f:volumes": {"k:{\"name\":\"tmp\"}": {".": {}, "f:name": {}, "f:emptyDir": {}}}}}
        }
    }))
}

fn deployment() -> Value {
    json!({
        "metadata": {"labels": {"app": "x", "resources.gardener.cloud/protection": "deny"}},
        "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "x"}}, "template": {"spec": {
            "containers": [{"name": "app", "image": "a:1", "imagePullPolicy": "Always"}],
            "volumes": [{"name": "tmp", "emptyDir": {}}]
        }}}
    })
}

#[test]
fn changed_names_declared_fields_only() {
    for (case, pointer, value, expected) in [
        ("nothing", "/spec/replicas", json!(2), vec![]),
        ("replicas", "/spec/replicas", json!(3), vec!["spec.replicas"]),
        ("declared field gone", "/spec/replicas", Value::Null, vec!["spec.replicas"]),
        (
            "image in a keyed list",
            "/spec/template/spec/containers/0/image",
            json!("b"),
            vec!["spec.template.spec.containers[name=app].image"],
        ),
        ("undeclared field", "/spec/template/spec/containers/0/imagePullPolicy", json!("Never"), vec![]),
        ("below a declared empty map", "/spec/template/spec/volumes/0/emptyDir", json!({"sizeLimit": "1Gi"}), vec![]),
        ("atomic map", "/spec/selector", json!({"matchLabels": {"app": "y"}}), vec!["spec.selector"]),
        (
            "element renamed",
            "/spec/template/spec/containers/0/name",
            json!("other"),
            vec!["spec.template.spec.containers[name=app]"],
        ),
        (
            "label with a slash",
            "/metadata/labels",
            json!({"app": "x"}),
            vec!["metadata.labels[resources.gardener.cloud/protection]"],
        ),
        ("whole template gone", "/spec/template", json!({}), vec!["spec.template.spec"]),
    ] {
        let old = deployment();
        let mut new = deployment();
        *new.pointer_mut(pointer).unwrap() = value;
        let paths: Vec<String> = deployment_fields().changed(&old, &new).iter().map(ToString::to_string).collect();
        assert_eq!(paths, expected, "{case}");
    }
}

#[test]
fn differences_are_named_as_people_would() {
    let spy = json!([{"name": "app", "image": "a:1", "imagePullPolicy": "Always"}, {"name": "spy", "image": "b"}]);
    for (case, pointer, value, expected) in [
        ("nothing", "/spec/replicas", json!(2), vec![]),
        ("an element added", "/spec/template/spec/containers", spy, vec!["spec.template.spec.containers[name=spy]"]),
        (
            "below an element",
            "/spec/template/spec/containers/0/imagePullPolicy",
            json!("Never"),
            vec!["spec.template.spec.containers[name=app].imagePullPolicy"],
        ),
        (
            "a map added",
            "/spec/template/spec/volumes/0/emptyDir",
            json!({"sizeLimit": {"a": 1}}),
            vec!["spec.template.spec.volumes[name=tmp].emptyDir.sizeLimit.a"],
        ),
        ("null is absent", "/metadata/labels/app", Value::Null, vec!["metadata.labels.app"]),
    ] {
        let old = deployment();
        let mut new = deployment();
        *new.pointer_mut(pointer).unwrap() = value;
        let paths: Vec<String> = differences(&old, &new).iter().map(ToString::to_string).collect();
        assert_eq!(paths, expected, "{case}");
    }
    let (one, two) = (json!([{"name": "a"}, {"name": "b"}]), json!([{"name": "b"}, {"name": "a"}]));
    assert_eq!(differences(&json!({"x": one}), &json!({"x": two}))[0].to_string(), "x", "order");
    assert_eq!(differences(&json!({"x": [1]}), &json!({"x": [2]}))[0].to_string(), "x", "no names");
}

#[test]
fn sets_compare_by_member() {
    let set = FieldSet::parse(&json!({"f:metadata": {"f:finalizers": {".": {}, "v:\"a/b\"": {}}}}));
    let old = json!({"metadata": {"finalizers": ["a/b"]}});
    assert!(set.changed(&old, &json!({"metadata": {"finalizers": ["x", "a/b"]}})).is_empty());
    assert_eq!(
        set.changed(&old, &json!({"metadata": {"finalizers": ["x"]}}))[0].to_string(),
        "metadata.finalizers[=a/b]"
    );
}

#[test]
fn the_order_of_owned_elements_is_owned() {
    let set = FieldSet::parse(&json!({"f:ports": {
        "k:{\"name\":\"a\"}": {".": {}, "f:name": {}}, "k:{\"name\":\"b\"}": {".": {}, "f:name": {}},
    }}));
    let ports = |names: &[&str]| json!({"ports": names.iter().map(|name| json!({"name": name})).collect::<Vec<_>>()});
    for (case, after, expected) in [
        ("as it was", &["a", "b"][..], vec![]),
        ("another one between", &["a", "x", "b"], vec![]),
        ("turned around", &["b", "a"], vec!["ports"]),
        ("turned around another one", &["b", "x", "a"], vec!["ports"]),
        ("one is gone", &["b"], vec!["ports[name=a]"]),
    ] {
        let paths: Vec<String> =
            set.changed(&ports(&["a", "b"]), &ports(after)).iter().map(ToString::to_string).collect();
        assert_eq!(paths, expected, "{case}");
    }
}
