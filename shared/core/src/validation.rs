//! Finds errors in ManagedResources and in their manifests.

pub mod labels;
pub mod managed_resource;
pub mod manifests;
