//! Whether a second build, elsewhere, gives the same.
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use holdfast_e2e::{binaries, cache};
use tempfile::TempDir;

use super::{Written, bill};

/// A build from a copy of the sources, in another folder and with another `CARGO_HOME`.
#[derive(Debug)]
pub(super) struct Second {
    folder: TempDir,
    pub(super) sources: PathBuf,
    pub(super) home: PathBuf,
    pub(super) out: PathBuf,
    pub(super) programs: BTreeMap<String, PathBuf>,
}

impl Second {
    /// Builds everything, which takes as long as a first build. Nothing is downloaded.
    ///
    /// # Errors
    /// Sources or crates cannot be copied, or they do not build.
    pub(super) fn build(home: Option<&Path>) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("holdfast-").tempdir().context("make a folder")?;
        let [sources, second_home, out] = ["sources", "home", "out"].map(|name| folder.path().join(name));
        copy_sources(&sources).context("copy the sources")?;
        let downloads = home.context("no CARGO_HOME: set it, or HOME")?.join("registry");
        for part in ["cache", "index"] {
            let to = second_home.join("registry").join(part);
            copy(&downloads.join(part), &to).context("copy what cargo has downloaded")?;
        }
        println!("\nbuilding a second time, in {}", folder.path().display());
        let programs = binaries::build_copy(&sources, &second_home)?;
        Ok(Self { folder, sources, home: second_home, out, programs })
    }

    /// Compares all files. If they differ, the second ones are kept, to be looked at.
    ///
    /// # Errors
    /// A file differs: with its name and the first place.
    pub(super) fn compare(self, first: &[Written], second: &[Written]) -> Result<()> {
        let files = |image: &Written| [image.program.clone(), bill(&image.archive), image.archive.clone()];
        let mut differences = Vec::new();
        for (ours, theirs) in first.iter().flat_map(files).zip(second.iter().flat_map(files)) {
            let [one, two] =
                [&ours, &theirs].map(|path| fs::read(path).with_context(|| format!("read {}", path.display())));
            let (one, two) = (one?, two?);
            if one == two {
                println!("the same, {} bytes: {}", one.len(), ours.display());
                continue;
            }
            let place = one.iter().zip(&two).take_while(|(a, b)| a == b).count();
            differences.push(format!("{} and {} differ from byte {place} on", ours.display(), theirs.display()));
        }
        if differences.is_empty() {
            return Ok(());
        }
        let _ = self.folder.keep();
        bail!("the second build is not the same: {}", differences.join("; "))
    }
}

/// All files that Git knows or would take in.
fn copy_sources(to: &Path) -> Result<()> {
    let workspace = cache::workspace();
    let mut git = Command::new("git");
    git.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]).current_dir(&workspace);
    let output = git.output().context("run git")?;
    if !output.status.success() {
        bail!("git ls-files failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    for name in String::from_utf8(output.stdout)?.split_terminator('\0') {
        let (from, to) = (workspace.join(name), to.join(name));
        // Git knows also what has been deleted since.
        if from.is_file() {
            fs::create_dir_all(to.parent().unwrap_or(&to))?;
            fs::copy(&from, &to).with_context(|| format!("copy {}", from.display()))?;
        }
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from).with_context(|| format!("list {}", from.display()))? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &to)?;
        } else {
            fs::copy(entry.path(), &to).with_context(|| format!("copy {}", entry.path().display()))?;
        }
    }
    Ok(())
}
