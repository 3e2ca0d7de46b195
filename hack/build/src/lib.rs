//! Builds what tests and commands run, and starts it so that it does not outlive them.
//!
//! [`binaries`] builds our own programs with [`cargo`], [`toolchain`] builds Kubernetes and helm with Go into the user's
//! [`cache`]; both show their [`progress`]. [`leash`] kills a child process when its parent is gone. [`log`] reads what
//! children wrote, [`ci`] says whether anybody watches.
//!
//! `cargo xtask` is built before anything else can be shown, so this crate needs few others and no runtime.
pub mod binaries;
pub mod cache;
pub mod cargo;
pub mod ci;
pub mod leash;
pub mod log;
pub mod progress;
pub mod toolchain;
