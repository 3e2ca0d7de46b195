//! Manifests, and the objects in the target cluster that they become.

pub mod annotations;
pub mod body;
mod desired;
pub mod discovery;
mod prepare;
pub mod waves;

pub use desired::Desired;
pub use prepare::{Context, prepare};
