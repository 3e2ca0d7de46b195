//! What manifests may look like: Brotli, numbers, duplicates.
use serde_json::{Value, json};

use crate::harness::Test;

fn brotli(text: &str) -> Vec<u8> {
    let mut compressed = Vec::new();
    brotli::BrotliCompress(&mut text.as_bytes(), &mut compressed, &brotli::enc::BrotliEncoderParams::default())
        .unwrap();
    compressed
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_in_brotli_are_read_and_broken_ones_refused() {
    let test = Test::shared("brotli").await;
    let good = brotli(&test.config_map("a", "one"));
    let plain = test.config_map("b", "one");
    test.try_secret("mr", &[("objects.yaml.br", &good), ("plain.yaml", plain.as_bytes())]).await.unwrap();
    test.mr("mr", &["mr"], json!({})).await;
    test.applied("mr").await;
    test.has("configmaps", "a", "/data/k", "one").await;
    test.has("configmaps", "b", "/data/k", "one").await;

    let cut = &good[..good.len() / 2];
    let error = test.try_secret("mr", &[("objects.yaml.br", cut), ("plain.yaml", plain.as_bytes())]).await.unwrap_err();
    let error = error.to_string();
    assert!(error.contains(r#"key "objects.yaml.br""#) && error.contains("denied the request"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_arrive_as_go_reads_them() {
    let test = Test::shared("numbers").await;
    let deployment = format!(
        "apiVersion: apps/v1
kind: Deployment
metadata:
  name: d
  namespace: {}
  annotations: {{mode: \"0644\", version: \"1.10\"}}
spec:
  replicas: 0
  revisionHistoryLimit: 0x0A
  progressDeadlineSeconds: 1_000
  minReadySeconds: 0b101
  selector: &selector
    matchLabels: {{app: d}}
  template:
    metadata:
      labels: {{app: d}}
    spec:
      terminationGracePeriodSeconds: 1e1
      automountServiceAccountToken: no
      hostNetwork: off
      containers:
      - name: c
        image: nginx
        env: [{{name: A, value: \"yes\"}}, {{name: B, value: \"010\"}}]
      volumes:
      - name: v
        secret: {{secretName: s, defaultMode: 0644}}
",
        test.ns
    );
    test.declare("mr", &deployment).await;
    let object = test.get("deployments", "d").await.unwrap();
    let pod = &object["spec"]["template"]["spec"];
    for (found, expected) in [
        (&object["spec"]["revisionHistoryLimit"], json!(10)),
        (&object["spec"]["progressDeadlineSeconds"], json!(1000)),
        (&object["spec"]["minReadySeconds"], json!(5)),
        (&object["metadata"]["annotations"]["mode"], json!("0644")),
        (&object["metadata"]["annotations"]["version"], json!("1.10")),
        (&pod["terminationGracePeriodSeconds"], json!(10)),
        (&pod["automountServiceAccountToken"], json!(false)),
        (&pod["volumes"][0]["secret"]["defaultMode"], json!(420)),
        (&pod["containers"][0]["env"], json!([{"name": "A", "value": "yes"}, {"name": "B", "value": "010"}])),
    ] {
        assert_eq!(*found, expected, "{object}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_different_manifests_of_one_object_the_later_counts_and_is_named() {
    let test = Test::shared("twice").await;
    test.declare("mr", &[test.config_map("a", "one"), test.config_map("a", "one")].concat()).await;
    let message = test.reason("mr", "ApplySucceeded").await;
    assert!(!message.contains("twice"), "equal manifests are one: {message}");

    test.redeclare("mr", &[test.config_map("a", "one"), test.config_map("a", "two")].concat()).await;
    assert_eq!(test.get("configmaps", "a").await.unwrap()["data"]["k"], "two");
    let note = format!("ConfigMap {}/a is declared twice", test.ns);
    let message = test.message("mr", "ApplySucceeded", &[&note]).await;
    assert!(message.contains("document 1 is not used"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_json_and_empty_documents_are_read() {
    let test = Test::shared("shapes").await;
    let item = |name: &str| -> Value {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": test.ns}, "data": {"k": name}})
    };
    let list = json!({"apiVersion": "v1", "kind": "List", "items": [item("a"), item("b")]}).to_string();
    let stream = format!("---\n# nothing\n---\n{}---\n\n", test.config_map("c", "c"));
    test.try_secret("mr", &[("list.json", list.as_bytes()), ("stream.yaml", stream.as_bytes())]).await.unwrap();
    test.mr("mr", &["mr"], json!({})).await;
    test.applied("mr").await;
    for name in ["a", "b", "c"] {
        test.has("configmaps", name, "/data/k", name).await;
    }
}
