//! The proxy does to a client what its rules say, and nothing else.
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures::{FutureExt, TryStreamExt};
use holdfast_e2e::control_plane::User;
use holdfast_e2e::fault_proxy::{Fault, FaultProxy, Request, Rule};
use holdfast_runtime::api::Api;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{ObjectMeta, PostParams, WatchEvent, WatchParams};

use crate::harness::{Cluster, Test, within};

const LIMIT: Duration = Duration::from_secs(20);

fn config_map(name: &str) -> ConfigMap {
    ConfigMap { metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() }, ..ConfigMap::default() }
}

fn creations(request: &Request) -> bool {
    request.is_write()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_fault_does_what_its_name_says() {
    let test = Test::on(Cluster::shared_bare().await, "proxy").await;
    let control_plane = &test.cluster.control_plane;
    let proxy = FaultProxy::start(control_plane).await.unwrap();
    let api: Api<ConfigMap> = Api::namespaced(proxy.client(control_plane, User::Alice).unwrap(), &test.ns);
    let create = async |name: &str, rule: Option<Rule>| {
        proxy.clear();
        if let Some(rule) = rule {
            proxy.add(rule);
        }
        let (params, object) = (PostParams::default(), config_map(name));
        tokio::time::timeout(Duration::from_secs(2), api.create(&params, &object)).await
    };
    let exists = async |name: &str| test.get("configmaps", name).await.is_some();

    create("plain", None).await.unwrap().unwrap();
    let managers = test.get("configmaps", "plain").await.unwrap()["metadata"]["managedFields"].to_string();
    assert!(exists("plain").await, "{managers}");

    let answer = Rule::new(Fault::Answer { code: 429, retry_after: Some(7) }, creations);
    let Err(kube::Error::Api(status)) = create("refused", Some(answer)).await.unwrap() else { panic!("no answer") };
    assert_eq!((status.code, status.details.map(|details| details.retry_after_seconds)), (429, Some(7)));
    assert!(!exists("refused").await);

    create("cut-before", Some(Rule::new(Fault::CutBefore, creations))).await.unwrap().unwrap_err();
    assert!(!exists("cut-before").await);

    let calls = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&calls);
    let count = Arc::new(move |_: &Request| {
        counter.fetch_add(1, Ordering::SeqCst);
        async {}.boxed()
    });
    create("cut-after", Some(Rule::new(Fault::CutAfter, creations).hook(count))).await.unwrap().unwrap_err();
    assert!(exists("cut-after").await && calls.load(Ordering::SeqCst) == 1);

    assert!(create("hang", Some(Rule::new(Fault::Hang, creations))).await.is_err(), "there is an answer");
    assert!(!exists("hang").await);

    let begin = Instant::now();
    create("late", Some(Rule::new(Fault::Delay(Duration::from_millis(300)), creations))).await.unwrap().unwrap();
    assert!(begin.elapsed() >= Duration::from_millis(300));

    proxy.settled().await.unwrap();
    let seen: Vec<_> = proxy.entries().into_iter().map(|entry| (entry.is_faulty, entry.code)).collect();
    let faulty = |code| (true, code);
    assert_eq!(
        seen,
        [(false, Some(201)), faulty(Some(429)), faulty(None), faulty(None), faulty(None), faulty(Some(201))]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn watches_are_streamed_until_their_connection_is_cut() {
    let test = Test::on(Cluster::shared_bare().await, "proxy").await;
    let control_plane = &test.cluster.control_plane;
    let proxy = FaultProxy::start(control_plane).await.unwrap();
    let api: Api<ConfigMap> = Api::namespaced(proxy.client(control_plane, User::Alice).unwrap(), &test.ns);
    let events = api.collection().watch(&WatchParams::default(), "0").await.unwrap();
    let mut events = std::pin::pin!(events);
    test.create("configmaps", &serde_json::json!({"metadata": {"name": "seen"}})).await;
    loop {
        let event = tokio::time::timeout(LIMIT, events.try_next()).await.unwrap().unwrap().unwrap();
        if matches!(&event, WatchEvent::Added(object) if object.metadata.name.as_deref() == Some("seen")) {
            break;
        }
    }
    proxy.cut_connections();
    let ended = async {
        // An error or an end, as long as it does not go on.
        while let Ok(Some(_)) = events.try_next().await {}
    };
    tokio::time::timeout(LIMIT, ended).await.expect("the watch ends");
    within(LIMIT, "a new connection to work", || async {
        api.get("seen").await.map(|_| ()).map_err(|error| error.to_string())
    })
    .await;
}
