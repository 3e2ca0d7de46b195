//! Builds what tests and commands run, and starts it so that it does not outlive them.
//!
//! [`binaries`] builds our own programs with cargo, [`toolchain`] builds Kubernetes and helm with Go into the user's [`cache`].
//! [`leash`] kills a child process when its parent is gone. [`log`] reads what children wrote.
pub mod binaries;
pub mod cache;
pub mod leash;
pub mod log;
pub mod toolchain;
