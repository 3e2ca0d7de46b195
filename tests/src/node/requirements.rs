//! What a node needs of the machine, asked before anything is built or started.
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use super::agents::find;
use super::cgroups;
use super::mounts::HIDDEN;
use crate::cache;

/// Why no node can run here, in one line; nothing if one can.
pub fn missing() -> Option<String> {
    if !cfg!(target_os = "linux") {
        return Some("a node needs Linux".to_owned());
    }
    if !rustix::process::geteuid().is_root() {
        return Some("a node needs root: namespaces, mounts and cgroups of its own".to_owned());
    }
    for (program, package) in [
        ("runc", "runc"),
        ("nft", "nftables"),
        ("ip", "iproute2"),
        ("unshare", "util-linux"),
        ("nsenter", "util-linux"),
    ] {
        if find(program).is_none() {
            return Some(format!("{program} is missing: hack/debian-packages.sh installs it (package {package})"));
        }
    }
    hidden().or_else(namespaces).or_else(|| cgroups::parents().err().map(|error| format!("{error:#}")))
}

/// What was built after the documentation only, for a machine such as this one.
pub fn untried() -> Option<&'static str> {
    cgroups::is_unified().then_some("cgroup v2 is built as its documentation says, and was not tried")
}

/// The node sees other files at these places.
fn hidden() -> Option<String> {
    let own = [Some(cache::workspace()), cache::directory().ok(), std::env::current_exe().ok()];
    own.into_iter().flatten().find_map(|path| {
        let hidden = HIDDEN.into_iter().find(|hidden| path.starts_with(hidden))?;
        Some(format!("{} lies below {hidden}, which is not seen in a node", path.display()))
    })
}

fn namespaces() -> Option<String> {
    let quiet = |program: &str, arguments: &[&str]| {
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    let all = ["--mount", "--propagation", "private", "--pid", "--fork", "--net", "--cgroup", "--uts", "--ipc", "true"];
    if !quiet("unshare", &all) {
        return Some(
            "namespaces may not be made: CAP_SYS_ADMIN is missing (a container without privileges?)".to_owned(),
        );
    }
    let network = "ip link add try0 type veth peer name try1 && nft add table ip x && \
        nft add chain ip x y '{ type nat hook postrouting priority 100; }' && nft add rule ip x y masquerade";
    if !quiet("unshare", &["--net", "sh", "-c", network]) {
        return Some("no veth or no nftables NAT in a network namespace".to_owned());
    }
    let overlay = "mount -t tmpfs t /mnt && mkdir /mnt/l /mnt/u /mnt/w /mnt/m && \
        mount -t overlay -o lowerdir=/mnt/l,upperdir=/mnt/u,workdir=/mnt/w o /mnt/m";
    if !quiet("unshare", &["--mount", "--propagation", "private", "sh", "-c", overlay]) {
        return Some("no overlayfs".to_owned());
    }
    let children = format!("/proc/{0}/task/{0}/children", std::process::id());
    (!Path::new(&children).exists() || fs::read_to_string(children).is_err())
        .then(|| "the kernel does not list the children of processes".to_owned())
}
