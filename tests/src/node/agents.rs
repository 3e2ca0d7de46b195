//! The programs of a node beside the control plane.
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::mounts::HOME;
use super::settings;
use super::spec::Spec;
use crate::control_plane::ControlPlane;
use crate::leash;
use crate::process::Process;
use crate::wait;

/// Where containerd listens.
const SOCKET: &str = "/run/containerd/containerd.sock";
const START: Duration = Duration::from_secs(60);

/// Starts containerd and imports the images.
///
/// # Errors
/// It does not start within 60 s, or an image cannot be imported: with what was said.
pub(super) async fn containerd(spec: &Spec) -> Result<Process> {
    let runc = find("runc").context("runc is missing")?;
    let settings = write("containerd.toml", &settings::containerd(&spec.tools, &runc))?;
    write("cni/10-pods.conflist", &settings::network(spec.family))?;
    write("etc/resolv.conf", "search invalid\n")?;
    let process = start(spec, "containerd", &spec.tools.join("containerd"), &[format!("--config={settings}")])?;
    wait::eventually("containerd", START, || async {
        if let Some(status) = process.exit_status() {
            return Ok(Err(anyhow::anyhow!("containerd ended ({status})")));
        }
        ctr(spec, &["version"]).await.map(Ok)
    })
    .await??;
    for image in &spec.images {
        let image = image.display().to_string();
        ctr(spec, &["images", "import", "--local", &image]).await.with_context(|| format!("import {image}"))?;
    }
    Ok(process)
}

/// Starts scheduler, kubelet and kube-proxy.
///
/// # Errors
/// One cannot be started.
pub(super) fn kubernetes(spec: &Spec, control_plane: &ControlPlane) -> Result<Vec<Process>> {
    let kubeconfig = |name: &str, user: &str, group: Option<&str>| {
        write(&format!("etc/{name}.kubeconfig"), &control_plane.component_kubeconfig(user, group)?)
    };
    let node = format!("system:node:{}", settings::NAME);
    let scheduler = kubeconfig("kube-scheduler", "system:kube-scheduler", None)?;
    let kubelet = kubeconfig("kubelet", &node, Some("system:nodes"))?;
    let proxy = kubeconfig("kube-proxy", "system:kube-proxy", None)?;
    let kubelet_settings = write("etc/kubelet.yaml", &settings::kubelet(spec.family, &control_plane.client_ca())?)?;
    let proxy_settings = write("etc/kube-proxy.yaml", &settings::proxy(spec.family, Path::new(&proxy))?)?;
    let run = |name: &str, arguments: &[String]| start(spec, name, &spec.kubernetes.join(name), arguments);
    Ok(vec![
        run(
            "kube-scheduler",
            &[
                format!("--kubeconfig={scheduler}"),
                format!("--authentication-kubeconfig={scheduler}"),
                format!("--authorization-kubeconfig={scheduler}"),
                "--leader-elect=false".to_owned(),
                format!("--bind-address={}", spec.family.loopback()),
                format!("--cert-dir={HOME}/kube-scheduler"),
            ],
        )?,
        run(
            "kubelet",
            &[
                format!("--config={kubelet_settings}"),
                format!("--kubeconfig={kubelet}"),
                format!("--root-dir={HOME}/kubelet"),
                format!("--cert-dir={HOME}/kubelet-certificates"),
                format!("--hostname-override={}", settings::NAME),
                format!("--node-ip={}", spec.family.node()),
            ],
        )?,
        run("kube-proxy", &[format!("--config={proxy_settings}")])?,
    ])
}

/// Runs `ctr` on the kubelet's images and containers.
async fn ctr(spec: &Spec, arguments: &[&str]) -> Result<()> {
    let mut command = Command::new(spec.tools.join("ctr"));
    command.args(["--address", SOCKET, "--namespace", "k8s.io"]).args(arguments).stdin(Stdio::null());
    command.env("TMPDIR", format!("{HOME}/tmp"));
    let output = tokio::task::spawn_blocking(move || command.output()).await.context("wait for ctr")?;
    let output = output.context("run ctr")?;
    if !output.status.success() {
        bail!("ctr {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

fn start(spec: &Spec, name: &str, program: &Path, arguments: &[String]) -> Result<Process> {
    let mut command = leash::command(program)?;
    command.args(arguments).current_dir(HOME).env("PATH", spec.path()).env("TMPDIR", format!("{HOME}/tmp"));
    for variable in ["HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "NO_PROXY", "no_proxy"] {
        command.env_remove(variable);
    }
    Process::start(name, command, &spec.logs().join(format!("{name}.log")))
}

/// Writes a file below the node's own directory, and returns its path.
fn write(name: &str, text: &str) -> Result<String> {
    let path = format!("{HOME}/{name}");
    fs::write(&path, text).with_context(|| format!("write {path}"))?;
    Ok(path)
}

/// A program of the machine.
pub(super) fn find(name: &str) -> Option<PathBuf> {
    let usual = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"].map(PathBuf::from);
    let given = std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect::<Vec<_>>());
    let directories = given.into_iter().flatten().chain(usual);
    directories.map(|directory| directory.join(name)).find(|path| path.is_file())
}
