//! Pauses at admission.
use super::*;
use crate::protect::Decision;

fn warning(case: &Review) -> Option<String> {
    match check(case) {
        Verdict::Allow { mut warnings, audit } => {
            assert_eq!(audit.get("decision").map(String::as_str), (!warnings.is_empty()).then_some("paused"));
            warnings.pop()
        }
        Verdict::Deny { .. } => None,
        other @ Verdict::Revert { .. } => panic!("{other:?}"),
    }
}

#[test]
fn edits_of_paused_objects_pass_until_the_pause_ends() {
    let pause = |kind: &str, until: &str| json!({"spec": {"protection": {"pauses": [{"kind": kind, "until": until}]}}});
    let edit = |mr: Value| Review { mr, ..edit("/spec/replicas", json!(9)) };
    let subject = "deployments.apps \"nginx\" is managed by ManagedResource default/example and is paused until";
    assert_eq!(
        warning(&edit(pause("Deployment", "2026-01-01T12:00:01Z"))).unwrap(),
        format!("{subject} 2026-01-01T12:00:01Z: the change will be undone then")
    );
    for (case, mr) in [
        ("over", pause("Deployment", "2026-01-01T12:00:00Z")),
        ("another object", pause("ConfigMap", "2026-01-02T00:00:00Z")),
        ("unreadable", pause("Deployment", "soon")),
    ] {
        assert!(denial(&edit(mr)).contains("is declared in"), "{case}");
    }
    let ignored = json!({"metadata": {"annotations": {"resources.gardener.cloud/ignore": "true"}}});
    let text = warning(&edit(ignored)).unwrap();
    assert!(text.contains("until annotation resources.gardener.cloud/ignore is taken off"), "{text}");
    let paused = pause("Deployment", "2026-01-02T00:00:00Z");
    let delete = Review { operation: Operation::Delete, new: None, mr: paused.clone(), ..Review::default() };
    assert!(warning(&delete).unwrap().ends_with("it will be created again then"));
    assert_eq!(check(&Review { mr: paused, ..Review::default() }), Verdict::pass(), "nothing is changed");
}

#[test]
fn the_command_in_a_message_keeps_other_pauses_and_is_not_too_long() {
    let other = json!({"spec": {"protection": {"pauses": [{"kind": "Other", "until": "2026-01-02T00:00:00Z"}]}}});
    let text = denial(&Review { mr: other, ..edit("/spec/replicas", json!(9)) });
    assert!(text.contains("--type=json -p '[{\"op\":\"add\",\"path\":\"/spec/protection/pauses/-\""), "{text}");
    let short = Rules { longest_pause: std::time::Duration::from_secs(60), ..Rules::default() };
    let Verdict::Deny { message, .. } = check_by(&edit("/spec/replicas", json!(9)), &short, judge) else {
        panic!("not refused");
    };
    assert!(message.contains("pause it until 2026-01-01T12:01:00Z with: "), "{message}");
}

#[test]
fn the_command_can_be_pasted_whatever_the_name() {
    for (name, written) in [
        ("team:a b?c#d@e+f&g", "team:a b?c#d@e+f&g"),
        ("ü'; reboot", r"ü'\''; reboot"),
        ("$(reboot)`reboot`", "$(reboot)`reboot`"),
        ("a\nb\u{9b}2J", r"a\nb\u009b2J"),
    ] {
        let resources = json!({"status": {"resources": [{
            "apiVersion": "apps/v1", "kind": "Deployment", "namespace": "default", "name": name, "resource": "deployments",
        }]}});
        let named = |value: Value| with(value, "/metadata/name", json!(name));
        let edit = edit("/spec/replicas", json!(9));
        let [old, new] = [edit.old, edit.new].map(|object| object.map(named));
        let text = denial(&Review { old, new, mr: resources, operation: edit.operation, ..Review::default() });
        assert!(text.starts_with(&format!("deployments.apps {name:?} is managed by")), "{text}");
        assert!(text.contains(&format!("\"name\":\"{written}\",\"namespace\"")), "{text}");
        assert!(text.contains(" --type=merge -p '{") && text.ends_with("}'") && text.lines().count() == 1, "{text}");
    }
}

#[test]
fn a_managed_resource_that_is_managed_can_be_paused() {
    let child = || {
        json!({
            "apiVersion": "resources.gardener.cloud/v1alpha1", "kind": "ManagedResource",
            "metadata": {"name": "child", "namespace": "default", "managedFields": [{
                "manager": "holdfast", "operation": "Apply", "fieldsV1": {"f:spec": {"f:secretRefs": {}}}
            }]},
            "spec": {"secretRefs": [{"name": "s"}]}
        })
    };
    let parent = json!({"status": {"resources": [{
        "apiVersion": "resources.gardener.cloud/v1alpha1", "kind": "ManagedResource", "namespace": "default", "name": "child"
    }]}});
    let forced = json!({"spec": {"forceOverwriteAnnotations": true}});
    for (extra, is_allowed) in [
        (json!({"spec": {"protection": {"pauses": [{"name": "x", "until": "2026-01-01T13:00:00Z"}]}}}), true),
        (json!({"metadata": {"annotations": {"resources.gardener.cloud/ignore": "true"}}}), true),
        (json!({"metadata": {"annotations": {"resources.gardener.cloud/protection": "off"}}}), false),
        (json!({"spec": {"protection": {"mode": "Off"}}}), false),
        (json!({"spec": {"secretRefs": []}}), false),
    ] {
        let (mut new, mut mr_) = (child(), parent.clone());
        json_merge(&mut new, &extra);
        json_merge(&mut mr_, &forced);
        let mut index = Index::default();
        index.upsert(&example(&mr_));
        let old = child();
        let request = Request {
            operation: Operation::Update,
            group: "resources.gardener.cloud",
            version: "v1alpha1",
            resource: "managedresources",
            kind: "ManagedResource",
            subresource: "",
            namespace: "default",
            name: "child",
            username: "alice",
            groups: &[],
            object: Some(&new),
            old_object: Some(&old),
            now: now(),
        };
        assert_eq!(judge(&request, Some(&index), &Rules::default()).is_allowed(), is_allowed, "{extra}");
    }
}

#[test]
fn a_paused_object_passes_in_every_mode_also_while_we_only_watch() {
    for mode in ["Deny", "Revert", "Warn", "Off"] {
        let mr = json!({"spec": {"protection": {"mode": mode, "pauses": [{"until": "2026-01-02T00:00:00Z"}]}}});
        let case = Review { mr, ..edit("/spec/replicas", json!(9)) };
        let expected = (mode != "Off").then_some(Decision::Paused);
        for audit_only in [false, true] {
            let rules = Rules { audit_only, ..Rules::default() };
            let verdict = check_by(&case, &rules, judge);
            assert!(verdict.is_allowed() && verdict.decision() == expected, "{mode}: {verdict:?}");
            let before = check_by(&case, &rules, revert);
            assert!(matches!(before, Verdict::Allow { .. }), "{mode}: the edit is not put back: {before:?}");
        }
    }
}
