//! What others add to objects is removed, whatever it is, and what they may add stays (exact scope). `exact_scope.rs` has the
//! plain cases; here are many at once, in every shape that lists and maps of the API take.
use std::fmt::Write;

use serde::Deserialize;
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

/// Kind, and a strategic merge patch.
fn cases() -> Vec<(&'static str, Value)> {
    let pod = |spec: Value| json!({"spec": {"template": {"spec": spec}}});
    let main = |fields: Value| {
        let mut container = json!({"name": "main"});
        container.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        json!({"spec": {"template": {"spec": {"containers": [container]}}}})
    };
    vec![
        ("StatefulSet", pod(json!({"containers": [{"name": "spy", "image": "spy"}]}))),
        ("StatefulSet", pod(json!({"initContainers": [{"name": "spy", "image": "spy"}]}))),
        ("StatefulSet", main(json!({"env": [{"name": "SPY", "value": "x"}]}))),
        ("StatefulSet", main(json!({"args": ["one", "two"]}))),
        ("StatefulSet", main(json!({"command": ["spy"]}))),
        ("StatefulSet", main(json!({"securityContext": {"privileged": true}}))),
        ("StatefulSet", main(json!({"ports": [{"containerPort": 1}]}))),
        ("StatefulSet", pod(json!({"volumes": [{"name": "host", "hostPath": {"path": "/"}}]}))),
        ("StatefulSet", pod(json!({"hostNetwork": true}))),
        ("StatefulSet", pod(json!({"tolerations": [{"operator": "Exists"}]}))),
        ("StatefulSet", pod(json!({"nodeSelector": {"a": "b"}}))),
        ("StatefulSet", pod(json!({"terminationGracePeriodSeconds": 1}))),
        ("StatefulSet", json!({"spec": {"template": {"metadata": {"labels": {"spy": "x"}}}}})),
        ("StatefulSet", json!({"spec": {"template": {"metadata": {"annotations": {"spy": "x"}}}}})),
        ("Role", json!({"rules": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]})),
        (
            "RoleBinding",
            json!({"subjects": [{"kind": "User", "name": "eve", "apiGroup": "rbac.authorization.k8s.io"}]}),
        ),
        ("Secret", json!({"data": {"extra": "eA=="}})),
        ("Secret", json!({"stringData": {"extra": "x"}})),
        ("Service", json!({"spec": {"ports": [{"name": "more", "port": 81}]}})),
        ("Service", json!({"spec": {"externalIPs": ["192.0.2.1"]}})),
        ("Service", json!({"spec": {"selector": {"spy": "x"}}})),
        ("Service", json!({"spec": {"sessionAffinity": "ClientIP"}})),
        ("Service", json!({"spec": {"type": "NodePort"}})),
        ("NetworkPolicy", json!({"spec": {"ingress": [{}]}})),
        ("Ingress", json!({"spec": {"tls": [{"hosts": ["a.example.com"]}]}})),
        ("LimitRange", json!({"spec": {"limits": [{"type": "Container", "max": {"cpu": "1"}}]}})),
        ("CronJob", json!({"spec": {"suspend": true}})),
        ("CronJob", json!({"spec": {"jobTemplate": {"spec": {"template": {"metadata": {"labels": {"spy": "x"}}}}}}})),
    ]
}

/// What the object says, without metadata and status.
fn content(object: &Value) -> [&Value; 5] {
    ["spec", "data", "rules", "subjects", "type"].map(|field| &object[field])
}

fn resource(kind: &str) -> &'static str {
    match kind {
        "StatefulSet" => "statefulsets",
        "Role" => "rbac.authorization.k8s.io/v1/roles",
        "RoleBinding" => "rbac.authorization.k8s.io/v1/rolebindings",
        "Secret" => "secrets",
        "Service" => "services",
        "NetworkPolicy" => "networking.k8s.io/v1/networkpolicies",
        "Ingress" => "networking.k8s.io/v1/ingresses",
        "LimitRange" => "limitranges",
        "CronJob" => "batch/v1/cronjobs",
        other => panic!("no resource of {other}"),
    }
}

/// Each addition is made to an object of its own: many to one would be a fight.
#[tokio::test(flavor = "multi_thread")]
async fn additions_of_every_shape_are_removed() {
    let test = Test::shared("additions").await;
    let manifests = MANIFESTS.replace("NS", &test.ns);
    let objects: Vec<Value> =
        serde_yaml::Deserializer::from_str(&manifests).map(|document| Value::deserialize(document).unwrap()).collect();
    let (mut manifests, mut edits) = (String::new(), Vec::new());
    for (number, (kind, patch)) in cases().into_iter().enumerate() {
        let mut object = objects.iter().find(|object| object["kind"] == kind).unwrap().clone();
        let name = format!("x-{number}");
        object["metadata"]["name"] = name.clone().into();
        let _ = write!(manifests, "{object}\n---\n");
        edits.push((resource(kind), name, patch));
    }
    test.declare("mr", &manifests).mode("Off").await;

    let metadata = json!({"annotations": {"example.com/note": "x"}, "labels": {"team": "x"}});
    let mut edited = Vec::new();
    for (resource, name, patch) in &edits {
        let before = test.merge(resource, name, "x", &json!({ "metadata": metadata })).await;
        let patched = test.strategic(resource, name, "kubectl-edit", patch).await;
        assert_ne!(content(&patched), content(&before), "the edit did something: {patch}");
        edited.push((resource, name, patch, before));
    }
    for (resource, name, patch, before) in edited {
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
