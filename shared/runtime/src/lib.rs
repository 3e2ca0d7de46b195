//! The plumbing that both binaries share: logs, supervision, probes, connecting to a cluster and following its
//! ManagedResources.
//!
//! Nothing here decides anything about managed objects; that is `holdfast-core`. Everything that waits has a limit, and
//! every failure is reported as one line that names what was attempted.

pub mod api;
pub mod call;
pub mod config_file;
pub mod connect;
pub mod deferred;
pub mod delays;
pub mod events;
pub mod executor;
pub mod exit;
pub mod flags;
pub mod guarded;
pub mod identity;
pub mod index;
pub mod listen;
pub mod owner;
pub mod probes;
pub mod readiness;
pub mod reminder;
pub mod server_version;
pub mod settings;
pub mod supervise;
pub mod telemetry;
pub mod traffic;
pub mod watch;
pub mod watch_errors;
