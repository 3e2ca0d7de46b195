mod modes;
mod pausing;

use holdfast_testing::managed_resource;
use serde_json::json;

use super::*;
use crate::api::ManagedResource;

fn example(extra: &Value) -> ManagedResource {
    let example = managed_resource("example").metadata(&json!({"namespace": "default"})).secrets(&["s1", "s2"]);
    example.entry("apps/v1", "Deployment", "default", "nginx").with(extra).read()
}

fn json_merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                json_merge(into.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from.clone(),
    }
}

fn now() -> jiff::Timestamp {
    "2026-01-01T12:00:00Z".parse().unwrap()
}

fn deployment() -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {
            "name": "nginx", "namespace": "default",
            "labels": {"resources.gardener.cloud/protection": "deny", "app": "nginx"},
            "annotations": {"resources.gardener.cloud/origin": "default/example"},
            "managedFields": [{"manager": "holdfast", "operation": "Apply", "apiVersion": "apps/v1", "fieldsV1": {
                "f:metadata": {"f:labels": {"f:app": {}, "f:resources.gardener.cloud/protection": {}},
                    "f:annotations": {"f:resources.gardener.cloud/origin": {}}},
                "f:spec": {"f:replicas": {}, "f:paused": {}}
            }}]
        },
        "spec": {"replicas": 2, "paused": false, "minReadySeconds": 0},
        "status": {"replicas": 2}
    })
}

struct Review {
    operation: Operation,
    subresource: &'static str,
    username: &'static str,
    old: Option<Value>,
    new: Option<Value>,
    mr: Value,
}

impl Default for Review {
    fn default() -> Self {
        Self {
            operation: Operation::Update,
            subresource: "",
            username: "alice",
            old: Some(deployment()),
            new: Some(deployment()),
            mr: json!({}),
        }
    }
}

fn with(mut object: Value, pointer: &str, value: Value) -> Value {
    *object.pointer_mut(pointer).unwrap() = value;
    object
}

fn check(case: &Review) -> Verdict {
    check_by(case, &Rules::default(), judge)
}

fn check_by(case: &Review, rules: &Rules, decide: fn(&Request<'_>, Option<&Index>, &Rules) -> Verdict) -> Verdict {
    let mut index = Index::default();
    index.upsert(&example(&case.mr));
    let rules = Rules { exempt: Exempt::new(vec!["us".into()], vec![], vec![]), ..rules.clone() };
    let request = Request {
        operation: case.operation,
        group: "apps",
        version: "v1",
        resource: "deployments",
        kind: if case.subresource == "scale" { "Scale" } else { "Deployment" },
        subresource: case.subresource,
        namespace: "default",
        name: "nginx",
        username: case.username,
        groups: &["system:masters".to_owned()],
        object: case.new.as_ref(),
        old_object: case.old.as_ref(),
        now: now(),
    };
    decide(&request, Some(&index), &rules)
}

fn denial(case: &Review) -> String {
    match check(case) {
        Verdict::Deny { message, .. } => message,
        other => panic!("not refused: {other:?}"),
    }
}

fn edit(pointer: &str, value: Value) -> Review {
    Review { new: Some(with(deployment(), pointer, value)), ..Review::default() }
}

#[test]
fn a_refused_edit_says_what_whose_and_how_else() {
    assert_eq!(
        denial(&edit("/spec/replicas", json!(5))),
        "deployments.apps \"nginx\" is managed by ManagedResource default/example: spec.replicas is declared in Secret default/s1 and would be reset. \
         Change the Secret, or pause it until 2026-01-01T13:00:00Z with: kubectl patch mr -n default example --type=merge -p \
         '{\"spec\":{\"protection\":{\"pauses\":[{\"group\":\"apps\",\"kind\":\"Deployment\",\"name\":\"nginx\",\"namespace\":\"default\",\
         \"reason\":\"WHY\",\"until\":\"2026-01-01T13:00:00Z\"}]}}}'"
    );
    let both = edit("/spec", json!({"replicas": 1, "paused": true, "minReadySeconds": 0}));
    assert!(denial(&both).contains("spec.paused and spec.replicas are declared"), "{}", denial(&both));
}

#[test]
fn scope_decides_about_fields_that_nobody_declares() {
    let mut sidecar = deployment();
    sidecar["spec"]["template"] = json!({"spec": {"containers": [{"name": "spy"}]}});
    let mut restarted = deployment();
    restarted["spec"]["template"] = json!({"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": "now"}}});
    let text = denial(&Review { new: Some(sidecar.clone()), ..Review::default() });
    assert!(
        text.contains("spec.template.spec.containers is not declared in Secret default/s1 and would be removed."),
        "{text}"
    );
    let declared = json!({"spec": {"protection": {"scope": "Declared"}}});
    assert!(check(&Review { new: Some(sidecar), mr: declared, ..Review::default() }).is_allowed());
    assert!(check(&Review { new: Some(restarted), ..Review::default() }).is_allowed(), "kubectl rollout restart");
}

#[test]
fn marks_of_ours_are_called_reserved() {
    let text = denial(&edit("/metadata/labels", json!({})));
    let mut changed = deployment();
    changed["metadata"]["labels"]["resources.gardener.cloud/protection"] = json!("off");
    let once = denial(&Review { new: Some(changed), ..Review::default() });
    assert!(once.contains(": metadata.labels[resources.gardener.cloud/protection] is reserved for Holdfast"), "{once}");
    assert!(text.contains("metadata.labels.app is declared in Secret default/s1 and would be reset; metadata.labels[resources.gardener.cloud/protection] is reserved for Holdfast and would be reset."), "{text}");
}

#[test]
fn only_what_is_held_is_refused() {
    for (case, pointer, value, refused) in [
        ("nothing", "/spec/replicas", json!(2), false),
        ("declared field", "/spec/replicas", json!(3), true),
        ("undeclared field", "/spec/minReadySeconds", json!(3), true),
        ("status", "/status/replicas", json!(3), false),
        ("declared label", "/metadata/labels/app", json!("x"), true),
        (
            "foreign label",
            "/metadata/labels",
            json!({"resources.gardener.cloud/protection": "deny", "app": "nginx", "team": "a"}),
            false,
        ),
        ("our label stripped", "/metadata/labels", json!({"app": "nginx"}), true),
        ("our annotation stripped", "/metadata/annotations", json!({}), true),
        (
            "a reserved annotation added",
            "/metadata/annotations",
            json!({"resources.gardener.cloud/origin": "default/example", "resources.gardener.cloud/keep-object": "true"}),
            true,
        ),
        ("our entry removed", "/metadata/managedFields", json!([]), true),
    ] {
        assert_eq!(!check(&edit(pointer, value)).is_allowed(), refused, "{case}");
    }
    let mut owned = deployment();
    owned["metadata"]["ownerReferences"] = json!([{"uid": "x"}]);
    assert!(denial(&Review { new: Some(owned), ..Review::default() }).contains("metadata.ownerReferences"));
}

#[test]
fn status_subresource_is_judged_by_its_metadata_only() {
    let status = |new: Value| Review { subresource: "status", new: Some(new), ..Review::default() };
    assert!(check(&status(with(deployment(), "/status/replicas", json!(7)))).is_allowed());
    assert!(!check(&status(with(deployment(), "/metadata/labels", json!({})))).is_allowed());
}

/// Other subresources also send the whole object. The message names the field, and tells how to debug.
#[test]
#[expect(clippy::too_many_lines, reason = "two tables")]
fn other_subresources_are_judged_field_by_field() {
    let mut own = deployment();
    own["spec"]["containers"] = json!([{"name": "main", "resources": {"requests": {"cpu": "1"}}}]);
    own["metadata"]["managedFields"][0]["fieldsV1"]["f:spec"]["f:containers"] =
        json!({r#"k:{"name":"main"}"#: {".": {}, "f:name": {}, "f:resources": {"f:requests": {"f:cpu": {}}}}});
    let resources = "/spec/containers/0/resources";
    let debugger = |name: &str| json!({"name": name, "image": "busybox"});
    let mut watched = own.clone();
    watched["spec"]["ephemeralContainers"] = json!([debugger("one"), debugger("two")]);
    let mut again = watched.clone();
    again["spec"]["ephemeralContainers"] = json!([debugger("one"), debugger("two"), debugger("three")]);
    let resized = |value: Value| with(own.clone(), resources, value);
    let copy =
        "Debug a copy of it with: kubectl debug nginx -n default -it --image=IMAGE --copy-to=COPY, or pause it until ";
    for (subresource, old, new, expected) in [
        (
            "ephemeralcontainers",
            &own,
            watched.clone(),
            [
                "spec.ephemeralContainers[name=one] and spec.ephemeralContainers[name=two] are not declared in Secret default/s1 and cannot be removed again",
                copy,
            ],
        ),
        (
            "ephemeralcontainers",
            &watched,
            again,
            [
                "spec.ephemeralContainers[name=three] is not declared in Secret default/s1 and cannot be removed again",
                copy,
            ],
        ),
        (
            "resize",
            &own,
            resized(json!({"requests": {"cpu": "2"}})),
            [
                "spec.containers[name=main].resources.requests.cpu is declared in Secret default/s1 and would be reset",
                "Change the Secret, or",
            ],
        ),
        (
            "resize",
            &own,
            resized(json!({"requests": {"cpu": "1"}, "limits": {"cpu": "2"}})),
            [
                "spec.containers[name=main].resources.limits.cpu is not declared in Secret default/s1 and would be removed",
                "Change the Secret, or",
            ],
        ),
    ] {
        let text = denial(&Review { subresource, old: Some(old.clone()), new: Some(new), ..Review::default() });
        assert!(expected.iter().all(|part| text.contains(part)), "{subresource}: {text}");
    }
    let same =
        |mr| Review { subresource: "resize", old: Some(own.clone()), new: Some(own.clone()), mr, ..Review::default() };
    assert!(check(&same(json!({}))).is_allowed());
    let declared = json!({"spec": {"protection": {"scope": "Declared"}}});
    let added = Review {
        subresource: "ephemeralcontainers",
        old: Some(own),
        new: Some(watched),
        mr: declared,
        ..Review::default()
    };
    assert!(check(&added).is_allowed(), "an addition");
}

#[test]
fn scale_finds_its_parent_by_resource() {
    let scale = |replicas: i32| json!({"kind": "Scale", "metadata": {"name": "nginx", "namespace": "default"}, "spec": {"replicas": replicas}});
    let case = |new| Review { subresource: "scale", old: Some(scale(2)), new: Some(scale(new)), ..Review::default() };
    assert!(denial(&case(3)).contains("spec.replicas is declared"));
    assert!(check(&case(2)).is_allowed());
}

/// The inventory records it, so that even a Scale can be judged, which has no data of its parent.
#[test]
fn what_is_left_to_others_may_be_changed_and_nothing_beside_it() {
    let mut own = deployment();
    own["spec"]["template"] = json!({"spec": {"containers": [{"name": "main", "image": "x"}]}});
    let resources = json!([{"name": "main", "image": "x", "resources": {"requests": {"cpu": "1"}}}]);
    let edited = |pointer: &str, value: Value| Some(with(own.clone(), pointer, value));
    let containers = "/spec/template/spec/containers";
    let scale = |replicas: i32| json!({"kind": "Scale", "spec": {"replicas": replicas}});
    let mut restarted = own.clone();
    restarted["spec"]["template"]["metadata"] = json!({"annotations": {"kubectl.kubernetes.io/restartedAt": "now"}});
    for (preserved, is_scaled, is_sized) in [("", false, false), ("replicas", true, false), ("resources", false, true)]
    {
        let mr = json!({"status": {"resources": [{
            "apiVersion": "apps/v1", "kind": "Deployment", "namespace": "default", "name": "nginx",
            "resource": "deployments", "source": "s1/k", "preserved": preserved
        }]}});
        for (what, new, is_allowed) in [
            ("replicas", edited("/spec/replicas", json!(5)), is_scaled),
            ("resources", edited(containers, resources.clone()), is_sized),
            ("a restart", Some(restarted.clone()), true),
            ("another container", edited(containers, json!([{"name": "main", "image": "x"}, {"name": "spy"}])), false),
            ("paused", edited("/spec/paused", json!(true)), false),
            ("both", edited("/spec", json!({"replicas": 5, "paused": true})), false),
        ] {
            let case = Review { old: Some(own.clone()), new, mr: mr.clone(), ..Review::default() };
            assert_eq!(check(&case).is_allowed(), is_allowed, "{what} with {preserved:?}");
        }
        let case = Review { subresource: "scale", old: Some(scale(2)), new: Some(scale(3)), mr, ..Review::default() };
        assert_eq!(check(&case).is_allowed(), is_scaled, "scale with {preserved:?}");
    }
}

#[test]
fn deletion_is_refused_unless_it_has_begun() {
    let delete = |old| Review { operation: Operation::Delete, old: Some(old), new: None, ..Review::default() };
    assert!(denial(&delete(deployment())).contains("would be created again. Remove it from Secret default/s1"));
    let mut terminating = deployment();
    terminating["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    assert!(check(&delete(terminating)).is_allowed());
}

#[test]
fn creation_is_refused_only_where_claimed() {
    let create = |object| Review { operation: Operation::Create, old: None, new: Some(object), ..Review::default() };
    assert!(!check(&create(deployment())).is_allowed());
    match check(&create(with(deployment(), "/metadata/name", json!("other")))) {
        Verdict::Allow { warnings, .. } => assert_eq!(warnings.len(), 1),
        other => panic!("{other:?}"),
    }
}

#[test]
fn who_and_whose_decide_before_what() {
    for (case, username, extra) in [
        ("ourselves", "us", json!({})),
        ("a controller of the control plane", "system:serviceaccount:kube-system:deployment-controller", json!({})),
        ("paused", "alice", json!({"metadata": {"annotations": {"resources.gardener.cloud/ignore": "true"}}})),
        ("mode Off", "alice", json!({"spec": {"protection": {"mode": "Off"}}})),
        (
            "mode Off by annotation",
            "alice",
            json!({"metadata": {"annotations": {"resources.gardener.cloud/protection": "off"}}}),
        ),
        ("MR being deleted", "alice", json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}})),
        ("not in the inventory", "alice", json!({"status": {"resources": []}})),
    ] {
        let case_ = Review { username, mr: extra, ..edit("/spec/replicas", json!(9)) };
        assert!(check(&case_).is_allowed(), "{case}");
    }
}

#[test]
fn an_unknown_index_follows_the_failure_policy() {
    let old = deployment();
    let request = |subresource| Request {
        operation: Operation::Update,
        group: "apps",
        version: "v1",
        resource: "deployments",
        kind: "Deployment",
        subresource,
        namespace: "default",
        name: "nginx",
        username: "alice",
        groups: &[],
        object: Some(&old),
        old_object: Some(&old),
        now: now(),
    };
    for (fail_closed, subresource, allowed) in [(false, "", true), (true, "", false), (true, "scale", true)] {
        let rules = Rules { fail_closed, ..Rules::default() };
        assert_eq!(judge(&request(subresource), None, &rules).is_allowed(), allowed);
    }
    let rules = Rules { fail_closed: true, ..Rules::default() };
    let label = |mode: &str| json!({names::LABEL_PROTECTION: mode});
    for (mode, manager, allowed) in
        [("off", names::PAUSE_MANAGER, true), ("off", "kubectl", false), ("deny", names::PAUSE_MANAGER, false)]
    {
        let old = json!({"metadata": {"name": "a", "labels": label(mode), "managedFields": [{"manager": manager}]}});
        let request = Request { old_object: Some(&old), ..request("") };
        assert_eq!(judge(&request, None, &rules).is_allowed(), allowed, "{mode} by {manager}");
    }
}
