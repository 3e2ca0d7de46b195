//! The way of every write: only as leader, and only for as long as leadership is certain.

use std::future::Future;

use holdfast_runtime::call::{CallError, DEFAULT_LIMIT};

use crate::election::Leadership;

/// Lets requests through while this process leads.
#[derive(Clone)]
pub struct Gate(Leadership);

impl Gate {
    /// Asks `leadership` before each request.
    pub fn new(leadership: Leadership) -> Self {
        Self(leadership)
    }

    /// Sends a request; it ends before the lease does, whether an answer came or not.
    ///
    /// # Errors
    /// Another process may lead (then nothing is sent), the server refuses, or no answer comes in time.
    pub async fn call<T>(&self, what: &str, future: impl Future<Output = kube::Result<T>>) -> Result<T, CallError> {
        match self.0.permit(DEFAULT_LIMIT) {
            Ok(permit) => permit.call(what, future).await,
            Err(cause) => {
                Err(CallError::Failed { what: what.to_owned(), cause: kube::Error::Service(Box::new(cause)) })
            }
        }
    }
}
