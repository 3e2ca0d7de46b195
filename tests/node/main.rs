//! The tests on a real node: the chart installed as a stranger does it, with pods that the kubelet runs and Services that
//! kube-proxy brings. `cargo xtask node test` builds up the node and runs them within it, one after the other.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests fail by panicking, and say on stderr what they measured"
)]
#![allow(missing_docs, reason = "the names of the tests say it")]

mod harness;

mod certificates;
mod clients;
mod drain;
mod guard;
mod interruptions;
mod ipv6;
mod notice;
mod signals;
mod stranger;
mod two_clusters;
mod upgrade;
mod usage;
mod values;
