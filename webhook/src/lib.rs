//! The admission webhook: it answers each review of the API server in time, whatever happens.
//!
//! `holdfast-core` decides about managed objects. This crate leads from HTTPS to that decision and back ([`server`],
//! [`admission`]), and keeps the certificate and its registration ([`certificates`]). [`setup`] starts all of that.

pub mod admission;
pub mod certificates;
pub mod endpoint;
pub mod events;
pub mod metrics;
pub mod server;
pub mod setup;
