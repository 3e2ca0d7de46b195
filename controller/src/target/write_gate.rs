//! The way of every write: only as leader, only for as long as leadership is certain, and as fast as the server asks for.
//!
//! The clients that write have guarded connections besides (`holdfast_runtime::guarded`): what has passed this gate may
//! still wait in the client.

use std::{future::Future, sync::Arc};

use holdfast_runtime::call::{CallError, DEFAULT_LIMIT};

use super::rate_limit::RateLimit;
use crate::leader_election::Leadership;

/// Lets requests through while this process leads.
#[derive(Clone)]
pub struct WriteGate {
    leadership: Leadership,
    rate_limit: Arc<RateLimit>,
}

impl WriteGate {
    /// Asks `leadership` before each request, and waits for `rate_limit`.
    pub fn new(leadership: Leadership, rate_limit: Arc<RateLimit>) -> Self {
        Self { leadership, rate_limit }
    }

    /// Sends a request; it ends before the lease does, whether an answer came or not.
    ///
    /// # Errors
    /// Another process may lead (then nothing is sent), the server refuses, or no answer comes in time.
    pub async fn call<T>(&self, what: &str, future: impl Future<Output = kube::Result<T>>) -> Result<T, CallError> {
        self.rate_limit.wait_for_token().await;
        match self.leadership.permit(DEFAULT_LIMIT) {
            Ok(permit) => permit.call(what, future).await,
            Err(cause) => {
                Err(CallError::Failed { what: what.to_owned(), cause: kube::Error::Service(Box::new(cause)) })
            }
        }
    }

    /// Whether the API servers want to hear from us.
    pub fn is_allowed(&self) -> bool {
        self.rate_limit.is_allowed()
    }

    /// Waits until the API servers want to hear from us again.
    pub async fn wait_until_allowed(&self) {
        self.rate_limit.wait_until_allowed().await;
    }
}
