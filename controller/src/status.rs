//! What is said of a ManagedResource: its status ([`conclude`], [`refuse`], [`lossy`]; all through [`report`]) and its [`events`].

mod conclude;
pub(crate) mod events;
pub(crate) mod lossy;
mod refuse;
pub(crate) mod report;
