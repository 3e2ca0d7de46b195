//! The archive: blobs by digest, and two indices of them, OCI's and Docker's.
use std::collections::BTreeMap;

use anyhow::Result;
use oci_spec::image::{
    ANNOTATION_REF_NAME, Arch, Descriptor, Digest, ImageIndexBuilder, MediaType, OciLayoutBuilder, Os, PlatformBuilder,
    SCHEMA_VERSION,
};
use serde::Serialize;
use serde_json::json;
use tar::EntryType;

use super::Name;
use super::digest::digest;
use super::layer::append;

/// Where containerd, and what stands on it, looks for the name.
const IMAGE_NAME: &str = "io.containerd.image.name";

/// What has been put into an archive so far.
#[derive(Debug, Default)]
pub(super) struct Archive {
    blobs: BTreeMap<String, Vec<u8>>,
}

impl Archive {
    pub(super) fn add_json(&mut self, kind: MediaType, value: &impl Serialize) -> Result<Descriptor> {
        self.add(kind, json_in_order(value)?)
    }

    pub(super) fn add(&mut self, kind: MediaType, bytes: Vec<u8>) -> Result<Descriptor> {
        let digest = digest(&bytes)?;
        let descriptor = Descriptor::new(kind, bytes.len() as u64, digest.clone());
        self.blobs.insert(path(&digest), bytes);
        Ok(descriptor)
    }

    /// The archive of one image, whose parts have been added.
    pub(super) fn finish(
        self,
        name: &Name,
        architecture: Arch,
        manifest: &Descriptor,
        config: &Descriptor,
        layer: &Descriptor,
    ) -> Result<Vec<u8>> {
        let platform = PlatformBuilder::default().architecture(architecture).os(Os::Linux).build()?;
        let names = [(IMAGE_NAME, name.whole()), (ANNOTATION_REF_NAME, name.tag().to_owned())];
        let mut manifest = manifest.clone();
        manifest.set_platform(Some(platform));
        manifest.set_annotations(Some(names.map(|(key, value)| (key.to_owned(), value)).into()));
        let index = ImageIndexBuilder::default()
            .schema_version(SCHEMA_VERSION)
            .media_type(MediaType::ImageIndex)
            .manifests([manifest])
            .build()?;
        let docker = json!([{
            "Config": path(config.digest()),
            "Layers": [path(layer.digest())],
            "RepoTags": [name.to_string()],
        }]);
        let layout = OciLayoutBuilder::default().image_layout_version("1.0.0").build()?;

        let mut tar = tar::Builder::new(Vec::new());
        append(&mut tar, "oci-layout", EntryType::Regular, &json_in_order(&layout)?, 0o644)?;
        append(&mut tar, "index.json", EntryType::Regular, &json_in_order(&index)?, 0o644)?;
        append(&mut tar, "manifest.json", EntryType::Regular, &json_in_order(&docker)?, 0o644)?;
        append(&mut tar, "blobs/", EntryType::Directory, &[], 0o755)?;
        append(&mut tar, "blobs/sha256/", EntryType::Directory, &[], 0o755)?;
        for (path, bytes) in &self.blobs {
            append(&mut tar, path, EntryType::Regular, bytes, 0o644)?;
        }
        Ok(tar.into_inner()?)
    }
}

fn path(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm(), digest.digest())
}

/// The crate's maps have no order of their own; those of `Value` are sorted.
fn json_in_order(value: &impl Serialize) -> Result<Vec<u8>> {
    Ok(serde_json::to_vec(&serde_json::to_value(value)?)?)
}
