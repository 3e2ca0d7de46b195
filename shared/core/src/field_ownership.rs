//! Who may write which field of an object: which fields a ManagedResource manages, which it leaves to others, and how a
//! field changes hands.

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
