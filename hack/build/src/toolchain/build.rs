//! Building into the cache: atomic, and by one process at a time.
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::{fingerprint, go};
use crate::cache::{self, Lock};
use crate::progress::Progress;

/// The names that the one binary of Kubernetes goes by.
const PROGRAMS: [&str; 7] =
    ["etcd", "kube-apiserver", "kube-controller-manager", "kubectl", "kubelet", "kube-scheduler", "kube-proxy"];
const OTHER_BUILD: Duration = Duration::from_secs(60 * 60);

/// What the caller will use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Needs {
    /// The components come from elsewhere.
    HelmOnly,
    /// The whole control plane.
    Everything,
    /// What a node has beside Kubernetes.
    Node,
}

/// Returns the directory with the programs, after building them if no process on this machine has.
///
/// # Errors
/// Go is missing, a build fails, or another process has been building for an hour.
#[allow(clippy::print_stderr, reason = "the user waits for minutes and should know where the result goes")]
pub(super) fn ensure(sources: &Path, needs: Needs) -> Result<PathBuf> {
    let kind = match needs {
        Needs::HelmOnly => "helm",
        Needs::Everything => "kubernetes",
        Needs::Node => "node",
    };
    let version = go::version(sources)?;
    let cache = cache::directory()?;
    let name = format!("tools-{}", fingerprint::of(sources, &[&version, kind])?);
    let finished = cache.join(&name);
    if finished.is_dir() {
        return Ok(finished);
    }
    let _lock = wait_for_lock(&cache.join(format!("{name}.lock")))?;
    if finished.is_dir() {
        return Ok(finished);
    }
    // What an interrupted build left is worthless: Go keeps its own cache.
    let unfinished = cache.join(format!("{name}.unfinished"));
    let _ = fs::remove_dir_all(&unfinished);
    fs::create_dir_all(&unfinished).with_context(|| format!("create {}", unfinished.display()))?;
    eprintln!("Building tools with {version} into {} (once a machine; ctrl-c is safe)", finished.display());
    match needs {
        Needs::HelmOnly => helm(&sources.join("helm"), &unfinished)?,
        Needs::Everything => {
            control_plane(sources, &unfinished)?;
            helm(&sources.join("helm"), &unfinished)?;
        }
        Needs::Node => node(sources, &unfinished)?,
    }
    fs::rename(&unfinished, &finished).with_context(|| format!("move the build to {}", finished.display()))?;
    Ok(finished)
}

fn control_plane(module: &Path, bin: &Path) -> Result<()> {
    let kubernetes = go::required(module, "k8s.io/kubernetes")?;
    let minor = kubernetes.split('.').nth(1).unwrap_or_default();
    // Without these, the server calls itself v0.0.0-master, and clients that look at versions turn away.
    let variable = |name: &str, value: &str| format!("k8s.io/component-base/version.{name}={value}");
    let stamps = [
        variable("gitVersion", &kubernetes),
        variable("gitMajor", "1"),
        variable("gitMinor", minor),
        variable("gitTreeState", "clean"),
    ];
    let binary = bin.join("control-plane");
    go::Build {
        name: "Kubernetes and etcd",
        duration: "from source, about 10 minutes on 2 cores",
        module,
        package: ".",
        stamps: &stamps,
        tags: "",
        is_static: false,
        output: &binary,
    }
    .run(&bin.join("control-plane.log"))?;
    for name in PROGRAMS {
        symlink("control-plane", bin.join(name)).with_context(|| format!("link {name}"))?;
    }
    Ok(())
}

fn helm(module: &Path, bin: &Path) -> Result<()> {
    let version = go::required(module, "helm.sh/helm/v4")?;
    let stamps = [format!("helm.sh/helm/v4/internal/version.version={version}")];
    go::Build {
        name: "helm",
        duration: "from source, about 1 minute on 2 cores",
        module,
        package: "helm.sh/helm/v4/cmd/helm",
        stamps: &stamps,
        tags: "",
        is_static: false,
        output: &bin.join("helm"),
    }
    .run(&bin.join("helm.log"))
}

fn node(module: &Path, bin: &Path) -> Result<()> {
    let version = go::required(module, "github.com/containerd/containerd/v2")?;
    let stamps = [format!("github.com/containerd/containerd/v2/version.Version={version}")];
    let plugins = module.join("cni");
    let commands = "github.com/containerd/containerd/v2/cmd";
    let parts = [
        ("containerd", module, format!("{commands}/containerd")),
        ("containerd-shim-runc-v2", module, format!("{commands}/containerd-shim-runc-v2")),
        ("ctr", module, format!("{commands}/ctr")),
        ("pause", module, "./pause".to_owned()),
        ("ptp", plugins.as_path(), "github.com/containernetworking/plugins/plugins/main/ptp".to_owned()),
        ("host-local", plugins.as_path(), "github.com/containernetworking/plugins/plugins/ipam/host-local".to_owned()),
    ];
    for (name, module, package) in parts {
        // The tags leave out the storage that needs a kernel of its own and C libraries.
        let tags = "no_btrfs,no_devmapper,no_zfs";
        let output = bin.join(name);
        let build = go::Build {
            name,
            duration: "from source, 3 minutes for a node on 2 cores",
            module,
            package: &package,
            stamps: &stamps,
            tags,
            is_static: true,
            output: &output,
        };
        build.run(&bin.join(format!("{name}.log")))?;
    }
    Ok(())
}

fn wait_for_lock(path: &Path) -> Result<Lock> {
    let start = Instant::now();
    let mut progress = Progress::begin("Tools");
    loop {
        if let Some(lock) = Lock::attempt(path)? {
            return Ok(lock);
        }
        if start.elapsed() > OTHER_BUILD {
            bail!("another process has been building the tools for an hour; it holds {}", path.display());
        }
        progress.update("waiting for another process, which builds them", "");
        std::thread::sleep(Duration::from_millis(500));
    }
}
