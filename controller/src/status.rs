//! What is said of a ManagedResource: its status and finalizer ([`writer`], by requests of [`source`]) and its [`events`].
//! [`result`] is what a pass came to.

pub(crate) mod events;
pub(crate) mod result;
pub(crate) mod source;
mod write_lock;
pub(crate) mod writer;
