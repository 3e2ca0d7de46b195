//! The configuration files of the node's programs.
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::json;

use super::Family;
use super::cgroups;
use super::mounts::HOME;

/// The node's name.
pub(super) const NAME: &str = "node1";
/// The image of what holds a pod's namespaces.
pub const PAUSE: &str = "localhost/pause:1";

/// containerd's.
pub(super) fn containerd(tools: &Path, runc: &Path) -> String {
    let (tools, runc) = (tools.display(), runc.display());
    format!(
        r#"version = 4
root = "{HOME}/containerd"
state = "{HOME}/containerd-state"
imports = []
disabled_plugins = ["io.containerd.nri.v1.nri", "io.containerd.snapshotter.v1.blockfile", "io.containerd.snapshotter.v1.erofs", "io.containerd.differ.v1.erofs"]

[plugins."io.containerd.internal.v1.opt"]
  path = "{HOME}/containerd-opt"

[plugins."io.containerd.cri.v1.images"]
  snapshotter = "overlayfs"
  [plugins."io.containerd.cri.v1.images".pinned_images]
    sandbox = "{PAUSE}"

[plugins."io.containerd.cri.v1.runtime"]
  netns_mounts_under_state_dir = true
  disable_apparmor = true
  enable_criu = false
  # Root may lack the right to lower it.
  restrict_oom_score_adj = true
  [plugins."io.containerd.cri.v1.runtime".cni]
    bin_dirs = ["{tools}"]
    conf_dir = "{HOME}/cni"
    use_internal_loopback = true
  [plugins."io.containerd.cri.v1.runtime".containerd]
    default_runtime_name = "runc"
    [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
        BinaryName = "{runc}"
        Root = "{HOME}/runc"
        SystemdCgroup = false
"#
    )
}

/// The network of pods: each has a pair of interfaces and a route.
pub(super) fn network(family: Family) -> String {
    let ranges = json!([[{"subnet": family.pods()}]]);
    json!({"cniVersion": "1.0.0", "name": "pods", "plugins": [{
        "type": "ptp", "ipMasq": false,
        "ipam": {"type": "host-local", "dataDir": format!("{HOME}/cni-ipam"), "ranges": ranges,
            "routes": [{"dst": family.everywhere()}]},
    }]})
    .to_string()
}

/// The kubelet's.
pub(super) fn kubelet(family: Family, client_ca: &Path) -> Result<String> {
    let never = "0%";
    let mut settings = json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "cgroupDriver": "cgroupfs",
        "cgroupsPerQOS": true,
        "enforceNodeAllocatable": ["pods"],
        "failSwapOn": false,
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        "podLogsDir": format!("{HOME}/pod-logs"),
        "volumePluginDir": format!("{HOME}/plugins"),
        "address": family.node(),
        "healthzBindAddress": family.loopback(),
        "authentication": {
            "anonymous": {"enabled": false}, "webhook": {"enabled": true}, "x509": {"clientCAFile": client_ca},
        },
        "authorization": {"mode": "Webhook"},
        // Nobody is there. Without one, each pod gets a warning.
        "clusterDNS": [family.names()],
        "clusterDomain": "cluster.local",
        "resolvConf": format!("{HOME}/etc/resolv.conf"),
        // A full disk of the machine is not ours to act on.
        "evictionHard": {"memory.available": never, "nodefs.available": never, "nodefs.inodesFree": never,
            "imagefs.available": never, "imagefs.inodesFree": never},
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "seccompDefault": true,
        "syncFrequency": "10s",
        "nodeStatusUpdateFrequency": "5s",
    });
    if !cgroups::is_unified() {
        // Refused otherwise. A version after 1.37 may do without the choice.
        settings["failCgroupV1"] = false.into();
    }
    serde_yaml::to_string(&settings).context("write the kubelet's configuration")
}

/// kube-proxy's.
pub(super) fn proxy(family: Family, kubeconfig: &Path) -> Result<String> {
    let loopback = |port: u16| match family {
        Family::V4 => format!("{}:{port}", family.loopback()),
        Family::V6 => format!("[{}]:{port}", family.loopback()),
    };
    let settings = json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "clientConnection": {"kubeconfig": kubeconfig},
        "clusterCIDR": family.pods(),
        "hostnameOverride": NAME,
        "bindAddress": family.node(),
        "healthzBindAddress": loopback(10256),
        "metricsBindAddress": loopback(10249),
        // These are the machine's, not the network namespace's.
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
        "nftables": {"syncPeriod": "30s", "minSyncPeriod": "100ms"},
    });
    serde_yaml::to_string(&settings).context("write kube-proxy's configuration")
}
