//! The real programs that tests and demo need, built once a machine from the Go modules in `hack/control-plane` and
//! `hack/node`.
//!
//! The result lies in the user's cache directory under the hash of those modules and the Go version, so a fresh clone on the
//! same machine does not build again. Where `KUBEBUILDER_ASSETS` names a directory, its etcd, kube-apiserver and kubectl
//! (and kube-controller-manager, if it is there) are used instead.
mod build;
mod fingerprint;
mod go;

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::cache;

/// Paths of the programs.
#[derive(Debug, Clone)]
pub struct Tools {
    /// etcd.
    pub etcd: PathBuf,
    /// kube-apiserver.
    pub kube_apiserver: PathBuf,
    /// kube-controller-manager.
    pub kube_controller_manager: PathBuf,
    /// kubectl.
    pub kubectl: PathBuf,
    /// helm.
    pub helm: PathBuf,
}

impl Tools {
    /// Finds the programs, and builds them first if this machine has not yet: minutes, with progress on stderr.
    ///
    /// Two processes never build at once; the second waits for the first.
    ///
    /// # Errors
    /// Go is missing, a build fails (with the end of its output), or `KUBEBUILDER_ASSETS` lacks a program.
    pub fn ensure() -> Result<Self> {
        let assets = std::env::var_os("KUBEBUILDER_ASSETS").filter(|value| !value.is_empty()).map(PathBuf::from);
        let sources = cache::workspace().join("hack/control-plane");
        if let Some(assets) = &assets {
            check(assets)?;
        }
        let needs = match &assets {
            Some(assets) if assets.join("kube-controller-manager").is_file() => build::Needs::HelmOnly,
            _ => build::Needs::Everything,
        };
        let mut tools = Self::within(&build::ensure(&sources, needs)?);
        if let Some(assets) = assets {
            tools.replace_from(&assets);
        }
        Ok(tools)
    }

    fn within(bin: &Path) -> Self {
        Self {
            etcd: bin.join("etcd"),
            kube_apiserver: bin.join("kube-apiserver"),
            kube_controller_manager: bin.join("kube-controller-manager"),
            kubectl: bin.join("kubectl"),
            helm: bin.join("helm"),
        }
    }

    fn replace_from(&mut self, assets: &Path) {
        let given = Self::within(assets);
        self.etcd = given.etcd;
        self.kube_apiserver = given.kube_apiserver;
        self.kubectl = given.kubectl;
        if given.kube_controller_manager.is_file() {
            self.kube_controller_manager = given.kube_controller_manager;
        }
    }
}

/// Paths of the programs that make a node, beside those of [`Tools`].
#[derive(Debug, Clone)]
pub struct NodeTools {
    /// Where kubelet, kube-scheduler and kube-proxy are, and the control plane of the same version.
    pub kubernetes: PathBuf,
    /// Where containerd, its shim, `ctr`, `pause` and the network plugins `ptp` and `host-local` are.
    pub node: PathBuf,
}

impl NodeTools {
    /// Finds the programs, and builds them first if this machine has not yet: minutes, with progress on stderr.
    /// `KUBEBUILDER_ASSETS` is no business of it, since nobody gives out kubelets there.
    ///
    /// # Errors
    /// Go is missing, or a build fails (with the end of its output).
    pub fn ensure() -> Result<Self> {
        let kubernetes = build::ensure(&cache::workspace().join("hack/control-plane"), build::Needs::Everything)?;
        let node = build::ensure(&cache::workspace().join("hack/node"), build::Needs::Node)?;
        Ok(Self { kubernetes, node })
    }
}

/// Before minutes are spent on a build: is there what must be there?
fn check(assets: &Path) -> Result<()> {
    for name in ["etcd", "kube-apiserver", "kubectl"] {
        if !assets.join(name).is_file() {
            bail!("KUBEBUILDER_ASSETS is set, but there is no {}", assets.join(name).display());
        }
    }
    Ok(())
}
