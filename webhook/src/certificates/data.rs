//! The content of the Secret or directory with the certificates.

use std::collections::BTreeMap;

/// Key of the CA in the Secret.
pub(super) const CA: &str = "ca.crt";
/// Key of the CA's private key.
pub(super) const CA_KEY: &str = "ca.key";
/// Key of the server certificate.
pub(super) const LEAF: &str = "tls.crt";
/// Key of the server certificate's private key.
pub(super) const LEAF_KEY: &str = "tls.key";

/// Content of the Secret or directory.
pub type Data = BTreeMap<String, Vec<u8>>;
