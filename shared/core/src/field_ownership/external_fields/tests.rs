use serde_json::json;

use super::*;
use crate::{field_ownership::preserve::Preserve, key::ObjectKey};

fn has_foreign(managed_fields: &[Value], kind: &str) -> bool {
    !ExternalFields::new(managed_fields, kind, Scope::Exact).is_empty()
}

fn ours(fields: &Value) -> Value {
    json!({"manager": "holdfast", "operation": "Apply", "apiVersion": "apps/v1", "fieldsV1": fields})
}

fn theirs(manager: &str, version: &str, fields: &Value) -> Value {
    json!({"manager": manager, "operation": "Update", "apiVersion": version, "fieldsV1": fields})
}

#[test]
fn an_added_container_becomes_ours_and_a_foreign_label_stays_theirs() {
    let sidecar = json!({"f:spec": {"f:template": {"f:spec": {"f:containers": {"k:{\"name\":\"spy\"}": {".": {}, "f:name": {}, "f:image": {}}}}}}});
    let mut edit = sidecar.clone();
    edit["f:metadata"] = json!({"f:labels": {"f:team": {}}});
    let entries = [ours(&json!({"f:spec": {"f:replicas": {}}})), theirs("kubectl-edit", "apps/v1", &edit)];
    assert!(has_foreign(&entries, "Deployment"));
    assert_eq!(ExternalFields::new(&entries, "Deployment", Scope::Exact).managers(), ["kubectl-edit"]);
    let adopted = ExternalFields::new(&entries, "Deployment", Scope::Exact).adopted().unwrap();
    assert_eq!(adopted.len(), 2);
    assert_eq!(adopted[0]["fieldsV1"]["f:spec"]["f:template"], sidecar["f:spec"]["f:template"]);
    assert_eq!(adopted[0]["fieldsV1"]["f:spec"]["f:replicas"], json!({}));
    assert_eq!(adopted[1]["fieldsV1"], json!({"f:metadata": {"f:labels": {"f:team": {}}}}));
    assert!(!has_foreign(&adopted, "Deployment"));
}

#[test]
fn entries_that_are_emptied_go() {
    let entries = [
        ours(&json!({"f:data": {"f:a": {}}})),
        theirs("kubectl-edit", "apps/v1", &json!({"f:data": {".": {}, "f:b": {}}})),
    ];
    let adopted = ExternalFields::new(&entries, "ConfigMap", Scope::Exact).adopted().unwrap();
    assert_eq!(adopted.len(), 1);
    assert_eq!(adopted[0]["fieldsV1"], json!({"f:data": {".": {}, "f:a": {}, "f:b": {}}}));
}

#[test]
fn what_others_may_write_does_not_count() {
    for (case, kind, entry) in [
        ("metadata", "ConfigMap", theirs("x", "v1", &json!({"f:metadata": {"f:annotations": {"f:a": {}}}}))),
        ("status", "Widget", theirs("x", "v1", &json!({"f:status": {"f:a": {}}}))),
        (
            "a bound claim",
            "PersistentVolumeClaim",
            theirs("kube-controller-manager", "v1", &json!({"f:spec": {"f:volumeName": {}}})),
        ),
        (
            "an injected CA",
            "ValidatingWebhookConfiguration",
            theirs(
                "cainjector",
                "v1",
                &json!({"f:webhooks": {"k:{\"name\":\"a\"}": {"f:clientConfig": {"f:caBundle": {}}}}}),
            ),
        ),
        ("our own plain write", "ConfigMap", theirs("holdfast", "v1", &json!({"f:data": {"f:a": {}}}))),
        (
            "a restart",
            "Deployment",
            theirs(
                "kubectl-rollout",
                "apps/v1",
                &json!({"f:spec": {"f:template": {"f:metadata": {"f:annotations": {".": {}, "f:kubectl.kubernetes.io/restartedAt": {}}}}}}),
            ),
        ),
        ("our own", "ConfigMap", ours(&json!({"f:data": {}}))),
    ] {
        assert!(!has_foreign(&[entry], kind), "{case}");
    }
    let scale = |manager: &str| {
        let mut entry = theirs(manager, "apps/v1", &json!({"f:spec": {"f:replicas": {}}}));
        entry["subresource"] = json!("scale");
        entry
    };
    assert!(!has_foreign(&[scale("kube-controller-manager")], "Deployment"), "an autoscaler");
    assert!(has_foreign(&[scale("kubectl")], "Deployment"), "a person");
}

#[test]
fn what_is_left_of_our_plain_writes_is_taken_over_by_apply() {
    let entries = [ours(&json!({"f:spec": {}})), theirs("holdfast", "apps/v1", &json!({"f:spec": {"f:paused": {}}}))];
    assert!(has_foreign(&entries, "Deployment"));
    assert_eq!(ExternalFields::new(&entries, "Deployment", Scope::Exact).adopted().unwrap().len(), 1);
}

#[test]
fn a_trusted_name_covers_only_its_paths() {
    let entry = theirs("kube-controller-manager", "v1", &json!({"f:spec": {"f:volumeName": {}, "f:resources": {}}}));
    assert!(has_foreign(&[entry], "PersistentVolumeClaim"));
}

#[test]
fn changes_of_declared_fields_need_no_adoption() {
    let body = json!({"spec": {"replicas": 2, "template": {"spec": {"containers": [{"name": "app", "image": "a"}]}}}});
    let image = |name: &str| json!({"f:spec": {"f:template": {"f:spec": {"f:containers": {(format!("k:{{\"name\":\"{name}\"}}")): {".": {}, "f:image": {}}}}}}});
    assert!(
        ExternalFields::new(&[theirs("x", "apps/v1", &image("app"))], "Deployment", Scope::Exact).is_declared(&body)
    );
    assert!(
        !ExternalFields::new(&[theirs("x", "apps/v1", &image("spy"))], "Deployment", Scope::Exact).is_declared(&body)
    );
    assert!(
        !ExternalFields::new(
            &[theirs("x", "apps/v1", &json!({"f:spec": {"f:paused": {}}}))],
            "Deployment",
            Scope::Exact
        )
        .is_declared(&body)
    );
}

#[test]
fn without_an_entry_of_ours_or_in_another_version_nothing_is_moved() {
    let edit = |version| theirs("x", version, &json!({"f:spec": {"f:paused": {}}}));
    assert!(ExternalFields::new(&[edit("apps/v1")], "Deployment", Scope::Exact).adopted().is_none());
    assert!(
        ExternalFields::new(&[ours(&json!({"f:spec": {}})), edit("apps/v1beta2")], "Deployment", Scope::Exact)
            .adopted()
            .is_none()
    );
}

#[test]
fn owner_references_count_in_both_scopes_and_on_every_way() {
    let owners =
        json!({"f:metadata": {"f:labels": {"f:a": {}}, "f:ownerReferences": {".": {}, "k:{\"uid\":\"u\"}": {}}}});
    let mut through_status = theirs("x", "v1", &owners);
    through_status["subresource"] = json!("status");
    for entry in [theirs("x", "v1", &owners), through_status] {
        for scope in [Scope::Exact, Scope::Declared] {
            let entries = [ours(&json!({"f:spec": {}})), entry.clone()];
            let foreign = ExternalFields::new(&entries, "ConfigMap", scope);
            assert!(!foreign.is_empty() && !foreign.is_declared(&json!({"metadata": {}})));
            let taken = Value::Object(foreign.relevant(&entry));
            assert_eq!(taken, json!({"f:metadata": {"f:ownerReferences": owners["f:metadata"]["f:ownerReferences"]}}));
        }
    }
    let taken_in = theirs("kube-controller-manager", "v1", &owners);
    assert!(!has_foreign(&[taken_in], "Pod"), "by a workload");
}

#[test]
fn fields_of_another_version_go_to_a_manager_of_their_own() {
    let entries = [
        ours(&json!({"f:spec": {"f:maxReplicas": {}}})),
        theirs("x", "apps/v1beta2", &json!({"f:metadata": {"f:labels": {"f:a": {}}}, "f:spec": {"f:paused": {}}})),
        theirs("y", "apps/v1beta2", &json!({"f:spec": {"f:other": {}}})),
    ];
    let foreign = ExternalFields::new(&entries, "Deployment", Scope::Exact);
    assert_eq!(foreign.adopted(), None);
    let other_version = foreign.other_version().unwrap();
    assert_eq!(other_version.api_version, "apps/v1beta2");
    assert_eq!(other_version.managed_fields.len(), 3);
    assert_eq!(other_version.managed_fields[1]["fieldsV1"], json!({"f:metadata": {"f:labels": {"f:a": {}}}}));
    let removal = &other_version.managed_fields[2];
    assert_eq!((removal["manager"].as_str(), removal["operation"].as_str()), (Some("holdfast-removal"), Some("Apply")));
    assert_eq!(removal["fieldsV1"], json!({"f:spec": {"f:paused": {}, "f:other": {}}}));
    assert_eq!(ExternalFields::new(&entries[..1], "Deployment", Scope::Exact).other_version(), None);
}

#[test]
fn changes_are_described_without_values() {
    let body = json!({"metadata": {"name": "n", "labels": {"app": "x", "keep": "y"}}, "spec": {"replicas": 2, "size": {"a": 1, "b": 2}}});
    let own = ours(&json!({"f:metadata": {"f:labels": {"f:keep": {}}}, "f:spec": {"f:size": {"f:a": {}}}}));
    let edit = theirs(
        "kubectl-edit",
        "apps/v1",
        &json!({"f:metadata": {"f:labels": {"f:app": {}, "f:team": {}}}, "f:spec": {"f:replicas": {}, "f:paused": {}}}),
    );
    let entries = [own, edit];
    let change = ExternalFields::new(&entries, "Deployment", Scope::Exact).change(&body);
    assert_eq!(change.to_string(), "kubectl-edit: metadata.labels.app, spec.paused, spec.replicas, spec.size.b");
    let entries =
        [ours(&json!({"f:spec": {"f:replicas": {}, "f:size": {}}, "f:metadata": {"f:labels": {"f:app": {}}}}))];
    let change = ExternalFields::new(&entries, "Deployment", Scope::Exact).change(&body);
    assert_eq!(change.to_string(), "metadata.labels.keep");
    let many = Change { managers: vec![], paths: (0..7).map(|n| format!("p{n}")).collect() };
    assert_eq!(many.to_string(), "p0, p1, p2, p3, p4 and 2 more");
}

#[test]
fn rules_are_written_by_others_only_where_roles_are_put_together() {
    let rules = theirs("kube-controller-manager", "rbac.authorization.k8s.io/v1", &json!({"f:rules": {}}));
    let aggregated = ours(&json!({"f:aggregationRule": {"f:clusterRoleSelectors": {}}}));
    assert!(!has_foreign(&[aggregated, rules.clone()], "ClusterRole"));
    assert!(has_foreign(&[ours(&json!({"f:metadata": {}})), rules], "ClusterRole"));
}

#[test]
fn what_is_left_alone_does_not_count_and_what_was_comes_back() {
    let key = crate::key::ObjectKey::new("apps", "Deployment", "", "");
    let replicas = json!({"f:spec": {"f:replicas": {}}});
    let mut scaled = theirs("kubectl", "apps/v1", &replicas);
    scaled["subresource"] = json!("scale");
    let declared = json!({"spec": {"replicas": 2}});
    for scope in [Scope::Exact, Scope::Declared] {
        for entry in [theirs("holdfast-released", "apps/v1", &replicas), scaled.clone()] {
            let is_released = entry["manager"] == "holdfast-released";
            let entries = [ours(&json!({"f:spec": {"f:paused": {}}})), entry];
            let foreign = ExternalFields::new(&entries, "Deployment", scope);
            let preserve = crate::field_ownership::preserve::Preserve::of(&key, &declared, true);
            assert!(foreign.clone().without(UnmanagedFields::new("Deployment", preserve)).is_empty());
            let preserve = crate::field_ownership::preserve::Preserve::of(&key, &declared, false);
            let ended = foreign.without(UnmanagedFields::new("Deployment", preserve));
            assert_eq!(ended.is_empty(), !is_released && scope == Scope::Declared);
            assert_eq!(ended.adopted().is_some(), !ended.is_empty());
        }
    }
}

#[test]
fn the_control_plane_alone_fills_the_tokens_of_service_accounts() {
    let key = |kind: &str| ObjectKey::new("", kind, "n", "bot-token");
    let preserve = |kind: &str, type_: &str| Preserve::of(&key(kind), &json!({ "type": type_ }), false);
    let token = preserve("Secret", "kubernetes.io/service-account-token");
    let own = json!({"f:type": {}, "f:data": {"f:mine": {}}, "f:metadata": {"f:annotations": {"f:kubernetes.io/service-account.name": {}}}});
    let filled = json!({
        "f:data": {".": {}, "f:ca.crt": {}, "f:namespace": {}, "f:token": {}},
        "f:metadata": {"f:annotations": {"f:kubernetes.io/service-account.uid": {}}},
    });
    let added = json!({"f:data": {"f:token": {}, "f:other": {}}});
    let other = json!({"f:data": {"f:other": {}}});
    let manager = "kube-controller-manager";
    let applied = json!({"manager": manager, "operation": "Apply", "apiVersion": "v1", "fieldsV1": filled});
    for (case, kind, preserve, entry, relevant) in [
        ("what it is for", "Secret", token, theirs(manager, "v1", &filled), json!({})),
        ("by others", "Secret", token, theirs("kubectl-edit", "v1", &added), added.clone()),
        ("something else in it", "Secret", token, theirs(manager, "v1", &added), other),
        ("applied in that name", "Secret", token, applied, json!({"f:data": filled["f:data"]})),
        (
            "another Secret",
            "Secret",
            preserve("Secret", "Opaque"),
            theirs(manager, "v1", &filled),
            json!({"f:data": filled["f:data"]}),
        ),
        (
            "another kind",
            "ConfigMap",
            preserve("ConfigMap", "kubernetes.io/service-account-token"),
            theirs(manager, "v1", &filled),
            json!({"f:data": filled["f:data"]}),
        ),
    ] {
        let entries = [ours(&own), entry];
        for annotations in [false, true] {
            let managed_scope = ManagedScope { annotations, ..ManagedScope::default() };
            let foreign =
                ExternalFields::new(&entries, kind, managed_scope).without(UnmanagedFields::new(kind, preserve));
            let found = Value::Object(foreign.relevant(&entries[1]));
            assert_eq!(found, relevant, "{case}, annotations of others removed: {annotations}");
        }
    }
}
