//! Admission requests and handshakes without a pause, none of which may fail.
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use holdfast_e2e::control_plane::User;
use holdfast_e2e::edit_load::EditLoad;
use tokio::task::JoinHandle;

use super::{SERVER, VALIDATING, bundles, served};
use crate::harness::{Test, WEBHOOK};

/// A handshake that takes longer says nothing about the bundle that was read before it.
const PROMPT: Duration = Duration::from_millis(300);

/// Edits of a managed ConfigMap, each of which has to be refused by the webhook, and handshakes with each replica that trust
/// what is registered at that moment. Until it is ended.
pub struct Load {
    edits: EditLoad,
    handshakes: Arc<Handshakes>,
    shaking: JoinHandle<()>,
}

#[derive(Default)]
struct Handshakes {
    count: AtomicUsize,
    failures: Mutex<Vec<String>>,
}

impl Load {
    pub fn start(test: &Arc<Test>, name: &str) -> Self {
        let handshakes = Arc::<Handshakes>::default();
        let shaking = tokio::spawn(shake(Arc::clone(test), Arc::clone(&handshakes)));
        let alice = test.cluster.control_plane.client(User::Alice).unwrap();
        Self { edits: EditLoad::start(alice, &test.path("configmaps", name)), handshakes, shaking }
    }

    /// Stops, and fails the test if a call has failed. Returns how many edits were refused and how many handshakes made.
    pub async fn end(self) -> (usize, usize) {
        self.shaking.abort();
        // It only ever ends so, or by a panic.
        assert!(self.shaking.await.unwrap_err().is_cancelled());
        let edits = self.edits.end().await.unwrap();
        assert!(edits.are_all_refused(0), "{edits:#?}");
        let failures = self.handshakes.failures.lock().unwrap_or_else(PoisonError::into_inner).clone();
        assert!(failures.is_empty(), "{} failed: {:#?}", failures.len(), &failures[..failures.len().min(5)]);
        (edits.refused, self.handshakes.count.load(Ordering::Relaxed))
    }
}

async fn shake(test: Arc<Test>, handshakes: Arc<Handshakes>) {
    loop {
        for pod in test.cluster.player.pods_of(WEBHOOK).into_iter().filter(|pod| pod.ready) {
            let begin = Instant::now();
            let Ok(found) = test.call("GET", VALIDATING, None).await else { continue };
            if let Some(bundle) = bundles(&found).first() {
                let result = served::trusts(served::address(&pod), bundle, SERVER).await;
                match result {
                    Ok(()) => _ = handshakes.count.fetch_add(1, Ordering::Relaxed),
                    Err(_) if begin.elapsed() > PROMPT => {}
                    Err(error) => {
                        let failure = format!("{} {}: {error}", jiff::Timestamp::now(), pod.name);
                        handshakes.failures.lock().unwrap_or_else(PoisonError::into_inner).push(failure);
                    }
                }
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
