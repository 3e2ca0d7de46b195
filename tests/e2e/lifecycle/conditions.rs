//! What the status says, and when.
use holdfast_e2e::audit::AuditLog;
use serde_json::{Value, json};

use crate::harness::{Account, Cluster, Manifest as _, Replica, Test, nothing_happens_for, text};

/// A condition of a ManagedResource, or null.
async fn condition(test: &Test, kind: &str) -> Value {
    let mr = test.get("managedresources", "mr").await.unwrap();
    let conditions = mr["status"]["conditions"].as_array().cloned().unwrap_or_default();
    conditions.into_iter().find(|condition| condition["type"] == kind).unwrap_or_default()
}

/// Writes the status as another client does: read, changed, and put back as a whole.
async fn put_status(test: &Test, change: impl Fn(&mut Value)) {
    let path = format!("{}/status?fieldManager=typed-client", test.path("managedresources", "mr"));
    test.eventually("the status to be written", || async {
        let mut mr = test.get("managedresources", "mr").await.unwrap();
        change(&mut mr);
        test.call("PUT", &path, Some(&mr)).await.map_err(|error| error.to_string())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn times_move_with_what_they_stand_for_and_others_conditions_stay() {
    let test = Test::shared("times").await;
    test.declare("mr", &test.config_map("a", "one")).await;
    let first = condition(&test, "ResourcesApplied").await;
    for time in ["lastTransitionTime", "lastUpdateTime"] {
        let moment = text(&first, &format!("/{time}"));
        assert!(moment.len() == 20 && moment.ends_with('Z'), "seconds of UTC: {moment}");
    }
    let theirs = json!({
        "type": "Theirs", "status": "True", "reason": "Because", "message": "Of it.",
        "lastTransitionTime": "2026-01-01T00:00:00Z", "lastUpdateTime": "2026-01-01T00:00:00Z", "codes": ["X"],
    });
    put_status(&test, |mr| mr["status"]["conditions"].as_array_mut().unwrap().insert(1, theirs.clone())).await;
    let types = || async {
        let mr = test.get("managedresources", "mr").await.unwrap();
        let all = mr["status"]["conditions"].as_array().unwrap().clone();
        all.iter().map(|condition| text(condition, "/type")).collect::<Vec<_>>()
    };
    let order = types().await;
    assert_eq!(order[1], "Theirs");

    // Times have seconds: what moves is to be seen.
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    test.secret("mr", &test.refused_config_map("bad-name", "one")).await;
    test.reason("mr", "ApplyFailed").await;
    let failed = condition(&test, "ResourcesApplied").await;
    assert_ne!(failed["lastTransitionTime"], first["lastTransitionTime"]);
    assert_ne!(failed["lastUpdateTime"], first["lastUpdateTime"]);
    assert_eq!((condition(&test, "Theirs").await, types().await), (theirs, order));

    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    // Another message and the same status. In between it is `Progressing`, and then `False` again.
    test.secret("mr", &test.refused_config_map("worse-name", "one")).await;
    test.message("mr", "ApplyFailed", &["worse-name"]).await;
    let worse = condition(&test, "ResourcesApplied").await;
    assert_ne!(worse["lastUpdateTime"], failed["lastUpdateTime"]);
    test.redeclare("mr", &test.config_map("a", "two")).await;
    let last = condition(&test, "ResourcesApplied").await;
    assert_eq!((&last["status"], &last["message"]), (&json!("True"), &json!("All resources are applied.")));
    // Nothing moves when nothing happens.
    nothing_happens_for(std::time::Duration::from_millis(1100), "the condition moves").await;
    test.resync("mr").await;
    assert_eq!(condition(&test, "ResourcesApplied").await, last);
}

/// A webhook of somebody else that answers late leaves time to look.
#[tokio::test(flavor = "multi_thread")]
async fn while_work_is_going_on_the_conditions_say_so() {
    let test = Test::on(Cluster::shared_bare().await, "progress").await;
    let account = Account::create(&test, "controller").await;
    let proxy = holdfast_e2e::fault_proxy::FaultProxy::start(&test.cluster.control_plane).await.unwrap();
    let replica = Replica::behind(&test.cluster, &test.ns, &proxy, &account.token, &test.ns).in_namespace(&test.ns);
    replica.start();
    test.declare("mr", &test.config_map("a", "one")).class(&test.ns).await;
    let slow = || {
        let delay = holdfast_e2e::fault_proxy::Fault::Delay(std::time::Duration::from_secs(4));
        proxy.add(holdfast_e2e::fault_proxy::Rule::new(delay, |request| request.path.contains("/configmaps/")));
    };
    slow();
    test.secret("mr", &test.config_map("a", "two")).await;
    test.message("mr", "ApplyProgressing", &["The resources are currently being reconciled."]).await;
    assert_eq!(condition(&test, "ResourcesApplied").await["status"], "Progressing");
    for (kind, message) in [
        ("ResourcesHealthy", "The health checks have not yet been executed for the current set of resources."),
        ("ResourcesProgressing", "Checks have not yet been executed for the current set of resources."),
    ] {
        let found = condition(&test, kind).await;
        assert_eq!((&found["status"], &found["reason"]), (&json!("Unknown"), &json!("ChecksPending")), "{kind}");
        assert_eq!(found["message"], message);
    }
    proxy.clear();
    test.applied("mr").await;

    // A failure stays readable while it is tried anew.
    test.secret("mr", &[test.config_map("a", "two"), test.refused_config_map("bad-name", "one")].concat()).await;
    let failure = test.reason("mr", "ApplyFailed").await;
    slow();
    test.secret("mr", &[test.config_map("a", "three"), test.refused_config_map("bad-name", "two")].concat()).await;
    test.eventually("another try", || async {
        let found = condition(&test, "ResourcesApplied").await;
        let is_it = found["status"] == "Progressing" && found["message"] == failure.as_str();
        if is_it && found["reason"] == "ApplyFailed" { Ok(()) } else { Err(found.to_string()) }
    })
    .await;
    proxy.clear();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_generation_is_observed_when_all_is_applied() {
    let test = Test::shared("observed").await;
    test.declare("mr", &test.config_map("a", "one")).await;
    let generations = || async {
        let mr = test.get("managedresources", "mr").await.unwrap();
        (mr["metadata"]["generation"].as_i64().unwrap(), mr["status"]["observedGeneration"].as_i64().unwrap())
    };
    let (before, observed) = generations().await;
    assert_eq!(before, observed);
    // Not while something cannot be applied, or a Secret is missing.
    test.secret("bad", &test.refused_config_map("bad-name", "one")).await;
    test.mr("mr", &["mr", "bad"], json!({})).await;
    test.reason("mr", "ApplyFailed").await;
    assert_eq!(generations().await, (before + 1, before));
    test.mr("mr", &["mr", "none"], json!({})).await;
    test.reason("mr", "CannotReadSecret").await;
    assert_eq!(generations().await, (before + 2, before));
    test.secret("none", &test.config_map("b", "one")).await;
    test.applied("mr").await;
    assert_eq!(generations().await, (before + 2, before + 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_checksum_follows_the_data_and_nothing_else() {
    let test = Test::shared("checksum").await;
    let both = [test.config_map("a", "one"), test.config_map("b", "one")].concat();
    test.declare("mr", &both).await;
    let checksum = || async { text(&test.get("managedresources", "mr").await.unwrap(), "/status/secretsDataChecksum") };
    let first = checksum().await;
    assert!(first.len() == 64 && first.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')), "{first}");
    // The same objects in other words.
    test.redeclare("mr", &format!("# a comment\n{both}")).await;
    assert_ne!(checksum().await, first);
    test.redeclare("mr", &both).await;
    assert_eq!(checksum().await, first);
    // Neither settings nor labels of the Secret are data.
    test.merge("secrets", "mr", "e2e", &json!({"metadata": {"labels": {"a": "b"}}})).await;
    test.mr("mr", &["mr"], json!({"injectLabels": {"team": "blue"}})).await;
    test.applied("mr").await;
    test.has("configmaps", "a", "/metadata/labels/team", "blue").await;
    assert_eq!(checksum().await, first);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_written_by_a_typed_client_is_mended_once() {
    let test = Test::shared("typed").await;
    test.declare("mr", &[test.config_map("a", "one"), test.deployment("web")].concat()).await;
    let before = test.get("managedresources", "mr").await.unwrap()["status"]["resources"].clone();
    let uid = test.uid("configmaps", "a").await;
    let mut writes = test.writes();
    let mut log = AuditLog::from_now(&test.cluster.control_plane.audit_log()).unwrap();
    put_status(&test, |mr| {
        for reference in mr["status"]["resources"].as_array_mut().unwrap() {
            let own = ["resource", "source", "state"];
            reference.as_object_mut().unwrap().retain(|name, _| !own.contains(&name.as_str()));
        }
    })
    .await;
    test.eventually("the inventory to be whole again", || async {
        let mr = test.get("managedresources", "mr").await.unwrap();
        let now = &mr["status"]["resources"];
        if *now == before { Ok(()) } else { Err(now.to_string()) }
    })
    .await;
    nothing_happens_for(std::time::Duration::from_secs(4), "the status is written again and again").await;
    let requests =
        log.read_of(&format!("system:serviceaccount:{}:holdfast-controller", crate::harness::SYSTEM)).unwrap();
    let of_status = requests.iter().filter(|request| request.namespace == test.ns && request.subresource == "status");
    let count = of_status.count();
    assert!((1..=2).contains(&count), "{count} writes of the status");
    assert_eq!(writes.more().len(), 0, "no object was touched");
    assert_eq!(test.uid("configmaps", "a").await, uid);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_origin_names_the_cluster() {
    let test = Test::on(Cluster::shared_bare().await, "cluster").await;
    let account = Account::create(&test, "controller").await;
    let replica = Replica::direct(&test.cluster, &test.ns, &account.token, &test.ns).in_namespace(&test.ns);
    let replica = replica.with(&["--cluster-id=garden-1"]);
    replica.start();
    test.declare("mr", &[test.config_map("a", "one"), test.config_map("b", "one")].concat()).class(&test.ns).await;
    let origin = "/metadata/annotations/resources.gardener.cloud~1origin";
    test.has("configmaps", "a", origin, format!("garden-1:{}/mr", test.ns)).await;
    // It is released by this origin, too.
    let ignored = test.config_map("a", "two").with_metadata("annotations: {resources.gardener.cloud/mode: Ignore}");
    test.redeclare("mr", &[ignored, test.config_map("b", "two")].concat()).await;
    test.has("configmaps", "a", origin, Value::Null).await;
    test.delete("managedresources", "mr").await;
    test.gone("configmaps", "b").await;
}
