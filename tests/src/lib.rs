//! The testbed of Holdfast: everything that tests, demo and benchmark stand on, and nothing that they assert.
//!
//! No mock stands in for Kubernetes. [`toolchain`] builds the real components once a machine, [`binaries`] our own ([`images`]
//! of them are what a node runs), [`control_plane`] runs them, [`player`] plays kubelet and kube-proxy for our own pods, [`node`]
//! has the real ones where root may run them, [`install`] installs the chart with the real `helm`, [`kubectl`]
//! acts as a user, [`crds`] are definitions of others, [`audit`] reads what the API server saw, [`fault_proxy`] stands in
//! front of it and does harm,
//! [`review_server`] is a webhook of somebody else, [`wait`] waits with a reason. [`leash`] sees to it that no
//! process outlives the one that asked for it, not even after `kill -9`.

pub mod audit;
pub mod control_plane;
pub mod crds;
pub mod edit_load;
pub mod fault_proxy;
pub mod images;
pub mod install;
pub mod kubectl;
pub mod node;
pub mod player;
pub mod process;
pub mod review_server;
pub mod rules;
pub mod server_certificate;
pub mod wait;
pub mod webhook_client;

pub use holdfast_build::{binaries, cache, leash, toolchain};

/// Chooses the process-wide TLS provider; to be called first in every `main` and test. Calling it again does nothing.
pub fn install_crypto_provider() {
    // An error says that one is installed already, which is what we are after.
    let _ = rustls::crypto::ring::default_provider().install_default();
}
