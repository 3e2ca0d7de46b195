//! What becomes of a review: core's decision about managed objects ([`protect`], [`namespaces`]), the two reviews of content
//! ([`secrets`], [`managed_resources`]), and who may begin a pause ([`pauses`]). Nothing here knows of HTTP.

pub mod managed_resources;
pub mod manifests;
pub mod namespaces;
pub mod overrides;
pub mod pauses;
pub mod protect;
pub mod review;
pub mod secret_reader;
pub mod secrets;
pub mod trial;
