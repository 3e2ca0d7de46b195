//! What others add to objects is removed, whatever it is, and what they may add stays (exact scope). `exact.rs` has the
//! plain cases; here are many at once, in every shape that lists and maps of the API take.
use serde_json::{Value, json};

use crate::harness::Test;

const MANIFESTS: &str = "
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db, namespace: NS}
spec:
  replicas: 1
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec:
      containers:
      - {name: main, image: postgres, env: [{name: A, value: a}], args: [one], ports: [{containerPort: 5432}]}
      volumes: [{name: scratch, emptyDir: {}}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: reader, namespace: NS}
rules: [{apiGroups: [''], resources: [pods], verbs: [get]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: reader, namespace: NS}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: reader}
subjects: [{kind: ServiceAccount, name: robot}]
---
apiVersion: v1
kind: Secret
metadata: {name: password, namespace: NS}
data: {password: c2VjcmV0}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: NS}
spec: {selector: {app: web}, ports: [{name: http, port: 80}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: NS}
spec: {podSelector: {matchLabels: {app: web}}, policyTypes: [Ingress]}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: web, namespace: NS}
spec: {rules: [{host: a.example.com, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}}]}
---
apiVersion: v1
kind: LimitRange
metadata: {name: claims, namespace: NS}
spec: {limits: [{type: PersistentVolumeClaim, min: {storage: 1Mi}}]}
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: yearly, namespace: NS}
spec:
  schedule: 0 0 1 1 *
  jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: main, image: busybox}]}}}}
";

/// Kind, name, and a strategic merge patch.
fn cases() -> Vec<(&'static str, &'static str, Value)> {
    let pod = |spec: Value| json!({"spec": {"template": {"spec": spec}}});
    let main = |fields: Value| {
        let mut container = json!({"name": "main"});
        container.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        json!({"spec": {"template": {"spec": {"containers": [container]}}}})
    };
    let (set, role, binding) =
        ("apps/v1/statefulsets", "rbac.authorization.k8s.io/v1/roles", "rbac.authorization.k8s.io/v1/rolebindings");
    vec![
        (set, "db", pod(json!({"containers": [{"name": "spy", "image": "spy"}]}))),
        (set, "db", pod(json!({"initContainers": [{"name": "spy", "image": "spy"}]}))),
        (set, "db", main(json!({"env": [{"name": "SPY", "value": "x"}]}))),
        (set, "db", main(json!({"args": ["one", "two"]}))),
        (set, "db", main(json!({"command": ["spy"]}))),
        (set, "db", main(json!({"securityContext": {"privileged": true}}))),
        (set, "db", main(json!({"ports": [{"containerPort": 1}]}))),
        (set, "db", pod(json!({"volumes": [{"name": "host", "hostPath": {"path": "/"}}]}))),
        (set, "db", pod(json!({"hostNetwork": true}))),
        (set, "db", pod(json!({"tolerations": [{"operator": "Exists"}]}))),
        (set, "db", pod(json!({"nodeSelector": {"a": "b"}}))),
        (set, "db", pod(json!({"terminationGracePeriodSeconds": 1}))),
        (set, "db", json!({"spec": {"template": {"metadata": {"labels": {"spy": "x"}}}}})),
        (set, "db", json!({"spec": {"template": {"metadata": {"annotations": {"spy": "x"}}}}})),
        (role, "reader", json!({"rules": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]})),
        (
            binding,
            "reader",
            json!({"subjects": [{"kind": "User", "name": "eve", "apiGroup": "rbac.authorization.k8s.io"}]}),
        ),
        ("secrets", "password", json!({"data": {"extra": "eA=="}})),
        ("secrets", "password", json!({"stringData": {"extra": "x"}})),
        ("services", "web", json!({"spec": {"ports": [{"name": "more", "port": 81}]}})),
        ("services", "web", json!({"spec": {"externalIPs": ["192.0.2.1"]}})),
        ("services", "web", json!({"spec": {"selector": {"spy": "x"}}})),
        ("services", "web", json!({"spec": {"sessionAffinity": "ClientIP"}})),
        ("services", "web", json!({"spec": {"type": "NodePort"}})),
        ("networking.k8s.io/v1/networkpolicies", "web", json!({"spec": {"ingress": [{}]}})),
        ("networking.k8s.io/v1/ingresses", "web", json!({"spec": {"tls": [{"hosts": ["a.example.com"]}]}})),
        ("limitranges", "claims", json!({"spec": {"limits": [{"type": "Container", "max": {"cpu": "1"}}]}})),
        ("batch/v1/cronjobs", "yearly", json!({"spec": {"suspend": true}})),
        (
            "batch/v1/cronjobs",
            "yearly",
            json!({"spec": {"jobTemplate": {"spec": {"template": {"metadata": {"labels": {"spy": "x"}}}}}}}),
        ),
    ]
}

/// What the object says, without metadata and status.
fn content(object: &Value) -> [&Value; 5] {
    ["spec", "data", "rules", "subjects", "type"].map(|field| &object[field])
}

#[tokio::test(flavor = "multi_thread")]
async fn additions_of_every_shape_are_removed() {
    let test = Test::shared("additions").await;
    test.declare_unprotected("mr", &MANIFESTS.replace("NS", &test.ns)).await;
    let metadata = json!({"annotations": {"example.com/note": "x"}, "labels": {"team": "x"}});
    for (resource, name, _) in cases() {
        test.merge(resource, name, "x", &json!({ "metadata": metadata })).await;
    }
    for (resource, name, patch) in cases() {
        let before = test.get(resource, name).await.unwrap();
        let patched = test.strategic(resource, name, "kubectl-edit", &patch).await;
        assert_ne!(content(&patched), content(&before), "the edit did something: {patch}");
        test.eventually(&format!("{resource}/{name} to be as before {patch}"), || async {
            let object = test.try_get(resource, name).await?.ok_or("it is gone")?;
            if content(&object) == content(&before) { Ok(()) } else { Err(object.to_string()) }
        })
        .await;
        test.has(resource, name, "/metadata/uid", before["metadata"]["uid"].clone()).await;
        test.has(resource, name, "/metadata/annotations/example.com~1note", "x").await;
        test.has(resource, name, "/metadata/labels/team", "x").await;
    }
    test.applied("mr").await;
}
