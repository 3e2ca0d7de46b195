//! `up`: from nothing to a control plane that is ready for work.
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;
use holdfast_e2e::process;
use holdfast_e2e::toolchain::Tools;
use kube::config::{KubeConfigOptions, Kubeconfig};

use super::environment;
use super::state::{Place, State};
use crate::binaries;

const READY: Duration = Duration::from_secs(180);
const ANSWER: Duration = Duration::from_secs(15);

#[derive(Debug, Args)]
pub(crate) struct Up {
    /// Use this cluster instead of starting one
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Also play Pods of this image with this program
    #[arg(long = "image", value_name = "IMAGE=PROGRAM", conflicts_with = "kubeconfig")]
    images: Vec<String>,
}

impl Up {
    pub(super) async fn run(self) -> Result<()> {
        let place = Place::find()?;
        if let Some(state) = place.read()? {
            if self.kubeconfig.is_some() {
                bail!("a control plane is up already; take it down first: cargo xtask control-plane down");
            }
            eprintln!("A control plane is up already.");
            environment::print(&state);
            return Ok(());
        }
        if place.is_served()? {
            bail!("a control plane is just being started; its log is {}", place.log().display());
        }
        let tools = Tools::ensure().await?;
        link(&place.bin(), &tools)?;
        let state = match &self.kubeconfig {
            Some(given) => existing(&place, given).await?,
            None => self.start(&place).await?,
        };
        environment::print(&state);
        Ok(())
    }

    async fn start(&self, place: &Place) -> Result<State> {
        let mut images: Vec<String> = self.images.clone();
        images.extend(binaries::build_binaries()?.iter().map(|(image, path)| format!("{image}={}", path.display())));
        let start = Instant::now();
        let mut supervisor = supervisor(place, &images)?;
        let state = loop {
            if let Some(status) = supervisor.try_wait().context("wait for the control plane")? {
                bail!("the control plane did not start ({status}):\n{}", process::tail(&place.log(), 20));
            }
            if let Some(state) = place.read()? {
                break state;
            }
            if start.elapsed() > READY {
                let _ = supervisor.kill();
                let log = process::tail(&place.log(), 20);
                bail!("the control plane was not ready within {} s:\n{log}", READY.as_secs());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        eprintln!(
            "The control plane is ready after {:.1} s. Contexts: admin (current), alice, bob.",
            start.elapsed().as_secs_f64()
        );
        Ok(state)
    }
}

/// Starts the process that outlives this command.
fn supervisor(place: &Place, images: &[String]) -> Result<Child> {
    let log = File::create(place.log()).with_context(|| format!("create {}", place.log().display()))?;
    let errors = log.try_clone().context("share the log")?;
    let mut command = Command::new(std::env::current_exe().context("find the running executable")?);
    command.args(["control-plane", "serve"]);
    for image in images {
        command.args(["--image", image]);
    }
    // A group of its own: Ctrl-C in this terminal is not meant for it.
    command.process_group(0).stdin(Stdio::null()).stdout(log).stderr(errors);
    command.spawn().context("start the control plane in the background")
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
    let state = State { pid: None, kubeconfig: path, bin: place.bin() };
    place.write(&state)?;
    Ok(state)
}

/// Links `kubectl` and `helm` into a directory for the PATH.
fn link(bin: &Path, tools: &Tools) -> Result<()> {
    fs::create_dir_all(bin).with_context(|| format!("create {}", bin.display()))?;
    for (name, target) in [("kubectl", &tools.kubectl), ("helm", &tools.helm)] {
        let link = bin.join(name);
        let _ = fs::remove_file(&link);
        symlink(target, &link).with_context(|| format!("link {}", link.display()))?;
    }
    Ok(())
}
