//! The admission webhook: answers reviews of the API server in time, whatever happens.
//!
//! What is decided about managed objects comes from `holdfast-core`; here is the way from HTTPS to that decision and back
//! ([`server`], [`admission`]), and our own certificates and their registration ([`certificates`]); [`setup`] wires that.

pub mod admission;
pub mod certificates;
pub mod events;
pub mod metrics;
pub mod server;
pub mod setup;
