//! The admission policy: managed objects are protected while none of our processes runs, and what is not to be in the way is not.
use std::sync::Arc;

use holdfast_e2e::{cache, install};
use serde_json::{Value, json};

use crate::harness::{CONTROLLER, Cluster, PROTECTION, SYSTEM, Test, WEBHOOK, may, printed, text};

const POLICY: &str = "ValidatingAdmissionPolicy 'holdfast'";
const PUT_BACK: &str = "was put back";

/// On a control plane whose chart has the policy, which is in force.
async fn guarded(values: &[&str]) -> Test {
    let test = Test::on(Arc::new(Cluster::bare().await), "guard").await;
    let values = [&["guard.enabled=true"], values].concat();
    install::install(&test.cluster.control_plane, &test.cluster.player, &values).await.unwrap();
    test
}

/// Edits as alice, a cluster-admin; quotes are not known.
async fn policy_refuses(test: &Test, command: &str, because: &str) {
    let output = test.alice.run(command).await;
    let refusal = output.refusal().unwrap_or_else(|error| panic!("{command}: {error:#}"));
    assert!(refusal.contains(POLICY) && refusal.contains("is forbidden: "), "{command}: {refusal}");
    assert!(refusal.contains(because), "{command}: not because of {because}: {refusal}");
}

/// Stops all that is ours.
async fn stop(test: &Test) {
    for deployment in [CONTROLLER, WEBHOOK] {
        test.admin.does(&format!("scale deployment {deployment} --replicas=0 -n {SYSTEM}")).await;
    }
    test.eventually("no process of ours to be left", || async {
        let remaining = [CONTROLLER, WEBHOOK].map(|name| test.cluster.player.pods_of(name).len());
        if remaining == [0, 0] { Ok(()) } else { Err(format!("{remaining:?}")) }
    })
    .await;
}

fn with(manifest: &str, metadata: &str) -> String {
    manifest.replacen("metadata:\n", &format!("metadata:\n  {metadata}\n"), 1)
}

/// Objects of every kind of ManagedResource that the policy has to tell apart.
async fn declare_everything(test: &Test) {
    let role = format!(
        "{{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {{name: r, namespace: {}}}, rules: [{{apiGroups: [\"\"], \
         resources: [pods], verbs: [get]}}]}}\n---\n",
        test.ns
    );
    let service = format!(
        "{{apiVersion: v1, kind: Service, metadata: {{name: web, namespace: {}}}, spec: {{selector: {{app: web}}, ports: [{{port: 80}}]}}}}\n---\n",
        test.ns
    );
    let home = format!("{{apiVersion: v1, kind: Namespace, metadata: {{name: {}-home}}}}\n---\n", test.ns);
    let marked = with(
        &test.config_map("marked", "one"),
        "labels: {team: blue}\n  annotations: {note: hi}\n  finalizers: [e2e/f]",
    );
    let exact =
        [test.config_map("a", "one"), test.config_map("b", "one"), marked, role, service, home, test.deployment("web")];
    test.declare("mr", &exact.concat()).await;
    let none = test.deployment("none").replace("  replicas: 2\n", "");
    let retained =
        with(&test.deployment("kept"), "annotations: {resources.gardener.cloud/preserve-replicas: \"true\"}");
    let sized = with(&test.deployment("sized"), "annotations: {resources.gardener.cloud/preserve-resources: \"true\"}");
    test.declare("left", &[none, retained, sized].concat()).await;
    for (name, protection) in [
        ("reverting", json!({"mode": "Revert"})),
        ("warning", json!({"mode": "Warn"})),
        ("loose", json!({"mode": "Off"})),
        ("partly", json!({"scope": "Declared"})),
        ("ignoring", json!({"ignorePaths": [{"path": "/data/free"}]})),
        ("paused", json!({"pauses": [{"until": "2999-01-01T00:00:00Z", "reason": "e2e"}]})),
    ] {
        test.declare(name, &test.config_map(name, "one")).await;
        if name != "paused" {
            test.mr(name, &[name], json!({"protection": protection})).await;
            test.applied(name).await;
        }
    }
    let pause = r#"{"spec":{"protection":{"pauses":[{"until":"UNTIL","reason":"e2e"}]}}}"#;
    let until = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(2);
    let pause = pause.replace("UNTIL", &format!("{until:.0}"));
    may(test, &["patch", "managedresource", "paused", "--type=merge", "-p", &pause]).await;
    test.has("configmaps", "paused", PROTECTION, "off").await;
    // What CEL cannot tell is announced, and nothing else carries that.
    let guard = "/metadata/annotations/resources.gardener.cloud~1guard";
    for (name, expected) in [("partly", json!("metadata")), ("ignoring", json!("metadata")), ("a", Value::Null)] {
        test.has("configmaps", name, guard, expected).await;
    }
    // It takes the API server a moment to obey a new policy. A dry run is not for the webhook alone.
    test.eventually("the policy to be in force", || async {
        let output = test.alice.run("delete configmap b --dry-run=server").await;
        if printed(&output).contains(POLICY) { Ok(()) } else { Err(printed(&output)) }
    })
    .await;
}

/// With our processes at work, all is as it is without the policy.
async fn modes_are_what_they_were(test: &Test) {
    policy_refuses(test, r#"patch configmap a -p {"data":{"k":"two"}}"#, "data would be reset").await;
    let before = test.get("configmaps", "reverting").await.unwrap();
    let printed = test.alice.does(r#"patch configmap reverting -p {"data":{"k":"two"}}"#).await;
    assert!(printed.contains(PUT_BACK), "{printed}");
    let after = test.get("configmaps", "reverting").await.unwrap();
    assert_eq!(before["metadata"]["resourceVersion"], after["metadata"]["resourceVersion"]);
    let both = r#"patch configmap reverting -p {"metadata":{"labels":{"mine":"x"}},"data":{"k":"two"}}"#;
    let printed = test.alice.does(both).await;
    assert!(printed.contains(PUT_BACK) && printed.contains("the rest was kept"), "{printed}");
    let after = test.get("configmaps", "reverting").await.unwrap();
    assert_eq!((&after["metadata"]["labels"]["mine"], &after["data"]["k"]), (&json!("x"), &json!("one")));
    policy_refuses(test, "delete configmap reverting", "would be created again").await;

    let printed = test.alice.does(r#"patch configmap warning -p {"data":{"k":"two"}}"#).await;
    assert!(printed.contains("Warning:"), "{printed}");
    test.has("configmaps", "warning", "/data/k", "one").await;
    // The webhook knows what the policy does not.
    let output = test.alice.run(r#"patch configmap partly -p {"data":{"k":"two"}}"#).await.refusal().unwrap();
    assert!(output.contains("admission webhook") && output.contains("data.k is declared"), "{output}");
    test.alice.does(r#"patch configmap partly -p {"data":{"more":"two"}}"#).await;
    test.alice.does(r#"patch configmap ignoring -p {"data":{"free":"x"}}"#).await;
    test.alice.does(r#"patch configmap paused -p {"data":{"k":"two"}}"#).await;
    test.alice.does("scale deployment kept --replicas=3").await;
    // A change of a Secret is applied as ever, and a repair is not in the policy's way.
    test.redeclare("loose", &test.config_map("loose", "two")).await;
    test.redeclare("loose", &test.config_map("loose", "one")).await;
}

/// Commands that the policy refuses, and what its message says.
const REFUSED: [(&str, &str); 24] = [
    (r#"patch configmap a -p {"data":{"k":"two"}}"#, "data would be reset"),
    (r#"patch configmap a -p {"data":{"added":"two"}}"#, "data would be reset"),
    (r#"patch configmap a -p {"immutable":true}"#, "immutable would be reset"),
    (r#"patch role r --type=merge -p {"rules":[]}"#, "rules would be reset"),
    (r#"patch service web -p {"spec":{"selector":{"app":"x"}}}"#, "spec.selector would be reset"),
    ("set image deployment/web main=other", "spec.template would be reset"),
    ("set image deployment/sized main=other", "spec.template would be reset"),
    ("set resources deployment/web --requests=cpu=10m", "spec.template would be reset"),
    (r#"patch deployment web -p {"spec":{"replicas":5}}"#, "spec.replicas would be reset"),
    (r#"patch configmap reverting -p {"data":{"k":"two"}}"#, "data would be reset"),
    ("label configmap marked team=red --overwrite", "metadata.labels[team]"),
    ("label configmap a resources.gardener.cloud/protection-", "metadata.labels[resources.gardener.cloud/protection]"),
    ("label configmap a resources.gardener.cloud/protection=warn --overwrite", "metadata.labels["),
    ("annotate configmap marked note-", "metadata.annotations[note]"),
    (
        "annotate configmap a resources.gardener.cloud/guard=metadata",
        "metadata.annotations[resources.gardener.cloud/guard]",
    ),
    (
        "annotate configmap partly resources.gardener.cloud/guard-",
        "metadata.annotations[resources.gardener.cloud/guard]",
    ),
    (r#"patch configmap marked --type=merge -p {"metadata":{"finalizers":[]}}"#, "metadata.finalizers"),
    (
        r#"patch configmap a -p {"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"ConfigMap","name":"x","uid":"x"}]}}"#,
        "metadata.ownerReferences",
    ),
    (r#"patch configmap a --type=merge -p {"metadata":{"managedFields":[{}]}}"#, "metadata.managedFields"),
    (
        r#"patch deployment web --subresource=status --type=merge -p {"metadata":{"annotations":{"resources.gardener.cloud/origin":"x"}}}"#,
        "metadata.annotations[resources.gardener.cloud/origin]",
    ),
    ("delete configmap a", "would be created again"),
    ("delete configmap partly", "would be created again"),
    ("delete configmap -l resources.gardener.cloud/protection=deny", "would be created again"),
    ("delete deployment web --cascade=orphan", "would be created again"),
];

#[tokio::test(flavor = "multi_thread")]
async fn the_policy_protects_while_we_are_away() {
    let test = guarded(&[]).await;
    declare_everything(&test).await;
    modes_are_what_they_were(&test).await;
    stop(&test).await;

    for (command, because) in REFUSED {
        policy_refuses(&test, command, because).await;
    }
    let home = format!("delete namespace {}-home", test.ns);
    policy_refuses(&test, &home, "would be created again").await;
    let message = test.alice.run("delete configmap a").await.refusal().unwrap();
    let owner = format!("configmaps \"a\" is managed by ManagedResource {}/mr", test.ns);
    let way = format!("pause it in spec.protection.pauses: kubectl edit mr -n {} mr", test.ns);
    assert!(message.contains(&owner) && message.contains(&way), "{message}");
    assert!(message.len() < 1024, "{message}");

    unmanaged_fields_pass(&test).await;
    the_control_plane_is_not_refused(&test).await;
    who_may_override_gets_through(&test).await;

    install::uninstall(&test.cluster.control_plane).await.unwrap();
    may(&test, &["delete", "configmap", "a"]).await;
}

async fn unmanaged_fields_pass(test: &Test) {
    for command in [
        "label configmap a mine=x",
        "annotate configmap a mine=x",
        r#"patch configmap a --type=merge -p {"metadata":{"finalizers":["e2e/mine"]}}"#,
        r#"patch configmap a --type=merge -p {"metadata":{"finalizers":[]}}"#,
        r#"patch configmap marked --type=merge -p {"metadata":{"finalizers":["e2e/f","e2e/mine"]}}"#,
        r#"patch configmap marked --type=merge -p {"metadata":{"finalizers":["e2e/f"]}}"#,
        r#"patch deployment web --subresource=status --type=merge -p {"status":{"conditions":[]}}"#,
        r#"patch service web -p {"spec":{"loadBalancerIP":"192.0.2.7"}}"#,
        "rollout restart deployment/web",
        "scale deployment kept --replicas=5",
        r#"patch deployment kept -p {"spec":{"replicas":4}}"#,
        r#"patch deployment none -p {"spec":{"replicas":4}}"#,
        "set resources deployment/sized --requests=cpu=10m --limits=memory=1Gi",
        // Modes, pauses, and what only the webhook can tell.
        r#"patch configmap warning -p {"data":{"k":"two"}}"#,
        r#"patch configmap loose -p {"data":{"k":"two"}}"#,
        r#"patch configmap paused -p {"data":{"k":"three"}}"#,
        r#"patch configmap partly -p {"data":{"more":"three"}}"#,
        r#"patch configmap ignoring -p {"data":{"free":"y"}}"#,
        "delete configmap loose",
        "delete configmap paused",
        // A Scale has no labels by which the policy could know whose it is.
        "scale deployment web --replicas=3",
    ] {
        test.alice.does(command).await;
    }
    // Others that only look like managed objects.
    let copy = with(&test.config_map("copy", "one"), "labels: {resources.gardener.cloud/protection: deny}");
    test.alice.send("create", &copy).await.success().unwrap();
    test.alice.does(r#"patch configmap copy -p {"data":{"k":"two"}}"#).await;
    test.alice.does("delete configmap copy").await;
    for (resource, extra) in [("pods", "--wait=false"), ("endpointslices", ""), ("replicasets", "")] {
        let name = test.eventually("a child to appear", || async {
            test.list(resource)
                .await
                .first()
                .map(|object| text(object, "/metadata/name"))
                .ok_or("there are none".to_owned())
        });
        let name = name.await;
        test.alice.does(&format!("label {resource} {name} touched=yes")).await;
        test.alice.does(&format!("delete {resource} {name} {extra}")).await;
    }
}

async fn the_control_plane_is_not_refused(test: &Test) {
    let account = "--as=system:serviceaccount:kube-system";
    let address = format!("/apis/apps/v1/namespaces/{}/deployments/web/scale", test.ns);
    let scale = json!({"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "web", "namespace": test.ns},
        "spec": {"replicas": 4}});
    let words = format!("replace --raw={address} {account}:horizontal-pod-autoscaler");
    test.admin.send(&words, &scale.to_string()).await.success().unwrap();
    let patch = r#"{"data":{"k":"x"}}"#;
    test.admin.does(&format!("patch configmap b -p {patch} {account}:generic-garbage-collector")).await;
    test.admin.does(&format!("delete configmap b {account}:namespace-controller")).await;
    // What is being deleted is nobody's business.
    test.admin.does(&format!("delete configmap marked --wait=false {account}:namespace-controller")).await;
    test.alice.does(r#"patch configmap marked --type=merge -p {"metadata":{"finalizers":[]}}"#).await;
    test.gone("configmaps", "marked").await;
}

/// Nobody is there to obey a pause.
async fn who_may_override_gets_through(test: &Test) {
    let off = "label configmap a resources.gardener.cloud/protection=off --overwrite";
    let binding = format!("create rolebinding carol --clusterrole=edit --user=carol -n {}", test.ns);
    test.admin.does(&binding).await;
    let carol = test.admin.run(&format!("{off} --as=carol")).await;
    let refusal = carol.refusal().unwrap();
    assert!(refusal.contains(POLICY), "{refusal}");
    // The label alone, and nothing with it.
    let both = r#"patch configmap a -p {"metadata":{"labels":{"resources.gardener.cloud/protection":"off"}},"data":{"k":"x"}}"#;
    policy_refuses(test, both, "data, metadata.labels[").await;
    test.alice.does(off).await;
    test.alice.does(r#"patch configmap a -p {"data":{"k":"emergency"}}"#).await;
    test.has("configmaps", "a", "/data/k", "emergency").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn namespaces_and_dependents_are_deleted_while_we_are_away() {
    let test = guarded(&["webhook.replicas=1"]).await;
    where_it_is_rendered(&test).await;
    where_it_is_rendered_of_two_clusters(&test).await;
    let owner = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "owner"}});
    let owner = text(&test.create("configmaps", &owner).await, "/metadata/uid");
    let references = format!("ownerReferences: [{{apiVersion: v1, kind: ConfigMap, name: owner, uid: {owner}}}]");
    let other = Test::on(Arc::clone(&test.cluster), "guest").await;
    let dependent = with(&test.config_map("owned", "one"), &references);
    test.declare("mr", &[dependent, other.config_map("a", "one"), other.deployment("web")].concat()).await;
    stop(&test).await;
    test.eventually("the policy to be in force", || async {
        let output = test.alice.run("delete configmap owned --dry-run=server").await;
        if printed(&output).contains(POLICY) { Ok(()) } else { Err(printed(&output)) }
    })
    .await;
    test.alice.does("delete configmap owner").await;
    test.gone("configmaps", "owned").await;
    test.alice.does(&format!("delete namespace {} --timeout=60s", other.ns)).await;
    assert!(test.get("namespaces", &other.ns).await.is_none());
}

/// Not at all by default, not in a cluster without managed objects, and without refusing anything in the first weeks.
async fn where_it_is_rendered(test: &Test) {
    let chart = cache::workspace().join("charts/holdfast").display().to_string();
    let config = "controller.config.targetClientConnection.kubeconfig=/etc/target/kubeconfig";
    for (values, policies, actions) in [
        (&[][..], 0, ""),
        (&["guard.enabled=true"], 1, "validationActions: [Deny]"),
        (&["guard.enabled=true", "protection.auditOnly=true"], 1, "validationActions: [Audit]"),
        (&["guard.enabled=true", config], 0, ""),
    ] {
        let mut args = vec!["template", &chart];
        args.extend(values.iter().flat_map(|value| ["--set", value]));
        let rendered = test.admin.helm(&args).await.success().unwrap();
        let found = rendered.matches("kind: ValidatingAdmissionPolicy\n").count();
        assert_eq!((found, rendered.contains("- --guard")), (policies, !values.is_empty()), "{values:?}");
        assert!(rendered.contains(actions), "{values:?}");
    }
}

/// Where the managed objects are, with those exempt who hold them there.
async fn where_it_is_rendered_of_two_clusters(test: &Test) {
    let chart = cache::workspace().join("charts/holdfast").display().to_string();
    for (values, expected) in [
        ("clusters.role=Source,clusters.targetKubeconfig.secretName=k", Ok(false)),
        ("clusters.role=Target,clusters.targetUsers={robot}", Ok(true)),
        ("clusters.role=Target", Err("clusters.targetUsers")),
    ] {
        let values = format!("guard.enabled=true,clusters.advertiseURL=https://webhook.example.com,{values}");
        let output = test.admin.helm(&["template", "holdfast", &chart, "--set", &values]).await;
        match expected {
            Ok(is_there) => {
                let rendered = output.success().unwrap();
                assert_eq!(rendered.contains("kind: ValidatingAdmissionPolicy\n"), is_there, "{values}");
                assert_eq!(rendered.contains("- --guard"), !is_there, "{values}");
                assert_eq!(rendered.contains(r#"!(request.userInfo.username in [\"robot\"])"#), is_there, "{values}");
            }
            Err(part) => assert!(printed(&output).contains(part), "{}", printed(&output)),
        }
    }
}
