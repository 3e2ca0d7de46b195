//! Installs the chart as a user would: with the real `helm`.
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use holdfast_runtime::api::Api;
use k8s_openapi::api::apps::v1::Deployment;
use kube::ResourceExt;
use kube::api::ListParams;

use crate::cache;
use crate::control_plane::{ControlPlane, User};
use crate::kubectl::Kubectl;
use crate::player::Player;
use crate::wait;

/// The release and the prefix of its Deployments.
pub const RELEASE: &str = "holdfast";
/// Where the chart is installed.
pub const NAMESPACE: &str = "holdfast-system";

/// The chart of commit 9e5bbbb, packaged: from the top of the workspace.
pub const OLD_CHART: &str = "tests/e2e/data/holdfast-0.1.0-9e5bbbb.tgz";

const READY: Duration = Duration::from_secs(90);
const HELM: Duration = Duration::from_secs(120);

/// Installs the chart with `values` (`key=value`, as for `--set`) and returns when all its Deployments are available.
///
/// # Errors
/// `helm` fails, or a Deployment is not available within 90 s: with the state and logs of the Pods.
pub async fn install(control_plane: &ControlPlane, player: &Player, values: &[&str]) -> Result<()> {
    let chart = cache::workspace().join("charts").join(RELEASE);
    run(control_plane, player, &["install", "--create-namespace"], &chart, values).await
}

/// As [`install`], of another chart: a directory or a package.
///
/// # Errors
/// As [`install`].
pub async fn install_chart(control_plane: &ControlPlane, player: &Player, chart: &Path) -> Result<()> {
    run(control_plane, player, &["install", "--create-namespace"], chart, &[]).await
}

/// As [`install`], over what is there.
///
/// # Errors
/// As [`install`].
pub async fn upgrade(control_plane: &ControlPlane, player: &Player, values: &[&str]) -> Result<()> {
    let chart = cache::workspace().join("charts").join(RELEASE);
    run(control_plane, player, &["upgrade"], &chart, values).await
}

/// Back to the revision before, and returns when all Deployments are available.
///
/// # Errors
/// As [`install`].
pub async fn rollback(control_plane: &ControlPlane, player: &Player) -> Result<()> {
    helm(control_plane, &["rollback", RELEASE, "--namespace", NAMESPACE]).await?;
    available(control_plane, player).await
}

async fn run(
    control_plane: &ControlPlane,
    player: &Player,
    command: &[&str],
    chart: &Path,
    values: &[&str],
) -> Result<()> {
    let chart = chart.display().to_string();
    let mut args = [command, &[RELEASE, &chart, "--namespace", NAMESPACE, "--set", "image.tag=dev"]].concat();
    for value in values {
        args.extend(["--set", *value]);
    }
    helm(control_plane, &args).await?;
    available(control_plane, player).await
}

async fn available(control_plane: &ControlPlane, player: &Player) -> Result<()> {
    let deployments: Api<Deployment> = Api::namespaced(control_plane.client(User::Admin)?, NAMESPACE);
    let available = wait::eventually("the chart's Deployments to be available", READY, || all_available(&deployments));
    available.await.with_context(|| player.dump(30))
}

/// Removes the release, and returns when `helm` has.
///
/// # Errors
/// `helm` fails.
pub async fn uninstall(control_plane: &ControlPlane) -> Result<()> {
    helm(control_plane, &["uninstall", RELEASE, "--namespace", NAMESPACE]).await
}

async fn helm(control_plane: &ControlPlane, args: &[&str]) -> Result<()> {
    let admin = Kubectl::new(control_plane.tools(), &control_plane.kubeconfig(), User::Admin.name()).with_limit(HELM);
    let output = admin.helm(args).await?;
    output.success().map(|_| ()).with_context(|| format!("helm {}", args.join(" ")))
}

async fn all_available(deployments: &Api<Deployment>) -> Result<()> {
    let list = deployments.list(&ListParams::default()).await?;
    if list.items.is_empty() {
        bail!("there is no Deployment in {NAMESPACE}");
    }
    for deployment in list {
        let status = deployment.status.clone().unwrap_or_default();
        let desired = deployment.spec.replicas.unwrap_or(1);
        let (updated, available) =
            (status.updated_replicas.unwrap_or_default(), status.available_replicas.unwrap_or_default());
        if status.observed_generation != deployment.metadata.generation || updated < desired || available < desired {
            bail!("{} has {available} of {desired} replicas available", deployment.name_any());
        }
    }
    Ok(())
}
