//! What the watches say goes into the state and wakes the queue: ManagedResources, Secrets, the kinds in use ([`targets`]) and
//! autoscalers. [`reducer`] says what is read of the objects of a kind. [`watched`] says which watches fail, [`pulse`] whether the API servers answer at all.

mod autoscalers;
mod full_object;
pub(crate) mod managed_resources;
pub(crate) mod pulse;
pub(crate) mod reducer;
pub(crate) mod secrets;
pub(crate) mod targets;
pub(crate) mod watched;
