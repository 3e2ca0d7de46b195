//! What manifests declare, and what it comes to in the target cluster.

pub mod annotations;
pub mod body;
pub mod discovery;
mod prepare;
pub mod waves;

pub use prepare::{Context, Desired, prepare};
