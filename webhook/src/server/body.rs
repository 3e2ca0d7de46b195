//! Reads a request's body within limits of size, of time, and of memory for all bodies together.

use std::sync::Arc;

use http_body_util::BodyExt as _;
use hyper::body::{Body, Bytes};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

/// Largest review, in bytes. The API server takes objects up to 3 MiB; a review has two of them.
pub(crate) const BODY_LIMIT: usize = 32 << 20;
/// Unit of [`Budget`].
const KIB: usize = 1024;
/// Memory for all bodies that are read or decided.
const TOTAL_KIB: usize = 64 * KIB;
/// What is kept of a body that is too large, for its header.
const HEAD: usize = 4 * KIB;
/// Bodies up to this size do not wait for memory, so that large and slow ones do not delay ordinary ones. [`super::app`] limits
/// their number.
pub(crate) const SMALL: usize = 64 * KIB;

/// Memory for bodies. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Budget(Arc<Semaphore>);

impl Default for Budget {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(TOTAL_KIB)))
    }
}

/// A body, or as much of it as came.
#[derive(Debug)]
pub(crate) struct Received {
    /// The bytes; only the first of them if `fault` is set.
    pub(crate) bytes: Vec<u8>,
    /// Why the body is incomplete.
    pub(crate) fault: Option<Fault>,
    /// Its memory; keep it as long as the bytes.
    pub(crate) permit: Option<OwnedSemaphorePermit>,
}

/// Why a body is incomplete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Larger than the limit.
    TooLarge,
    /// The deadline passed, while reading or while waiting for memory.
    TooSlow,
    /// The connection broke.
    Broken,
}

/// Reads `body` up to `limit` bytes until `deadline`. The rest is read and dropped, so that the client gets to reading the
/// answer.
pub(crate) async fn receive<B>(body: B, limit: usize, deadline: Instant, budget: &Budget) -> Received
where
    B: Body<Data = Bytes> + Unpin,
{
    let mut received = Received { bytes: Vec::new(), fault: None, permit: None };
    match timeout_at(deadline, fill(&mut received, body, limit, budget)).await {
        Ok(fault) => received.fault = fault,
        Err(_) => received.fault = Some(Fault::TooSlow),
    }
    received
}

async fn fill<B>(received: &mut Received, mut body: B, limit: usize, budget: &Budget) -> Option<Fault>
where
    B: Body<Data = Bytes> + Unpin,
{
    let expected = body.size_hint().upper().and_then(|size| usize::try_from(size).ok()).unwrap_or(limit);
    let mut is_too_large = expected > limit;
    received.bytes.reserve(expected.min(limit).min(SMALL));
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return Some(Fault::Broken) };
        let Some(data) = frame.data_ref() else { continue };
        is_too_large |= received.bytes.len() + data.len() > limit;
        if is_too_large {
            received.permit = None;
            let missing = HEAD.saturating_sub(received.bytes.len());
            received.bytes.extend(data.iter().take(missing));
            received.bytes.truncate(HEAD);
            received.bytes.shrink_to_fit();
            continue;
        }
        received.bytes.extend_from_slice(data);
        // After the first bytes, so that the header is there even if the memory does not come in time.
        if received.permit.is_none() && received.bytes.len() > SMALL {
            let units = u32::try_from(expected.min(limit).div_ceil(KIB).min(TOTAL_KIB)).unwrap_or(u32::MAX);
            received.permit = Arc::clone(&budget.0).acquire_many_owned(units).await.ok();
            received.bytes.reserve(expected.min(limit).saturating_sub(received.bytes.len()));
        }
    }
    is_too_large.then_some(Fault::TooLarge)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::stream;
    use http_body_util::{Full, StreamBody};
    use hyper::body::Frame;

    use super::*;

    fn in_two_seconds() -> Instant {
        Instant::now() + Duration::from_secs(2)
    }

    #[tokio::test]
    async fn bodies_are_read_up_to_the_limit() {
        let budget = Budget::default();
        for (size, fault, received_bytes) in
            [(0, None, 0), (10_000, None, 10_000), (10_001, Some(Fault::TooLarge), HEAD)]
        {
            let body = Full::new(Bytes::from(vec![b'x'; size]));
            let received = receive(body, 10_000, in_two_seconds(), &budget).await;
            assert_eq!((received.fault, received.bytes.len()), (fault, received_bytes), "{size}");
        }
        let chunks = stream::iter((0..3).map(|_| Ok::<_, std::io::Error>(Frame::data(Bytes::from(vec![b'x'; 6000])))));
        let received = receive(StreamBody::new(chunks), 10_000, in_two_seconds(), &budget).await;
        assert_eq!((received.fault, received.bytes.len()), (Some(Fault::TooLarge), HEAD));
        assert!(received.permit.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn what_came_in_time_is_kept() {
        use futures::StreamExt as _;
        let first = stream::once(async { Ok::<_, std::io::Error>(Frame::data(Bytes::from_static(b"head"))) });
        let received =
            receive(StreamBody::new(first.chain(stream::pending()).boxed()), 100, in_two_seconds(), &Budget::default())
                .await;
        assert_eq!((received.fault, received.bytes.as_slice()), (Some(Fault::TooSlow), b"head".as_slice()));

        let budget = Budget::default();
        let _taken = budget.0.clone().acquire_many_owned(u32::try_from(TOTAL_KIB).unwrap()).await.unwrap();
        for (size, fault) in [(SMALL, None), (SMALL + 1, Some(Fault::TooSlow))] {
            let received =
                receive(Full::new(Bytes::from(vec![b'x'; size])), BODY_LIMIT, in_two_seconds(), &budget).await;
            assert_eq!((received.fault, received.bytes.len()), (fault, size), "only large ones wait for memory");
        }
    }
}
