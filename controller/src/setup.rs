//! What has to be there before work can begin: clients of the source and the target ([`clusters`]), who the source is
//! ([`cluster_identity`]), and the key of the digests ([`digest_key`]).

mod cluster_identity;
pub(crate) mod clusters;
mod digest_key;

/// Name towards the API server.
pub(crate) const USER_AGENT: &str = concat!("holdfast-controller/", env!("CARGO_PKG_VERSION"));
