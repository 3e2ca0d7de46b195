//! The inventories of ManagedResources, the state of their objects, and what the controller does next.

pub mod autoscalers;
pub mod collectable;
pub mod contention;
pub mod drift;
pub mod equivalence;
pub mod index;
pub mod object_record;
pub mod plan;
pub mod planned_state;
pub mod repair;
pub mod responsibility;
