//! An admission webhook that keeps every review it is sent.
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Result;
use holdfast_e2e::review_server::ReviewServer;
use serde_json::{Value, json};

/// A review, and where it was sent.
#[derive(Clone, Debug)]
pub(super) struct RecordedReview {
    pub(super) path: String,
    pub(super) review: Value,
}

impl RecordedReview {
    /// The text of a field of the request; empty if there is none.
    pub(super) fn text(&self, pointer: &str) -> &str {
        self.review["request"].pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }
}

#[derive(Default)]
struct State {
    reviews: Vec<RecordedReview>,
    /// The user whose writes are refused after they are recorded, so that the next action finds everything unchanged.
    refused: Option<String>,
}

/// The server.
pub(super) struct Recorder {
    pub(super) server: ReviewServer,
    state: Arc<Mutex<State>>,
}

impl Recorder {
    /// Listens on a loopback port.
    ///
    /// # Errors
    /// There is no port, or no certificate can be made.
    pub(super) async fn start() -> Result<Self> {
        let state: Arc<Mutex<State>> = Arc::default();
        let shared = Arc::clone(&state);
        let server = ReviewServer::start("127.0.0.1", move |path, body| answer(path, body, &shared)).await?;
        Ok(Self { server, state })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whose writes are refused from now on.
    pub(super) fn refuse(&self, user: Option<&str>) {
        self.state().refused = user.map(str::to_owned);
    }

    /// How many reviews came so far.
    pub(super) fn count(&self) -> usize {
        self.state().reviews.len()
    }

    /// Those after the first so many.
    pub(super) fn since(&self, count: usize) -> Vec<RecordedReview> {
        self.state().reviews.iter().skip(count).cloned().collect()
    }
}

fn answer(path: &str, body: &[u8], state: &Mutex<State>) -> Value {
    let review: Value = serde_json::from_slice(body).unwrap_or_default();
    let uid = review["request"]["uid"].clone();
    let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
    let is_refused = review.pointer("/request/userInfo/username").and_then(Value::as_str) == state.refused.as_deref();
    // A refusal by the mutating one would keep the review from the validating ones.
    let allowed = path == "/revert" || !is_refused;
    state.reviews.push(RecordedReview { path: path.to_owned(), review });
    json!({"uid": uid, "allowed": allowed, "status": {"message": "written down", "code": 403}})
}
