//! Probes: HTTP GET and TCP connect.
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use k8s_openapi::api::core::v1::{Container, HTTPHeader, Probe as Spec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::environment::named_ports;

/// While a Pod is not ready yet. Kubernetes' shortest period is a second, which tests would wait for often.
const EAGER: Duration = Duration::from_millis(100);

/// What the probes found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Health {
    pub(super) started: bool,
    pub(super) ready: bool,
}

/// The probes of a container.
pub(super) struct Probes {
    startup: Option<Probe>,
    readiness: Option<Probe>,
    liveness: Option<Probe>,
}

struct Probe {
    target: SocketAddr,
    /// `None`: it is enough that the port accepts a connection.
    request: Option<String>,
    delay: Duration,
    period: Duration,
    timeout: Duration,
    failures: u32,
}

impl Probes {
    /// Reads the probes of a container at `address`.
    ///
    /// # Errors
    /// A probe is of a kind that is not played, or names a port that the container does not have.
    pub(super) fn read(container: &Container, address: Ipv4Addr) -> Result<Self> {
        let read = |name: &str, spec: &Option<Spec>| -> Result<Option<Probe>> {
            let probe = spec.as_ref().map(|spec| Probe::read(spec, container, address)).transpose();
            probe.with_context(|| format!("the {name} probe"))
        };
        Ok(Self {
            startup: read("startup", &container.startup_probe)?,
            readiness: read("readiness", &container.readiness_probe)?,
            liveness: read("liveness", &container.liveness_probe)?,
        })
    }

    /// Probes on and on, and returns why the container has to be restarted when it has to.
    pub(super) async fn run(&self, health: &watch::Sender<Health>) -> String {
        if let Some(startup) = &self.startup {
            tokio::time::sleep(startup.delay).await;
            if let Err(failure) = startup.until_success_or_enough_failures().await {
                return format!("the startup probe failed: {failure}");
            }
        }
        health.send_modify(|health| health.started = true);
        tokio::select! {
            failure = self.live() => format!("the liveness probe failed: {failure}"),
            never = self.follow_readiness(health) => match never {},
        }
    }

    async fn live(&self) -> String {
        let Some(probe) = &self.liveness else { return std::future::pending().await };
        tokio::time::sleep(probe.delay).await;
        loop {
            if let Err(failure) = probe.until_success_or_enough_failures().await {
                return failure;
            }
            tokio::time::sleep(probe.period).await;
        }
    }

    async fn follow_readiness(&self, health: &watch::Sender<Health>) -> std::convert::Infallible {
        let set = |ready: bool| {
            health.send_if_modified(|health| std::mem::replace(&mut health.ready, ready) != ready);
        };
        let Some(probe) = &self.readiness else {
            set(true);
            return std::future::pending().await;
        };
        tokio::time::sleep(probe.delay).await;
        loop {
            while probe.once().await.is_err() {
                tokio::time::sleep(probe.period.min(EAGER)).await;
            }
            set(true);
            tokio::time::sleep(probe.period).await;
            while probe.until_success_or_enough_failures().await.is_ok() {
                tokio::time::sleep(probe.period).await;
            }
            set(false);
        }
    }
}

impl Probe {
    fn read(spec: &Spec, container: &Container, address: Ipv4Addr) -> Result<Self> {
        let seconds = |value: Option<i32>, default: u64| {
            Duration::from_secs(
                value.and_then(|value| u64::try_from(value).ok()).filter(|value| *value > 0).unwrap_or(default),
            )
        };
        let (port, host, http) = if let Some(http) = &spec.http_get {
            if http.scheme.as_deref().is_some_and(|scheme| scheme != "HTTP") {
                bail!("the player probes over plain HTTP only");
            }
            (&http.port, &http.host, Some(http))
        } else if let Some(tcp) = &spec.tcp_socket {
            (&tcp.port, &tcp.host, None)
        } else {
            bail!("the player knows httpGet and tcpSocket probes only");
        };
        let host: IpAddr = match host.as_deref().filter(|host| !host.is_empty()) {
            Some(host) => host.parse().with_context(|| format!("the host {host} is not an address"))?,
            None => address.into(),
        };
        let target = SocketAddr::new(host, number(port, container)?);
        let request = http.map(|http| {
            let path = http.path.as_deref().filter(|path| !path.is_empty()).unwrap_or("/");
            get(path, target, http.http_headers.as_deref().unwrap_or_default())
        });
        Ok(Self {
            target,
            request,
            delay: seconds(spec.initial_delay_seconds, 0),
            period: seconds(spec.period_seconds, 10),
            timeout: seconds(spec.timeout_seconds, 1),
            failures: spec.failure_threshold.and_then(|value| u32::try_from(value).ok()).unwrap_or(3).max(1),
        })
    }

    /// Tries until it succeeds, or has failed as often in a row as the threshold says; in between, a period passes.
    async fn until_success_or_enough_failures(&self) -> Result<(), String> {
        let mut failed = 0;
        loop {
            let Err(failure) = self.once().await else { return Ok(()) };
            failed += 1;
            if failed >= self.failures {
                return Err(failure);
            }
            tokio::time::sleep(self.period).await;
        }
    }

    async fn once(&self) -> Result<(), String> {
        match tokio::time::timeout(self.timeout, self.attempt()).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(format!("{error:#}")),
            Err(_) => Err(format!("no answer from {} within {} s", self.target, self.timeout.as_secs())),
        }
    }

    async fn attempt(&self) -> Result<()> {
        let mut stream =
            TcpStream::connect(self.target).await.with_context(|| format!("connect to {}", self.target))?;
        let Some(request) = &self.request else { return Ok(()) };
        stream.write_all(request.as_bytes()).await.context("send the request")?;
        let mut answer = Vec::new();
        // The status line is all that matters; a server that goes on talking is not listened to.
        stream.take(4096).read_to_end(&mut answer).await.context("read the answer")?;
        let line = String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_owned();
        let code = line.split(' ').nth(1).and_then(|code| code.parse::<u16>().ok());
        match code {
            Some(200..=399) => Ok(()),
            _ => bail!("{} answered `{line}`", self.target),
        }
    }
}

fn get(path: &str, target: SocketAddr, headers: &[HTTPHeader]) -> String {
    let mut lines = vec![
        format!("GET {path} HTTP/1.1"),
        format!("Host: {target}"),
        "User-Agent: kube-probe/player".to_owned(),
        "Connection: close".to_owned(),
    ];
    lines.extend(headers.iter().map(|header| format!("{}: {}", header.name, header.value)));
    format!("{}\r\n\r\n", lines.join("\r\n"))
}

/// The number of a port that may be given by name.
pub(super) fn number(port: &IntOrString, container: &Container) -> Result<u16> {
    match port {
        IntOrString::Int(number) => u16::try_from(*number).with_context(|| format!("{number} is not a port")),
        IntOrString::String(name) => {
            named_ports(container).get(name).copied().with_context(|| format!("the container has no port named {name}"))
        }
    }
}
