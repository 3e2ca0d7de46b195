//! A decision in process: from the bytes of a request to those of the answer, without a socket.
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use futures::FutureExt;
use futures::future::BoxFuture;
use holdfast_core::api::ManagedResource;
use holdfast_core::key::NamespacedName;
use holdfast_core::protect::Rules;
use holdfast_runtime::api::Api;
use holdfast_runtime::index::SharedIndex;
use holdfast_runtime::watch::MrEvent;
use holdfast_webhook::admission::manifests::Data;
use holdfast_webhook::admission::pause_access::PauseAccess;
use holdfast_webhook::admission::review::{Request, UserInfo};
use holdfast_webhook::admission::reviewer::Reviewer;
use holdfast_webhook::admission::secret_reader::SecretReader;
use holdfast_webhook::events::Reason;
use holdfast_webhook::metrics::Metrics;
use holdfast_webhook::server::app::App;
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;

use super::super::numbers::{millis, percentile};
use super::super::report::Measured;
use super::super::stage::{HOME, Stage};
use super::reviews::{MR, Reviews};

/// An edit of a managed object asks the cluster nothing.
struct Silent;

impl SecretReader for Silent {
    fn read<'a>(&'a self, _: &'a NamespacedName) -> BoxFuture<'a, Result<Option<Data>, String>> {
        async { Err("nobody is asked".to_owned()) }.boxed()
    }
}

impl PauseAccess for Silent {
    fn may_override<'a>(&'a self, _: &'a UserInfo, _: &'a NamespacedName) -> BoxFuture<'a, Result<bool, String>> {
        async { Err("nobody is asked".to_owned()) }.boxed()
    }

    fn publish(&self, _: &Request, _: Reason, _: String) {}
}

/// Times of so many decisions about the same edit.
///
/// # Errors
/// It is not decided as it should be.
pub(super) async fn measure(stage: &Stage, reviews: &Reviews, rounds: usize) -> Result<Vec<Measured>> {
    let mrs: Api<ManagedResource> = Api::namespaced(stage.client.clone(), HOME);
    let objects = vec![mrs.get(MR).await.context("get the ManagedResource")?];
    let index = SharedIndex::default();
    index.apply(&MrEvent::Restarted { objects, unreadable: BTreeSet::new() });
    let silent = Arc::new(Silent);
    let app = Arc::new(App::new(Reviewer::new(
        index,
        Rules::default(),
        Arc::clone(&silent) as _,
        silent,
        Metrics::default(),
    )));
    ensure!(answer(&app, &reviews.denied).await?.contains("\"allowed\":false"), "a forbidden edit passes");
    let mut times = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        let begun = Instant::now();
        let answer = answer(&app, &reviews.deployment).await?;
        times.push(millis(begun.elapsed()));
        ensure!(answer.contains("\"allowed\":true"), "the edit is refused: {answer}");
    }
    let note = format!("{} bytes, n={rounds}, p50 {:.3} ms", reviews.deployment.len(), percentile(&times, 50));
    Ok(vec![Measured::new(percentile(&times, 99), note)])
}

async fn answer(app: &Arc<App>, body: &Arc<[u8]>) -> Result<String> {
    let body = Full::new(Bytes::from_owner(Arc::clone(body)));
    let request = http::Request::post("/protect").body(body).context("make a request")?;
    let body = app.answer(request).await.into_body().collect().await?.to_bytes();
    Ok(String::from_utf8_lossy(&body).into_owned())
}
