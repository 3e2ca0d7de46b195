//! Exact scope: what others add is refused, and where it got in all the same is gone again, unless the ManagedResource says
//! that only declared fields are held. The mode Off lets edits in.
use holdfast_e2e::audit::AuditLog;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::harness::{SYSTEM, Test, text};

fn service(test: &Test, name: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: {}}}\nspec: {{selector: {{a: b}}, ports: [{{name: http, port: 80}}]}}\n---\n",
        test.ns
    )
}

/// The webhook lets edits pass; the controller repairs them.
#[tokio::test(flavor = "multi_thread")]
async fn additions_are_refused() {
    let test = Test::shared("exact").await;
    test.declare("mr", &[test.config_map("a", "one"), test.deployment("web")].concat()).await;
    for (args, field) in [
        (["configmap", "a", r#"{"data":{"extra":"x"}}"#], "data.extra"),
        (
            ["deployment", "web", r#"{"spec":{"template":{"spec":{"containers":[{"name":"spy","image":"spy"}]}}}}"#],
            "spec.template.spec.containers[name=spy]",
        ),
        (["deployment", "web", r#"{"spec":{"paused":true}}"#], "spec.paused"),
    ] {
        let output = test.alice.with(&["patch", args[0], args[1], "-p", args[2]]).await;
        let expected = format!("{field} is not declared in Secret {}/mr and would be removed", test.ns);
        assert!(!output.status.success() && output.stderr.contains(&expected), "{output:?}");
    }
    // Restarting a workload is nobody's business.
    test.alice.does("rollout restart deployment web").await;
    test.resync("mr").await;
    let restarted = "/spec/template/metadata/annotations/kubectl.kubernetes.io~1restartedAt";
    let web = test.get("deployments", "web").await.unwrap();
    assert!(web.pointer(restarted).is_some(), "{web}");
}

#[tokio::test(flavor = "multi_thread")]
async fn additions_of_others_are_removed_and_metadata_of_others_stays() {
    let test = Test::shared("exact").await;
    test.declare("mr", &[test.config_map("a", "one"), test.deployment("web"), service(&test, "svc")].concat())
        .mode("Off")
        .await;
    let uid = test.uid("deployments", "web").await;
    test.alice.does("annotate configmap a team=blue").await;

    for (command, resource, name, pointer) in [
        (r#"patch configmap a -p {"data":{"extra":"x"}}"#, "configmaps", "a", "/data/extra"),
        (
            r#"patch deployment web -p {"spec":{"template":{"spec":{"containers":[{"name":"spy","image":"spy"}]}}}}"#,
            "deployments",
            "web",
            "/spec/template/spec/containers/1",
        ),
        (r#"patch deployment web -p {"spec":{"paused":true}}"#, "deployments", "web", "/spec/paused"),
        (r#"patch service svc -p {"spec":{"ports":[{"name":"more","port":81}]}}"#, "services", "svc", "/spec/ports/1"),
    ] {
        let before = text(&test.get(resource, name).await.unwrap(), "/metadata/resourceVersion");
        test.alice.does(command).await;
        let what = format!("{pointer} to vanish after: {command}");
        test.eventually(&what, || async {
            let object = test.try_get(resource, name).await?.ok_or("it is gone")?;
            let is_untouched = text(&object, "/metadata/resourceVersion") == before;
            let is_clean = object.pointer(pointer).is_none();
            if is_clean && !is_untouched { Ok(()) } else { Err(object.to_string()) }
        })
        .await;
    }
    test.has("configmaps", "a", "/data/k", "one").await;
    test.has("configmaps", "a", "/metadata/annotations/team", "blue").await;
    test.has("deployments", "web", "/spec/replicas", 2).await;
    assert_eq!(test.uid("deployments", "web").await, uid, "repaired in place");
}

#[tokio::test(flavor = "multi_thread")]
async fn declared_scope_leaves_additions_alone() {
    let test = Test::shared("declared").await;
    test.declare("mr", &test.config_map("a", "one")).scope("Declared").await;
    test.alice.does(r#"patch configmap a -p {"data":{"extra":"x"}}"#).await;
    test.resync("mr").await;
    test.has("configmaps", "a", "/data/extra", "x").await;
    test.has("configmaps", "a", "/data/k", "one").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_that_others_created_are_taken_over_in_place() {
    let test = Test::shared("adopt").await;
    let deployment = test.deployment("web");
    let manifests = [test.config_map("a", "one"), deployment, service(&test, "svc")].concat();
    let printed = test.admin.send("create", &manifests).await;
    assert!(printed.status.success(), "{printed:?}");
    test.alice.does(r#"patch configmap a -p {"data":{"extra":"x"}}"#).await;
    let mut before = Vec::new();
    for (resource, name) in [("configmaps", "a"), ("deployments", "web"), ("services", "svc")] {
        before.push((resource, name, test.get(resource, name).await.unwrap()));
    }

    test.declare("mr", &manifests).await;

    for (resource, name, before) in before {
        let after = test.get(resource, name).await.unwrap();
        for pointer in ["/metadata/uid", "/spec/clusterIP", "/spec/ports", "/spec/replicas", "/spec/strategy"] {
            assert_eq!(after.pointer(pointer), before.pointer(pointer), "{resource} {name} {pointer}");
        }
    }
    test.has("configmaps", "a", "/data", json!({"k": "one"})).await;
}

/// A restart reads the inventory and applies nothing that is in sync; what changed meanwhile is repaired.
#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_controller_applies_only_what_moved() {
    let test = Test::own("recall").await;
    let mut manifests = test.deployment("web");
    for number in 0..30 {
        manifests.push_str(&test.config_map(&format!("c-{number}"), "one"));
    }
    test.declare("mr", &manifests).mode("Off").await;
    test.has("deployments", "web", "/status/replicas", 2).await;

    let mut log = AuditLog::from_now(&test.cluster.control_plane.audit_log()).unwrap();
    let pod = test.cluster.controller().unwrap();
    pod.signal(Signal::KILL).unwrap();
    test.eventually("the controller to be ready after its restart", || async {
        let pod = test.cluster.controller()?;
        if pod.ready && pod.restarts > 0 { Ok(()) } else { Err(format!("{pod} has restarted {} times", pod.restarts)) }
    })
    .await;
    // Proof that it works again: an addition is removed.
    test.alice.does(r#"patch configmap c-7 -p {"data":{"extra":"x"}}"#).await;
    test.has("configmaps", "c-7", "/data/extra", Value::Null).await;

    let user = format!("system:serviceaccount:{SYSTEM}:holdfast-controller");
    let patched: Vec<String> = log
        .read_of(&user)
        .unwrap()
        .into_iter()
        .filter(|request| request.verb == "patch" && ["configmaps", "deployments"].contains(&request.resource.as_str()))
        .map(|request| request.name)
        .collect();
    assert!(!patched.is_empty() && patched.iter().all(|name| name == "c-7"), "{patched:?}");
}
