//! The first process of a node, in its namespaces: from nothing to a node that takes pods.
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use holdfast_runtime::api::Api;
use k8s_openapi::api::core::v1::Node;

use super::spec::Spec;
use super::{agents, mounts, network, orphans, relay, settings};
use crate::control_plane::{ControlPlane, Options, Site, User};
use crate::process::{self, Process};
use crate::webhook_client::Identity;
use crate::{leash, wait};

const READY: Duration = Duration::from_secs(90);
const LOOK: Duration = Duration::from_millis(100);

/// Builds up the node in `directory`, runs its command, and returns what that ended with. Without a command, it returns only
/// if a program of the node ends.
///
/// # Errors
/// Something does not start, or ends although it should not: with the end of its log.
pub async fn run(directory: &Path) -> Result<i32> {
    let start = Instant::now();
    let spec = Spec::read(directory)?;
    mounts::prepare(&spec.cgroups)?;
    rustix::system::sethostname(settings::NAME.as_bytes()).context("name the node")?;
    network::prepare(spec.family)?;
    std::thread::spawn(orphans::reap);
    let (containerd, control_plane) = tokio::join!(agents::containerd(&spec), control_plane(&spec));
    let (containerd, control_plane) = (containerd?, control_plane?);
    let mut processes = vec![containerd];
    processes.extend(agents::kubernetes(&spec, &control_plane)?);
    relay::through(&spec.socket(), control_plane.api_server())?;
    ready(&spec, &control_plane, &processes).await?;
    fs::write(spec.ready(), format!("{:.1}\n", start.elapsed().as_secs_f64())).context("say that the node is ready")?;
    let command = command(&spec)?;
    loop {
        check(&spec, &processes)?;
        match &command {
            Some(command) if !command.is_running() => {
                let status = command.exit_status().context("the command has no status")?;
                return Ok(status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default()));
            }
            _ => tokio::time::sleep(LOOK).await,
        }
    }
}

async fn control_plane(spec: &Spec) -> Result<ControlPlane> {
    let webhooks = Identity::new("kube-apiserver")?;
    fs::write(spec.webhook_client_authority(), &webhooks.authority)
        .context("write the CA of the API server's certificate")?;
    let admission = webhooks.configure(&spec.directory)?;
    let options = Options {
        site: Site { address: spec.family.node(), service_cidr: spec.family.services().to_owned(), nodes: true },
        directory: Some(spec.cluster()),
        api_server_args: vec![format!("--admission-control-config-file={}", admission.display())],
    };
    ControlPlane::start(options).await
}

async fn ready(spec: &Spec, control_plane: &ControlPlane, processes: &[Process]) -> Result<()> {
    let nodes: Api<Node> = Api::all(control_plane.client(User::Admin)?);
    wait::eventually("the node to be ready", READY, || async {
        if let Err(ended) = check(spec, processes) {
            return Ok(Err(ended));
        }
        let node = nodes.get(settings::NAME).await?;
        let conditions = node.status.and_then(|status| status.conditions).unwrap_or_default();
        match conditions.iter().find(|condition| condition.type_ == "Ready") {
            Some(condition) if condition.status == "True" => Ok(Ok(())),
            Some(condition) => bail!("{}", condition.message.clone().unwrap_or_default()),
            None => bail!("the kubelet has not said anything yet"),
        }
    })
    .await?
}

/// Fails with the end of its log if a program of the node has ended.
fn check(spec: &Spec, processes: &[Process]) -> Result<()> {
    for process in processes {
        if let Some(status) = process.exit_status() {
            let log = spec.logs().join(format!("{}.log", process.name()));
            bail!("{} ended ({status}):\n{}", process.name(), process::tail(&log, 15));
        }
    }
    Ok(())
}

/// Starts the command, if there is one, with the terminal as its output.
fn command(spec: &Spec) -> Result<Option<Process>> {
    let Some((program, arguments)) = spec.command.split_first() else { return Ok(None) };
    let mut command = leash::command(program)?;
    command.args(arguments).env("PATH", spec.path()).envs(spec.client_environment()).envs(&spec.environment);
    Process::start_here(program, command).map(Some)
}
