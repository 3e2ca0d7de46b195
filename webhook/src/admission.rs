//! What becomes of a review: core's decision about managed objects ([`protect`], [`namespaces`]), the two reviews of content
//! ([`secrets`], [`managed_resources`]), and who may begin a pause ([`pause_authorizer`]). Nothing here knows of HTTP.

pub mod audit_only;
pub mod managed_resources;
pub mod manifests;
pub mod namespaces;
pub mod pause_access;
pub mod pause_authorizer;
pub mod protect;
pub mod review;
pub mod secret_reader;
pub mod secrets;
