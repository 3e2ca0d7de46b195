//! Who may write which field of an object: what its ManagedResource holds, what is left to others, and how a field changes hands.

pub mod adoption_policy;
pub(crate) mod allowed;
pub mod foreign;
pub mod ignore_paths;
pub mod merge_patch;
pub mod preserve;
mod scope;
pub mod unmanaged;

pub use scope::Reach;
pub(crate) use scope::steps_aside;
