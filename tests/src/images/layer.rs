//! The one layer of an image: a compressed tar.
use std::io::{self, Write};

use anyhow::Result;
use flate2::{Compression, GzBuilder};
use oci_spec::image::Digest;
use tar::{EntryType, Header};

use super::digest::digest;

/// A layer, and the digest of what it is when unpacked.
#[derive(Debug)]
pub(super) struct Layer {
    pub(super) digest: Digest,
    pub(super) compressed: Vec<u8>,
}

impl Layer {
    /// The program at the absolute path `path`, with the directories above it.
    pub(super) fn of_program(path: &str, program: &[u8]) -> Result<Self> {
        let path = path.trim_start_matches('/');
        let mut tar = tar::Builder::new(Vec::new());
        for (end, _) in path.match_indices('/') {
            append(&mut tar, &path[..=end], EntryType::Directory, &[], 0o755)?;
        }
        append(&mut tar, path, EntryType::Regular, program, 0o755)?;
        let tar = tar.into_inner()?;
        Ok(Self { digest: digest(&tar)?, compressed: compress(&tar)? })
    }
}

/// Appends an entry of nobody's (0:0) and of no time.
pub(super) fn append(
    tar: &mut tar::Builder<impl Write>,
    path: &str,
    kind: EntryType,
    content: &[u8],
    mode: u32,
) -> io::Result<()> {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_path(path)?;
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(content.len() as u64);
    header.set_cksum();
    tar.append(&header, content)
}

fn compress(bytes: &[u8]) -> io::Result<Vec<u8>> {
    // The header of gzip has room for a time, a name and a system: all unset.
    let mut encoder = GzBuilder::new().mtime(0).operating_system(255).write(Vec::new(), Compression::best());
    encoder.write_all(bytes)?;
    encoder.finish()
}
