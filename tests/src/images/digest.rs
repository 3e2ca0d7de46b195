//! The names of blobs.
use std::str::FromStr;

use anyhow::{Context, Result};
use oci_spec::image::{Digest, Sha256Digest};

/// What content is called in images.
///
/// # Errors
/// Never: a hash has the form that the type demands.
pub fn digest(bytes: &[u8]) -> Result<Digest> {
    let hash = ring::digest::digest(&ring::digest::SHA256, bytes);
    let text = hash.as_ref().iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
    Ok(Sha256Digest::from_str(&text).context("write a digest")?.into())
}
