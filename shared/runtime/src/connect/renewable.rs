//! A client's way to the server, which can be replaced by another one while the client is in use.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use kube::client::Body;
use tokio::sync::Notify;
use tokio::time::Instant;
use tower::{BoxError, Service, ServiceExt as _};

use crate::guarded::Transport;

/// Clones share the transport.
#[derive(Clone)]
pub(super) struct Renewable {
    transport: Arc<Mutex<Transport>>,
    refusals: Refusals,
}

impl Renewable {
    pub(super) fn new(transport: Transport, refusals: Refusals) -> Self {
        Self { transport: Arc::new(Mutex::new(transport)), refusals }
    }

    /// From the next request on.
    pub(super) fn replace(&self, transport: Transport) {
        *self.transport.lock().unwrap_or_else(PoisonError::into_inner) = transport;
    }
}

impl Service<Request<Body>> for Renewable {
    type Response = Response<Incoming>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Incoming>, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let transport = self.transport.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let refusals = self.refusals.clone();
        Box::pin(async move {
            let response = transport.oneshot(request).await?;
            refusals.take_note(response.status());
            Ok(response)
        })
    }
}

/// Answers 401 without another one between them. Clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct Refusals(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// The first and the last of them.
    span: Mutex<Option<(Instant, Instant)>>,
    came: Notify,
}

impl Refusals {
    fn take_note(&self, status: StatusCode) {
        let mut span = self.0.span.lock().unwrap_or_else(PoisonError::into_inner);
        if status == StatusCode::UNAUTHORIZED {
            let now = Instant::now();
            *span = Some((span.map_or(now, |(first, _)| first), now));
            self.0.came.notify_one();
        } else if span.is_some() {
            *span = None;
        }
    }

    /// Waits for one.
    pub(super) async fn next(&self) {
        self.0.came.notified().await;
    }

    /// Whether the last answer was one.
    pub(super) fn is_refused(&self) -> bool {
        self.0.span.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// From the first to the last.
    pub(super) fn lasted(&self) -> Duration {
        let span = self.0.span.lock().unwrap_or_else(PoisonError::into_inner);
        span.map_or(Duration::ZERO, |(first, last)| last - first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn refusals_last_from_the_first_to_the_last_in_a_row() {
        let refusals = Refusals::default();
        let second = Duration::from_secs(1);
        for (status, expected) in [(200, 0), (401, 0), (401, 1), (401, 2), (403, 0), (401, 0), (401, 1)] {
            refusals.take_note(StatusCode::from_u16(status).unwrap());
            assert_eq!((refusals.lasted(), refusals.is_refused()), (second * expected, status == 401));
            tokio::time::advance(second).await;
        }
        refusals.next().await;
    }
}
