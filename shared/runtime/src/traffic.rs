//! What is sent to an API server: counted, and held back when the server asks for it.
//!
//! A server with too much to do answers 429 and says in `Retry-After` when to come back. The error that kube makes of such
//! an answer has no headers any more, so they are read here, below it.

mod heard;

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use http::{Method, Request, Response, StatusCode, header};
use hyper::body::Body;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};
use tokio::time::Instant;
use tower::{Layer, Service};

pub use heard::{Heard, Tapped};

/// Nobody is made to wait longer, whatever the server says.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// The traffic of one client. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Traffic(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    requests: Family<Labels, Counter>,
    not_before: Mutex<Option<Instant>>,
    heard: Heard,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    verb: &'static str,
    /// HTTP status; 0 when no answer came.
    code: u32,
}

impl Traffic {
    /// Registers the counter under the program's `prefix`; `cluster` is `source` or `target`.
    pub fn register(&self, registry: &mut Registry, prefix: &str, cluster: &'static str) {
        let labels = [("cluster".into(), cluster.into())];
        registry.sub_registry_with_labels(labels.into_iter()).register(
            format!("{prefix}_api_requests"),
            "Requests to the API server by verb and code, 0 for no answer",
            self.0.requests.clone(),
        );
    }

    /// When the watch of ManagedResources was last heard of.
    pub fn heard(&self) -> Heard {
        self.0.heard.clone()
    }

    /// Waits until the server wants to hear from us again; at once as a rule.
    pub async fn clear(&self) {
        loop {
            let not_before = *self.0.not_before.lock().unwrap_or_else(PoisonError::into_inner);
            match not_before {
                Some(at) if at > Instant::now() => tokio::time::sleep_until(at).await,
                _ => return,
            }
        }
    }

    fn take_note<B>(&self, verb: &'static str, response: Option<&Response<B>>) {
        let code = response.map_or(0, |response| response.status().as_u16());
        self.0.requests.get_or_create(&Labels { verb, code: code.into() }).inc();
        let Some(response) = response.filter(|response| response.status() == StatusCode::TOO_MANY_REQUESTS) else {
            return;
        };
        let wait = retry_after(response.headers()).unwrap_or(Duration::from_secs(1)).min(LONGEST_WAIT);
        let mut not_before = self.0.not_before.lock().unwrap_or_else(PoisonError::into_inner);
        *not_before = (*not_before).max(Some(Instant::now() + wait));
    }
}

/// Seconds; the API server sends no dates.
fn retry_after(headers: &http::HeaderMap) -> Option<Duration> {
    headers.get(header::RETRY_AFTER)?.to_str().ok()?.parse().ok().map(Duration::from_secs)
}

/// The verb as the audit log has it, but for `list`, which is `get` here, and `apply`, which is `patch` there.
fn verb<B>(request: &Request<B>) -> &'static str {
    let is_apply = || {
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        kind.is_some_and(|kind| kind.starts_with("application/apply-patch"))
    };
    match *request.method() {
        Method::GET if request.uri().query().is_some_and(|query| query.contains("watch=")) => "watch",
        Method::GET => "get",
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH if is_apply() => "apply",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => "other",
    }
}

impl<S> Layer<S> for Traffic {
    type Service = Counted<S>;

    fn layer(&self, inner: S) -> Counted<S> {
        Counted { inner, traffic: self.clone() }
    }
}

/// A service whose requests are counted.
#[derive(Clone, Debug)]
pub struct Counted<S> {
    inner: S,
    traffic: Traffic,
}

impl<S, A, B> Service<Request<A>> for Counted<S>
where
    S: Service<Request<A>, Response = Response<B>>,
    S::Future: Send + 'static,
    S::Error: 'static,
    B: Body + Unpin,
{
    type Response = Response<Tapped<B>>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<A>) -> Self::Future {
        let (traffic, verb) = (self.traffic.clone(), verb(&request));
        let heard = heard::is_heard(verb, &request).then(|| traffic.heard());
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = answer.await;
            traffic.take_note(verb, answer.as_ref().ok());
            answer.map(|response| heard::listen(response, heard))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(code: u16, retry_after: Option<&str>) -> Response<()> {
        let mut response = Response::builder().status(code);
        if let Some(value) = retry_after {
            response = response.header("Retry-After", value);
        }
        response.body(()).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_goes_on_before_the_server_wants_it() {
        for (code, header, expected) in [
            (200, None, 0),
            (503, Some("7"), 0),
            (429, Some("7"), 7),
            (429, None, 1),
            (429, Some("Thu, 01 Jan"), 1),
            (429, Some("99999"), 30),
        ] {
            let traffic = Traffic::default();
            traffic.take_note("get", Some(&answer(code, header)));
            let before = Instant::now();
            traffic.clear().await;
            assert_eq!(before.elapsed().as_secs(), expected, "{code} {header:?}");
        }
    }

    #[test]
    fn verbs_are_told_apart() {
        let request = |method: &str, uri: &str, kind: &str| {
            Request::builder().method(method).uri(uri).header("Content-Type", kind).body(()).unwrap()
        };
        for (method, uri, kind, expected) in [
            ("GET", "/api/v1/secrets?&watch=true", "", "watch"),
            ("GET", "/api/v1/secrets?limit=500", "", "get"),
            ("PATCH", "/x", "application/apply-patch+yaml", "apply"),
            ("PATCH", "/x", "application/merge-patch+json", "patch"),
            ("DELETE", "/x", "", "delete"),
        ] {
            assert_eq!(verb(&request(method, uri, kind)), expected);
        }
    }
}
