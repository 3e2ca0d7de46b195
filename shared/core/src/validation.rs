//! What is wrong with ManagedResources and with what they declare.

pub mod labels;
pub mod managed_resource;
pub mod manifests;
