//! The order of what a manifest declares in a list is declared, too: an apply restores it.
use serde_json::{Value, json};

use crate::harness::Test;

fn service(test: &Test) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: web, namespace: {}}}\nspec: {{selector: {{app: web}}, ports: [{{name: a, port: 1}}, \
         {{name: b, port: 2}}]}}\n---\n",
        test.ns
    )
}

fn names(object: &Value) -> Vec<&str> {
    let ports = object.pointer("/spec/ports").and_then(Value::as_array);
    ports.into_iter().flatten().filter_map(|port| port["name"].as_str()).collect()
}

/// Moves the second port before the first.
const SWAP: &str = r#"[{"op":"move","from":"/spec/ports/1","path":"/spec/ports/0"}]"#;

#[tokio::test(flavor = "multi_thread")]
async fn declared_elements_stay_in_order_in_either_scope() {
    let test = Test::shared("reordered").await;
    test.secret("mr", &service(&test)).await;
    for scope in ["Exact", "Declared"] {
        test.mr("mr", &["mr"], json!({"protection": {"scope": scope}})).await;
        test.applied("mr").await;
        let refusal = test
            .alice
            .is_refused(&["patch", "service", "web", "--type=json", "-p", SWAP], &["spec.ports is declared in"])
            .await;
        assert!(refusal.contains("would be reset"), "{scope}: {refusal}");
    }
    // Others may add to it in declared scope, wherever they want to.
    let add = r#"[{"op":"add","path":"/spec/ports/1","value":{"name":"x","port":9,"protocol":"TCP"}}]"#;
    crate::harness::may(&test, &["patch", "service", "web", "--type=json", "-p", add]).await;
    test.resync("mr").await;
    let object = test.get("services", "web").await.unwrap();
    let mut found = names(&object);
    found.retain(|name| *name != "x");
    assert_eq!((found, names(&object).len()), (vec!["a", "b"], 3));

    // What the webhook lets through is undone.
    test.mr("mr", &["mr"], json!({"protection": {"scope": "Declared", "mode": "Off"}})).await;
    test.applied("mr").await;
    crate::harness::may(&test, &["patch", "service", "web", "--type=json", "-p", r#"[{"op":"test","path":"/spec/ports/0/name","value":"a"},{"op":"move","from":"/spec/ports/0","path":"/spec/ports/2"}]"#]).await;
    test.eventually("the order to be restored", || async {
        let object = test.try_get("services", "web").await?.ok_or("it is gone")?;
        let found: Vec<&str> = names(&object).into_iter().filter(|name| *name != "x").collect();
        if found == ["a", "b"] { Ok(()) } else { Err(format!("{found:?}")) }
    })
    .await;
}
