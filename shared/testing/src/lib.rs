//! What the tests of several crates share. All of it is JSON or text: no crate of ours is needed, so each may use it, also in
//! its unit tests.
//!
//! [`KINDS`] are manifests of many kinds, [`Definition`] makes CustomResourceDefinitions, [`managed_resource()`] makes
//! ManagedResources, [`edits`] are random edits of any object, and [`Dice`] is the chance in them.
pub mod edits;

mod definition;
mod dice;
mod managed_resource;
mod merge;

pub use definition::{Definition, any_fields};
pub use dice::Dice;
pub use managed_resource::{ManagedResource, managed_resource};
pub use merge::merge;

/// Manifests of the kinds that people use most, in all shapes of lists and maps; no namespace is set.
pub const KINDS: &str = include_str!("../data/kinds.yaml");
