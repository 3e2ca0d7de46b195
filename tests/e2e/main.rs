//! The end-to-end tests: the chart, installed by helm, on a real control plane, used through real kubectl.
//!
//! Tests that do no harm share one installation and take a namespace each. Those that stop or replace a process of ours or
//! of the control plane have a control plane of their own; two of these run at a time.
//!
//! Most of the time is waiting: run it with `--test-threads=8`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests fail by panicking, and say on stderr what they measured"
)]
#![allow(missing_docs, reason = "the names of the tests say it")]

mod harness;

mod apply;
mod certificates;
mod classes;
mod drift;
mod election;
mod faults;
mod install;
mod lifecycle;
mod pause;
mod property;
mod protect;
mod prune;
mod scale;
mod soak;
