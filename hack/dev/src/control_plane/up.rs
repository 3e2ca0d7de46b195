//! `up`: from nothing to a control plane that is ready for work.
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use holdfast_e2e::binaries;
use holdfast_e2e::toolchain::Tools;
use kube::config::{KubeConfigOptions, Kubeconfig};
use xtask::arguments::ControlPlaneUp;

use crate::cluster::{Kind, Place, State, Supervisor, environment};

const ANSWER: Duration = Duration::from_secs(15);

pub(super) async fn run(options: ControlPlaneUp) -> Result<()> {
    let place = Place::find(Kind::ControlPlane)?;
    if let Some(state) = place.read()? {
        if options.kubeconfig.is_some() {
            bail!("a control plane is up already; take it down first: cargo xtask control-plane down");
        }
        eprintln!("A control plane is up already.");
        environment::print(&state);
        return Ok(());
    }
    place.must_be_free()?;
    place.link(&Tools::ensure()?)?;
    let state = match &options.kubeconfig {
        Some(given) => existing(&place, given).await?,
        None => start(place, options.images).await?,
    };
    environment::print(&state);
    Ok(())
}

/// Starts one in the background, and returns when it is ready. The player also plays Pods of `images`.
async fn start(place: Place, images: Vec<(String, PathBuf)>) -> Result<State> {
    let mut programs = binaries::build()?;
    programs.extend(images);
    let start = Instant::now();
    let mut supervisor = Supervisor::launch(place, &super::arguments(&programs))?;
    let state = supervisor.ready().await?;
    supervisor.keep()?;
    eprintln!(
        "The control plane is ready after {:.1} s. Contexts: admin (current), alice, bob.",
        start.elapsed().as_secs_f64()
    );
    Ok(state)
}

/// Checks that somebody else's cluster answers, and remembers it.
async fn existing(place: &Place, given: &Path) -> Result<State> {
    let path = given.canonicalize().with_context(|| format!("find the kubeconfig {}", given.display()))?;
    let named = || format!("use the cluster of {}", path.display());
    let kubeconfig = Kubeconfig::read_from(&path).with_context(named)?;
    let mut config =
        kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.with_context(named)?;
    config.default_retry = false;
    let client = kube::Client::try_from(config).with_context(named)?;
    match tokio::time::timeout(ANSWER, client.apiserver_version()).await {
        Ok(version) => eprintln!("Kubernetes {} answers.", version.with_context(named)?.git_version),
        Err(_) => bail!("the cluster of {} did not answer within {} s", path.display(), ANSWER.as_secs()),
    }
    let state = State { pid: None, kubeconfig: path, bin: place.bin(), first_process: None };
    place.write(&state)?;
    Ok(state)
}
