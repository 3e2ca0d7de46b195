//! From a request to a response, without a socket: `POST` of an `AdmissionReview` to `/revert`, `/protect`, `/secrets`,
//! `/managedresources` or `/namespaces`.
//!
//! Guarantee: a review whose uid can be told gets a review as its answer, in time. To the API server an HTTP error would
//! mean "allow" under failure policy Ignore. So what cannot be judged, because it is too large or takes too long or makes
//! us panic, is refused where only managed objects arrive (`/protect`), and allowed with a warning where others do too. What
//! passes `/revert` without a word meets `/protect` afterwards.
//!
//! In time means before the API server gives up, which it says in the query (`timeout=3s`).

use std::sync::Arc;
use std::time::Duration;

use holdfast_core::key::NamespacedName;
use holdfast_core::manifest::annotations;
use holdfast_core::protect::{Decision, Rules, Verdict};
use holdfast_runtime::index::SharedIndex;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::{Body, Bytes};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use super::body::{BODY_LIMIT, Budget, Fault, Received, receive};
use super::size::Size;
use super::undecided::Unjudged;
use crate::admission::audit_only::Trial;
use crate::admission::manifests::Checker;
use crate::admission::pause_access::Overrides;
use crate::admission::pause_authorizer::Glass;
use crate::admission::protect::Judge;
use crate::admission::review::{self, Glimpse, ReviewError};
use crate::admission::secret_reader::SecretReader;
use crate::admission::{managed_resources, namespaces, protect, secrets};
use crate::metrics::Metrics;

/// Our own deadline for a review; the API server waits for three seconds, unless it says otherwise.
const DEADLINE: Duration = Duration::from_secs(2);
/// Reviews at a time. Those that come beyond are answered without being judged.
const REVIEWS: usize = 256;

/// The service. Shared by all connections.
pub struct App {
    index: SharedIndex,
    rules: Rules,
    /// Where managed objects live in another cluster: whoever is one of ours there.
    target_rules: Option<Rules>,
    reader: Arc<dyn SecretReader>,
    metrics: Metrics,
    glass: Glass,
    checker: Checker,
    budget: Budget,
    places: Semaphore,
    judge: Judge,
    trial: Option<Trial>,
    deadline: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Path {
    Revert,
    Protect,
    Secrets,
    ManagedResources,
    Namespaces,
}

impl Path {
    fn parse(text: &str) -> Option<Self> {
        let all = [Self::Revert, Self::Protect, Self::Secrets, Self::ManagedResources, Self::Namespaces];
        all.into_iter().find(|path| path.text() == text)
    }

    fn text(self) -> &'static str {
        match self {
            Self::Revert => "/revert",
            Self::Protect => "/protect",
            Self::Secrets => "/secrets",
            Self::ManagedResources => "/managedresources",
            Self::Namespaces => "/namespaces",
        }
    }
}

impl App {
    /// A service that judges by this index and these rules.
    pub fn new(
        index: SharedIndex,
        rules: Rules,
        reader: Arc<dyn SecretReader>,
        overrides: Arc<dyn Overrides>,
        metrics: Metrics,
    ) -> Self {
        Self {
            index,
            glass: Glass { overrides, longest: rules.longest_pause },
            rules,
            target_rules: None,
            reader,
            metrics,
            checker: Checker::default(),
            budget: Budget::default(),
            places: Semaphore::new(REVIEWS),
            judge: holdfast_core::protect::judge,
            trial: None,
            deadline: DEADLINE,
        }
    }

    /// Managed objects live in another cluster, whose users are others: a name says something in one cluster only.
    #[must_use]
    pub fn with_target_rules(mut self, rules: Rules) -> Self {
        self.target_rules = Some(rules);
        self
    }

    /// Replaces the decision about managed objects, for tests.
    #[must_use]
    pub fn with_judge(mut self, judge: Judge) -> Self {
        self.judge = judge;
        self
    }

    /// Judges no more reviews than this at a time, for tests.
    #[must_use]
    pub fn with_places(mut self, most: usize) -> Self {
        self.places = Semaphore::new(most);
        self
    }

    /// Tells of what would be refused by Events, too, while we only watch.
    #[must_use]
    pub fn with_trial(mut self, trial: Trial) -> Self {
        self.trial = self.rules.audit_only.then_some(trial);
        self
    }

    /// Answers a request. Never fails.
    pub async fn answer<B>(self: &Arc<Self>, request: Request<B>) -> Response<Full<Bytes>>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let Some(path) = Path::parse(request.uri().path()) else {
            let text = "there are /revert, /protect, /secrets, /managedresources and /namespaces";
            return plain(StatusCode::NOT_FOUND, text);
        };
        if request.method() != Method::POST {
            let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "reviews come by POST");
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
            return response;
        }
        let start = Instant::now();
        let deadline = start + self.deadline.min(deadline(request.uri().query()));
        let (response, verdict) = self.review(path, request.into_body(), deadline).await;
        self.metrics.answered(path.text(), verdict, start.elapsed());
        response
    }

    async fn review<B>(
        self: &Arc<Self>,
        path: Path,
        body: B,
        deadline: Instant,
    ) -> (Response<Full<Bytes>>, &'static str)
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let place = self.places.try_acquire().ok();
        // Of what is not judged only the head is kept; the rest is read, so that the client gets to reading our answer.
        let limit = if place.is_some() { BODY_LIMIT } else { 0 };
        let received = receive(body, limit, deadline, &self.budget).await;
        let fault = match received.fault {
            Some(Fault::TooLarge) if place.is_none() => Some(Unjudged::TooMany),
            fault => fault.map(Unjudged::from),
        };
        if let Some(why) = fault {
            return self.unjudged(path, &Glimpse::of(&received.bytes), &why);
        }
        let (glimpse, judged) = self.judge(path, received, deadline).await;
        match judged {
            Ok(verdict) => (reply(glimpse.uid.as_deref().unwrap_or_default(), &verdict), label(&verdict)),
            Err(why) => self.unjudged(path, &glimpse, &why),
        }
    }

    /// Reads a review and decides about it. Returns also what it says of itself.
    async fn judge(
        self: &Arc<Self>,
        path: Path,
        received: Received,
        deadline: Instant,
    ) -> (Glimpse, Result<Verdict, Unjudged>) {
        let Received { bytes, permit, .. } = received;
        let (size, bytes) = (Size::of(bytes.len()), Bytes::from(bytes));
        let body = bytes.clone();
        let read = size.run(deadline, move || (read(path, &body), permit)).await;
        let (request, permit) = match read.and_then(|(request, permit)| Ok((request?, permit))) {
            Ok(read) => read,
            Err(why) => return (Glimpse::of(&bytes), Err(why)),
        };
        drop(bytes);
        let glimpse = Glimpse { uid: Some(request.uid.clone()), is_scale: request.sub_resource == "scale" };
        (glimpse, self.decide(path, request, permit, size, deadline).await)
    }

    async fn decide(
        self: &Arc<Self>,
        path: Path,
        request: review::Request,
        permit: Option<OwnedSemaphorePermit>,
        size: Size,
        deadline: Instant,
    ) -> Result<Verdict, Unjudged> {
        let app = Arc::clone(self);
        if matches!(path, Path::Revert | Path::Protect | Path::Namespaces) {
            let work = move || (app.of_object(path, &request), permit);
            return size.run(deadline, work).await.map(|(verdict, _)| verdict);
        }
        // A task of its own turns panics into errors.
        let mut task = tokio::spawn(async move { (app.of_declaration(path, &request).await, permit) });
        if let Ok(result) = timeout_at(deadline, &mut task).await {
            return result.map(|(verdict, _)| verdict).map_err(|_| Unjudged::Panicked);
        }
        task.abort();
        Err(Unjudged::Undecided)
    }

    /// About a managed object. Needs nothing that is not known.
    fn of_object(&self, path: Path, request: &review::Request) -> Verdict {
        let target = self.target_rules.as_ref().unwrap_or(&self.rules);
        let verdict = match path {
            Path::Revert => protect::judge(request, &self.index, target, holdfast_core::protect::revert),
            Path::Namespaces => self.enforced(namespaces::judge(request, &self.index, target)),
            Path::Protect | Path::Secrets | Path::ManagedResources => {
                protect::judge(request, &self.index, target, self.judge)
            }
        };
        self.conclude(request, verdict)
    }

    /// About a Secret or a ManagedResource. May have to ask the cluster, and decodes manifests.
    async fn of_declaration(&self, path: Path, request: &review::Request) -> Verdict {
        let verdict = if path == Path::ManagedResources {
            self.managed_resource(request).await
        } else {
            self.enforced(secrets::judge(request, &self.index, &self.rules, &self.checker).await)
        };
        self.conclude(request, verdict)
    }

    fn conclude(&self, request: &review::Request, verdict: Verdict) -> Verdict {
        log(request, &verdict);
        self.metrics.decided(&verdict);
        if let Some(trial) = &self.trial {
            trial.tell(request, &verdict, &self.index);
        }
        verdict
    }

    async fn managed_resource(&self, request: &review::Request) -> Verdict {
        let granted = match self.glass.judge(request, &self.metrics).await {
            Ok(granted) => granted,
            Err(refusal) => return self.enforced(named(refusal, request)),
        };
        let verdict =
            managed_resources::judge(request, &self.index, &self.rules, self.reader.as_ref(), &self.checker).await;
        self.glass.conclude(request, granted, self.enforced(named(verdict, request)), &self.metrics)
    }

    fn enforced(&self, verdict: Verdict) -> Verdict {
        if self.rules.audit_only { verdict.into_trial() } else { verdict }
    }

    fn unjudged(&self, path: Path, glimpse: &Glimpse, why: &Unjudged) -> (Response<Full<Bytes>>, &'static str) {
        tracing::warn!(path = path.text(), uid = glimpse.uid, reason = %why, "a review could not be judged");
        let verdict = match path {
            Path::Revert => Verdict::Allow { warnings: Vec::new(), audit: std::collections::BTreeMap::new() },
            Path::Protect => why.verdict(!glimpse.is_scale),
            Path::Secrets | Path::ManagedResources | Path::Namespaces => why.verdict(false),
        };
        match &glimpse.uid {
            Some(uid) => (reply(uid, &self.enforced(verdict)), "unjudged"),
            None => (plain(why.status(), &why.to_string()), "error"),
        }
    }
}

/// What is left of the time that the API server gives us, by the query of its request: it has to get our answer.
fn deadline(query: Option<&str>) -> Duration {
    let mut pairs = query.unwrap_or_default().split('&');
    let timeout = pairs.find_map(|pair| pair.strip_prefix("timeout=")).and_then(|text| annotations::period(text).ok());
    timeout.filter(|timeout| !timeout.is_zero()).map_or(DEADLINE, |timeout| timeout * 2 / 3)
}

fn read(path: Path, bytes: &[u8]) -> Result<review::Request, ReviewError> {
    match path {
        Path::Protect => review::Request::read_differing(bytes),
        // What is put back has to be whole.
        Path::Revert | Path::Secrets | Path::ManagedResources | Path::Namespaces => review::Request::read(bytes),
    }
}

/// Names the ManagedResource that the review is of, where it is refused.
fn named(mut verdict: Verdict, request: &review::Request) -> Verdict {
    if let Verdict::Deny { audit, .. } = &mut verdict {
        let key = NamespacedName::new(&request.namespace, request.object_name());
        audit.insert("managed-resource".to_owned(), key.to_string());
    }
    verdict
}

/// What was refused, put back or warned about, and its objects; never a value of a field.
fn log(request: &review::Request, verdict: &Verdict) {
    let what = match verdict.decision() {
        Some(Decision::Revert) => "put back",
        Some(Decision::Warn) => "passed with a warning",
        Some(Decision::WouldDeny) => "would be denied",
        Some(Decision::Paused) => "passed while it is paused",
        None if verdict.is_allowed() => return,
        Some(Decision::Deny) | None => "denied",
    };
    let audit = verdict.audit();
    let part = |name: &str| audit.get(name).map(String::as_str);
    let (slash, subresource) =
        if request.sub_resource.is_empty() { ("", "") } else { ("/", request.sub_resource.as_str()) };
    tracing::info!(
        resource = format!("{}{slash}{subresource}", request.resource.resource),
        group = request.resource.group,
        namespace = request.namespace,
        name = request.object_name(),
        operation = ?request.operation,
        user = request.user_info.username,
        managed_resource = part("managed-resource"),
        paths = part("paths"),
        pause = part("pause"),
        undecodable = part("undecodable"),
        dry_run = request.dry_run.unwrap_or_default(),
        "{what}"
    );
}

fn label(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Allow { warnings, .. } if warnings.is_empty() => "allow",
        Verdict::Allow { .. } => "warn",
        Verdict::Revert { .. } => "revert",
        Verdict::Deny { .. } => "deny",
    }
}

fn reply(uid: &str, verdict: &Verdict) -> Response<Full<Bytes>> {
    match review::write(uid, verdict) {
        Ok(body) => {
            let mut response = Response::new(Full::new(body.into()));
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            response
        }
        Err(_) => plain(StatusCode::INTERNAL_SERVER_ERROR, "the answer cannot be written"),
    }
}

fn plain(status: StatusCode, text: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(format!("{text}\n").into()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
