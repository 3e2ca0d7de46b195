//! What an image is called.
use std::fmt;

use anyhow::{Context, Result, bail};
use oci_spec::distribution::Reference;

/// The registry of names without one, and its directory of names with one part.
const HOME: [&str; 2] = ["docker.io/", "library/"];

/// A name with a tag, such as `nginx:1.7.9` or `registry.example.com/team/holdfast-webhook:0.1.0`. Shown as pods have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name(Reference);

impl Name {
    /// Reads a name as a pod has it. Without a tag, it is `latest`.
    ///
    /// # Errors
    /// It is none, or it has a digest: nobody knows that before the image is written.
    pub fn parse(text: &str) -> Result<Self> {
        let reference = Reference::try_from(text).with_context(|| format!("read the image name {text:?}"))?;
        if reference.digest().is_some() {
            bail!("the image name {text:?} has a digest; it is to have a tag");
        }
        Ok(Self(reference))
    }

    /// With registry and directory, as containerd keeps it: `docker.io/library/nginx:1.7.9`.
    pub fn whole(&self) -> String {
        self.0.whole()
    }

    /// What is behind the colon.
    pub fn tag(&self) -> &str {
        self.0.tag().unwrap_or("latest")
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = self.whole();
        let Some(short) = whole.strip_prefix(HOME[0]) else { return f.write_str(&whole) };
        f.write_str(short.strip_prefix(HOME[1]).unwrap_or(short))
    }
}
