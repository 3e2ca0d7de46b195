//! What is sent to an API server: counted, and held back when the server asks for it or does not answer. And what time it is
//! there.
//!
//! A server with too much to do answers 429 and says in `Retry-After` when to come back. The error that kube makes of such
//! an answer has no headers any more, so they are read here, below it. Where the answer is a `Status`, it is about one
//! resource, and only requests for that one wait ([`Deferred`]). Any other one, such as that of priority and fairness or of a
//! proxy, is about all of us, and so is it when three resources begin with that within a second.
//!
//! Whoever is cautious ([`Traffic::cautious`]) also asks little of a resource that does not answer as it should, so that
//! nobody has to wait for it who has something else to do.

mod answer;
mod classify;
mod flight;
mod health;
mod last_activity;
mod overload;
mod resource;
mod shape;
mod unanswered;

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use http::{HeaderMap, Method, Request, Response, header};
use hyper::body::{Body, Bytes};
use jiff::{SignedDuration, Timestamp};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};
use tower::{BoxError, Layer, Service};

use crate::deferred::Deferred;
use flight::Flight;
use health::{Health, Outcome};
use overload::Overload;
use resource::Target;
use unanswered::Unanswered;

pub use answer::Tapped;
pub use health::Standing;
pub use last_activity::LastActivity;
pub use resource::Resource;

/// A watch begins within this time, and any other answer within that.
const WATCH_LIMIT: Duration = Duration::from_secs(10);
const BEGIN_LIMIT: Duration = Duration::from_secs(30);

/// The traffic of one client. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Traffic(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    requests: Family<Labels, Counter>,
    overload: Mutex<Overload>,
    is_cautious: bool,
    health: Mutex<Health>,
    /// Called when a resource falls sick or is well again.
    changed: Notify,
    unanswered: Mutex<Unanswered>,
    last_activity: LastActivity,
    /// By how many seconds the server's clock is ahead of ours.
    ahead: AtomicI64,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    verb: &'static str,
    /// HTTP status; 0 when no answer came.
    code: u32,
}

impl Traffic {
    /// Of a client that asks little of what does not answer as it should.
    pub fn cautious() -> Self {
        Self(Arc::new(Inner { is_cautious: true, ..Inner::default() }))
    }

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
    pub fn last_activity(&self) -> LastActivity {
        self.0.last_activity.clone()
    }

    /// Waits until the server wants to hear from us again; at once as a rule.
    pub async fn clear(&self) {
        loop {
            let until = self.overload().until(Instant::now());
            match until {
                Some(at) => tokio::time::sleep_until(at).await,
                None => return,
            }
        }
    }

    /// The time by the clock of the API server, as its last answer to a GET told; by ours before the first.
    pub fn server_time(&self) -> Timestamp {
        let (now, ahead) = (Timestamp::now(), self.0.ahead.load(Ordering::Relaxed));
        now.checked_add(SignedDuration::from_secs(ahead)).unwrap_or(now)
    }

    fn set_clock(&self, headers: &HeaderMap, now: Timestamp) {
        let Some(date) = date(headers) else { return };
        let ahead = date.duration_since(now).as_secs();
        // The header has whole seconds, and answers take their time.
        let ahead = if ahead.abs() <= 2 { 0 } else { ahead };
        self.0.ahead.store(ahead, Ordering::Relaxed);
    }

    /// How a resource stands.
    pub fn standing(&self, resource: &Resource) -> Standing {
        self.health().standing(resource, Instant::now())
    }

    /// What a request about an object would be told now, were it refused.
    pub fn refusal(&self, resource: &Resource, namespace: &str, name: &str) -> Deferred {
        self.health().refusal(&Target::object(resource, namespace, name), Instant::now())
    }

    /// Refuses a request about an object before it is made. If it has not failed yet, it goes before those that have.
    pub fn turn_away(&self, resource: &Resource, namespace: &str, name: &str) -> Deferred {
        self.health().turn_away(&Target::object(resource, namespace, name), Instant::now())
    }

    /// Whether an object has failed and not done well since.
    pub fn has_failed(&self, resource: &Resource, namespace: &str, name: &str) -> bool {
        self.health().has_failed(&Target::object(resource, namespace, name))
    }

    /// Whether a request for a resource has got no answer for long while other resources did well, whatever others of it got.
    /// Requests for such a resource are sent, and nobody is to wait for them who has something else to do.
    pub fn is_suspicious(&self, resource: &Resource) -> bool {
        self.health().is_suspicious(resource, Instant::now())
    }

    /// Whether another resource has answered as it should since then.
    pub fn rest_is_healthy(&self, resource: &Resource, since: Instant) -> bool {
        self.health().rest_is_healthy(resource, since)
    }

    /// As [`Traffic::rest_is_healthy`]. If nobody knows, somebody is to find out: see [`Traffic::take_doubt`].
    pub fn sees_rest_healthy(&self, resource: &Resource, since: Instant) -> bool {
        let do_well = self.rest_is_healthy(resource, since);
        if !do_well {
            self.unanswered().doubt();
        }
        do_well
    }

    /// As [`Traffic::sees_rest_healthy`], by answers to requests only: a watch that began before may go on where a proxy answers
    /// nothing new.
    pub fn sees_rest_answer(&self, resource: &Resource, since: Instant) -> bool {
        let answer = self.health().rest_answers(resource, since);
        if !answer {
            self.unanswered().doubt();
        }
        answer
    }

    /// Whether somebody wants to know how others do since this was asked last.
    pub fn take_doubt(&self) -> bool {
        self.unanswered().take_doubt()
    }

    /// Waits until a resource falls sick or is well again.
    pub async fn changed(&self) {
        self.0.changed.notified().await;
    }

    /// For how long no good answer came although something was asked; `None` if nothing was asked since the last one.
    pub fn missing(&self) -> Option<Duration> {
        self.unanswered().missing(Instant::now())
    }

    /// Whether the server wants to hear from us.
    pub fn is_clear(&self) -> bool {
        self.overload().until(Instant::now()).is_none()
    }

    fn overload(&self) -> MutexGuard<'_, Overload> {
        self.0.overload.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn health(&self) -> MutexGuard<'_, Health> {
        self.0.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unanswered(&self) -> MutexGuard<'_, Unanswered> {
        self.0.unanswered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_note<B>(&self, verb: &'static str, response: Option<&Response<B>>) {
        let code = response.map_or(0, |response| response.status().as_u16());
        self.0.requests.get_or_create(&Labels { verb, code: code.into() }).inc();
        if let Some(response) = response.filter(|_| verb == "get") {
            self.set_clock(response.headers(), Timestamp::now());
        }
    }

    /// Nothing of ours is sent for this time.
    fn pause(&self, wait: Duration) {
        self.overload().pause(wait, self.0.is_cautious, Instant::now());
    }

    /// 429 for a resource. If several begin with that at once, it is about all of us.
    fn is_busy(&self, resource: &Resource, wait: Duration) {
        let now = Instant::now();
        let is_new = self.health().is_newly_busy(resource, now);
        if is_new && self.overload().begins(resource, now) {
            self.pause(wait);
        }
    }
}

fn date(headers: &HeaderMap) -> Option<Timestamp> {
    let date = headers.get(header::DATE)?.to_str().ok()?;
    jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(date).ok()
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
    S::Error: Into<BoxError> + 'static,
    B: Body<Data = Bytes> + Unpin + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Tapped<B>>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: Request<A>) -> Self::Future {
        let (traffic, verb) = (self.traffic.clone(), verb(&request));
        let flight = match Flight::begin(&traffic, verb, &request) {
            Ok(flight) => flight,
            Err(deferred) => return Box::pin(std::future::ready(Err(deferred.into()))),
        };
        let last_activity = last_activity::is_managed_resource_watch(verb, &request).then(|| traffic.last_activity());
        let answer = self.inner.call(request);
        Box::pin(async move {
            let limit = if verb == "watch" { WATCH_LIMIT } else { BEGIN_LIMIT };
            let deadline = flight.deadline().unwrap_or_else(|| Instant::now() + limit);
            let answer = timeout_at(deadline, answer).await.map(|answer| answer.map_err(Into::<BoxError>::into));
            traffic.take_note(verb, answer.as_ref().ok().and_then(|answer| answer.as_ref().ok()));
            match answer {
                Err(_) => Err(flight.refuse(Outcome::Silent).into()),
                Ok(Ok(response)) => traffic.classify(response, flight, verb == "watch", last_activity).await,
                Ok(Err(error)) => {
                    flight.end(Outcome::Failed(crate::call::without_prefix(&crate::exit::chain(&*error))));
                    Err(error)
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    mod layer;
    mod overload;
    mod watches;

    use super::*;

    #[test]
    fn the_servers_clock_is_known_by_its_answers() {
        let now = "2026-11-23T10:53:45Z".parse().unwrap();
        for (date, expected) in [
            ("Mon, 23 Nov 2026 10:53:44 GMT", 0),
            ("Mon, 23 Nov 2026 10:53:55 GMT", 10),
            ("Sun, 22 Nov 2026 10:53:45 GMT", -86_400),
            ("yesterday", 7),
        ] {
            let traffic = Traffic::default();
            traffic.0.ahead.store(7, Ordering::Relaxed);
            traffic.set_clock(&HeaderMap::from_iter([(header::DATE, date.parse().unwrap())]), now);
            assert_eq!(traffic.0.ahead.load(Ordering::Relaxed), expected, "{date}");
        }
        let traffic = Traffic::default();
        traffic.0.ahead.store(-86_400, Ordering::Relaxed);
        assert!(Timestamp::now().duration_since(traffic.server_time()).as_secs() >= 86_399);
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
