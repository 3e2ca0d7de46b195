//! From a request to a response, without a socket: `POST` of an `AdmissionReview` to one of the [`Endpoint`]s.
//!
//! Guarantee: each review with a uid is answered by a review, before the API server gives up. To the API server an HTTP error
//! means "allow" under failure policy Ignore. So a review that is too large, takes too long or makes the webhook panic is
//! refused at `/protect`, where only managed objects arrive, and allowed with a warning elsewhere.
//!
//! The API server says how long it waits in the query (`timeout=3s`).

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use holdfast_core::duration;
use holdfast_core::protect::Verdict;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::{Body, Bytes};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use super::body::{BODY_LIMIT, Budget, Fault, Received, receive};
use super::response;
use super::size::Size;
use super::undecided::Undecided;
use crate::admission::endpoint::Endpoint;
use crate::admission::review::{self, ReviewHeader};
use crate::admission::reviewer::Reviewer;
use crate::metrics::{Metrics, ReviewOutcome};

/// Our own deadline for a review. The API server waits for three seconds by default.
const DEADLINE: Duration = Duration::from_secs(2);
/// Reviews at a time. Further ones are answered without a decision.
const REVIEWS: usize = 256;

/// The service. Shared by all connections.
pub struct App {
    reviewer: Reviewer,
    metrics: Metrics,
    budget: Budget,
    slots: Semaphore,
}

/// The header of a review, set as soon as it is known.
type Header = Arc<OnceLock<ReviewHeader>>;

/// The response to a review, and its outcome for the metrics.
struct Answer {
    response: Response<Full<Bytes>>,
    outcome: ReviewOutcome,
}

/// A review after the work that waits for nothing.
enum Parsed {
    Decided(Verdict),
    /// A Secret or a ManagedResource, with the memory of its body: the decision may have to ask the cluster.
    Declaration(Box<review::Request>, Option<OwnedSemaphorePermit>),
}

impl App {
    /// A service that answers with the decisions of this reviewer.
    pub fn new(reviewer: Reviewer) -> Self {
        Self {
            metrics: reviewer.metrics().clone(),
            reviewer,
            budget: Budget::default(),
            slots: Semaphore::new(REVIEWS),
        }
    }

    /// Limits the reviews at a time, for tests.
    #[must_use]
    pub fn with_concurrency(mut self, most: usize) -> Self {
        self.slots = Semaphore::new(most);
        self
    }

    /// Answers a request. Never fails.
    pub async fn answer<B>(self: &Arc<Self>, request: Request<B>) -> Response<Full<Bytes>>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let Some(endpoint) = Endpoint::parse(request.uri().path()) else {
            let text = "there are /revert, /protect, /secrets, /managedresources and /namespaces";
            return response::plain(StatusCode::NOT_FOUND, text);
        };
        if request.method() != Method::POST {
            let mut response = response::plain(StatusCode::METHOD_NOT_ALLOWED, "reviews come by POST");
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
            return response;
        }
        let start = Instant::now();
        let deadline = start + DEADLINE.min(deadline(request.uri().query()));
        let Answer { response, outcome } = self.review(endpoint, request.into_body(), deadline).await;
        self.metrics.answered(endpoint, outcome, start.elapsed());
        response
    }

    /// Receives a review, decides, and answers.
    async fn review<B>(self: &Arc<Self>, endpoint: Endpoint, body: B, deadline: Instant) -> Answer
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let slot = self.slots.try_acquire().ok();
        // Without a slot only the first bytes are kept. The rest is read, so that the client gets to reading the answer.
        let limit = if slot.is_some() { BODY_LIMIT } else { 0 };
        let received = receive(body, limit, deadline, &self.budget).await;
        let header = Header::default();
        let decided = match received.fault {
            None => self.decide(endpoint, received, &header, deadline).await,
            Some(fault) => {
                header.get_or_init(|| ReviewHeader::scan(&received.bytes));
                let is_over_limit = fault == Fault::TooLarge && slot.is_none();
                Err(if is_over_limit { Undecided::TooMany } else { fault.into() })
            }
        };
        let header = header.get().cloned().unwrap_or_default();
        match decided {
            Ok(verdict) => Answer {
                response: response::verdict(header.uid.as_deref().unwrap_or_default(), &verdict),
                outcome: ReviewOutcome::from(&verdict),
            },
            Err(why) => self.without_decision(endpoint, &header, &why),
        }
    }

    /// Parses a review and decides about it, on another thread if it is large. Sets `header` in any case.
    async fn decide(
        self: &Arc<Self>,
        endpoint: Endpoint,
        received: Received,
        header: &Header,
        deadline: Instant,
    ) -> Result<Verdict, Undecided> {
        let Received { bytes, permit, .. } = received;
        let (size, bytes) = (Size::of(bytes.len()), Bytes::from(bytes));
        let (app, body, parsed) = (Arc::clone(self), bytes.clone(), Arc::clone(header));
        let work = move || {
            let request = endpoint.read(&body)?;
            drop(body);
            parsed.get_or_init(|| ReviewHeader::of(&request));
            Ok(match app.reviewer.decide_object(endpoint, &request) {
                Some(verdict) => Parsed::Decided(verdict),
                None => Parsed::Declaration(Box::new(request), permit),
            })
        };
        let decided = size.run(deadline, work).await.flatten();
        if decided.is_err() {
            header.get_or_init(|| ReviewHeader::scan(&bytes));
        }
        drop(bytes);
        let (request, permit) = match decided? {
            Parsed::Decided(verdict) => return Ok(verdict),
            Parsed::Declaration(request, permit) => (request, permit),
        };
        let app = Arc::clone(self);
        // A task of its own turns panics into errors.
        let mut task = tokio::spawn(async move { (app.reviewer.decide_declaration(endpoint, &request).await, permit) });
        if let Ok(result) = timeout_at(deadline, &mut task).await {
            return result.map(|(verdict, _)| verdict).map_err(|_| Undecided::Panicked);
        }
        task.abort();
        Err(Undecided::TimedOut)
    }

    fn without_decision(&self, endpoint: Endpoint, header: &ReviewHeader, why: &Undecided) -> Answer {
        tracing::warn!(path = endpoint.path(), uid = header.uid, reason = %why, "answered a review without a decision");
        let verdict = self.reviewer.without_decision(endpoint, header, &why.to_string());
        match &header.uid {
            Some(uid) => Answer { response: response::verdict(uid, &verdict), outcome: ReviewOutcome::Undecided },
            None => Answer { response: response::plain(why.status(), &why.to_string()), outcome: ReviewOutcome::Error },
        }
    }
}

/// The time for a review: two thirds of what the API server grants in the query of its request, so that the answer gets there.
fn deadline(query: Option<&str>) -> Duration {
    let mut pairs = query.unwrap_or_default().split('&');
    let timeout = pairs.find_map(|pair| pair.strip_prefix("timeout=")).and_then(|text| duration::parse(text).ok());
    timeout.filter(|timeout| !timeout.is_zero()).map_or(DEADLINE, |timeout| timeout * 2 / 3)
}
