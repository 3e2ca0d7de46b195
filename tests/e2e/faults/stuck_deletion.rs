//! Objects that do not go.
use std::time::Duration;

use serde_json::{Value, json};

use super::Stage;
use crate::harness::{nothing_happens_for, text};

/// A finalizer that nobody removes holds up its object only, is named, and costs no writes while nothing changes.
#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_does_not_go_is_named_once() {
    let stage = Stage::set("stuck", &["--pending-period=200ms"]).await;
    let test = &stage.test;
    stage.replica.start();
    stage.submit("mr", &["stays", "goes"].map(|name| test.config_map(name, "one")).concat()).await;
    test.applied("mr").await;
    let finalizer = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "stays", "finalizers": ["example.com/never"]},
    });
    test.try_apply("configmaps", &finalizer).await.unwrap();
    test.delete("managedresources", "mr").await;
    test.gone("configmaps", "goes").await;
    let name = format!("v1/ConfigMap/{}/stays", test.ns);
    let message = "Could not clean all old resources";
    test.message("mr", "DeletionPending", &[message, &name]).await;

    let version = async || text(&test.get("managedresources", "mr").await.unwrap(), "/metadata/resourceVersion");
    let before = version().await;
    stage.proxy.forget();
    // Ten passes.
    nothing_happens_for(Duration::from_secs(2), "its deletion is asked for again").await;
    let entries = stage.proxy.entries();
    let written: Vec<_> = entries.iter().map(|entry| &entry.request).filter(|request| request.is_write()).collect();
    assert!(written.is_empty(), "{written:#?}");
    assert!(!entries.is_empty(), "it looks again");
    assert_eq!(version().await, before);

    let free = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "stays"}});
    test.try_apply("configmaps", &free).await.unwrap();
    test.gone("managedresources", "mr").await;
    assert_eq!(test.get("configmaps", "stays").await.unwrap_or_default(), Value::Null);
}
