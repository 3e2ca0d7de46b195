//! The admission webhook: answers reviews of the API server in time, whatever happens.
//!
//! What is decided about managed objects comes from `holdfast-core`; here is the way from HTTPS to that decision and back
//! ([`server`], [`admission`]), and our own certificates and their registration ([`certificates`]).

pub mod admission;
pub mod certificates;
mod certify;
pub mod cli;
mod clusters;
mod events;
pub mod freshness;
pub mod metrics;
pub mod run;
pub mod server;
