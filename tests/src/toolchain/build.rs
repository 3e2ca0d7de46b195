//! Building into the cache: atomic, and by one process at a time.
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::{fingerprint, go};
use crate::cache::{self, Lock};

const OTHER_BUILD: Duration = Duration::from_secs(60 * 60);

/// What the caller will use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Needs {
    /// The components come from elsewhere.
    HelmOnly,
    /// The whole control plane.
    Everything,
}

/// Returns the directory with the programs, after building them if no process on this machine has.
///
/// # Errors
/// Go is missing, a build fails, or another process has been building for an hour.
#[allow(clippy::print_stderr, reason = "the user waits for minutes and should know for what")]
pub(super) fn ensure(sources: &Path, needs: Needs) -> Result<PathBuf> {
    let kind = match needs {
        Needs::HelmOnly => "helm",
        Needs::Everything => "everything",
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
    if needs == Needs::Everything {
        control_plane(sources, &unfinished)?;
    }
    helm(&sources.join("helm"), &unfinished)?;
    fs::rename(&unfinished, &finished).with_context(|| format!("move the build to {}", finished.display()))?;
    Ok(finished)
}

#[allow(clippy::print_stderr, reason = "says how long to wait")]
fn control_plane(module: &Path, bin: &Path) -> Result<()> {
    eprintln!("  control plane: Kubernetes and etcd from source, about 10 minutes on 2 cores");
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
    go::Build { name: "control plane", module, package: ".", stamps: &stamps, output: &binary }
        .run(&bin.join("control-plane.log"))?;
    for name in ["etcd", "kube-apiserver", "kube-controller-manager", "kubectl"] {
        symlink("control-plane", bin.join(name)).with_context(|| format!("link {name}"))?;
    }
    Ok(())
}

#[allow(clippy::print_stderr, reason = "says how long to wait")]
fn helm(module: &Path, bin: &Path) -> Result<()> {
    eprintln!("  helm: from source, about 1 minute more on 2 cores");
    let version = go::required(module, "helm.sh/helm/v4")?;
    let stamps = [format!("helm.sh/helm/v4/internal/version.version={version}")];
    go::Build { name: "helm", module, package: "helm.sh/helm/v4/cmd/helm", stamps: &stamps, output: &bin.join("helm") }
        .run(&bin.join("helm.log"))
}

#[allow(clippy::print_stderr, reason = "says what it waits for")]
fn wait_for_lock(path: &Path) -> Result<Lock> {
    let start = Instant::now();
    let mut told = false;
    loop {
        if let Some(lock) = Lock::attempt(path)? {
            return Ok(lock);
        }
        if start.elapsed() > OTHER_BUILD {
            bail!("another process has been building the tools for an hour; it holds {}", path.display());
        }
        if !told {
            told = true;
            eprintln!("Another process is building the tools; waiting for it");
        }
        std::thread::sleep(Duration::from_millis(500));
    }
}
