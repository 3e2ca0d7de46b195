//! CustomResourceDefinitions of others, out of their Go modules (`hack/crds`).
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::cache;

const CERT_MANAGER: &str = "github.com/cert-manager/cert-manager";
const PROMETHEUS: &str = "github.com/prometheus-operator/prometheus-operator";

/// Where the Prometheus operator's definition of PodMonitors lies, after it was downloaded if this machine has not yet.
///
/// # Errors
/// Go is missing, or the module cannot be downloaded.
pub fn pod_monitors() -> Result<PathBuf> {
    Ok(module(PROMETHEUS)?.join("example/prometheus-operator-crd/monitoring.coreos.com_podmonitors.yaml"))
}

/// The same of cert-manager's definition of Certificates.
///
/// # Errors
/// As [`pod_monitors`].
pub fn certificates() -> Result<PathBuf> {
    Ok(module(CERT_MANAGER)?.join("deploy/crds/cert-manager.io_certificates.yaml"))
}

/// The directory of a module that `hack/crds/go.mod` requires.
fn module(path: &str) -> Result<PathBuf> {
    let mut command = Command::new("go");
    command.args(["mod", "download", "-json", path]).current_dir(cache::workspace().join("hack/crds"));
    let output = command.output().context("run `go mod download`")?;
    if !output.status.success() {
        bail!("`go mod download {path}` failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let answer: Value = serde_json::from_slice(&output.stdout).context("read what `go mod download` says")?;
    let directory = answer["Dir"].as_str().context("`go mod download` names no directory")?;
    Ok(PathBuf::from(directory))
}
