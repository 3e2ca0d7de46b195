//! CustomResourceDefinitions that cannot be applied, and kinds that nobody defines.
use std::time::{Duration, Instant};

use holdfast_testing::Definition;
use serde_json::json;

use super::Stage;

/// Nobody waits for what will not come, nor asks for it all the time.
#[tokio::test(flavor = "multi_thread")]
async fn a_definition_that_is_refused_holds_up_nothing() {
    let stage = Stage::set("undefined", &[]).await;
    let test = &stage.test;
    let group = format!("{}.example.com", test.ns);
    let definition =
        |kind: &str, schema: &str| Definition::new(&group, kind).schema(json!({"type": schema})).to_string();
    let object = |group: &str, kind: &str| {
        let metadata = json!({"name": "o", "namespace": test.ns});
        format!("{}\n---\n", json!({"apiVersion": format!("{group}/v1"), "kind": kind, "metadata": metadata}))
    };
    // One that is well, one that the server refuses, and an object of somebody else's kind.
    let manifests = [
        definition("Good", "object"),
        object(&group, "Good"),
        definition("Bad", "nonsense"),
        object(&group, "Bad"),
        object("nobody.example.com", "Missing"),
        test.config_map("c", "one"),
    ];
    stage.replica.start();
    stage.submit("other", &test.config_map("other", "one")).await;
    test.applied("other").await;
    stage.proxy.forget();
    let begin = Instant::now();
    stage.submit("mr", &manifests.concat()).await;
    test.has("configmaps", "c", "/data/k", "one").await;
    let waited = begin.elapsed();
    test.has(&format!("{group}/v1/goods"), "o", "/kind", "Good").await;
    let message = test.message("mr", "ApplyFailed", &["Bad", "Missing", "bads."]).await;
    let requests = stage.proxy.entries().iter().filter(|entry| entry.request.path == "/apis").count();
    eprintln!("applied after {waited:?}, discovery {requests} times: {message}");
    assert!(waited < Duration::from_secs(6), "{waited:?}");
    assert!(requests < 20, "{requests}");
    // What is mended comes at once.
    test.secret("mr", &[manifests.concat(), definition("More", "object"), object(&group, "More")].concat()).await;
    test.has(&format!("{group}/v1/mores"), "o", "/kind", "More").await;
    test.delete("managedresources", "mr").await;
    test.gone("managedresources", "mr").await;
}
