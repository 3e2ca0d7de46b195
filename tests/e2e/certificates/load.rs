//! Admission requests without a pause, and how many of them failed.
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use holdfast_e2e::control_plane::User;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{SERVER, VALIDATING, bundles, served};
use crate::harness::{Test, WEBHOOK};

/// A handshake that takes longer says nothing about the bundle that was read before it.
const PROMPT: Duration = Duration::from_millis(300);

#[derive(Default)]
struct Count {
    refused: AtomicUsize,
    shaken: AtomicUsize,
    failures: Mutex<Vec<String>>,
}

impl Count {
    fn fails(&self, text: String) {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).push(text);
    }
}

/// Edits of a managed ConfigMap, each of which has to be refused by the webhook, and handshakes with each replica that trust
/// what is registered at that moment. Until it is ended.
pub struct Load {
    count: Arc<Count>,
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

impl Load {
    pub fn start(test: &Arc<Test>, name: &str) -> Self {
        let (count, stop) = (Arc::<Count>::default(), CancellationToken::new());
        let alice = test.cluster.control_plane.client(User::Alice).unwrap();
        let path = test.path("configmaps", name);
        let edits = edits(alice, path, Arc::clone(&count));
        let shakes = shakes(Arc::clone(test), Arc::clone(&count));
        let tasks = vec![tokio::spawn(until(stop.clone(), edits)), tokio::spawn(until(stop.clone(), shakes))];
        Self { count, stop, tasks }
    }

    /// Stops, and fails the test if a call has failed. Returns how many edits were refused and how many handshakes made.
    pub async fn end(self) -> (usize, usize) {
        self.stop.cancel();
        for task in self.tasks {
            task.await.unwrap();
        }
        let failures = self.count.failures.lock().unwrap_or_else(PoisonError::into_inner).clone();
        assert!(failures.is_empty(), "{} failed: {:#?}", failures.len(), &failures[..failures.len().min(5)]);
        (self.count.refused.load(Ordering::Relaxed), self.count.shaken.load(Ordering::Relaxed))
    }
}

async fn until(stop: CancellationToken, work: impl Future<Output = ()>) {
    stop.run_until_cancelled(work).await;
}

async fn edits(alice: kube::Client, path: String, count: Arc<Count>) {
    for number in 0_u64.. {
        let body = json!({"data": {"k": number.to_string()}}).to_string().into_bytes();
        let request = http::Request::patch(&path).header("Content-Type", "application/merge-patch+json").body(body);
        match alice.request::<Value>(request.unwrap()).await {
            Err(kube::Error::Api(status)) if status.message.contains("is managed by") => {
                count.refused.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => count.fails(format!("{} {error}", jiff::Timestamp::now())),
            Ok(_) => count.fails(format!("{} an edit passed", jiff::Timestamp::now())),
        }
        tokio::time::sleep(Duration::from_millis(15)).await;
    }
}

async fn shakes(test: Arc<Test>, count: Arc<Count>) {
    loop {
        for pod in test.cluster.player.pods_of(WEBHOOK).into_iter().filter(|pod| pod.ready) {
            let begin = Instant::now();
            let Ok(found) = test.call("GET", VALIDATING, None).await else { continue };
            if let Some(bundle) = bundles(&found).first() {
                let result = served::trusts(served::address(&pod), bundle, SERVER).await;
                match result {
                    Ok(()) => _ = count.shaken.fetch_add(1, Ordering::Relaxed),
                    Err(_) if begin.elapsed() > PROMPT => {}
                    Err(error) => count.fails(format!("{} {}: {error}", jiff::Timestamp::now(), pod.name)),
                }
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
