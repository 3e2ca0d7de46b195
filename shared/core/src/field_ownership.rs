//! Who may write which field of an object: what its ManagedResource holds, what is left to others, and how a field changes hands.

pub mod adoption_policy;
pub(crate) mod allowed;
pub mod external_fields;
pub mod ignore_paths;
pub mod merge_patch;
pub mod preserve;
mod scope;
pub mod unmanaged;

pub use scope::ManagedScope;
pub(crate) use scope::steps_aside;
