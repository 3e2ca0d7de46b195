//! What is said of a ManagedResource: its status ([`writer`], [`foreign_crd`]) and its [`events`]. [`result`] is what a pass
//! came to.

pub(crate) mod events;
mod foreign_crd;
pub(crate) mod result;
pub(crate) mod writer;
