//! Follows all Services, and listens on the ClusterIPs of those that have a ready Pod on stage.
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::TryStreamExt;
use holdfast_runtime::api::Api;
use k8s_openapi::api::core::v1::{Service, ServicePort};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::ResourceExt;
use kube::runtime::watcher::{self, Event, watcher};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::Stage;
use super::kubelet::{RETRY, WATCH_SECONDS};
use super::roster::PlayedPod;

const CONNECT: Duration = Duration::from_secs(2);
/// So long at least new connections still go to a Pod that is not ready any more, or is told to end: a kube-proxy learns of
/// it by way of the API server.
const LAG: Duration = Duration::from_millis(500);
/// How often a port is tried again that could not be bound.
const AGAIN: Duration = Duration::from_secs(1);

type Backends = Arc<Mutex<Vec<SocketAddr>>>;

struct Proxy {
    stage: Arc<Stage>,
    services: BTreeMap<String, Service>,
    listed: BTreeMap<String, Service>,
    open: BTreeMap<SocketAddr, Open>,
    /// When a backend was last desired, by the Service's address and its own.
    desired: BTreeMap<(SocketAddr, SocketAddr), Instant>,
}

/// An address that is listened on. Dropping it closes the listener, so connections are refused; those under way go on.
struct Open {
    backends: Backends,
    close: CancellationToken,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.close.cancel();
    }
}

/// Runs until the player stops.
pub(super) async fn run(stage: Arc<Stage>) {
    let stop = stage.stop.clone();
    let mut pods = stage.roster.changes();
    let services: Api<Service> = Api::all(stage.client.clone());
    let mut events = Box::pin(watcher(services.collection(), watcher::Config::default().timeout(WATCH_SECONDS)));
    let mut proxy = Proxy {
        stage,
        services: BTreeMap::new(),
        listed: BTreeMap::new(),
        open: BTreeMap::new(),
        desired: BTreeMap::new(),
    };
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            event = events.try_next() => match event {
                Ok(Some(event)) => proxy.handle(event),
                Ok(None) => return,
                Err(error) => {
                    warn!(%error, "the watch of Services failed; it is tried again");
                    tokio::time::sleep(RETRY).await;
                }
            },
            _ = pods.changed() => {}
            () = tokio::time::sleep(AGAIN) => {}
        }
        pods.mark_unchanged();
        proxy.settle().await;
    }
}

impl Proxy {
    fn handle(&mut self, event: Event<Service>) {
        let uid = |service: &Service| service.uid().unwrap_or_default();
        match event {
            Event::Init => self.listed.clear(),
            Event::InitApply(service) => _ = self.listed.insert(uid(&service), service),
            Event::InitDone => self.services = std::mem::take(&mut self.listed),
            Event::Apply(service) => _ = self.services.insert(uid(&service), service),
            Event::Delete(service) => _ = self.services.remove(&uid(&service)),
        }
    }

    /// Adds the backends that were desired a moment ago.
    fn lag(&mut self, desired: &mut BTreeMap<SocketAddr, Vec<SocketAddr>>) {
        let now = Instant::now();
        for (address, backends) in &*desired {
            self.desired.extend(backends.iter().map(|backend| ((*address, *backend), now)));
        }
        self.desired.retain(|_, at| now.duration_since(*at) < LAG);
        for (address, backend) in self.desired.keys() {
            let backends = desired.entry(*address).or_default();
            if !backends.contains(backend) {
                backends.push(*backend);
            }
        }
    }

    /// Opens, redirects and closes until what is listened on is what should be.
    async fn settle(&mut self) {
        let pods = self.stage.roster.pods();
        let mut desired: BTreeMap<SocketAddr, Vec<SocketAddr>> = BTreeMap::new();
        for service in self.services.values() {
            desired.extend(routes(service, &pods));
        }
        self.lag(&mut desired);
        self.open.retain(|address, _| desired.contains_key(address));
        for (address, backends) in desired {
            if let Some(open) = self.open.get(&address) {
                *open.backends.lock().unwrap_or_else(PoisonError::into_inner) = backends;
                continue;
            }
            match TcpListener::bind(address).await {
                Ok(listener) => {
                    info!(%address, ?backends, "a Service has a ready Pod: listening");
                    let backends: Backends = Arc::new(Mutex::new(backends));
                    let close = self.stage.stop.child_token();
                    self.stage.tasks.spawn(serve(listener, Arc::clone(&backends), close.clone()));
                    self.open.insert(address, Open { backends, close });
                }
                Err(error) => warn!(
                    %address, %error,
                    "cannot listen on a ClusterIP; tried again each second (below port 1024 one must be root)"
                ),
            }
        }
    }
}

/// Where connections to a Service go, for each of its ports that has a ready Pod.
fn routes(service: &Service, pods: &[PlayedPod]) -> BTreeMap<SocketAddr, Vec<SocketAddr>> {
    let mut routes = BTreeMap::new();
    let Some(spec) = &service.spec else { return routes };
    let address = spec.cluster_ip.as_deref().and_then(|address| address.parse::<IpAddr>().ok());
    let selector = spec.selector.as_ref().filter(|selector| !selector.is_empty());
    let (Some(address), Some(selector)) = (address, selector) else { return routes };
    let namespace = service.namespace().unwrap_or_default();
    for port in spec.ports.iter().flatten().filter(|port| port.protocol.as_deref().unwrap_or("TCP") == "TCP") {
        let backends: Vec<SocketAddr> = pods
            .iter()
            .filter(|pod| pod.ready && pod.namespace == namespace)
            .filter(|pod| selector.iter().all(|(key, value)| pod.labels.get(key) == Some(value)))
            .filter_map(|pod| Some(SocketAddr::new(pod.address.into(), target(port, pod)?)))
            .collect();
        if let Some(number) = u16::try_from(port.port).ok().filter(|_| !backends.is_empty()) {
            routes.insert(SocketAddr::new(address, number), backends);
        }
    }
    routes
}

fn target(port: &ServicePort, pod: &PlayedPod) -> Option<u16> {
    match &port.target_port {
        Some(IntOrString::String(name)) => pod.ports.get(name).copied(),
        Some(IntOrString::Int(number)) => u16::try_from(*number).ok(),
        None => u16::try_from(port.port).ok(),
    }
}

async fn serve(listener: TcpListener, backends: Backends, close: CancellationToken) {
    let mut turn: usize = 0;
    loop {
        let accepted = tokio::select! {
            () = close.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else { continue };
        let mut order = backends.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let first = turn % order.len().max(1);
        order.rotate_left(first);
        turn = turn.wrapping_add(1);
        tokio::spawn(forward(stream, order));
    }
}

/// Passes each connection on to one address, as a Service with one Pod would, until it is dropped.
pub async fn forward_all(listener: TcpListener, backend: SocketAddr) {
    serve(listener, Arc::new(Mutex::new(vec![backend])), CancellationToken::new()).await;
}

/// Passes bytes to the first of `order` that accepts a connection.
async fn forward(mut client: TcpStream, order: Vec<SocketAddr>) {
    for address in order {
        if let Ok(Ok(mut server)) = tokio::time::timeout(CONNECT, TcpStream::connect(address)).await {
            // Small messages both ways: waiting for more to send would only add latency.
            let _ = (client.set_nodelay(true), server.set_nodelay(true));
            let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            return;
        }
    }
}
