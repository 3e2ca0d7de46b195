//! The network of a node: one interface with its address, and no way out.
use std::fs;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::Family;

/// The node's interface, one end of a pair whose other end nobody uses.
const INTERFACE: &str = "node0";

/// Gives the network namespace its addresses and routes.
///
/// # Errors
/// `ip` fails: with what it said.
pub(super) fn prepare(family: Family) -> Result<()> {
    ip(&["link", "set", "lo", "up"])?;
    // A pair, since not every kernel has dummy interfaces.
    ip(&["link", "add", INTERFACE, "type", "veth", "peer", "name", "node0-end"])?;
    ip(&["link", "set", "node0-end", "up"])?;
    let address = format!("{}/{}", family.node(), family.prefix());
    match family {
        Family::V4 => ip(&["addr", "add", &address, "dev", INTERFACE])?,
        // Nobody is there who could have the same address.
        Family::V6 => ip(&["addr", "add", &address, "dev", INTERFACE, "nodad"])?,
    }
    ip(&["link", "set", INTERFACE, "up"])?;
    // The address of a Service has to have a route before it is translated.
    match family {
        Family::V4 => {
            ip(&["route", "add", "default", "dev", INTERFACE])?;
            forward("/proc/sys/net/ipv4/ip_forward")
        }
        Family::V6 => {
            ip(&["-6", "route", "add", "default", "dev", INTERFACE])?;
            forward("/proc/sys/net/ipv6/conf/all/forwarding")
        }
    }
}

/// Of this network namespace only.
fn forward(path: &str) -> Result<()> {
    fs::write(path, "1").with_context(|| format!("write {path}"))
}

fn ip(arguments: &[&str]) -> Result<()> {
    let output = Command::new("ip").args(arguments).stdin(Stdio::null()).output().context("run ip")?;
    if !output.status.success() {
        bail!("ip {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
