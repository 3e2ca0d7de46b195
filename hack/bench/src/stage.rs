//! A control plane with the chart installed, and what its processes use and send.
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use holdfast_e2e::audit::{AuditLog, Request};
use holdfast_e2e::control_plane::{Component, ControlPlane, Options, User};
use holdfast_e2e::player::{PlayedPod, Player};
use holdfast_e2e::{install, wait};
use holdfast_runtime::api::Api;
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use rustix::process::Signal;
use serde_json::json;

const CONTROLLER: &str = "holdfast-controller";
const WEBHOOK: &str = "holdfast-webhook";
const ACCOUNT: &str = "system:serviceaccount:holdfast-system:holdfast-controller";
/// Where ManagedResources and their Secrets are.
pub(super) const HOME: &str = "bench";
/// Of the ticks in `/proc/<pid>/stat`: the same on all Linux machines, whatever the kernel's own clock does.
const TICKS_A_SECOND: f64 = 100.0;
const QUIET_LIMIT: Duration = Duration::from_secs(120);
const RESTART_LIMIT: Duration = Duration::from_secs(60);

/// Everything that runs for a group of rows.
pub(super) struct Stage {
    pub(super) client: kube::Client,
    /// Of somebody whose requests are authorized by RBAC, as the controller's are. Those of `client` are not at all.
    pub(super) ordinary: kube::Client,
    control_plane: ControlPlane,
    player: Player,
}

/// CPU time so far, in seconds.
#[derive(Clone, Debug)]
pub(super) struct Cpu {
    pub(super) controller: f64,
    pub(super) api_server: f64,
    /// Of everything else that runs for the stage, this process included.
    rest: BTreeMap<&'static str, f64>,
}

impl Cpu {
    /// What was used since, in words.
    pub(super) fn since(&self, before: &Self) -> String {
        let mut text = format!(
            "CPU {:.2} s ours, {:.2} s the API server's",
            self.controller - before.controller,
            self.api_server - before.api_server
        );
        for (name, seconds) in &self.rest {
            // Writing to a String does not fail.
            let _ = write!(text, ", {name} {:.2}", seconds - before.rest.get(name).copied().unwrap_or_default());
        }
        text
    }
}

/// Memory of a process, in MiB.
#[derive(Clone, Copy, Debug)]
pub(super) struct Memory {
    pub(super) resident: f64,
    pub(super) peak: f64,
}

impl Stage {
    /// Starts it, with the chart's own values but for the resync.
    ///
    /// # Errors
    /// Something does not start.
    pub(super) async fn start(images: &BTreeMap<String, PathBuf>) -> Result<Self> {
        let control_plane = ControlPlane::start(Options::default()).await?;
        let player = Player::start(&control_plane, images.clone())?;
        // No resync is due but where it is what is measured.
        install::install(&control_plane, &player, &["controller.resyncPeriod=24h"]).await?;
        let client = |user| {
            let mut config = control_plane.config(user)?;
            // A watch may be silent for as long as a row takes.
            config.read_timeout = None;
            kube::Client::try_from(config).context("make a client")
        };
        let (client, ordinary) = (client(User::Admin)?, client(User::Alice)?);
        let stage = Self { client, ordinary, control_plane, player };
        stage.namespace(HOME).await?;
        Ok(stage)
    }

    /// Takes everything down.
    ///
    /// # Errors
    /// A process does not end.
    pub(super) async fn stop(self) -> Result<()> {
        self.player.stop().await?;
        self.control_plane.stop().await
    }

    /// Creates a namespace.
    ///
    /// # Errors
    /// The API server refuses.
    pub(super) async fn namespace(&self, name: &str) -> Result<()> {
        let resource = resource("", "v1", "Namespace", "namespaces");
        let namespaces: Api<DynamicObject> = Api::all_with(self.client.clone(), &resource);
        let object = serde_json::from_value(json!({"metadata": {"name": name}})).context("make a namespace")?;
        namespaces.create(&PostParams::default(), &object).await.with_context(|| format!("create namespace {name}"))?;
        Ok(())
    }

    /// Where files of this stage may lie; they go with it.
    pub(super) fn directory(&self) -> &Path {
        self.control_plane.directory()
    }

    /// The API of Deployments in the namespace of the chart.
    pub(super) fn deployments(&self) -> Api<DynamicObject> {
        let resource = resource("apps", "v1", "Deployment", "deployments");
        Api::namespaced_with(self.client.clone(), install::NAMESPACE, &resource)
    }

    /// The API of ValidatingWebhookConfigurations.
    pub(super) fn validating_configurations(&self) -> Api<DynamicObject> {
        let (group, plural) = ("admissionregistration.k8s.io", "validatingwebhookconfigurations");
        Api::all_with(self.client.clone(), &resource(group, "v1", "ValidatingWebhookConfiguration", plural))
    }

    /// The Pod of the controller.
    ///
    /// # Errors
    /// There is none, or more than one.
    pub(super) fn controller(&self) -> Result<PlayedPod> {
        let mut pods = self.player.pods_of(CONTROLLER);
        match (pods.pop(), pods.is_empty()) {
            (Some(pod), true) => Ok(pod),
            _ => bail!("not one Pod of the controller, but {}", self.player.pods_of(CONTROLLER).len()),
        }
    }

    /// Kills the controller's process (`SIGKILL`).
    ///
    /// # Errors
    /// It does not run.
    pub(super) fn kill(&self) -> Result<()> {
        self.controller()?.signal(Signal::KILL)
    }

    /// Waits for a process of the controller other than `old`. Returns when it was seen.
    ///
    /// # Errors
    /// There is none within a minute.
    pub(super) async fn restarted(&self, old: u32) -> Result<Instant> {
        let start = Instant::now();
        while start.elapsed() < RESTART_LIMIT {
            if self.controller().is_ok_and(|pod| pod.pid().is_some_and(|pid| pid != old)) {
                return Ok(Instant::now());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        bail!("the controller did not run again within {} s", RESTART_LIMIT.as_secs())
    }

    /// Waits until a controller that was started after `log` began leads: it has written its lease.
    ///
    /// # Errors
    /// It does not within a minute.
    pub(super) async fn leads(&self, log: &mut AuditLog) -> Result<()> {
        let start = Instant::now();
        while start.elapsed() < RESTART_LIMIT {
            let requests = log.read_of(ACCOUNT)?;
            if requests.iter().any(|request| request.resource == "leases" && is_accepted_write(request)) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        bail!("the controller did not lead within {} s", RESTART_LIMIT.as_secs())
    }

    /// The audit log from now on.
    ///
    /// # Errors
    /// It cannot be read.
    pub(super) fn audit(&self) -> Result<AuditLog> {
        AuditLog::from_now(&self.control_plane.audit_log())
    }

    /// Waits until the controller has sent nothing but watches and its lease for so long. Returns when that time began.
    ///
    /// # Errors
    /// It goes on for two minutes.
    pub(super) async fn quiet(&self, calm: Duration) -> Result<Instant> {
        let (mut log, begun) = (self.audit()?, Instant::now());
        let mut since = begun;
        loop {
            tokio::time::sleep(Duration::from_millis(250)).await;
            let requests = sent(&mut log)?;
            match requests.last() {
                Some(_) if begun.elapsed() > QUIET_LIMIT => {
                    bail!("the controller still sends requests after {} s: {requests:?}", QUIET_LIMIT.as_secs())
                }
                Some(_) => since = Instant::now(),
                None if since.elapsed() >= calm => return Ok(since),
                None => {}
            }
        }
    }

    /// CPU time of all processes.
    ///
    /// # Errors
    /// One of them does not run.
    pub(super) fn cpu(&self) -> Result<Cpu> {
        let component = |component: Component| {
            cpu_seconds(self.control_plane.pid(component).with_context(|| format!("{component} does not run"))?)
        };
        let mut webhook = 0.0;
        for pid in self.pods_of(WEBHOOK).iter().filter_map(PlayedPod::pid) {
            webhook += cpu_seconds(pid)?;
        }
        let rest = BTreeMap::from([
            ("etcd", component(Component::Etcd)?),
            ("controller manager", component(Component::ControllerManager)?),
            ("webhook", webhook),
            ("this process", cpu_seconds(std::process::id())?),
        ]);
        Ok(Cpu { controller: cpu_seconds(self.pid()?)?, api_server: component(Component::ApiServer)?, rest })
    }

    /// Memory of the controller.
    ///
    /// # Errors
    /// It does not run.
    pub(super) fn memory(&self) -> Result<Memory> {
        memory_of(self.pid()?)
    }

    /// The Pods that run an image.
    pub(super) fn pods_of(&self, image: &str) -> Vec<PlayedPod> {
        self.player.pods_of(image)
    }

    /// The process id of the controller.
    ///
    /// # Errors
    /// It does not run.
    pub(super) fn pid(&self) -> Result<u32> {
        self.controller()?.pid().context("the controller does not run")
    }

    /// Does something while no controller runs; returns when one leads again.
    ///
    /// # Errors
    /// The controller does not end or come, or what is done fails.
    pub(super) async fn without_controller<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        self.scale_controller(0).await?;
        let ended = wait::eventually("the controller to end", RESTART_LIMIT, || async {
            let count = self.player.pods_of(CONTROLLER).len();
            if count == 0 { Ok(()) } else { bail!("there are {count} Pods") }
        });
        ended.await?;
        let result = work.await;
        let mut log = self.audit()?;
        self.scale_controller(1).await?;
        self.leads(&mut log).await?;
        result
    }

    async fn scale_controller(&self, replicas: u32) -> Result<()> {
        let patch = Patch::Merge(json!({"spec": {"replicas": replicas}}));
        let patched = self.deployments().patch(CONTROLLER, &PatchParams::default(), &patch).await;
        patched.map(drop).context("scale the controller")
    }

    /// The same Deployment with another resync period; returns when a controller with it leads.
    ///
    /// # Errors
    /// The API server refuses, or the new controller does not come.
    pub(super) async fn set_resync_period(&self, period: Duration) -> Result<()> {
        let (old, mut log, deployments) = (self.pid()?, self.audit()?, self.deployments());
        let mut deployment = deployments.get(CONTROLLER).await.context("get the Deployment of the controller")?;
        let pointer = "/spec/template/spec/containers/0/args";
        let arguments = deployment.data.pointer_mut(pointer).and_then(serde_json::Value::as_array_mut);
        let arguments = arguments.context("the Deployment of the controller has no arguments")?;
        arguments.retain(|argument| !argument.as_str().unwrap_or_default().starts_with("--resync-period="));
        arguments.push(format!("--resync-period={}s", period.as_secs()).into());
        let replaced = deployments.replace(CONTROLLER, &PostParams::default(), &deployment).await;
        replaced.context("replace the Deployment of the controller")?;
        let rolled = wait::eventually("one Pod of the controller, a new one", RESTART_LIMIT, || async {
            match self.pid() {
                Ok(pid) if pid != old => Ok(()),
                Ok(_) => bail!("it is the old one"),
                Err(error) => Err(error),
            }
        });
        rolled.await?;
        // The old one may have renewed its lease meanwhile; the new one's first word comes after the old one's end.
        log.read()?;
        self.leads(&mut log).await
    }
}

/// What the controller has sent since the last call, but watches and its lease.
///
/// # Errors
/// The audit log cannot be read.
pub(super) fn sent(log: &mut AuditLog) -> Result<Vec<Request>> {
    let mut requests = log.read_of(ACCOUNT)?;
    requests.retain(|request| request.verb != "watch" && request.resource != "leases");
    Ok(requests)
}

/// Whether the controller sent it.
pub(super) fn is_by_controller(request: &Request) -> bool {
    request.user == ACCOUNT
}

/// Whether a request was a write that the server took. (A write that changes nothing looks the same.)
pub(super) fn is_accepted_write(request: &Request) -> bool {
    request.is_write() && (200..300).contains(&request.code)
}

/// How many accepted writes to a resource and subresource.
pub(super) fn writes(requests: &[Request], resource: &str, subresource: &str) -> usize {
    let about = |request: &&Request| request.resource == resource && request.subresource == subresource;
    requests.iter().filter(about).filter(|request| is_accepted_write(request)).count()
}

/// kube's name for a kind.
pub(super) fn resource(group: &str, version: &str, kind: &str, plural: &str) -> ApiResource {
    let api_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    ApiResource {
        group: group.to_owned(),
        version: version.to_owned(),
        api_version,
        kind: kind.to_owned(),
        plural: plural.to_owned(),
    }
}

/// Memory of a process now, and at its highest since the start or [`forget_peak`].
///
/// # Errors
/// It does not run.
pub(super) fn memory_of(pid: u32) -> Result<Memory> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).with_context(|| format!("no process {pid}"))?;
    let mebibytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kibibytes = line.and_then(|rest| rest.split_whitespace().nth(1)?.parse::<f64>().ok());
        kibibytes.map(|kibibytes| kibibytes / 1024.0).with_context(|| format!("no {name} in the status of {pid}"))
    };
    Ok(Memory { resident: mebibytes("VmRSS")?, peak: mebibytes("VmHWM")? })
}

/// The peak counts from now on (proc(5), `clear_refs`).
///
/// # Errors
/// The kernel does not offer that.
pub(super) fn forget_peak(pid: u32) -> Result<()> {
    fs::write(format!("/proc/{pid}/clear_refs"), "5").context("reset the peak of a process's memory")
}

/// CPU time of a process so far, in seconds.
///
/// # Errors
/// It does not run.
pub(super) fn cpu_seconds(pid: u32) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).with_context(|| format!("no process {pid}"))?;
    // The name, in parentheses, may contain spaces; utime and stime are the 12th and 13th field after it.
    let fields = stat.rsplit_once(')').map(|(_, rest)| rest.split_whitespace()).into_iter().flatten();
    let ticks: Vec<f64> = fields.skip(11).take(2).filter_map(|field| field.parse().ok()).collect();
    match ticks.as_slice() {
        [user, system] => Ok((user + system) / TICKS_A_SECOND),
        _ => bail!("cannot read the CPU time of process {pid}"),
    }
}
