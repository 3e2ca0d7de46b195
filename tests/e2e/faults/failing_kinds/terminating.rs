//! An object of a sick kind that is being deleted where no watch sees it.
use holdfast_e2e::fault_proxy::{Fault, Request, Rule};
use serde_json::json;

use super::super::Stage;
use super::{answer, define, manifest, resource};
use crate::harness::{Test, text};

async fn checksum(test: &Test) -> String {
    let mr = test.get("managedresources", "mr").await.unwrap();
    text(&mr, "/status/secretsDataChecksum")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ends_unseen_holds_up_no_other() {
    let stage = Stage::set("unseen", &["--pending-period=300ms"]).await;
    let test = &stage.test;
    define(test, 1).await;
    stage.replica.start();
    let declared = |value: &str| [manifest(test, 0, "o", "one"), test.config_map("beside", value)].concat();
    stage.submit("mr", &declared("one")).await;
    test.applied("mr").await;
    let kind = resource(test, 0);
    let uid = test.uid(&kind, "o").await;
    for (round, fault) in [answer(500, None), Fault::Hang].into_iter().enumerate() {
        let case = format!("{fault:?}");
        let finalizers = |names: &[&str]| json!({"metadata": {"finalizers": names}});
        test.merge(&kind, "o", "somebody", &finalizers(&["example.com/never"])).await;
        test.delete(&kind, "o").await;
        let hide = json!({"metadata": {"labels": null}});
        test.merge(&kind, "o", "somebody", &hide).await;
        stage.proxy.add(Rule::new(fault, |request: &Request| request.path.contains("/k0s/o")));
        // As often as its passes come, they are concluded.
        for turn in 0..3 {
            let (value, before) = (format!("{round} {turn}"), checksum(test).await);
            test.secret("mr", &declared(&value)).await;
            test.has("configmaps", "beside", "/data/k", value.as_str()).await;
            test.eventually("the status to tell of it", || async {
                if checksum(test).await == before { Err(format!("{case}: {before} still")) } else { Ok(()) }
            })
            .await;
        }
        stage.proxy.clear();
        test.merge(&kind, "o", "somebody", &finalizers(&[])).await;
        test.eventually("it to be created again", || async {
            let now = test.try_get(&kind, "o").await?.ok_or("it is gone")?;
            if now["metadata"]["uid"] == uid.as_str() { Err(now.to_string()) } else { Ok(()) }
        })
        .await;
    }
    test.applied("mr").await;
}
