//! The life of one Pod: volumes, program, probes, restarts, end.
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use holdfast_runtime::api::Api;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, Pod};
use kube::ResourceExt;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::Stage;
use super::environment::{self, named_ports};
use super::mounts::Mounts;
use super::probe::{Health, Probes};
use super::roster::PlayedPod;
use super::status::{self, Report, State};
use crate::leash;
use crate::process::Process;

const BACK_OFF: Duration = Duration::from_millis(100);
const BACK_OFF_LIMIT: Duration = Duration::from_secs(5);
/// A run of this length makes the next restart as quick as the first.
const SETTLED: Duration = Duration::from_secs(10);

/// A Pod to be played until it is told to stop.
pub(super) struct Play {
    stage: Arc<Stage>,
    pod: Pod,
    container: Container,
    image: String,
    program: PathBuf,
    uid: String,
    stop: CancellationToken,
}

impl Play {
    /// `None` if the Pod is none of ours.
    pub(super) fn new(stage: Arc<Stage>, pod: Pod, stop: CancellationToken) -> Option<Self> {
        let containers = &pod.spec.as_ref()?.containers;
        let found = containers.iter().find_map(|container| {
            let (image, program) = stage.program(container.image.as_deref()?)?;
            Some((container.clone(), image.to_owned(), program.to_path_buf()))
        });
        let (container, image, program) = found?;
        let uid = pod.uid()?;
        if containers.len() > 1 {
            warn!(
                pod = pod.name_any(),
                container = container.name,
                "the Pod has more containers; only this one is played"
            );
        }
        Some(Self { stage, pod, container, image, program, uid, stop })
    }

    /// Plays the Pod until it is told to stop; its program has ended then.
    pub(super) async fn run(self) {
        let name = self.pod.name_any();
        let address = match self.stage.addresses.allot() {
            Ok(address) => address,
            Err(error) => return warn!(pod = name, error = format!("{error:#}"), "the Pod is not played"),
        };
        self.stage.roster.insert(PlayedPod {
            namespace: self.pod.namespace().unwrap_or_default(),
            name: name.clone(),
            uid: self.uid.clone(),
            image: self.image.clone(),
            labels: self.pod.labels().clone(),
            address,
            ports: named_ports(&self.container),
            ready: false,
            restarts: 0,
            token_secret: None,
            process: None,
        });
        let now = Timestamp::now();
        let reports = watch::Sender::new(Report {
            container: self.container.name.clone(),
            image: self.container.image.clone().unwrap_or_default(),
            address,
            begun: now,
            state: State::Waiting { reason: "ContainerCreating", message: String::new() },
            started: false,
            ready: false,
            ready_changed: now,
            restarts: 0,
            last_end: None,
        });
        let pods: Api<Pod> = Api::namespaced(self.stage.client.clone(), &self.pod.namespace().unwrap_or_default());
        self.stage.tasks.spawn(status::publish(pods, name.clone(), self.uid.clone(), reports.subscribe()));
        self.runs(address, &reports).await;
        self.stage.roster.remove(&self.uid);
        self.stage.addresses.release(address);
        info!(pod = name, "the Pod's program has ended");
    }

    /// One run after the other, with a growing pause in between.
    async fn runs(&self, address: Ipv4Addr, reports: &watch::Sender<Report>) {
        let mut mounts = Mounts::new(Arc::clone(&self.stage), self.pod.clone(), address);
        let mut pause = BACK_OFF;
        let mut run: u32 = 0;
        while !self.stop.is_cancelled() {
            let begun = Instant::now();
            let (reason, message) = match self.start(&mut mounts, address, run).await {
                Ok((process, probes)) => {
                    let why = self.one_run(&mut mounts, process, &probes, reports).await;
                    run += 1;
                    ("CrashLoopBackOff", why)
                }
                Err(error) => ("CreateContainerConfigError", format!("{error:#}")),
            };
            if self.stop.is_cancelled() {
                return;
            }
            warn!(pod = self.pod.name_any(), reason = message, "the Pod's program does not run; it is started again");
            self.report(reports, |report| {
                report.state = State::Waiting { reason, message };
                report.restarts = run;
            });
            if begun.elapsed() > SETTLED {
                pause = BACK_OFF;
            }
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(BACK_OFF_LIMIT),
            }
        }
    }

    async fn start(&self, mounts: &mut Mounts, address: Ipv4Addr, run: u32) -> Result<(Arc<Process>, Probes)> {
        let probes = Probes::read(&self.container, address)?;
        mounts.refresh().await?;
        let mounted = mounts.of(&self.container)?;
        let invocation = environment::render(&self.stage, &self.pod, &self.container, address, &mounted).await?;
        let mut command = leash::command(&self.program)?;
        command.args(invocation.arguments).env_clear().envs(invocation.environment).current_dir("/");
        let name = self.pod.name_any();
        let log = format!("{}_{name}_{run:03}.log", self.pod.namespace().unwrap_or_default());
        let process =
            Process::start(&name, command, &self.stage.log_directory().join(log)).context("start the program")?;
        info!(pod = name, pid = process.pid(), %address, "started the Pod's program");
        Ok((Arc::new(process), probes))
    }

    /// Until the program has ended, for whatever reason, which is returned.
    async fn one_run(
        &self,
        mounts: &mut Mounts,
        process: Arc<Process>,
        probes: &Probes,
        reports: &watch::Sender<Report>,
    ) -> String {
        self.stage.roster.change(&self.uid, |pod| pod.process = Some(Arc::clone(&process)));
        self.report(reports, |report| report.state = State::Running { since: Timestamp::now() });
        let health = watch::Sender::new(Health::default());
        let mut found = health.subscribe();
        let follow = async {
            while found.changed().await.is_ok() {
                let Health { started, ready } = *found.borrow_and_update();
                self.report(reports, |report| {
                    report.started = started;
                    report.ready = ready;
                });
            }
        };
        let why = tokio::select! {
            () = self.stop.cancelled() => "it was told to".to_owned(),
            () = process.exited() => "it ended by itself".to_owned(),
            failure = probes.run(&health) => failure,
            never = mounts.keep_fresh() => match never {},
            () = follow => "its probes ended".to_owned(),
        };
        // Not ready while it shuts down: no new connections then.
        self.report(reports, |report| (report.ready, report.started) = (false, false));
        if let Err(error) = process.stop(self.grace()).await {
            warn!(pod = self.pod.name_any(), error = format!("{error:#}"), "the Pod's program was not stopped");
        }
        let status = process.exit_status();
        let described = status.map_or_else(|| "unknown".to_owned(), |status| status.to_string());
        // As shells and container runtimes count: 128 and the number of the signal.
        let code = status.map_or(255, |status| status.code().unwrap_or_else(|| 128 + signal_of(status)));
        self.report(reports, |report| report.last_end = Some((code, Timestamp::now())));
        self.stage.roster.change(&self.uid, |pod| pod.process = None);
        format!("{why} ({described})")
    }

    fn grace(&self) -> Duration {
        let seconds = self.pod.spec.as_ref().and_then(|spec| spec.termination_grace_period_seconds);
        Duration::from_secs(seconds.and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or(30))
    }

    /// Changes the report, and what the roster says accordingly.
    fn report(&self, reports: &watch::Sender<Report>, change: impl FnOnce(&mut Report)) {
        reports.send_if_modified(|report| {
            let before = report.clone();
            change(report);
            if report.ready != before.ready {
                report.ready_changed = Timestamp::now();
            }
            *report != before
        });
        let (ready, restarts) = {
            let report = reports.borrow();
            (report.ready, report.restarts)
        };
        self.stage.roster.change(&self.uid, |pod| (pod.ready, pod.restarts) = (ready, restarts));
    }
}

fn signal_of(status: std::process::ExitStatus) -> i32 {
    std::os::unix::process::ExitStatusExt::signal(&status).unwrap_or_default()
}
