use serde_json::json;

use super::*;

fn ignored(paths: &[&str]) -> IgnorePaths {
    let paths: Vec<_> =
        paths.iter().map(|path| IgnorePath { path: (*path).to_owned(), ..IgnorePath::default() }).collect();
    IgnorePaths::of(&paths)
}

fn manifest() -> Value {
    json!({
        "metadata": {"labels": {"team": "a", "app": "x"}},
        "data": {"a": "1", "b": "2"},
        "spec": {
            "replicas": 2,
            "rules": [{"verbs": ["get"]}],
            "only": {"one": 1},
            "containers": [
                {"name": "app", "image": "x", "ports": [{"containerPort": 80, "hostPort": 1}]},
                {"name": "side", "image": "y"}
            ]
        }
    })
}

fn owned() -> Value {
    json!({
        "f:metadata": {"f:labels": {"f:team": {}, "f:app": {}}},
        "f:data": {".": {}, "f:a": {}, "f:b": {}},
        "f:spec": {
            "f:replicas": {}, "f:rules": {}, "f:only": {"f:one": {}},
            "f:containers": {
                "k:{\"name\":\"app\"}": {".": {}, "f:name": {}, "f:image": {}, "f:ports": {
                    ".": {}, "k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {".": {}, "f:containerPort": {}, "f:hostPort": {}}
                }},
                "k:{\"name\":\"side\"}": {".": {}, "f:name": {}, "f:image": {}}
            }
        }
    })
}

fn entry(manager: &str, fields: &Value) -> Value {
    json!({"manager": manager, "operation": "Apply", "fieldsV1": fields})
}

/// The fields taken from our entry, the fields stripped from the manifest, and the fields that the webhook ignores are
/// the same.
#[test]
fn everybody_means_the_same_fields() {
    let fields = [entry("holdfast", &owned())];
    let live = |mut object: Value| {
        object["metadata"]["managedFields"] = json!(fields);
        object
    };
    for (path, gone) in [
        ("/spec/replicas", &["/spec/replicas"][..]),
        ("/metadata/labels/team", &["/metadata/labels/team"]),
        ("/data/*", &["/data"]),
        ("/data", &["/data"]),
        ("/spec/only/one", &["/spec/only"]),
        ("/spec/containers[name=app]/image", &["/spec/containers/0/image"]),
        ("/spec/containers/*/image", &["/spec/containers/0/image", "/spec/containers/1/image"]),
        ("/spec/containers/*/ports[containerPort=80]/hostPort", &["/spec/containers/0/ports/0/hostPort"]),
        ("/spec/containers[name=side]", &["/spec/containers/1"]),
        // An element's key, a value owned as a whole, a missing element, and a field that is no key.
        ("/spec/containers/*/name", &[]),
        ("/spec/rules/*/verbs", &[]),
        ("/spec/containers[name=other]/image", &[]),
        ("/spec/containers[image=x]/ports", &[]),
        ("/spec/containers/0/image", &[]),
    ] {
        let (ignored, all) = (ignored(&[path]), manifest());
        let mut stripped = all.clone();
        ignored.strip(&mut stripped, &fields, false, true);
        let mut expected = all.clone();
        for pointer in gone {
            let (parent, name) = pointer.rsplit_once('/').unwrap();
            match expected.pointer_mut(parent).unwrap() {
                Value::Object(map) => drop(map.remove(name)),
                list => drop(list.as_array_mut().unwrap().remove(name.parse().unwrap())),
            }
        }
        assert_eq!(stripped, expected, "{path}");

        let mut rest = owned().as_object().unwrap().clone();
        let taken = ignored.take(&mut rest, Some(&all));
        assert_eq!(taken == json!({}), gone.is_empty(), "{path}");
        let mut back = Value::Object(rest);
        merge(&mut back, &taken);
        let without_dots = |value: &Value| value.to_string().replace("\".\":{},", "").replace("\".\":{}", "");
        assert_eq!(without_dots(&back), without_dots(&owned()), "{path}");

        let (old, _) = ignored.without(&live(all.clone()), &live(all));
        assert_eq!(old["spec"], expected["spec"], "{path}");
        assert_eq!(old.get("data"), expected.get("data"), "{path}");
    }
}

#[test]
fn others_may_change_add_and_remove_and_nothing_beside() {
    let old = json!({"data": {"a": "1"}, "spec": {"x": 1}, "metadata": {"managedFields": [entry("holdfast", &json!({"f:data": {"f:a": {}}}))]}});
    let edit = |pointer: &str, value: Value| {
        let mut new = old.clone();
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        match value {
            Value::Null => drop(new.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(name)),
            value => new.pointer_mut(parent).unwrap()[name] = value,
        }
        new
    };
    for (path, new, is_same) in [
        ("/data/a", edit("/data/a", json!("2")), true),
        ("/data/a", edit("/data/a", Value::Null), true),
        ("/data/a", edit("/data", Value::Null), true),
        ("/data/b", edit("/data/b", json!("2")), true),
        ("/data/b", edit("/data/a", json!("2")), false),
        ("/data/*", edit("/data/b", json!("2")), true),
        ("/more/deep", edit("/more", json!({"deep": {"er": 1}})), true),
        ("/more/deep", edit("/more", json!({"deep": {"er": 1}, "x": 1})), false),
        ("/spec", edit("/spec", Value::Null), true),
    ] {
        let (before, after) = ignored(&[path]).without(&old, &new);
        assert_eq!(before == after, is_same, "{path}: {before} {after}");
    }
}

#[test]
fn what_others_removed_stays_away_until_the_manifest_changes() {
    let fields = [entry("holdfast", &json!({"f:data": {"f:b": {}}}))];
    for (is_settled, expected) in [(true, json!({"b": "2"})), (false, json!({"a": "1", "b": "2"}))] {
        let mut manifest = json!({"data": {"a": "1", "b": "2"}});
        ignored(&["/data/a"]).strip(&mut manifest, &fields, is_settled, true);
        assert_eq!(manifest["data"], expected, "{is_settled}");
    }
    // A new container needs its image. An element that somebody removed needs all its fields.
    for is_settled in [true, false] {
        let mut new = json!({"spec": {"containers": [{"name": "new", "image": "x"}]}});
        ignored(&["/spec/containers/*/image"]).strip(&mut new, &[entry("holdfast", &owned())], is_settled, true);
        assert_eq!(new["spec"]["containers"][0]["image"], "x");
    }
}

#[test]
fn elements_that_the_manifest_drops_go_as_a_whole() {
    let dropped = json!({"spec": {"containers": [{"name": "app"}]}});
    let mut rest = owned().as_object().unwrap().clone();
    ignored(&["/spec/containers/*/image"]).take(&mut rest, Some(&dropped));
    let rest = Value::Object(rest);
    let container = |name: &str| &rest["f:spec"]["f:containers"][format!("k:{{\"name\":\"{name}\"}}")];
    assert_eq!((container("app").get("f:image"), container("side").get("f:image")), (None, Some(&json!({}))));
    // An element that is itself ignored may come from anyone.
    let mut rest = owned().as_object().unwrap().clone();
    assert_ne!(ignored(&["/spec/containers[name=side]"]).take(&mut rest, Some(&dropped)), json!({}));
}

#[test]
fn filters_choose_objects() {
    let only = |group: Option<&str>, kind: Option<&str>, name: Option<&str>| {
        let [group, kind, name] = [group, kind, name].map(|text| text.map(str::to_owned));
        IgnorePaths::of(&[IgnorePath { path: "/data".into(), group, kind, name }])
    };
    let object = ObjectKey::new("apps", "Deployment", "n", "web");
    for (rule, is_meant) in [
        (only(None, None, None), true),
        (only(Some("apps"), Some("Deployment"), Some("web")), true),
        (only(Some(""), None, None), false),
        (only(None, Some("ConfigMap"), None), false),
        (only(None, None, Some("other")), false),
    ] {
        assert_eq!(!rule.of_object(&object).is_none(), is_meant, "{rule:?}");
    }
    assert!(IgnorePaths::of(&[]).is_none());
    assert_eq!(std::mem::size_of::<IgnorePaths>(), 16, "where it is not used");
}

#[test]
fn faults_name_the_place() {
    let paths =
        ["/spec/replicas", "spec", "/a/0/b"].map(|path| IgnorePath { path: path.into(), ..IgnorePath::default() });
    let errors = errors(&paths);
    assert_eq!(errors.len(), 1);
    assert!(errors[0].starts_with("spec.protection.ignorePaths[1]: \"spec\": it is no JSON pointer"), "{}", errors[0]);
    let warnings = warnings(&paths);
    assert!(
        warnings.len() == 1 && warnings[0].starts_with("spec.protection.ignorePaths[2]: 0 is taken"),
        "{warnings:?}"
    );
}

#[test]
fn what_holds_an_object_together_cannot_be_ignored() {
    for (pointer, part) in [
        ("/*", "name of a field"),
        ("/kind", "apiVersion"),
        ("/metadata", "single labels"),
        ("/metadata/labels", "single labels"),
        ("/metadata/labels/*", "single labels"),
        ("/metadata/finalizers", "single labels"),
        ("/metadata/annotations/resources.gardener.cloud~1origin", "reserved"),
    ] {
        let error = parse(pointer).unwrap_err();
        assert!(error.contains(part), "{pointer}: {error}");
    }
}
