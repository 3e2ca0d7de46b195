//! Container images of one static program each, made without a container engine.
//!
//! An archive has both forms that the common tools read: an OCI image layout (containerd, kind, skopeo, Podman) and Docker's
//! `manifest.json`, which names the same blobs. The same image gives the same bytes: nothing in it says when, where or by
//! whom it was written.
use std::collections::{BTreeMap, HashMap};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result, bail};
use oci_spec::image::{
    Arch, ConfigBuilder, Descriptor, ImageConfiguration, ImageConfigurationBuilder, ImageManifest,
    ImageManifestBuilder, MediaType, Os, RootFsBuilder, SCHEMA_VERSION,
};

pub use oci_spec::image::Digest;

mod archive;
mod digest;
mod layer;
mod name;
mod program;

pub use digest::digest;
pub use name::Name;

use archive::Archive;
use layer::Layer;

/// The user of our programs, and their group: no name, so that nobody needs to look one up, and not root.
pub const USER: &str = "65532:65532";

/// An image that is one program.
#[derive(Debug, Clone)]
pub struct Image<'a> {
    /// What a pod calls it.
    pub name: Name,
    /// The file on this machine. It has to be static, as there is nothing else in the image.
    pub program: &'a Path,
    /// Where the program is in the image, absolute; also the entry point.
    pub path: &'a str,
    /// Who runs it, such as [`USER`]; empty for root.
    pub user: &'a str,
    /// Labels of the image, which are also the annotations of its manifest.
    pub labels: BTreeMap<String, String>,
}

impl Image<'_> {
    /// Writes the archive, and returns the digest of the manifest: what a registry calls this image. The file is whole or absent.
    ///
    /// # Errors
    /// The program is no static program for Linux; its path is not absolute; or a file cannot be read or written.
    pub fn write(&self, out: &Path) -> Result<Digest> {
        let bytes = fs::read(self.program).with_context(|| format!("read {}", self.program.display()))?;
        let architecture = program::architecture_if_static(&bytes)
            .with_context(|| format!("put {} into an image", self.program.display()))?;
        let layer = Layer::of_program(self.path, &bytes).context("write the layer")?;
        let mut archive = Archive::default();
        let config = archive.add_json(MediaType::ImageConfig, &self.config(architecture.clone(), &layer)?)?;
        let layer = archive.add(MediaType::ImageLayerGzip, layer.compressed)?;
        let manifest = archive.add_json(MediaType::ImageManifest, &self.manifest(&config, &layer)?)?;
        let bytes =
            archive.finish(&self.name, architecture, &manifest, &config, &layer).context("write the archive")?;
        write_whole(out, &bytes).with_context(|| format!("write {}", out.display()))?;
        Ok(manifest.digest().clone())
    }

    fn config(&self, architecture: Arch, layer: &Layer) -> Result<ImageConfiguration> {
        let directory = match self.path.rsplit_once('/') {
            Some(("", _)) => "/",
            Some((directory, _)) if directory.starts_with('/') => directory,
            _ => bail!("the path {} in the image is not absolute", self.path),
        };
        let config = ConfigBuilder::default()
            .user(self.user)
            // A pod may name the program without its directory.
            .env([format!("PATH={directory}")])
            .entrypoint([self.path.to_owned()])
            .working_dir("/")
            .labels(self.labels())
            .build()?;
        let root = RootFsBuilder::default().diff_ids([layer.digest.to_string()]).build()?;
        let builder = ImageConfigurationBuilder::default().architecture(architecture).os(Os::Linux);
        Ok(builder.config(config).rootfs(root).build()?)
    }

    fn manifest(&self, config: &Descriptor, layer: &Descriptor) -> Result<ImageManifest> {
        let builder = ImageManifestBuilder::default().schema_version(SCHEMA_VERSION);
        let builder = builder.media_type(MediaType::ImageManifest).config(config.clone()).layers([layer.clone()]);
        Ok(builder.annotations(self.labels()).build()?)
    }

    fn labels(&self) -> HashMap<String, String> {
        self.labels.clone().into_iter().collect()
    }
}

fn write_whole(out: &Path, bytes: &[u8]) -> Result<()> {
    let directory = out.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(directory)?;
    let file = tempfile::Builder::new().permissions(Permissions::from_mode(0o644)).tempfile_in(directory)?;
    fs::write(file.path(), bytes)?;
    file.persist(out)?;
    Ok(())
}

#[cfg(test)]
mod tests;
