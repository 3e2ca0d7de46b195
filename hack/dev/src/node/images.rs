//! The images of a node: our own programs, and what stands in for those of foreign.
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use holdfast_e2e::images::{Image, Name, USER};
use holdfast_e2e::toolchain::NodeTools;

use crate::cluster::Place;

/// What does nothing, under the names of images that no registry has here: the image of pods themselves, and that of example 2.
const PAUSES: [&str; 2] = ["localhost/pause:1", "nginx:1.7.9"];

/// Writes an archive of each, where that is older than its program, and returns their paths.
///
/// # Errors
/// A program is missing, or the disk says no.
pub(crate) fn write(place: &Place, programs: &BTreeMap<String, PathBuf>, tools: &NodeTools) -> Result<Vec<PathBuf>> {
    let directory = place.path().join("images");
    fs::create_dir_all(&directory).with_context(|| format!("create {}", directory.display()))?;
    let version = env!("CARGO_PKG_VERSION");
    let own = programs.iter().map(|(name, path)| (format!("{name}:{version}"), path.clone(), format!("/{name}"), USER));
    let pause = tools.node.join("pause");
    let foreign = PAUSES.into_iter().map(|name| (name.to_owned(), pause.clone(), "/pause".to_owned(), ""));
    let mut archives = Vec::new();
    for (name, program, path, user) in own.chain(foreign) {
        let archive = directory.join(format!("{}.tar", name.replace(['/', ':'], "_")));
        if !is_newer(&archive, &program) {
            let image =
                Image { name: Name::parse(&name)?, program: &program, path: &path, user, labels: BTreeMap::new() };
            image.write(&archive)?;
        }
        archives.push(archive);
    }
    Ok(archives)
}

fn is_newer(archive: &Path, program: &Path) -> bool {
    let time = |path: &Path| fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
    matches!((time(archive), time(program)), (Some(archive), Some(program)) if archive > program)
}
