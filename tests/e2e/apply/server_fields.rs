//! Kinds of which the server, or a controller, writes parts: what it wrote stays when their manifests change.
use std::collections::BTreeMap;

use holdfast_testing::Definition;
use serde_json::{Value, json};

use crate::harness::{Test, text};

fn manifest(test: &Test, api_version: &str, kind: &str, annotations: &Value, spec: &Value) -> String {
    let metadata = json!({"name": "x", "namespace": test.ns, "annotations": annotations});
    json!({"apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": spec}).to_string()
}

/// Each pass applies all objects, and none of these may change anything.
async fn is_settled(test: &Test, resource: &str) {
    let before = test.get(resource, "x").await.unwrap();
    let repaired = test.events("Repaired").await;
    test.resync("mr").await;
    test.resync("mr").await;
    let after = test.get(resource, "x").await.unwrap();
    assert_eq!(after["metadata"]["generation"], before["metadata"]["generation"], "{after}");
    assert_eq!(after["spec"], before["spec"]);
    assert_eq!(after["metadata"]["labels"], before["metadata"]["labels"]);
    assert_eq!(test.events("Repaired").await, repaired);
    assert_eq!(test.events("Fight").await, Vec::<String>::new());
}

fn pod() -> Value {
    json!({"restartPolicy": "Never", "containers": [{"name": "main", "image": "nginx"}]})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_keeps_its_selector_and_labels() {
    let test = Test::shared("job").await;
    let job = |parallelism: u8, note: &str| {
        let template = json!({"metadata": {"labels": {"app": "x"}}, "spec": pod()});
        let spec = json!({"parallelism": parallelism, "template": template});
        manifest(&test, "batch/v1", "Job", &json!({"note": note}), &spec)
    };
    let jobs = "batch/v1/jobs";
    test.declare("mr", &job(1, "one")).await;
    let before = test.get(jobs, "x").await.unwrap();
    assert!(before["spec"]["selector"]["matchLabels"].is_object(), "the server makes one: {before}");
    test.redeclare("mr", &job(2, "two")).await;
    let after = test.get(jobs, "x").await.unwrap();
    assert_eq!((&after["spec"]["parallelism"], &after["metadata"]["annotations"]["note"]), (&json!(2), &json!("two")));
    assert_eq!(after["spec"]["selector"], before["spec"]["selector"]);
    assert_eq!(after["spec"]["template"], before["spec"]["template"], "with the labels that the server made");
    assert_eq!(after["metadata"]["uid"], before["metadata"]["uid"]);
    is_settled(&test, jobs).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cron_job_changes_as_declared() {
    let test = Test::shared("cron").await;
    let cron_job = |schedule: &str, image: &str| {
        let mut pod = pod();
        pod["containers"][0]["image"] = json!(image);
        let spec = json!({"schedule": schedule, "jobTemplate": {"spec": {"template": {"spec": pod}}}});
        manifest(&test, "batch/v1", "CronJob", &Value::Null, &spec)
    };
    let cron_jobs = "batch/v1/cronjobs";
    test.declare("mr", &cron_job("0 1 1 1 *", "nginx")).await;
    let uid = test.uid(cron_jobs, "x").await;
    test.redeclare("mr", &cron_job("0 2 1 1 *", "httpd")).await;
    let after = test.get(cron_jobs, "x").await.unwrap();
    assert_eq!((text(&after, "/metadata/uid"), text(&after, "/spec/schedule")), (uid, "0 2 1 1 *".to_owned()));
    assert_eq!(text(&after, "/spec/jobTemplate/spec/template/spec/containers/0/image"), "httpd");
    is_settled(&test, cron_jobs).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stateful_set_whose_immutable_fields_change_is_replaced_where_that_is_wanted() {
    let test = Test::shared("stateful").await;
    let stateful_set = |service: &str, image: &str, is_requested: &str| {
        let mut pod = pod();
        pod["restartPolicy"] = json!("Always");
        pod["containers"][0]["image"] = json!(image);
        let template = json!({"metadata": {"labels": {"app": "x"}}, "spec": pod});
        let spec = json!({"serviceName": service, "replicas": 0, "selector": {"matchLabels": {"app": "x"}}, "template": template});
        let annotations = json!({"resources.gardener.cloud/delete-on-invalid-update": is_requested});
        manifest(&test, "apps/v1", "StatefulSet", &annotations, &spec)
    };
    test.declare("mr", &stateful_set("one", "nginx", "false")).await;
    let uid = test.uid("statefulsets", "x").await;
    test.redeclare("mr", &stateful_set("one", "httpd", "false")).await;
    assert_eq!(test.uid("statefulsets", "x").await, uid, "what may change is changed");
    test.secret("mr", &stateful_set("two", "httpd", "false")).await;
    test.message("mr", "ApplyFailed", &["StatefulSet.apps", "spec.serviceName", "field is immutable"]).await;
    assert_eq!(test.uid("statefulsets", "x").await, uid);
    test.secret("mr", &stateful_set("two", "httpd", "true")).await;
    test.has("statefulsets", "x", "/spec/serviceName", "two").await;
    test.applied("mr").await;
    assert_ne!(test.uid("statefulsets", "x").await, uid);
}

fn service(test: &Test, spec: &Value) -> String {
    manifest(test, "v1", "Service", &Value::Null, spec)
}

/// Node ports by the name of the port.
fn node_ports(service: &Value) -> BTreeMap<String, u64> {
    let ports = service["spec"]["ports"].as_array().into_iter().flatten();
    ports.filter_map(|port| Some((text(port, "/name"), port["nodePort"].as_u64()?))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_keeps_its_node_ports() {
    let test = Test::shared("nodeport").await;
    let declared = |udp: u16, tcp: u16, web: &str| {
        let ports = json!([
            {"name": "dns-udp", "port": udp, "protocol": "UDP"},
            {"name": "dns-tcp", "port": tcp, "protocol": "TCP"},
            {"name": web, "port": 80, "protocol": "TCP"},
        ]);
        service(&test, &json!({"type": "NodePort", "selector": {"a": "b"}, "ports": ports}))
    };
    // The server gives the same node port to both protocols of one number, so not the same number at first.
    test.declare("mr", &declared(53, 54, "web")).await;
    let before = test.get("services", "x").await.unwrap();
    let given = node_ports(&before);
    assert_ne!(given["dns-udp"], given["dns-tcp"]);
    // Another number, and another name.
    test.redeclare("mr", &declared(53, 53, "http")).await;
    let after = test.get("services", "x").await.unwrap();
    let now = node_ports(&after);
    assert_eq!((now["dns-udp"], now["dns-tcp"], now["http"]), (given["dns-udp"], given["dns-tcp"], given["web"]));
    assert_eq!(after["spec"]["clusterIP"], before["spec"]["clusterIP"]);
    is_settled(&test, "services").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_balancer_keeps_what_its_cloud_wrote() {
    let test = Test::shared("balancer").await;
    let declared = |port: u16| {
        service(
            &test,
            &json!({"type": "LoadBalancer", "externalTrafficPolicy": "Local", "selector": {"a": "b"}, "ports": [{"name": "web", "port": port}]}),
        )
    };
    test.declare("mr", &declared(80)).mode("Off").await;
    let annotations = json!({"loadbalancer.openstack.org/id": "7"});
    let cloud = json!({"metadata": {"annotations": annotations}, "spec": {"loadBalancerIP": "192.0.2.7"}});
    let before = test.merge("services", "x", "cloud-controller-manager", &cloud).await;
    let health = before["spec"]["healthCheckNodePort"].as_u64().expect("the server gives one");
    test.redeclare("mr", &declared(81)).await;
    test.resync("mr").await;
    let after = test.get("services", "x").await.unwrap();
    assert_eq!(after["metadata"]["annotations"]["loadbalancer.openstack.org/id"], "7");
    assert_eq!(
        (&after["spec"]["loadBalancerIP"], after["spec"]["healthCheckNodePort"].as_u64()),
        (&json!("192.0.2.7"), Some(health))
    );
    assert_eq!((node_ports(&after), &after["spec"]["clusterIP"]), (node_ports(&before), &before["spec"]["clusterIP"]));
    is_settled(&test, "services").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_changes_its_type() {
    let test = Test::shared("types").await;
    let ports = json!([{"name": "web", "port": 80}]);
    let plain = json!({"selector": {"a": "b"}, "ports": ports});
    let external = json!({"type": "ExternalName", "externalName": "example.com"});
    test.declare("mr", &service(&test, &plain)).await;
    let address = test.get("services", "x").await.unwrap()["spec"]["clusterIP"].clone();
    test.redeclare("mr", &service(&test, &json!({"type": "NodePort", "selector": {"a": "b"}, "ports": ports}))).await;
    let exposed = test.get("services", "x").await.unwrap();
    assert_eq!((&exposed["spec"]["clusterIP"], node_ports(&exposed).len()), (&address, 1));
    test.redeclare("mr", &service(&test, &plain)).await;
    let hidden = test.get("services", "x").await.unwrap();
    assert_eq!((&hidden["spec"]["clusterIP"], node_ports(&hidden).len()), (&address, 0), "{hidden}");
    test.redeclare("mr", &service(&test, &external)).await;
    let outside = test.get("services", "x").await.unwrap();
    assert_eq!(
        (&outside["spec"]["type"], &outside["spec"]["clusterIP"]),
        (&json!("ExternalName"), &Value::Null),
        "{outside}"
    );
    test.redeclare("mr", &service(&test, &plain)).await;
    let back = test.get("services", "x").await.unwrap();
    assert!(back["spec"]["clusterIP"].is_string() && back["spec"]["externalName"].is_null(), "{back}");
    is_settled(&test, "services").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_cluster_ip_is_refused_and_said() {
    let test = Test::shared("address").await;
    let declared =
        |address: &str| service(&test, &json!({"clusterIP": address, "selector": {"a": "b"}, "ports": [{"port": 80}]}));
    test.declare("mr", &declared("None")).await;
    let uid = test.uid("services", "x").await;
    test.secret(
        "mr",
        &service(&test, &json!({"clusterIP": "127.96.77.77", "selector": {"a": "b"}, "ports": [{"port": 80}]})),
    )
    .await;
    test.message("mr", "ApplyFailed", &["Service", "spec.clusterIP"]).await;
    let object = test.get("services", "x").await.unwrap();
    assert_eq!((text(&object, "/metadata/uid"), text(&object, "/spec/clusterIP")), (uid, "None".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_keeps_its_volume() {
    let test = Test::shared("volume").await;
    let volume = json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": test.ns}, "spec": {
        "capacity": {"storage": "2Gi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": test.ns,
        "persistentVolumeReclaimPolicy": "Retain", "hostPath": {"path": "/tmp/none"}
    }});
    test.call("POST", "/api/v1/persistentvolumes", Some(&volume)).await.unwrap();
    let claim = |note: &str| {
        let spec = json!({"accessModes": ["ReadWriteOnce"], "storageClassName": test.ns, "resources": {"requests": {"storage": "1Gi"}}});
        manifest(&test, "v1", "PersistentVolumeClaim", &json!({"note": note}), &spec)
    };
    test.declare("mr", &claim("one")).await;
    test.has("persistentvolumeclaims", "x", "/status/phase", "Bound").await;
    test.redeclare("mr", &claim("two")).await;
    let object = test.get("persistentvolumeclaims", "x").await.unwrap();
    let annotations = &object["metadata"]["annotations"];
    assert_eq!((&annotations["note"], text(&object, "/spec/volumeName")), (&json!("two"), test.ns.clone()));
    assert_eq!(annotations["pv.kubernetes.io/bind-completed"], "yes");
    is_settled(&test, "persistentvolumeclaims").await;
    test.alice.does("delete managedresource mr --timeout=45s").await;
    test.call("DELETE", &format!("/api/v1/persistentvolumes/{}", test.ns), None).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_account_follows_its_manifest_and_keeps_what_controllers_wrote() {
    let test = Test::shared("account").await;
    let account = |fields: &str| {
        format!("{{apiVersion: v1, kind: ServiceAccount, metadata: {{name: x, namespace: {}}}{fields}}}", test.ns)
    };
    test.declare("mr", &account("")).mode("Off").await;
    let written = json!({"secrets": [{"name": "token"}], "imagePullSecrets": [{"name": "theirs"}]});
    test.merge("serviceaccounts", "x", "kube-controller-manager", &written).await;
    test.resync("mr").await;
    let object = test.get("serviceaccounts", "x").await.unwrap();
    assert_eq!(json!({"secrets": object["secrets"], "imagePullSecrets": object["imagePullSecrets"]}), written);

    // The original never changes them after creation.
    for (fields, expected) in [
        (", imagePullSecrets: [{name: one}]", json!([{"name": "one"}])),
        (", imagePullSecrets: [{name: two}]", json!([{"name": "two"}])),
    ] {
        test.redeclare("mr", &account(fields)).await;
        let object = test.get("serviceaccounts", "x").await.unwrap();
        let ours = object["imagePullSecrets"].as_array().unwrap().clone();
        assert!(expected.as_array().unwrap().iter().all(|secret| ours.contains(secret)), "{object}");
        assert_eq!(object["secrets"], written["secrets"]);
    }
    let object = test.get("serviceaccounts", "x").await.unwrap();
    let names: Vec<String> =
        object["imagePullSecrets"].as_array().unwrap().iter().map(|secret| text(secret, "/name")).collect();
    assert!(!names.contains(&"one".to_owned()), "what is not declared any more goes: {names:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_that_is_none_is_left_as_it_is() {
    let test = Test::shared("template").await;
    let group = format!("{}.example.com", test.ns);
    let definition = Definition::new(&group, "Page").object();
    let page = |name: &str, template: Value| {
        json!({"apiVersion": format!("{group}/v1"), "kind": "Page",
            "metadata": {"name": name, "namespace": test.ns}, "spec": {"template": template}})
    };
    let (written, engine) = (json!("<h1>"), json!({"engine": "jinja"}));
    let manifests = [definition, page("text", written.clone()), page("map", engine.clone())];
    test.declare("mr", &manifests.map(|object| object.to_string()).join("\n---\n"))
        .with("injectLabels", json!({"team": "blue"}))
        .await;
    for (name, template) in [("text", written), ("map", engine)] {
        let object = test.get(&format!("{group}/v1/pages"), name).await.unwrap();
        assert_eq!((&object["spec"]["template"], &object["metadata"]["labels"]["team"]), (&template, &json!("blue")));
    }
    test.alice.does("delete managedresource mr --timeout=45s").await;
}
