//! When the watch of ManagedResources was last heard of.
//!
//! A watch that is alive is never silent for long: the server sends a bookmark about once a minute, and ends the watch after a
//! few minutes. kube keeps both to itself, so they are noticed below it.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use holdfast_core::names;
use http::{Request, Response};
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::Instant;

/// Clones share the time.
#[derive(Clone, Debug, Default)]
pub struct Heard(Arc<Mutex<Option<Instant>>>);

impl Heard {
    /// For how long nothing has been heard; `None` if never anything was.
    pub fn silence(&self) -> Option<Duration> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).map(|at| at.elapsed())
    }

    fn now(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }
}

/// Whether a request begins a watch of ManagedResources.
pub(super) fn is_heard<B>(verb: &str, request: &Request<B>) -> bool {
    verb == "watch" && request.uri().path().rsplit('/').next() == Some(names::PLURAL)
}

/// Listens to an answer, if there is somebody to tell.
pub(super) fn listen<B>(response: Response<B>, heard: Option<Heard>) -> Response<Tapped<B>> {
    let heard = heard.filter(|_| response.status().is_success());
    if let Some(heard) = &heard {
        heard.now();
    }
    response.map(|body| Tapped { body, heard })
}

/// A body that is listened to.
#[derive(Debug)]
pub struct Tapped<B> {
    body: B,
    heard: Option<Heard>,
}

impl<B: Body + Unpin> Body for Tapped<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if let (Some(Ok(_)), Some(heard)) = (&frame, &self.heard) {
            heard.now();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use futures::stream;
    use http_body_util::{BodyExt as _, StreamBody};
    use hyper::body::Bytes;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn whatever_comes_ends_the_silence() {
        let second = Duration::from_secs(1);
        let heard = Heard::default();
        let refused = Response::builder().status(503).body(String::new()).unwrap();
        drop(listen(refused, Some(heard.clone())));
        assert_eq!(heard.silence(), None);
        let frames = stream::iter([1, 2].map(|_| Ok::<_, std::io::Error>(Frame::data(Bytes::from_static(b"x")))));
        let mut body = listen(Response::new(StreamBody::new(frames)), Some(heard.clone())).into_body();
        assert_eq!(heard.silence(), Some(Duration::ZERO));
        tokio::time::advance(second).await;
        assert_eq!(heard.silence(), Some(second));
        body.frame().await.unwrap().unwrap();
        assert_eq!(heard.silence(), Some(Duration::ZERO));
    }

    #[test]
    fn only_the_watch_of_managed_resources_counts() {
        let prefix = "/apis/resources.gardener.cloud/v1alpha1";
        for (path, expected) in [
            (format!("{prefix}/managedresources?watch=true"), true),
            (format!("{prefix}/namespaces/n/managedresources?&watch=true"), true),
            ("/api/v1/secrets?watch=true".to_owned(), false),
        ] {
            assert_eq!(is_heard("watch", &Request::get(&path).body(()).unwrap()), expected, "{path}");
            assert!(!is_heard("get", &Request::get(&path).body(()).unwrap()));
        }
    }
}
