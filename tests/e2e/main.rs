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

mod absence;
mod additions;
mod admission;
mod audit_only;
mod autoscaled;
mod bad_input;
mod certificates;
mod chart_config;
mod chart_values;
mod claimed;
mod claims;
mod classes;
mod client_certificates;
mod collectable;
mod conditions;
mod config_file;
mod contact;
mod credentials;
mod decode;
mod definitions;
mod deletion;
mod drift;
mod dying;
mod election;
mod emergency;
mod ending;
mod exact;
mod examples;
mod exempt;
mod fallback;
mod farewell;
mod faults;
mod finalize;
mod finalizer_notice;
mod force;
mod forgeries;
mod free;
mod guard;
mod handling;
mod hanging;
mod held;
mod homes;
mod ignored;
mod kept;
mod kinds;
mod lifecycle;
mod marks;
mod migration;
mod modes;
mod mutators;
mod named;
mod orphans;
mod padded;
mod pause;
mod pauses;
mod peculiar;
mod preserved;
mod property;
mod protect;
mod rbac;
mod recorded;
mod release;
mod released;
mod renewed;
mod reordered;
mod replace;
mod restart;
mod retried;
mod reverted;
mod roles;
mod rolling;
mod scale;
mod scratch;
mod secrecy;
mod settings;
mod soak;
mod standalone;
mod steady;
mod subresources;
mod swaps;
mod takeover;
mod target;
mod teardown;
mod tokens;
mod two_clusters;
mod unchanged;
mod unwatched;
mod upgrade;
mod webhook_down;
