//! What the node mounts: everything that would otherwise be written on the machine lies in memory, and only the node sees it.
use std::ffi::CString;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use anyhow::{Context, Result};
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_bind, mount_change};

use super::cgroups;

/// Where the node's own files are: root file systems of pods, volumes, keys.
pub(super) const HOME: &str = "/run/node";
/// Directories that programs of a node write to, whatever they are told. What lies below them is not seen in the node.
pub(super) const HIDDEN: [&str; 3] = ["/run", "/var/log", "/var/lib"];
/// The kubelet sets these for the whole machine, so it sees files of ours in their place.
const SYSCTLS: [(&str, &str); 3] =
    [("vm/overcommit_memory", "1"), ("kernel/panic", "10"), ("kernel/panic_on_oops", "1")];

/// Mounts everything, in a mount namespace whose mounts nobody else sees.
///
/// # Errors
/// A mount fails: which.
pub(super) fn prepare(hierarchies: &[(String, std::path::PathBuf)]) -> Result<()> {
    one("proc", "/proc", "proc", "")?;
    for hidden in HIDDEN {
        one("tmpfs", hidden, "tmpfs", "mode=755")?;
    }
    directory(HOME)?;
    one("node", HOME, "tmpfs", "mode=755")?;
    // Pods get volumes while they run.
    mount_change(HOME, MountPropagationFlags::SHARED | MountPropagationFlags::REC).context("share /run/node")?;
    for name in ["kubelet", "containerd", "pod-logs", "cni", "plugins", "sysctl", "tmp", "etc"] {
        directory(&format!("{HOME}/{name}"))?;
    }
    one("sysfs", "/sys", "sysfs", "")?;
    if cgroups::is_unified() {
        one("cgroup2", "/sys/fs/cgroup", "cgroup2", "")?;
        cgroups::delegate()?;
    } else {
        one("tmpfs", "/sys/fs/cgroup", "tmpfs", "mode=755")?;
        for (controllers, _) in hierarchies {
            hierarchy(controllers)?;
        }
    }
    for (name, value) in SYSCTLS {
        let file = format!("{HOME}/sysctl/{}", name.replace('/', "."));
        fs::write(&file, value).with_context(|| format!("write {file}"))?;
        let target = format!("/proc/sys/{name}");
        mount_bind(&file, &target).with_context(|| format!("hide {target}"))?;
    }
    Ok(())
}

/// One hierarchy of cgroup v1, by all names that it goes by.
fn hierarchy(controllers: &str) -> Result<()> {
    let name = controllers.trim_start_matches("name=");
    let path = format!("/sys/fs/cgroup/{name}");
    directory(&path)?;
    let options = if controllers.starts_with("name=") { format!("none,{controllers}") } else { controllers.to_owned() };
    one("cgroup", &path, "cgroup", &options)?;
    for part in name.split(',').filter(|part| *part != name) {
        symlink(name, Path::new("/sys/fs/cgroup").join(part)).with_context(|| format!("link cgroup {part}"))?;
    }
    Ok(())
}

fn one(source: &str, target: &str, kind: &str, options: &str) -> Result<()> {
    let options = CString::new(options).context("options of a mount")?;
    mount(source, target, kind, MountFlags::empty(), options.as_c_str())
        .with_context(|| format!("mount {kind} at {target}"))
}

fn directory(path: &str) -> Result<()> {
    fs::create_dir_all(path).with_context(|| format!("create {path}"))
}
