//! A proxy in front of the API server that sees every request and does harm by rule: wrong answers, delays, silence, cut
//! connections, and calls of the test at exact moments.
//!
//! Clients speak plain HTTP to it, with the token that they would show to the API server; it passes both on over TLS. What a
//! rule does not select is passed on unchanged. Watches are streamed.
//!
//! A request that was taken in is carried out to its end even if its client dies meanwhile, as the API server would: see
//! [`FaultProxy::settled`]. The proxy lives on the runtime on which it was started; dropping it ends all connections.
mod record;
mod rule;

use std::convert::Infallible;
use std::fmt;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use futures::{StreamExt, stream};
use http::{HeaderMap, HeaderName, Response, StatusCode, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use kube::client::Body;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::control_plane::{ControlPlane, User};
use crate::wait;
use record::Record;
pub use record::{Entry, Request};
use rule::Rules;
pub use rule::{Fault, Hook, Rule};

/// An answer, whatever it is made of.
type Answer = Response<UnsyncBoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>>;

/// A watch must be able to be silent for as long as it wants.
const IDLE: Duration = Duration::from_secs(600);
/// Headers about one connection, and those that are made anew for the other one.
const OWN_HEADERS: [HeaderName; 4] =
    [header::HOST, header::CONNECTION, header::CONTENT_LENGTH, header::TRANSFER_ENCODING];

/// A running proxy.
pub struct FaultProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: CancellationToken,
}

struct Shared {
    upstream: kube::Client,
    rules: Mutex<Rules>,
    record: Mutex<Record>,
    /// Ends the connections that are open now.
    connections: Mutex<CancellationToken>,
}

/// The connection is to be cut without an answer.
#[derive(Debug)]
struct Disconnected;

impl fmt::Display for Disconnected {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the connection is cut")
    }
}

impl std::error::Error for Disconnected {}

impl FaultProxy {
    /// Listens on a loopback port.
    ///
    /// # Errors
    /// There is no port, or the API server's certificate cannot be read.
    pub async fn start(control_plane: &ControlPlane) -> Result<Self> {
        let mut config = control_plane.config(User::Admin)?;
        // Whoever asks shows a token of its own.
        config.auth_info = kube::config::AuthInfo::default();
        (config.read_timeout, config.write_timeout) = (Some(IDLE), Some(IDLE));
        let upstream = kube::Client::try_from(config).context("make the proxy's client")?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("listen for the proxy's clients")?;
        let address = listener.local_addr().context("find out the proxy's port")?;
        let stop = CancellationToken::new();
        let shared = Arc::new(Shared {
            upstream,
            rules: Mutex::default(),
            record: Mutex::default(),
            connections: Mutex::new(stop.child_token()),
        });
        tokio::spawn(stop.clone().run_until_cancelled_owned(accept(listener, Arc::clone(&shared))));
        Ok(Self { address, shared, stop })
    }

    /// Writes a kubeconfig whose server is this proxy.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_kubeconfig(&self, path: &Path, token: &str) -> Result<()> {
        let content = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "proxy",
            "clusters": [{"name": "proxy", "cluster": {"server": format!("http://{}", self.address)}}],
            "users": [{"name": "proxy", "user": {"token": token}}],
            "contexts": [{"name": "proxy", "context": {"cluster": "proxy", "user": "proxy"}}],
        });
        fs::write(path, content.to_string()).with_context(|| format!("write {}", path.display()))
    }

    /// A client of the proxy that shows the token of `user`.
    ///
    /// # Errors
    /// The client cannot be made.
    pub fn client(&self, control_plane: &ControlPlane, user: User) -> Result<kube::Client> {
        let mut config = control_plane.config(user)?;
        config.cluster_url = format!("http://{}", self.address).parse().context("make the proxy's address")?;
        kube::Client::try_from(config).context("make a client of the proxy")
    }

    /// Adds a rule. The first that selects a request (and has not run out) decides.
    pub fn add(&self, rule: Rule) {
        lock(&self.shared.rules).add(rule);
    }

    /// Removes all rules. Requests that hang go on hanging until their clients give up.
    pub fn clear(&self) {
        lock(&self.shared.rules).clear();
    }

    /// Cuts all open connections, so also the watches.
    pub fn cut_connections(&self) {
        let mut connections = lock(&self.shared.connections);
        connections.cancel();
        *connections = self.stop.child_token();
    }

    /// All requests since the start or the last [`Self::forget`], in the order in which they came.
    pub fn entries(&self) -> Vec<Entry> {
        lock(&self.shared.record).entries()
    }

    /// Empties the record.
    pub fn forget(&self) {
        lock(&self.shared.record).clear();
    }

    /// Waits until no request but watches is under way.
    ///
    /// # Errors
    /// One is, for 15 s.
    pub async fn settled(&self) -> Result<()> {
        wait::eventually("the proxy to come to rest", Duration::from_secs(15), || async {
            let open = lock(&self.shared.record).open();
            if open.is_empty() { Ok(()) } else { Err(format!("under way: {open:?}")) }
        })
        .await
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) -> Infallible {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let close = lock(&shared.connections).clone();
                let connection = serve(stream, Arc::clone(&shared));
                tokio::spawn(close.run_until_cancelled_owned(connection));
            }
            // Out of file descriptors, for example: others may be given back.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request| answer(Arc::clone(&shared), request));
    // An error is a client that has gone, or that was cut off on purpose.
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(shared: Arc<Shared>, request: http::Request<Incoming>) -> Result<Answer, Disconnected> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| Disconnected)?.to_bytes();
    let seen = Request::of(&parts);
    let decision = lock(&shared.rules).decide(&seen);
    let number = lock(&shared.record).begin(seen.clone(), decision.is_some());
    let (fault, hook) = decision.map_or((None, None), |(fault, hook)| (Some(fault), hook));
    if matches!(fault, Some(Fault::Hang)) {
        lock(&shared.record).hangs(number);
        if let Some(hook) = hook {
            hook(&seen).await;
        }
        // Until the client gives up: then this is dropped.
        return std::future::pending().await;
    }
    let job = Job { shared, seen, number, fault, hook };
    let task = tokio::spawn(job.run(parts, body));
    // The task does not panic, and nobody aborts it.
    task.await.unwrap_or(Err(Disconnected))
}

struct Job {
    shared: Arc<Shared>,
    seen: Request,
    number: u64,
    fault: Option<Fault>,
    hook: Option<Hook>,
}

impl Job {
    async fn run(self, parts: http::request::Parts, body: Bytes) -> Result<Answer, Disconnected> {
        let result = self.apply_rules(parts, body).await;
        let code = result.as_ref().ok().map(|response| response.status().as_u16());
        lock(&self.shared.record).end(self.number, code);
        result
    }

    async fn apply_rules(&self, parts: http::request::Parts, body: Bytes) -> Result<Answer, Disconnected> {
        let call_hook = async || {
            if let Some(hook) = &self.hook {
                hook(&self.seen).await;
            }
        };
        match &self.fault {
            None => self.forward(parts, body).await,
            Some(Fault::Half) => {
                call_hook().await;
                self.forward(parts, body).await
            }
            Some(Fault::Delay(delay)) => {
                call_hook().await;
                tokio::time::sleep(*delay).await;
                self.forward(parts, body).await
            }
            Some(Fault::Answer { code, retry_after }) => {
                call_hook().await;
                refusal(*code, *retry_after)
            }
            Some(Fault::Raw { code, retry_after, content: (kind, text) }) => {
                call_hook().await;
                plain(*code, *retry_after, kind, (*text).to_owned())
            }
            Some(Fault::HangInBody) => {
                call_hook().await;
                let begin = stream::iter([Ok(Frame::data(Bytes::from_static(b"{")))]);
                let body = StreamBody::new(begin.chain(stream::pending())).boxed_unsync();
                let response = Response::builder().header(header::CONTENT_TYPE, "application/json");
                response.body(body).map_err(|_| Disconnected)
            }
            Some(Fault::CutBefore | Fault::Hang) => {
                call_hook().await;
                Err(Disconnected)
            }
            Some(Fault::CutAfter) => {
                let _ = self.forward(parts, body).await;
                call_hook().await;
                Err(Disconnected)
            }
        }
    }

    async fn forward(&self, mut parts: http::request::Parts, body: Bytes) -> Result<Answer, Disconnected> {
        remove_own(&mut parts.headers);
        // They are about the connection that the request came on.
        parts.extensions.clear();
        let request = http::Request::from_parts(parts, Body::from(body));
        // An API server that is not there looks like a connection that breaks.
        let response = self.shared.upstream.send(request).await.map_err(|_| Disconnected)?;
        let (mut parts, body) = response.into_parts();
        remove_own(&mut parts.headers);
        if self.seen.is_watch() {
            return Ok(Response::from_parts(parts, body.map_err(Into::into).boxed_unsync()));
        }
        // Whole, so that the server is certainly done with it.
        let mut body = body.collect_bytes().await.map_err(|_| Disconnected)?;
        if matches!(self.fault, Some(Fault::Half)) {
            body.truncate(body.len() / 2);
        }
        Ok(Response::from_parts(parts, whole(body)))
    }
}

fn remove_own(headers: &mut HeaderMap) {
    for name in OWN_HEADERS {
        headers.remove(name);
    }
}

/// An answer as the API server words it.
fn refusal(code: u16, retry_after: Option<u32>) -> Result<Answer, Disconnected> {
    let reason = match code {
        409 => "Conflict",
        429 => "TooManyRequests",
        500 => "InternalError",
        503 => "ServiceUnavailable",
        504 => "Timeout",
        _ => "Unknown",
    };
    let mut status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": "a fault was injected", "reason": reason, "code": code,
    });
    if let Some(seconds) = retry_after {
        status["details"] = json!({"retryAfterSeconds": seconds});
    }
    plain(code, retry_after, "application/json", status.to_string())
}

fn plain(code: u16, retry_after: Option<u32>, kind: &str, text: String) -> Result<Answer, Disconnected> {
    let status = StatusCode::from_u16(code).map_err(|_| Disconnected)?;
    let mut response = Response::builder().status(status).header(header::CONTENT_TYPE, kind);
    if let Some(seconds) = retry_after {
        response = response.header(header::RETRY_AFTER, seconds);
    }
    response.body(whole(text.into())).map_err(|_| Disconnected)
}

fn whole(bytes: Bytes) -> UnsyncBoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>> {
    Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
