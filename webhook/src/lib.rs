//! The admission webhook: answers reviews of the API server in time, whatever happens.
//!
//! What is decided about managed objects comes from `holdfast-core`; here is the way from HTTPS to that decision and back
//! ([`server`], [`app`], [`review`]), the two reviews of content ([`secrets`], [`managed_resources`]), and our own
//! certificates and their registration ([`certificates`]).

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
pub mod managed_resources;
pub mod manifests;
pub mod metrics;
pub mod namespaces;
pub mod overrides;
pub mod pauses;
pub mod protect;
pub mod review;
pub mod run;
pub mod secret_reader;
pub mod secrets;
pub mod server;
mod size;
pub mod trial;
mod unjudged;
