//! Objects that are only to be there: `ignore` and `mode: EnsureExists`.
use serde_json::{Value, json};

use crate::harness::{Manifest as _, Test, text};

const IGNORE: &str = "resources.gardener.cloud/ignore: 'true'";
const ENSURE: &str = "resources.gardener.cloud/mode: EnsureExists";
const EDIT: &str = r#"patch configmap a -p {"data":{"k":"mine"}}"#;

fn annotated(test: &Test, value: &str, annotation: &str) -> String {
    test.config_map("a", value).with_metadata(&format!("annotations: {{{annotation}}}"))
}

async fn declare_with_labels(test: &Test, manifests: &str) {
    test.declare("mr", manifests).with("injectLabels", json!({"team": "blue"})).await;
}

async fn inventory(test: &Test) -> Vec<String> {
    let mr = test.get("managedresources", "mr").await.unwrap();
    let resources = mr["status"]["resources"].as_array().cloned().unwrap_or_default();
    resources.iter().map(|resource| text(resource, "/name")).collect()
}

fn data(object: &Value) -> &Value {
    &object["data"]["k"]
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ignored_object_is_created_as_written_and_then_left_alone() {
    let test = Test::shared("ignored").await;
    declare_with_labels(&test, &[annotated(&test, "one", IGNORE), test.config_map("b", "one")].concat()).await;
    let object = test.get("configmaps", "a").await.unwrap();
    assert_eq!(object["metadata"]["labels"], Value::Null, "neither injected labels nor marks");
    assert_eq!(object["metadata"]["annotations"], json!({"resources.gardener.cloud/ignore": "true"}));
    assert_eq!(inventory(&test).await, ["a", "b"]);

    // The webhook does not protect it, and nothing puts it right.
    test.alice.does(EDIT).await;
    let mut writes = test.writes();
    test.redeclare("mr", &[annotated(&test, "two", IGNORE), test.config_map("b", "two")].concat()).await;
    test.resync("mr").await;
    let of_it: Vec<_> = writes.more().into_iter().filter(|request| request.name == "a").collect();
    assert!(of_it.is_empty(), "{of_it:#?}");
    assert_eq!(test.get("configmaps", "a").await.unwrap()["data"]["k"], "mine");

    // It is created again at the next sync.
    test.alice.does("delete configmap a").await;
    test.resync("mr").await;
    test.has("configmaps", "a", "/data/k", "two").await;
    test.redeclare("mr", &test.config_map("b", "two")).await;
    test.gone("configmaps", "a").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_comes_to_be_ignored_does_not_say_that_it_is_held() {
    let test = Test::shared("ignored").await;
    declare_with_labels(&test, &test.config_map("a", "one")).await;
    assert!(!test.alice.run(EDIT).await.status.success(), "it is held");
    let uid = test.uid("configmaps", "a").await;

    test.redeclare("mr", &annotated(&test, "two", IGNORE)).await;
    let object = test.get("configmaps", "a").await.unwrap();
    let annotations = json!({"resources.gardener.cloud/origin": format!("{}/mr", test.ns)});
    assert_eq!(object["metadata"]["annotations"], annotations, "only the description is gone");
    let labels = json!({"team": "blue", "resources.gardener.cloud/managed-by": "gardener"});
    assert_eq!((&object["metadata"]["labels"], data(&object)), (&labels, &json!("one")));
    test.alice.does(EDIT).await;

    test.redeclare("mr", &test.config_map("a", "three")).await;
    test.has("configmaps", "a", "/data/k", "three").await;
    assert!(!test.alice.run(EDIT).await.status.success(), "it is held again");
    assert_eq!(test.uid("configmaps", "a").await, uid);

    test.redeclare("mr", &annotated(&test, "three", IGNORE)).await;
    test.alice.does("delete managedresource mr --timeout=45s").await;
    assert!(test.get("configmaps", "a").await.is_none(), "it is deleted like others");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_created_is_neither_changed_nor_deleted_when_it_is_only_to_be_there() {
    for annotation in [IGNORE, ENSURE] {
        let test = Test::shared("foreign").await;
        test.alice.does("create configmap a --from-literal=k=theirs").await;
        let before = test.get("configmaps", "a").await.unwrap();
        test.declare("mr", &[annotated(&test, "one", annotation), test.config_map("b", "one")].concat()).await;
        test.resync("mr").await;
        test.redeclare("mr", &test.config_map("b", "two")).await;
        assert_eq!(inventory(&test).await, ["b"]);
        let after = test.get("configmaps", "a").await.unwrap();
        assert_eq!(after["metadata"]["resourceVersion"], before["metadata"]["resourceVersion"], "{annotation}");
        test.eventually("an Event that says why it stays", || async {
            let reported = test.events("NotOurs").await;
            if reported.iter().any(|note| note.contains("carries nothing of ours")) {
                Ok(())
            } else {
                Err(format!("{reported:?}"))
            }
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_to_be_ensured_is_created_and_then_left_to_others() {
    let test = Test::shared("ensured").await;
    declare_with_labels(&test, &[annotated(&test, "one", ENSURE), test.config_map("b", "one")].concat()).await;
    let object = test.get("configmaps", "a").await.unwrap();
    let labels = json!({
        "team": "blue", "resources.gardener.cloud/managed-by": "gardener", "resources.gardener.cloud/protection": "off",
    });
    assert_eq!(object["metadata"]["labels"], labels);
    assert_eq!(object["metadata"]["annotations"]["resources.gardener.cloud/origin"], format!("{}/mr", test.ns));
    assert_eq!(object["metadata"]["annotations"]["resources.gardener.cloud/description"], Value::Null);

    test.alice.does(EDIT).await;
    let mut writes = test.writes();
    test.redeclare("mr", &[annotated(&test, "two", ENSURE), test.config_map("b", "two")].concat()).await;
    test.resync("mr").await;
    let of_it: Vec<_> = writes.more().into_iter().filter(|request| request.name == "a").collect();
    assert!(of_it.is_empty(), "{of_it:#?}");
    assert_eq!(test.get("configmaps", "a").await.unwrap()["data"]["k"], "mine");

    // Its end is noticed at once, although others may delete it.
    test.alice.does("delete configmap a").await;
    test.has("configmaps", "a", "/data/k", "two").await;

    test.redeclare("mr", &test.config_map("b", "two")).await;
    test.gone("configmaps", "a").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_is_held_from_when_its_manifest_says_so() {
    let test = Test::shared("ensured").await;
    test.declare("mr", &annotated(&test, "one", ENSURE)).await;
    let uid = test.uid("configmaps", "a").await;
    test.alice.does(EDIT).await;
    test.alice.does(r#"patch configmap a -p {"data":{"extra":"x"}}"#).await;
    test.redeclare("mr", &annotated(&test, "one", "resources.gardener.cloud/mode: Reconcile")).await;
    assert_eq!(test.get("configmaps", "a").await.unwrap()["data"], json!({"k": "one"}));
    assert!(!test.alice.run(EDIT).await.status.success());

    test.redeclare("mr", &annotated(&test, "two", ENSURE)).await;
    let object = test.get("configmaps", "a").await.unwrap();
    assert_eq!(data(&object), "one", "not changed any more");
    assert_eq!(object["metadata"]["labels"]["resources.gardener.cloud/protection"], "off");
    test.alice.does(EDIT).await;
    assert_eq!(test.uid("configmaps", "a").await, uid);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_mode_is_named_and_counts_as_none() {
    let test = Test::shared("mode").await;
    let unknown = annotated(&test, "one", "resources.gardener.cloud/mode: Sometimes");
    test.declare("mr", &[unknown, test.config_map("b", "one")].concat()).await;
    let place = format!("ConfigMap {}/a (Secret mr, key \"objects.yaml\", document 1)", test.ns);
    let why = "annotation resources.gardener.cloud/mode: \"Sometimes\" is none of Reconcile, EnsureExists and Ignore; Reconcile counts";
    test.message("mr", "ApplySucceeded", &[&place, why]).await;
    test.eventually("an Event that says so", || async {
        let reported = test.events("BadSetting").await;
        if reported.iter().any(|note| note.contains(&place) && note.contains(why)) {
            Ok(())
        } else {
            Err(format!("{reported:?}"))
        }
    })
    .await;
    assert!(!test.alice.run(EDIT).await.status.success(), "it is held");

    // Whoever writes the Secret is told at once.
    let mut secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "mr"}});
    secret["stringData"] = json!({"objects.yaml": annotated(&test, "one", "resources.gardener.cloud/mode: Never")});
    let output = test.alice.send("apply --server-side --force-conflicts", &secret.to_string()).await;
    let warned = output
        .stderr
        .contains("(key \"objects.yaml\", document 1): annotation resources.gardener.cloud/mode: \"Never\"");
    assert!(output.status.success() && warned, "{output:?}");
    test.message("mr", "ApplySucceeded", &["\"Never\" is none of"]).await;

    test.redeclare("mr", &annotated(&test, "two", "other: x")).await;
    let message = test.reason("mr", "ApplySucceeded").await;
    assert_eq!(message, "All resources are applied.");
}
