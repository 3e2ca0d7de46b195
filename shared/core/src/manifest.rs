//! What manifests declare, and what it comes to in the target cluster.

pub mod annotations;
pub mod body;
mod desired;
pub mod discovery;
mod prepare;
pub mod waves;

pub use desired::Desired;
pub use prepare::{Context, prepare};
