//! A real node: kubelet, scheduler, kube-proxy, containerd and a control plane, in namespaces of their own.
//!
//! The node is one tree of processes in its own mount, pid, network, cgroup, UTS and IPC namespaces. Whatever it writes outside
//! its directory lies in file systems in memory that only these namespaces see. So when its first process is killed, pods,
//! mounts and interfaces are gone with it. Empty cgroups are all that stays, and a process of its own waits for the end and
//! removes them ([`cgroups::sweep`]), however the end came.
//!
//! [`Node::launch`] makes the cgroups and starts `unshare`, which becomes, in three steps, the first process of the node:
//! [`enter`] goes into the cgroups, so that the next `unshare` can make them the root of what the node sees, and [`run`] mounts,
//! connects and starts everything. It then runs a command within, or stays. Needs root; [`missing`] says what else.
mod addresses;
mod agents;
pub mod cgroups;
mod enter;
mod launch;
mod mounts;
mod network;
mod orphans;
mod relay;
mod requirements;
mod run;
mod settings;
mod spec;

pub use addresses::Family;
pub use enter::enter;
pub use launch::Node;
pub use relay::{listen, through};
pub use requirements::{missing, untried};
pub use run::run;
pub use spec::Spec;
