//! An admission webhook that keeps every review it is sent.
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Result;
use holdfast_e2e::review_server::ReviewServer;
use serde_json::{Value, json};

/// A review, and where it was sent.
#[derive(Clone, Debug)]
pub(super) struct Heard {
    pub(super) path: String,
    pub(super) review: Value,
}

impl Heard {
    /// The text of a field of the request; empty if there is none.
    pub(super) fn text(&self, pointer: &str) -> &str {
        self.review["request"].pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }
}

#[derive(Default)]
struct State {
    heard: Vec<Heard>,
    /// Whose writes are refused after they were written down, so that the next act finds everything as it was.
    refused: Option<String>,
}

/// The server.
pub(super) struct Listener {
    pub(super) server: ReviewServer,
    state: Arc<Mutex<State>>,
}

impl Listener {
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
        self.state().heard.len()
    }

    /// Those after the first so many.
    pub(super) fn since(&self, count: usize) -> Vec<Heard> {
        self.state().heard.iter().skip(count).cloned().collect()
    }
}

fn answer(path: &str, body: &[u8], state: &Mutex<State>) -> Value {
    let review: Value = serde_json::from_slice(body).unwrap_or_default();
    let uid = review["request"]["uid"].clone();
    let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
    let is_refused = review.pointer("/request/userInfo/username").and_then(Value::as_str) == state.refused.as_deref();
    // A refusal by the mutating one would keep the review from the validating ones.
    let allowed = path == "/revert" || !is_refused;
    state.heard.push(Heard { path: path.to_owned(), review });
    json!({"uid": uid, "allowed": allowed, "status": {"message": "written down", "code": 403}})
}
