//! The admission webhook: answers reviews of the API server in time, whatever happens.
//!
//! What is decided about managed objects comes from `holdfast-core`; here is the way from HTTPS to that decision and back
//! ([`server`], [`app`], [`admission`]), and our own
//! certificates and their registration ([`certificates`]).

pub mod admission;
pub mod app;
mod body;
pub mod certificates;
mod certify;
pub mod cli;
pub mod clients;
mod clusters;
mod connections;
mod events;
pub mod freshness;
pub mod metrics;
pub mod run;
pub mod server;
mod size;
mod unjudged;
