//! What a node is to be like: a file that its launcher writes and its first process reads.
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::Family;
use crate::toolchain::NodeTools;

const FILE: &str = "node.json";

/// What a node is to be like.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Spec {
    /// Its files: logs, the control plane's data, the socket of the [relay](super::relay). Only root may write there.
    pub directory: PathBuf,
    /// Of which kind all addresses are.
    pub family: Family,
    /// Directory with kubelet, kube-scheduler, kube-proxy and the control plane.
    pub kubernetes: PathBuf,
    /// Directory with containerd and what belongs to it.
    pub tools: PathBuf,
    /// Image archives to import, in OCI layout.
    pub images: Vec<PathBuf>,
    /// What to run when the node is ready; when it ends, so does the node. Nothing: the node stays.
    pub command: Vec<String>,
    /// More environment for it.
    pub environment: BTreeMap<String, String>,
    /// The cgroup of the node in each hierarchy: its controllers, and the directory. Written by the launcher.
    pub cgroups: Vec<(String, PathBuf)>,
}

impl Spec {
    /// A node that stays, without images.
    pub fn new(directory: &Path, family: Family, tools: &NodeTools) -> Self {
        Self {
            directory: directory.to_path_buf(),
            family,
            kubernetes: tools.kubernetes.clone(),
            tools: tools.node.clone(),
            images: Vec::new(),
            command: Vec::new(),
            environment: BTreeMap::new(),
            cgroups: Vec::new(),
        }
    }

    /// Where the processes of the node write.
    pub fn logs(&self) -> PathBuf {
        self.directory.join("logs")
    }

    /// Where the control plane lives.
    pub fn cluster(&self) -> PathBuf {
        self.directory.join("cluster")
    }

    /// The socket by which whoever is outside reaches the API server.
    pub fn socket(&self) -> PathBuf {
        self.directory.join("api.sock")
    }

    /// The CA of the certificate that the API server shows to webhooks.
    pub fn webhook_client_authority(&self) -> PathBuf {
        self.directory.join("webhook-client-ca.crt")
    }

    /// Made when the node is ready, with the seconds that it took.
    pub fn ready(&self) -> PathBuf {
        self.directory.join("ready")
    }

    /// The path of programs for everything in the node: ours first.
    pub fn path(&self) -> String {
        let own = format!("{}:{}", self.kubernetes.display(), self.tools.display());
        let given = std::env::var("PATH").unwrap_or_default();
        format!("{own}:{given}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    }

    /// What `kubectl`, `helm` and `ctr` need to know in the node.
    pub fn client_environment(&self) -> [(&'static str, String); 3] {
        [
            ("KUBECONFIG", self.cluster().join("kubeconfig").display().to_string()),
            ("CONTAINERD_ADDRESS", "/run/containerd/containerd.sock".to_owned()),
            ("CONTAINERD_NAMESPACE", "k8s.io".to_owned()),
        ]
    }

    pub(super) fn write(&self) -> Result<()> {
        let path = self.directory.join(FILE);
        fs::write(&path, serde_json::to_vec_pretty(self)?).with_context(|| format!("write {}", path.display()))
    }

    /// Reads what a node was launched with.
    ///
    /// # Errors
    /// None was launched in this directory.
    pub fn read(directory: &Path) -> Result<Self> {
        let path = directory.join(FILE);
        let text = fs::read(&path).with_context(|| format!("read {}", path.display()))?;
        serde_json::from_slice(&text).with_context(|| format!("read {}", path.display()))
    }
}
