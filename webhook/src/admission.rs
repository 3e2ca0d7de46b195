//! What becomes of a review: [`reviewer`] sends it to core's decision about managed objects ([`protect`], [`namespaces`]) or to
//! a validation of content ([`secrets`], [`managed_resources`]); [`pause_authorizer`] decides who may begin a pause. Nothing
//! here knows of HTTP but the paths of [`crate::endpoint`].

pub mod audit_only;
pub mod endpoint;
pub mod managed_resources;
pub mod manifests;
pub mod namespaces;
pub mod pause_access;
pub mod pause_authorizer;
pub mod protect;
pub mod review;
pub mod reviewer;
pub mod secret_reader;
pub mod secrets;
