//! What ManagedResources hold, what became of it, and what is to be done.

pub mod autoscalers;
pub mod collectable;
pub mod contention;
pub mod drift;
pub mod equivalence;
pub mod index;
pub mod object_record;
pub mod plan;
pub mod position;
pub mod repair;
pub mod responsibility;
