//! `up`: from nothing to a control plane that is ready for work.
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;
use holdfast_e2e::binaries;
use holdfast_e2e::toolchain::Tools;
use kube::config::{KubeConfigOptions, Kubeconfig};

use crate::cluster::{Kind, Place, State, Supervisor, environment};

const ANSWER: Duration = Duration::from_secs(15);

#[derive(Debug, Args)]
pub(crate) struct Up {
    /// Use this cluster instead of starting one
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Also play Pods of this image with this program
    #[arg(long = "image", value_name = "IMAGE=PROGRAM", value_parser = super::image, conflicts_with = "kubeconfig")]
    images: Vec<(String, PathBuf)>,
}

impl Up {
    pub(super) async fn run(self) -> Result<()> {
        let place = Place::find(Kind::ControlPlane)?;
        if let Some(state) = place.read()? {
            if self.kubeconfig.is_some() {
                bail!("a control plane is up already; take it down first: cargo xtask control-plane down");
            }
            eprintln!("A control plane is up already.");
            environment::print(&state);
            return Ok(());
        }
        place.must_be_free()?;
        let tools = Tools::ensure().await?;
        place.link(&tools)?;
        let state = match &self.kubeconfig {
            Some(given) => existing(&place, given).await?,
            None => self.start(place).await?,
        };
        environment::print(&state);
        Ok(())
    }

    async fn start(self, place: Place) -> Result<State> {
        let mut images = binaries::build()?;
        images.extend(self.images);
        let start = Instant::now();
        let mut supervisor = Supervisor::launch(place, &super::arguments(&images))?;
        let state = supervisor.ready().await?;
        supervisor.keep()?;
        eprintln!(
            "The control plane is ready after {:.1} s. Contexts: admin (current), alice, bob.",
            start.elapsed().as_secs_f64()
        );
        Ok(state)
    }
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
