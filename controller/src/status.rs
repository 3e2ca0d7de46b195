//! What is said of a ManagedResource: its status ([`conclude`], [`refuse`], [`lossy`]; all through [`report`]) and its
//! [`events`]. [`result`] is what a pass came to.

mod conclude;
pub(crate) mod events;
pub(crate) mod lossy;
mod refuse;
pub(crate) mod report;
pub(crate) mod result;
