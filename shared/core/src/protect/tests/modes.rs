//! Which decision each mode makes about each kind of request.
use super::*;
use crate::protect::Decision;

fn in_mode(mode: &str, case: Review) -> Review {
    Review { mr: json!({"spec": {"protection": {"mode": mode}}}), ..case }
}

fn requests() -> Vec<(&'static str, Review)> {
    let scale =
        |replicas: i32| Some(json!({"kind": "Scale", "metadata": {"name": "nginx"}, "spec": {"replicas": replicas}}));
    vec![
        ("edit", edit("/spec/replicas", json!(5))),
        ("scale", Review { subresource: "scale", old: scale(2), new: scale(5), ..Review::default() }),
        ("status", Review { subresource: "status", ..edit("/metadata/labels", json!({})) }),
        ("deletion", Review { operation: Operation::Delete, new: None, ..Review::default() }),
        ("creation", Review { operation: Operation::Create, old: None, ..Review::default() }),
        ("no change", Review::default()),
    ]
}

/// Returns the decision of `/revert`, and the decision of `/protect` about its result.
fn decisions(case: &Review, rules: &Rules) -> [Option<Decision>; 2] {
    let first = check_by(case, rules, revert);
    let new = match &first {
        Verdict::Revert { patch, .. } => Some(revert::tests::patched(case.new.clone().unwrap(), patch)),
        _ => case.new.clone(),
    };
    let second = Review { new, mr: case.mr.clone(), old: case.old.clone(), ..*case };
    [first.decision(), check_by(&second, rules, judge).decision()]
}

#[test]
fn each_mode_decides_in_its_way() {
    use Decision::{Deny, Revert, Warn, WouldDeny};
    for (mode, edit, other) in [
        ("Deny", [None, Some(Deny)], [None, Some(Deny)]),
        ("Revert", [Some(Revert), None], [None, Some(Deny)]),
        ("Warn", [None, Some(Warn)], [None, Some(Warn)]),
        ("Off", [None, None], [None, None]),
    ] {
        for (what, case) in requests() {
            let expected = match what {
                "edit" => edit,
                "no change" => [None, None],
                _ => other,
            };
            let case = in_mode(mode, case);
            assert_eq!(decisions(&case, &Rules::default()), expected, "{what} in mode {mode}");
            let refusing = matches!(mode, "Deny" | "Revert") && what != "no change";
            let audit_only = Rules { audit_only: true, ..Rules::default() };
            let expected = if refusing { [None, Some(WouldDeny)] } else { expected };
            assert_eq!(decisions(&case, &audit_only), expected, "{what} in mode {mode} while we only watch");
            let free = Review { username: "us", ..case };
            assert_eq!(decisions(&free, &Rules::default()), [None, None], "{what} in mode {mode} by ourselves");
        }
    }
}

#[test]
fn the_mode_is_the_annotations_then_the_specs_then_the_default() {
    let annotated = |value: &str| json!({"metadata": {"annotations": {"resources.gardener.cloud/protection": value}}});
    for (what, mut extra, spec, default, expected) in [
        ("default", json!({}), None, Mode::Deny, Some(Mode::Deny)),
        ("another default", json!({}), None, Mode::Warn, Some(Mode::Warn)),
        ("spec", json!({}), Some("Warn"), Mode::Deny, Some(Mode::Warn)),
        ("annotation", annotated("DENY"), Some("Warn"), Mode::Off, Some(Mode::Deny)),
        ("annotation off", annotated("off"), Some("Deny"), Mode::Deny, None),
        ("an invalid one is the default, not the spec's", annotated("dney"), Some("Off"), Mode::Warn, Some(Mode::Warn)),
    ] {
        if let Some(mode) = spec {
            json_merge(&mut extra, &json!({"spec": {"protection": {"mode": mode}}}));
        }
        let case = Review { mr: extra, ..edit("/spec/replicas", json!(5)) };
        let rules = Rules { default_mode: default, ..Rules::default() };
        assert_eq!(check_by(&case, &rules, judge).mode(), expected, "{what}");
    }
}

#[test]
fn warnings_say_when_the_edit_is_undone_and_trials_what_would_be_refused() {
    let warnings = |verdict| match verdict {
        Verdict::Allow { warnings, .. } | Verdict::Revert { warnings, .. } => warnings.join("|"),
        Verdict::Deny { message, .. } => panic!("{message}"),
    };
    let warn = |case, rules: &Rules| warnings(check_by(&in_mode("Warn", case), rules, judge));
    let rules = Rules::default();
    assert_eq!(
        warn(edit("/spec/replicas", json!(5)), &rules),
        "deployments.apps \"nginx\" is managed by ManagedResource default/example: spec.replicas is declared in Secret default/s1 and will be reset at once. \
         Change the Secret, or pause it until 2026-01-01T13:00:00Z with: kubectl patch mr -n default example --type=merge -p \
         '{\"spec\":{\"protection\":{\"pauses\":[{\"group\":\"apps\",\"kind\":\"Deployment\",\"name\":\"nginx\",\"namespace\":\"default\",\
         \"reason\":\"WHY\",\"until\":\"2026-01-01T13:00:00Z\"}]}}}'"
    );
    let deletion = || Review { operation: Operation::Delete, new: None, ..Review::default() };
    let resync = Rules { default_repair: crate::api::Repair::Resync, ..Rules::default() };
    assert!(
        warn(deletion(), &resync)
            .contains("and will be created again at the next sync. Remove it from Secret default/s1, or pause")
    );
    let creation = Review { operation: Operation::Create, old: None, ..Review::default() };
    assert!(
        warn(creation, &rules).contains(", which creates it from Secret default/s1 and will put it right at once. ")
    );

    let put_back = |new: Value| {
        let case = in_mode("Revert", Review { new: Some(new), ..Review::default() });
        warnings(check_by(&case, &rules, revert))
    };
    let scaled = with(deployment(), "/spec/replicas", json!(5));
    assert!(put_back(scaled.clone()).contains(
        ": spec.replicas is declared in Secret default/s1 and was put back; nothing was changed. Change the Secret, or"
    ));
    let mut partly = scaled;
    partly["metadata"]["labels"]["team"] = json!("a");
    partly["spec"]["paused"] = json!(true);
    assert!(put_back(partly).contains(
        ": spec.paused and spec.replicas are declared in Secret default/s1 and were put back; the rest was kept. "
    ));

    let audit_only = Rules { audit_only: true, ..Rules::default() };
    let text = warnings(check_by(&edit("/spec/replicas", json!(5)), &audit_only, judge));
    assert!(text.starts_with("this would be refused, but Holdfast only watches so far: deployments.apps"), "{text}");
}

#[test]
fn an_unknown_index_is_told_of_while_we_only_watch() {
    let rules = Rules { audit_only: true, fail_closed: true, ..Rules::default() };
    let (old, groups) = (deployment(), Vec::new());
    let request = Request {
        operation: Operation::Update,
        group: "apps",
        version: "v1",
        resource: "deployments",
        kind: "Deployment",
        subresource: "",
        namespace: "default",
        name: "nginx",
        username: "alice",
        groups: &groups,
        object: Some(&old),
        old_object: Some(&old),
        now: now(),
    };
    assert!(judge(&request, None, &rules).is_allowed());
    assert_eq!(revert(&request, None, &rules), Verdict::pass());
}
