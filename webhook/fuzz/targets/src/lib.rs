//! What must hold whatever bytes come: no panic, an answer with the uid wherever one can be read, in bounded time.
//!
//! The same functions are used by cargo-fuzz (`cd webhook && cargo +nightly fuzz run review tests/data/reviews/protect`; the other
//! target is `secret`) and, with a stable toolchain and for some seconds, by the tests of the webhook.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "a panic is what is looked for"
)]

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use holdfast_core::api::ManagedResource;
use holdfast_core::key::NamespacedName;
use holdfast_core::protect::Rules;
use holdfast_runtime::index::SharedIndex;
use holdfast_runtime::watch::MrEvent;
use holdfast_webhook::admission::manifests::{Checker, Data};
use holdfast_webhook::admission::pause_access::PauseAccess;
use holdfast_webhook::admission::review::{Request, ReviewHeader, UserInfo};
use holdfast_webhook::admission::reviewer::Reviewer;
use holdfast_webhook::admission::secret_reader::SecretReader;
use holdfast_webhook::events::Reason;
use holdfast_webhook::metrics::Metrics;
use holdfast_webhook::server::app::App;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use serde_json::Value;
use tokio::runtime::Runtime;

const PATHS: [&str; 5] = ["/protect", "/revert", "/secrets", "/managedresources", "/namespaces"];
/// The webhook has decided after two seconds; the rest is for busy machines.
const LIMIT: Duration = Duration::from_secs(15);

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().expect("start a runtime")
});

/// The ManagedResources of the recorded reviews.
static APP: LazyLock<Arc<App>> = LazyLock::new(|| {
    let objects: Vec<ManagedResource> = serde_json::from_str(include_str!("../../../tests/data/managedresources.json"))
        .expect("read the ManagedResources");
    let index = SharedIndex::default();
    index.apply(&MrEvent::Restarted { objects, unreadable: BTreeSet::new() });
    let (reader, overrides) = (Arc::new(Cluster), Arc::new(Cluster));
    Arc::new(App::new(Reviewer::new(index, Rules::default(), reader, overrides, Metrics::default())))
});

struct Cluster;

impl SecretReader for Cluster {
    fn read<'a>(&'a self, _secret: &'a NamespacedName) -> BoxFuture<'a, Result<Option<Data>, String>> {
        async { Ok(Some(Data::from([("a.yaml".to_owned(), b"a: [".to_vec())]))) }.boxed()
    }
}

impl PauseAccess for Cluster {
    fn may_override<'a>(&'a self, user: &'a UserInfo, _mr: &'a NamespacedName) -> BoxFuture<'a, Result<bool, String>> {
        async { Ok(user.username.len().is_multiple_of(2)) }.boxed()
    }

    fn publish(&self, _request: &Request, _reason: Reason, _note: String) {}
}

/// A body as it comes from the network, at each path.
pub fn review(body: &[u8]) {
    let request = Request::read(body);
    let uid = request.as_ref().ok().map(|request| request.uid.clone()).or_else(|| ReviewHeader::scan(body).uid);
    for path in PATHS {
        let begin = Instant::now();
        let posted = http::Request::post(path).body(Full::new(Bytes::copy_from_slice(body))).expect("make a request");
        let (status, answer) = RUNTIME.block_on(async {
            let response = APP.answer(posted).await;
            let status = response.status().as_u16();
            (status, response.into_body().collect().await.expect("read an answer").to_bytes())
        });
        let text = String::from_utf8_lossy(&answer);
        assert!(begin.elapsed() < LIMIT, "{path}: {:?}", begin.elapsed());
        assert!(!text.contains("an internal error"), "{path}: it panicked");
        let Some(uid) = &uid else {
            assert!((400..500).contains(&status), "{path}: {status} {text}");
            continue;
        };
        let answer: Value = serde_json::from_slice(&answer).unwrap_or_default();
        let response = &answer["response"];
        assert_eq!((status, response["uid"].as_str()), (200, Some(uid.as_str())), "{path}: {text}");
        let is_denied = response["allowed"] == false;
        assert!(is_denied || response["allowed"] == true, "{path}: {text}");
        assert!(!is_denied || response["status"]["code"] == 403, "{path}: {text}");
        assert!(path != "/revert" || !is_denied, "{path}: {text}");
    }
}

/// The value of a key of a Secret, as YAML and as what might be compressed.
pub fn secret(value: &[u8]) {
    let begin = Instant::now();
    let data = Data::from([("a.yaml".to_owned(), value.to_vec()), ("b.json.br".to_owned(), value.to_vec())]);
    let findings = RUNTIME.block_on(Checker::default().check(NamespacedName::new("team", "s"), data));
    assert!(begin.elapsed() < LIMIT, "{:?}", begin.elapsed());
    for error in findings.errors.iter().chain(&findings.invalid) {
        assert!(!error.to_string().is_empty());
    }
}
